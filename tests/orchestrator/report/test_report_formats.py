"""What a report prints, in every format: complete, labelled, and without anything that names a person or a place."""

import io
import json
import re
from dataclasses import replace

import pandas as pd
import pytest
from rich.console import Console

from orchestrator.experiment.settings import StatisticsSettings
from orchestrator.report.export import _FORMATS, export
from orchestrator.report.figures.of_run import figures_of
from orchestrator.report.models import hardest_exams
from orchestrator.report.records import Report, RunTables
from orchestrator.statistics.roc import roc_curve
from orchestrator.terminal.tables import _render


@pytest.fixture(scope="session")
def report(finished_run: RunTables, summary: pd.DataFrame) -> Report:
    """The finished run's report, figures included."""
    cells = finished_run.cells.copy()
    cells.loc[0, ["state", "reason"]] = ["failed", "TrainingDivergedError: the loss of candidate 3 is not a number"]
    figures = figures_of(finished_run, summary, StatisticsSettings())
    return Report(
        name="thessaly <pilot>",
        summary=summary,
        cells=cells,
        facts={"fold plan": "3f9a", "precision": "fp32"},
        exclusions=(("development", "no rest map", 7),),
        openings=2,
        unstable=hardest_exams(finished_run, 3),
        figures=figures,
        notices=("the manifest has no column `site`",),
    )


def printed(report: Report, format: str, width: int = 120) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    _render(report, format, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("format", ["rich", *_FORMATS])
def test_no_format_names_a_patient(report: Report, finished_run: RunTables, format: str) -> None:
    """Patient and exam identifiers appear in no output; exams are named by their row in the manifest."""
    text = printed(report, format)

    assert "patient-0" not in text
    assert not set(re.findall(r"patient-\d+", text)) & set(finished_run.exams["patient_id"])


@pytest.mark.parametrize("format", ["rich", "markdown", "latex", "html"])
def test_tables_name_what_a_reader_needs(report: Report, format: str) -> None:
    """Tracer and endpoint, the spread called one, the methods, openings, failures and exclusions are all there."""
    text = re.sub(r"\s+", " ", printed(report, format, width=200))

    for expected in (
        "Tc-99m, abnormal perfusion: cross-validation",
        "Tl-201, intermediate or high risk: test partition",
        "standard deviation over folds",
        "within-fold logit",
        "events (positive exams)",
        "opened twice",
        "not a number",
        "no rest map",
        "freeze depth",
    ):
        assert expected in text


@pytest.mark.parametrize("width", [80, 120])
def test_the_terminal_is_not_overrun(report: Report, width: int) -> None:
    """No printed line is wider than the terminal, and no interval is broken at 120 columns."""
    lines = printed(report, "rich", width).splitlines()

    assert max(map(len, lines)) <= width
    assert width == 80 or not [line for line in lines if "[0." in line and line.count("[") != line.count("]")]


def test_no_word_of_what_was_refused_is_broken_in_80_columns(report: Report) -> None:
    """What was refused, of which input configurations and why, is read in a terminal of 80 columns."""
    pair = report.summary["metric"] == "auc_difference"
    refused = report.summary.assign(
        state=report.summary["state"].mask(pair, "refused"),
        reason=report.summary["reason"].mask(pair, "neither interval lies above 0.5: not compared"),
        model=report.summary["model"].mask(pair, "network-segments"),
    )
    narrow, wide = (
        printed(replace(report, summary=refused), "rich", width).partition("\nRefused")[2].partition("Chosen")[0]
        for width in (80, 400)
    )

    assert "network-segments" in narrow
    assert {word for word in narrow.split() if "─" not in word} <= set(wide.split())


def test_every_interval_of_a_table_has_counts_beside_it(report: Report) -> None:
    """In Markdown each table with intervals has a row of patients or a column of patients and events."""
    tables = printed(report, "markdown").split("\n## ")
    with_intervals = [table for table in tables if re.search(r"<br>\[-?\d\.\d{3}, ", table)]

    assert len(with_intervals) >= 8
    assert all("| patients |" in table or "patients (events)" in table for table in with_intervals)


def test_json_is_the_summary_with_null_for_nothing(report: Report, summary: pd.DataFrame) -> None:
    """JSON holds every row and value of the summary; what does not exist is null, never NaN."""
    content = json.loads(export(report, "json"))
    first = content["summary"][0]

    assert len(content["summary"]) == len(summary)
    assert first["estimate"] == summary["estimate"].iloc[0]
    assert first["at"] is None
    assert content["test_openings"] == 2


def test_csv_reads_back_as_the_summary(report: Report, summary: pd.DataFrame) -> None:
    """The CSV is the summary itself: same columns, same numbers."""
    back = pd.read_csv(io.StringIO(export(report, "csv")), keep_default_na=True)

    assert list(back.columns) == list(summary.columns)
    assert back["estimate"].to_numpy() == pytest.approx(summary["estimate"].to_numpy(), nan_ok=True)


def test_html_needs_nothing_from_outside(report: Report) -> None:
    """One page with its figures inside: no script, no link to load, and text from users escaped."""
    page = export(report, "html")

    assert "<script" not in page
    assert not re.search(r'(?:src|href)="(?!#)', page.replace('xlink:href="#', 'xlink:href="#'))
    assert "thessaly &lt;pilot&gt;" in page
    assert page.count("<svg") == len(report.figures) > 0


def test_latex_is_escaped(report: Report) -> None:
    """Percent signs, underscores and pipes of the contents cannot break a LaTeX document."""
    text = export(replace(report, facts={"50 % & more": "a_b#c"}), "latex")

    assert r"50 \% \& more & a\_b\#c \\" in text
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}")


