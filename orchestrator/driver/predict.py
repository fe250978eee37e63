"""Predictions of frozen networks for new exams; no label is read, and nothing is estimated.

Networks come from a run, from an exported folder, or from several of either, which then make one ensemble.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.special import expit

from mpi_model.determinism import single_threaded
from mpi_model.errors import CohortError
from mpi_model.maps import Maps
from mpi_model.pipeline import Pipeline
from mpi_model.prediction import predict_scores
from mpi_model.vocabulary import PHASES_OF, TRACERS, Inputs
from orchestrator.cohort.exam_parts import ImageReader, exam_parts, text_problems
from orchestrator.cohort.manifest import ManifestExam
from orchestrator.cohort.problems import Problem, lines_of, rows_text
from orchestrator.cohort.records import Cohort
from orchestrator.cohort.segments import segment_means
from orchestrator.driver.final_model import FinalModel
from orchestrator.ledger.reading import Run
from orchestrator.monitoring.progress import Progress, shown
from orchestrator.statistics.map_distances import MapReference
from orchestrator.statistics.members import Model

COLUMNS: Final = (
    "patient_id",
    "exam_id",
    "tracer",
    "inputs",
    "model",
    "score",
    "probability",
    "threshold",
    "positive",
    "relative_distance",
    "outside",
)
"""The columns of a prediction."""
_Shape = tuple[int, int]
"""Pixels a side and channels."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ensemble:
    """What predicts: the pipelines of one input configuration, of one run or of several."""

    name: str
    """The run's or export's name; `ensemble of a, b` where there are several."""
    pipelines: tuple[Pipeline, ...]

    @property
    def inputs(self) -> Inputs:
        """The input configuration."""
        return self.pipelines[0].config.inputs

    @property
    def tracers(self) -> frozenset[int]:
        """The numbers of the tracers that every one of them was trained on."""
        known = [np.flatnonzero(~one.threshold.isnan().numpy()).tolist() for one in self.pipelines]
        return frozenset(known[0]).intersection(*known[1:])

    def reads(self, exam: ManifestExam) -> bool:
        """Whether an exam has the phases."""
        return all(phase in exam.images for phase in PHASES_OF[self.inputs])


def predict_exams(ensembles: Sequence[Ensemble], manifest: Path, progress: Progress) -> Iterator[pd.DataFrame]:
    """Predict every exam of a manifest with every input configuration whose phases it has, a part at a time.

    Args:
        ensembles: One an input configuration.
        manifest: New exams; a `label` column may be missing and is not read.
        progress: Shows how many exams are predicted.

    Yields:
        `COLUMNS`, of some hundred exams in the manifest's order; all of them are to be dropped where an error follows.

    Raises:
        CohortError: The manifest or an image is unusable, or of a kind that the networks were not trained on. What is
            wrong with the text is said before the first prediction, what is wrong with images after the last.
    """
    with shown(progress, "checking exams"):
        count, problems = text_problems(manifest)
        if not problems:
            problems = [problem for part in exam_parts(manifest) for problem in _unanswerable(ensembles, part)]
    if problems:
        raise CohortError(*lines_of(problems))
    yield from _predicted(ensembles, exam_parts(manifest), count, progress)


def predict_images(ensembles: Sequence[Ensemble], exam: ManifestExam, progress: Progress) -> pd.DataFrame:
    """Predict one exam that is given by its images.

    Raises:
        CohortError: As `predict_exams`.
    """
    if problems := _unanswerable(ensembles, [exam]):
        raise CohortError(*lines_of(problems))
    return pd.concat(_predicted(ensembles, iter([(exam,)]), 1, progress), ignore_index=True)


def _predicted(
    ensembles: Sequence[Ensemble], parts: Iterator[tuple[ManifestExam, ...]], count: int, progress: Progress
) -> Iterator[pd.DataFrame]:
    reader, done = ImageReader(), 0
    with shown(progress, "predicting exams", count):
        for part in parts:
            maps = _maps_of(part, ensembles, reader)
            # One problem is enough to drop everything; the other images are read to report all problems together.
            if not reader.problems:
                # Every exam is read by one of them at least; the others may have none in this part.
                asked = [one for one in ensembles if any(map(one.reads, part))]
                with single_threaded():
                    yield pd.concat([_frame(one, part, maps) for one in asked], ignore_index=True)
            done += len(part)
            progress.advance(done)
    reader.check()


def _maps_of(exams: Sequence[ManifestExam], ensembles: Sequence[Ensemble], reader: ImageReader) -> dict[_Shape, Maps]:
    """The images of some exams, once for every size that a pipeline reads."""
    shapes = {(one.config.size, one.config.channels): None for each in ensembles for one in each.pipelines}
    return {
        shape: reader.read(exams, size=shape[0], channels=shape[1], remember=number == 0)
        for number, shape in enumerate(shapes)
    }


def _frame(ensemble: Ensemble, exams: Sequence[ManifestExam], maps: dict[_Shape, Maps]) -> pd.DataFrame:
    """`COLUMNS` of the exams that have the ensemble's phases."""
    rows = np.array([place for place, exam in enumerate(exams) if ensemble.reads(exam)], dtype=np.int64)
    mine = [exams[row] for row in rows]
    answers = [_answer(one, maps[one.config.size, one.config.channels], rows) for one in ensemble.pipelines]
    # Several runs are averaged to one model in the same way as the members of one run.
    model = Model.of(
        *(
            np.stack([getattr(answer, name) for answer, _ in answers])
            for name in ("scores", "probabilities", "thresholds")
        )
    )
    distances = np.stack([distance for _, distance in answers])
    # Outside for one of them is outside; not known for one of them is not known.
    farthest = distances.max(axis=0)
    outside = pd.array(farthest > 1, dtype="Int64")
    outside[np.isnan(farthest)] = pd.NA
    return pd.DataFrame(
        {
            "patient_id": pd.array([exam.patient_id for exam in mine], dtype="str"),
            "exam_id": pd.array([exam.exam_id for exam in mine], dtype="str"),
            "tracer": pd.array([exam.tracer for exam in mine], dtype="str"),
            "inputs": pd.array([ensemble.inputs] * len(mine), dtype="str"),
            "model": pd.array([ensemble.name] * len(mine), dtype="str"),
            "score": model.scores,
            "probability": model.probabilities,
            "threshold": model.thresholds,
            "positive": (model.probabilities >= model.thresholds).astype(np.int64),
            "relative_distance": farthest,
            "outside": outside,
        }
    )


