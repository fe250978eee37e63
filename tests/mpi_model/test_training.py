"""Training: it learns what is there, nothing that is not, and the same in every process."""

import hashlib
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import rounding
import torch
from torch import Tensor, nn

from mpi_model.backbones import build_encoder
from mpi_model.errors import CohortError, ExperimentError, TrainingDivergedError
from mpi_model.loss import mean_auc
from mpi_model.network import _LogitHeads
from mpi_model.prediction import predict_scores
from mpi_model.schedule import horizon_steps
from mpi_model.training import refit, train

CPU = torch.device("cpu")


@pytest.mark.parametrize("inputs", ["stress", "dual"])
@pytest.mark.parametrize("heads", ["tracer", "shared", "separate"])
def test_an_easy_defect_is_learnt(
    heads: str, inputs: str, paint: Callable, exams: Callable, make_recipe: Callable
) -> None:
    """Every kind of network reads a plain stress defect in both tracers."""
    maps, labels = paint(128)
    recipe = make_recipe(heads=heads, inputs=inputs, training={"epochs": 8})
    *_, last = train(maps, exams(labels, range(64)), exams(labels, range(64, 128)), recipe=recipe, device=CPU)
    assert last.validation_auc > 0.9


def test_the_resting_maps_have_nothing_to_learn(paint: Callable, exams: Callable, make_recipe: Callable) -> None:
    """The defect is in the stress maps only, so that rest input stays at chance."""
    maps, labels = paint(160)
    recipe = make_recipe(inputs="rest", training={"epochs": 6})
    *_, last = train(maps, exams(labels, range(60)), exams(labels, range(60, 160)), recipe=recipe, device=CPU)
    assert 0.3 < last.validation_auc < 0.7


def test_shuffled_labels_teach_nothing(paint: Callable, exams: Callable, make_recipe: Callable) -> None:
    """No path leads from a validation label into the training."""
    maps, labels = paint(160)
    shuffled = np.random.default_rng(0).permutation(labels)
    recipe = make_recipe(training={"epochs": 6})
    *_, last = train(maps, exams(shuffled, range(60)), exams(shuffled, range(60, 160)), recipe=recipe, device=CPU)
    assert 0.3 < last.validation_auc < 0.7


def test_validation_labels_change_no_score(paint: Callable, exams: Callable, make_recipe: Callable) -> None:
    """Held-out labels are measured against, never learnt from."""
    maps, labels = paint(24)
    training, validation = exams(labels, range(12)), exams(labels, range(12, 24))
    flipped = replace(validation, labels=1 - validation.labels)
    records = [list(train(maps, training, part, recipe=make_recipe(), device=CPU)) for part in (validation, flipped)]
    for one, other in zip(*records, strict=True):
        np.testing.assert_array_equal(one.validation_scores, other.validation_scores)
        assert one.validation_auc == pytest.approx(1 - other.validation_auc)


@pytest.mark.parametrize("epoch", [1, 3])
def test_a_refit_takes_the_candidates_own_path(
    epoch: int, paint: Callable, exams: Callable, make_recipe: Callable
) -> None:
    """Same exams, seed and horizon: after as many steps the refitted network is the candidate's, bit for bit."""
    maps, labels = paint(44)
    training, validation = exams(labels, range(20)), exams(labels, range(20, 44))
    recipe = make_recipe(training={"epochs": 4}, dropout=0.2, label_smoothing=0.1)
    records = list(train(maps, training, validation, recipe=recipe, device=CPU))
    network = refit(
        maps,
        training,
        recipe=recipe,
        steps=records[epoch - 1].steps,
        horizon=horizon_steps(20, recipe.training),
        device=CPU,
    )
    scores = predict_scores(network, maps, validation.rows, device=CPU)
    np.testing.assert_array_equal(scores, records[epoch - 1].validation_scores)


