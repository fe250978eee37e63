"""Reads a manifest (CSV or Parquet) as text: rows of stripped cells, in which `007` stays `007`."""

import codecs
import csv
import datetime
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mpi_model.errors import CohortError
from mpi_model.regular_files import open_regular
from orchestrator.cohort.problems import lines_of
from orchestrator.cohort.table_problems import table_problems

MOST_BYTES: Final = 256 * 2**20
"""Of a table's file."""
_MOST_UNPACKED: Final = 4 * 2**30
_MOST_ROWS: Final = 5_000_000
_MOST_COLUMNS: Final = 1000
_MOST_CELLS: Final = 100_000_000
_MOST_HELD: Final = 2**30
"""Characters of all cells; a value that a Parquet file stores once may fill a million cells."""
_PART: Final = 1024
_TEXTS: Final = (pa.string(), pa.large_string(), pa.binary(), pa.large_binary())
_LONGEST_CELL: Final = 131_072
"""Characters; the limit of Python's csv module."""
_MOST_STREAMED: Final = 2**40
"""Bytes of a table that is read in parts."""

_Row = tuple[int, list[str]]
"""The number of a line in the file, and its cells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextTable:
    """A table of text; a missing cell is the empty string."""

    columns: tuple[str, ...]
    """Names, stripped, in the file's order."""
    rows: tuple[tuple[int, Mapping[str, str]], ...]
    """Row and cells; row 1 is line 2 of the file, below the header. Blank rows are counted, but left out."""


def read_table(path: Path, *, called: str = "manifest", most_rows: int = _MOST_ROWS) -> TextTable:
    """Read a manifest, or another table, without interpreting its values.

    A CSV may be separated by commas, semicolons or tabs; it is UTF-8 text, or UTF-16 with a byte-order mark. In a
    Parquet file an integer stored as float becomes its digits, and a date its ISO form.

    Args:
        path: A `.csv` or `.parquet` file.
        called: What messages call it.
        most_rows: More are refused before they are read.

    Returns:
        The table.

    Raises:
        CohortError: The file is missing, is no regular file, is too large, or has another format or encoding. Or it
            names a column twice or not at all, has rows of another length than the header, or has no rows.
    """
    readers = {".csv": _read_csv, ".parquet": _read_parquet}
    if path.suffix.lower() not in readers:
        raise CohortError(f"the {called} is a .csv or .parquet file, not {path.name[:80]}; save it as CSV")
    try:
        with open_regular(path, MOST_BYTES) as file:
            header, body = readers[path.suffix.lower()](file, f"{called} {path.name}", most_rows)
    except OSError as error:
        raise _unreadable(path, called, error) from error
    return _checked_table(path, header, body, called)


def read_table_in_parts(path: Path, rows: int, *, called: str = "manifest") -> Iterator[TextTable]:
    """Read a table as `read_table` does, `rows` data rows at a time, however long it is.

    Raises:
        CohortError: As `read_table`, for the part where the problem is.
    """
    parts = {".csv": _csv_parts, ".parquet": _parquet_parts}.get(path.suffix.lower())
    if parts is None:
        raise CohortError(f"the {called} is a .csv or .parquet file, not {path.name[:80]}; save it as CSV")
    filled = False
    try:
        with open_regular(path, _MOST_STREAMED) as file:
            for header, body in parts(file, rows, f"{called} {path.name}"):
                # A part of blank rows holds no exam; only a whole table of them is refused.
                if any(cell.strip() for _, cells in body for cell in cells):
                    yield _checked_table(path, header, body, called)
                    filled = True
    except OSError as error:
        raise _unreadable(path, called, error) from error
    if not filled:
        raise CohortError(f"the {called} {path.name} has no exams; it needs a header and one row an exam")


def _unreadable(path: Path, called: str, error: OSError) -> CohortError:
    return CohortError(
        f"there is no {called} {str(path)[:200]} that can be read ({error.strerror}); give the path of a .csv or "
        ".parquet file"
    )


