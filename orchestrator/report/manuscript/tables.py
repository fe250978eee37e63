"""Characteristics as tables whose cells know their numbers, and those numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from orchestrator.report.layout import Table
from orchestrator.report.manuscript.characteristics import Characteristic, CharacteristicsTable, GroupValue
from orchestrator.report.traced import Phrase, Traced

_COLUMNS = ("table", "characteristic", "level", "group", "count", "share", "mean", "sd", "difference")
_LARGE = 0.1
"""The difference from which groups are usually called unbalanced (Austin 2009, doi:10.1002/sim.3697)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TracedTables:
    """Tables, and what their cells name as their source."""

    tables: tuple[Table, ...]
    numbers: pd.DataFrame
    """One row a number or pair of numbers: table, characteristic, level, group, then the numbers."""


def traced_tables(found: Sequence[CharacteristicsTable], key: str) -> TracedTables:
    """Tables of characteristics.

    Args:
        found: The tables, in order.
        key: Of the numbers in `summary.json`.
    """
    rows: list[tuple[object, ...]] = []
    tables = tuple(_table(one, key, rows) for one in found)
    frame = pd.DataFrame(rows, columns=list(_COLUMNS)).astype({"count": "Int64"})
    return TracedTables(tables=tables, numbers=frame)


def _table(found: CharacteristicsTable, key: str, rows: list[tuple[object, ...]]) -> Table:
    both = len(found.groups) == 2
    heads = ("", *found.groups, *(("standardised difference",) if both else ()))
    body = []
    for row in found.rows:
        cells: list[Phrase] = [f"{row.name}: {row.level}" if row.level else row.name]
        for group, cell in zip(found.groups, row.cells, strict=True):
            cells.append(_counted(found.title, row, group, cell, key, rows))
        if both:
            cells.append(_difference(found.title, row, key, rows))
        body.append(tuple(cells))
    large = f" A standardised difference beyond ±{_LARGE:g} is usually called an imbalance." if both else ""
    return Table(title=found.title, columns=heads, rows=tuple(body), note=" ".join(found.notes) + large)


def _counted(
    title: str, row: Characteristic, group: str, cell: GroupValue, key: str, rows: list[tuple[object, ...]]
) -> Phrase:
    names = [name for name in ("count", "share", "mean", "sd") if getattr(cell, name) is not None]
    if not names:
        return str(cell)
    rows.append((title, row.name, row.level, group, cell.count, cell.share, cell.mean, cell.sd, None))
    return Traced(str(cell), f"summary.json#/{key}/{len(rows) - 1} {' '.join(names)}")


def _difference(title: str, row: Characteristic, key: str, rows: list[tuple[object, ...]]) -> Phrase:
    if row.difference is None:
        return ""
    rows.append((title, row.name, row.level, "", None, None, None, None, row.difference))
    return Traced(f"{row.difference:.3f}", f"summary.json#/{key}/{len(rows) - 1} difference")
