"""Tables of predictions made elsewhere: read as a manifest is, with the same spellings."""

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mpi_model.errors import CohortError, ExperimentError, StatisticsError
from mpi_model.vocabulary import INPUTS
from orchestrator.cohort.identifiers import canonical
from orchestrator.cohort.spellings import sex_of, tracer_of
from orchestrator.cohort.table import read_table

KNOWN: Final = frozenset(
    {
        *("patient_id", "exam_id", "tracer", "inputs", "model", "partition", "repeat", "fold", "member"),
        *("label", "score", "probability", "threshold", "positive", "sex"),
    }
)
"""Columns whose names are recognised whatever their capitals."""
MOST_PREDICTIONS: Final = 1_000_000
"""Of a table: reading takes half a minute and two gigabytes for so many."""
_NUMBERS: Final = frozenset({"label", "score", "probability", "threshold", "positive"})
"""Columns that hold a number a row."""
_FILE_ROW: Final = "row of the file"
"""The name of an index that holds row numbers; blank rows are left out, and counted."""
_MOST_BITS: Final = 4096
_DECIMAL_COMMA: Final = r"^([+-]?\d+),(\d+(?:[eE][+-]?\d+)?)$"
_MAY_BE_THOUSANDS: Final = r"[^,]*|[+-]?[1-9]\d{0,2}(?:,\d{3})+"
_THOUSANDS_BY_POINT: Final = r"[+-]?[1-9]\d{0,2}(?:\.\d{3})+"


def read_predictions(path: Path) -> pd.DataFrame:
    """A table of predictions from a CSV or Parquet file, read as a manifest is; ids stay text.

    Raises:
        ExperimentError: The file cannot be read.
    """
    try:
        table = read_table(path, called="table of predictions", most_rows=MOST_PREDICTIONS)
    except CohortError as error:
        raise ExperimentError(*error.problems) from error
    frame = pd.DataFrame({name: [cells[name] for _, cells in table.rows] for name in table.columns}, dtype="str")
    frame.index = pd.Index([row for row, _ in table.rows], name=_FILE_ROW)
    decimals = [name for name in frame.columns if name.casefold() in _NUMBERS - {"label", "positive"}]
    # A spreadsheet of a country with decimal commas writes them in every number; beside points they part thousands.
    # Where every comma may part thousands, as in 1,234 beside 950, it stays, and the cell is refused.
    points = any(frame[name].str.contains(".", regex=False).any() for name in decimals)
    if not points and not all(frame[name].str.fullmatch(_MAY_BE_THOUSANDS).all() for name in decimals):
        for name in decimals:
            frame[name] = frame[name].str.replace(_DECIMAL_COMMA, r"\1.\2", regex=True)
    for name in decimals:
        _refuse_points_for_thousands(frame[name], name)
    for name in frame.columns:
        if name.casefold() in ("repeat", "fold", "member"):
            numbers = pd.to_numeric(frame[name], errors="coerce")
            frame[name] = numbers if numbers.notna().equals(frame[name] != "") else frame[name]
    return frame.replace("", pd.NA)


def _refuse_points_for_thousands(column: "pd.Series[str]", name: str) -> None:
    """1.234 beside 950: every point may part thousands, so that the number could be 1234 as well."""
    pointed = column.str.contains(".", regex=False)
    whole = column.str.fullmatch(r"[+-]?\d+")
    if pointed.any() and whole.any() and column[pointed].str.fullmatch(_THOUSANDS_BY_POINT).all():
        raise ExperimentError(
            f"`{name}` holds {column[pointed].iloc[0]} beside {column[whole].iloc[0]}: a point may be decimal or "
            "part thousands; write every number with decimals, or none with points"
        )


