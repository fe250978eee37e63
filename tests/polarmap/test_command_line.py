"""The command line beyond what a verb does: where flags may stand, completion, answers for programs."""

import json
import subprocess

import pytest

from orchestrator.cli import main
from orchestrator.terminal.planning import print_plan
from polarmap import check, plan


@pytest.mark.parametrize("words", [["--debug", "check", "none.toml"], ["check", "none.toml", "--debug"]])
def test_debug_is_understood_before_and_after_a_verb(words, caplog):
    """Whoever is told to use --debug can write it where they are."""
    assert main(words) == 2
    assert "ExperimentError" in caplog.text
    caplog.clear()
    assert main([word for word in words if word != "--debug"]) == 2
    assert "ExperimentError" not in caplog.text


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_a_shell_is_given_its_completions(shell, capsys):
    """Completions name every verb; Bash can read its own."""
    with pytest.raises(SystemExit) as ended:
        main(["--print-completion", shell])
    script = capsys.readouterr().out
    assert ended.value.code == 0
    assert "export-optuna" in script
    if shell == "bash":
        completed = f'{script}\nCOMP_WORDS=(polarmap pl); COMP_CWORD=1; _shtab_polarmap; echo "${{COMPREPLY[@]}}"'
        found = subprocess.run(["bash", "-c", completed], capture_output=True, text=True, check=True)
        assert found.stdout.split() == ["plan"]


def test_check_answers_programs(tiny, capsys):
    """`check --json` is one line with the documented keys, and says what the printed table says."""
    assert main(["check", str(tiny), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said == {**check(tiny).to_dict(), "exit_code": 0}
    assert set(said) == {"experiment", "problems", "cohort", "exclusions", "notices", "resumes", "exit_code"}
    development = [row for row in said["cohort"] if row["partition"] == "development"]
    assert [(row["tracer"], row["inputs"], row["exams"], row["positive"]) for row in development] == [
        ("Tc-99m", ["stress", "dual"], 24, 12),
        ("Tl-201", ["stress", "dual"], 24, 12),
    ]


@pytest.mark.parametrize("verb", ["check", "plan"])
def test_problems_are_answers_for_programs_too(verb, tiny, capsys):
    """What is wrong is in the JSON as it is on standard error, with the exit code."""
    assert main([verb, str(tiny), "--json", "--set", "folds.folds=1", "--set", "training.epochs=0"]) == 2
    printed = capsys.readouterr()
    said = json.loads(printed.out)
    assert said["exit_code"] == 2
    assert [f"polarmap: {line}" for line in said["problems"]] == printed.err.splitlines()
    assert len(said["problems"]) == 2


def test_plan_answers_programs(tiny, capsys):
    """`plan --json` has check's keys and the work: cells, trainings and precision by the definition of each."""
    assert main(["plan", str(tiny), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["cells"] == 2 * (1 * 2 + 1)
    assert said["trainings"] == said["cells"] * (3 * 1 + 1 + 1 * 1)
    assert (said["timed_cells"], said["worker_hours"]) == (0, None)
    test = next(row for row in said["precision"] if row["partition"] == "test" and row["tracer"] == "Tc-99m")
    assert (test["positive"], test["negative"], test["auc"]) == (3, 3, 0.85)
    assert test["width"] == pytest.approx(test["high"] - test["low"])
    sizes = said["fold_sizes"][0]
    assert sizes["patients_min"] <= 12 <= sizes["patients_max"]
    assert sizes["inputs"] == ["stress", "dual"]


def test_a_plan_counts_a_flat_searchs_parts_apart(tiny, capsys):
    """A part for each cell that is no final one, never taken for another input configuration."""
    flat = ("--set", "search.scheme=flat", "--set", "training.budget=schedule", "--set", "folds.folds=3")
    assert main(["plan", str(tiny), *flat]) == 0
    assert "2 input configurations × (1 repeats × 3 folds + 1 final) = 8 cells and 6 parts" in capsys.readouterr().out


def test_a_plan_says_that_a_small_cohort_gets_counts_and_no_answer(make_tiny, tmp_path, capsys):
    """Eight patients of a class in cross-validation: no AUC, and the declared question is not answered at any power."""
    small = make_tiny(tmp_path, patients=32, test_patients=0)
    assert main(["plan", str(small), "--set", "statistics.noninferiority={ pair = 'stress-dual', margin = 0.4 }"]) == 0
    printed = " ".join(capsys.readouterr().out.split())

    assert printed.count("with 8 positive and 8 negative patients an AUC of 0.85 comes with") == 2
    assert printed.count("with fewer than 10 of a class the report gives counts in place of an AUC") == 2
    assert printed.count("cannot be answered with this cohort: with fewer than 10 of a class") == 2


def test_a_plan_prints_what_it_holds(tiny, capsys):
    """The printed plan and the record give the same numbers."""
    found = plan(tiny)
    print_plan(found)
    printed = capsys.readouterr().out
    row = found.precision.iloc[0]
    assert f"[{row['low']:.2f}, {row['high']:.2f}]" in printed
    assert f"{found.cells} cells; at most {found.trainings} trainings" in printed
    assert "<table" in found._repr_html_()
