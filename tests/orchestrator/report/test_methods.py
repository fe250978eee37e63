"""The methods paragraph is true to the settings, and checklists promise only what is there."""

import csv
import dataclasses
import io
import re
import sys
import zipfile

import pytest

from mpi_model.errors import ExperimentError
from orchestrator.cells.study import PRUNING_WARM_UP
from orchestrator.cohort.records import Exclusion
from orchestrator.experiment.settings import CohortSettings, Experiment, Noninferiority
from orchestrator.ledger.description import RunDescription
from orchestrator.report.manuscript.checklist_files import CHECKLIST_FORMATS, checklist_file
from orchestrator.report.manuscript.checklists import CHECKLISTS, checklist
from orchestrator.report.manuscript.evaluation_sentences import _PRUNING_WARM_UP
from orchestrator.report.manuscript.methods import Methods, methods
from orchestrator.report.manuscript.references import references
from search_spaces.stored import PlainParameter

COLUMNS = ("patient_id", "tracer", "label", "sex", "age", "site")
HOSTILE = "=cmd|' /C calc'!A0 <script>alert(1)</script> \\input{x} |"
CHANGED = {
    "cohort.patients": "available",
    "cohort.exams": "first",
    "cohort.inputs": ("stress", "rest"),
    "images.size": 96,
    "network.backbone": "vgg16_bn",
    "network.weights": "random",
    "network.fusion": "difference",
    "network.heads": "shared",
    "network.encoder_stages": 3,
    "folds.by": "site",
    "folds.folds": 7,
    "folds.repeats": 3,
    "folds.stratify": ("tracer", "label"),
    "folds.seed": 5,
    "folds.training_share": 0.5,
    "search.space": "learning_rates",
    "search.candidates": 21,
    "search.inner_folds": 1,
    "search.scheme": "flat",
    "search.strategy": "all_folds",
    "search.objective": "auc",
    "search.winners": 2,
    "search.prune": False,
    "training.epochs": 31,
    "training.batch_size": 16,
    "training.patience": 4,
    "training.budget": "best_epoch",
    "training.augment": False,
    "training.precision": "bf16",
    "training.members": 5,
    "decision.threshold": "balanced_accuracy",
    "decision.calibration": "none",
    "statistics.level": 0.9,
    "statistics.equivalence": 0.03,
    "statistics.subgroups": ("site",),
    "statistics.specificity": 0.7,
    "statistics.baseline": "none",
    "statistics.noninferiority": Noninferiority(pair="stress-dual", margin=0.04),
    "statistics.comparisons": ("stress-rest",),
    "statistics.prevalence": 0.25,
    "statistics.endpoints": {"Tc-99m": "ischaemia", "Tl-201": "ischaemia"},
}
"""Another value of every setting that decides the numbers."""
ONLY_WITH = {"training.patience": {"training.budget": "best_epoch"}}
"""Settings that decide something only where another one has this value."""
DECIDING = ("cohort", "images", "network", "folds", "search", "training", "decision", "statistics")


def description(**settings: object) -> RunDescription:
    """A run with the default settings but these, by dotted name."""
    experiment = Experiment(name="study", cohort=CohortSettings(manifest="secret/manifest.csv"))
    for name, value in settings.items():
        section, _, key = name.partition(".")
        changed = dataclasses.replace(getattr(experiment, section), **{key: value})
        experiment = dataclasses.replace(experiment, **{section: changed})
    rate = '{"name": "FloatDistribution", "attributes": {"step": null, "low": 1e-4, "high": 0.03, "log": true}}'
    return RunDescription(
        name="study",
        settings=experiment,
        facts={
            "versions.torch": "2.11",
            "versions.polarmap-tune": "0.1.0",
            "device": "cpu",
            "network.weights": "ab" * 32,
        },
        hash="e" * 64,
        plan="f" * 64,
        begun="2026-01-01T00:00:00Z",
        revision=None,
        hardware={},
        final=True,
        space=(PlainParameter(name="head_learning_rate", distribution=rate, when=None),),
        notices=(),
        exclusions=(Exclusion(reason="no rest map (rest, dual)", partition="development", count=4),),
    )


def written(**settings: object) -> Methods:
    """The paragraph of such a run, its test opened."""
    return methods(description(**settings), COLUMNS, opened=True, tested=True)


def test_every_setting_that_decides_numbers_has_another_value_here():
    """A new setting is either told in the paragraph and tested below, or this test asks for it."""
    settings = description().settings
    known = {f"{name}.{field.name}" for name in DECIDING for field in dataclasses.fields(getattr(settings, name))}
    assert set(CHANGED) == known - {"cohort.manifest"}


@pytest.mark.parametrize("name", CHANGED)
def test_a_changed_setting_changes_the_paragraph(name):
    """No sentence stays as it was when the setting that it tells is another."""
    other = ONLY_WITH.get(name, {})
    assert written(**{name: CHANGED[name]}, **other).text != written(**other).text


