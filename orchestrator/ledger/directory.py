"""Begins a run directory, or recognises an earlier run of the very same experiment."""

from dataclasses import dataclass
from typing import Final

import pandas as pd
import pyarrow as pa

from mpi_model.errors import RunDirectoryError
from orchestrator.folds.draws import FoldPlan
from orchestrator.ledger.description import RunDescription, read_description, write_description
from orchestrator.ledger.identity import differences
from orchestrator.ledger.paths import RunPaths
from orchestrator.ledger.schemas import TEXT, WHOLE
from orchestrator.ledger.seals import read_sealed, write_sealed
from orchestrator.storage.base import Blob

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


def begin_run(paths: RunPaths, record: RunRecord) -> None:
    """Begin a run, or recognise the one that is there.

    Raises:
        RunDirectoryError: The directory holds another experiment (its differing keys are named), or a description,
            a cohort or a fold plan that is not the experiment's.
    """
    begun = paths.experiment.exists()
    if begun:
        _verify(paths, record.description)
    # Cohort and plan follow from the experiment, so a file that was deleted is written again and then compared.
    experiment = record.description.hash
    for blob, table in _tables(paths, record).items():
        if not blob.exists():
            write_sealed(blob, table, experiment)
    if begun:
        _verify_tables(paths, record)
    else:
        # Last, for it is what makes a folder a run: a directory without it is begun anew.
        write_description(paths, record.description)


def _verify(paths: RunPaths, mine: RunDescription) -> None:
    different = differences(read_description(paths).facts, dict(mine.facts))
    if different:
        raise RunDirectoryError(
            f"{paths.name} is a run of another experiment; it differs in {'; '.join(different[:8])}"
            f"{f' and {len(different) - 8} more' if len(different) > 8 else ''}. Give this experiment another `name`, "
            "or change it back"
        )


def _tables(paths: RunPaths, record: RunRecord) -> dict[Blob, pa.Table]:
    """What follows from the experiment, and where it is kept."""
    return {
        paths.folds: pa.table(record.plan.columns(), schema=_FOLDS),
        paths.cohort: pa.Table.from_pandas(record.exams, preserve_index=False),
        paths.maps: pa.Table.from_pandas(record.maps, preserve_index=False),
    }


def _verify_tables(paths: RunPaths, record: RunRecord) -> None:
    for blob, due in _tables(paths, record).items():
        remedy = "restore it, or delete it and run again: it is made anew"
        found = read_sealed(blob, record.description.hash, remedy)
        # Through pandas, as the stored one went: types such as categories do not survive that.
        stored, mine = (
            _compared(blob, paths, table.replace_schema_metadata(None).to_pandas()) for table in (found, due)
        )
        if not stored.equals(mine):
            raise RunDirectoryError(f"{blob} is not this experiment's; {remedy}")


def _compared(blob: Blob, paths: RunPaths, frame: pd.DataFrame) -> pd.DataFrame:
    return _fingerprints(frame) if blob == paths.maps else frame


def _fingerprints(maps: pd.DataFrame) -> pd.DataFrame:
    """The columns that are the same on every machine; segment means may differ by rounding."""
    return maps.filter(like="_sha256").astype("object").fillna("")