def test_a_whole_schedule_ends_in_the_mean_of_its_second_half(
    paint: Callable, exams: Callable, make_recipe: Callable
) -> None:
    """Of four epochs the mean of the last two is judged, refitted and predicted with; frozen stages keep their bits."""
    maps, labels = paint(44)
    training, validation = exams(labels, range(20)), exams(labels, range(20, 44))
    ends, whole = (
        make_recipe(training={"epochs": 4, "budget": budget}, dropout=0.2, freeze_depth=1)
        for budget in ("best_epoch", "schedule")
    )
    steps = [record.steps for record in train(maps, training, validation, recipe=ends, device=CPU)]
    third, fourth, mean = (
        refit(maps, training, recipe=recipe, steps=steps[epoch - 1], horizon=steps[-1], device=CPU)
        for recipe, epoch in ((ends, 3), (ends, 4), (whole, 4))
    )
    moved = 0
    for name, found in mean.state_dict().items():
        one, other = third.state_dict()[name].double(), fourth.state_dict()[name].double()
        moved += not torch.equal(one, other)
        # Difference, half and sum are rounded once each.
        bound = 3 * torch.finfo(torch.float32).eps * torch.maximum(one.abs(), other.abs())
        expected = (one + other) / 2 if found.is_floating_point() else other
        assert ((found - expected).abs() <= bound).all(), name
        assert not name.startswith("encoders.0.stages.0.") or torch.equal(found.double(), one), name
    assert moved > 5
    *_, last = train(maps, training, validation, recipe=whole, device=CPU)
    np.testing.assert_array_equal(predict_scores(mean, maps, validation.rows, device=CPU), last.validation_scores)


def test_a_refit_takes_exactly_the_steps_asked_for(paint: Callable, exams: Callable, make_recipe: Callable) -> None:
    """A median best epoch of another training part may end within an epoch of this one."""
    maps, labels = paint(20)
    for steps in (0, 2, 4, 7):
        network = refit(maps, exams(labels, range(20)), recipe=make_recipe(), steps=steps, horizon=6, device=CPU)
        counter = network.encoders[0].stages[0][0][1].num_batches_tracked
        assert counter == steps
        assert not network.training


def test_epochs_report_steps_losses_and_aligned_scores(paint: Callable, exams: Callable, make_recipe: Callable) -> None:
    """A record says which epoch, how many steps, and one score for each validation row in order."""
    maps, labels = paint(40)
    rows = np.array([39, 21, 30, 22, 33, 28, 20, 31])
    validation = exams(labels, rows)
    records = list(train(maps, exams(labels, range(20)), validation, recipe=make_recipe(), device=CPU))
    assert [(record.epoch, record.steps) for record in records] == [(1, 3), (2, 6)]
    last = records[-1]
    assert last.validation_scores.dtype == np.float64
    assert last.validation_auc == mean_auc(last.validation_scores, validation.labels, maps.tracer[rows])
    reordered = exams(labels, np.sort(rows))
    *_, sorted_last = train(maps, exams(labels, range(20)), reordered, recipe=make_recipe(), device=CPU)
    bound = rounding.through(build_encoder("compact", torch.Generator())) * np.abs(last.validation_scores).max()
    assert bound < np.diff(np.sort(last.validation_scores)).min()  # another exam's score is farther off
    np.testing.assert_allclose(
        sorted_last.validation_scores, last.validation_scores[np.argsort(rows)], rtol=0, atol=bound
    )


def test_without_augmentation_and_smoothing_the_first_loss_is_that_of_the_initial_network(
    paint: Callable, exams: Callable, make_recipe: Callable
) -> None:
    """The reported training loss is the balanced loss, here of one full batch in training mode."""
    maps, labels = paint(12)
    training = exams(labels, range(12))
    recipe = make_recipe(training={"epochs": 1, "batch_size": 100, "augment": False})
    record = next(train(maps, training, training, recipe=recipe, device=CPU))
    network = refit(maps, training, recipe=recipe, steps=0, horizon=1, device=CPU).train()
    images = torch.from_numpy(maps.stress[:, None] / np.float32(65535))
    scores = network(images, torch.from_numpy(maps.tracer).long()).detach().numpy()
    cells = [
        np.logaddexp(0, -(2 * label - 1) * scores[(labels == label) & (maps.tracer == tracer)]).mean()
        for label in (0, 1)
        for tracer in (0, 1)
    ]
    # Scores of both sides carry the rounding of the network; a loss moves by no more than its score.
    bound = 2 * rounding.through(network) * np.abs(scores).max() + rounding.of_sum(12)
    assert record.training_loss == pytest.approx(np.mean(cells), rel=0, abs=float(bound))


