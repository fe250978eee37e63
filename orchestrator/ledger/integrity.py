"""Verifies checksums of committed work; what is damaged, or not this run's, goes into quarantine and is done again."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count

import pyarrow as pa

from mpi_model.errors import RunDirectoryError
from orchestrator.cells.records import CellKey
from orchestrator.ledger.files import table_from
from orchestrator.ledger.parts import Delivery, Marker, rename_unique
from orchestrator.ledger.paths import CellPart
from orchestrator.ledger.schemas import RESULTS
from orchestrator.ledger.state import RunState
from orchestrator.storage.base import read_many


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """What is wrong with a run's finished work."""

    cells: Mapping[str, str]
    """Why a committed cell cannot be trusted, by its name."""
    tests: Mapping[str, str]
    """Why the test predictions of a cell cannot, where the cell itself can."""
    candidates: tuple[tuple[str, int], ...]
    """Cell and number of every file of candidates that is damaged or not its own, or that comes after one."""

    @property
    def is_of_results(self) -> bool:
        """Whether anything committed is damaged, and so tables and report may be."""
        return bool(self.cells or self.tests)


def find_damage(state: RunState, experiment: str) -> Damage:
    """Verify finished work down to the last byte; nothing is changed.

    Args:
        state: The run, just read.
        experiment: The experiment's hash.
    """
    # Test predictions of a damaged cell go with it, so only those of whole cells are verified.
    cells = _damaged(state, state.cells, experiment)
    whole = {cell: marker for cell, marker in state.tests.items() if cell not in cells}
    return Damage(
        cells=cells,
        tests=_damaged(state, whole, experiment),
        candidates=tuple(
            (cell, number)
            for cell, files in state.candidates.items()
            for number in sorted(files)
            if number >= _first_that_fails(files, experiment)
        ),
    )


def _first_that_fails(files: Mapping[int, Delivery | None], experiment: str) -> int:
    """The first number of a cell's files that is missing, damaged, or of another experiment.

    What was written after it goes with it: a race's later records stand on its earlier ones.
    """
    # A file of another experiment may have the right name: folders are copied by hand.
    return next(n for n in count() if (found := files.get(n)) is None or found.experiment != experiment)


def quarantine_damaged(state: RunState, damage: Damage) -> list[str]:
    """Move damaged work out of the ledger, and delete what a killed driver left half written.

    Args:
        state: The run, held for writing.
        damage: What `find_damage` has found in it.

    Returns:
        One line for everything that was moved.
    """
    # Half-written temporary files of a driver that was killed; nobody reads them.
    state.paths.storage.sweep()
    if damage.is_of_results:
        state.forget_report()
    lines = [
        f"cell {cell} is done again: {why}; {_kept(state.quarantine(cell, 'damaged'))}"
        for cell, why in damage.cells.items()
    ]
    lines += [
        f"test predictions of {cell} are made again: {why}; "
        f"{_quarantine_part(state, state.tests, cell, CellPart.TEST_PREDICTIONS)}"
        for cell, why in damage.tests.items()
    ]
    for cell, number in damage.candidates:
        blob = state.paths.candidates(cell, number)
        kept = _kept(rename_unique(state.paths, blob.name, "damaged"))
        del state.candidates[cell][number]
        why = "is damaged or not its own, or comes after one that is"
        lines.append(f"candidates of cell {cell} are trained again: {blob.name.rpartition('/')[2]} {why}; {kept}")
    # Their cells are committed: nobody will read these files again.
    state.paths.storage.delete(*(name for name in state.leftovers if name.split("/")[1] not in damage.cells))
    return lines


def quarantine_attributions(state: RunState, made_from: str) -> list[str]:
    """Move attributions out of the ledger that are damaged, or not made from this.

    Args:
        state: The run, held for writing.
        made_from: What their markers should name.

    Returns:
        One line for everything that was moved.
    """
    part, markers = CellPart.ATTRIBUTIONS, state.explained
    return [
        f"cell {cell} is explained again: {why}; {_quarantine_part(state, markers, cell, part)}"
        for cell, why in _damaged(state, markers, made_from).items()
    ]


