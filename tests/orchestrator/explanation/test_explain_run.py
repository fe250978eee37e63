"""`polarmap explain` on a finished run: held-out exams only, the run's own networks, the same bytes after any stop."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace

import pandas as pd
import pytest
import torch

from mpi_model.errors import ExperimentError, IncompleteRunError, RunDirectoryError
from orchestrator.cli import main
from orchestrator.cohort.loading import load_cohort
from orchestrator.driver.explain import ExplainOptions, explain_run
from orchestrator.driver.open_test import final_networks
from orchestrator.explanation.cells import explain_cell
from orchestrator.ledger.reading import open_run
from orchestrator.monitoring.progress import NullProgress
from orchestrator.runners.inline import InlineRunner

SEGMENTS = [f"segment_{number}" for number in range(1, 18)]
CELLS = ExplainOptions(cells=True, runner="inline", report=False)


def explain(experiment, options=CELLS, runner=None):
    run = open_run(experiment.parent / "runs" / "tiny")
    assert explain_run(run, options, NullProgress(), runner).failed == ()
    return run


@pytest.fixture(scope="module")
def explained(finished, tmp_path_factory):
    """A copy of the finished run with its cells and its final networks explained; copy before changing."""
    folder = tmp_path_factory.mktemp("explained") / "copy"
    shutil.copytree(finished.parent, folder)
    explain(folder / "experiment.toml")
    return folder / "experiment.toml"


@pytest.fixture
def another(explained, tmp_path):
    """A private copy of the explained run."""
    shutil.copytree(explained.parent, tmp_path / "another")
    return tmp_path / "another" / "experiment.toml"


def table_bytes(experiment):
    return [(experiment.parent / "runs/tiny/tables" / f"{name}.parquet").read_bytes() for name in NAMES]


NAMES = ("exam_attributions", "attributions")


@pytest.mark.thorough
def test_every_held_out_exam_is_explained_by_the_networks_that_predicted_it(explained):
    """Attributions and predictions name the same exams in the same cells: no map is explained by one who learned it."""
    run = open_run(explained.parent / "runs" / "tiny")
    key = ["inputs", "partition", "repeat", "fold", "exam_id"]
    predicted = run.predictions.query("model == 'network'")[key].drop_duplicates()
    found = run.exam_attributions.query("network == 'trained'")[key].drop_duplicates()
    pd.testing.assert_frame_equal(
        *(one.sort_values(key).reset_index(drop=True) for one in (found, predicted)), check_dtype=False
    )
    held_out = run.exam_attributions.query("partition == 'development'")
    evaluated = held_out.merge(run.folds, on=["patient_id", "repeat"], suffixes=("", "_of_patient"))
    assert len(evaluated) == len(held_out) > 0
    assert (evaluated["fold"] == evaluated["fold_of_patient"]).all()


def test_attributions_add_up_to_the_scores_of_the_run(explained):
    """An exam's attributions are its stored score less that of the reference map, by the run's own final network."""
    run = open_run(explained.parent / "runs" / "tiny")
    ((network, _),) = final_networks(run.paths, "dual", run.description.settings)
    cohort = run.cohort
    maps = load_cohort(explained.parent / "manifest.csv", size=16).maps
    stored = run.predictions.query("model == 'network' and partition == 'test' and inputs == 'dual'")
    rows = run.exam_attributions.query("network == 'trained' and partition == 'test' and inputs == 'dual'")
    total = rows.assign(total=rows[[*SEGMENTS, "outside"]].sum(axis=1)).groupby("exam_id")["total"].sum()
    for tracer, name in enumerate(("Tc-99m", "Tl-201")):
        normal = (cohort["partition"] == "development") & (cohort["label"] == 0) & (cohort["tracer"] == name)
        mean = torch.from_numpy(maps.pixels("dual")[normal.to_numpy()].mean(axis=0) / 65535).float()
        with torch.no_grad():
            reference = float(network(mean[None], torch.tensor([tracer])))
        mine = stored[stored["tracer"] == name].set_index("exam_id")["score"]
        bounds = rows.groupby("exam_id")["bound"].first()
        assert len(mine) == 6
        assert ((total[mine.index] - (mine - reference)).abs() <= bounds[mine.index] + 1e-5).all()


@pytest.mark.thorough
def test_a_closed_test_is_not_explained(tiny, run):
    """Without an opened test there is nothing that the final networks have not learned from, and that is said."""
    run(tiny)
    with pytest.raises(ExperimentError, match=r"test partition was not opened.*--open-test.*--cells"):
        explain(tiny, ExplainOptions(runner="inline"))
    found = explain(tiny).exam_attributions
    assert set(found["partition"]) == {"development"}


@pytest.mark.thorough
def test_an_interrupted_explanation_goes_on_to_the_same_bytes(another):
    """Cells that are explained stay so; a part that is lost, torn or of another method is made again, alike."""
    due = table_bytes(another)
    cells = another.parent / "runs/tiny/cells"
    (cells / "stress-r00-f0/attributions.json").unlink()
    part = cells / "dual-r00-f1/attributions.parquet"
    part.write_bytes(part.read_bytes()[:-1])
    marker = cells / "dual-final/attributions.json"
    marker.write_text(marker.read_text().replace("a", "b", 1))
    explained_again = []

    def work(task, context, finished, on_candidate):
        explained_again.append(task.key.name)
        return explain_cell(task, context, finished, on_candidate)

    explain(another, runner=InlineRunner(work=work))
    assert explained_again == ["stress-r00-f0", "dual-r00-f1"]
    assert table_bytes(another) == due
    assert (cells / "dual-r00-f1/attributions.parquet.damaged-1").exists()


def test_networks_that_are_not_the_runs_are_not_explained(another):
    """A refit that scores the held-out exams otherwise than the ledger says ends the command; nothing is written."""
    cell = another.parent / "runs/tiny/cells/stress-r00-f0"
    (cell / "attributions.json").unlink()

    def other_seeds(task, context, finished, on_candidate):
        return explain_cell(replace(task, plan="0" * 64), context, finished, on_candidate)

    with pytest.raises(RunDirectoryError, match="score its exams differently"):
        explain(another, runner=InlineRunner(work=other_seeds))
    assert not (cell / "attributions.json").exists()


def test_a_cohort_that_is_not_the_runs_is_refused(another, make_cohort, tmp_path):
    """With another manifest, even of the same form, nothing is explained."""
    other = make_cohort(tmp_path / "other", seed=7)
    with pytest.raises(RunDirectoryError, match="another cohort"):
        explain(another, replace(CELLS, manifest=other))
    (another.parent / "manifest.csv").rename(another.parent / "elsewhere.csv")
    with pytest.raises(ExperimentError, match="--manifest"):
        explain(another)
    explain(another, replace(CELLS, manifest=another.parent / "elsewhere.csv"))


def test_a_run_that_lacks_a_cell_is_refused(another):
    """An average over the cells that happened to succeed is not given."""
    (another.parent / "runs/tiny/cells/stress-r00-f0/COMMIT.json").unlink()
    with pytest.raises(IncompleteRunError, match="1 of 4 cells"):
        explain(another)


@pytest.mark.thorough
def test_a_cell_that_cannot_be_explained_is_named_and_tried_again(another, capsys):
    """A failing worker costs its own cell: the others are kept, the exit code is 4, and the next call does the rest."""
    due = table_bytes(another)
    for name in ("stress-r00-f0", "stress-r00-f1"):
        (another.parent / f"runs/tiny/cells/{name}/attributions.json").unlink()
    tried = []

    def failing(task, context, finished, on_candidate):
        tried.append(task.key.name)
        return explain_cell(task, context, finished if len(tried) > 1 else (), on_candidate)

    run = open_run(another.parent / "runs" / "tiny")
    found = explain_run(run, CELLS, NullProgress(), InlineRunner(work=failing))
    assert found.failed == ("stress-r00-f0",)
    assert main(["explain", str(another.parent / "runs/tiny"), "--cells", "--runner", "inline"]) == 0
    assert table_bytes(another) == due


def test_the_group_table_holds_nobody(explained):
    """Means of groups carry no patient, no exam and no row, and groups of fewer than five patients are refused."""
    found = open_run(explained.parent / "runs" / "tiny").attributions
    text = found.to_csv()
    assert not re.search(r"patient-\d|\.npy", text)
    assert {"patient_id", "exam_id", "row"}.isdisjoint(found.columns)
    small = found["patients"] < 5
    assert small.any()
    assert found.loc[small, ["estimate", "low", "high"]].isna().all(axis=None)
    assert (found.loc[small, "state"] == "refused").all()
    assert found.loc[~small, ["estimate", "low", "high"]].notna().all(axis=None)
    log = (explained.parent / "runs/tiny/run.log").read_text()
    assert "cell_explained" in log
    assert "patient-0" not in log


def test_shares_of_a_group_follow_from_its_exams(explained):
    """Shares by class are the plain means over exams; segments, territories and phases add up to the whole map."""
    run = open_run(explained.parent / "runs" / "tiny")
    rows = run.exam_attributions.query(
        "network == 'trained' and partition == 'development' and inputs == 'dual' and tracer == 'Tl-201' and label == 1"
    )
    size = rows.set_index(["exam_id", "phase"])[[*SEGMENTS, "outside"]].abs()
    total = size.sum(axis=1).groupby("exam_id").sum()
    due = size.div(total, axis=0, level=0).groupby("phase").mean()

    found = run.attributions.query(
        "network == 'trained' and partition == 'development' and inputs == 'dual' and tracer == 'Tl-201' "
        "and label == 1 and outcome.isna() and metric == 'share'"
    )
    for phase in ("stress", "rest"):
        mine = found[found["phase"] == phase].set_index("region")["estimate"]
        assert mine["9"] == pytest.approx(due.loc[phase, "segment_9"])
        assert mine["all"] == pytest.approx(due.loc[phase].sum())
        assert mine[["LAD", "RCA", "LCX", "outside"]].sum() == pytest.approx(mine["all"])
    both = found[found["phase"].isna()].set_index("region")["estimate"]
    assert both["all"] == pytest.approx(1)
    assert both["RCA"] == pytest.approx(due[[f"segment_{number}" for number in (3, 4, 9, 10, 15)]].sum().sum())


def test_outcomes_are_those_of_the_models_decisions(explained):
    """TP, FP, FN and TN are counted as the report counts them, from the members as one model."""
    run = open_run(explained.parent / "runs" / "tiny")
    predicted = run.predictions.query("model == 'network' and partition == 'development' and inputs == 'stress'")
    called = predicted["probability"] >= predicted["threshold"]
    groups = run.attributions.query(
        "network == 'trained' and partition == 'development' and inputs == 'stress' and metric == 'share' "
        "and region == 'all'"
    ).set_index(["tracer", "outcome"])["exams"]
    for tracer in ("Tc-99m", "Tl-201"):
        mine = predicted["tracer"] == tracer
        for name, label, positive in (("TP", 1, True), ("FN", 1, False), ("FP", 0, True), ("TN", 0, False)):
            assert groups[tracer, name] == (mine & (predicted["label"] == label) & (called == positive)).sum()


def test_new_exams_are_explained_into_a_private_file(explained, make_cohort, tmp_path, capsys):
    """`predict --explain` writes a file that says it is identifying, that only its user reads, and that adds up."""
    manifest = make_cohort(tmp_path / "new", patients=3, test_patients=1, seed=9, called="newcomer")
    run = explained.parent / "runs" / "tiny"
    out, found = tmp_path / "predictions.csv", tmp_path / "explained.csv"
    words = ["predict", str(run), str(manifest), "--out", str(out), "--explain", str(found)]
    assert main(words) == 0
    assert "identifying" in capsys.readouterr().out
    assert found.stat().st_mode & 0o777 == 0o600

    table = pd.read_csv(found)
    assert set(table["marked"]) == {"single patient: identifying"}
    scores = pd.read_csv(out).set_index(["exam_id", "inputs"])["score"]
    total = table.assign(total=table[[*SEGMENTS, "outside"]].sum(axis=1)).groupby(["exam_id", "inputs"])["total"].sum()
    tracer = table.groupby(["exam_id", "inputs"])["tracer"].first()
    # Of one tracer and input configuration all exams have one reference map, so score − total is the same of all.
    reference = (scores - total).groupby([tracer, tracer.index.get_level_values("inputs")])
    bound = table["bound"].max()
    assert len(total) == 8
    assert (reference.max() - reference.min()).max() <= 2 * bound + 1e-5


def test_new_exams_of_a_run_that_was_not_explained_are_refused(mine, make_cohort, tmp_path, capsys):
    """Without the maps to compare with nothing is written, not even the predictions."""
    manifest = make_cohort(tmp_path / "new", patients=3, test_patients=1, seed=9)
    out = tmp_path / "predictions.csv"
    words = ["predict", str(mine.parent / "runs/tiny"), str(manifest), "--out", str(out)]
    assert main([*words, "--explain", str(tmp_path / "explained.csv")]) == 2
    assert "polarmap explain RUN" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.thorough
def test_the_report_shows_where_the_network_looks_without_torch(explained, command_without):
    """The page has the section once a run is explained; making it imports no torch, and it names no patient."""
    words = ["report", explained.parent / "runs/tiny", "--format", "html"]
    found = command_without(words, "torch", "captum", "ray")
    assert found.returncode == 0, found.stderr
    assert "Where the network looks" in found.stdout
    assert "integrated gradients" in found.stdout
    assert "patient-0" not in found.stdout


@pytest.mark.thorough
def test_without_captum_the_message_names_the_extra(mine, tmp_path):
    """The optional part that is missing is named, in a line, with exit code 2."""
    (tmp_path / "captum.py").write_text("raise ImportError('not installed')")
    code = f"from orchestrator.cli import main; import sys; sys.exit(main(['explain', r'{mine.parent / 'runs/tiny'}']))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert found.returncode == 2, found.stderr
    assert "polarmap-tune[explain]" in found.stderr


@pytest.mark.ray
@pytest.mark.thorough
def test_ray_explains_to_the_same_bytes(another):
    """Cells that Ray's workers explain are the inline runner's, byte for byte."""
    due = table_bytes(another)
    for marker in (another.parent / "runs/tiny/cells").glob("*-r00-*/attributions.json"):
        marker.unlink()
    explain(another, replace(CELLS, runner="ray"))
    assert table_bytes(another) == due
