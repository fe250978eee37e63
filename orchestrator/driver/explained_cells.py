"""What is explained, cell by cell, and what the driver does with it: compare with the ledger, then write."""

import logging
from collections.abc import Mapping
from typing import Final

import numpy as np
import torch

from mpi_model.determinism import single_threaded
from mpi_model.errors import IncompleteRunError, RunDirectoryError
from orchestrator.cells.records import NETWORK, CandidateResult, CellKey, CellResult, Worker
from orchestrator.cells.tasks import cell_task
from orchestrator.driver.ledger_events import log_hang
from orchestrator.driver.open_test import final_networks
from orchestrator.driver.prepare import rows_of_test_exams
from orchestrator.driver.resume import ResolvedRun
from orchestrator.explanation.exams import explain_exams
from orchestrator.explanation.reference_maps import reference_maps, write_reference_maps
from orchestrator.explanation.refits import stored_candidates
from orchestrator.hashing import derive_seed
from orchestrator.ledger.integrity import read_results
from orchestrator.ledger.state import RunState
from orchestrator.monitoring.log import event
from orchestrator.monitoring.progress import Progress, shown
from orchestrator.runners.runner import Hang, Job, Unfit

_ROUNDING: Final = 0.05
"""Log odds that refitted networks' scores may be off on a GPU or in bf16, where results repeat within rounding."""


def explanation_jobs(resolved: ResolvedRun, state: RunState) -> list[Job]:
    """The cells of the cross-validation that are not explained yet, each with its candidates from the ledger.

    Raises:
        IncompleteRunError: A cell is not complete.
    """
    prepared, settings = resolved.prepared, resolved.prepared.loaded.experiment
    keys = [key for key in resolved.keys if key.partition == "development"]
    missing = [key.name for key in keys if state.state_of(key) != "complete"]
    if missing:
        raise IncompleteRunError(
            f"{len(missing)} of {len(keys)} cells are not complete, and an average that lacks a cell is refused; "
            "finish the run with `polarmap run … --retry-failed`"
        )
    jobs = []
    for key in keys:
        if state.explained.get(key.name) is None:
            task = cell_task(key, prepared.plan, prepared.cohort.exams, prepared.eligible, settings.search.inner_folds)
            found = read_results(state, key)
            finished = stored_candidates(
                task, found["candidates"], found["epochs"], settings.training, settings.search.objective
            )
            jobs.append(Job(task=task, finished=finished))
    return jobs


def explain_final_networks(resolved: ResolvedRun, state: RunState, made_from: str, progress: Progress) -> int:
    """Explain the final networks on the opened test partition, in this process.

    Args:
        resolved: The run.
        state: What its ledger holds.
        made_from: For the markers.
        progress: Shows which one is explained.

    Returns:
        How many input configurations were explained now.
    """
    prepared, settings = resolved.prepared, resolved.prepared.loaded.experiment
    left = [key for key in resolved.keys if key.partition == "test" and state.explained.get(key.name) is None]
    # One thread, as in the workers: the same networks give the same bytes.
    with shown(progress, "explaining the final networks", len(left)), single_threaded():
        for done, key in enumerate(left):
            progress.advance(done, key.name)
            task = cell_task(key, prepared.plan, prepared.cohort.exams, prepared.eligible, settings.search.inner_folds)
            networks = [one for one, _ in final_networks(resolved.paths, key.inputs, settings)]
            found = explain_exams(
                networks,
                prepared.cohort.maps,
                rows_of_test_exams(prepared, key.inputs),
                reference_maps(prepared.cohort.maps, task.training, key.inputs),
                seed=derive_seed(task.plan, None, None, "explanation"),
                device=torch.device("cpu"),
            )
            state.commit_attributions(key, found, made_from)
    return len(left)


