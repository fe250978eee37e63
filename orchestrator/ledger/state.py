"""What a run's ledger holds: read once when a call begins, then kept current by the driver's own writing."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count

from mpi_model.errors import RunDirectoryError
from orchestrator.cells.records import Attribution, CandidateResult, CellKey, CellResult, Prediction
from orchestrator.ledger.parts import (
    Marker,
    StoredCandidate,
    candidate_in,
    marker_in,
    rename_unique,
    write_attributions,
    write_candidate,
    write_cell,
    write_test_predictions,
)
from orchestrator.ledger.paths import ATTRIBUTIONS_COMMIT, CANDIDATE, COMMIT, TEST_COMMIT, RunPaths
from orchestrator.ledger.schemas import TABLES
from orchestrator.storage.base import read_many


@dataclass(slots=True, kw_only=True)
class RunState:
    """The committed cells and the candidates of a run; whoever holds the run directory writes through it.

    It is read anew by every call: between two calls anybody may have touched the files.
    """

    paths: RunPaths
    sizes: Mapping[str, int]
    """Bytes of every file of the run directory, by its name, when the state was read."""
    cells: dict[str, Marker | None]
    """The markers of committed cells, by the cells' names; None for a damaged one."""
    tests: dict[str, Marker | None]
    """The markers of test predictions, likewise."""
    explained: dict[str, Marker | None]
    """The markers of attributions, likewise."""
    candidates: dict[str, dict[int, StoredCandidate | None]]
    """The candidates of cells under way, by cell and number; None for a damaged one."""
    leftovers: tuple[str, ...] = ()
    """Candidate files of committed cells: a driver was killed between the marker and the last deletion."""
    is_reported: bool = field(default=False)
    """Whether tables and report are there, and so current: the summary is written last and deleted first."""

    @classmethod
    def read(cls, paths: RunPaths) -> "RunState":
        """List the run directory once, and read each marker and each candidate under way once."""
        # Everything at once: on object storage a listing is a request a thousand names, whatever the folder.
        sizes = paths.storage.names("")
        files = _files_of_cells(sizes)
        under_way = [
            (cell, int(found[1]), paths.in_cell(cell, name).name)
            for cell, names in files.items()
            for name in names
            if (found := CANDIDATE.fullmatch(name))
        ]
        left = tuple(name for cell, _, name in under_way if COMMIT in files[cell])
        return cls(
            paths=paths,
            sizes=sizes,
            cells=_markers(paths, files, COMMIT),
            tests=_markers(paths, files, TEST_COMMIT),
            explained=_markers(paths, files, ATTRIBUTIONS_COMMIT),
            candidates=_candidates(paths, [found for found in under_way if COMMIT not in files[found[0]]]),
            leftovers=left,
            is_reported=all(blob.name in sizes for blob in (paths.summary, *map(paths.table, TABLES))),
        )

    def state_of(self, key: CellKey) -> str | None:
        """`complete` or `failed` for a committed cell, None for one still to do."""
        marker = self.cells.get(key.name)
        return None if marker is None else marker.state

    def finished(self, key: CellKey) -> tuple[CandidateResult, ...]:
        """The finished candidates of a cell under way, in order, up to the first that is missing.

        Raises:
            RunDirectoryError: One is damaged.
        """
        known, results = self.candidates.get(key.name, {}), []
        # A study is replayed in its order, so a candidate after a gap is of no use.
        for number in range(next(number for number in count() if number not in known)):
            stored = known[number]
            if stored is None:
                blob = self.paths.candidate(key, number)
                raise RunDirectoryError(
                    f"{blob} is damaged; `polarmap run` puts it into quarantine and trains it again"
                )
            results.append(stored.result)
        return tuple(results)

    def is_test_open(self, keys: Iterable[CellKey]) -> bool:
        """Whether every final network has predicted the test exams already."""
        return all(self.tests.get(key.name) is not None for key in keys if key.partition == "test")

    def keep_candidate(self, key: CellKey, result: CandidateResult, experiment: str) -> None:
        """Write a finished candidate of a cell under way."""
        write_candidate(self.paths, key, result, experiment)
        self.candidates.setdefault(key.name, {})[result.number] = StoredCandidate(result, experiment)

    def commit(self, result: CellResult, attempt: int, experiment: str) -> None:
        """Write a finished cell, complete or failed."""
        # Written before the memory is changed: an error leaves both as they were.
        candidates = self.finished(result.key)
        # A part that vanished on its way would make rows disappear without a word.
        if result.searched is not None and len(candidates) != result.searched:
            raise RunDirectoryError(
                f"cell {result.key.name} handed over {result.searched} candidates, but {len(candidates)} are kept; "
                "it is not committed: run the same command again"
            )
        marker = write_cell(self.paths, result, candidates, attempt, experiment)
        self.cells[result.key.name] = marker
        self.candidates.pop(result.key.name, None)

    def commit_test(self, key: CellKey, predictions: list[Prediction], experiment: str) -> None:
        """Write a final cell's predictions of the test exams."""
        self.tests[key.name] = write_test_predictions(self.paths, key, predictions, experiment)

    def commit_attributions(self, key: CellKey, attributions: Sequence[Attribution], made_from: str) -> None:
        """Write where the scores of a cell's exams come from.

        Args:
            key: The cell.
            attributions: Of its exams.
            made_from: The hash of the experiment and of how its networks were explained.
        """
        self.explained[key.name] = write_attributions(self.paths, key, attributions, made_from)

    def forget_report(self) -> None:
        """Mark tables and report as out of date, before anything changes that they were made from."""
        # One deletion is enough: the summary is what says that all the others are current.
        self.paths.summary.unlink()
        self.is_reported = False

    def quarantine(self, cell: str, why: str) -> str:
        """Move a cell's folder out of the ledger, to do the cell again; nothing is deleted.

        Args:
            cell: The cell's name.
            why: `failed` or `damaged`.

        Returns:
            The folder's new name.
        """
        self.forget_report()
        for known in (self.cells, self.tests, self.explained, self.candidates):
            known.pop(cell, None)
        return rename_unique(self.paths, self.paths.cell(cell), why)


def _files_of_cells(sizes: Mapping[str, int]) -> dict[str, list[str]]:
    """The names of the files of every cell; folders in quarantine, which have a dot in their name, are left out."""
    cells: dict[str, list[str]] = {}
    for name in sizes:
        match name.split("/"):
            case ["cells", cell, file] if "." not in cell:
                cells.setdefault(cell, []).append(file)
    return cells


def _markers(paths: RunPaths, files: Mapping[str, Sequence[str]], name: str) -> dict[str, Marker | None]:
    cells = [cell for cell in files if name in files[cell]]
    contents = read_many(paths.in_cell(cell, name) for cell in cells)
    return dict(zip(cells, map(marker_in, contents), strict=True))


def _candidates(paths: RunPaths, found: Sequence[tuple[str, int, str]]) -> dict[str, dict[int, StoredCandidate | None]]:
    contents = read_many(paths.blob(name) for _, _, name in found)
    candidates: dict[str, dict[int, StoredCandidate | None]] = {}
    for (cell, number, _), content in zip(found, contents, strict=True):
        candidates.setdefault(cell, {})[number] = candidate_in(content, cell, number)
    return candidates
