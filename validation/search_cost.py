"""What does each way of searching cost, and how good is what it chooses? Rules are compared on the same trainings.

Run from the repository: `polarmap synth COHORT --patients 2600 --size 32 --format npy`, then
`OMP_NUM_THREADS=1 python -m validation.search_cost train COHORT/manifest.csv STORE --cells 16`, then the same with
`judge`. `train` gives every candidate of every cell all its inner folds and stores loss and scores after each epoch, a
file a cell; `judge` replays each rule on what is stored, refits what a rule chooses and reads 1,500 patients that no
cell ever sees. All rules are shown the same candidates, which TPE proposed knowing all inner folds: what is compared is
when a rule stops and what it chooses, not what TPE would have proposed after it.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
import optuna
import torch
from numpy.typing import NDArray
from scipy import stats

from mpi_model.imagenet import checkpoint_path
from mpi_model.loss import class_weights, mean_auc
from mpi_model.maps import LabelledExams
from mpi_model.settings import NetworkSettings, TrainingSettings
from mpi_model.stages import backbone
from mpi_model.training import Epoch, train
from mpi_model.weights import load_state
from orchestrator.cells.recipe import recipe_for
from orchestrator.cells.records import CellTask, Procedure, WorkerContext
from orchestrator.cells.study import startup_candidates
from orchestrator.cohort.loading import load_cohort
from orchestrator.cohort.records import Cohort
from orchestrator.experiment.settings import DecisionSettings, SearchSettings
from search_spaces.conditions import Value
from search_spaces.reading import read_space
from search_spaces.space import WHOLE_NUMBERS, first_candidate, propose
from validation.less_work import drawn_task
from validation.search_rules import CANDIDATES, RULES, Floats, Stored

PATIENTS: Final = (75, 150, 300)
"""Patients of a cell, by size."""
STAGES: Final = 4
"""The encoder of the demonstration, wholly frozen: what is trained are heads on features that are computed once."""
SPACE: Final = read_space(
    "heads",
    {
        "freeze_depth": {"kind": "fixed", "value": STAGES},
        "encoder_learning_rate": {"kind": "fixed", "value": 1e-3, "when": "freeze_depth < stages"},
        "head_learning_rate": {"kind": "float", "low": 1e-4, "high": 1e-1, "log": True},
        "weight_decay": {"kind": "float", "low": 1e-3, "high": 10.0, "log": True},
        "dropout": {"kind": "float", "low": 0.0, "high": 0.7},
        "label_smoothing": {"kind": "float", "low": 0.0, "high": 0.3},
    },
    STAGES,
)
CPU: Final = torch.device("cpu")


def main() -> None:
    """Train what is not stored yet, or judge what is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("train", "judge"))
    parser.add_argument("manifest", type=Path)
    parser.add_argument("store", type=Path)
    parser.add_argument("--cells", type=int, default=16, help="of each size")
    options = parser.parse_args()
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    cohort = load_cohort(options.manifest, size=32)
    bench = bench_of(cohort)
    options.store.mkdir(exist_ok=True)
    found: dict[int, list[Floats]] = {patients: [] for patients in PATIENTS}
    for cell in range(options.cells):
        for patients in PATIENTS:
            path = options.store / f"{patients}-{cell:02d}.npz"
            if options.what == "train" and not path.exists():
                task, _ = drawn_task(cohort, cell, patients)
                np.savez_compressed(path, **trained(cohort, bench, task))  # type: ignore[arg-type]
                sys.stderr.write(f"{path.name}\n")
            if options.what == "judge" and path.exists():
                found[patients].append(judged_once(cohort, bench, patients, cell, path))
                sys.stderr.write(f"{path.name}: {np.round(found[patients][-1][:, 1], 4).tolist()}\n")
    if options.what == "judge":
        sys.stdout.write(table({size: np.array(some) for size, some in found.items() if some}, list(RULES), "best"))


def bench_of(cohort: Cohort) -> WorkerContext:
    """What a worker would hold: the demonstration's encoder, and the defaults of training and search."""
    channels = cohort.maps.stress.shape[1]
    return WorkerContext(
        maps=cohort.maps,
        procedure=Procedure(
            network=NetworkSettings(backbone="efficientnet_lite0", encoder_stages=STAGES),
            training=TrainingSettings(),
            search=SearchSettings(),
            decision=DecisionSettings(),
            space=SPACE,
        ),
        state=load_state(
            checkpoint_path(backbone("efficientnet_lite0")), "efficientnet_lite0", image_channels=channels
        ),
        device="cpu",
        facts={},
    )


def trained(cohort: Cohort, bench: WorkerContext, task: CellTask) -> dict[str, NDArray[np.generic]]:
    """Every candidate on every inner fold, by the patience of the defaults and nothing else.

    Returns:
        `values` `[C, P]`; `losses` and `steps` `[C, F, E]`, NaN and 0 after the end; `scores` `[C, E, N]`, the
        validation exams of the inner folds one after another; `rows`, `labels`, `fold` and `weights` `[N]`.
    """
    space, folds, epochs = bench.procedure.space, len(task.inner), bench.procedure.training.epochs
    sizes = [len(split.validation) for split in task.inner]
    losses, steps = np.full((CANDIDATES, folds, epochs), np.nan), np.zeros((CANDIDATES, folds, epochs), np.int64)
    scores = np.full((CANDIDATES, epochs, sum(sizes)), np.nan, np.float32)
    sampler = optuna.samplers.TPESampler(
        seed=task.key.fold, n_startup_trials=startup_candidates(bench.procedure.search)
    )
    study = optuna.create_study(sampler=sampler)
    study.enqueue_trial(first_candidate(space))
    values = []
    for number in range(CANDIDATES):
        trial = study.ask()
        values.append(propose(space, trial))
        for fold in range(folds):
            first = sum(sizes[:fold])
            for place, epoch in enumerate(patient_training(task, bench, values[-1], number, fold)):
                losses[number, fold, place], steps[number, fold, place] = epoch.validation_loss, epoch.steps
                scores[number, place, first : first + sizes[fold]] = epoch.validation_scores
        study.tell(trial, float(np.nanmin(losses[number], axis=1).mean()))
    return {
        "values": np.array([[np.nan if value is None else value for value in one.values()] for one in values]),
        "losses": losses,
        "steps": steps,
        "scores": scores,
        "rows": np.concatenate([split.validation.rows for split in task.inner]),
        "labels": np.concatenate([split.validation.labels for split in task.inner]),
        "fold": np.repeat(np.arange(folds), sizes),
        "weights": np.concatenate([_weights(cohort, split.training, split.validation) for split in task.inner]),
    }


