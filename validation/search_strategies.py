"""Does a race choose as well as a search on all inner folds? Whole cells of either strategy, judged on many patients.

Run from the repository: `polarmap synth COHORT --patients 2600 --size 32 --format npy`, then
`OMP_NUM_THREADS=1 python -m validation.search_strategies COHORT/manifest.csv STORE --network heads --cells 16`.
`validation.search_cost` replays rules on the same stored candidates. Here each strategy proposes its own: TPE learns
from what that strategy has seen, as in a run. A cell is `run_cell` with the defaults of training and search, three
members among them. 1,500 patients that no cell trains on judge it. What is stored is not done again.
"""

import argparse
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np
import optuna
import torch
from numpy.typing import NDArray

from mpi_model.loss import mean_auc
from mpi_model.settings import NetworkSettings
from mpi_model.stages import backbone
from orchestrator.cells.cell import run_cell
from orchestrator.cells.records import CandidateResult, Procedure, WorkerContext
from orchestrator.cohort.loading import load_cohort
from orchestrator.cohort.records import Cohort
from orchestrator.experiment.settings import DecisionSettings, SearchSettings
from search_spaces.catalog import load_space
from validation.less_work import drawn_task
from validation.search_cost import PATIENTS, bench_of, table

Floats = NDArray[np.float64]

STRATEGIES: Final[Mapping[str, SearchSettings]] = MappingProxyType(
    {
        "all folds (`all_folds`)": SearchSettings(strategy="all_folds"),
        "race (`race`)": SearchSettings(strategy="race"),
        "race, `search.prune = false`": SearchSettings(strategy="race", prune=False),
    }
)


def main() -> None:
    """Train and judge what is not stored yet, a line a cell; then the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("store", type=Path)
    parser.add_argument("--network", choices=("heads", "compact"), default="heads")
    parser.add_argument("--cells", type=int, default=16, help="of each size")
    parser.add_argument("--first", type=int, default=0, help="the first cell, to divide the work")
    options = parser.parse_args()
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    cohort = load_cohort(options.manifest, size=32)
    bench = bench_of(cohort) if options.network == "heads" else compact_bench(cohort)
    options.store.mkdir(exist_ok=True)
    found: dict[int, list[Floats]] = {patients: [] for patients in PATIENTS}
    for cell in range(options.first, options.cells):
        for patients in PATIENTS:
            path = options.store / f"{options.network}-{patients}-{cell:02d}.npy"
            if not path.exists():
                np.save(path, np.array([outcome(cohort, bench, one, cell, patients) for one in STRATEGIES.values()]))
            found[patients].append(np.load(path))
            sys.stderr.write(f"{path.name}: {np.round(found[patients][-1], 4).tolist()}\n")
    sys.stdout.write(table({size: np.array(some) for size, some in found.items()}, list(STRATEGIES), "first"))


def compact_bench(cohort: Cohort) -> WorkerContext:
    """What a worker would hold for the small network, trained whole from random weights."""
    bench = bench_of(cohort)
    return replace(
        bench,
        procedure=replace(
            bench.procedure,
            network=NetworkSettings(backbone="compact", weights="random"),
            space=load_space("learning_rates", Path(), backbone("compact").stage_count),
        ),
        state=None,
    )


def outcome(
    cohort: Cohort, bench: WorkerContext, settings: SearchSettings, cell: int, patients: int
) -> tuple[float, float, float]:
    """Epochs that the search trained; true AUC of the first member, and of the mean of all, over tracers."""
    task, judges = drawn_task(cohort, cell, patients)
    procedure: Procedure = replace(bench.procedure, search=settings, decision=DecisionSettings(calibration="none"))
    trained: dict[int, CandidateResult] = {}
    result = run_cell(
        replace(task, evaluation=judges.rows),
        replace(bench, procedure=procedure),
        # In a race a candidate comes again after each of its inner folds, with the epochs of all so far.
        on_candidate=lambda candidate: trained.update({candidate.number: candidate}),
    )
    scores = np.array([[one.score for one in result.predictions if one.member == member] for member in range(3)])
    tracer = cohort.maps.tracer[judges.rows]
    first, all_members = (mean_auc(some, judges.labels, tracer) for some in (scores[0], scores.mean(axis=0)))
    assert first is not None
    assert all_members is not None
    return float(sum(len(candidate.epochs) for candidate in trained.values())), first, all_members


if __name__ == "__main__":
    main()
