"""Nothing torn, changed or foreign is read as a result: it is found, said, put into quarantine and done again."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mpi_model.errors import RunDirectoryError
from orchestrator.cells.records import CellKey
from orchestrator.ledger.integrity import find_damage, quarantine_damaged
from orchestrator.ledger.joining import joined
from orchestrator.ledger.parts import Delivery, write_delivery
from orchestrator.ledger.paths import run_paths
from orchestrator.ledger.schemas import TABLES
from orchestrator.ledger.state import RunState
from polarmap import open_run

FIRST = CellKey(inputs="stress", partition="development", repeat=0, fold=0)
FINAL = "dual-final"


def root_of(experiment: Path) -> Path:
    """The run directory as a folder."""
    return experiment.parent / "runs" / "tiny"


def hash_of(experiment: Path) -> str:
    """The experiment's hash, as it was written down."""
    return json.loads((root_of(experiment) / "experiment.json").read_text())["hash"]


def digests(experiment: Path) -> dict[str, str]:
    """SHA-256 of every table that must not depend on who ran what when."""
    tables = root_of(experiment) / "tables"
    return {
        name: hashlib.sha256((tables / f"{name}.parquet").read_bytes()).hexdigest()
        for name in TABLES
        if name != "timings"
    }


def damage(experiment: Path) -> dict[str, str]:
    """What the ledger finds wrong with its committed work."""
    found = find_damage(RunState.read(run_paths(root_of(experiment))), hash_of(experiment))
    return {**found.cells, **found.tests}


def quarantined(experiment: Path) -> list[str]:
    """What the driver says when it has put everything damaged into quarantine."""
    state = RunState.read(run_paths(root_of(experiment)))
    return quarantine_damaged(state, find_damage(state, hash_of(experiment)))


def committed_files(experiment: Path) -> list[Path]:
    """Every file of the ledger and of the models."""
    root = root_of(experiment)
    return sorted(path for path in [*root.glob("cells/*/*"), *root.glob("models/*")] if path.is_file())


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_changed_byte_and_any_truncation_of_committed_work_is_detected(mine, data):
    """Whatever file, whatever byte: the damage is found, in the cell that it belongs to."""
    path = data.draw(st.sampled_from(committed_files(mine)))
    content = path.read_bytes()
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        changed = bytearray(content)
        changed[place] ^= data.draw(st.integers(1, 255))
        path.write_bytes(changed)
    else:
        path.write_bytes(content[:place])
    try:
        due = f"{path.name.partition('-')[0]}-final" if path.parent.name == "models" else path.parent.name
        assert set(damage(mine)) == {due}
    finally:
        path.write_bytes(content)


def test_whole_work_is_not_damaged(mine, heard):
    """A finished run that nobody touched has nothing to repair."""
    assert damage(mine) == {}
    assert quarantined(mine) == []


@pytest.mark.parametrize("name", ["results.parquet", "COMMIT.json"])
def test_a_damaged_cell_is_quarantined_said_and_done_again(mine, finished, run, heard, name):
    """A flipped byte costs its cell alone: kept under a name that says so, said in log and terminal, done again."""
    path = root_of(mine) / "cells" / FIRST.name / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)

    assert run(mine, progress=heard).done_now == 1
    (line,) = heard.lines[:1]
    assert f"cell {FIRST.name} is done again" in line
    assert f"{FIRST.name}.damaged-1" in line
    assert line in (root_of(mine) / "run.log").read_text()
    assert (root_of(mine) / "cells" / f"{FIRST.name}.damaged-1" / name).read_bytes() == content
    assert digests(mine) == digests(finished)
    assert len(open_run(root_of(mine)).cells) == 6


@pytest.mark.thorough
def test_a_damaged_final_network_is_trained_again_and_the_opening_stays_one(mine, finished, run, heard):
    """A changed byte of a stored network: trained again to the same bytes, judged again, the test opened once."""
    path = root_of(mine) / "models" / "dual-member0.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 255]))

    assert run(mine, progress=heard).done_now == 1
    assert path.read_bytes() == whole
    assert digests(mine) == digests(finished)
    (log,) = (mine.parent / "runs" / "test_openings").iterdir()
    assert len(log.read_text().splitlines()) == 1


@pytest.mark.thorough
def test_damaged_test_predictions_are_made_again_without_training(mine, finished, run, heard):
    """Torn predictions of the test exams are put into quarantine and predicted again by the same networks."""
    path = root_of(mine) / "cells" / FINAL / "test_predictions.parquet"
    path.write_bytes(path.read_bytes()[:-100])

    outcome = run(mine, progress=heard)
    assert outcome.done_now == 0
    assert outcome.opened_now
    assert f"test predictions of {FINAL} are made again" in heard.lines[0]
    assert path.with_name("test_predictions.parquet.damaged-1").exists()
    assert digests(mine) == digests(finished)


@pytest.mark.thorough
def test_a_cell_that_was_copied_or_is_of_another_experiment_is_not_a_result(mine, finished, run, heard, tmp_path):
    """A copy of another cell, and a whole cell of another experiment, are put into quarantine and done again."""
    cells = root_of(mine) / "cells"
    shutil.rmtree(cells / "stress-r00-f1")
    shutil.copytree(cells / FIRST.name, cells / "stress-r00-f1")
    run(mine, 'name="other"', "search.candidates=1", open_test=False)
    shutil.rmtree(cells / "dual-r00-f0")
    shutil.copytree(mine.parent / "runs" / "other" / "cells" / "dual-r00-f0", cells / "dual-r00-f0")
    shutil.copytree(cells / FIRST.name, cells / "stress-r00-f0 (copy)")

    assert run(mine, progress=heard).done_now == 2
    said = "\n".join(heard.lines)
    assert f"stress-r00-f1 is done again: it is a copy of cell {FIRST.name}" in said
    assert "dual-r00-f0 is done again: it is of another experiment" in said
    assert (cells / "stress-r00-f0 (copy).damaged-1").is_dir()
    assert digests(mine) == digests(finished)