@pytest.mark.parametrize(
    ("settings", "said", "unsaid"),
    [
        ({}, "10 times", "random weights"),
        ({"training.members": 1}, "The best candidate was refitted", "mean score of"),
        ({"cohort.inputs": ("stress",)}, "the stress map alone", "Secondary comparisons"),
        ({"network.weights": "random"}, "displaced and stretched", "ImageNet"),
        ({"search.inner_folds": 1}, "one hold-out of 20 %", "inner folds by patient"),
        ({"statistics.baseline": "none"}, "with no other model", "17 segments"),
        ({"folds.by": "site"}, "each of 5 sites was held out once", "10 times"),
    ],
)
def test_the_paragraph_says_what_was_done_and_nothing_else(settings, said, unsaid):
    """What was not done is not described."""
    text = written(**settings).text
    assert said in text
    assert unsaid not in text


def test_default_strata_and_subgroups_that_the_manifest_lacks_are_not_claimed():
    """A cohort without the column `sex` was neither stratified nor reported by it."""
    text = methods(description(), ("patient_id", "tracer", "label"), opened=False, tested=False).text
    assert "sex" not in text
    assert "No subgroup was reported apart" in text
    assert "DeLong" not in methods(description(), COLUMNS, opened=False, tested=False).text


def test_every_citation_has_its_entry_and_no_other_is_listed():
    """The numbers in the text lead to the list, and BibTeX holds exactly the works that are cited."""
    found = written()
    keys = [one.key for one in found.references]
    assert set(re.findall(r"@(\w+)", found.text)) == set(keys)
    assert "he2016" in keys
    assert "simonyan2015" not in keys
    numbers = re.findall(r"\[(\d+)\]", found.numbered(found.text))
    assert {int(number) for number in numbers} == set(range(1, len(keys) + 1))
    for one in references().values():
        assert one.bibtex.count("{") == one.bibtex.count("}"), one.key
        assert re.fullmatch(r"10\.\d{4,}/\S+|", one.doi), one.key


def test_the_epochs_before_pruning_are_those_of_the_search():
    """The number that the paragraph writes out is the one that the search uses."""
    assert _PRUNING_WARM_UP == PRUNING_WARM_UP


def test_no_path_is_in_the_paragraph():
    """Neither the manifest's place nor those of weights or a space file are told."""
    text = written(**{"network.weights": "/home/somebody/weights.pt", "search.space": "/home/somebody/mine.toml"}).text
    assert "secret" not in text
    assert "somebody" not in text
    assert "weights of our own" in text
    assert "“mine”" in text


SECTIONS = (
    "answer", "flow", "table-one", "discrimination", "calibration", "net-benefit", "subgroups", "stability", "search",
    "methods", "provenance", "tables",
)  # fmt: skip
TITLES = {key: f"Section {key}" for key in (*SECTIONS, "attribution")}


@pytest.mark.parametrize(("name", "items"), [("tripod-ai", 52), ("claim", 44)])
def test_checklists_are_whole_and_at_least_twenty_items_answered(name, items):
    """Every item once, in order; twenty or more with nothing left to write; answers where they are promised."""
    found = checklist(name, written(), SECTIONS)
    numbers = [item.item for item in found.items]
    assert len(numbers) == len(set(numbers)) == items
    assert [int(re.match(r"\d+", one)[0]) for one in numbers] == sorted(
        int(re.match(r"\d+", one)[0]) for one in numbers
    )
    assert found.count("answered") >= 20
    for item in found.items:
        assert (item.state == "answered") == (not item.yours), item.item
        assert bool(item.answer or item.sections) == (item.state != "to be written by you"), item.item


@pytest.mark.parametrize(
    ("settings", "said", "unsaid"),
    [
        ({}, "transferred: its encoder had learned from ImageNet's pictures", "random weights: all"),
        ({}, "A simpler type, logistic regression on the means of 17 segments", "No simpler type"),
        ({}, "a head for each tracer leaves it a decision of its own", "that tracer's patients alone"),
        ({"network.weights": "random"}, "all that it knows was learned from these patients", "transferred"),
        ({"network.weights": "/home/somebody/weights.pt"}, "started from weights of our own", "somebody"),
        ({"network.encoder_stages": 3}, "up to stage 3 of", "used whole"),
        ({"network.encoder_stages": "all"}, "Its encoder was used whole", "up to stage"),
        ({"network.heads": "separate"}, "learned from that tracer's patients alone", "a head for each tracer leaves"),
        ({"network.backbone": "vgg16_bn"}, "convolutional network (vgg16_bn)", "resnet"),
        ({"statistics.baseline": "none"}, "No simpler type of model was fitted", "A simpler type"),
    ],
)
def test_the_type_of_model_is_told_and_its_reason_left_to_the_author(settings, said, unsaid):
    """TRIPOD+AI 12c holds what the experiment shows of the choice, and says that the reason is the author's to give."""
    (item,) = [one for one in checklist("tripod-ai", written(**settings), SECTIONS).items if one.item == "12c"]
    assert said in item.answer
    assert unsaid not in item.answer
    assert item.state == "in part"
    assert item.yours.startswith("why a network")