def _kept(name: str) -> str:
    return f"what was there is kept as {name}"


def _quarantine_part(state: RunState, markers: dict[str, Marker | None], cell: str, part: CellPart) -> str:
    """The marker is deleted first: without it, the part is nothing."""
    paths = state.paths
    paths.in_cell(cell, part.marker).unlink()
    del markers[cell]
    blob = paths.in_cell(cell, part.file)
    return _kept(rename_unique(paths, blob.name, "damaged")) if blob.exists() else "nothing was there"


def _damaged(state: RunState, markers: Mapping[str, Marker | None], experiment: str) -> dict[str, str]:
    # First what costs nothing: most damage is a missing file or another size.
    found = {cell: why for cell, marker in markers.items() if (why := _wrong(marker, cell, experiment, state.sizes))}
    whole = {cell: marker for cell, marker in markers.items() if cell not in found and marker is not None}
    for cell, why in _changed(state, whole):
        found.setdefault(cell, why)
    return found


def _wrong(marker: Marker | None, cell: str, experiment: str, sizes: Mapping[str, int]) -> str:
    """What a marker and the sizes alone tell."""
    if marker is None:
        return "its commit marker is damaged"
    if marker.experiment != experiment:
        return "it is of another experiment"
    if marker.cell != cell:
        return f"it is a copy of cell {marker.cell}"
    return next(_missing_or_resized(marker, sizes), "")


def _changed(state: RunState, markers: Mapping[str, Marker]) -> Iterator[tuple[str, str]]:
    """The parts whose content is not what was committed."""
    parts = [(cell, name) for cell, marker in markers.items() for name in marker.parts]
    tables = [part for part in parts if part[1].endswith(".parquet")]
    models = [part for part in parts if not part[1].endswith(".parquet")]
    # Models are large and read one at a time; tables are small and many, and are read side by side.
    contents = read_many(state.paths.blob(name) for _, name in tables)
    for (cell, name), content in zip(tables, contents, strict=True):
        if not matches(markers[cell], name, content):
            yield cell, f"{name} is not what was committed"
    for cell, name in models:
        if not matches(markers[cell], name, state.paths.blob(name).read_bytes()):
            yield cell, f"{name} is not what was committed"


def read_results(state: RunState, key: CellKey) -> dict[str, pa.Table]:
    """A committed cell's rows of every table.

    Raises:
        RunDirectoryError: They are not what was committed.
    """
    blob, marker = state.paths.in_cell(key.name, CellPart.RESULTS.file), state.cells.get(key.name)
    content = blob.read_bytes() if blob.exists() else b""
    rows = rows_in(content) if marker is not None and matches(marker, blob.name, content) else None
    if rows is None:
        raise RunDirectoryError(f"{blob} is not what was committed; `polarmap run` does its cell again")
    return rows


def rows_in(content: bytes) -> dict[str, pa.Table] | None:
    """The rows of every table in the file of a committed cell; None where it is damaged."""
    nested = table_from(content)
    if nested is None or nested.schema.names != RESULTS.names:
        return None
    return {name: pa.Table.from_struct_array(nested[name].combine_chunks().flatten()) for name in RESULTS.names}


def matches(marker: Marker, name: str, content: bytes) -> bool:
    """Whether a part's content is what its marker says."""
    return hashlib.sha256(content).hexdigest() == marker.sha256(name)


def _missing_or_resized(marker: Marker, sizes: Mapping[str, int]) -> Iterator[str]:
    """The parts that are missing or of another size than committed."""
    for name, seal in marker.parts.items():
        if name not in sizes:
            yield f"{name} is missing"
        elif sizes[name] != seal["bytes"]:
            yield f"{name} has {sizes[name]} bytes instead of {seal['bytes']}"
