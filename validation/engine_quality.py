"""Does the fast engine read as well as a slow loop? AUC over seeds: plain loop, engine, engine in bf16.

Run from the repository: `OMP_NUM_THREADS=1 python -m validation.engine_quality MANIFEST [--seeds 10]`, for example on
what `polarmap import spectf` writes. The plain loop has the recipe alone in common with the engine: it augments anew
in every step where the engine shows fixed views, runs every stage in every step and uses the default AdamW. A seed
decides the split (two thirds of the patients to learn from), the initial weights and every draw; rivals share them.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from mpi_model.augmentation import apply_changes, draw_changes
from mpi_model.exams import input_tensor, tracer_tensor
from mpi_model.freezing import parameter_groups
from mpi_model.loss import exam_weights, mean_auc, training_loss
from mpi_model.maps import LabelledExams, Maps
from mpi_model.network import build_network
from mpi_model.prediction import predict_scores
from mpi_model.schedule import learning_rate_factor
from mpi_model.settings import Hyperparameters, NetworkSettings, Precision, TrainingSettings
from mpi_model.training import Recipe, train
from orchestrator.cohort.loading import load_cohort

CPU = torch.device("cpu")
NETWORK = NetworkSettings(backbone="compact", weights="random")


def main() -> None:
    """Print one line a seed, then means and paired differences."""
    options = _arguments()
    torch.set_num_threads(1)
    cohort = load_cohort(options.manifest, size=32)
    labels = cohort.exams["label"].to_numpy(np.int8)
    usable = np.flatnonzero(cohort.maps.has_stress)
    strata, patients = (2 * cohort.maps.tracer + labels)[usable], cohort.exams["patient_id"].to_numpy()[usable]
    rows = []
    for seed in range(options.seeds):
        split = StratifiedGroupKFold(3, shuffle=True, random_state=seed).split(strata, strata, patients)
        chosen = [usable[part] for part in next(split)]
        training, held_out = (LabelledExams(rows=part, labels=labels[part]) for part in chosen)
        engines = [engine(cohort.maps, training, held_out, seed, options.epochs, kind) for kind in ("fp32", "bf16")]
        rows.append((plain_loop(cohort.maps, training, held_out, seed, options.epochs), *engines))
        sys.stdout.write(f"| {seed} | {' | '.join(f'{auc:.4f}' for auc in rows[-1])} |\n")
    aucs = np.asarray(rows)
    sys.stdout.write(f"| mean | {' | '.join(f'{auc:.4f}' for auc in aucs.mean(axis=0))} |\n")
    sys.stdout.write(f"| sd | {' | '.join(f'{auc:.4f}' for auc in aucs.std(axis=0, ddof=1))} |\n")
    for name, one, other in (("engine - plain loop", 1, 0), ("bf16 - fp32", 2, 1)):
        difference = aucs[:, one] - aucs[:, other]
        error = difference.std(ddof=1) / np.sqrt(len(difference))
        sys.stdout.write(f"{name}: {difference.mean():+.4f}, standard error {error:.4f} over seeds\n")


def engine(
    maps: Maps, training: LabelledExams, held_out: LabelledExams, seed: int, epochs: int, precision: Precision
) -> float:
    """The engine's AUC after its last epoch; the mean over tracers."""
    recipe = Recipe(
        inputs="stress",
        network=NETWORK,
        training=TrainingSettings(epochs=epochs, precision=precision),
        hyperparameters=Hyperparameters(),
        seed=seed,
        views_seed=seed,
        state=None,
    )
    *_, last = train(maps, training, held_out, recipe=recipe, device=CPU)
    assert last.validation_auc is not None
    return last.validation_auc


def plain_loop(maps: Maps, training: LabelledExams, held_out: LabelledExams, seed: int, epochs: int) -> float:
    """The same recipe as a plain loop; its AUC."""
    settings, batch = Hyperparameters(), TrainingSettings().batch_size
    initial = int(np.random.SeedSequence(seed).generate_state(3, np.uint32)[0])
    network = build_network(NETWORK, "stress", image_channels=1, dropout=0.0, seed=initial, state=None).train()
    optimiser = torch.optim.AdamW(parameter_groups(network, settings))
    peaks = [group["lr"] for group in optimiser.param_groups]
    images, tracer = input_tensor(maps, training.rows, "stress"), tracer_tensor(maps, training.rows)
    labels = torch.from_numpy(training.labels.astype(np.float32))
    weights = torch.from_numpy(exam_weights(training.labels, maps.tracer[training.rows]).astype(np.float32))
    generator = torch.Generator().manual_seed(seed)
    horizon = epochs * -(-len(labels) // batch)
    for step, chosen in enumerate(_batches(len(labels), batch, epochs, generator)):
        for group, peak in zip(optimiser.param_groups, peaks, strict=True):
            group["lr"] = peak * learning_rate_factor(step, horizon)
        changes = draw_changes(len(chosen), images.shape[1], generator)
        logits = network(apply_changes(images[chosen], changes), tracer[chosen])
        optimiser.zero_grad()
        training_loss(logits, labels[chosen], weights[chosen], 0.0).backward()  # type: ignore[no-untyped-call] # torch has no types for it
        optimiser.step()
    scores = predict_scores(network.eval(), maps, held_out.rows, device=CPU)
    return _auc(scores, held_out, maps)


def _batches(exams: int, batch: int, epochs: int, generator: torch.Generator) -> list[torch.Tensor]:
    parts = -(-exams // batch)
    orders = [torch.randperm(exams, generator=generator).tensor_split(parts) for _ in range(epochs)]
    return [chosen for order in orders for chosen in order]


def _auc(scores: NDArray[np.float64], held_out: LabelledExams, maps: Maps) -> float:
    auc = mean_auc(scores, held_out.labels, maps.tracer[held_out.rows])
    assert auc is not None
    return auc


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=30)
    return parser.parse_args()


if __name__ == "__main__":
    main()
