"""Every value of the JSON that a model comes with, exchanged for one that does not belong there.

Two cases. A file that was damaged is refused, whatever was changed. A file that somebody sealed anew after the change
is another model, or is refused in a sentence; it never ends as a bug of polarmap, and values that belong to the
experiment are never exchanged unnoticed.
"""

import copy
import hashlib
import json
import math
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mpi_model.errors import PolarmapError
from mpi_model.pipeline import digest_of
from orchestrator.driver.ensembles import ensembles_of
from orchestrator.driver.final_model import FinalModel
from orchestrator.hashing import digest
from orchestrator.ledger.files import json_bytes
from orchestrator.ledger.reading import open_run

Place = tuple[str | int, ...]

HOSTILE = (
    None,
    True,
    0,
    -1,
    10**400,
    0.5,
    math.nan,
    math.inf,
    "x",
    "../../etc/passwd\0\ud800",
    [],
    [{}],
    {},
    {"x": {}},
)
FREE = {"torch", "experiment", "image_size"}
"""What is kept of a network for a reader, and decides nothing that the ledger's own hash does not."""
OTHER_CHOICES = {
    "fusion": "difference",
    "heads": "shared",
    "inputs": "rest",
    "normalisation": "efficientnet_lite",
    "backbone": "resnet18",
}
"""Values that are known, and not this experiment's; some fit the same weights."""


def leaves(content: Any, place: Place = ()) -> Iterator[Place]:
    """The places of all values, those that hold others included."""
    if place:
        yield place
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in items:
        yield from leaves(value, (*place, key))


def changed(content: Any, place: Place, value: object) -> Any:
    """A copy with another value in one place."""
    found = copy.deepcopy(content)
    holder = found
    for key in place[:-1]:
        holder = holder[key]
    holder[place[-1]] = value
    return found


def without(content: Any, place: Place) -> Any:
    """A copy in which one place is missing."""
    found = copy.deepcopy(content)
    holder = found
    for key in place[:-1]:
        holder = holder[key]
    del holder[place[-1]]
    return found


def accepted(content: Any, use: Callable[[Any], object], hostile: tuple[object, ...], every: int = 1) -> Iterator[str]:
    """The changes that were accepted, as `place = value`, of every so many that there are; any other error is a bug."""
    number = 0
    for place in leaves(content):
        variants = [(repr(value), changed(content, place, value)) for value in hostile]
        for name, variant in [*variants, ("nothing", without(content, place))]:
            number += 1
            if number % every or repr(variant) == repr(content):
                continue
            try:
                use(variant)
            except PolarmapError:
                continue
            yield f"{'.'.join(map(str, place))} = {name}"


@pytest.fixture
def model(finished, tmp_path):
    """A private run, the place of one of its models' descriptions, and a way to seal and read it anew."""
    shutil.copytree(finished.parent / "runs", tmp_path / "runs")
    root = tmp_path / "runs" / "tiny"
    path, marker = root / "models" / "dual-member0.json", root / "cells" / "dual-final" / "COMMIT.json"
    stored = json.loads(marker.read_text())

    def use(document: object, *, sealed: bool = True) -> FinalModel:
        content = json.dumps(document).encode()
        path.write_bytes(content)
        if sealed:
            stored["parts"]["models/dual-member0.json"] = {
                "bytes": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
            }
            fields = {key: value for key, value in stored.items() if key != "digest"}
            marker.write_bytes(json_bytes(fields | {"digest": digest(fields)}))
        return FinalModel.of(open_run(root), "dual")

    document = json.loads(path.read_text())
    use(document)
    return document, use


EVERY = pytest.mark.parametrize("every", [7, pytest.param(1, marks=pytest.mark.thorough)])
"""Every seventh change in the default run; all of them take half a minute."""


@EVERY
def test_a_saved_models_description_is_believed_only_where_it_is_this_experiments(model, every):
    """Sealed anew with one value exchanged, it is refused, or was a finite number in a place for a number."""
    document, use = model
    named = {one for one in accepted(document, use, HOSTILE, every) if not FREE & set(one.split(" ")[0].split("."))}
    decisions = ("description.decisions.Tc-99m", "description.decisions.Tl-201")
    # A threshold or an intercept may be any number; a slope has to be above 0, a dropout a share.
    numbers = {
        f"{one}.{name} = {value}" for one in decisions for name in ("threshold", "intercept") for value in (0, -1, 0.5)
    }
    numbers |= {f"{one}.slope = 0.5" for one in decisions} | {"architecture.dropout = 0.5", "architecture.dropout = 0"}
    # Exams of a tracer without a decision are refused; without slope or intercept there was no calibration.
    assert named <= numbers | {f"{one}{end} = nothing" for one in decisions for end in ("", ".slope", ".intercept")}


@pytest.mark.parametrize(("name", "value"), OTHER_CHOICES.items())
def test_weights_that_fit_another_shape_are_not_read_as_it(model, name, value):
    """Another fusion, normalisation or input configuration may have the same weights, and gives other answers."""
    document, use = model
    with pytest.raises(PolarmapError):
        use(changed(document, ("architecture", name), value))


def test_damage_to_a_saved_models_description_is_always_found(model):
    """Without a new seal nothing is accepted."""
    document, use = model
    assert list(accepted(document, lambda variant: use(variant, sealed=False), (None, 0.25))) == []


@pytest.fixture
def exported(own_hub):
    """An exported folder's configuration, and a way to write and read it anew, sealed or not."""
    path = own_hub / "config.json"

    def use(config: Any, *, sealed: bool = True) -> object:
        path.write_text(json.dumps({**config, "digest": digest_of(config)} if sealed else config))
        return ensembles_of([own_hub])

    config = json.loads(path.read_text())
    use(config, sealed=False)
    return config, use


def test_damage_to_an_exported_configuration_is_always_found(exported):
    """Whatever is changed in `config.json` or left out of it, the folder is refused."""
    config, use = exported
    assert list(accepted(config, lambda variant: use(variant, sealed=False), (None, "x", 0.25))) == []


@EVERY
def test_a_hostile_configuration_is_refused_or_another_model(exported, every):
    """Sealed anew: what decides the network's answers is refused; only what a reader is told may be other text."""
    config, use = exported
    told = {"channels", "model_type", "phases", "pixels", "run", "scale", "tracers", "files", "digest"}
    named = {one for one in accepted(config, use, HOSTILE, every) if one.split(" ")[0].split(".")[0] not in told}
    assert named <= {"members.0.dropout = 0.5", "members.0.dropout = 0"}
