"""The cached prefix: it saves time and changes nothing."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
import rounding
import torch

from mpi_model import training_inputs
from mpi_model.backbones import build_encoder
from mpi_model.bounded_cache import BoundedCache, process_cache
from mpi_model.freezing import freeze
from mpi_model.network import build_network
from mpi_model.prediction import predict_scores
from mpi_model.settings import EncoderStages, NetworkSettings
from mpi_model.training import Recipe, refit, train

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _an_empty_cache() -> Iterator[None]:
    process_cache("cpu").clear()
    yield
    process_cache("cpu").clear()


def pretrained(backbone: str, seed: int = 5) -> dict[str, np.ndarray]:
    encoder = build_encoder(backbone, torch.Generator().manual_seed(seed))
    generator = torch.Generator().manual_seed(seed)
    for name, buffer in encoder.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            buffer.copy_(torch.rand(buffer.shape, generator=generator) * 0.2 + (0.9 if "var" in name else -0.1))
    return {key: value.numpy() for key, value in encoder.state_dict().items()}


def outcome(maps: object, labels: object, exams: Callable, recipe: Recipe) -> tuple[np.ndarray, dict]:
    """All scores of a candidate and the weights of its refit."""
    training, validation = exams(labels, range(25)), exams(labels, range(25, 40))
    records = list(train(maps, training, validation, recipe=recipe, device=CPU))
    network = refit(maps, training, recipe=recipe, steps=3, horizon=4, device=CPU)
    np.testing.assert_array_equal(network.training, False)
    return np.stack([record.validation_scores for record in records]), network.state_dict()


# A ResNet in bf16 takes a minute of a processor without bf16, and no path that `compact` does not take.
SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("backbone", "size", "inputs", "heads", "depth", "precision"),
    [
        ("compact", 16, "stress", "tracer", 1, "fp32"),
        ("compact", 16, "stress", "tracer", 1, "bf16"),
        ("compact", 16, "dual", "separate", 2, "fp32"),
        ("compact", 16, "dual", "separate", 2, "bf16"),
        ("compact", 16, "dual", "tracer", 4, "fp32"),
        ("compact", 16, "dual", "tracer", 4, "bf16"),
        ("resnet18", 64, "stress", "tracer", 4, "fp32"),
        pytest.param("resnet18", 64, "stress", "tracer", 1, "fp32", marks=SLOW),
        pytest.param("resnet18", 64, "dual", "shared", 5, "fp32", marks=SLOW),
        pytest.param("resnet18", 64, "stress", "tracer", 4, "bf16", marks=SLOW),
        pytest.param("vgg16_bn", 64, "stress", "tracer", 4, "fp32", marks=SLOW),
    ],
)
def test_cached_equals_uncached_bitwise(
    backbone: str,
    size: int,
    inputs: str,
    heads: str,
    depth: int,
    precision: str,
    paint: Callable,
    exams: Callable,
    make_recipe: Callable,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A training on stored activations gives the scores and the weights of one that runs every stage in every step."""
    maps, labels = paint(40, size=size)
    recipe = make_recipe(
        backbone=backbone,
        inputs=inputs,
        heads=heads,
        state=pretrained(backbone),
        freeze_depth=depth,
        training={"precision": precision, "batch_size": 13},
    )
    cached = outcome(maps, labels, exams, recipe)
    assert any(key[0] == "prefix" for key in process_cache("cpu")._entries)
    monkeypatch.setattr(training_inputs, "process_cache", lambda _: BoundedCache(0))
    uncached = outcome(maps, labels, exams, recipe)
    np.testing.assert_array_equal(cached[0], uncached[0])
    for name, value in cached[1].items():
        assert torch.equal(value, uncached[1][name]), name
        stage, _, rest = name.removeprefix("encoders.0.stages.").partition(".")
        if stage.isdecimal() and int(stage) < depth:
            assert np.array_equal(value.numpy(), recipe.state[f"stages.{stage}.{rest}"]), name


