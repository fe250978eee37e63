"""What a finished run offers a manuscript: flow, Table 1, methods and checklists, in the page and as files."""

import csv
import io
import json
import re

import pandas as pd
import pytest

from orchestrator.cli import main
from orchestrator.ledger.reading import open_run
from orchestrator.report.build import report_of
from orchestrator.report.export import export

NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


@pytest.fixture(scope="module")
def report(finished):
    """The report of the tiny run, figures included."""
    return report_of(open_run(finished.parent / "runs" / "tiny"))


def section(page: str, key: str) -> str:
    """One section of the page."""
    return page[page.index(f'<section id="{key}"') :].partition("</section>")[0]


def test_the_page_has_the_manuscripts_sections_and_nobody_in_them(report):
    """Flow, Table 1, methods and both checklists are there; no patient is."""
    page = export(report, "html")
    assert "patient-0" not in page
    assert "Flow of patients and exams" in section(page, "flow")
    assert "standardised difference" in section(page, "table-one")
    methods = section(page, "methods")
    assert "CC0" in methods
    assert "@inproceedings{loshchilov2019" in methods
    assert "The encoder was compact" in methods
    checklists = section(page, "checklists")
    for link in re.findall(r'href="#([\w-]+)"', checklists):
        assert f'<section id="{link}"' in page, link
    answered = [int(count) for count in re.findall(r"items (\d+) are answered here", checklists)]
    assert len(answered) == 2
    assert min(answered) >= 20


def test_every_number_of_table_one_is_in_summary_json(report):
    """A cell names a row and columns of `summary.json`, and its numbers are theirs, as they are rounded."""
    table = section(export(report, "html"), "table-one")
    rows = json.loads(export(report, "json"))["table_one"]
    cells = re.findall(r'data-source="summary\.json#/table_one/(\d+) ([\w ]+)">([^<]+)<', table)
    assert len(cells) > 20
    for row, columns, text in cells:
        values = [float(rows[int(row)][name]) for name in columns.split()]
        shown = [float(one) for one in NUMBER.findall(text)]
        for name, value, told in zip(columns.split(), values, shown, strict=True):
            digits = {"count": 0, "share": 0, "mean": 1, "sd": 1, "difference": 3}[name]
            assert round(value * (100 if name == "share" else 1), digits) == pytest.approx(
                told, abs=0.5 * 10**-digits
            ), text


def test_the_flow_agrees_with_the_cohort(report, finished):
    """The data of the diagram are the counts of the manifest and of the fold plan."""
    (figure,) = (one for one in report.figures if one.key == "flow")
    data = pd.read_csv(io.StringIO(figure.csv))
    manifest = pd.read_csv(finished.parent / "manifest.csv")
    assert data.loc[data["step"] == "manifest", "exams"].item() == len(manifest)
    for (partition, tracer), rows in manifest.groupby(["partition", "tracer"]):
        found = data[(data["step"] == "tracer") & (data["partition"] == partition) & (data["tracer"] == tracer)]
        assert (found["exams"].item(), found["events"].item()) == (len(rows), rows["label"].sum())


def test_a_run_writes_texts_for_a_manuscript(finished):
    """Methods as Markdown with keys, and their works as BibTeX, lie beside the page."""
    folder = finished.parent / "runs" / "tiny" / "report"
    keys = set(re.findall(r"\[@(\w+)\]", (folder / "methods.md").read_text(encoding="utf-8")))
    assert keys == set(
        re.findall(r"^@\w+\{(\w+),", (folder / "references.bib").read_text(encoding="utf-8"), flags=re.M)
    )
    assert {path.suffix for path in (folder / "figures").glob("flow.*")} == {".svg", ".csv"}


@pytest.mark.thorough
def test_figures_for_a_manuscript_are_written_where_they_are_asked_for(finished, tmp_path, capsys):
    """Every figure of the page as SVG, PDF and CSV in a folder of its own, which is never overwritten."""
    run, folder = finished.parent / "runs" / "tiny", tmp_path / "figures"
    assert main(["report", str(run), "--figures", str(folder)]) == 0
    drawn = {path.stem for path in (run / "report" / "figures").glob("*.svg")}
    assert {path.name for path in folder.iterdir()} == {
        f"{key}{end}" for key in drawn for end in (".svg", ".pdf", ".csv")
    }
    assert all(path.read_bytes().startswith(b"%PDF") for path in folder.glob("*.pdf"))
    assert main(["report", str(run), "--figures", str(folder)]) == 2
    assert "is not empty" in capsys.readouterr().err


@pytest.mark.thorough
def test_a_checklist_is_written_as_asked(finished, tmp_path, capsys):
    """The command writes a file, prints text, and refuses what it cannot do in one line with the remedy."""
    run = str(finished.parent / "runs" / "tiny")
    target = tmp_path / "claim.docx"
    assert main(["report", run, "--checklist", "claim", "--format", "docx", "--out", str(target)]) == 0
    # What a person has completed in it stays.
    assert main(["report", run, "--checklist", "claim", "--format", "docx", "--out", str(target)]) == 2
    assert target.read_bytes().startswith(b"PK")
    assert main(["report", run, "--checklist", "tripod-ai", "--format", "csv"]) == 0
    assert len(list(csv.reader(io.StringIO(capsys.readouterr().out)))) == 53

    for words, remedy in (
        (["--checklist", "claim", "--format", "docx"], "--out FILE"),
        (["--checklist", "claim", "--format", "latex"], "--format docx"),
        (["--format", "docx"], "--checklist"),
    ):
        assert main(["report", run, *words]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert remedy in line
