"""Does the network read small cohorts as well as ridge regression and trees do? The whole cell, on hard small cohorts.

Run from the repository: `OMP_NUM_THREADS=1 python -m validation.reader [--spectf FOLDER] [--set training.members=1]`.
Every cohort of `validation.small_cohorts` is planned, searched, refitted and predicted by the functions of a run, and
read on the same folds by logistic regression (its penalty chosen on inner folds by patient) and by extra-trees, each
tracer for itself, on 12 x 12 pixels. The better of the two, chosen afterwards, is the bar: that favours it.
"""

import argparse
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from mpi_model.maps import Maps
from mpi_model.settings import NetworkSettings
from mpi_model.stages import backbone
from mpi_model.vocabulary import PHASES_OF, TRACERS, Inputs
from orchestrator.cells.cell import run_cell
from orchestrator.cells.records import CellKey, CellTask, Procedure, WorkerContext
from orchestrator.cells.tasks import cell_task
from orchestrator.experiment.settings import CohortSettings, DecisionSettings, Experiment, FoldSettings, SearchSettings
from orchestrator.folds.plan import plan_folds
from search_spaces.catalog import load_space
from validation.small_cohorts import SIZE, SmallCohort, larger_cohorts, small_cohorts

EXPERIMENT: Final = Experiment(
    name="reader",
    cohort=CohortSettings(manifest=""),
    network=NetworkSettings(backbone="compact", weights="random"),
    search=SearchSettings(space="learning_rates", candidates=8, inner_folds=1),
    # A calibration never changes an AUC, and costs three trainings a cell.
    decision=DecisionSettings(calibration="none"),
)
PIXELS: Final = 12
PENALTIES: Final = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Inverse strengths of the ridge penalty, on standardised pixels."""
Floats = NDArray[np.float64]


def main() -> None:
    """One line a task, then the mean difference from the better baseline."""
    options = _arguments()
    torch.set_num_threads(1)
    experiment = reduce(_with, options.settings, EXPERIMENT)
    differences = []
    for cohort in larger_cohorts() if options.larger else small_cohorts(options.spectf):
        if options.only and cohort.name not in options.only:
            continue
        for name, network, ridge, trees in compared(cohort, experiment, options.inputs, options.folds):
            differences.append(network - max(ridge, trees))
            sys.stdout.write(f"| {cohort.name} | {name} | {network:.3f} | {ridge:.3f} | {trees:.3f} |\n")
            sys.stdout.flush()
    error = np.std(differences, ddof=1) / np.sqrt(len(differences))
    sys.stdout.write(f"network - better baseline: {np.mean(differences):+.4f}, standard error {error:.4f} over tasks\n")


def compared(
    cohort: SmallCohort, experiment: Experiment, inputs: Inputs, folds: tuple[int, ...]
) -> Iterator[tuple[str, float, float, float]]:
    """Tracer, and the mean AUC over folds of network, ridge regression and trees."""
    tasks = list(tasks_of(cohort, experiment, inputs, folds))
    pixels = coarse_pixels(cohort.maps, inputs)
    aucs = np.empty((len(tasks), len(TRACERS), 3))
    for place, task in enumerate(tasks):
        scores = (network_scores(cohort, task, experiment), *baseline_scores(cohort, task, pixels))
        for tracer in range(len(TRACERS)):
            mine = cohort.maps.tracer[task.evaluation] == tracer
            labels = cohort.labels[task.evaluation][mine]
            aucs[place, tracer] = [roc_auc_score(labels, found[mine]) for found in scores]
    for name, (network, ridge, trees) in zip(TRACERS, aucs.mean(axis=0).tolist(), strict=True):
        yield name, network, ridge, trees


def tasks_of(cohort: SmallCohort, experiment: Experiment, inputs: Inputs, folds: tuple[int, ...]) -> Iterator[CellTask]:
    """The cells of a cohort as a run would plan them; `folds` counts on over the repeats."""
    exams = pd.DataFrame(
        {
            "patient_id": cohort.patients.astype(str),
            "exam_id": np.arange(len(cohort.labels)).astype(str),
            "tracer": np.asarray(TRACERS)[cohort.maps.tracer],
            "label": cohort.labels,
            "partition": "development",
        }
    )
    eligible = {inputs: np.ones(len(exams), dtype=np.bool_)}
    count = experiment.folds.folds
    settings = FoldSettings(folds=count, repeats=max(folds) // count + 1, stratify=("tracer", "label"))
    plan = plan_folds(exams, eligible, settings, experiment.search.inner_folds)
    for fold in folds:
        key = CellKey(inputs=inputs, partition="development", repeat=fold // count, fold=fold % count)
        yield cell_task(key, plan, exams, eligible, experiment.search.inner_folds)


def network_scores(cohort: SmallCohort, task: CellTask, experiment: Experiment) -> Floats:
    """What `run_cell` predicts, averaged over members."""
    space = load_space(experiment.search.space, Path(), backbone(experiment.network.backbone).stage_count)
    procedure = Procedure(
        network=experiment.network,
        training=experiment.training,
        search=experiment.search,
        decision=experiment.decision,
        space=space,
    )
    result = run_cell(task, WorkerContext(maps=cohort.maps, procedure=procedure, state=None, device="cpu", facts={}))
    assert result.state == "complete", result.reason
    members: dict[int, list[float]] = {}
    for item in result.predictions:
        members.setdefault(item.row, []).append(item.score)
    return np.asarray([np.mean(members[row]) for row in task.evaluation.tolist()])


def coarse_pixels(maps: Maps, inputs: Inputs) -> Floats:
    """The maps averaged to 12 x 12 pixels: `[N, P * 144]`."""
    blocks = [getattr(maps, phase)[:, 0].reshape(len(maps), PIXELS, SIZE // PIXELS, PIXELS, SIZE // PIXELS)
              for phase in PHASES_OF[inputs]]  # fmt: skip
    pixels: Floats = np.concatenate([block.mean(axis=(2, 4)).reshape(len(maps), -1) for block in blocks], axis=1)
    return pixels


def baseline_scores(cohort: SmallCohort, task: CellTask, pixels: Floats) -> tuple[Floats, Floats]:
    """Scores of ridge logistic regression and of extra-trees, each tracer for itself."""
    ridge, trees = (np.empty(len(task.evaluation)) for _ in range(2))
    for tracer in range(len(TRACERS)):
        rows = task.training.rows[cohort.maps.tracer[task.training.rows] == tracer]
        mine = cohort.maps.tracer[task.evaluation] == tracer
        judged = pixels[task.evaluation[mine]]
        regression = ridge_regression(pixels[rows], cohort.labels[rows], cohort.patients[rows])
        ridge[mine] = regression.decision_function(judged)
        forest = ExtraTreesClassifier(300, min_samples_leaf=2, class_weight="balanced", random_state=0)
        trees[mine] = forest.fit(pixels[rows], cohort.labels[rows]).predict_proba(judged)[:, 1]
    return ridge, trees


def ridge_regression(pixels: Floats, labels: NDArray[np.int8], patients: NDArray[np.int64]) -> Pipeline:
    """Logistic regression with the penalty that reads best on three inner folds by patient."""
    splits = list(StratifiedGroupKFold(3, shuffle=True, random_state=0).split(pixels, labels, patients))

    def inner_auc(penalty: float) -> float:
        parts = [(learn, judge) for learn, judge in splits if len(np.unique(labels[judge])) == 2]
        scores = [_logistic(penalty).fit(pixels[a], labels[a]).decision_function(pixels[b]) for a, b in parts]
        return float(np.mean([roc_auc_score(labels[b], found) for (_, b), found in zip(parts, scores, strict=True)]))

    return _logistic(max(PENALTIES, key=inner_auc)).fit(pixels, labels)


def _logistic(penalty: float) -> Pipeline:
    return make_pipeline(StandardScaler(), LogisticRegression(C=penalty, class_weight="balanced", max_iter=2000))


def _with(experiment: Experiment, setting: str) -> Experiment:
    """One `section.key=value` of the command line, in TOML's form where it is a number."""
    key, _, text = setting.partition("=")
    section, name = key.split(".")
    try:
        value: Any = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    changed: Any = replace(getattr(experiment, section), **{name: value})
    return replace(experiment, **{section: changed})


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spectf", type=Path, help="the folder with SPECTF.train and SPECTF.test")
    parser.add_argument("--larger", action="store_true", help="220 to 300 patients a task in place of 60 to 150")
    parser.add_argument("--inputs", choices=tuple(PHASES_OF), default="stress")
    parser.add_argument("--folds", type=int, nargs="+", default=tuple(range(5)), help="counting on over repeats of 5")
    parser.add_argument("--only", nargs="+", metavar="COHORT")
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="a.b=c")
    return parser.parse_args()


if __name__ == "__main__":
    main()