def test_logit_noise_reaches_the_loss_of_training_alone(
    paint: Callable, exams: Callable, make_recipe: Callable
) -> None:
    """Noise far above the first logits costs its SD times E max(z, 0) = .399; the validation's scores have none."""
    maps, labels = paint(200)
    part = exams(labels, range(200))
    recipe = make_recipe(training={"epochs": 1, "batch_size": 200}, logit_noise=100.0)
    record = next(train(maps, part, part, recipe=recipe, device=CPU))
    # The SD of max(z, 0) is .584; exams weigh about 1.
    assert record.training_loss == pytest.approx(39.9, abs=4 * 58.4 / 200**0.5)
    assert np.abs(record.validation_scores).max() < 10


def test_a_batch_without_one_tracer_trains(paint: Callable, exams: Callable, make_recipe: Callable) -> None:
    """Few exams of one tracer leave most batches without it; every kind of head copes."""
    maps, labels = paint(16)
    maps = replace(maps, tracer=np.array([1, 1] + [0] * 14, dtype=np.int8))
    labels[:2] = (0, 1)
    for heads in ("tracer", "separate"):
        recipe = make_recipe(heads=heads, training={"batch_size": 3})
        records = list(train(maps, exams(labels, range(16)), exams(labels, range(16)), recipe=recipe, device=CPU))
        assert np.isfinite(records[-1].validation_scores).all()


def test_a_validation_part_of_one_class_has_no_auc(paint: Callable, exams: Callable, make_recipe: Callable) -> None:
    """What cannot be estimated is None, not a number that looks like one."""
    maps, labels = paint(16)
    validation = exams(labels, np.flatnonzero(labels == 1))
    record = next(train(maps, exams(labels, range(16)), validation, recipe=make_recipe(), device=CPU))
    assert record.validation_auc is None
    assert record.validation_loss > 0


def test_pretrained_weights_start_the_training_and_colour_maps_are_read(
    paint: Callable, exams: Callable, make_recipe: Callable
) -> None:
    """A state travels into the encoder of a training, here for three-channel maps."""
    maps, labels = paint(8, channels=3)
    encoder = build_encoder("compact", torch.Generator().manual_seed(77), image_channels=3)
    state = {key: value.numpy() for key, value in encoder.state_dict().items()}
    for array in state.values():
        array.setflags(write=False)  # as arrays from shared memory are
    recipe = make_recipe(state=state)
    network = refit(maps, exams(labels, range(8)), recipe=recipe, steps=0, horizon=1, device=CPU)
    assert all(np.array_equal(network.encoders[0].state_dict()[key], value) for key, value in state.items())
    refit(maps, exams(labels, range(8)), recipe=recipe, steps=2, horizon=2, device=CPU)


def test_brain_float_training_stays_near_single_precision(
    paint: Callable, exams: Callable, make_recipe: Callable
) -> None:
    """bf16 trains the same network within rounding, with finite single-precision scores."""
    maps, labels = paint(24)
    training, scores = exams(labels, range(24)), []
    for precision in ("fp32", "bf16"):
        recipe = make_recipe(heads="separate", training={"precision": precision})
        *_, last = train(maps, training, training, recipe=recipe, device=CPU)
        scores.append(last.validation_scores)
    untrained = refit(maps, training, recipe=recipe, steps=0, horizon=1, device=CPU)
    before = predict_scores(untrained, maps, training.rows, device=CPU)
    assert not np.array_equal(*scores)
    # AdamW steps by signs, so that rounding has no small bound here: it moves less than half of what training does.
    moved, apart = np.linalg.norm(scores[0] - before), np.linalg.norm(scores[0] - scores[1])
    assert apart < moved / 2


def test_a_diverging_training_ends_as_such(paint: Callable, exams: Callable, make_recipe: Callable) -> None:
    """An absurd learning rate is a failed candidate with a message, never a NaN in a table."""
    maps, labels = paint(16)
    training = exams(labels, range(16))
    recipe = make_recipe(encoder_learning_rate=1e30, head_learning_rate=1e38, training={"epochs": 6})
    with pytest.raises(TrainingDivergedError, match="lower the"):
        list(train(maps, training, training, recipe=recipe, device=CPU))
    with pytest.raises(TrainingDivergedError, match="lower the"):
        refit(maps, training, recipe=recipe, steps=12, horizon=12, device=CPU)


def test_scores_that_are_not_numbers_end_a_candidate(paint: Callable, exams: Callable, make_recipe: Callable) -> None:
    """A last step that destroys the weights is noticed, although every loss before it was finite."""
    maps, labels = paint(16)
    training = exams(labels, range(16))
    recipe = make_recipe(head_learning_rate=1e38, training={"epochs": 1, "batch_size": 16})
    with pytest.raises(TrainingDivergedError, match="scores are not finite"):
        next(train(maps, training, training, recipe=recipe, device=CPU))


