"""A cohort as a page: what to look at first, then who and what is in it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Final

import numpy as np
import pandas as pd
from markupsafe import Markup

from mpi_model.maps import Maps
from orchestrator.experiment.settings import Experiment
from orchestrator.report.cohort_page.bulls_eyes import bulls_eyes
from orchestrator.report.cohort_page.metadata import metadata
from orchestrator.report.cohort_page.shift import shift
from orchestrator.report.cohort_page.storage import storage, storage_of_exams
from orchestrator.report.figures.drawing import house_style, rendered
from orchestrator.report.figures.flow import flow
from orchestrator.report.layout import Table
from orchestrator.report.manuscript.characteristics import declared_columns, left_out, table_one
from orchestrator.report.manuscript.participants import participants, used_exams
from orchestrator.report.manuscript.tables import traced_tables
from orchestrator.report.page.rendering import environment
from orchestrator.report.records import ReportFigure

_STORED: Final = "the way maps are stored"
_PHASES: Final = "the phases that are there"


@dataclass(frozen=True, slots=True, kw_only=True)
class _CohortSection:
    """A section of the page."""

    key: str
    title: str
    texts: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    figures: tuple[tuple[ReportFigure, ...], ...] = ()
    """Panels with one caption stand together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CohortFacts:
    """What the page is made from; labels of the test partition are among `exams` and are not shown."""

    experiment: Experiment
    exams: pd.DataFrame
    """All exams of the manifest, as in `Cohort.exams`."""
    maps: Maps
    folds: pd.DataFrame
    """`repeat, patient_id, fold`."""
    encodings: pd.DataFrame
    """From `orchestrator.cohort.encodings.encodings`."""
    near_duplicates: tuple[str, ...]
    notices: tuple[str, ...]


def cohort_page(facts: CohortFacts) -> str:
    """The page as HTML that needs nothing else: no script, nothing to load, no patient and no pixel."""
    sections = _sections(facts)
    style = files("orchestrator.report.page").joinpath("templates/style.css").read_text(encoding="utf-8")
    template = environment().get_template("cohort.html")
    return template.render(name=facts.experiment.name, sections=sections, style=Markup(style))


def _sections(facts: CohortFacts) -> Sequence[_CohortSection]:
    experiment, level = facts.experiment, facts.experiment.statistics.level
    used = used_exams(facts.exams, experiment)
    eligible, rows = facts.exams[used].reset_index(drop=True), np.flatnonzero(used)
    maps = _rows_of(facts.maps, rows)
    categories, columns = _categories(eligible, maps, facts.encodings, declared_columns(eligible, experiment))
    told = metadata(categories[categories["partition"] == "development"], columns, level)
    stored = storage(facts.exams, facts.maps, facts.encodings)
    moved = shift(eligible, maps, level)
    ones = traced_tables(table_one(facts.exams, experiment, test_labels=False), "table_one")
    missing = traced_tables(left_out(facts.exams, experiment, test_labels=False), "left_out")
    with house_style():
        diagram = rendered(flow(participants(facts.exams, facts.folds, experiment, test_labels=False)))
        panels = [rendered(one) for one in bulls_eyes(eligible, maps, dict(experiment.statistics.endpoints))]
    warnings = (*told.warnings, *stored.warnings, *(moved.warnings if moved else ()), *facts.near_duplicates)
    return (
        _CohortSection(key="warnings", title="What to look at", texts=warnings or ("Nothing was found.",)),
        _CohortSection(key="flow", title="Patients and exams", tables=_plain(missing.tables), figures=((diagram,),)),
        _CohortSection(key="table-one", title="Characteristics of the patients", tables=_plain(ones.tables)),
        _CohortSection(
            key="metadata",
            title="The label and what stands beside the map",
            texts=() if told.tables else ("Nothing beside the maps differs between exams.",),
            tables=told.tables,
        ),
        _CohortSection(key="maps", title="Maps", figures=tuple(_by_caption(panels).values())),
        _CohortSection(
            key="shift",
            title="Development and test partition",
            texts=() if moved else ("There is no test partition.",),
            tables=moved.tables if moved else (),
        ),
        _CohortSection(
            key="storage",
            title="Files and duplicates",
            texts=(
                "Equal maps under two patients are refused before this page is written.",
                *(facts.near_duplicates or ("No two patients have nearly equal maps.",)),
            ),
            tables=stored.tables,
        ),
        _CohortSection(key="notices", title="Notices", texts=facts.notices or ("None.",)),
    )


def _plain(tables: Sequence[Table]) -> tuple[Table, ...]:
    """The tables without sources: there is no run yet whose summary they could name."""
    return tuple(replace(one, rows=tuple(tuple(str(cell) for cell in row) for row in one.rows)) for one in tables)


def _categories(
    exams: pd.DataFrame, maps: Maps, encodings: pd.DataFrame, declared: Sequence[str]
) -> tuple[pd.DataFrame, list[str]]:
    """The exams with everything that a network might recognise, and the names of those columns."""
    present = pd.Series(maps.has_stress, index=exams.index).map({True: "stress", False: ""})
    present = present + pd.Series(maps.has_rest, index=exams.index).map({True: " rest", False: ""})
    found = exams.assign(**{_STORED: storage_of_exams(exams, maps, encodings), _PHASES: present.str.strip()})
    # Age is a number, and is judged apart.
    return found, [*(name for name in declared if name != "age"), _STORED, _PHASES]


def _rows_of(maps: Maps, rows: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> Maps:
    return Maps(
        stress=maps.stress[rows],
        rest=maps.rest[rows],
        has_stress=maps.has_stress[rows],
        has_rest=maps.has_rest[rows],
        tracer=maps.tracer[rows],
    )


def _by_caption(panels: Sequence[ReportFigure]) -> Mapping[object, tuple[ReportFigure, ...]]:
    groups: dict[object, tuple[ReportFigure, ...]] = {}
    for panel in panels:
        groups[panel.caption] = (*groups.get(panel.caption, ()), panel)
    return groups
