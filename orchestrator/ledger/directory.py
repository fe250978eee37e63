"""Opens a run directory: new, or an earlier run of the very same experiment; one driver at a time."""

import datetime
import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from mpi_model.errors import RunDirectoryError
from orchestrator.experiment.settings import Experiment
from orchestrator.folds.plan import FoldPlan
from orchestrator.ledger.files import read_json, read_table, write_frame, write_json, write_table
from orchestrator.ledger.identity import Facts, differences, experiment_hash
from orchestrator.ledger.paths import RunPaths
from orchestrator.ledger.schemas import FOLDS


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """What is written down when a run begins."""

    experiment: Experiment
    facts: Facts
    plan: FoldPlan
    exams: pd.DataFrame
    """The cohort's exams, in the row order of its maps."""
    context: Mapping[str, object]
    """What does not decide the numbers but should be kept: revision, hardware, notices, exclusions."""


@contextmanager
def locked(paths: RunPaths) -> Iterator[None]:
    """Make the run directory, private to the user, and hold it for one driver.

    Raises:
        RunDirectoryError: It cannot be made or written, or another driver holds it.
    """
    try:
        paths.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        paths.root.chmod(0o700)
        handle = os.open(paths.lock, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise RunDirectoryError(
            f"cannot write the run directory {paths.root} ({error.strerror}); "
            "give access, or set `storage.runs` elsewhere"
        ) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        raise RunDirectoryError(
            f"another `polarmap run` is writing {paths.root.name}; wait for it, or stop it"
        ) from error
    try:
        yield
    finally:
        os.close(handle)


def open_run(paths: RunPaths, record: RunRecord) -> bool:
    """Begin a run, or recognise the one that is there.

    Returns:
        Whether the run was there already.

    Raises:
        RunDirectoryError: The directory holds another experiment (its differing keys are named), or a fold
            plan that is not the experiment's.
    """
    if paths.experiment.exists():
        _verify(paths, record)
        return True
    write_frame(paths.cohort, record.exams)
    write_table(paths.folds, folds_table(record.plan))
    write_json(paths.experiment, _description(record))
    return False


def _verify(paths: RunPaths, record: RunRecord) -> None:
    stored = read_json(paths.experiment)
    facts = stored.get("facts")
    different = differences(facts if isinstance(facts, dict) else {}, record.facts)
    if different:
        raise RunDirectoryError(
            f"{paths.root.name} is a run of another experiment; it differs in {'; '.join(different[:8])}"
            f"{f' and {len(different) - 8} more' if len(different) > 8 else ''}. Give this experiment another `name`, "
            "or change it back"
        )
    if not read_table(paths.folds).equals(folds_table(record.plan)):
        raise RunDirectoryError(
            f"folds.parquet of {paths.root.name} is not the plan of this experiment; restore it or use a new name"
        )


def folds_table(plan: FoldPlan) -> pa.Table:
    """The plan as the contract's table: `repeat, patient_id, fold`."""
    repeats, patients = plan.folds.shape
    return pa.table(
        {
            "repeat": np.repeat(np.arange(repeats, dtype=np.int64), patients),
            "patient_id": list(plan.patients) * repeats,
            "fold": plan.folds.reshape(-1),
        },
        schema=FOLDS,
    )


def _description(record: RunRecord) -> dict[str, object]:
    return {
        "name": record.experiment.name,
        "settings": asdict(record.experiment),
        "facts": record.facts,
        "hash": experiment_hash(record.facts),
        "plan": record.plan.digest,
        "begun": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        **record.context,
    }
