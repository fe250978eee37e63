"""The page: its sections, what every number is traced to, and that nothing of a patient or of markup gets into it."""

import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest

from orchestrator.experiment.settings import Noninferiority, StatisticsSettings
from orchestrator.report.export import export
from orchestrator.report.figures.of_run import figures_of
from orchestrator.report.page.sections import TITLES
from orchestrator.report.records import Report, RunTables
from orchestrator.report.run_extracts import extracts_of
from orchestrator.report.summary import summarise

HOSTILE = '<script>alert(1)</script> | $\\frac{ \\input{x} `a` [b](c) "q" _u_ & %'
MARKED = 0.712345001
FORMULA = "=HYPERLINK(1)"
SETTINGS = StatisticsSettings(
    noninferiority=Noninferiority(pair="stress-dual", margin=0.05),
    endpoints={"Tc-99m": HOSTILE, "Tl-201": FORMULA},
    subgroups=("sex",),
)


@pytest.fixture(scope="module")
def tables(finished_run: RunTables, attributions: pd.DataFrame) -> RunTables:
    """The finished run with marked ids, hostile subgroups, maps with marked values, a search, and attributions."""
    generator = np.random.default_rng(5)
    exams = finished_run.exams.assign(sex=lambda rows: rows["sex"].map({"F": HOSTILE, "M": FORMULA}))
    names = [f"{phase}_segment_{number}" for phase in ("stress", "rest") for number in range(1, 18)]
    maps = pd.DataFrame(0.7 + 0.01234567 * generator.random((len(exams), 34)), columns=names)
    maps["stress_segment_1"] = MARKED
    cells = finished_run.cells.assign(candidate=1)
    candidates = pd.concat(
        [cells.assign(candidate=number, state="complete" if number else "pruned", epochs=3) for number in range(4)]
    )
    candidates["objective"] = np.where(candidates["state"] == "complete", generator.random(len(candidates)), np.nan)
    candidates["hp_head_learning_rate"] = 10 ** generator.uniform(-4, -1, len(candidates))
    keys = ["inputs", "partition", "repeat", "fold", "candidate"]
    epochs = candidates[keys].merge(pd.DataFrame({"epoch": [1, 2, 3]}), how="cross").assign(inner_fold=0)
    for column in ("training_loss", "validation_loss", "validation_auc"):
        epochs[column] = generator.random(len(epochs))
    return replace(
        finished_run,
        exams=exams,
        maps=maps,
        cells=cells,
        candidates=candidates,
        epochs=epochs,
        attributions=attributions,
    )


@pytest.fixture(scope="module")
def report(tables: RunTables) -> Report:
    """Its report, as `build` puts it together, under a hostile name."""
    summary = summarise(tables, SETTINGS)
    return Report(
        name=HOSTILE,
        summary=summary,
        cells=tables.cells,
        facts={"calibration": "none", "fold plan": HOSTILE},
        exclusions=(("development", "no rest map", 7),),
        openings=2,
        statistics=SETTINGS,
        extracts=extracts_of(tables, summary),
        figures=figures_of(tables, summary, SETTINGS),
        notices=(HOSTILE,),
    )


@pytest.fixture(scope="module")
def page(report: Report) -> str:
    """The page."""
    return export(report, "html")


class Elements(HTMLParser):
    """Texts of traced elements with their sources, and decimal numbers outside of them; figures apart."""

    def __init__(self) -> None:
        super().__init__()
        self.traced: list[tuple[str, str]] = []
        self.untraced: list[str] = []
        self.figures: list[str] = []
        self.headings: list[str] = []
        self._stack: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        source = dict(attrs).get("data-source") or ""
        if source.startswith("figures/") and "#" not in source:
            self.figures.append(source)
        elif source:
            self.traced.append((source, ""))
        if tag in ("h1", "h2", "h3"):
            self.headings.append(tag)
        if tag not in ("meta", "br", "link", "path", "use", "rect", "image"):
            self._stack.append((tag, source))

    def handle_endtag(self, tag: str) -> None:
        # Elements of one tag, such as `<use/>`, were not put on the stack.
        if tag in [name for name, _ in self._stack]:
            while self._stack.pop()[0] != tag:
                pass

    def handle_data(self, data: str) -> None:
        if any(tag in ("svg", "style", "title", "nav") for tag, _ in self._stack):
            return
        if any(source for _, source in self._stack):
            source, text = self.traced[-1]
            self.traced[-1] = source, text + data
        else:
            self.untraced += re.findall(r"\d+\.\d+", data)


