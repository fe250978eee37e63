"""The JSON Schema of experiment files: what editors complete and check is what polarmap accepts."""

import copy
import dataclasses
import json
import tomllib
import typing
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest

from orchestrator.cli import main
from orchestrator.experiment.schema import experiment_schema
from orchestrator.experiment.settings import Experiment

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def validator():
    """A validator of the schema, which is a schema itself."""
    jsonschema.Draft202012Validator.check_schema(experiment_schema())
    return jsonschema.Draft202012Validator(experiment_schema())


@pytest.fixture
def written(tmp_path, monkeypatch):
    """The folder in which `polarmap init` wrote its files."""
    monkeypatch.chdir(tmp_path)
    assert main(["init"]) == 0
    return tmp_path


def every_setting(record: type = Experiment, place: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The dotted names of all settings, by the records."""
    for name, kind in typing.get_type_hints(record).items():
        if dataclasses.is_dataclass(kind):
            yield from every_setting(kind, (*place, name))
        else:
            yield (*place, name)


def test_init_writes_the_schema_that_its_file_names(written, validator, capsys):
    """The first line of the file leads an editor to the schema beside it, and the file is valid by it."""
    first, *_ = (written / "experiment.toml").read_text().splitlines()
    named = written / first.removeprefix("#:schema ")
    assert first.startswith("#:schema ./")
    assert json.loads(named.read_text()) == experiment_schema()
    validator.validate(tomllib.loads((written / "experiment.toml").read_text()))
    capsys.readouterr()
    assert main(["schema"]) == 0
    assert capsys.readouterr().out == named.read_text()


@pytest.mark.parametrize(
    "path",
    [*ROOT.glob("examples/**/experiment*.toml"), *ROOT.glob("orchestrator/experiment/*.toml")],
    ids=lambda path: path.name,
)
def test_every_experiment_file_in_the_project_is_valid(path, validator):
    """No file that polarmap shows to people is underlined in their editor."""
    validator.validate(tomllib.loads(path.read_text()))


def test_every_setting_is_in_the_template_and_the_schema(written):
    """A setting that is added to a record is in what `init` writes, with its default, and is described."""
    text = (written / "experiment.toml").read_text()
    for place in every_setting():
        schema, value = experiment_schema(), tomllib.loads(text)
        for name in place:
            schema, value = schema["properties"][name], value.get(name)
        assert schema["description"], place
        if "default" in schema:
            assert schema["default"] == value, place
        else:
            # A setting without a default has its line all the same; where it may be absent, as a comment.
            assert value is not None or f"# {place[-1]} = " in text, place


@pytest.mark.parametrize(
    ("place", "wrong"),
    [
        (("folds", "folds"), "five"),
        (("folds", "fold"), 5),
        (("network", "heads"), "two"),
        (("cohort", "inputs"), ["stress", "both"]),
        (("statistics", "endpoints"), {"Tl-201": 1}),
        (("resources", "gpus_per_cell"), "all"),
    ],
)
def test_what_check_refuses_for_its_type_an_editor_underlines(place, wrong, written, validator):
    """Unknown keys, wrong types and unknown choices are errors of the schema."""
    table = tomllib.loads((written / "experiment.toml").read_text())
    broken = copy.deepcopy(table)
    broken[place[0]][place[1]] = wrong
    assert list(validator.iter_errors(table)) == []
    assert len(list(validator.iter_errors(broken))) == 1


def test_name_and_manifest_are_asked_for(validator):
    """What has no default must be there."""
    messages = {error.message for error in validator.iter_errors({"cohort": {}})}
    assert messages == {"'name' is a required property", "'manifest' is a required property"}