def plain_loop(
    network: nn.Module,
    images: Tensor,
    tracer: Tensor,
    labels: Tensor,
    *,
    encoder_rate: float = 3e-4,
    decay: float = 1e-2,
    decay_of_vectors: float = 0.0,
    smoothing: float = 0.1,
    warmup: bool = True,
) -> None:
    """Eight steps of AdamW on the balanced loss, in as few lines as it can be said."""
    optimiser = torch.optim.AdamW(
        {
            "params": [parameter],
            "lr": 1e-3 if name.startswith("heads") else encoder_rate,
            "weight_decay": decay if parameter.ndim > 1 else decay_of_vectors,
        }
        for name, parameter in network.named_parameters()
    )
    peaks = [group["lr"] for group in optimiser.param_groups]
    targets = labels * (1 - smoothing) + smoothing / 2
    for step in range(8):
        for group, peak in zip(optimiser.param_groups, peaks, strict=True):
            ended = (step - 1) / 7 if warmup else step / 8
            group["lr"] = peak if step == 0 else peak * (1 + np.cos(np.pi * ended)) / 2
        losses = nn.functional.binary_cross_entropy_with_logits(network(images, tracer), targets, reduction="none")
        parts = [losses[(tracer == t) & (labels == c)].mean() for t in (0, 1) for c in (0, 1)]
        optimiser.zero_grad()
        torch.stack(parts).mean().backward()
        optimiser.step()


def test_training_is_a_plain_adamw_loop_on_the_balanced_loss(
    paint: Callable, exams: Callable, make_recipe: Callable
) -> None:
    """Eight full-batch steps end where a loop of a few lines ends: rates, weights and labels are in their places.

    Rounding has no small bound after AdamW, so the bound is a tenth of what the least of five mistakes changes.
    """
    maps, labels = paint(24)
    maps = replace(maps, tracer=(np.arange(24) < 5).astype(np.int8))
    training = exams(labels, range(24))
    recipe = make_recipe(training={"batch_size": 24, "augment": False}, label_smoothing=0.1)
    images = torch.from_numpy(maps.stress[:, None] / np.float32(65535))
    tracer, targets = torch.from_numpy(maps.tracer).long(), torch.from_numpy(labels).float()

    def scores_of(**mistake: object) -> np.ndarray:
        network = refit(maps, training, recipe=recipe, steps=0, horizon=8, device=CPU).train()
        plain_loop(network, images, tracer, targets, **mistake)
        return predict_scores(network, maps, training.rows, device=CPU)

    expected = scores_of()
    mistakes = [
        {"encoder_rate": 1e-3},
        {"decay": 1.0},
        {"decay_of_vectors": 1.0},
        {"smoothing": 0.0},
        {"warmup": False},
    ]
    least = min(np.abs(scores_of(**mistake) - expected).max() for mistake in mistakes)
    refitted = refit(maps, training, recipe=recipe, steps=8, horizon=8, device=CPU)
    found = predict_scores(refitted, maps, training.rows, device=CPU)
    assert np.abs(found - expected).max() < least / 10


def test_a_batch_size_beyond_the_cohort_is_one_batch_of_all(
    paint: Callable, exams: Callable, make_recipe: Callable
) -> None:
    """A batch size that a small cohort cannot fill trains on all its exams in each step, and on nothing else."""
    maps, labels = paint(24)
    training = exams(labels, range(24))
    scores = [
        [record.validation_scores for record in train(maps, training, training, recipe=recipe, device=CPU)]
        for recipe in (make_recipe(training={"batch_size": size}) for size in (24, 1000))
    ]
    np.testing.assert_array_equal(*scores)