def parsed(page: str) -> Elements:
    elements = Elements()
    elements.feed(page)
    return elements


def value_at(content: object, pointer: str) -> object:
    """What stands at a JSON pointer, by the letter of RFC 6901."""
    for step in pointer.split("/")[1:]:
        key = unquote(step).replace("~1", "/").replace("~0", "~")
        content = content[int(key)] if isinstance(content, list) else content[key]  # type: ignore[index]
    return content


def as_printed(value: float, text: str, row: object) -> bool:
    """Whether a text is the number, in one of the ways in which a report writes numbers."""
    if isinstance(row, dict) and row.get("metric") == "fold_auc_variance":
        value = value**0.5
    ways = {f"{value:.3f}", f"{value:.2f}", f"{value:+.3f}", f"{value:g}", f"{value:.0%}", f"{value:.0f}"}
    return text in ways or (value < 0.001 and text == "0.001")


def test_every_traced_number_is_the_one_at_its_source(report: Report, page: str) -> None:
    """`data-source` is followed to file, key and column; the element prints those values, all of them and in order."""
    content = json.loads(export(report, "json"))
    drawn = {f"figures/{figure.key}.csv": pd.read_csv(io.StringIO(figure.csv)) for figure in report.figures}
    found = parsed(page)
    assert len(found.traced) > 300
    assert sum(source.startswith("figures/") for source, _ in found.traced) >= 3
    for source, text in found.traced:
        numbers: list[tuple[float, object]] = []
        for part in source.split("; "):
            file, _, rest = part.partition("#")
            pointer, *columns = rest.split(" ")
            assert file == "summary.json" or file in drawn
            if file in drawn:
                # RFC 7111: rows of a CSV file are counted from its header, which is row 0.
                row: object = drawn[file].iloc[int(pointer.removeprefix("row=")) - 1].to_dict()
            else:
                row = value_at(content, pointer)
            for value in [row[column] for column in columns] if columns else [row]:  # type: ignore[index]
                if isinstance(value, str):
                    assert value in text, source
                elif value is not None:
                    numbers.append((float(value), row))
        printed = re.findall(r"(?<![\w.])[-+]?\d+(?:\.\d+)?%?(?![\w.]*\w)", text)
        if numbers:
            assert len(printed) >= len(numbers), (source, text)
            rest_of = iter(printed)
            for value, row in numbers:
                assert any(as_printed(value, one, row) for one in rest_of), (source, text)


def test_no_decimal_number_is_without_source(page: str) -> None:
    """What looks like a result is traced; the only others are the zone of equivalence and names of measures."""
    assert set(parsed(page).untraced) <= {"0.02", "0.5", "0.1", "0.4"}


def test_figures_are_traced_to_their_files(report: Report, page: str) -> None:
    """Every figure of the page is there as SVG and CSV, under the name that it gives as its source."""
    keys = [figure.key for figure in report.figures]

    assert set(parsed(page).figures) == {f"figures/{key}.csv" for key in keys}
    assert len(set(keys)) == len(keys)
    assert all(re.fullmatch(r"[a-z0-9-]+", key) for key in keys)
    assert all(len(pd.read_csv(io.StringIO(figure.csv))) for figure in report.figures)


def test_no_figure_holds_a_picture(report: Report, page: str) -> None:
    """Figures are shapes and text alone: the page allows no picture, so that one would be an empty frame."""
    assert "attribution-tc-99m-dual-stress" in {figure.key for figure in report.figures}
    assert "<image" not in page
    assert not [figure.key for figure in report.figures if "<image" in figure.svg]


def test_labels_of_axes_are_read_as_text_and_not_as_formulas(report: Report) -> None:
    """A logarithmic axis shows 0.0001, not the source of a formula, because formulas in users' names stay unread."""
    rates = [figure for figure in report.figures if figure.key.endswith("learning-rate")]
    assert rates
    for figure in report.figures:
        assert "mathdefault" not in figure.svg, figure.key


