"""Who the patients of several cohorts were, side by side: the table that a validation is read with."""

from collections.abc import Iterator, Mapping
from typing import Final

import pandas as pd

from orchestrator.experiment.settings import StatisticsSettings

_ALWAYS: Final = ("sex",)
_MOST_LEVELS: Final = 8
_MISSING: Final = "—"


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
        name: exams.drop_duplicates("patient_id")[column].fillna("(blank)").astype(str)
        for name, exams in cohorts.items()
        if column in exams
    }
    levels = sorted({value for values in patients.values() for value in values})
    if len(levels) > _MOST_LEVELS:
        return
    for level in levels:
        cells = {name: _share(patients[name] == level) if name in patients else _MISSING for name in cohorts}
        yield f"patients with {column} = {level}", cells


def _share(chosen: "pd.Series[bool]") -> str:
    return f"{int(chosen.sum())} ({chosen.mean():.0%})" if len(chosen) else _MISSING


def _age(exams: pd.DataFrame) -> str:
    if "age" not in exams:
        return _MISSING
    ages = pd.to_numeric(exams.drop_duplicates("patient_id")["age"], errors="coerce").dropna()
    return f"{ages.mean():.1f} ± {ages.std():.1f}" if len(ages) > 1 else _MISSING