def with_known_names(frame: pd.DataFrame, subgroups: Sequence[str] = ()) -> pd.DataFrame:
    """`Label` is `label` unless there are both, ids are compared after NFKC, tracers and sex in one spelling each.

    Args:
        frame: As somebody made it; levels of its index that have a known name are columns, too.
        subgroups: Further columns that are read.

    Returns:
        The frame; its index is the row number a person sees, from 1.

    Raises:
        StatisticsError: Columns have several levels, or a cell that is read holds more than one value.
    """
    if frame.columns.nlevels > 1:
        raise StatisticsError("the columns have names of several levels; give each one name, such as `label`")
    levels = [name for name in frame.index.names if isinstance(name, str) and name.strip().casefold() in KNOWN]
    known = frame.reset_index(level=[name for name in levels if name not in frame])
    rows = known.index
    if rows.name != _FILE_ROW or rows.has_duplicates or not pd.api.types.is_integer_dtype(rows.dtype):
        known.index = pd.RangeIndex(1, len(known) + 1)
    lower = [str(name).strip().casefold() for name in known.columns]
    names = {
        name: folded
        for name, folded in zip(known.columns, lower, strict=True)
        if folded in KNOWN and lower.count(folded) == 1
    }
    alike = {name for name in lower if name in KNOWN and lower.count(name) > 1} - set(map(str, known.columns))
    if alike:
        name = min(alike)
        raise StatisticsError(f"{lower.count(name)} columns are called `{name}` in other capitals; rename all but one")
    known = known.rename(columns=names)
    if known.columns.duplicated().any():
        return known
    for name in (name for name in known.columns if name in KNOWN or name in subgroups):
        if isinstance(known[name].dtype, pd.CategoricalDtype | pd.SparseDtype):
            known[name] = known[name].astype(object)
        wrong = _not_plain(known[name])
        if wrong.any():
            row = known.index[wrong][0]
            raise StatisticsError(
                f"`{name}` must hold one plain value a cell, no list and no control character: row {row} "
                f"(line {row + 1}) and {wrong.sum() - 1} more"
            )
    for name in ("repeat", "fold", "member"):
        if name in known and known[name].dtype == object:
            known[name] = _one_kind(known[name])
    for name, change in _CHANGES.items():
        if name in known:
            # Each spelling once: a cross-validation repeats its ids.
            spellings = {value: change(str(value).strip()) for value in known[name].dropna().unique()}
            known[name] = known[name].map(spellings)
    return known


def _not_plain(column: "pd.Series[Any]") -> NDArray[np.bool_]:
    """`[N]`, where a cell is a list, an array, bytes, or a text that commands a terminal."""
    if column.dtype == object:
        return ~column.map(_is_one_value).to_numpy(np.bool_)
    if pd.api.types.is_string_dtype(column.dtype):
        return column.isin([text for text in column.dropna().unique() if not _is_one_value(text)]).to_numpy(np.bool_)
    return np.zeros(len(column), dtype=np.bool_)


def _one_kind(column: "pd.Series[Any]") -> "pd.Series[Any]":
    """Numbers where every cell is one, otherwise texts: the fold 0 and the fold `0` are one, and all can be sorted."""
    texts = column.map(str, na_action="ignore")
    numbers = pd.to_numeric(texts, errors="coerce")
    return numbers if numbers.notna().equals(texts.notna()) else texts


def _is_one_value(cell: object) -> bool:
    if isinstance(cell, str):
        return cell.isprintable() or not any(unicodedata.category(letter) in ("Cc", "Cs") for letter in cell.strip())
    # Python writes out no whole number of that size, and pandas cannot compare a signalling NaN.
    if (isinstance(cell, int) and cell.bit_length() > _MOST_BITS) or (isinstance(cell, Decimal) and cell.is_snan()):
        return False
    return bool(pd.api.types.is_scalar(cell)) and not isinstance(cell, bytes)


def numbers_of(column: "pd.Series[Any]") -> NDArray[np.float64]:
    """`[rows]`, the cells as numbers, NaN where they are none: dates, intervals and complex numbers are none."""
    kind = column.dtype
    if pd.api.types.is_object_dtype(kind) or pd.api.types.is_string_dtype(kind):
        # A truth value is 0 or 1; a number of more digits than float64 has becomes infinite by way of its text.
        plain = column.map(lambda cell: int(cell) if isinstance(cell, bool | np.bool_) else cell)
        column = pd.to_numeric(plain.where(plain.notna(), "").astype(str), errors="coerce")
    elif not pd.api.types.is_numeric_dtype(kind) or pd.api.types.is_complex_dtype(kind):
        return np.full(len(column), np.nan)
    return column.to_numpy(np.float64, na_value=np.nan)


def _inputs_of(text: str) -> str:
    """`stress`, `rest` and `dual` whatever their capitals; another name as it is."""
    return text.casefold() if text.casefold() in INPUTS else text


_CHANGES: Final[Mapping[str, Callable[[str], str]]] = {
    "patient_id": canonical,
    "exam_id": canonical,
    "sex": sex_of,
    "tracer": lambda text: tracer_of(text) or text,
    "inputs": _inputs_of,
    "partition": str.casefold,
    "positive": lambda text: {"true": "1", "false": "0"}.get(text.casefold(), text),
}
