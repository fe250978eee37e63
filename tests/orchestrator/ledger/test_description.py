"""`experiment.json`: what was asked for and what is, verified whenever it is read."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from mpi_model.errors import RunDirectoryError
from orchestrator.cli import main
from orchestrator.experiment.file import load_experiment
from orchestrator.experiment.reading import read_record
from orchestrator.experiment.settings import CohortSettings, Experiment, Noninferiority, StatisticsSettings
from orchestrator.hashing import digest
from orchestrator.ledger.description import read_description
from orchestrator.ledger.identity import facts_of_settings
from orchestrator.ledger.paths import run_paths

Change = Callable[[dict], None]


def changed(experiment: Path, change: Change, *, sealed: bool = False) -> Path:
    """The run directory, its description changed by hand; `sealed` where the digest is made anew, too."""
    root = experiment.parent / "runs" / "tiny"
    path = root / "experiment.json"
    content = json.loads(path.read_text())
    change(content)
    if sealed:
        content["digest"] = digest({key: value for key, value in content.items() if key != "digest"})
    path.write_text(json.dumps(content))
    return root


def test_what_is_read_is_what_was_asked_for(finished, paths_of):
    """Settings come back as the records they were, and the facts are those of the settings."""
    found = read_description(paths_of(finished))
    asked = load_experiment(finished).experiment

    assert found.settings == asked
    assert found.name == "tiny"
    assert facts_of_settings(found.settings).items() <= found.facts.items()
    assert {one.name for one in found.space} == {"freeze_depth", "encoder_learning_rate", "head_learning_rate"}
    assert found.final


def test_every_setting_that_may_be_absent_is_read_back_both_ways():
    """A hypothesis that was declared, and one that was not, come back from JSON as the settings they were."""
    for declared in (None, Noninferiority(pair="stress-dual", margin=0.05)):
        statistics = StatisticsSettings(noninferiority=declared, prevalence=None if declared is None else 0.3)
        asked = Experiment(name="n", cohort=CohortSettings(manifest="m.csv"), statistics=statistics)
        problems: list[str] = []
        found = read_record(Experiment, json.loads(json.dumps(asdict(asked))), "", problems)

        assert problems == []
        assert found == asked
        assert facts_of_settings(found) == facts_of_settings(asked)


def test_a_run_of_the_former_layout_is_refused_with_what_reads_it(mine):
    """Its cells hold other files: nobody is told that they are missing, but which version reads them."""
    root = changed(mine, lambda content: content.pop("layout"), sealed=True)
    with pytest.raises(RunDirectoryError, match=r"tiny has layout 1 .* reads layout 2; read it with the version"):
        read_description(run_paths(root))
    assert main(["status", str(root)]) == 2


def set_level(content: dict) -> None:
    content["settings"]["statistics"]["level"] = 0.5


def drop_inputs(content: dict) -> None:
    content["settings"]["cohort"]["inputs"] = ["stress"]


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize(
    ("change", "named"), [(set_level, "statistics.level"), (drop_inputs, "cohort.inputs")], ids=["level", "inputs"]
)
@pytest.mark.parametrize("verb", ["report", "status", "run"])
def test_settings_that_were_changed_after_the_run_began_are_not_believed(
    mine, change, named, sealed, verb, capsys, finished
):
    """A confidence level or an input configuration edited by hand is refused by name, by every verb that reads it."""
    root = changed(mine, change, sealed=sealed)
    words = [verb, str(mine), "--runner", "inline"] if verb == "run" else [verb, str(root)]

    assert main(words) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "experiment.json" in line]
    assert f"`settings.{named}` is not what the run was begun with" in line
    assert "restore it" in line


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda content: content.pop("plan"), "`plan` is required but missing"),
        (lambda content: content.update(colour="red"), "unknown key `colour`"),
        (lambda content: content["settings"]["search"].update(candidates="many"), "`settings.search.candidates` must"),
        (lambda content: content["exclusions"].append({"reason": "x"}), r"`exclusions\[\d\]\.\w+` is required"),
        (lambda content: content.update(space=[{"name": 1}]), r"`space\[0\]\.name` must be a text"),
        (lambda content: content.update(final=1), "`final` must be true or false"),
        (lambda content: content["facts"].update(device="cuda"), "`hash` is not that of `facts`"),
        (lambda content: content.update(notices=["all is well"]), "`digest` is not that of its content"),
        (lambda content: content.pop("digest"), "`digest` is not that of its content"),
    ],
)
def test_a_description_of_another_form_is_one_clear_error(mine, change, problem):
    """Missing, unknown and mistyped keys, and anything edited, are named in one line, never as a bug."""
    root = changed(mine, change)
    with pytest.raises(RunDirectoryError, match=problem) as refused:
        read_description(run_paths(root))
    assert len(refused.value.problems) == 1
    assert refused.value.exit_code == 2
