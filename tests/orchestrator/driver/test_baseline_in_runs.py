"""The baseline in a whole run: in every cell, frozen with the networks, off by one setting."""

import json

import numpy as np
import pandas as pd
import pytest

from mpi_model.vocabulary import PHASES_OF
from orchestrator.cohort.images import read_map
from orchestrator.cohort.segments import segment_means
from orchestrator.ledger.openings import frozen_hash
from orchestrator.storage.base import Blob
from polarmap import open_run


def test_every_cell_has_its_baseline_on_the_exams_of_its_networks(finished, paths_of):
    """Each exam a network was judged on, cross-validated or tested, has one prediction of the baseline beside it."""
    rows = open_run(paths_of(finished).root).predictions
    place = ["inputs", "partition", "repeat", "fold", "exam_id", "label"]
    networks, baseline = (
        rows.loc[rows["model"] == model, place].reset_index(drop=True) for model in ("network", "segments")
    )
    assert set(rows.loc[rows["model"] == "segments", "member"]) == {0}
    pd.testing.assert_frame_equal(networks, baseline)


def test_the_stored_equation_gives_the_test_predictions(finished, paths_of):
    """Scores of the test exams, by hand from the JSON of the final cell and the pixels of the manifest's files."""
    run = open_run(paths_of(finished).root)
    manifest = pd.read_csv(finished.parent / "manifest.csv").set_index("patient_id")
    for inputs in ("stress", "dual"):
        stored = json.loads((finished.parent / "runs" / "tiny" / "models" / f"{inputs}-segments.json").read_text())
        tested = run.predictions.query("model == 'segments' and partition == 'test' and inputs == @inputs")
        assert len(tested) == 12
        assert stored["description"]["experiment"] == run.description.hash
        for _, row in tested.iterrows():
            files = [finished.parent / manifest.loc[row["patient_id"], phase] for phase in PHASES_OF[inputs]]
            means = np.concatenate([segment_means(read_map(file, size=16)[np.newaxis]).ravel() for file in files])
            equation = stored["tracers"][row["tracer"]]
            score = equation["intercept"] + np.dot(equation["coefficients"], means)
            assert row["score"] == pytest.approx(score, abs=1e-9)


def test_what_is_frozen_includes_the_baseline(mine, paths_of):
    """Another baseline is another opening of the test: its file is part of what is frozen."""
    paths = paths_of(mine)
    before = frozen_hash(paths, "facts")
    blob = Blob(paths.storage, "models/dual-segments.json")
    blob.write_bytes(blob.read_bytes().replace(b'"penalty"', b'"Penalty"'))
    assert frozen_hash(paths, "facts") != before


@pytest.mark.thorough
def test_one_setting_leaves_it_out_and_changes_no_network(tiny, finished, run, paths_of):
    """With `statistics.baseline` = none the networks' predictions are the same, and nothing of a baseline is there."""
    run(tiny, "statistics.baseline=none", open_test=True)
    without, beside = (open_run(paths_of(one).root) for one in (tiny, finished))
    networks = beside.predictions.query("model == 'network'").reset_index(drop=True)

    pd.testing.assert_frame_equal(without.predictions, networks)
    assert set(without.summary["model"]) == {"network"}
    assert set(beside.summary["model"]) == {"network", "segments", "network-segments"}
    assert not list((tiny.parent / "runs" / "tiny" / "models").glob("*segments*"))
    facts = beside.description.facts
    assert (facts["statistics.baseline"], without.description.facts["statistics.baseline"]) == ("segments", "none")
    assert facts["versions.scikit-learn"]
