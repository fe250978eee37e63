"""Measure what a report costs: the whole summary of a large run, and DeLong on a million exams.

Run from the repository: `OMP_NUM_THREADS=1 python benchmarks/summary_speed.py`. Targets: a summary of 3
inputs × 2 tracers × 5 × 10 cells of 500 patients, comparisons included, in under 5 seconds of one core from a cold
start, imports counted and no torch among them; the whole page with its figures, of a run of the reference study's size,
in under 30; DeLong on 10⁶ scores in seconds, with memory linear in their number. With `--profile` only where the page's
time goes.
"""

import cProfile
import pickle
import pstats
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from optuna.distributions import FloatDistribution
from scipy.special import expit

from orchestrator.experiment.settings import StatisticsSettings
from orchestrator.report.export import export
from orchestrator.report.figures.of_run import figures_of
from orchestrator.report.records import Report, RunTables
from orchestrator.report.run_extracts import extracts_of
from orchestrator.report.summary import summarise
from orchestrator.statistics.auc import logit_delong_interval
from orchestrator.statistics.scores import Exams, PatientScores
from search_spaces.stored import StoredParameter

INPUTS, FOLDS, REPEATS = ("stress", "rest", "dual"), 5, 10


def main() -> None:
    """Print one line a measurement."""
    study = searched(large_run(development=250, test=60, seed=1))
    if sys.argv[1:] == ["--profile"]:
        with cProfile.Profile() as profile:
            page_of(study)
        pstats.Stats(profile).sort_stats("cumulative").print_stats(60)
        return
    seconds, size = timed(lambda: len(page_of(study)))
    sys.stdout.write(f"page of 150 cells with {len(study.candidates)} candidates: {seconds:.1f} s, {size} bytes\n")
    tables = large_run(development=500, test=200, seed=0)
    sys.stdout.write(cold_start(tables))
    summarise(tables, StatisticsSettings())  # imports and caches
    seconds, rows = timed(lambda: len(summarise(tables, StatisticsSettings())))
    sys.stdout.write(f"summary of {len(tables.predictions)} predictions: {seconds:.2f} s, {rows} rows\n")
    for size in (10_000, 100_000, 1_000_000):
        model = million(size)
        seconds, _ = timed(partial(logit_delong_interval, model, 0.95))
        tracemalloc.start()
        logit_delong_interval(model, 0.95)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        sys.stdout.write(f"DeLong on {size:>9,} exams: {seconds:.2f} s, {peak / size:.0f} bytes an exam\n")


_COLD = """
import pickle, sys, time
from orchestrator.experiment.settings import StatisticsSettings
from orchestrator.report.summary import summarise
imported = time.process_time()
tables = pickle.loads(open(sys.argv[1], "rb").read())
read, begun = time.process_time(), time.perf_counter()
rows = len(summarise(tables, StatisticsSettings()))
spent, wall = time.process_time() - read, time.perf_counter() - begun
torch = "torch" in sys.modules
line = f"cold start: {imported:.2f} s of imports, {spent:.2f} s of summary ({wall:.2f} s wall)"
print(f"{line}, {rows} rows, torch: {torch}")
"""