def _csv_parts(file: BinaryIO, rows: int, named: str) -> Iterator[tuple[list[str], list[_Row]]]:
    """The header with some rows at a time, each with the number of its line."""
    # Excel writes UTF-16 where it is asked for "Unicode text", and semicolons where the decimal separator is a comma.
    begin = file.read(2)
    file.seek(0)
    encoding = "utf-16" if begin in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"
    line = 1
    header: list[str] = []
    body: list[_Row] = []
    try:
        with io.TextIOWrapper(file, encoding=encoding, newline="") as stream:
            first_line = stream.readline(_LONGEST_CELL * 8)
            stream.seek(0)
            reader = csv.reader(stream, delimiter=max(",;\t", key=first_line.count), strict=True)
            for cells in reader:
                if line == 1:
                    header = cells
                else:
                    body.append((line, cells))
                # A quoted cell may go on over several lines.
                line = reader.line_num + 1
                if len(header) > _MOST_COLUMNS:
                    raise CohortError(f"the {named} has more than {_MOST_COLUMNS} columns; divide it")
                if len(body) == rows:
                    yield header, body
                    body = []
    except UnicodeDecodeError as error:
        raise CohortError(
            f"line {_bad_line(error, line)} of the {named} is not UTF-8 text; save it as 'CSV UTF-8'"
        ) from error
    except csv.Error as error:
        why = "a quote is opened and never closed" if "unexpected end" in str(error) else str(error)
        raise CohortError(f"line {line} of the {named} cannot be read as CSV ({why}); correct it there") from error
    if body or header:
        yield header, body


def _bad_line(error: UnicodeDecodeError, reached: int) -> int:
    """The line of a byte that is no text: text is decoded a block at a time, rows are read behind it."""
    return reached + error.object.count(b"\n", 0, error.start) if reached == 1 else reached


def _parquet_parts(
    file: BinaryIO, rows: int, named: str, most_rows: int = _MOST_ROWS
) -> Iterator[tuple[list[str], list[_Row]]]:
    line = 2
    try:
        with pq.ParquetFile(file) as table:
            _check_declared(table.metadata, named, most_rows)
            texts = _texts_in(table.schema_arrow, named)
        # A value that the file holds once is held once here, too, however many rows it fills.
        with pq.ParquetFile(file, read_dictionary=texts) as table:
            for batch in table.iter_batches(batch_size=rows):
                _check_held(sum(map(_bytes_of, batch.columns)), named)
                header, body = _texts_of(batch, line)
                line += len(body)
                yield header, body
    except (CohortError, MemoryError):
        raise
    except Exception as error:  # pyarrow raises several trees of errors on a damaged file
        raise _no_parquet(named, error) from error


def _check_declared(declared: pq.FileMetaData, named: str, most_rows: int) -> None:
    """Refuse by the header, before any of it is unpacked: a small file can declare a huge table."""
    rows, columns = declared.num_rows, declared.num_columns
    unpacked = sum(declared.row_group(group).total_byte_size for group in range(declared.num_row_groups))
    if rows > most_rows or columns > _MOST_COLUMNS or rows * columns > _MOST_CELLS or unpacked > _MOST_UNPACKED:
        raise CohortError(
            f"the {named} has {rows} rows and {columns} columns, too many to read ({most_rows} rows at most); divide it"
        )


def _texts_in(schema: pa.Schema, named: str) -> list[str]:
    """The columns of text, unless one holds what may unpack to any size: values in values, or very long ones."""
    for place, column in enumerate(schema, start=1):
        is_long = pa.types.is_fixed_size_binary(column.type) and column.type.byte_width > _LONGEST_CELL
        if pa.types.is_nested(column.type) or is_long:
            raise CohortError(f"column {place} of the {named} holds lists or blocks; write one plain value a cell")
    return [column.name for column in schema if column.type in _TEXTS]


