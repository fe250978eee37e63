"""What the driver does with work that comes back: writes results to the ledger and updates log and display."""

import logging
from typing import TYPE_CHECKING, Final

from orchestrator.cells.records import CandidateResult, CellKey, CellResult, Worker
from orchestrator.ledger.state import RunState
from orchestrator.monitoring.counters import RunCounters
from orchestrator.monitoring.log import event
from orchestrator.monitoring.progress import Progress
from orchestrator.runners.runner import Hang, Unfit

if TYPE_CHECKING:
    from orchestrator.monitoring.event_files import EventFiles


_LITTLE_ROOM: Final = 500_000_000
"""Bytes: room for the cells of many hours, and for a report."""


class LedgerEvents:
    """Writes what workers bring into the ledger, in the driver, and counts it for the display."""

    def __init__(
        self,
        state: RunState,
        experiment: str,
        progress: Progress,
        counters: RunCounters,
        followed: "EventFiles | None" = None,
    ) -> None:
        self.followed = followed
        self.state = state
        self.experiment = experiment
        self.progress = progress
        self.counters = counters
        self._has_warned = False
        now = counters.progress()
        progress.begin("training", now.total)
        progress.show(now)

    def __getstate__(self) -> dict[str, object]:
        """Nothing: Tune pickles its callbacks into a snapshot that nobody reads, and locks cannot be pickled."""
        return {}

    def started(self, key: CellKey, worker: Worker, attempt: int) -> None:
        """A cell begins, or begins again."""
        again = self.counters.start(key, worker, attempt)
        message = f"cell {key.name} begins{' again' if again else ''} on {worker.host}"
        event(logging.INFO, "cell_started", message, cell=key.name, attempt=attempt, **_place(worker))
        self.progress.show(self.counters.progress())
        self._look_at_disk()

    def _look_at_disk(self) -> None:
        """Say once that the disk is about to be full: a run that finds no room stops, and goes on later."""
        free = self.state.paths.storage.free()
        if free is None or free > _LITTLE_ROOM or self._has_warned:
            return
        self._has_warned = True
        message = f"only {free / 1e6:.0f} MB are free where the run directory lies; make room before it is full"
        event(logging.WARNING, "disk_filling", message, free=free)
        self.progress.say(message)

    def retried(self, key: CellKey, cause: str, attempt: int) -> None:
        """Say and log that a cell is going to begin again, and why."""
        message = f"cell {key.name} is tried again (attempt {attempt}): {cause}"
        event(logging.WARNING, "cell_retried", message, cell=key.name, attempt=attempt, cause=cause)
        self.progress.say(message)

    def hung(self, key: CellKey, hang: Hang) -> None:
        """Say and log that a worker gives no sign, and what it is at."""
        where = "" if hang.worker is None else f" on {hang.worker.host}, process {hang.worker.process}"
        remedy = "it is ended" if hang.is_ended else "Ctrl-C ends it, and the same command goes on"
        message = f"cell {key.name}: no result for {hang.seconds:.0f} s{where}; its stack is in run.log; {remedy}"
        log_hang(key, hang, message)
        self.progress.say(message)

    def waiting(self, message: str) -> None:
        """Say, log and show that no node can do a cell; or that one can again."""
        self.counters.waiting = message
        line = message or "a node that can do a cell is there"
        event(logging.INFO, "waiting" if message else "waiting_over", line)
        self.progress.say(line)

    def unfit(self, unfit: Unfit) -> None:
        """Say and log that a node gets no more cells."""
        event(logging.WARNING, "node_unfit", unfit.line, **_place(unfit.worker))
        self.progress.say(unfit.line)

    def candidate(self, key: CellKey, result: CandidateResult) -> None:
        """Keep a finished candidate."""
        # Ledger first, then counters: what is displayed as done is on disk.
        self.state.keep_candidate(key, result, self.experiment)
        self.counters.add(key, result)
        if self.followed is not None:
            self.followed.candidate(key, result)
        if result.state == "failed":
            event(
                logging.WARNING,
                "candidate_failed",
                f"candidate {result.number} of cell {key.name} failed: {result.error}",
                cell=key.name,
                candidate=result.number,
                seconds=round(result.seconds, 3),
            )
        self.progress.show(self.counters.progress())

    def cell(self, result: CellResult, attempt: int) -> None:
        """Commit a finished cell; a failed one is shown at once."""
        # Ledger first here, too: an interruption in between loses a line of the log, not a result.
        self.state.commit(result, attempt, self.experiment)
        self.counters.end(result)
        if self.followed is not None:
            self.followed.cell(result, self.counters.progress())
        failed = result.state == "failed"
        message = f"cell {result.key.name} {f'failed: {result.reason}' if failed else 'is complete'}"
        event(
            logging.ERROR if failed else logging.INFO,
            "cell_failed" if failed else "cell_finished",
            message,
            cell=result.key.name,
            attempt=attempt,
            seconds=round(result.seconds, 3),
            host=result.host,
            traceback=result.trace or None,
        )
        self.progress.show(self.counters.progress())
        if failed:
            self.progress.say(message)


def log_hang(key: CellKey, hang: Hang, message: str) -> None:
    """Log a worker that gives no sign, with what its threads are at."""
    event(
        logging.WARNING,
        "cell_hung",
        message,
        cell=key.name,
        attempt=hang.attempt,
        seconds=round(hang.seconds, 3),
        deadline=round(hang.deadline, 3),
        traceback=hang.stacks,
        **({} if hang.worker is None else _place(hang.worker)),
    )


def _place(worker: Worker) -> dict[str, object]:
    """Where a cell is, as keys of a line of the log."""
    return {"worker": worker.process, "host": worker.host, "processor": worker.processor}
