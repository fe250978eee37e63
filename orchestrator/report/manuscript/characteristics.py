"""Table 1: who the patients are, by tracer and partition, with standardised differences; and who was left out.

Only columns that the experiment declares, and age, sex and site, are shown: others may hold anything.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mpi_model.vocabulary import PHASES
from orchestrator.cohort.eligibility import eligible_exams
from orchestrator.cohort.records import PARTITIONS
from orchestrator.experiment.settings import Experiment
from orchestrator.report.layout import MISSING
from orchestrator.statistics.scores import Floats
from orchestrator.statistics.standardised_differences import difference_of_means, difference_of_shares

_ALWAYS: Final = ("age", "sex", "site")
_NOT_CHARACTERISTICS: Final = frozenset({"tracer", "label", "partition", "exam_date", "patient_id", "exam_id"})
_MOST_LEVELS: Final = 8
"""Levels of a column that are shown; the rarer ones of a longer list become one row. All count in the difference."""
_BLANK: Final = "(blank)"
_PER_PATIENT: Final = (
    "Age and other columns of the manifest count each patient once, with the first exam in the manifest's order of ids."
)
_CLOSED: Final = "Labels of the test partition are not shown before it was opened."

_Groups = Mapping[str, pd.DataFrame]


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupValue:
    """What one group has in a row: a count with its share, or a mean with its standard deviation."""

    count: int | None = None
    share: float | None = None
    mean: float | None = None
    sd: float | None = None

    def __str__(self) -> str:
        if self.mean is not None and self.sd is not None:
            return f"{self.mean:.1f} ± {self.sd:.1f}"
        if self.count is None:
            return MISSING
        return str(self.count) if self.share is None else f"{self.count} ({self.share:.0%})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Characteristic:
    """One row of a table: a count, a column as a whole, or one value of a column."""

    name: str
    level: str
    """A value of the column `name`; empty where the row is about the column as a whole."""
    cells: tuple[GroupValue, ...]
    """One a group."""
    difference: float | None
    """Standardised, of the second group from the first; None where there is none, and after a column's first level."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CharacteristicsTable:
    """Groups of exams beside each other."""

    title: str
    groups: tuple[str, ...]
    rows: tuple[Characteristic, ...]
    notes: tuple[str, ...]


def table_one(exams: pd.DataFrame, settings: Experiment, *, test_labels: bool) -> tuple[CharacteristicsTable, ...]:
    """One table a tracer: the eligible exams of development beside those of the test partition.

    Args:
        exams: As in `Cohort.exams`.
        settings: Of the experiment; they declare the columns.
        test_labels: Whether labels of the test partition may be shown: after it was opened.
    """
    cohort = settings.cohort
    masks, _ = eligible_exams(exams, cohort.inputs, cohort.patients, cohort.exams)
    used = exams[np.any(list(masks.values()), axis=0)]
    tables = []
    for tracer in sorted(used["tracer"].unique()):
        mine = used[used["tracer"] == tracer]
        groups = {name: mine[mine["partition"] == name] for name in PARTITIONS if (mine["partition"] == name).any()}
        endpoint = settings.statistics.endpoints.get(str(tracer), "label 1")
        rows = [
            *_counts(groups),
            _events(groups, f"exams with {endpoint}", () if test_labels else ("test",)),
            *_phases(groups),
            *(row for column in declared_columns(mine, settings) for row in _column(column, groups)),
        ]
        notes = [_PER_PATIENT] + [_CLOSED] * (not test_labels and "test" in groups)
        tables.append(_table(str(tracer), groups, rows, notes))
    return tuple(tables)


def left_out(exams: pd.DataFrame, settings: Experiment, *, test_labels: bool) -> tuple[CharacteristicsTable, ...]:
    """One table a partition: the exams that lack a phase beside those with all phases; empty where none is missing.

    Exams that are not a patient's first, where only the first was asked for, are in neither group.

    Args:
        exams: As in `Cohort.exams`.
        settings: Of the experiment.
        test_labels: As in `table_one`.
    """
    complete, chosen = _complete(exams, settings), _complete(exams.assign(has_stress=True, has_rest=True), settings)
    tables = []
    for partition in PARTITIONS:
        inside = (exams["partition"] == partition).to_numpy()
        groups = {"all phases": exams[inside & complete], "a phase missing": exams[inside & chosen & ~complete]}
        if not len(groups["a phase missing"]):
            continue
        closed = partition == "test" and not test_labels
        # Label by tracer, because label 1 means another thing for each.
        events = [
            _events(
                {name: frame[frame["tracer"] == tracer] for name, frame in groups.items()},
                f"{tracer} exams with {settings.statistics.endpoints.get(str(tracer), 'label 1')}",
                tuple(groups) if closed else (),
            )
            for tracer in sorted(exams.loc[inside, "tracer"].unique())
        ]
        columns = [name for name in ("age", "sex") if name in exams]
        # Of exams: a patient studied with both tracers would count for the first one only.
        tracers = [replace(row, name="exams by tracer") for row in _levels("tracer", groups)]
        rows = [*_counts(groups), *tracers, *events]
        rows += [row for column in columns for row in _column(column, groups)]
        title = f"{partition.capitalize()}: exams that lack a phase, beside the others"
        tables.append(_table(title, groups, rows, [_PER_PATIENT] + [_CLOSED] * closed))
    return tuple(tables)


