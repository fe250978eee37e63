"""What a run's ledger holds: read once when a call begins, then kept current by the driver's own writing."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count, takewhile
from typing import Final

from mpi_model.errors import RunDirectoryError
from orchestrator.cells.records import Attribution, CandidateResult, CellKey, CellResult, Prediction
from orchestrator.ledger.parts import (
    Delivery,
    Marker,
    delivery_in,
    marker_in,
    rename_unique,
    write_attributions,
    write_cell,
    write_delivery,
    write_test_predictions,
)
from orchestrator.ledger.paths import CellPart, RunPaths
from orchestrator.ledger.schemas import TABLES
from orchestrator.storage.base import read_many

_SHARE: Final = 0.25
"""Of a cell's training, as much as may wait to be written: with twenty candidates nine files at most."""


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
    candidates: dict[str, dict[int, Delivery | None]]
    """What cells under way have finished, by cell and the number of its file; None for a damaged one."""
    waiting: dict[str, list[CandidateResult]] = field(default_factory=dict)
    """What they have finished and nothing holds yet but this memory."""
    leftovers: tuple[str, ...] = ()
    """Files of candidates of committed cells: a driver was killed between the marker and the last deletion."""
    is_reported: bool = field(default=False)
    """Whether tables and report are there, and so current: the summary is written last and deleted first."""

    @classmethod
    def read(cls, paths: RunPaths) -> "RunState":
        """List the run directory once, and read each marker and each candidate under way once."""
        # Everything at once: on object storage a listing is a request a thousand names, whatever the folder.
        sizes = paths.storage.names("")
        files = _files_of_cells(sizes)
        under_way = [
            (cell, number, paths.in_cell(cell, name).name)
            for cell, names in files.items()
            for name in names
            if (number := paths.candidates_number(name)) is not None
        ]
        committed = {cell for cell, names in files.items() if CellPart.RESULTS.marker in names}
        left = tuple(name for cell, _, name in under_way if cell in committed)
        return cls(
            paths=paths,
            sizes=sizes,
            cells=_markers(paths, files, CellPart.RESULTS),
            tests=_markers(paths, files, CellPart.TEST_PREDICTIONS),
            explained=_markers(paths, files, CellPart.ATTRIBUTIONS),
            candidates=_deliveries(paths, [found for found in under_way if found[0] not in committed]),
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
        files, found = self.candidates.get(key.name, {}), dict[int, CandidateResult]()
        # In the order of their writing: in a race a candidate's later record takes the earlier one's place.
        for number in takewhile(files.__contains__, count()):
            delivery = files[number]
            if delivery is None:
                blob = self.paths.candidates(key.name, number)
                raise RunDirectoryError(
                    f"{blob} is damaged; `polarmap run` puts it into quarantine and trains its candidates again"
                )
            found |= {one.number: one for one in delivery.candidates}
        found |= {one.number: one for one in self.waiting.get(key.name, ())}
        # A study is replayed in its order, so a candidate after a gap is of no use.
        return tuple(found[number] for number in takewhile(found.__contains__, count()))

    def is_test_open(self, keys: Iterable[CellKey]) -> bool:
        """Whether every final network has predicted the test exams already."""
        return all(self.tests.get(key.name) is not None for key in keys if key.partition == "test")

    def keep_candidate(self, key: CellKey, result: CandidateResult, experiment: str) -> None:
        """Keep a finished candidate of a cell under way: at once, or, where a file is a request, some together."""
        waiting, most = self.waiting.setdefault(key.name, []), self.paths.storage.seconds_that_wait
        waiting.append(result)
        # What a driver that is killed without a word can lose is bounded in seconds, or as a share of the cell.
        share = _SHARE * sum(one.seconds for one in self.finished(key)) if most else 0.0
        if sum(one.seconds for one in waiting) >= max(most, share):
            self._write_waiting(key.name, experiment)

    def write_waiting(self, experiment: str) -> None:
        """Write down every candidate that waits for others: the driver ends, and the next one goes on from here."""
        for cell in list(self.waiting):
            self._write_waiting(cell, experiment)

    def _write_waiting(self, cell: str, experiment: str) -> None:
        files = self.candidates.setdefault(cell, {})
        waiting = tuple(self.waiting[cell])
        delivery = Delivery(cell=cell, number=len(files), experiment=experiment, candidates=waiting)
        write_delivery(self.paths, delivery)
        files[delivery.number] = delivery
        del self.waiting[cell]

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
        self.waiting.pop(result.key.name, None)
        # Only now: until the marker is there, the cell goes on from these files.
        files = self.candidates.pop(result.key.name, {})
        self.paths.storage.delete(*(self.paths.candidates(result.key.name, number).name for number in files))

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


def _markers(paths: RunPaths, files: Mapping[str, Sequence[str]], part: CellPart) -> dict[str, Marker | None]:
    cells = [cell for cell in files if part.marker in files[cell]]
    contents = read_many(paths.in_cell(cell, part.marker) for cell in cells)
    return dict(zip(cells, map(marker_in, contents), strict=True))


def _deliveries(paths: RunPaths, found: Sequence[tuple[str, int, str]]) -> dict[str, dict[int, Delivery | None]]:
    contents = read_many(paths.blob(name) for _, _, name in found)
    deliveries: dict[str, dict[int, Delivery | None]] = {}
    for (cell, number, _), content in zip(found, contents, strict=True):
        deliveries.setdefault(cell, {})[number] = delivery_in(content, cell, number)
    return deliveries
