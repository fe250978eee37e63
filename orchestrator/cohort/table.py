"""Reads a manifest (CSV or Parquet) as text: rows of stripped cells, in which `007` stays `007`."""

import codecs
import csv
import datetime
import io
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from mpi_model.errors import CohortError
from mpi_model.printable import printable
from mpi_model.regular_files import read_regular
from orchestrator.cohort.problems import Problem, lines_of

MOST_BYTES: Final = 256 * 2**20
"""Of a table's file."""
_MOST_UNPACKED: Final = 4 * 2**30
_MOST_ROWS: Final = 5_000_000
_MOST_COLUMNS: Final = 1000
_MOST_CELLS: Final = 100_000_000
_LONGEST_CELL: Final = 131_072
"""Characters; the limit of Python's csv module."""
_LONGEST_NAME: Final = 200
"""Characters of a column's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextTable:
    """A table of text; a missing cell is the empty string."""

    columns: tuple[str, ...]
    """Names, stripped, in the file's order."""
    rows: tuple[tuple[int, Mapping[str, str]], ...]
    """Row and cells; row 1 is line 2 of the file, below the header. Blank rows are counted, but left out."""


def read_table(path: Path, *, called: str = "manifest") -> TextTable:
    """Read a manifest, or another table, without interpreting its values.

    A CSV may be separated by commas, semicolons or tabs; it is UTF-8 text, or UTF-16 with a byte-order mark. In a
    Parquet file an integer stored as float becomes its digits, and a date its ISO form.

    Args:
        path: A `.csv` or `.parquet` file.
        called: What messages call it.

    Returns:
        The table.

    Raises:
        CohortError: The file is missing, is no regular file or too large, has another format or encoding, names a
            column twice or not at all, has rows of another length than the header, or has no rows.
    """
    readers = {".csv": _read_csv, ".parquet": _read_parquet}
    if path.suffix.lower() not in readers:
        raise CohortError(f"the {called} is a .csv or .parquet file, not {path.name[:80]}; save it as CSV")
    try:
        content = read_regular(path, MOST_BYTES)
    except OSError as error:
        raise CohortError(
            f"there is no {called} {str(path)[:200]} that can be read ({error.strerror}); give the path of a .csv or "
            ".parquet file"
        ) from error
    header, body = readers[path.suffix.lower()](content, f"{called} {path.name}")
    return _checked_table(path, header, body, called)


