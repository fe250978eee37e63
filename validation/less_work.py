"""How much work do patience, pruning and a sensible first candidate save, and what do they cost in true AUC?

Run from the repository: `polarmap synth FOLDER --patients 2300 --size 32 --format npy`, then
`OMP_NUM_THREADS=1 python -m validation.less_work FOLDER/manifest.csv`. A cell searches on 150 patients drawn anew from
the phantom, refits its winner and predicts 1,500 patients that no cell ever sees: on a phantom the AUC of a choice is
known to three digits, where a real cohort would leave it to a few dozen patients. Every rule sees the same cells,
splits and seeds; what is counted are epochs trained, over all candidates and inner folds.
"""

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np
import optuna
import torch
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from mpi_model.loss import mean_auc
from mpi_model.maps import LabelledExams
from mpi_model.prediction import predict_scores
from mpi_model.schedule import horizon_steps
from mpi_model.settings import NetworkSettings, TrainingSettings
from mpi_model.stages import backbone
from mpi_model.training import refit
from orchestrator.cells.candidate import score_candidate
from orchestrator.cells.recipe import recipe_for
from orchestrator.cells.records import CandidateResult, CellKey, CellTask, InnerSplit, Procedure, WorkerContext
from orchestrator.cells.study import PRUNING_WARM_UP, ranked
from orchestrator.cohort.loading import load_cohort
from orchestrator.cohort.records import Cohort
from orchestrator.experiment.settings import DecisionSettings, SearchSettings
from search_spaces.catalog import load_space
from search_spaces.space import first_candidate, propose

JUDGES: Final = 1500
"""Patients that only judge."""
LEARNERS: Final = 150
"""Patients of one cell."""
RANDOM: Final = 6
"""Candidates before TPE and the pruner begin, as `orchestrator.cells.study` sets for 20 candidates."""
CPU: Final = torch.device("cpu")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """When a candidate stops, and where a study starts."""

    patience: int
    pruner: optuna.pruners.BasePruner
    starts_at_default: bool = True


def median(warm_up: int) -> optuna.pruners.BasePruner:
    """Worse than the median of earlier candidates at the same epoch, as in a study of 20."""
    return optuna.pruners.MedianPruner(n_startup_trials=RANDOM, n_warmup_steps=warm_up)


RULES: Final[Mapping[str, Rule]] = MappingProxyType(
    {
        "every epoch": Rule(patience=10_000, pruner=optuna.pruners.NopPruner()),
        "patience 6": Rule(patience=6, pruner=optuna.pruners.NopPruner()),
        "patience 6, median": Rule(patience=6, pruner=median(PRUNING_WARM_UP)),
        "patience 6, median at once": Rule(patience=6, pruner=median(0)),
        "patience 6, median, a random start": Rule(patience=6, pruner=median(PRUNING_WARM_UP), starts_at_default=False),
        "patience 6, successive halving": Rule(
            patience=6, pruner=optuna.pruners.SuccessiveHalvingPruner(min_resource=PRUNING_WARM_UP)
        ),
    }
)


def main() -> None:
    """One line a cell as it ends, then the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--cells", type=int, default=12)
    parser.add_argument("--candidates", type=int, default=20)
    options = parser.parse_args()
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    cohort = load_cohort(options.manifest, size=32)
    outcomes = np.empty((options.cells, len(RULES), 2))
    for cell in range(options.cells):
        task, judges = drawn_task(cohort, cell)
        for place, rule in enumerate(RULES.values()):
            outcomes[cell, place] = outcome(cohort, task, judges, rule, options.candidates)
        sys.stderr.write(f"cell {cell + 1} of {options.cells}: {np.round(outcomes[cell, :, 1], 4).tolist()}\n")
    sys.stdout.write(table(outcomes))


def drawn_task(cohort: Cohort, cell: int, patients: int = LEARNERS) -> tuple[CellTask, LabelledExams]:
    """A cell's patients with their inner folds, and the exams that judge it."""
    labels = cohort.exams["label"].to_numpy(np.int8)
    patient = cohort.exams["patient_id"].to_numpy()
    order = np.random.default_rng(0).permutation(np.unique(patient))
    mine = np.random.default_rng(cell + 1).choice(order[JUDGES:], patients, replace=False)
    usable = cohort.maps.has_stress
    rows = np.flatnonzero(np.isin(patient, mine) & usable)
    strata = 2 * cohort.maps.tracer[rows] + labels[rows]
    folds = StratifiedGroupKFold(3, shuffle=True, random_state=cell).split(rows, strata, patient[rows])
    inner = tuple(
        InnerSplit(
            training=_exams(rows[learn], labels),
            validation=_exams(rows[judge], labels),
            patients=np.unique(patient[rows[judge]], return_inverse=True)[1],
        )
        for learn, judge in folds
    )
    task = CellTask(
        key=CellKey(inputs="stress", partition="development", repeat=0, fold=cell),
        plan="less work",
        training=_exams(rows, labels),
        inner=inner,
        evaluation=np.empty(0, np.int64),
    )
    return task, _exams(np.flatnonzero(np.isin(patient, order[:JUDGES]) & usable), labels)


