"""Opens a run directory for writing: new, or an earlier run of the very same experiment."""

import datetime
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from mpi_model.errors import RunDirectoryError
from orchestrator.experiment.settings import Experiment
from orchestrator.folds.plan import FoldPlan
from orchestrator.ledger.files import read_frame, read_json, read_table, write_frame, write_json, write_table
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


def open_run(paths: RunPaths, record: RunRecord) -> bool:
    """Begin a run, or recognise the one that is there.

    Returns:
        Whether the run was there already.

    Raises:
        RunDirectoryError: The directory holds another experiment (its differing keys are named), or a cohort or
            fold plan that is not the experiment's.
    """
    begun = paths.experiment.exists()
    if begun:
        _verify(paths, record)
    if not paths.cohort.exists():
        write_frame(paths.cohort, record.exams)
    if not paths.folds.exists():
        write_table(paths.folds, folds_table(record.plan))
    if not begun:
        write_json(paths.experiment, _description(record))
        return False
    _verify_tables(paths, record)
    return True


def _verify(paths: RunPaths, record: RunRecord) -> None:
    stored = read_json(paths.experiment)
    facts = stored.get("facts")
    different = differences(facts if isinstance(facts, dict) else {}, record.facts)
    if different:
        raise RunDirectoryError(
            f"{paths.name} is a run of another experiment; it differs in {'; '.join(different[:8])}"
            f"{f' and {len(different) - 8} more' if len(different) > 8 else ''}. Give this experiment another `name`, "
            "or change it back"
        )
    if stored.get("hash") != experiment_hash(record.facts):
        raise RunDirectoryError(f"{paths.experiment} was changed: its hash is not that of its facts; restore it")


def _verify_tables(paths: RunPaths, record: RunRecord) -> None:
    exams = pa.Table.from_pandas(record.exams, preserve_index=False).to_pandas()
    for blob, same in (
        (paths.folds, read_table(paths.folds).equals(folds_table(record.plan))),
        (paths.cohort, read_frame(paths.cohort).equals(exams)),
    ):
        if not same:
            raise RunDirectoryError(f"{blob} is not this experiment's; restore it, or delete it: it is written anew")


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
