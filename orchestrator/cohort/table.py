"""Reads a manifest (CSV or Parquet) as text: rows of stripped cells, in which `007` stays `007`."""

import csv
import datetime
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TextIO

import pandas as pd
import pyarrow.parquet as pq

from mpi_model.errors import CohortError
from orchestrator.cohort.problems import Problem, lines_of


@dataclass(frozen=True, slots=True, kw_only=True)
class TextTable:
    """A table of text; a missing cell is the empty string."""

    columns: tuple[str, ...]
    """Names, stripped, in the file's order."""
    rows: tuple[tuple[int, Mapping[str, str]], ...]
    """1-based data row and its cells. Blank rows are counted, as in a spreadsheet, but left out."""


def read_table(path: Path, *, called: str = "manifest") -> TextTable:
    """Read a manifest, or another table, without interpreting its values.

    A CSV may be separated by commas, semicolons or tabs and may start with a byte-order mark. In a Parquet
    file an integer stored as float becomes its digits, and a date its ISO form.

    Args:
        path: A `.csv` or `.parquet` file.
        called: What messages call it.

    Returns:
        The table.

    Raises:
        CohortError: The file is missing, has another format, is not UTF-8, names a column twice or not at all, has rows
            of another length than the header, or has no rows.
    """
    if not path.is_file():
        raise CohortError(f"there is no {called} {path}; give the path of a .csv or .parquet file")
    readers = {".csv": _read_csv, ".parquet": _read_parquet}
    if path.suffix.lower() not in readers:
        raise CohortError(f"the {called} is a .csv or .parquet file, not {path.name}; save it as CSV")
    header, body = readers[path.suffix.lower()](path, called)
    return _checked_table(path, header, body, called)


def read_table_in_parts(path: Path, rows: int, *, called: str = "manifest") -> Iterator[TextTable]:
    """Read a table as `read_table` does, `rows` data rows at a time, however long it is.

    Raises:
        CohortError: As `read_table`, for the part where the problem is.
    """
    if not path.is_file():
        raise CohortError(f"there is no {called} {path}; give the path of a .csv or .parquet file")
    parts = {".csv": _csv_parts, ".parquet": _parquet_parts}.get(path.suffix.lower())
    if parts is None:
        raise CohortError(f"the {called} is a .csv or .parquet file, not {path.name}; save it as CSV")
    read, filled = 0, False
    for header, body in parts(path, rows, called):
        # A part of blank rows holds no exam; only a whole table of them is refused.
        if any(cell.strip() for cells in body for cell in cells):
            yield _checked_table(path, header, body, called, first=read + 1)
            filled = True
        read += len(body)
    if not filled:
        raise CohortError(f"the {called} {path.name} has no exams; it needs a header and one row an exam")


def _csv_parts(path: Path, rows: int, called: str) -> Iterator[tuple[list[str], list[list[str]]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            lines = csv.reader(stream, delimiter=_delimiter(stream), strict=True)
            header = next(lines, [])
            while body := list(islice(lines, rows)):
                yield header, body
    except UnicodeDecodeError as error:
        raise CohortError(f"the {called} {path.name} is not UTF-8 text; save it as 'CSV UTF-8'") from error
    except (OSError, csv.Error) as error:
        raise CohortError(f"the {called} {path.name} cannot be read as CSV; save it again") from error


def _delimiter(stream: TextIO) -> str:
    """The separator of the first line; the stream is at its beginning afterwards."""
    # Excel writes semicolons where the decimal separator is a comma.
    first_line = stream.readline()
    stream.seek(0)
    return max(",;\t", key=first_line.count)


def _parquet_parts(path: Path, rows: int, called: str) -> Iterator[tuple[list[str], list[list[str]]]]:
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=rows):
                yield _texts_of(batch.to_pandas())
    except Exception as error:  # pyarrow raises several trees of errors on a damaged file
        kind = type(error).__name__
        raise CohortError(f"the {called} {path.name} cannot be read as Parquet ({kind}); write it again") from error


def _texts_of(frame: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    columns = [[_as_text(value) for value in frame.iloc[:, place]] for place in range(frame.shape[1])]
    return [str(name) for name in frame.columns], [list(row) for row in zip(*columns, strict=True)]


def _read_csv(path: Path, called: str) -> tuple[list[str], list[list[str]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            lines = list(csv.reader(stream, delimiter=_delimiter(stream), strict=True))
    except UnicodeDecodeError as error:
        raise CohortError(f"the {called} {path.name} is not UTF-8 text; save it as 'CSV UTF-8'") from error
    except (OSError, csv.Error) as error:
        raise CohortError(f"the {called} {path.name} cannot be read as CSV; save it again") from error
    return (lines[0] if lines else []), lines[1:]


def _read_parquet(path: Path, called: str) -> tuple[list[str], list[list[str]]]:
    try:
        frame = pd.read_parquet(path)
    except Exception as error:  # pyarrow raises several trees of errors on a damaged file
        kind = type(error).__name__
        raise CohortError(f"the {called} {path.name} cannot be read as Parquet ({kind}); write it again") from error
    return _texts_of(frame)


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
    path: Path, header: Sequence[str], body: Sequence[Sequence[str]], called: str, first: int = 1
) -> TextTable:
    columns = [name.strip() for name in header]
    numbered = [(row, [cell.strip() for cell in cells]) for row, cells in enumerate(body, start=first)]
    # Spreadsheets often save blank rows below the data.
    filled = [(row, cells) for row, cells in numbered if any(cells)]
    if not columns or not filled:
        raise CohortError(f"the {called} {path.name} has no exams; it needs a header and one row an exam")
    problems = [*_column_problems(columns, filled, called), *_length_problems(columns, filled, called)]
    if problems:
        raise CohortError(*lines_of(problems))
    named = [place for place, name in enumerate(columns) if name]
    return TextTable(
        columns=tuple(columns[place] for place in named),
        rows=tuple((row, {columns[place]: cells[place] for place in named}) for row, cells in filled),
    )


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
            line=f"{called} row {row} has {len(cells)} cells, the header {len(columns)}; "
            "put quotes around a cell that holds the separator",
        )
        for row, cells in rows
        if len(cells) != len(columns)
    ]
