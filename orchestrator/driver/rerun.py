"""One cell of a run again, alone and in a folder of its own, held against what the ledger has of it."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mpi_model.errors import ExperimentError, RunDirectoryError
from orchestrator.cells.cell import run_cell
from orchestrator.cells.records import CellKey, CellTask, cell_keys, failed_cell, sample_keys
from orchestrator.cells.tasks import sample_task
from orchestrator.driver.flat_search import scores_of_parts, task_of
from orchestrator.driver.reopening import resolve_again
from orchestrator.driver.resume import ResolvedRun, RunOptions
from orchestrator.driver.training import runner_for, train
from orchestrator.experiment.processor import vector_instructions
from orchestrator.ledger.description import RunDescription
from orchestrator.ledger.files import table_bytes
from orchestrator.ledger.identity import SAMPLED, differences
from orchestrator.ledger.integrity import read_results
from orchestrator.ledger.paths import CELL, RunPaths, run_paths
from orchestrator.ledger.reading import Run
from orchestrator.ledger.schemas import PARTS, rows_of_cell
from orchestrator.ledger.state import RunState
from orchestrator.monitoring.log import logging_to
from orchestrator.monitoring.progress import Progress
from orchestrator.runners.runner import Job

_COMPARED: Final = ("candidates", "epochs", "predictions", "cells")
"""What does not depend on who computed it when; `timings` does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RerunComparison:
    """How a cell that was done again compares with the ledger."""

    cell: str
    folder: Path
    state: str
    """`complete` or `failed`, here."""
    reason: str
    ledger: str
    """`complete`, `failed`, or how many candidates it holds of a cell that has not ended."""
    same: tuple[str, ...]
    """The tables and networks whose bytes are the ledger's."""
    different: tuple[str, ...]
    largest: float | None
    """The largest difference of a score, in log odds; None where scores cannot be compared one by one."""
    elsewhere: tuple[str, ...]
    """What is another here than the run was begun with: versions, and the device."""

    def check(self) -> None:
        """Refuse a cell that is not the ledger's.

        Raises:
            RunDirectoryError: Some bytes differ.
        """
        if not self.different:
            return
        size = "" if self.largest is None else f", scores by up to {self.largest:.2g} log odds"
        why = f"here differ: {'; '.join(self.elsewhere)}" if self.elsewhere else "versions and device are the run's"
        raise RunDirectoryError(
            f"cell {self.cell} is not the ledger's: {', '.join(self.different)} differ{size}; bytes repeat on one kind "
            f"of processor (here: {vector_instructions() or 'unknown'}; run.log names the cell's), and {why}"
        )


def rerun_cell(
    run: Run,
    cell: str,
    folder: Path,
    options: RunOptions,
    progress: Progress,
    manifest: Path | None = None,
    *,
    unguarded: bool = False,
) -> RerunComparison:
    """Do one cell again, from its first candidate.

    Args:
        run: The run; it is only read, and may go on meanwhile.
        cell: The cell's name.
        folder: A new folder for what comes of it.
        options: Who runs it.
        progress: Shows what the driver is doing.
        manifest: The run's cohort, where it does not lie where the run found it.
        unguarded: Whether an error of the cell is raised where it happens, without Ray; otherwise it is a failed cell.

    Raises:
        ExperimentError: The run has no such cell, or the folder exists.
        RunDirectoryError: The cohort is not the run's.
    """
    key = _key_of(run.description, cell)
    _check_new_folder(folder, run)
    resolved = resolve_again(
        run, manifest, options, progress, lambda fact: fact.startswith("versions.") or fact == "device"
    )
    own, there = run_paths(folder), RunState.read(run.paths)
    task = _task(key, resolved, there, SAMPLED in run.description.facts)
    runner = runner_for(options, run_cell if unguarded and options.runner == "inline" else None)
    with own.storage.hold(), logging_to(own):
        here = RunState.read(own)
        train([Job(task=task, finished=())], replace(resolved, paths=own, keys=[key]), here, progress, runner)
    # Read again: a run that goes on may have ended the cell meanwhile.
    return _compared(run, key, here, RunState.read(run.paths), resolved)