def _read_csv(content: bytes, named: str) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The header, and the other rows with the numbers of their lines."""
    # Excel writes UTF-16 where it is asked for "Unicode text", and semicolons where the decimal separator is a comma.
    encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise CohortError(f"line {line} of the {named} is not UTF-8 text; save it as 'CSV UTF-8'") from error
    first_line = text[: _LONGEST_CELL * 8].splitlines()[0] if text.strip() else ""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=first_line.count), strict=True)
    rows: list[tuple[int, list[str]]] = []
    line = 1
    try:
        for cells in reader:
            rows.append((line, cells))
            # A quoted cell may go on over several lines.
            line = reader.line_num + 1
    except csv.Error as error:
        why = "a quote is opened and never closed" if "unexpected end" in str(error) else str(error)
        raise CohortError(f"line {line} of the {named} cannot be read as CSV ({why}); correct it there") from error
    if len(rows) > _MOST_ROWS or (rows and len(rows[0][1]) > _MOST_COLUMNS):
        raise CohortError(f"the {named} has more than {_MOST_ROWS} rows or {_MOST_COLUMNS} columns; divide it")
    return (rows[0][1] if rows else []), rows[1:]


def _read_parquet(content: bytes, named: str) -> tuple[list[str], list[tuple[int, list[str]]]]:
    try:
        file = pq.ParquetFile(pa.BufferReader(content))
        rows, columns = file.metadata.num_rows, file.metadata.num_columns
        unpacked = sum(file.metadata.row_group(group).total_byte_size for group in range(file.num_row_groups))
        # What the header declares, before any of it is unpacked: a small file can declare a huge table.
        if rows > _MOST_ROWS or columns > _MOST_COLUMNS or rows * columns > _MOST_CELLS or unpacked > _MOST_UNPACKED:
            raise CohortError(f"the {named} has {rows} rows and {columns} columns, too many to read; divide it")
        frame = file.read().to_pandas()
    except CohortError:
        raise
    except Exception as error:  # pyarrow raises several trees of errors on a damaged file
        kind = type(error).__name__
        raise CohortError(f"the {named} cannot be read as Parquet ({kind}); write it again") from error
    cells = [[_as_text(value) for value in frame.iloc[:, place]] for place in range(frame.shape[1])]
    # As in a spreadsheet: the names of the columns are line 1.
    body = list(enumerate(map(list, zip(*cells, strict=True)), start=2))
    return [str(name) for name in frame.columns], body


def _as_text(value: object) -> str:
    # Kinds of missing value, by the type of the column; NaN is a float and comes below.
    if value is None or value is pd.NA or value is pd.NaT:
        return ""
    if isinstance(value, float):  # pandas stores an integer column with a missing cell as float
        return "" if value != value else str(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, datetime.datetime):
        midnight = value.time() == datetime.time()
        return value.date().isoformat() if midnight else value.isoformat()
    return str(value)


def _checked_table(
    path: Path, header: Sequence[str], body: Sequence[tuple[int, Sequence[str]]], called: str
) -> TextTable:
    columns = [name.strip() for name in header]
    # A row is a line below the header, so that row 3 is line 4 whatever stands between.
    numbered = [(line - 1, [cell.strip() for cell in cells]) for line, cells in body]
    # Spreadsheets often save blank rows below the data.
    filled = [(row, cells) for row, cells in numbered if any(cells)]
    if not columns or not filled:
        raise CohortError(f"the {called} {path.name} has no exams; it needs a header and one row an exam")
    problems = [
        *_column_problems(columns, filled, called),
        *_length_problems(columns, filled, called),
        *_character_problems(columns, filled, called),
    ]
    if problems:
        raise CohortError(*lines_of(problems))
    named = [place for place, name in enumerate(columns) if name]
    return TextTable(
        columns=tuple(columns[place] for place in named),
        rows=tuple((row, {columns[place]: cells[place] for place in named}) for row, cells in filled),
    )


def _character_problems(
    columns: Sequence[str], rows: Sequence[tuple[int, list[str]]], called: str
) -> Iterator[Problem]:
    """Names and cells with characters that would command a terminal; a cell may hold tabs and line ends."""
    for place, name in enumerate(columns, start=1):
        if name != printable(name) or len(name) > _LONGEST_NAME:
            line = f"the name of column {place} of the {called} is long or not printable; rename the column"
            yield Problem(kind="name of a column", line=line)
    for row, cells in rows:
        for name, cell in zip(columns, cells, strict=False):
            if cell.isprintable():
                continue
            found = next((c for c in cell if _commands(c)), None)
            if found is not None:
                line = f"{called} row {row} (line {row + 1}), {name}: holds the control character U+{ord(found):04X}"
                yield Problem(kind="control character", line=f"{line}; take it out")


def _commands(character: str) -> bool:
    """Whether a character would command a terminal, or turn the direction of what follows."""
    kind = unicodedata.category(character)
    turns = unicodedata.bidirectional(character) in {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    return turns or (kind in {"Cc", "Cs"} and character not in "\t\n\r")


def _column_problems(columns: Sequence[str], rows: Sequence[tuple[int, list[str]]], called: str) -> list[Problem]:
    twice = [name for name, count in Counter(columns).items() if name and count > 1]
    places = [[str(place) for place, name in enumerate(columns, start=1) if name == again] for again in twice]
    problems = [
        Problem(
            kind="columns of one name",
            line=f"columns {' and '.join(same)} of the {called} have one name; rename one, or add the header",
        )
        for same in places
    ]
    # An empty column without a name is harmless, and often left by a spreadsheet.
    nameless = [place for place, name in enumerate(columns) if not name]
    if any(place < len(cells) and cells[place] for _, cells in rows for place in nameless):
        line = f"a {called} column without a name holds values; name it or delete it"
        problems.append(Problem(kind="column without a name", line=line))
    return problems


def _length_problems(columns: Sequence[str], rows: Sequence[tuple[int, list[str]]], called: str) -> list[Problem]:
    return [
        Problem(
            kind="row of another length than the header",
            line=f"{called} row {row} (line {row + 1}) has {len(cells)} cells, the header {len(columns)}; "
            "put quotes around a cell that holds the separator",
        )
        for row, cells in rows
        if len(cells) != len(columns)
    ]
