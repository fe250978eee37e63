"""Decides which exams each input configuration uses for training and evaluation."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mpi_model.errors import CohortError
from mpi_model.vocabulary import PHASES, PHASES_OF, Inputs, Phase
from orchestrator.cohort.problems import rows_text
from orchestrator.cohort.records import PARTITIONS, Exclusion


def eligible_exams(
    exams: pd.DataFrame,
    inputs_asked: Sequence[Inputs],
    patients: Literal["common", "available"],
    which: Literal["all", "first"],
) -> tuple[Mapping[Inputs, NDArray[np.bool_]], tuple[Exclusion, ...]]:
    """Decide which exams each input configuration uses.

    With `first`, the first exam of a patient and tracer is chosen before its phases are considered. So the index exam
    does not depend on the input configurations of the experiment.

    Args:
        exams: N exams, as in `Cohort.exams`.
        inputs_asked: The input configurations of the experiment.
        patients: `common`: every configuration uses the exams that have all phases any of them needs, so
            that configurations can be compared in pairs. `available`: each uses the exams that have its
            own phases.
        which: `all`, or the `first` of each patient and tracer by `exam_date` (ties by `exam_id`).

    Returns:
        For each configuration a mask `[N]` of the exams it uses; and the numbers of exams left out, by reason and
        partition.

    Raises:
        CohortError: `first` without an `exam_date` for every exam.
    """
    chosen = _first_exams(exams) if which == "first" else np.ones(len(exams), dtype=np.bool_)
    together = tuple(phase for phase in PHASES if any(phase in PHASES_OF[inputs] for inputs in inputs_asked))
    needs = {inputs: together if patients == "common" else PHASES_OF[inputs] for inputs in inputs_asked}
    # With `common` every configuration sees the same exams, so that their differences are paired.
    masks = {inputs: chosen & _with_phases(exams, phases) for inputs, phases in needs.items()}
    left_out = {"not the patient's first exam with this tracer": ~chosen}
    for phase in together:
        needing = [inputs for inputs, phases in needs.items() if phase in phases]
        without = ~_with_phases(exams, (phase,))
        left_out[f"no {phase} map ({', '.join(needing)})"] = chosen & without
    return masks, _counted(exams, left_out)


def _with_phases(exams: pd.DataFrame, phases: Sequence[Phase]) -> NDArray[np.bool_]:
    present = [exams[f"has_{phase}"].to_numpy(np.bool_) for phase in phases]
    together: NDArray[np.bool_] = np.all(present, axis=0)
    return together


def _first_exams(exams: pd.DataFrame) -> NDArray[np.bool_]:
    if "exam_date" not in exams.columns:
        raise CohortError('exams = "first" needs the column exam_date; add it to the manifest or ask for "all"')
    undated = exams.loc[exams["exam_date"].isna(), "manifest_row"].tolist()
    if undated:
        raise CohortError(f'exams = "first" needs every exam_date; it is blank in {rows_text(undated)}')
    in_order = exams.sort_values(["exam_date", "exam_id"], kind="stable")
    # ISO dates sort as text.
    first = in_order.drop_duplicates(["patient_id", "tracer"]).index
    return np.asarray(exams.index.isin(first), dtype=np.bool_)


def _counted(exams: pd.DataFrame, left_out: Mapping[str, NDArray[np.bool_]]) -> tuple[Exclusion, ...]:
    partition = exams["partition"].to_numpy()
    counts = [
        Exclusion(reason=reason, partition=side, count=int((mask & (partition == side)).sum()))
        for reason, mask in left_out.items()
        for side in PARTITIONS
    ]
    return tuple(exclusion for exclusion in counts if exclusion.count)
