"""`polarmap rerun-cell`: one cell again, in a folder of its own, held against the ledger."""

import hashlib
import re

import pytest

from mpi_model.errors import ExperimentError
from orchestrator.cells import recipe
from orchestrator.cli import main
from orchestrator.driver import rerun
from orchestrator.driver.rerun import rerun_cell
from orchestrator.driver.resume import RunOptions
from orchestrator.ledger.reading import open_run
from orchestrator.monitoring.progress import NullProgress, RunProgress

INLINE = RunOptions(runner="inline")


class StopsAfter(NullProgress):
    """Control-C once so many candidates are finished."""

    def __init__(self, candidates: int) -> None:
        self.candidates = candidates

    def show(self, run: RunProgress) -> None:
        """Look."""
        if run.candidates == self.candidates:
            raise KeyboardInterrupt


def contents(folder) -> dict[str, str]:
    """Digests of every file below a folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.parametrize(("cell", "networks"), [("dual-r00-f1", 0), ("stress-final", 1)])
def test_a_cell_again_gives_the_ledgers_bytes_and_leaves_the_run_alone(
    cell, networks, finished, folder_of, tmp_path, capsys
):
    """On the same machine everything is the same, final networks included; not a byte of the run is touched."""
    before = contents(folder_of(finished))
    words = ["rerun-cell", str(folder_of(finished)), cell, "--out", str(tmp_path / "again"), "--progress", "none"]
    assert main(words) == 0
    said = capsys.readouterr().out

    assert f"cell {cell}: complete here" in said
    assert "the same bytes as the ledger's: candidates, epochs, predictions, cells" in said
    assert said.count(".safetensors") == networks
    assert contents(folder_of(finished)) == before
    assert (tmp_path / "again" / "run.log").exists()


def test_other_numbers_are_not_the_ledgers(finished, folder_of, tmp_path, monkeypatch, capsys):
    """Where training gives something else the command ends with 2 and says what differs and by how much."""
    original = recipe.derive_seed
    monkeypatch.setattr(recipe, "derive_seed", lambda *names: original(*names) + 1)
    assert main(["rerun-cell", str(folder_of(finished)), "stress-r00-f0", "--out", str(tmp_path / "again")]) == 2
    said = capsys.readouterr().err.splitlines()[-1]

    assert re.search(
        r"is not the ledger's: candidates, epochs, predictions(, cells)? differ, scores by up to [\d.]+", said
    )
    assert "kind of processor" in said


def test_a_cell_under_way_is_compared_as_far_as_it_has_come(tiny, run, folder_of, tmp_path):
    """Of a cell that hangs the ledger holds candidates only; those are held against the ones made here."""
    with pytest.raises(KeyboardInterrupt):
        run(tiny, progress=StopsAfter(2))
    found = rerun_cell(open_run(folder_of(tiny)), "stress-r00-f0", tmp_path / "again", INLINE, NullProgress())

    assert found.ledger == "under way, 2 candidates"
    assert found.same == ("candidates", "epochs")
    assert found.different == ()
    assert found.state == "complete"


def test_with_debug_an_error_is_raised_where_it_happens(finished, folder_of, tmp_path, monkeypatch):
    """A debugger stops at the line that fails; without the flag the cell is a failed one, as in the run."""

    def broken(*_):
        raise ZeroDivisionError("the cosmic ray")

    monkeypatch.setattr(rerun, "run_cell", broken)
    words = ["rerun-cell", str(folder_of(finished)), "stress-r00-f0", "--debug", "--out", str(tmp_path / "again")]
    with pytest.raises(ZeroDivisionError):
        main(words)


@pytest.mark.parametrize(
    ("cell", "place", "said"),
    [
        ("stress-r09-f0", "new", "has no cell 'stress-r09-f0'; they are named like stress-r00-f0"),
        ("../../etc", "new", "has no cell"),
        ("stress-r00-f0", "experiment.toml", "exists already"),
        ("stress-r00-f0", "runs/tiny/cells/new", "lies in the run directory"),
    ],
)
def test_what_cannot_be_done_again_is_said_before_anything_is_read(cell, place, said, finished, folder_of):
    """A cell that is not there, a folder that exists or lies in the run: one line, and nothing is written."""
    before = contents(finished.parent)
    with pytest.raises(ExperimentError, match=said):
        rerun_cell(open_run(folder_of(finished)), cell, finished.parent / place, INLINE, NullProgress())
    assert contents(finished.parent) == before
