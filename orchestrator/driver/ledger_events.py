"""What the driver does with work that comes back: writes results to the ledger and updates log and display."""

import logging
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from mpi_model.errors import PolarmapError
from orchestrator.cells.records import CandidateResult, CellKey, CellResult, Worker
from orchestrator.ledger.identity import Facts, experiment_hash
from orchestrator.ledger.state import RunState
from orchestrator.monitoring.counters import RunCounters
from orchestrator.monitoring.log import event, without_message
from orchestrator.monitoring.progress import Progress
from orchestrator.runners.runner import Hang, Runner, Unfit

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
        # Likewise; an interruption in between loses a line of the log, not a result.
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


@contextmanager
def log_lifecycle(counters: RunCounters, facts: Facts, runner: Runner) -> Iterator[None]:
    """Log the beginning of the work and its end, whatever ends it."""
    begun = counters.progress()
    resumed = bool(begun.complete or begun.failed or counters.half_done)
    left = f"{len(counters.left)} of {begun.total} cells to do"
    event(
        logging.INFO,
        "run_resumed" if resumed else "run_begun",
        f"the run {'goes on' if resumed else 'begins'}: {left}",
        host=platform.node(),
        pid=os.getpid(),
        runner=type(runner).__name__,
        device=facts["device"],
        experiment=experiment_hash(facts),
        versions={key.removeprefix("versions."): value for key, value in facts.items() if key.startswith("versions.")},
    )
    try:
        yield
    # What was finished is in the ledger whichever way this ends; the log tells a person which way it was.
    except KeyboardInterrupt:
        event(logging.WARNING, "interrupted", "interrupted; the same command goes on", **_counts(counters))
        raise
    except PolarmapError as error:
        event(logging.ERROR, "stopped", f"the run stops: {error}", **_counts(counters))
        raise
    except OSError as error:
        # A missing right or a full disk is no bug; the file's name is left out, as it may be a patient's.
        why = error.strerror or type(error).__name__
        event(logging.ERROR, "stopped", f"the run stops: the system refuses to go on ({why})", **_counts(counters))
        raise
    except BaseException as error:
        # The words of an unexpected error may quote a patient's data; its place in the code does not.
        trace = without_message(type(error), error.__traceback__)
        event(logging.CRITICAL, "crashed", f"a bug: {type(error).__name__}", traceback=trace, **_counts(counters))
        raise
    event(logging.INFO, "ended", "every cell has ended", **_counts(counters))


def _counts(counters: RunCounters) -> dict[str, object]:
    now = counters.progress()
    return {
        "complete": now.complete,
        "failed": now.failed,
        "candidates": now.candidates,
        "seconds": round(now.seconds, 3),
    }