def cold_start(tables: RunTables) -> str:
    """The same summary in a process of its own: processor seconds of imports and of the summary."""
    with tempfile.TemporaryDirectory() as folder:
        stored = Path(folder) / "tables"
        stored.write_bytes(pickle.dumps(tables))
        command = [sys.executable, "-c", _COLD, str(stored)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def page_of(tables: RunTables) -> str:
    """Summary, figures and page, as `polarmap report RUN --format html` makes them from the tables."""
    settings = StatisticsSettings(subgroups=("sex",))
    summary = summarise(tables, settings)
    figures = figures_of(tables, summary, settings)
    return export(
        Report(
            name="study", summary=summary, cells=tables.cells, extracts=extracts_of(tables, summary), figures=figures
        ),
        "html",
    )


def searched(tables: RunTables) -> RunTables:
    """The run with a search of 20 candidates a cell, 3 inner folds and 30 epochs, and with segment means."""
    generator = np.random.default_rng(2)
    cells = tables.cells.assign(candidate=1, steps=300, hp_freeze_depth=generator.integers(0, 5, len(tables.cells)))
    candidates = cells.drop(columns=["candidate", "model"]).merge(pd.Series(range(20), name="candidate"), how="cross")
    pruned = generator.random(len(candidates)) < 0.3
    candidates = candidates.assign(
        state=np.where(pruned, "pruned", "complete"),
        epochs=30,
        objective=np.where(pruned, np.nan, 0.5 + 0.1 * generator.random(len(candidates))),
        hp_head_learning_rate=10 ** generator.uniform(-4, -1, len(candidates)),
        hp_encoder_learning_rate=10 ** generator.uniform(-5, -2, len(candidates)),
        hp_freeze_depth=generator.integers(0, 5, len(candidates)),
    )
    keys = candidates[["inputs", "partition", "repeat", "fold", "candidate"]]
    epochs = keys.merge(pd.Series(range(3), name="inner_fold"), how="cross")
    epochs = epochs.merge(pd.Series(range(1, 31), name="epoch"), how="cross")
    losses = {name: generator.random(len(epochs)) for name in ("training_loss", "validation_loss", "validation_auc")}
    names = [f"{phase}_segment_{number}" for phase in ("stress", "rest") for number in range(1, 18)]
    maps = pd.DataFrame(generator.normal(0.7, 0.05, (len(tables.exams), 34)), columns=names)
    exams = tables.exams.assign(manifest_row=np.arange(1, len(tables.exams) + 1))
    space = tuple(
        StoredParameter(name=name, distribution=FloatDistribution(low, high, log=True), when=None)
        for name, low, high in (("head_learning_rate", 1e-4, 0.1), ("encoder_learning_rate", 1e-5, 1e-2))
    )
    return replace(
        tables, exams=exams, cells=cells, candidates=candidates, epochs=epochs.assign(**losses), maps=maps, space=space
    )


def timed(action: Callable[[], object]) -> tuple[float, object]:
    """Processor seconds of an action, and its result."""
    start = time.process_time()
    result = action()
    return time.process_time() - start, result


def million(size: int) -> PatientScores:
    """Scores of an AUC of .76, three exams in ten positive."""
    generator = np.random.default_rng(0)
    labels = np.arange(size) % 10 < 3
    return PatientScores(exams=Exams.of(labels), scores=generator.normal(size=size) + labels)


def large_run(*, development: int, test: int, seed: int) -> RunTables:
    """A finished run of so many patients of each tracer, made without any network."""
    generator = np.random.default_rng(seed)
    exams = _exams(development, test)
    held_out = exams[exams["partition"] == "development"]
    frames = []
    for repeat in range(REPEATS):
        shuffled = held_out.sample(frac=1, random_state=seed + repeat)
        fold = shuffled.groupby(["tracer", "label"]).cumcount() % FOLDS
        frames.append(held_out.assign(repeat=repeat, fold=fold))
    folds = pd.concat(frames, ignore_index=True).astype({"repeat": "Int64", "fold": "Int64"})
    final = (
        exams[exams["partition"] == "test"].assign(repeat=None, fold=None).astype({"repeat": "Int64", "fold": "Int64"})
    )
    rows = pd.concat([folds, final], ignore_index=True)
    predictions = []
    for inputs in INPUTS:
        score = 1.2 * (rows["label"] - 0.5) + generator.normal(size=len(rows))
        predictions.append(
            rows.assign(model="network", inputs=inputs, member=0, score=score, probability=expit(score), threshold=0.5)
        )
    cells = folds[["repeat", "fold"]].drop_duplicates().merge(pd.Series(INPUTS, name="inputs"), how="cross")
    return RunTables(
        predictions=pd.concat(predictions, ignore_index=True),
        exams=exams,
        folds=folds[["repeat", "patient_id", "fold"]].drop_duplicates(),
        cells=cells.assign(model="network", partition="development", state="complete", reason=""),
        inputs=INPUTS,
        calibrated=True,
    )


def _exams(development: int, test: int) -> pd.DataFrame:
    number = np.arange(2 * (development + test))
    exams = pd.DataFrame({"patient_id": [f"P{one}" for one in number], "exam_id": [f"E{one}" for one in number]})
    return exams.assign(
        tracer=np.where(number % 2 == 0, "Tc-99m", "Tl-201"),
        label=((number // 2) % 5 < 2).astype(int),
        partition=np.where(number < 2 * development, "development", "test"),
        sex=np.where((number // 2) % 3 == 0, "F", "M"),
    )


if __name__ == "__main__":
    main()