def test_the_objective_names_endpoints_inputs_and_the_declared_question():
    """TRIPOD+AI 4 is answered by what the experiment asks, and by nothing that it does not ask."""
    asked = written(**{
        "cohort.inputs": ("stress", "dual"),
        "statistics.endpoints": {"Tl-201": "ischaemia"},
        "statistics.noninferiority": Noninferiority(pair="stress-dual", margin=0.04),
    })  # fmt: skip
    (item,) = [one for one in checklist("tripod-ai", asked, SECTIONS).items if one.item == "4"]
    assert item.state == "answered"
    assert "developed and evaluated" in item.answer
    assert "its endpoint (ischaemia for Tl-201) from polar maps with stress and dual input" in item.answer
    assert "stress input is not inferior to dual input by a margin of 0.04" in item.answer
    (unnamed,) = [
        one
        for one in checklist("tripod-ai", written(**{"statistics.endpoints": {}}), SECTIONS).items
        if one.item == "4"
    ]
    assert "its endpoint from polar maps" in unnamed.answer
    assert "No primary hypothesis was declared" in unnamed.answer


def test_a_searched_end_of_the_encoder_is_said_to_be_searched():
    """Of a run that searched it neither a fixed end nor the whole encoder is claimed."""
    end = PlainParameter(name="encoder_stages", distribution=description().space[0].distribution, when=None)
    run = dataclasses.replace(description(), space=(end,))
    answer = methods(run, COLUMNS, opened=True, tested=True).of("choice")
    assert "Where its encoder ends was chosen by the search in each fold." in answer
    assert "up to stage" not in answer
    assert "used whole" not in answer


def test_a_section_that_is_not_in_the_report_answers_nothing():
    """No link leads nowhere: what only an absent section could answer is the author's, or said to be undone."""
    present = [key for key in SECTIONS if key != "flow"]
    before = {item.item: item for item in checklist("claim", written(), present).items}
    assert all(set(item.sections) <= set(present) for item in before.values())
    assert before["35"].state == "to be written by you"
    assert before["35"].yours
    assert before["31"].answer == "No method of explainability was applied."
    after = {item.item: item for item in checklist("claim", written(), (*SECTIONS, "attribution")).items}
    assert (after["31"].answer, after["31"].sections) == ("", ("attribution",))
    assert after["35"].state == "answered"


def hostile() -> Methods:
    """A run whose endpoints are markup, a formula, LaTeX and a pipe."""
    endpoints = {"Tc-99m": HOSTILE, "Tl-201": HOSTILE}
    return written(**{"statistics.endpoints": endpoints})


@pytest.mark.parametrize("name", CHECKLISTS)
@pytest.mark.parametrize("text_format", CHECKLIST_FORMATS)
def test_checklist_files_hold_hostile_names_as_text(name, text_format):
    """Markup is escaped, no cell of a spreadsheet begins a formula, and the same list is the same bytes."""
    found = checklist(name, hostile(), SECTIONS)
    first, second = (checklist_file(found, HOSTILE, TITLES, text_format) for _ in range(2))
    assert first == second
    if text_format == "html":
        text = first.decode()
        assert "<script" not in text
        assert "&lt;script&gt;" in text
        for key in re.findall(r'href="report.html#([\w-]+)"', text):
            assert key in SECTIONS
    elif text_format == "csv":
        rows = list(csv.reader(io.StringIO(first.decode("utf-8-sig"))))
        assert len(rows) == 1 + len(found.items)
        assert not any(cell.startswith(("=", "+", "-", "@")) for row in rows for cell in row)
    else:
        with zipfile.ZipFile(io.BytesIO(first)) as archive:
            body = archive.read("word/document.xml").decode()
        assert "<script" not in body
        assert "&lt;script&gt;" in body
        assert body.count("<w:tr>") == 1 + len(found.items)


def test_a_formula_as_an_answer_stays_text_in_a_spreadsheet():
    """A cell that begins as a formula gets an apostrophe, which spreadsheets do not show."""
    found = checklist("claim", written(), SECTIONS)
    items = (dataclasses.replace(found.items[0], yours=HOSTILE), *found.items[1:])
    rows = checklist_file(dataclasses.replace(found, items=items), "study", TITLES, "csv").decode("utf-8-sig")
    assert list(csv.reader(io.StringIO(rows)))[1][-1] == f"'{HOSTILE}"


def test_without_its_package_docx_is_refused_with_the_extra_to_install(monkeypatch):
    """The message names the extra, and what works without it."""
    monkeypatch.setitem(sys.modules, "docx", None)
    with pytest.raises(ExperimentError, match=r"polarmap-tune\[docx\].*html or csv"):
        checklist_file(checklist("claim", written(), SECTIONS), "study", TITLES, "docx")
