"""What `polarmap check` and `polarmap.check` answer: the cohort as it will be used. No Ray, no statistics.

No torch either, unless the experiment names a file of weights: only the network itself says whether they are its own.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pandas as pd

from mpi_model.errors import CohortError, ExperimentError
from orchestrator.cohort.loading import load_cohort
from orchestrator.driver.prepare import Prepared, prepare, pretrained_state, weights_of
from orchestrator.driver.resume import resume_summary
from orchestrator.experiment.file import load_experiment, read_toml
from orchestrator.experiment.processor import check_precision, device_for
from orchestrator.monitoring.progress import Progress, shown

_SMALL: Final = 32
"""Pixels: enough to see whether an image can be read, where the experiment does not say how large it should be."""
_COHORT_COLUMNS = ("partition", "tracer", "inputs", "endpoint", "patients", "exams", "positive", "negative")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExamGroup:
    """The exams of one partition and tracer, and the input configurations that use exactly these."""

    partition: str
    tracer: str
    endpoint: str
    """What label 1 means for this tracer."""
    inputs: tuple[str, ...]
    exams: pd.DataFrame


@dataclass(frozen=True, slots=True, kw_only=True)
class CohortCheck:
    """A cohort without problems; where there are any, `polarmap.check` raises them all in one error."""

    experiment: str
    """The experiment's name."""
    cohort: pd.DataFrame
    """One row a partition, tracer and group of input configurations: `partition, tracer, inputs, endpoint, patients,
    exams, positive, negative`; the last three count exams."""
    exclusions: pd.DataFrame
    """`partition, reason, exams`: what is in the manifest and not used."""
    notices: tuple[str, ...]
    """What a person should know and decide about."""
    resumes: str | None
    """What a run would go on from, as a sentence; None where there is no run directory yet."""

    def to_dict(self) -> dict[str, object]:
        """The keys of `polarmap check --json`, for `json.dumps`."""
        return {
            "experiment": self.experiment,
            "problems": [],
            "cohort": [{**row, "inputs": str(row["inputs"]).split(", ")} for row in records(self.cohort)],
            "exclusions": records(self.exclusions),
            "notices": list(self.notices),
            "resumes": self.resumes,
        }

    def _repr_html_(self) -> str:
        """The cohort's table, in a notebook."""
        return self.cohort.to_html(index=False, border=0)


def check_experiment(
    path: Path, overrides: Sequence[str] | Mapping[str, object], progress: Progress
) -> tuple[CohortCheck, Prepared]:
    """Check an experiment file, its cohort, its folds and the run directory of its name.

    Args:
        path: The experiment file.
        overrides: Settings that take the place of the file's; see `load_experiment`.
        progress: Shows how many maps are read.

    Returns:
        What there is to say, and what was read for it.

    Raises:
        PolarmapError: All problems together, of the file and of the cohort.
    """
    try:
        loaded = load_experiment(path, overrides)
        check_precision(loaded.experiment.training.precision, device_for(loaded.experiment.resources))
    except ExperimentError as error:
        raise ExperimentError(*error.problems, *_cohort_problems(path)) from error
    prepared = prepare(loaded, progress)
    if loaded.experiment.network.weights not in ("imagenet", "random"):
        # ImageNet's are known by their digest; what a file of somebody's own holds, only the network can tell.
        with shown(progress, "reading the pretrained weights"):
            pretrained_state(prepared, weights_of(loaded))
    # Last, because it compares the stored run with an experiment that is known to be right.
    return check_of(prepared, resume_summary(prepared)), prepared


def _cohort_problems(path: Path) -> tuple[str, ...]:
    """The problems of a cohort whose experiment file is wrong itself, as far as its manifest can be found."""
    try:
        # Read without the schema, which has just refused the file: only the manifest's path is needed.
        section = read_toml(path).get("cohort")
        manifest = section.get("manifest") if isinstance(section, dict) else None
        if isinstance(manifest, str):
            load_cohort(path.resolve().parent / manifest, size=_SMALL)
    except CohortError as error:
        return error.problems
    except ExperimentError:
        return ()
    return ()


def check_of(prepared: Prepared, resumes: str | None = None) -> CohortCheck:
    """What there is to say about a cohort that has no problems.

    Args:
        prepared: The experiment with its cohort and fold plan.
        resumes: What a run would go on from, from `resume_summary`.
    """
    rows = [
        (
            group.partition,
            group.tracer,
            ", ".join(group.inputs),
            group.endpoint,
            group.exams["patient_id"].nunique(),
            len(group.exams),
            int(group.exams["label"].sum()),
            len(group.exams) - int(group.exams["label"].sum()),
        )
        for group in exam_groups(prepared)
    ]
    exclusions = [(item.partition, item.reason, item.count) for item in prepared.exclusions]
    return CohortCheck(
        experiment=prepared.loaded.experiment.name,
        cohort=pd.DataFrame(rows, columns=list(_COHORT_COLUMNS)),
        exclusions=pd.DataFrame(exclusions, columns=["partition", "reason", "exams"]),
        notices=prepared.notices,
        resumes=resumes,
    )


def exam_groups(prepared: Prepared) -> Iterator[ExamGroup]:
    """Every partition and tracer; input configurations that use the same exams share a group."""
    exams, endpoints = prepared.cohort.exams, prepared.loaded.experiment.statistics.endpoints
    sharing: dict[bytes, list[str]] = {}
    for name, mask in prepared.eligible.items():
        # Equal masks select equal exams, so their counts are shown once.
        sharing.setdefault(mask.tobytes(), []).append(name)
    for partition in ("development", "test"):
        for tracer in sorted(exams["tracer"].unique()):
            for names in sharing.values():
                mask = prepared.eligible[names[0]]  # type: ignore[index] # a key of the same mapping
                chosen = exams[mask & (exams["partition"] == partition) & (exams["tracer"] == tracer)]
                if len(chosen):
                    endpoint = endpoints.get(tracer, "label 1")
                    yield ExamGroup(
                        partition=partition, tracer=tracer, endpoint=endpoint, inputs=tuple(names), exams=chosen
                    )


def records(frame: pd.DataFrame) -> list[dict[str, object]]:
    """The rows of a table with plain Python numbers, for `json.dumps`."""
    # As objects, pandas gives Python's numbers; NumPy's cannot be written as JSON.
    return [{str(key): value for key, value in row.items()} for row in frame.astype(object).to_dict("records")]
