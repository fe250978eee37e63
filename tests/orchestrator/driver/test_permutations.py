"""Permuted labels: a null that keeps what patients are, and a command that never opens the test."""

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mpi_model.maps import Maps
from orchestrator.cohort.permutation import with_permuted_labels
from orchestrator.cohort.records import Cohort, digest_of
from orchestrator.driver.permute import _permuted, permute_labels
from orchestrator.driver.resume import RunOptions
from orchestrator.experiment.file import load_experiment
from orchestrator.monitoring.progress import NullProgress
from polarmap import open_run


@pytest.fixture
def cohort() -> Cohort:
    """Two tracers, some patients with both, some with two exams, some in the test partition."""
    random = np.random.default_rng(0)
    rows = []
    for number in range(80):
        tracers = [["Tc-99m"], ["Tl-201"], ["Tc-99m", "Tl-201"], ["Tl-201", "Tl-201"]][number % 4]
        for exam, tracer in enumerate(tracers):
            partition = "test" if number >= 60 else "development"
            rows.append(
                (f"p{number:02d}", f"p{number:02d}:{exam}", tracer, int(random.random() < 0.4), partition, True, True)
            )
    columns = ["patient_id", "exam_id", "tracer", "label", "partition", "has_stress", "has_rest"]
    exams = pd.DataFrame(rows, columns=columns).astype({"label": "int8"})
    pixels = random.integers(0, 65535, size=(len(exams), 1, 4, 4)).astype(np.uint16)
    here = np.ones(len(exams), dtype=bool)
    tracer = (exams["tracer"] == "Tl-201").to_numpy().astype(np.int8)
    maps = Maps(stress=pixels, rest=pixels, has_stress=here, has_rest=here, tracer=tracer)
    return Cohort(exams=exams, maps=maps, digest=digest_of(exams, maps))


def patterns(exams: pd.DataFrame) -> Counter:
    """How many development patients have which tracers with which labels."""
    development = exams[exams["partition"] == "development"]
    return Counter(
        tuple(zip(group["tracer"], group["label"], strict=True)) for _, group in development.groupby("patient_id")
    )


def test_labels_change_owners_and_nothing_else_changes(cohort):
    """Prevalence per tracer and the likeness of a patient's labels stay; test labels and pixels are untouched."""
    shuffled = with_permuted_labels(cohort, 1)

    assert patterns(shuffled.exams) == patterns(cohort.exams)
    test = cohort.exams["partition"] == "test"
    assert shuffled.exams.loc[test, "label"].equals(cohort.exams.loc[test, "label"])
    assert shuffled.exams.drop(columns="label").equals(cohort.exams.drop(columns="label"))
    assert not shuffled.exams["label"].equals(cohort.exams["label"])
    assert shuffled.digest != cohort.digest


def test_permutations_are_different_and_repeatable(cohort):
    """Each number is another draw, and the same number the same draw."""
    draws = [tuple(with_permuted_labels(cohort, number).exams["label"]) for number in (1, 2, 3, 1)]

    assert len(set(draws)) == 3
    assert draws[0] == draws[3]


@pytest.mark.thorough
def test_permuting_runs_the_whole_pipeline_and_leaves_the_test_closed(tiny):
    """Each permutation is a finished run with a plan of its own, without final networks or test predictions."""
    loaded = load_experiment(tiny, ["search.candidates=1", "training.epochs=2", 'cohort.inputs=["stress"]'])
    report = permute_labels(loaded, 2, RunOptions(runner="inline"), NullProgress())

    rows = report.summary
    assert set(rows["tracer"]) == {"Tc-99m", "Tl-201"}
    assert rows["p"].between(1 / 3, 1).all()
    runs = [open_run(_permuted(loaded, number).run_directory) for number in (1, 2)]
    assert len({run.plan for run in [*runs, open_run(loaded.run_directory)]}) == 3
    for run in runs:
        assert set(run.predictions["partition"]) == {"development"}
        assert not run.paths.storage.names("models")
    assert not Path(loaded.test_openings).exists()