@pytest.mark.parametrize(
    ("backbone", "ends"),
    [("efficientnet_b0", "all"), ("resnet50", "all"), ("efficientnet_lite0", "all"), ("efficientnet_lite0", 5)],
)
def test_other_families_differ_in_the_last_bits_only(backbone: str, ends: EncoderStages, paint: Callable) -> None:
    """The library picks kernels of these by batch size: stored activations are the stages' within rounding."""
    maps, _ = paint(20, size=64)
    network = build_network(
        NetworkSettings(backbone=backbone, weights="given.pth", encoder_stages=ends),
        "stress",
        image_channels=1,
        dropout=0.0,
        seed=0,
        state=pretrained(backbone),
    )
    freeze(network, 3)
    material = training_inputs.training_inputs(
        network, maps, depth=3, state=pretrained(backbone), precision="fp32", seed=None, device=CPU
    )
    assert material.first == 3
    images = torch.from_numpy(maps.stress[:, None] / np.float32(65535))
    bound = rounding.through(network.encoders[0].stages[:3])
    exact = network.double().prefix(images.double(), 3)
    error = (material.at(torch.arange(20)) - exact).abs().max() / exact.abs().max()
    assert error < bound
    assert bound < 1e-3  # another exam's activations are off by about their own size


def test_a_training_does_not_depend_on_what_its_process_did_before(
    paint: Callable, exams: Callable, make_recipe: Callable
) -> None:
    """Other weights, depths, cohorts, inputs and view seeds leave their own entries, not traces in another's."""
    maps, labels = paint(40)
    recipe = make_recipe(state=pretrained("compact"), freeze_depth=2)
    fresh, _ = outcome(maps, labels, exams, recipe)
    process_cache("cpu").clear()
    others = [
        (maps, make_recipe(state=pretrained("compact", seed=6), freeze_depth=2)),
        (paint(40, seed=9)[0], recipe),
        (maps, make_recipe(state=recipe.state, freeze_depth=1)),
        (maps, make_recipe(state=recipe.state, freeze_depth=2, inputs="rest")),
        (maps, make_recipe(state=recipe.state, freeze_depth=2, views_seed=1)),
        (maps, make_recipe(state=recipe.state, freeze_depth=2, training={"augment": False})),
    ]
    different = [outcome(cohort, labels, exams, other)[0] for cohort, other in others]
    again, _ = outcome(maps, labels, exams, recipe)
    np.testing.assert_array_equal(again, fresh)
    assert not any(np.array_equal(scores, fresh) for scores in different)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_deeper_stages_start_from_what_is_kept(
    precision: str, paint: Callable, exams: Callable, make_recipe: Callable
) -> None:
    """Depth 4 computed from depth 2 is bitwise depth 4 computed from the images."""
    maps, labels = paint(40)
    recipes = [
        make_recipe(state=pretrained("compact"), freeze_depth=depth, training={"precision": precision})
        for depth in (2, 4)
    ]
    fresh, _ = outcome(maps, labels, exams, recipes[1])
    process_cache("cpu").clear()
    outcome(maps, labels, exams, recipes[0])
    np.testing.assert_array_equal(outcome(maps, labels, exams, recipes[1])[0], fresh)


def test_candidates_and_kinds_of_heads_share_one_entry(paint: Callable, exams: Callable, make_recipe: Callable) -> None:
    """The frozen stages are computed once for all seeds, rates, heads and training parts of a cohort."""
    maps, labels = paint(40)
    recipe = make_recipe(state=pretrained("compact"), freeze_depth=3)
    outcome(maps, labels, exams, recipe)
    entries = len(process_cache("cpu"))
    same_state = {"state": recipe.state, "freeze_depth": 3}
    for other in (
        replace(recipe, seed=99),
        make_recipe(**same_state, heads="separate"),
        make_recipe(**same_state, encoder_learning_rate=1e-2, dropout=0.5),
    ):
        outcome(replace(maps, tracer=maps.tracer.copy()), labels, exams, other)
    assert len(process_cache("cpu")) == entries


