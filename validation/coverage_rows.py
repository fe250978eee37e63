"""What the simulation gate measured, kept as rows of a table: it runs in pieces, and its page is written from them."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from validation.measured import Measured

_NAMES = tuple(field.name for field in fields(Measured) if field.name != "accepted")
_COLUMNS = ("piece", *_NAMES, "low", "high", "seed", "date")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One measurement, with the seed of its simulations and the day on which they were made."""

    piece: str
    """What was run to make it: `python -m validation.coverage --only PIECE` makes it again."""
    measured: Measured
    seed: int
    date: str


def read_rows(path: Path) -> list[Row]:
    """The rows of a file; none where there is no file."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [_row_of(values) for values in csv.DictReader(file)]


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Replace the file by these rows."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, _COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(_values_of(row) for row in rows)


def merged(rows: Sequence[Row], new: Sequence[Row], order: Sequence[str]) -> list[Row]:
    """Rows of a piece that was run again take the place of the old ones; pieces in the order given, others left out."""
    again = {row.piece for row in new}
    kept = [*(row for row in rows if row.piece not in again and row.piece in order), *new]
    return sorted(kept, key=lambda row: order.index(row.piece))


def _values_of(row: Row) -> dict[str, object]:
    numbers = {
        name: f"{value:.5f}" if isinstance(value := getattr(row.measured, name), float) else value for name in _NAMES
    }
    low, high = row.measured.accepted
    return {"piece": row.piece, **numbers, "low": low, "high": high, "seed": row.seed, "date": row.date}


def _row_of(values: dict[str, str]) -> Row:
    measured = Measured(
        world=values["world"],
        setting=values["setting"],
        method=values["method"],
        quantity=values["quantity"],
        rate=float(values["rate"]),
        above=float(values["above"]),
        width=float(values["width"]),
        undefined=float(values["undefined"]),
        truth=float(values["truth"]),
        accepted=(float(values["low"]), float(values["high"])),
        control=values["control"] == "True",
        simulations=int(values["simulations"]),
    )
    return Row(piece=values["piece"], measured=measured, seed=int(values["seed"]), date=values["date"])