def _bytes_of(column: pa.Array) -> int:
    """Bytes of a column's texts, each counted as often as it stands there."""
    if not pa.types.is_dictionary(column.type) or column.type.value_type not in _TEXTS:
        return 0
    lengths = pc.binary_length(column.dictionary).cast(pa.int64())
    return int(pc.sum(lengths.take(column.indices)).as_py() or 0)


def _check_held(held: int, named: str) -> None:
    if held > _MOST_HELD:
        raise CohortError(f"the {named} holds more than {_MOST_HELD} characters, too many to read; divide it")


def _no_parquet(named: str, error: Exception) -> CohortError:
    return CohortError(f"the {named} cannot be read as Parquet ({type(error).__name__}); write it again")


def _texts_of(batch: pa.RecordBatch, line: int) -> tuple[list[str], list[_Row]]:
    """Names and rows; as in a spreadsheet, the names of the columns are line 1."""
    # What pandas wrote about its index is ignored: an index may hold the patients. One without a name holds nothing.
    frame = batch.to_pandas(ignore_metadata=True, integer_object_nulls=True)
    places = [place for place, name in enumerate(frame.columns) if not str(name).startswith("__index_level_")]
    columns = [[_as_text(value) for value in frame.iloc[:, place]] for place in places]
    rows = map(list, zip(*columns, strict=True))
    return [str(frame.columns[place]) for place in places], list(enumerate(rows, start=line))


def _read_csv(file: BinaryIO, named: str, most_rows: int) -> tuple[list[str], list[_Row]]:
    # One part more than is allowed would be too many rows.
    parts = list(islice(_csv_parts(file, most_rows, named), 2))
    if len(parts) > 1 and parts[1][1]:
        raise CohortError(f"the {named} has more than {most_rows} rows; divide it")
    return parts[0] if parts else ([], [])


def _read_parquet(file: BinaryIO, named: str, most_rows: int) -> tuple[list[str], list[_Row]]:
    names: list[str] = []
    body: list[_Row] = []
    held = 0
    for header, rows in _parquet_parts(file, _PART, named, most_rows):
        names = header
        body += rows
        held += sum(len(cell) for _, cells in rows for cell in cells)
        _check_held(held, named)
    return names, body


def _as_text(value: object) -> str:
    # Kinds of missing value, by the type of the column; NaN is a float and comes below.
    if value is None or value is pd.NA or value is pd.NaT:
        return ""
    if isinstance(value, float):  # pandas stores an integer column with a missing cell as float
        return "" if value != value else str(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, bytes):  # what older programs write for text
        return value.decode("utf-8")
    if isinstance(value, datetime.datetime):
        midnight = value.time() == datetime.time()
        return value.date().isoformat() if midnight else value.isoformat()
    return str(value)


def _checked_table(path: Path, header: Sequence[str], body: Sequence[_Row], called: str) -> TextTable:
    if any("\0" in name for name in header):
        # UTF-16 or UTF-32 without its mark, or no text at all.
        raise CohortError(f"line 1 of the {called} {path.name} is not UTF-8 text; save it as 'CSV UTF-8'")
    columns = [name.strip() for name in header]
    # A row is a line below the header, so that row 3 is line 4 whatever stands between.
    numbered = [(line - 1, [cell.strip() for cell in cells]) for line, cells in body]
    # Spreadsheets often save blank rows below the data.
    filled = [(row, cells) for row, cells in numbered if any(cells)]
    if not columns or not filled:
        raise CohortError(f"the {called} {path.name} has no exams; it needs a header and one row an exam")
    problems = lines_of(table_problems(columns, filled, called))
    if problems:
        raise CohortError(*problems)
    named = [place for place, name in enumerate(columns) if name]
    return TextTable(
        columns=tuple(columns[place] for place in named),
        rows=tuple((row, {columns[place]: cells[place] for place in named}) for row, cells in filled),
    )