def keep_reference_maps(resolved: ResolvedRun, experiment: str) -> None:
    """Keep what `polarmap predict --explain` compares new exams with: mean maps, of ten exams or more."""
    prepared, settings = resolved.prepared, resolved.prepared.loaded.experiment
    maps = prepared.cohort.maps
    for key in resolved.keys:
        blob = resolved.paths.reference_maps(key.inputs)
        if key.partition == "test" and not blob.exists():
            task = cell_task(key, prepared.plan, prepared.cohort.exams, prepared.eligible, settings.search.inner_folds)
            tracers = maps.tracer[task.training.rows[task.training.labels == 0]]
            exams = {number: int((tracers == number).sum()) for number in np.unique(tracers).tolist()}
            write_reference_maps(blob, reference_maps(maps, task.training, key.inputs), exams, experiment)


class CellExplanations:
    """`orchestrator.runners.runner.Events`: writes what workers bring, once it was compared with the ledger."""

    def __init__(self, state: RunState, made_from: str, resolved: ResolvedRun, progress: Progress, cells: int) -> None:
        self.state = state
        self.made_from = made_from
        # On a CPU in full precision the same bytes come again; elsewhere they do not.
        training = resolved.prepared.loaded.experiment.training
        self.tolerance = 0.0 if resolved.device == "cpu" and training.precision == "fp32" else _ROUNDING
        self.progress = progress
        self.ended = 0
        self.failed: list[str] = []
        progress.begin("explaining the cross-validation", cells)

    def __getstate__(self) -> dict[str, object]:
        """Nothing: Tune pickles its callbacks into a snapshot that nobody reads."""
        return {}

    def started(self, key: CellKey, worker: Worker, attempt: int) -> None:
        """A cell begins, or begins again."""

    def hung(self, key: CellKey, hang: Hang) -> None:
        """Say that a worker gives no sign."""
        message = f"cell {key.name}: not explained after {hang.seconds:.0f} s; its stack is in run.log"
        log_hang(key, hang, message)
        self.progress.say(message)

    def waiting(self, message: str) -> None:
        """Say what is waited for."""
        self.progress.say(message or "a node that can do a cell is there")

    def unfit(self, unfit: Unfit) -> None:
        """Say that a node gets no more cells."""
        self.progress.say(unfit.line)

    def candidate(self, key: CellKey, result: CandidateResult) -> None:
        """Nothing is searched here."""

    def retried(self, key: CellKey, cause: str, attempt: int) -> None:
        """Say why a cell begins again."""
        self.progress.say(f"cell {key.name} is explained again (attempt {attempt}): {cause}")

    def cell(self, result: CellResult, attempt: int) -> None:
        """Write a cell's attributions, if its networks are the run's.

        Raises:
            RunDirectoryError: They are not.
        """
        self.ended += 1
        name = result.key.name
        if result.state == "failed":
            self.failed.append(name)
            message = f"cell {name} could not be explained: {result.reason}"
            event(logging.ERROR, "explanation_failed", message, cell=name, traceback=result.trace or None)
            self.progress.say(message)
        else:
            self._compare(result)
            self.state.commit_attributions(result.key, result.attributions, self.made_from)
            event(logging.INFO, "cell_explained", f"cell {name} is explained", cell=name, host=result.host)
        self.progress.advance(self.ended, name)

    def _compare(self, result: CellResult) -> None:
        due = _stored_scores(self.state, result.key)
        found = {(one.member, one.row): one.score for one in result.predictions}
        # Another number of members or exams is as wrong as other scores.
        away = np.inf if due.keys() != found.keys() else max((abs(found[one] - due[one]) for one in due), default=0.0)
        if away > self.tolerance:
            raise RunDirectoryError(
                f"the networks of cell {result.key.name}, refitted here, score its exams differently (by up to "
                f"{away:.2g} log odds) and are not the run's; explain it on the kind of processor and with the "
                "versions that experiment.json names"
            )


def _stored_scores(state: RunState, key: CellKey) -> Mapping[tuple[int, int], float]:
    """The scores of a cell's networks in the ledger, by member and row."""
    rows = read_results(state, key)["predictions"].to_pylist()
    return {(row["member"], row["row"]): row["score"] for row in rows if row["model"] == NETWORK}
