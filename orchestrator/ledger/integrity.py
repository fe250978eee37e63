"""Nothing torn, foreign or changed is read as a result: what is not whole is set aside, said, and done again."""

import hashlib
from collections.abc import Iterator, Mapping

from orchestrator.ledger.markers import Marker, damages, marker_in
from orchestrator.ledger.parts import FilesOfCells, candidate_in, files_of_cells, forget_report, put_by, set_aside
from orchestrator.ledger.paths import CANDIDATE, COMMIT, TEST_PREDICTIONS, RunPaths
from orchestrator.storage.base import Blob, read_many

TEST_COMMIT = f"{TEST_PREDICTIONS}.json"


def mend(paths: RunPaths, experiment: str) -> list[str]:
    """Verify a run that is held for writing, down to the last byte of what is committed.

    Args:
        paths: The run directory.
        experiment: The experiment's hash.

    Returns:
        One line for everything that was set aside.
    """
    paths.storage.sweep()
    files = files_of_cells(paths)
    damaged = damaged_work(paths, files, COMMIT, experiment)
    tests = damaged_work(paths, {cell: files[cell] for cell in files if cell not in damaged}, TEST_COMMIT, experiment)
    if damaged or tests:
        forget_report(paths)
    said = [
        f"cell {cell} is done again: {why}; {_kept(set_aside(paths, cell, 'damaged'))}" for cell, why in damaged.items()
    ]
    said += [
        f"test predictions of {cell} are made again: {why}; {_test_aside(paths, cell)}" for cell, why in tests.items()
    ]
    return said + list(_candidates(paths, {cell: files[cell] for cell in files if cell not in damaged}, experiment))


def is_whole(paths: RunPaths, experiment: str) -> bool:
    """Whether everything committed is what was committed, down to the last byte; nothing is changed."""
    files = files_of_cells(paths)
    return not any(damaged_work(paths, files, marker, experiment) for marker in (COMMIT, TEST_COMMIT))


def _kept(name: str) -> str:
    return f"what was there is kept as {name}"


def _test_aside(paths: RunPaths, cell: str) -> str:
    """The marker is deleted first: without it, the part is nothing."""
    paths.in_cell(cell, TEST_COMMIT).unlink()
    blob = paths.in_cell(cell, f"{TEST_PREDICTIONS}.parquet")
    return _kept(put_by(paths, blob.name, "damaged")) if blob.exists() else "nothing was there"


def damaged_work(paths: RunPaths, files: FilesOfCells, commit: str, experiment: str) -> dict[str, str]:
    """What is wrong with committed work, by cell; cells without anything wrong are left out.

    Args:
        paths: The run directory.
        files: Sizes of the cells' files.
        commit: The name of the markers to verify.
        experiment: The experiment's hash.
    """
    cells = [cell for cell in files if commit in files[cell]]
    markers = dict(zip(cells, map(marker_in, read_many(paths.in_cell(cell, commit) for cell in cells)), strict=True))
    sizes = {f"{paths.cell(cell)}/{name}": size for cell in cells for name, size in files[cell].items()}
    sizes |= paths.storage.names("models")
    found = {cell: why for cell in cells if (why := _wrong(markers[cell], cell, experiment, sizes))}
    whole = {cell: marker for cell, marker in markers.items() if cell not in found and marker is not None}
    for cell, why in _changed(paths, whole):
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
    return next(damages(marker, sizes), "")


def _changed(paths: RunPaths, markers: Mapping[str, Marker]) -> Iterator[tuple[str, str]]:
    """The parts whose content is not what was committed; large ones are read one at a time."""
    parts = [(cell, name) for cell, marker in markers.items() for name in marker.parts]
    tables = [part for part in parts if part[1].endswith(".parquet")]
    models = [part for part in parts if not part[1].endswith(".parquet")]
    contents = read_many(Blob(paths.storage, name) for _, name in tables)
    for (cell, name), content in zip(tables, contents, strict=True):
        if not matches(markers[cell], name, content):
            yield cell, f"{name} is not what was committed"
    for cell, name in models:
        if not matches(markers[cell], name, paths.storage.read(name)):
            yield cell, f"{name} is not what was committed"


def matches(marker: Marker, name: str, content: bytes) -> bool:
    """Whether a part's content is what its marker says."""
    return hashlib.sha256(content).hexdigest() == marker.sha256(name)


def _candidates(paths: RunPaths, files: FilesOfCells, experiment: str) -> Iterator[str]:
    """Candidate files: swept where their cell is committed, set aside where they are not this cell's whole work."""
    found = [(cell, name) for cell in files for name in files[cell] if CANDIDATE.fullmatch(name)]
    under_way = [(cell, name) for cell, name in found if COMMIT not in files[cell]]
    contents = read_many(paths.in_cell(*candidate) for candidate in under_way)
    for (cell, name), content in zip(under_way, contents, strict=True):
        number = int(CANDIDATE.fullmatch(name)[1])  # type: ignore[index] # it matched above
        if candidate_in(content, cell, number, experiment) is None:
            kept = put_by(paths, paths.in_cell(cell, name).name, "damaged")
            yield f"a candidate of cell {cell} is done again: {name} is damaged or not its own; {_kept(kept)}"
    for cell, name in found:
        if COMMIT in files[cell]:
            paths.in_cell(cell, name).unlink()
