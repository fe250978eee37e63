"""Begins a run directory, or recognises an earlier run of the very same experiment."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa

from mpi_model.errors import RunDirectoryError
from orchestrator.folds.draws import FoldPlan
from orchestrator.ledger.description import RunDescription, read_description, write_description
from orchestrator.ledger.files import read_frame, read_table, table_bytes, write_frame
from orchestrator.ledger.identity import differences
from orchestrator.ledger.paths import RunPaths
from orchestrator.ledger.schemas import TEXT, WHOLE

_FOLDS: Final = pa.schema([("repeat", WHOLE), ("patient_id", TEXT), ("fold", WHOLE)])


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """What is written down when a run begins."""

    description: RunDescription
    plan: FoldPlan
    exams: pd.DataFrame
    """The cohort's exams, in the row order of its maps."""
    maps: pd.DataFrame
    """What is kept of the maps themselves, in the same order: see `orchestrator.driver.map_facts`."""


def begin_run(paths: RunPaths, record: RunRecord) -> bool:
    """Begin a run, or recognise the one that is there.

    Returns:
        Whether the run was there already.

    Raises:
        RunDirectoryError: The directory holds another experiment (its differing keys are named), or a description,
            a cohort or a fold plan that is not the experiment's.
    """
    begun = paths.experiment.exists()
    if begun:
        _verify(paths, record.description)
    # Cohort and plan follow from the experiment, so a file that was deleted is written again and then compared.
    if not paths.cohort.exists():
        write_frame(paths.cohort, record.exams)
    if not paths.folds.exists():
        paths.folds.write_bytes(table_bytes(_folds_table(record.plan)))
    if not paths.maps.exists():
        write_frame(paths.maps, record.maps)
    if begun:
        _verify_tables(paths, record)
    else:
        # Last, for it is what makes a folder a run: a directory without it is begun anew.
        write_description(paths, record.description)
    return begun


def _verify(paths: RunPaths, mine: RunDescription) -> None:
    different = differences(read_description(paths).facts, dict(mine.facts))
    if different:
        raise RunDirectoryError(
            f"{paths.name} is a run of another experiment; it differs in {'; '.join(different[:8])}"
            f"{f' and {len(different) - 8} more' if len(different) > 8 else ''}. Give this experiment another `name`, "
            "or change it back"
        )


def _verify_tables(paths: RunPaths, record: RunRecord) -> None:
    # Through Arrow and back, as the stored one went: types such as categories do not survive that.
    exams = pa.Table.from_pandas(record.exams, preserve_index=False).to_pandas()
    for blob, same in (
        (paths.folds, read_table(paths.folds).equals(_folds_table(record.plan))),
        (paths.cohort, read_frame(paths.cohort).equals(exams)),
        (paths.maps, _fingerprints(read_frame(paths.maps)).equals(_fingerprints(record.maps))),
    ):
        if not same:
            raise RunDirectoryError(f"{blob} is not this experiment's; restore it, or delete it: it is written anew")


def _fingerprints(maps: pd.DataFrame) -> pd.DataFrame:
    """The columns that are the same on every machine; segment means may differ by rounding."""
    return maps.filter(like="_sha256").astype("object").fillna("")


def _folds_table(plan: FoldPlan) -> pa.Table:
    """The plan as the contract's table: `repeat, patient_id, fold`."""
    repeats, patients = plan.folds.shape
    return pa.table(
        {
            "repeat": np.repeat(np.arange(repeats, dtype=np.int64), patients),
            "patient_id": list(plan.patients) * repeats,
            "fold": plan.folds.reshape(-1),
        },
        schema=_FOLDS,
    )