def _answer(pipeline: Pipeline, maps: Maps, rows: NDArray[np.int64]) -> tuple[Model, NDArray[np.float64]]:
    """What the members of a pipeline say, as one model, and the exams' distances as multiples of the limit."""
    tracers = maps.tracer[rows]
    scores = np.stack(
        [predict_scores(member, maps, rows, device=torch.device("cpu")) for member in pipeline.members]  # type: ignore[arg-type] # a ModuleList does not know its kind
        if len(rows)
        else [np.zeros(0)] * len(pipeline.members)
    )
    slope, intercept = pipeline.slope.numpy()[:, tracers], pipeline.intercept.numpy()[:, tracers]
    thresholds = np.broadcast_to(pipeline.threshold.numpy()[tracers], scores.shape)
    model = Model.of(scores, expit(slope * scores + intercept), thresholds)
    return model, _distances(pipeline, maps, rows)


def _distances(pipeline: Pipeline, maps: Maps, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    phases = PHASES_OF[pipeline.config.inputs]
    means = np.concatenate(
        [segment_means((maps.stress if phase == "stress" else maps.rest)[rows]).mean(axis=1) for phase in phases],
        axis=1,
    )
    found = np.full(len(rows), np.nan)
    for number in np.unique(maps.tracer[rows]).tolist():
        limit = float(pipeline.limit[number])
        if not np.isnan(limit):
            mine = maps.tracer[rows] == number
            per_scale = pipeline.per_scale[number].numpy()
            scale = np.divide(1.0, per_scale, out=np.full_like(per_scale, np.inf), where=per_scale > 0)
            reference = MapReference(
                centre=pipeline.centre[number].numpy(), scale=scale, precision=pipeline.precision[number].numpy()
            )
            found[mine] = reference.distances(means[mine]) / limit
    return found


def _unanswerable(ensembles: Sequence[Ensemble], exams: Sequence[ManifestExam]) -> list[Problem]:
    """Exams that no network may answer: without the phases that any reads, or of a tracer it has never met."""
    problems = []
    known = frozenset.intersection(*(one.tracers for one in ensembles))
    names = ", ".join(TRACERS[number] for number in sorted(known))
    for exam in exams:
        # A network has no head and no threshold for a tracer it never met.
        if exam.tracer is None or TRACERS.index(exam.tracer) not in known:
            line = (
                f"{rows_text([exam.row])}: a tracer the networks were not trained on (they know {names}); leave it out"
            )
            problems.append(Problem(kind="unknown tracer", line=line))
        elif not any(one.reads(exam) for one in ensembles):
            read = " or ".join(" and ".join(PHASES_OF[one.inputs]) for one in ensembles)
            line = f"{rows_text([exam.row])}: the networks read {read}, and a phase is missing; leave it out"
            problems.append(Problem(kind="missing phase", line=line))
    return problems


def predict_rows(run: Run, cohort: Cohort, inputs: Inputs, rows: NDArray[np.int64]) -> pd.DataFrame:
    """What the final networks of one input configuration say about some exams of a cohort in memory.

    Args:
        run: A run with its final networks.
        cohort: N exams.
        inputs: The input configuration.
        rows: Exams that have its phases.

    Returns:
        `patient_id, exam_id, tracer, inputs, score, probability, threshold, positive`, in the order of `rows`.

    Raises:
        IncompleteRunError: There are no such networks.
        CohortError: An exam is of a kind the networks were not trained on.
    """
    pipeline = FinalModel.of(run, inputs).pipeline
    ensemble = Ensemble(name=run.paths.name, pipelines=(pipeline,))
    maps = with_channels(cohort.maps, pipeline.config.channels)
    unknown = [row for row in rows if int(maps.tracer[row]) not in ensemble.tracers]
    if unknown:
        trained = ", ".join(TRACERS[number] for number in sorted(ensemble.tracers))
        first = int(cohort.exams.loc[unknown[0], "manifest_row"])
        raise CohortError(
            f"manifest row {first} and {len(unknown) - 1} more have a tracer the networks were not trained on "
            f"(they know {trained}); leave those rows out"
        )
    model, _ = _answer(pipeline, maps, rows)
    found = cohort.exams.loc[rows, ["patient_id", "exam_id", "tracer"]].reset_index(drop=True)
    return found.assign(
        inputs=inputs,
        score=model.scores,
        probability=model.probabilities,
        threshold=model.thresholds,
        positive=(model.probabilities >= model.thresholds).astype(np.int64),
    )


def with_channels(maps: Maps, channels: int) -> Maps:
    """Grey maps repeated for networks trained on colour; colour maps mean nothing to networks trained on grey."""
    found = maps.stress.shape[1]
    if found == channels:
        return maps
    if found == 1:
        return replace(maps, stress=np.repeat(maps.stress, 3, axis=1), rest=np.repeat(maps.rest, 3, axis=1))
    raise CohortError("the manifest names colour images, but the networks were trained on grey ones; export them alike")
