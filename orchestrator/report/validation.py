"""The report of an external validation: the rows of a test partition for each cohort, and what only it needs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from mpi_model.errors import StatisticsError
from orchestrator.cells.records import NETWORK
from orchestrator.cohort.records import Exclusion
from orchestrator.experiment.settings import StatisticsSettings
from orchestrator.ledger.reading import Run
from orchestrator.report.build import run_tables
from orchestrator.report.layout import MISSING
from orchestrator.report.models import Tested
from orchestrator.report.records import EVERYONE, Report
from orchestrator.report.rows import Group, Row, summary_frame
from orchestrator.report.stored import stored_facts
from orchestrator.report.summary import summarise
from orchestrator.statistics.calibration import brier_score
from orchestrator.statistics.map_distances import QUANTILE, MapDistances
from orchestrator.statistics.patient_means import mean_by_patient
from orchestrator.statistics.proportions import wilson_interval
from orchestrator.statistics.recalibration import recalibrated
from orchestrator.statistics.scores import PatientScores

_REFITTED = "refitted on the exams that it is judged on: what would have to change, not a validation"
_DISTANCE = "Mahalanobis distance of the maps' segment means"
_ALWAYS = ("sex",)
# Of a column that makes a case-mix table.
_MOST_LEVELS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """What a run's final networks say about one cohort of another centre."""

    name: str
    exams: pd.DataFrame
    """The exams that were predicted, as in `Cohort.exams`."""
    predictions: pd.DataFrame
    """`patient_id, exam_id, tracer, inputs, score, probability, threshold, positive, label, distance`."""
    references: Mapping[tuple[str, str], MapDistances | str]
    """By inputs and tracer: distances of the maps from the development maps, or why there are none."""
    inputs: tuple[str, ...]
    """The input configurations that the cohort has maps for."""
    common: bool
    """Whether all of them were judged on the same exams, so that they may be compared."""
    exclusions: tuple[Exclusion, ...] = ()
    uses: int = 1
    """How often the cohort was used for a validation, over all experiments of the folder."""
    networks: int = 1
    """By how many different sets of frozen networks and settings."""
    notices: tuple[str, ...] = field(default=())

    @property
    def partition(self) -> str:
        """The cohort's `partition` in the summary."""
        return f"validation {self.name}"


def validation_report(run: Run, validations: Sequence[Validation]) -> Report:
    """The report of one or several validations of a run."""
    description = run.description
    settings, inputs = description.settings.statistics, description.settings.cohort.inputs
    frames = [_own_auc_rows(run), *(_summary(run, one, settings) for one in validations)]
    missing = [(one.name, name) for one in validations for name in inputs if name not in one.inputs]
    return Report(
        name=f"{description.name}: validation on {', '.join(one.name for one in validations)}",
        summary=pd.concat([frame for frame in frames if len(frame)], ignore_index=True),
        facts=stored_facts(description, run.cells),
        statistics=settings,
        exclusions=tuple((one.partition, item.reason, item.count) for one in validations for item in one.exclusions),
        case_mix=case_mix({"development": _development(run), **{one.name: one.exams for one in validations}}, settings),
        validations={one.name: (one.uses, one.networks) for one in validations},
        notices=(
            *(f"{name}: no exam has the maps that {inputs} inputs need" for name, inputs in missing),
            *(f"{one.name}: {notice}" for one in validations for notice in one.notices),
        ),
    )


def predictions_of(validations: Sequence[Validation]) -> pd.DataFrame:
    """The predictions of all cohorts in one table, the cohort's name first."""
    tables = [one.predictions.assign(cohort=one.name) for one in validations]
    found = pd.concat(tables, ignore_index=True)
    return found[["cohort", *(name for name in found.columns if name != "cohort")]]


def _own_auc_rows(run: Run) -> pd.DataFrame:
    """The run's own leading AUCs, to stand beside those of the new cohorts."""
    if not run.paths.summary.exists():
        return pd.DataFrame()
    rows = run.summary
    return rows[
        (rows["metric"] == "auc") & rows["primary"] & (rows["subgroup"] == EVERYONE) & (rows["model"] == NETWORK)
    ]


def _development(run: Run) -> pd.DataFrame:
    """The development exams that networks were judged on."""
    predictions = run.predictions
    used = predictions.loc[predictions["partition"] == "development", "exam_id"]
    return run.cohort[run.cohort["exam_id"].isin(used)]


def _summary(run: Run, validation: Validation, settings: StatisticsSettings) -> pd.DataFrame:
    """The summary of one cohort: that of a test partition, then recalibration and distances."""
    tables = run_tables(run)
    known = tables.of(NETWORK).predictions
    known = known[known["partition"] == "development"]
    # The members were made one model when they predicted, so there is one row an exam.
    new = validation.predictions.assign(partition="test", model=NETWORK, member=0)
    joined = replace(
        tables,
        predictions=pd.concat([known, new[[name for name in known.columns if name in new]]], ignore_index=True),
        exams=validation.exams,
        inputs=validation.inputs,
        patients="common" if validation.common else "available",
    )
    found = summarise(joined, settings, partitions=("test",))
    # Computed as a test partition, because the rules are the same; renamed for the report.
    found["partition"] = validation.partition
    found["estimand"] = found["estimand"].replace("final network", "frozen network")
    return pd.concat([found, summary_frame(list(_further_rows(validation, settings)))], ignore_index=True)