def test_sections_stand_in_order_with_headings_and_contents(page: str) -> None:
    """One h1, an h2 a section in the documented order, each in the table of contents; scripts and requests are none."""
    keys = re.findall(r'<section id="([a-z-]+)"', page)

    assert keys == [key for key in TITLES if key in keys]
    assert {"answer", "discrimination", "calibration", "stability", "search", "errors", "tables"} <= set(keys)
    assert re.findall(r'<a href="#([a-z-]+)">', page.partition("<main>")[0].partition("<nav")[2]) == keys
    assert parsed(page).headings[:2] == ["h1", "h2"]
    assert "<script" not in page
    assert not re.search(r'(?:src|href)="(?!#)', page)
    assert page.count('role="img"') == page.count("<svg") == page.count("<desc ")
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_no_patient_map_or_place_is_on_the_page(report: Report, tables: RunTables, page: str) -> None:
    """Marked ids, exam ids, the marked pixels' means and paths are in no format and no figure's data."""
    texts = [export(report, format) for format in ("html", "markdown", "latex", "csv", "json")]
    texts += [text for figure in report.figures for text in (figure.svg, figure.csv)]
    assert tables.maps is not None
    assert (tables.maps["stress_segment_1"] == MARKED).all()
    for text in texts:
        assert "patient-0" not in text
        assert "/work" not in text
        assert "0.712345" not in text
    assert len(page) < 3_000_000


def test_hostile_names_come_out_as_text(report: Report) -> None:
    """Markup, formulas, LaTeX and pipes in names of experiment, endpoint and subgroup change nothing of a document."""
    page, markdown, latex, csv = (export(report, format) for format in ("html", "markdown", "latex", "csv"))

    assert "&lt;script&gt;alert(1)" in page
    assert "<script" not in page
    assert not re.search(r"(?<!\\)<script", markdown)
    for line in markdown.splitlines():
        assert "[b](c)" not in line
        assert "`a`" not in line.replace("\\`", "")
    rows = [line for line in markdown.splitlines() if line.startswith("| ")]
    widths = [len(re.findall(r"(?<!\\)\|", line)) for line in rows]
    heads = [place for place, line in enumerate(rows) if line.startswith("| ---")]
    for place, end in zip(heads, [*(head - 1 for head in heads[1:]), len(rows)], strict=True):
        assert set(widths[place - 1 : end]) == {widths[place]}
    assert not re.search(r"\\(?:input|frac)", latex)
    assert latex.count(r"\begin{tabular}") == latex.count(r"\end{tabular}")
    for text in [csv, *(figure.csv for figure in report.figures)]:
        cells = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False).to_numpy().ravel()
        assert not [cell for cell in cells if cell.startswith(("=", "@", "+")) and not re.fullmatch(r"[-+\d.e]+", cell)]
    (drawn,) = [figure.svg for figure in report.figures if figure.key == "subgroups-tc-99m"]
    assert "sex &lt;script&gt;" in drawn


def test_one_repeat_has_no_flips_and_says_so(tables: RunTables) -> None:
    """With one repeat no flipped decision and no hardest exam is printed; the page says that two are needed."""
    once = tables.predictions[tables.predictions["repeat"].isin([0]) | tables.predictions["repeat"].isna()]
    one = replace(tables, predictions=once, folds=tables.folds[tables.folds["repeat"] == 0])
    summary = summarise(one, StatisticsSettings(subgroups=()))
    report = Report(name="once", summary=summary, extracts=extracts_of(one, summary))

    assert "hardest_exams" not in report.extracts
    assert "Needs two repeats" in export(report, "html")
    flips = summary[summary["metric"] == "exams_with_flipped_decision"]
    assert set(flips["state"]) == {"refused"}


def test_hardest_exams_are_those_of_a_naive_count(tables: RunTables) -> None:
    """The share of wrong decisions over repeats and input configurations, counted row by row, worst first."""
    found = extracts_of(tables, summarise(tables, SETTINGS))["hardest_exams"]
    rows = tables.predictions.query("partition == 'development'")
    wrong = (rows["probability"] >= rows["threshold"]) != (rows["label"] == 1)
    by_exam = wrong.groupby(rows["exam_id"]).mean()
    row_of = tables.exams.set_index("exam_id")["manifest_row"]
    expected = {row_of[exam]: share for exam, share in by_exam.items()}

    for line in found.to_dict(orient="records"):
        assert line["wrong"] == pytest.approx(expected[line["manifest_row"]])
    mine = found[found["tracer"] == "Tc-99m"]["wrong"]
    assert mine.is_monotonic_decreasing
    assert mine.iloc[0] == max(share for exam, share in by_exam.items() if str(exam).endswith("Tc-99m"))
