"""Trains what is left of a run. `run.py` imports this module only when there are jobs: they take Ray or torch."""

import logging
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mpi_model.errors import PolarmapError, RunDirectoryError
from orchestrator.cells.records import Procedure, WorkerContext
from orchestrator.driver.ledger_events import LedgerEvents
from orchestrator.driver.prepare import Prepared, pretrained_state
from orchestrator.driver.resume import ResolvedRun, RunOptions
from orchestrator.ledger.identity import Facts, experiment_hash
from orchestrator.ledger.state import RunState
from orchestrator.monitoring.counters import RunCounters
from orchestrator.monitoring.heartbeat import heartbeat_thread
from orchestrator.monitoring.log import event, without_message
from orchestrator.monitoring.progress import Progress
from orchestrator.monitoring.status import cells_by_inputs, read_objectives
from orchestrator.runners.deadline import Pace, pace_of
from orchestrator.runners.environment import prepare_for_ray
from orchestrator.runners.runner import Job, Runner, Work

if TYPE_CHECKING:
    from orchestrator.monitoring.event_files import EventFiles


def train(
    jobs: list[Job], resolved: ResolvedRun, state: RunState, progress: Progress, runner: Runner | None = None
) -> None:
    """Let the runner do the jobs; display, heartbeat and log end however they end.

    Args:
        jobs: The cells that are left.
        resolved: The run.
        state: What its ledger holds; every result is written through it.
        progress: Shows what the driver is doing.
        runner: Runs the cells instead of the one that the run's options name.
    """
    experiment, facts = resolved.prepared.loaded.experiment, resolved.facts
    runner = runner or runner_for(resolved.options)
    # Made once and shared: the maps are most of what a worker needs.
    context = worker_context(resolved.prepared, resolved.weights, resolved.device, facts)
    counters = _counters(jobs, resolved, state, pace_of(jobs, context, experiment.resources))
    # The heartbeat is outermost: whatever happens inside, its last beat says that this driver is over.
    with heartbeat_thread(resolved.paths, counters), _log_lifecycle(counters, facts, runner):
        followed = _event_files(resolved)
        try:
            # Results are written here, in the driver; workers do not write to the run directory.
            events = LedgerEvents(state, resolved.hash, progress, counters, followed)
            runner.run(jobs, context, experiment.resources, events)
        except RunDirectoryError:
            raise  # the storage itself: nothing more can be written there
        except BaseException:
            # Interrupted, for example: what waits for more results waits no longer.
            state.write_waiting(resolved.hash)
            raise
        finally:
            progress.end()
            if followed is not None:
                followed.close()


def _event_files(resolved: ResolvedRun) -> "EventFiles | None":
    """Event files in the folder that was named; none by default."""
    folder = resolved.options.tensorboard
    if folder is None:
        return None
    from orchestrator.monitoring.event_files import EventFiles  # noqa: PLC0415 - tensorboardX, where it is asked for

    return EventFiles(folder, resolved.prepared.loaded.experiment.search.objective)


def _counters(jobs: list[Job], resolved: ResolvedRun, state: RunState, pace: Pace) -> RunCounters:
    objective = resolved.prepared.loaded.experiment.search.objective
    ledger = cells_by_inputs(state, read_objectives(state, resolved.keys), objective, at_work=())
    begun = {job.task.key: len(job.finished) for job in jobs if job.finished}
    return RunCounters(ledger, [job.task.key for job in jobs], begun, objective, pace)


def runner_for(options: RunOptions, work: Work | None = None) -> Runner:
    """The runner that the options name; importing Ray takes seconds, so it is imported only where it runs.

    Args:
        options: The runner's name, and a cluster's address.
        work: What is done with each cell; None trains it.
    """
    if options.runner == "inline":
        from orchestrator.runners.inline import InlineRunner  # noqa: PLC0415

        return InlineRunner() if work is None else InlineRunner(work=work)
    prepare_for_ray()  # before the import, which is when Ray reads its environment
    from orchestrator.runners.ray_runner import RayRunner  # noqa: PLC0415

    return RayRunner(address=options.address, work=work)


def worker_context(prepared: Prepared, weights: Path | None, device: str, facts: Facts) -> WorkerContext:
    """What workers are given once: maps without identity, settings, pretrained weights."""
    experiment = prepared.loaded.experiment
    return WorkerContext(
        maps=prepared.cohort.maps,
        procedure=Procedure(
            network=experiment.network,
            training=experiment.training,
            search=experiment.search,
            decision=experiment.decision,
            space=prepared.space,
            baseline=experiment.statistics.baseline,
        ),
        state=pretrained_state(prepared, weights),
        device=device,
        facts={
            "experiment": experiment_hash(facts),
            "image_size": str(experiment.images.size),
            "torch": facts["versions.torch"],
        },
    )


@contextmanager
def _log_lifecycle(counters: RunCounters, facts: Facts, runner: Runner) -> Iterator[None]:
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
