"""Predictions of a run's final networks for new exams; no label is read, and nothing is estimated."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from mpi_model.determinism import single_threaded
from mpi_model.errors import CohortError
from mpi_model.maps import Maps
from mpi_model.prediction import predict_scores
from mpi_model.vocabulary import PHASES_OF, TRACERS, Inputs
from orchestrator.cells.decision import Decision
from orchestrator.cohort.loading import load_cohort
from orchestrator.cohort.records import Cohort
from orchestrator.driver.open_test import final_networks
from orchestrator.ledger.reading import Run
from orchestrator.monitoring.progress import Progress
from orchestrator.statistics.members import Model


def predict_exams(run: Run, manifest: Path, progress: Progress) -> pd.DataFrame:
    """Predict every exam of a manifest with every input configuration whose phases it has.

    Args:
        run: A run with its final networks.
        manifest: New exams; a `label` column may be missing and is not read.
        progress: Shows how many maps are read.

    Returns:
        `patient_id, exam_id, tracer, inputs, score, probability, threshold, positive`, of the model that the members
        make (`orchestrator.statistics.members`), as in the run's report.

    Raises:
        IncompleteRunError: The run has no final networks.
        CohortError: The manifest or an image is unusable, or of a kind the networks were not trained on.
    """
    settings = run.description.settings
    progress.begin("reading exams", 0)
    # The size the networks were trained at, whatever the size of the new images.
    cohort = load_cohort(manifest, size=settings.images.size, labelled=False)
    progress.end()
    with single_threaded():
        tables = [predict_rows(run, cohort, name, usable_rows(cohort.maps, name)) for name in settings.cohort.inputs]
    return pd.concat(tables, ignore_index=True)


def predict_rows(run: Run, cohort: Cohort, inputs: Inputs, rows: NDArray[np.int64]) -> pd.DataFrame:
    """What the final networks of one input configuration say about some exams.

    Args:
        run: A run with its final networks.
        cohort: N exams.
        inputs: The input configuration.
        rows: Exams that have its phases.

    Returns:
        As `predict_exams`, one row an exam in the order of `rows`.

    Raises:
        IncompleteRunError: There are no such networks.
        CohortError: An exam is of a kind the networks were not trained on.
    """
    members = run.description.settings.training.members
    networks, decided = zip(*final_networks(run.paths, inputs, members), strict=True)
    # Members may differ in depth, but not in the channels they read.
    maps = with_channels(cohort.maps, networks[0].architecture.image_channels)
    check_tracers(cohort, rows, decided[0])
    scores = np.stack([predict_scores(net, maps, rows, device=torch.device("cpu")) for net in networks])
    tracers = maps.tracer[rows]
    probabilities = np.stack(
        [_probabilities(one, by_tracer, tracers) for one, by_tracer in zip(scores, decided, strict=True)]
    )
    thresholds = [[by_tracer[int(number)].probability_threshold for number in tracers] for by_tracer in decided]
    model = Model.of(scores, probabilities, np.array(thresholds, dtype=np.float64).reshape(scores.shape))
    found = cohort.exams.loc[rows, ["patient_id", "exam_id", "tracer"]].reset_index(drop=True)
    return found.assign(
        inputs=inputs,
        score=model.scores,
        probability=model.probabilities,
        threshold=model.thresholds,
        positive=(model.probabilities >= model.thresholds).astype(np.int64),
    )


def _probabilities(
    scores: NDArray[np.float64], decisions: dict[int, Decision], tracers: NDArray[np.int8]
) -> NDArray[np.float64]:
    """One member's probabilities, each exam by its tracer's decision."""
    pairs = zip(scores, tracers, strict=True)
    return np.array([float(decisions[int(number)].probability(np.asarray(score))) for score, number in pairs])


def usable_rows(maps: Maps, inputs: Inputs) -> NDArray[np.int64]:
    """Rows of the exams that have the input configuration's phases."""
    here = {"stress": maps.has_stress, "rest": maps.has_rest}
    return np.flatnonzero(np.logical_and.reduce([here[phase] for phase in PHASES_OF[inputs]]))


def with_channels(maps: Maps, channels: int) -> Maps:
    """Grey maps repeated for networks trained on colour; colour maps mean nothing to networks trained on grey."""
    found = maps.stress.shape[1]
    if found == channels:
        return maps
    if found == 1:
        return replace(maps, stress=np.repeat(maps.stress, 3, axis=1), rest=np.repeat(maps.rest, 3, axis=1))
    raise CohortError("the manifest names colour images, but the networks were trained on grey ones; export them alike")


def check_tracers(cohort: Cohort, rows: NDArray[np.int64], decisions: dict[int, Decision]) -> None:
    """Refuse exams of a tracer that the networks were not trained on.

    Raises:
        CohortError: There are such exams.
    """
    # Refused, not predicted: a network has no head and no threshold for a tracer it never met.
    unknown = [row for row in rows if int(cohort.maps.tracer[row]) not in decisions]
    if unknown:
        trained = ", ".join(TRACERS[number] for number in decisions)
        first = int(cohort.exams.loc[unknown[0], "manifest_row"])
        raise CohortError(
            f"manifest row {first} and {len(unknown) - 1} more have a tracer the networks were not trained on "
            f"(they know {trained}); leave those rows out"
        )