@pytest.mark.parametrize("depth", [1, 2])
def test_encoders_of_several_ends_share_maps_and_never_features(
    depth: int, paint: Callable, exams: Callable, make_recipe: Callable
) -> None:
    """A prefix kept for one end of the encoder serves another bitwise, also where the other is wholly frozen there."""
    maps, labels = paint(40)
    recipes = [make_recipe(state=pretrained("compact"), freeze_depth=depth, encoder_stages=end) for end in (4, 3, 2)]
    fresh = []
    for recipe in recipes:
        process_cache("cpu").clear()
        fresh.append(outcome(maps, labels, exams, recipe)[0])
    process_cache("cpu").clear()
    for order in ((0, 1, 2), (2, 1, 0)):
        for number in order:
            np.testing.assert_array_equal(outcome(maps, labels, exams, recipes[number])[0], fresh[number])
        prefixes = [key[-2:] for key in process_cache("cpu")._entries if key[0] == "prefix"]
        assert sorted(prefixes) == ([("maps", 1)] if depth == 1 else [("features", 2), ("maps", 2)])
        process_cache("cpu").clear()


def test_random_weights_have_no_prefix_to_share(paint: Callable, exams: Callable, make_recipe: Callable) -> None:
    """Every candidate starts from its own random stages; only the views are kept."""
    maps, labels = paint(40)
    outcome(maps, labels, exams, make_recipe(freeze_depth=3))
    assert len(process_cache("cpu")) == 1


@pytest.mark.parametrize("depth", [0, 2, 4])
def test_validation_scores_are_those_of_the_network_on_the_unchanged_exams(
    depth: int, paint: Callable, exams: Callable, make_recipe: Callable
) -> None:
    """Validation reads view 0 and the same stages that a prediction runs."""
    maps, labels = paint(40)
    recipe = make_recipe(state=pretrained("compact"), freeze_depth=depth, training={"epochs": 1})
    training, validation = exams(labels, range(16)), exams(labels, range(16, 40))
    record = next(train(maps, training, validation, recipe=recipe, device=CPU))
    network = refit(maps, training, recipe=recipe, steps=2, horizon=2, device=CPU)
    scores = predict_scores(network, maps, validation.rows, device=CPU)
    np.testing.assert_array_equal(record.validation_scores, scores)


SCRIPT = """
import hashlib
import numpy as np
import torch
from mpi_model.backbones import build_encoder
from mpi_model.maps import LabelledExams, Maps
from mpi_model.settings import Hyperparameters, NetworkSettings, TrainingSettings
from mpi_model.training import Recipe, train

def fingerprint(depths):
    torch.set_num_threads(1)
    pixels = np.random.default_rng(3).integers(0, 65536, (40, 1, 16, 16), dtype=np.uint16)
    acquired, rows = np.ones(40, dtype=bool), np.arange(40)
    tracer = (rows % 2).astype(np.int8)
    maps = Maps(stress=pixels, rest=pixels, has_stress=acquired, has_rest=acquired, tracer=tracer)
    exams = LabelledExams(rows=rows, labels=(rows % 4 < 2).astype(np.int8))
    encoder = build_encoder("compact", torch.Generator().manual_seed(1))
    digests = {}
    for depth in depths:
        recipe = Recipe(
            inputs="stress", network=NetworkSettings(backbone="compact", weights="given.pth"),
            training=TrainingSettings(epochs=2, batch_size=16), seed=5, views_seed=6,
            hyperparameters=Hyperparameters(freeze_depth=depth),
            state={key: value.numpy() for key, value in encoder.state_dict().items()},
        )
        digest = hashlib.sha256()
        for epoch in train(maps, exams, exams, recipe=recipe, device=torch.device("cpu")):
            digest.update(epoch.validation_scores.tobytes() + repr(epoch.training_loss).encode())
        digests[depth] = digest.hexdigest()
    return sorted(digests.items())
"""


def test_two_processes_give_the_same_bytes_whatever_the_order_of_their_candidates() -> None:
    """What a worker has in its cache when a cell arrives does not reach the cell's numbers."""
    namespace: dict[str, Callable] = {}
    exec(SCRIPT, namespace)
    here = namespace["fingerprint"]([4, 1, 0, 3])
    script = SCRIPT + "\nprint(fingerprint([0, 1, 3, 4]))"
    there = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert there.stdout.strip() == repr(here)
    assert len({digest for _, digest in here}) == 4
