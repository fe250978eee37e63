"""What `polarmap check` says beyond the cohort: the run directory of that name, and everything at once."""

from dataclasses import replace

import pytest

from orchestrator.cli import main
from orchestrator.ledger.parts import _marker_bytes, marker_in


def test_check_says_what_a_run_would_go_on_from(mine, paths_of, capsys, folder_of):
    """Before anything is started, a person knows whether cells are kept and how many."""
    assert main(["check", str(mine)]) == 0
    assert "a run with 6 of 6 cells done\n" in capsys.readouterr().out
    marker = folder_of(mine) / "cells" / "stress-r00-f0" / "COMMIT.json"
    marker.write_bytes(_marker_bytes(replace(marker_in(marker.read_bytes()), state="failed")))
    (folder_of(mine) / "cells" / "dual-r00-f1" / "COMMIT.json").unlink()
    assert main(["check", str(mine)]) == 0
    assert "a run with 5 of 6 cells done, 1 of them failed\n" in capsys.readouterr().out


def test_check_refuses_a_name_that_another_experiment_has(mine, capsys):
    """A changed setting is named before `run` would meet it, with the same exit code."""
    assert main(["check", str(mine), "--set", "training.patience=2"]) == 2
    assert "differs in training.patience (6 -> 2)" in capsys.readouterr().err


def test_check_says_nothing_of_a_run_that_is_not_there(tiny, capsys):
    """A new experiment has nothing to go on from, and check makes no folder for it."""
    assert main(["check", str(tiny)]) == 0
    assert "run directory" not in capsys.readouterr().out
    assert not (tiny.parent / "runs").exists()


def test_problems_of_the_file_and_of_the_cohort_come_together(tiny, capsys):
    """One call of check shows what is wrong in both files."""
    manifest = tiny.parent / "manifest.csv"
    manifest.write_text(manifest.read_text().replace("patient-000,Tc-99m,0", "patient-000,Tc-99m,7"))
    assert main(["check", str(tiny), "--set", "training.patience=often"]) == 2
    said = capsys.readouterr().err.splitlines()

    assert len(said) == 2
    assert "`training.patience` must be a whole number" in said[0]
    assert "manifest row 1 (line 2): label must be 0 or 1" in said[1]


@pytest.mark.parametrize("verb", ["check", "run"])
def test_an_experiment_file_named_as_its_space_is_one_line(verb, tiny, capsys):
    """A file of the wrong kind is one mistake, not one for each of its tables."""
    assert main([verb, str(tiny), "--set", "search.space=experiment.toml"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "is not a search space" in line
    assert "[head_learning_rate]" in line
