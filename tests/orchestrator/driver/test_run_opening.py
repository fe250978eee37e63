"""The test partition: closed until it is opened, and every opening counted."""

import json
import shutil

import pytest

from mpi_model.errors import CohortError
from orchestrator.cli import main
from orchestrator.report import models
from polarmap import open_run
from polarmap.models import predict


def test_the_test_partition_stays_closed_until_it_is_opened(tiny, run, paths_of):
    """Without --open-test nothing is predicted for test exams, and no opening is written."""
    run(tiny)
    assert set(open_run(paths_of(tiny).root).predictions["partition"]) == {"development"}
    assert not (tiny.parent / "runs" / "test_openings").exists()

    outcome = run(tiny, open_test=True)
    assert outcome.opened_now
    assert outcome.done_now == 0
    assert set(open_run(paths_of(tiny).root).predictions["partition"]) == {"development", "test"}


@pytest.mark.thorough
def test_openings_are_counted_over_experiments_and_a_repetition_is_the_same_opening(mine, run, paths_of, folder_of):
    """Another experiment on the same test exams is a second opening; the same one again is not."""
    folder = mine.parent / "runs" / "test_openings"
    (log,) = folder.iterdir()
    assert len(log.read_text().splitlines()) == 1
    for part in folder_of(mine).glob("cells/*/test_predictions.parquet"):
        part.unlink()
    run(mine, open_test=True)
    assert len(log.read_text().splitlines()) == 1

    run(mine, 'name="second"', "search.candidates=1", open_test=True)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["experiment"] for line in lines] == ["tiny", "second"]
    assert set(lines[0]) == {"time", "user", "experiment", "frozen", "digest"}


def test_opening_a_test_that_is_not_there_is_refused_before_anything_is_trained(tmp_path, make_tiny, run, no_runner):
    """A cohort without test exams cannot be opened, and says so with the exit code of a cohort, at once."""
    experiment = make_tiny(tmp_path, test_patients=0)
    with pytest.raises(CohortError, match="partition"):
        run(experiment, open_test=True, runner=no_runner)


@pytest.mark.thorough
def test_the_report_and_predict_speak_of_one_model(make_tiny, tmp_path, run, paths_of):
    """Two members: `predict` on the test exams gives the scores, probabilities and decisions that the report judges."""
    experiment = make_tiny(tmp_path)
    run(experiment, "training.members=2", open_test=True)
    found = open_run(paths_of(experiment).root)
    predicted = predict(found, experiment.parent / "manifest.csv")
    rows = found.predictions.query("model == 'network' and partition == 'test'")
    for (tracer, inputs), mine in rows.groupby(["tracer", "inputs"]):
        judged = models.Tested.of(mine)
        model = predicted[(predicted["tracer"] == tracer) & (predicted["inputs"] == inputs)]
        model = model.set_index("exam_id").loc[list(judged.exam_ids)]

        assert mine["member"].nunique() == 2
        # Single precision, in batches of other sizes; a probability moves by a part of what its score does.
        assert model["score"].to_numpy() == pytest.approx(judged.scores.scores, abs=1e-6)
        assert model["probability"].to_numpy() == pytest.approx(judged.probabilities, abs=1e-6)
        assert model["positive"].tolist() == judged.positive.astype(int).tolist()


def test_a_run_without_its_log_does_not_call_its_test_closed(mine, folder_of, capsys):
    """A run that is copied alone leaves the log behind: its report knows of its own opening, and says what it lacks."""
    shutil.rmtree(mine.parent / "runs" / "test_openings")

    assert main(["report", str(folder_of(mine)), "--format", "markdown"]) == 0
    said = capsys.readouterr().out
    assert "The test partition has been opened once." in said
    assert "the log of test openings" in said