def test_the_seed_of_a_training_decides_which_views_it_sees(
    paint: Callable, exams: Callable, make_recipe: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From one initial network in full batches, seeds differ by the views drawn and by nothing without them."""
    drawn = _LogitHeads.initialise
    monkeypatch.setattr(_LogitHeads, "initialise", lambda heads, _: drawn(heads, torch.Generator().manual_seed(0)))
    maps, labels = paint(24)
    training = exams(labels, range(24))
    encoder = build_encoder("compact", torch.Generator().manual_seed(1))
    state = {key: value.numpy() for key, value in encoder.state_dict().items()}

    def scores(seed: int, *, augment: bool) -> np.ndarray:
        recipe = make_recipe(seed=seed, state=state, training={"augment": augment, "batch_size": 24, "epochs": 1})
        return next(train(maps, training, training, recipe=recipe, device=CPU)).validation_scores

    # The order of a full batch changes its rounding, and AdamW the size of that: far less than other views do.
    without, with_views = (
        np.abs(scores(1, augment=augment) - scores(2, augment=augment)).max() for augment in (False, True)
    )
    assert without < with_views / 10


def test_what_cannot_be_trained_is_refused_before_the_first_epoch(
    paint: Callable, exams: Callable, make_recipe: Callable
) -> None:
    """Small images, an empty training part and missing phases are refused when `train` is called."""
    maps, labels = paint(8)
    training = exams(labels, range(8))
    with pytest.raises(ExperimentError, match="at least 64 pixels"):
        train(maps, training, training, recipe=make_recipe(backbone="resnet18"), device=CPU)
    with pytest.raises(ExperimentError, match="no exams"):
        train(maps, exams(labels, range(0)), training, recipe=make_recipe(), device=CPU)
    lacking = replace(maps, has_stress=np.zeros(8, dtype=np.bool_))
    with pytest.raises(CohortError, match="lack"):
        train(lacking, training, training, recipe=make_recipe(), device=CPU)


def test_interleaved_trainings_do_not_disturb_each_other(
    paint: Callable, exams: Callable, make_recipe: Callable
) -> None:
    """Inner folds advance side by side, an epoch at a time, as if each ran alone."""
    maps, labels = paint(24)
    parts = exams(labels, range(12)), exams(labels, range(12, 24))
    recipe = make_recipe(dropout=0.3)
    alone = [list(train(maps, parts[i], parts[1 - i], recipe=recipe, device=CPU))[-1].validation_scores for i in (0, 1)]
    pair = [train(maps, parts[i], parts[1 - i], recipe=recipe, device=CPU) for i in (0, 1)]
    together = [scores for _ in range(2) for scores in [[next(run).validation_scores for run in pair]]][-1]
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)


FINGERPRINT = """
import hashlib, sys
import numpy as np
import torch
from mpi_model.maps import LabelledExams, Maps
from mpi_model.settings import Hyperparameters, NetworkSettings, TrainingSettings
from mpi_model.training import Recipe, refit, train

def fingerprint():
    torch.set_num_threads(1)
    generator = np.random.default_rng(3)
    stress, rest = generator.integers(0, 65536, (2, 22, 1, 16, 16), dtype=np.uint16)
    acquired, tracer = np.ones(22, dtype=bool), (np.arange(22) % 2).astype(np.int8)
    maps = Maps(stress=stress, rest=rest, has_stress=acquired, has_rest=acquired, tracer=tracer)
    rows = np.arange(22)
    exams = LabelledExams(rows=rows, labels=(rows % 4 < 2).astype(np.int8))
    recipe = Recipe(
        inputs="dual",
        network=NetworkSettings(backbone="compact", weights="random"),
        training=TrainingSettings(epochs=3, batch_size=8),
        hyperparameters=Hyperparameters(dropout=0.3, freeze_depth=1),
        seed=2**127 + 5,
        views_seed=2**63 - 1,
        state=None,
    )
    cpu, digest = torch.device("cpu"), hashlib.sha256()
    for epoch in train(maps, exams, exams, recipe=recipe, device=cpu):
        digest.update(epoch.validation_scores.tobytes() + repr(epoch.training_loss).encode())
    network = refit(maps, exams, recipe=recipe, steps=5, horizon=9, device=cpu)
    for value in network.state_dict().values():
        digest.update(value.numpy().tobytes())
    return digest.hexdigest()
"""


def test_two_processes_give_the_same_bytes() -> None:
    """A cell's numbers depend on its key and data, not on the worker that computed them."""
    namespace: dict[str, Callable[[], str]] = {}
    exec(FINGERPRINT, namespace)
    torch.manual_seed(1234)
    here = namespace["fingerprint"]()
    there = subprocess.run(
        [sys.executable, "-c", FINGERPRINT + "\nprint(fingerprint())"], capture_output=True, text=True, check=True
    )
    assert there.stdout.strip() == here
    assert len(here) == hashlib.sha256().digest_size * 2
