"""The cohort page: what it warns of, and what must not stand in it."""

import re
import stat
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from orchestrator.cli import main

HOSTILE = "<script>alert('site')</script> $x$ & =1+1 |"


def changed(experiment: Path, change) -> None:
    """Rewrite the manifest beside an experiment."""
    manifest = experiment.parent / "manifest.csv"
    exams = pd.read_csv(manifest, dtype=str, keep_default_na=False)
    change(exams)
    exams.to_csv(manifest, index=False)


def page_of(experiment: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """The page that `check --html` writes."""
    target = experiment.parent / "cohort.html"
    assert main(["check", str(experiment), "--html", str(target)]) == 0, capsys.readouterr().err
    capsys.readouterr()
    return target.read_text(encoding="utf-8")


@pytest.fixture
def clinic(tmp_path, make_tiny):
    """A cohort with ages, a site that has nearly all events, a missing phase and a hostile name."""
    experiment = make_tiny(tmp_path, called="Papadopoulos")

    def change(exams: pd.DataFrame) -> None:
        positive = exams["label"] == "1"
        exams["site"] = np.where(positive & (exams.index % 7 > 0), HOSTILE, "Larissa")
        exams["age"] = [str(40 + number % 37) for number in range(len(exams))]
        exams.loc[[2, 50], "rest"] = ""

    changed(experiment, change)
    return experiment


class _Reader(HTMLParser):
    """Headings, header cells without a scope, and tags in order."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_the_page_warns_of_the_site_and_names_nobody(clinic, capsys):
    """A site that tells the label comes first; no id, path, script or request is there, and hostile names are text."""
    page = page_of(clinic, capsys)
    first = page[page.index('id="warnings"') : page.index('id="flow"')]
    assert re.search(r"Tc-99m: site alone tells the label with an AUC of 0\.\d{3}", first)

    assert "Papadopoulos" not in page
    assert not re.search(r"\d{3}-(stress|rest)\.npy", page)
    assert str(clinic.parent) not in page
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    reader = _Reader()
    reader.feed(page)
    assert not [tag for tag, _ in reader.tags if tag in ("script", "img", "link", "iframe", "image")]
    assert all(attributes.get("scope") for tag, attributes in reader.tags if tag == "th")
    assert not [value for _, attributes in reader.tags for name, value in attributes.items() if name == "src"]
    assert not re.search(r"url\((?!#)", page)
    assert "data-source" not in page
    assert [tag for tag, _ in reader.tags if tag in ("h1", "h2")].count("h1") == 1
    assert sum(attributes.get("role") == "img" for _, attributes in reader.tags) >= 7


@pytest.mark.thorough
def test_no_label_of_the_test_partition_changes_the_page(clinic, capsys):
    """With every test label turned over, the page is the same, byte for byte."""
    before = page_of(clinic, capsys)

    def turn(exams: pd.DataFrame) -> None:
        test = exams["partition"] == "test"
        exams.loc[test, "label"] = exams.loc[test, "label"].map({"0": "1", "1": "0"})

    changed(clinic, turn)
    assert page_of(clinic, capsys) == before


def test_a_balanced_cohort_has_nothing_to_look_at(tiny, capsys):
    """Sexes with equal prevalence warn of nothing, and the test partition is told without labels."""
    page = page_of(tiny, capsys)
    first = page[page.index('id="warnings"') : page.index('id="flow"')]
    assert "Nothing was found" in first
    assert "events not shown: the test is closed" in page
    assert "No two patients have nearly equal maps." in page


def test_single_maps_stand_in_a_private_file_of_their_own(clinic, capsys):
    """The file is new, readable by its user alone, marked, and names exams by manifest row."""
    target = clinic.parent / "maps.html"
    assert main(["check", str(clinic), "--patients", str(target)]) == 0
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    text = target.read_text(encoding="utf-8")
    assert "IDENTIFYING" in text
    assert "data:image/png;base64," in text
    assert re.search(r"Manifest row \d+</strong>", text)
    assert "Papadopoulos" not in text
    assert "test partition, with" not in text
    capsys.readouterr()

    assert main(["check", str(clinic), "--patients", str(target)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert not (clinic.parent / "cohort.html").exists()


def test_a_few_patients_are_not_drawn_as_a_mean(clinic, capsys):
    """A group of fewer than five patients has no bull's-eye: it would nearly be one of them."""

    def few(exams: pd.DataFrame) -> None:
        test = exams.index[exams["partition"] == "test"]
        # Blank rows are skipped by the manifest's reader.
        exams.loc[test[8:], :] = ""

    changed(clinic, few)
    page = page_of(clinic, capsys)
    assert "test partition, whatever the label" not in page
    assert "19 exams" in page or "development, abnormal perfusion" in page