def test_readers_refuse_what_is_not_what_was_committed(mine):
    """A report from the parts never holds a changed number: it names the part and the remedy, and changes nothing."""
    root = root_of(mine)
    (root / "report" / "summary.parquet").unlink()
    path = root / "cells" / FIRST.name / "results.parquet"
    path.write_bytes((root / "cells" / "stress-r00-f1" / "results.parquet").read_bytes())
    before = committed_files(mine)
    with pytest.raises(RunDirectoryError, match=rf"{FIRST.name}/results.parquet .* `polarmap run` puts its cell"):
        joined(RunState.read(run_paths(root)), "predictions")
    assert committed_files(mine) == before


@pytest.mark.thorough
def test_candidates_that_are_damaged_or_not_their_own_are_done_again(tiny, finished, run, heard):
    """Torn, changed, copied to another number or cell, or of another experiment: no such candidate is told a study."""

    class Stopped(BaseException):
        pass

    class StopAtTheCell(type(heard)):
        def show(self, progress) -> None:
            if progress.candidates == 2:
                raise Stopped

    with pytest.raises(Stopped):
        run(tiny, progress=StopAtTheCell())
    paths = run_paths(root_of(tiny))
    one, two = RunState.read(paths).finished(FIRST)
    folder = root_of(tiny) / "cells" / FIRST.name
    first = (folder / "candidates-0000.json").read_bytes()
    for number in range(0, len(first), 97):
        changed = bytearray(first)
        changed[number] ^= 1
        (folder / "candidates-0000.json").write_bytes(changed)
        try:
            assert RunState.read(paths).finished(FIRST)[0] == one, number
        except RunDirectoryError:
            continue
    (folder / "candidates-0000.json").write_bytes(first)

    other = CellKey(inputs="stress", partition="development", repeat=0, fold=1)
    write_delivery(paths, Delivery(cell=other.name, number=0, experiment="0" * 64, candidates=(one,)))
    (folder / "candidates-0001.json").write_bytes(first)
    (folder / "candidates-0003.json").write_bytes(first[:-10])
    (folder / ".candidates-0003.json.1.tmp").write_bytes(first)
    elsewhere = CellKey(inputs="dual", partition="development", repeat=0, fold=1)
    (folder.parent / elsewhere.name).mkdir()
    (folder.parent / elsewhere.name / "candidates-0000.json").write_bytes(first)

    assert len(quarantined(tiny)) == 4
    assert RunState.read(paths).finished(FIRST) == (one,)
    assert RunState.read(paths).finished(other) == RunState.read(paths).finished(elsewhere) == ()
    assert not (folder / ".candidates-0003.json.1.tmp").exists()
    run(tiny)
    assert digests(tiny) == digests(finished)
    assert two.number == 1


def test_candidate_files_that_a_killed_driver_left_in_a_committed_cell_are_swept(mine):
    """Killed between the marker and the last deletion, a driver leaves files that the next one removes in silence."""
    folder = root_of(mine) / "cells" / FIRST.name
    (folder / "candidates-0002.json").write_bytes(b"of no use any more")
    assert quarantined(mine) == []
    assert not (folder / "candidates-0002.json").exists()
    assert damage(mine) == {}


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("experiment.json", "restore it, or give the experiment another `name`"),
        ("cohort.parquet", "restore it, or delete it"),
        ("folds.parquet", "restore it, or delete it"),
    ],
)
def test_damaged_descriptions_are_refused_with_the_remedy(mine, finished, run, name, remedy):
    """A torn description stops the run with the file and the remedy; the tables can be deleted and come back."""
    path = root_of(mine) / name
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RunDirectoryError, match=f"{name} .* is (damaged|not what was written .*); {remedy}"):
        run(mine)
    if name != "experiment.json":
        path.unlink()
        run(mine)
        assert path.read_bytes() == whole


def test_files_of_a_run_that_changed_places_are_refused(mine, finished):
    """Cohort and folds are whole and of this experiment, each under the other's name."""
    root = root_of(mine)
    cohort, folds = (root / "cohort.parquet").read_bytes(), (root / "folds.parquet").read_bytes()
    (root / "cohort.parquet").write_bytes(folds)
    (root / "folds.parquet").write_bytes(cohort)
    for read in (lambda found: found.cohort, lambda found: found.folds):
        with pytest.raises(RunDirectoryError, match="is not what was written"):
            read(open_run(root))


@pytest.mark.thorough
def test_a_table_that_was_deleted_is_made_again(mine, finished, run):
    """Compacted tables are never the only copy: deleted, they come back byte for byte."""
    (root_of(mine) / "tables" / "epochs.parquet").unlink()
    run(mine)
    assert digests(mine) == digests(finished)


def test_the_marker_names_every_part_with_its_size_and_digest(mine):
    """What is written down can be verified by anybody with sha256sum."""
    for marker in root_of(mine).glob("cells/*/COMMIT.json"):
        said = json.loads(marker.read_text())
        assert said["cell"] == marker.parent.name
        assert said["experiment"] == hash_of(mine)
        for name, seal in said["parts"].items():
            content = (root_of(mine) / name).read_bytes()
            assert seal == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        # One file; of a final cell also the network in two files and the baseline in one.
        assert len(said["parts"]) == (4 if marker.parent.name.endswith("final") else 1)