def _key_of(description: RunDescription, cell: str) -> CellKey:
    found = CELL.fullmatch(cell)
    keys = (
        sample_keys(description.settings, int(found[2] or 0) if found else 0)
        if SAMPLED in description.facts
        else cell_keys(description.settings, final=description.final)
    )
    for key in keys:
        if key.name == cell:
            return key
    raise ExperimentError(
        f"{description.name} has no cell {cell[:60]!r}; they are named like {keys[0].name}, and `polarmap status` and "
        "run.log name those of interest"
    )


def _check_new_folder(folder: Path, run: Run) -> None:
    if folder.exists() or folder.is_symlink():
        raise ExperimentError(f"{folder} exists already and was not changed; name a new folder with --out")
    # The run directory holds what was computed for it, and nothing else.
    if "://" not in run.paths.root and Path(os.path.realpath(folder)).is_relative_to(os.path.realpath(run.paths.root)):
        raise ExperimentError(f"{folder} lies in the run directory; name a folder outside of it with --out")


def _task(key: CellKey, resolved: ResolvedRun, there: RunState, sampled: bool) -> CellTask:
    """The task that the cell had: after a flat search it chooses by what the run's own parts found."""
    prepared, settings = resolved.prepared, resolved.prepared.loaded.experiment
    if sampled:
        calibrated, folds = settings.decision.calibration != "none", settings.search.inner_folds
        return sample_task(key, prepared.plan, prepared.cohort.exams, prepared.eligible, folds, calibrated=calibrated)
    whole = cell_keys(settings) if settings.search.scheme == "flat" else []
    scores = scores_of_parts(there, whole, settings.search.candidates, len(prepared.cohort.exams))
    task = task_of(key, prepared, scores)
    if task is None:
        raise ExperimentError(
            f"cell {key.name} chooses by a flat search of which a part is missing; finish the run with `polarmap run`"
        )
    return task


def _compared(run: Run, key: CellKey, here: RunState, there: RunState, resolved: ResolvedRun) -> RerunComparison:
    """Compare what was done `here` with what the run's own ledger holds `there`."""
    mine, theirs = _tables(here, key), _tables(there, key)
    cell = mine["cells"].to_pylist()[0]
    if there.state_of(key) is None:
        # A cell under way is compared as far as it has come.
        reached = pa.array(theirs["candidates"]["candidate"])
        mine = {
            name: table.filter(pc.is_in(table["candidate"], reached)) for name, table in mine.items() if name in theirs
        }
    same = [name for name in theirs if table_bytes(mine[name]) == table_bytes(theirs[name])]
    networks = dict(_networks(here.paths, there, key))
    return RerunComparison(
        cell=key.name,
        folder=Path(here.paths.root),
        state=str(cell["state"]),
        reason=str(cell["reason"]),
        ledger=there.state_of(key) or f"under way, {len(theirs['candidates'])} candidates",
        same=(*same, *(name for name, equal in networks.items() if equal)),
        different=(
            *(name for name in theirs if name not in same),
            *(name for name, equal in networks.items() if not equal),
        ),
        largest=_largest_difference(mine.get("predictions"), theirs.get("predictions")),
        elsewhere=tuple(differences(run.description.facts, resolved.facts)),
    )


def _tables(state: RunState, key: CellKey) -> Mapping[str, pa.Table]:
    """The rows of a cell; of one that has not ended, those of its candidates."""
    if state.state_of(key) is not None:
        found = read_results(state, key)
        return {name: found[name] for name in _COMPARED}
    rows = rows_of_cell(failed_cell(key, "", "", 0.0), list(state.finished(key)), 1)
    return {name: pa.Table.from_pylist(rows[name], schema=PARTS[name]) for name in ("candidates", "epochs")}


def _networks(mine: RunPaths, there: RunState, key: CellKey) -> Iterator[tuple[str, bool]]:
    """Each final network of the ledger, and whether its weights are those of this folder."""
    marker = there.cells.get(key.name)
    for name in () if marker is None else marker.parts:
        if name.endswith(".safetensors"):
            own = mine.blob(name)
            yield name, own.exists() and own.read_bytes() == there.paths.blob(name).read_bytes()


def _largest_difference(mine: pa.Table | None, theirs: pa.Table | None) -> float | None:
    """The largest difference of two columns of scores of the same exams."""
    places = ["model", "member", "row"]
    if mine is None or theirs is None or not mine.num_rows or not mine.select(places).equals(theirs.select(places)):
        return None
    return float(np.max(np.abs(mine["score"].to_numpy() - theirs["score"].to_numpy())))