def _further_rows(validation: Validation, settings: StatisticsSettings) -> Iterator[Row]:
    for (inputs, tracer), reference in validation.references.items():
        rows = validation.predictions.query("inputs == @inputs and tracer == @tracer").assign(member=0)
        group = Group(
            partition=validation.partition,
            tracer=tracer,
            endpoint=settings.endpoints.get(tracer, "label 1"),
            inputs=inputs,
            model=NETWORK,
            level=settings.level,
        )
        try:
            model = Tested.of(rows)
        except StatisticsError:
            continue  # one class alone: the AUC's row says so
        group = group.counted(model.scores.exams)
        distances = rows.set_index("exam_id")["distance"].reindex(list(model.exam_ids)).to_numpy(np.float64)
        yield from _recalibration_rows(group, model)
        yield from _distance_rows(group, model, reference, distances)


def _recalibration_rows(group: Group, model: Tested) -> list[Row]:
    exams = model.scores.exams
    try:
        found = recalibrated(PatientScores(exams=exams, scores=model.probabilities), group.level)
    except StatisticsError as error:
        return [group.refusal("recalibration_slope", "refitted here", "; ".join(error.problems), primary=True)]
    brier = brier_score(PatientScores(exams=exams, scores=found.held_out))
    return [
        group.interval("recalibration_intercept", found.intercept, primary=True, reason=_REFITTED),
        group.interval("recalibration_slope", found.slope, primary=True, reason=_REFITTED),
        group.row("brier_recalibrated", "refitted here in nine tenths", estimate=brier, primary=True),
    ]


def _distance_rows(
    group: Group,
    model: Tested,
    reference: MapDistances | str,
    distances: "np.ndarray[tuple[int], np.dtype[np.float64]]",
) -> list[Row]:
    if isinstance(reference, str):
        return [group.refusal("map_distance_ratio", _DISTANCE, reference, primary=True)]
    # By patient, so that several maps of one patient do not narrow the interval.
    beyond = mean_by_patient((distances > reference.limit).astype(np.float64), model.scores.exams)
    return [
        group.row("map_distance_ratio", "median of exams", estimate=reference.ratio, primary=True, reason=_DISTANCE),
        group.interval(
            "maps_beyond_development", wilson_interval(beyond, group.level), at=QUANTILE, primary=True, reason=_DISTANCE
        ),
    ]


def case_mix(cohorts: Mapping[str, pd.DataFrame], settings: StatisticsSettings) -> pd.DataFrame:
    """Counts, events, age, sex and subgroups of each cohort, tracer by tracer.

    Args:
        cohorts: Exams by the cohort's name, as in `Cohort.exams`.
        settings: The endpoints and the columns of subgroups.

    Returns:
        `tracer, endpoint, measure` and one column of texts a cohort.
    """
    tracers = sorted({str(tracer) for exams in cohorts.values() for tracer in exams["tracer"]})
    columns = tuple(dict.fromkeys((*_ALWAYS, *settings.subgroups)))
    rows = []
    for tracer in tracers:
        mine = {name: exams[exams["tracer"] == tracer] for name, exams in cohorts.items()}
        for measure, cells in _measures(mine, columns):
            endpoint = settings.endpoints.get(tracer, "label 1")
            rows.append({"tracer": tracer, "endpoint": endpoint, "measure": measure, **cells})
    return pd.DataFrame(rows, columns=["tracer", "endpoint", "measure", *cohorts])


def _measures(cohorts: Mapping[str, pd.DataFrame], columns: tuple[str, ...]) -> Iterator[tuple[str, dict[str, str]]]:
    yield "patients", {name: str(exams["patient_id"].nunique()) for name, exams in cohorts.items()}
    yield "exams", {name: str(len(exams)) for name, exams in cohorts.items()}
    yield "events (positive exams)", {name: _share(exams["label"] == 1) for name, exams in cohorts.items()}
    for phase in ("stress", "rest"):
        yield f"exams with a {phase} map", {name: _share(exams[f"has_{phase}"]) for name, exams in cohorts.items()}
    if any("age" in exams for exams in cohorts.values()):
        yield "age, mean ± SD over patients", {name: _age(exams) for name, exams in cohorts.items()}
    for column in columns:
        yield from _levels(cohorts, column)


def _levels(cohorts: Mapping[str, pd.DataFrame], column: str) -> Iterator[tuple[str, dict[str, str]]]:
    """One row a value of a column; a column of many values, such as a date, makes no table."""
    patients = {
        name: exams.drop_duplicates("patient_id")[column].astype(object).fillna("(blank)").astype(str)
        for name, exams in cohorts.items()
        if column in exams
    }
    levels = sorted({value for values in patients.values() for value in values})
    if len(levels) > _MOST_LEVELS:
        return
    for level in levels:
        cells = {name: _share(patients[name] == level) if name in patients else MISSING for name in cohorts}
        yield f"patients with {column} = {level}", cells


def _share(chosen: "pd.Series[bool]") -> str:
    return f"{int(chosen.sum())} ({chosen.mean():.0%})" if len(chosen) else MISSING


def _age(exams: pd.DataFrame) -> str:
    if "age" not in exams:
        return MISSING
    ages = pd.to_numeric(exams.drop_duplicates("patient_id")["age"], errors="coerce").dropna()
    return f"{ages.mean():.1f} ± {ages.std():.1f}" if len(ages) > 1 else MISSING