def test_what_is_refused_is_printed_with_its_reason(report: Report) -> None:
    """A refusal is a line of the report, not a gap in it."""
    text = re.sub(r"\s+", " ", printed(report, "markdown"))

    assert "## Refused" in text
    assert "needs calibrated probabilities" in text


def test_an_empty_summary_still_prints(summary: pd.DataFrame) -> None:
    """A run in which nothing finished has a report: its name and what failed."""
    empty = Report(name="stopped", summary=summary.iloc[:0])

    assert {format: bool(printed(empty, format)) for format in ("rich", *_FORMATS)} == dict.fromkeys(
        ("rich", *_FORMATS), True
    )


def test_figures_repeat_and_keep_tracers_apart(report: Report, finished_run: RunTables, summary: pd.DataFrame) -> None:
    """The same tables give the same bytes, and a figure's title names one tracer; searches have none."""
    assert figures_of(finished_run, summary, StatisticsSettings()) == report.figures
    results = [figure for figure in report.figures if figure.section != "search"]
    assert results
    assert all(("Tc-99m" in figure.title) != ("Tl-201" in figure.title) for figure in results)


def test_the_roc_curve_steps_over_ties_at_once() -> None:
    """Tied scores are one point of the curve, whose area is then the AUC with ties as one half."""
    curve = roc_curve(pd.Series([3.0, 2, 2, 1]).to_numpy(), pd.Series([True, True, False, False]).to_numpy())

    assert curve.tolist() == [[0, 0], [0, 0.5], [0.5, 1], [1, 1]]


def test_hardest_exams_are_named_by_manifest_row(finished_run: RunTables) -> None:
    """The exams most often wrong, worst first, by the row of the manifest in which they stand."""
    found = hardest_exams(finished_run, 3)
    rows = finished_run.predictions.query("partition == 'development' and inputs == 'stress' and tracer == 'Tc-99m'")
    wrong = (rows["probability"] >= 0.5) != (rows["label"] == 1)
    worst = wrong.groupby(rows["exam_id"]).mean().max()
    mine = found[(found["tracer"] == "Tc-99m") & (found["inputs"] == "stress")]

    assert mine["repeats_wrong"].iloc[0] == worst
    assert mine["repeats_wrong"].is_monotonic_decreasing
    assert set(found["manifest_row"]) <= set(finished_run.exams["manifest_row"])