def _exams(rows: NDArray[np.int64], labels: NDArray[np.int8]) -> LabelledExams:
    return LabelledExams(rows=rows, labels=labels[rows])


def outcome(cohort: Cohort, task: CellTask, judges: LabelledExams, rule: Rule, candidates: int) -> tuple[float, float]:
    """Epochs trained, and the true AUC of what was chosen, the mean over tracers."""
    space = load_space("learning_rates", Path(), backbone("compact").stage_count)
    bench = WorkerContext(
        maps=cohort.maps,
        procedure=Procedure(
            network=NetworkSettings(backbone="compact", weights="random"),
            training=TrainingSettings(patience=rule.patience, budget="best_epoch"),
            search=SearchSettings(candidates=candidates, prune=False),
            decision=DecisionSettings(),
            space=space,
        ),
        state=None,
        device="cpu",
        facts={},
    )
    results = tried(task, bench, rule)
    winner = ranked(results, bench.procedure.search)[0]
    horizons = [horizon_steps(len(part.training), bench.procedure.training) for part in task.inner]
    network = refit(
        bench.maps,
        task.training,
        recipe=recipe_for(task, bench, winner.values, "member", 0),
        steps=round(float(np.median(winner.best_steps))),
        horizon=round(float(np.median(horizons))),
        device=CPU,
    )
    scores = predict_scores(network, bench.maps, judges.rows, device=CPU)
    auc = mean_auc(scores, judges.labels, bench.maps.tracer[judges.rows])
    assert auc is not None
    return sum(len(result.epochs) for result in results), auc


def tried(task: CellTask, bench: WorkerContext, rule: Rule) -> list[CandidateResult]:
    """The search of one cell under a rule; `orchestrator.cells.study.search` with its pruner and start exchanged."""
    settings, space = bench.procedure.search, bench.procedure.space
    sampler = optuna.samplers.TPESampler(seed=task.key.fold, n_startup_trials=RANDOM)
    study = optuna.create_study(direction="minimize", sampler=sampler, pruner=rule.pruner)
    if rule.starts_at_default:
        study.enqueue_trial(first_candidate(space))
    results = []
    for number in range(settings.candidates):
        trial = study.ask()

        def give_up(epoch: int, objective: float, trial: optuna.trial.Trial = trial) -> bool:
            trial.report(objective, epoch)
            return trial.should_prune()

        result = score_candidate(task, bench, number, propose(space, trial), give_up)
        state = {"pruned": optuna.trial.TrialState.PRUNED, "failed": optuna.trial.TrialState.FAIL}.get(result.state)
        study.tell(trial, result.objective, state=state)
        results.append(result)
    return results


def table(outcomes: NDArray[np.float64]) -> str:
    """Means over cells; differences from training every epoch are paired."""
    lines = [
        "| rule | epochs trained | saved | true AUC of the choice | against every epoch, ± SE over cells |",
        "|---|---|---|---|---|",
    ]
    epochs, aucs = outcomes[:, :, 0], outcomes[:, :, 1]
    for place, name in enumerate(RULES):
        difference = aucs[:, place] - aucs[:, 0]
        error = difference.std(ddof=1) / np.sqrt(len(difference))
        saved = 1 - epochs[:, place].sum() / epochs[:, 0].sum()
        lines.append(
            f"| {name} | {epochs[:, place].mean():.0f} | {saved:.0%} | {aucs[:, place].mean():.4f} | "
            f"{difference.mean():+.4f} ± {error:.4f} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