def _weights(cohort: Cohort, training: LabelledExams, validation: LabelledExams) -> NDArray[np.float64]:
    """The weight of each validation exam in the loss, `[n]`."""
    weights = class_weights(training.labels, cohort.maps.tracer[training.rows])
    return weights[cohort.maps.tracer[validation.rows], validation.labels]


def patient_training(
    task: CellTask, bench: WorkerContext, values: dict[str, Value | None], number: int, fold: int
) -> list[Epoch]:
    """One inner fold of a candidate, to the end of its patience."""
    split = task.inner[fold]
    recipe = recipe_for(task, bench, values, "candidate", number, fold)
    epochs: list[Epoch] = []
    for epoch in train(bench.maps, split.training, split.validation, recipe=recipe, device=CPU):
        epochs.append(epoch)
        best = min(epochs, key=lambda one: one.validation_loss)
        if epoch.epoch - best.epoch >= bench.procedure.training.patience:
            break
    return epochs


def values_of(cell: Stored, number: int) -> dict[str, Value | None]:
    """A candidate's hyperparameters, as the space proposed them."""
    named = zip((parameter.name for parameter in SPACE.parameters), cell.values[number].tolist(), strict=True)
    return {name: None if np.isnan(value) else int(value) if name in WHOLE_NUMBERS else value for name, value in named}


def judged_once(cohort: Cohort, bench: WorkerContext, patients: int, cell: int, path: Path) -> Floats:
    """A cell's judgement, kept beside its trainings."""
    kept = path.with_suffix(".npy")
    if not kept.exists():
        task, judges = drawn_task(cohort, cell, patients)
        with np.load(path) as stored:
            np.save(kept, judged(bench, task, judges, Stored.of(stored, task)))
    found: Floats = np.load(kept)
    return found


def judged(bench: WorkerContext, task: CellTask, judges: LabelledExams, cell: Stored) -> Floats:
    """For each rule: epochs trained, true AUC of the best candidate, and of the mean of the winners, `[R, 3]`."""
    tracer = bench.maps.tracer

    @lru_cache
    def refitted(number: int) -> Floats:
        """The judges' scores by a candidate trained on all the cell's patients for its median number of epochs.

        By `train`, which reads judges from stored features; its schedule runs over the cell's own patients.
        """
        recipe = recipe_for(task, bench, values_of(cell, number), "member", number)
        epochs = train(bench.maps, task.training, judges, recipe=recipe, device=CPU)
        wanted = round(float(np.median(cell.best[number] + 1)))
        return next(epoch for epoch in epochs if epoch.epoch == wanted).validation_scores

    def auc(numbers: Sequence[int]) -> float:
        scores = np.mean([refitted(number) for number in numbers], axis=0)
        found = mean_auc(scores, judges.labels, tracer[judges.rows])
        assert found is not None
        return found

    rows = []
    for rule in RULES.values():
        choice = rule(cell, tracer)
        order = sorted(choice.complete, key=lambda number: float(cell.paths[number, :, -1].mean()))
        rows.append((choice.epochs, auc(order[:1]), auc(order[: SearchSettings().winners])))
    return np.array(rows)


def table(found: Mapping[int, Floats], names: Sequence[str], one: str) -> str:
    """A block of rows for each size, and one for all cells; differences are paired over cells, 95 % by t.

    Args:
        found: For each size `[cells, ways, 3]`: epochs, AUC of one network, AUC of three.
        names: Of the ways that are compared; the others are held against the first.
        one: Which network the one is.
    """
    lines = [
        f"| patients | rule | epochs | saved | AUC, {one} | AUC, three | {one}, difference | three, difference |",
        "|---|---|---|---|---|---|---|---|",
    ]
    blocks = [*((f"{size} ({len(some)} cells)", some) for size, some in found.items())]
    everything = np.concatenate(list(found.values()))
    for title, some in [*blocks, (f"all ({len(everything)} cells)", everything)]:
        for place, name in enumerate(names):
            epochs, *areas = some[:, place].mean(axis=0).tolist()
            differences = " | ".join(_interval(some[:, place, of] - some[:, 0, of]) for of in (1, 2))
            saved = 1 - epochs / some[:, 0, 0].mean()
            shown = " | ".join(f"{area:.4f}" for area in areas)
            lines.append(f"| {title} | {name} | {epochs:.0f} | {saved:.0%} | {shown} | {differences} |")
    return "\n".join(lines) + "\n"


def _interval(differences: Floats) -> str:
    if not differences.any() or len(differences) < 2:
        return "–"
    error = differences.std(ddof=1) / np.sqrt(len(differences))
    reach = stats.t.ppf(0.975, len(differences) - 1) * error
    return f"{differences.mean():+.4f} [{differences.mean() - reach:+.4f}, {differences.mean() + reach:+.4f}]"


if __name__ == "__main__":
    main()
