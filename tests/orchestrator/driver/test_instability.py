"""Bootstrap samples of patients: cells like any other, resumed, and never read as a cross-validation."""

import numpy as np
import pandas as pd
import pytest

from mpi_model.errors import ExperimentError
from orchestrator.cells.records import CellKey, sample_keys
from orchestrator.cells.tasks import cell_task, sample_task
from orchestrator.driver.instability import measure_instability
from orchestrator.driver.prepare import prepare
from orchestrator.driver.resume import RunOptions
from orchestrator.experiment.file import load_experiment
from orchestrator.folds.bootstrap import patients_drawn
from orchestrator.ledger.files import read_frame
from orchestrator.ledger.paths import run_paths
from orchestrator.ledger.reading import Run
from orchestrator.monitoring.progress import NullProgress
from orchestrator.monitoring.status import status_of
from orchestrator.report.build import report_of
from orchestrator.runners.inline import InlineRunner

SETTINGS = ["search.candidates=1", "training.epochs=2", 'cohort.inputs=["stress"]', 'decision.calibration="platt"']


class Counting:
    """The inline runner, which remembers what it was asked for."""

    def __init__(self) -> None:
        self.keys: list[CellKey] = []

    def run(self, jobs, context, resources, events) -> None:
        self.keys += [job.task.key for job in jobs]
        InlineRunner().run(jobs, context, resources, events)


@pytest.fixture
def prepared(tiny):
    """The tiny cohort with its plan."""
    return prepare(load_experiment(tiny, SETTINGS), NullProgress())


def tasks(prepared, sample):
    """The task of a bootstrap sample; None is the cohort itself."""
    key = CellKey(inputs="stress", partition="bootstrap", repeat=sample, fold=None if sample is None else 0)
    folds = prepared.loaded.experiment.search.inner_folds
    return sample_task(key, prepared.plan, prepared.cohort.exams, prepared.eligible, folds, calibrated=True)


def test_a_sample_draws_patients_with_all_their_exams_and_keeps_them_together(prepared):
    """As many draws as patients; a patient drawn twice is trained on twice, and is on one side of every inner fold."""
    folds = prepared.loaded.experiment.search.inner_folds
    counts, _ = patients_drawn(prepared.plan, 1, folds, ("inner", "calibration"))
    task, exams = tasks(prepared, 1), prepared.cohort.exams
    patients = exams["patient_id"].to_numpy()

    assert counts.sum() == len(prepared.plan.patients)
    assert (counts > 1).any()
    assert (counts == 0).any()
    development = exams[exams["partition"] == "development"]
    exams_each = development.groupby("patient_id").size()
    trained = pd.Series(patients[task.training.rows]).value_counts()
    for patient, count in zip(prepared.plan.patients, counts, strict=True):
        assert trained.get(patient, 0) == count * exams_each[patient]
    for split in (*task.inner, *task.calibration):
        assert not set(patients[split.training.rows]) & set(patients[split.validation.rows])
    assert task.evaluation.tolist() == development.index.tolist(), "predicted: everybody, drawn or not"
    assert not np.array_equal(counts, patients_drawn(prepared.plan, 2, folds, ("inner",))[0])


def test_the_cohort_itself_is_trained_as_a_final_cell_is(prepared):
    """What samples are compared with has the final cell's seeds, exams and inner folds, so it is that network."""
    folds = prepared.loaded.experiment.search.inner_folds
    final = cell_task(
        CellKey(inputs="stress", partition="test", repeat=None, fold=None),
        prepared.plan, prepared.cohort.exams, prepared.eligible, folds, calibrated=True,
    )  # fmt: skip
    original = tasks(prepared, None)

    assert original.plan == final.plan
    assert original.training.rows.tolist() == final.training.rows.tolist()
    for mine, theirs in zip((*original.inner, *original.calibration), (*final.inner, *final.calibration), strict=True):
        assert mine.training.rows.tolist() == theirs.training.rows.tolist()
        assert mine.validation.rows.tolist() == theirs.validation.rows.tolist()


def test_samples_are_resumed_added_to_and_compared(tiny):
    """Two samples, then a third: only the new cell is trained; the table has every exam and no patient."""
    loaded = load_experiment(tiny, SETTINGS)
    first, more = Counting(), Counting()
    measure_instability(loaded, 2, RunOptions(), NullProgress(), first)
    report = measure_instability(loaded, 3, RunOptions(), NullProgress(), more)

    assert first.keys == sample_keys(loaded.experiment, 2)
    assert more.keys == sample_keys(loaded.experiment, 3)[3:]
    paths = run_paths(f"{loaded.run_directory}-instability")
    table, exams = read_frame(paths.table("instability")), Run(paths).cohort
    network = table[table["model"] == "network"]
    assert sorted(network["row"]) == exams.index[exams["partition"] == "development"].tolist()
    assert not {"patient_id", "exam_id"} & set(table.columns)
    assert (network["error"] > 0).all()
    assert (network["low"] <= network["high"]).all()
    rows = report.summary[(report.summary["metric"] == "prediction_instability") & report.summary["primary"]]
    for tracer, mine in network.groupby("tracer"):
        shown = rows[(rows["tracer"] == tracer) & (rows["model"] == "network")]
        assert shown["estimate"].item() == pytest.approx(mine["error"].mean())
        # By hand from the predictions: the cohort's own model against each sample, members as one model.
        found = Run(paths).predictions.query("model == 'network' and tracer == @tracer")
        odds = np.log(found["probability"] / (1 - found["probability"]))
        mean = odds.groupby([found["repeat"].fillna(0), found["exam_id"]]).mean().unstack()
        chances = 1 / (1 + np.exp(-mean))
        assert (chances.loc[1:] - chances.loc[0]).abs().to_numpy().mean() == pytest.approx(mine["error"].mean())
    assert status_of(paths).progress.total == 4
    assert Run(paths).summary["metric"].tolist() == report.summary["metric"].tolist()


def test_a_failed_sample_is_left_out_and_done_again_on_request_only(tiny, failing_cells):
    """One of three samples fails: two are compared, which is said; when asked for, that one alone is trained."""
    loaded, failing = load_experiment(tiny, SETTINGS), CellKey(inputs="stress", partition="bootstrap", repeat=2, fold=0)
    with failing_cells({failing.name: RuntimeError("a lightning")}):
        report = measure_instability(loaded, 3, RunOptions(), NullProgress(), InlineRunner())
    assert ["1 of 4 cells failed" in notice for notice in report.notices] == [True]
    idle, again = Counting(), Counting()
    left_out = measure_instability(loaded, 3, RunOptions(), NullProgress(), idle)
    assert idle.keys == []
    assert left_out.notices == report.notices

    whole = measure_instability(loaded, 3, RunOptions(retry_failed=True), NullProgress(), again)
    assert again.keys == [failing]
    assert whole.notices == ()
    assert not whole.summary["estimate"].equals(report.summary["estimate"])


def test_no_report_takes_samples_for_a_cross_validation(tiny):
    """Networks were trained on the patients they predict: a report of that directory has no AUC at all."""
    loaded = load_experiment(tiny, SETTINGS)
    measure_instability(loaded, 2, RunOptions(), NullProgress(), InlineRunner())
    summary = report_of(Run(run_paths(f"{loaded.run_directory}-instability")), drawn=False).summary

    assert not summary["metric"].str.startswith("auc").any()


def test_fewer_than_two_samples_are_refused(tiny):
    """One sample has no spread."""
    with pytest.raises(ExperimentError, match="`--samples` must be at least 2"):
        measure_instability(load_experiment(tiny, SETTINGS), 1, RunOptions(), NullProgress())