def declared_columns(exams: pd.DataFrame, settings: Experiment) -> list[str]:
    """Age, sex, site, and the columns that the experiment names as strata or subgroups, where the cohort has them."""
    declared = (*_ALWAYS, *settings.folds.stratify, *settings.statistics.subgroups)
    return [
        name
        for name in dict.fromkeys(declared)
        if name in exams and name not in _NOT_CHARACTERISTICS and exams[name].notna().any()
    ]


def _complete(exams: pd.DataFrame, settings: Experiment) -> NDArray[np.bool_]:
    """`[N]`, the exams that have every phase that some input configuration needs."""
    masks, _ = eligible_exams(exams, settings.cohort.inputs, "common", settings.cohort.exams)
    complete: NDArray[np.bool_] = np.all(list(masks.values()), axis=0)
    return complete


def _table(title: str, groups: _Groups, rows: list[Characteristic], notes: list[str]) -> CharacteristicsTable:
    return CharacteristicsTable(title=title, groups=tuple(groups), rows=tuple(rows), notes=tuple(notes))


def _counts(groups: _Groups) -> list[Characteristic]:
    return [
        Characteristic(
            name=name,
            level="",
            cells=tuple(GroupValue(count=int(count(frame))) for frame in groups.values()),
            difference=None,
        )
        for name, count in (("patients", lambda frame: frame["patient_id"].nunique()), ("exams", len))
    ]


def _events(groups: _Groups, name: str, hidden: tuple[str, ...]) -> Characteristic:
    """Exams with label 1; no difference where a group's labels are hidden."""
    tables = {group: _tabulated(frame["label"], [0, 1]) for group, frame in groups.items()}
    cells = tuple(GroupValue() if group in hidden else _share(counts[1], counts) for group, counts in tables.items())
    shown = [counts for group, counts in tables.items() if group not in hidden]
    return Characteristic(name=name, level="", cells=cells, difference=_between(shown, difference_of_shares))


def _phases(groups: _Groups) -> list[Characteristic]:
    rows = []
    for phase in PHASES:
        tables = [_tabulated(frame[f"has_{phase}"], [False, True]) for frame in groups.values()]
        if not any(counts[0] for counts in tables):
            continue  # every exam has it
        cells = tuple(_share(counts[1], counts) for counts in tables)
        difference = _between(tables, difference_of_shares)
        rows.append(Characteristic(name=f"exams with a {phase} map", level="", cells=cells, difference=difference))
    return rows


def _column(column: str, groups: _Groups) -> list[Characteristic]:
    """A column of numbers as mean and SD, another one by its values; each patient counts once."""
    patients = {name: frame.drop_duplicates("patient_id") for name, frame in groups.items()}
    values = pd.concat([frame[column] for frame in patients.values()]).dropna()
    numbers = pd.to_numeric(values, errors="coerce")
    is_measure = column == "age" or numbers.nunique() > _MOST_LEVELS
    if not is_measure or numbers.isna().any():
        return _levels(column, patients)
    known = [pd.to_numeric(frame[column]).dropna().to_numpy(np.float64) for frame in patients.values()]
    mean = Characteristic(
        name=f"{column}, mean ± SD",
        level="",
        cells=tuple(
            GroupValue(mean=float(one.mean()), sd=float(one.std(ddof=1))) if len(one) > 1 else GroupValue()
            for one in known
        ),
        difference=_between(known, difference_of_means),
    )
    missing = [frame[column].isna() for frame in patients.values()]
    if not any(one.any() for one in missing):
        return [mean]
    cells = tuple(GroupValue(count=int(one.sum())) for one in missing)
    return [mean, Characteristic(name=f"{column}, not known", level="", cells=cells, difference=None)]


def _levels(column: str, groups: _Groups) -> list[Characteristic]:
    """One row a value, counting the rows of the frames; where there are many, the rarer ones together in the last."""
    values = {name: frame[column].fillna(_BLANK).astype(str) for name, frame in groups.items()}
    counts = pd.concat(list(values.values())).value_counts()
    levels = sorted(counts.index) if len(counts) <= _MOST_LEVELS else sorted(counts.index[: _MOST_LEVELS - 1])
    tables = [_tabulated(one, sorted(counts.index)) for one in values.values()]
    difference = _between(tables, difference_of_shares)
    named = [(level, [one == level for one in values.values()]) for level in levels]
    if len(levels) < len(counts):
        named.append((f"{len(counts) - len(levels)} others", [~one.isin(levels) for one in values.values()]))
    rows: list[Characteristic] = []
    for level, chosen in named:
        cells = tuple(_share(int(one.sum()), table) for one, table in zip(chosen, tables, strict=True))
        # The difference belongs to the column; it stands beside its first level.
        rows.append(Characteristic(name=column, level=level, cells=cells, difference=None if rows else difference))
    return rows


def _tabulated(values: "pd.Series[Any]", levels: Sequence[object]) -> Floats:
    """`[K]`, how often each level occurs."""
    return np.array([(values == level).sum() for level in levels], dtype=np.float64)


def _share(count: float, of: Floats) -> GroupValue:
    total = float(of.sum())
    return GroupValue(count=int(count), share=float(count) / total) if total else GroupValue()


def _between(groups: Sequence[Floats], difference: Callable[[Floats, Floats], float | None]) -> float | None:
    return difference(groups[0], groups[1]) if len(groups) == 2 else None
