"""`import polarmap`: the same results as the command, as data frames."""

import importlib.metadata
import json
import os
import shutil
import stat
import subprocess
import sys

import pandas as pd
import pytest

import polarmap
from orchestrator.cli import main
from orchestrator.commands.verbs import VERBS
from orchestrator.ledger.paths import RunPaths

TABLES = ("cells", "candidates", "epochs", "predictions")

PYTHON_OF = {
    "init": "template",
    "schema": "schema",
    "synth": "synth",
    "import": "import_spectf",
    "merge": "merge",
    "check": "check",
    "plan": "plan",
    "run": "run",
    "permute": "permute",
    "instability": "instability",
    "status": "Run.status",
    "report": "Run.report",
    "compare": "compare",
    "evaluate": "evaluate",
    "export-optuna": "Run.export_optuna",
    "export": "export",
    "predict": "predict",
    "validate": "validate",
    "explain": "Run.explain",
    "rerun-cell": "Run.rerun_cell",
    "cluster": "check_cluster_file",
    "demo": "demo",
}
"""What a person writes in Python instead of each verb."""


@pytest.fixture(scope="module")
def experiment(tmp_path_factory, make_tiny):
    """The tiny experiment, run once by the library."""
    path = make_tiny(tmp_path_factory.mktemp("library"))
    run = polarmap.run(path, open_test=True, runner="inline", progress="none")
    assert isinstance(run, polarmap.Run)
    return path


@pytest.fixture(scope="module")
def run(experiment):
    """That run, opened again."""
    return polarmap.open_run(experiment.parent / "runs" / "tiny")


def test_importing_the_package_waits_for_nothing():
    """`import polarmap` has no torch, Ray or pandas in memory, and neither has a look at its names."""
    code = (
        "import sys, polarmap; dir(polarmap); polarmap.PolarmapError\n"
        "print({'torch', 'ray', 'pandas', 'numpy', 'optuna', 'rich'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


def test_every_public_name_is_there_with_its_documentation():
    """`__all__` is what can be imported, each with a docstring, and nothing else is."""
    assert sorted(polarmap.__all__) == polarmap.__all__ == dir(polarmap)
    for name in polarmap.__all__:
        assert getattr(polarmap, name).__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        polarmap.nothing  # noqa: B018 - asked for on purpose


def test_whatever_a_command_does_a_program_can_do():
    """Every verb has a function or a method of the library."""
    assert {name for name, *_ in VERBS} == set(PYTHON_OF)
    for dotted in PYTHON_OF.values():
        found: object = polarmap
        for name in dotted.split("."):
            found = getattr(found, name)
        assert callable(found)


@pytest.mark.thorough
def test_the_library_and_the_command_write_the_same_tables(experiment, run, tmp_path):
    """`polarmap.run` and `polarmap run` give the same bytes."""
    shutil.copytree(experiment.parent, tmp_path / "copy", ignore=shutil.ignore_patterns("runs"))
    copy = tmp_path / "copy" / "experiment.toml"
    assert main(["run", str(copy), "--runner", "inline", "--open-test", "--progress", "none"]) == 0

    paths: RunPaths = polarmap.open_run(copy.parent / "runs" / "tiny").paths
    for name in TABLES:
        assert paths.table(name).read_bytes() == run.paths.table(name).read_bytes(), name
    assert paths.summary.read_bytes() == run.paths.summary.read_bytes()


def test_the_library_and_the_command_import_the_same_cohort(tmp_path):
    """`polarmap.import_…` and `polarmap import …` write the same bytes, with options of every import."""
    cells = ",".join(str(number % 5) for number in range(17))
    names = ",".join(f"stress_{number}" for number in range(1, 18))
    table = tmp_path / "scores.csv"
    table.write_text(f"patient_id,tracer,{names}\nanna,Tl-201,{cells}\nbert,Tc-99m,{cells}\n", "utf-8")
    words = ["import", "segments", str(table), str(tmp_path / "a"), "--values", "scores"]
    assert main([*words, "--label", "Tl-201: SSS >= 4", "--keep-ids"]) == 0
    options = polarmap.ImportOptions(label=["Tl-201: SSS >= 4"], keep_ids=True)
    manifest = polarmap.import_segments(table, tmp_path / "b", values="scores", options=options)
    assert manifest == tmp_path / "b" / "manifest.csv"

    words = ["import", "folder", str(tmp_path / "a" / "maps"), str(tmp_path / "c"), "--tracer", "Tc-99m"]
    assert main([*words, "--pattern", "{patient}-*_{phase}.png", "--format", "npy"]) == 0
    options = polarmap.ImportOptions(format="npy")
    pattern = "{patient}-*_{phase}.png"
    polarmap.import_folder(tmp_path / "a" / "maps", tmp_path / "d", pattern=pattern, tracer="Tc-99m", options=options)

    for one, other in (("a", "b"), ("c", "d")):
        written = [path.relative_to(tmp_path / one) for path in (tmp_path / one).rglob("*") if path.is_file()]
        assert len(written) == 7
        for path in written:
            assert (tmp_path / one / path).read_bytes() == (tmp_path / other / path).read_bytes(), path


def test_a_program_cannot_ask_for_pseudonyms_and_ids_at_once():
    """The library refuses what the command's parser refuses, before a file is read."""
    with pytest.raises(polarmap.PolarmapError, match="contradict"):
        polarmap.ImportOptions(pseudonymise="key", keep_ids=True)


def test_a_finished_run_is_not_done_again(experiment, run):
    """The second call of `polarmap.run` answers with the run as it is."""
    before = (experiment.parent / "runs" / "tiny" / "run.log").read_bytes()
    again = polarmap.run(experiment, open_test=True, runner="inline", progress="none")
    assert again == run
    assert (experiment.parent / "runs" / "tiny" / "run.log").read_bytes() == before


def test_what_the_library_writes_is_private(tmp_path, experiment):
    """A cohort and a run made from Python are readable by their user alone, whatever the process's own mask."""
    before = os.umask(0o022)
    try:
        manifest = polarmap.synth(tmp_path / "cohort", patients=8, size=16)
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(before)
    files = [manifest, *(path for path in (experiment.parent / "runs").rglob("*") if path.is_file())]
    assert [path.name for path in files if stat.S_IMODE(path.stat().st_mode) & 0o077] == []


def test_a_run_shows_its_tables_in_a_notebook(run):
    """`_repr_html_` holds the tables of the report and no page around them."""
    html = run._repr_html_()
    assert "<table>" in html
    assert "Tl-201" in html
    assert "<body>" not in html
    assert eval(repr(run), {"polarmap": polarmap}) == run


def test_a_report_is_the_commands_report(run, capsys):
    """`Run.report().text(...)` is what `polarmap report --format` prints, in each format."""
    report = run.report(figures=False)
    assert isinstance(report, polarmap.Report)
    for text_format in ("markdown", "csv", "json"):
        assert main(["report", run.paths.root, "--format", text_format]) == 0
        assert capsys.readouterr().out == report.text(text_format)
    pd.testing.assert_frame_equal(report.summary.reset_index(drop=True), run.summary, check_dtype=False)


def test_status_has_the_commands_keys(run, capsys):
    """`Run.status()` is `polarmap status --json`."""
    assert main(["status", run.paths.root, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == run.status()
    assert run.status()["state"] == "finished"


def test_evaluate_takes_a_frame_or_a_file(run, tmp_path, capsys):
    """Anybody's predictions get the same estimates from a frame, a file and the command."""
    mine = run.predictions.query("model == 'network' and partition == 'test' and member == 0")
    frame = mine[["patient_id", "tracer", "inputs", "partition", "label", "score"]].reset_index(drop=True)
    frame.to_csv(tmp_path / "theirs.csv", index=False)
    assert main(["evaluate", str(tmp_path / "theirs.csv"), "--format", "csv"]) == 0
    said = capsys.readouterr().out

    assert polarmap.evaluate(tmp_path / "theirs.csv").text("csv") == said
    assert polarmap.evaluate(frame).text("csv") == said
    assert polarmap.evaluate(frame, level=0.9).text("csv") != said
    with pytest.raises(polarmap.PolarmapError, match="`label`"):
        polarmap.evaluate(frame.drop(columns="label"))


def test_predictions_and_searches_leave_a_run(run, experiment, tmp_path):
    """New exams are predicted as the test was, and the searches go to an Optuna journal."""
    found = run.predict(experiment.parent / "manifest.csv")
    of_networks = run.predictions.query("model == 'network' and partition == 'test'")
    tested = of_networks.merge(found, on=["exam_id", "inputs"], suffixes=("", "_new"))
    assert len(tested) == 24
    assert (tested["score"] - tested["score_new"]).abs().max() < 1e-6
    assert run.export_optuna(tmp_path / "candidates.journal") == (6, 18)


def test_a_run_is_not_compared_with_itself(run, tmp_path):
    """A comparison needs two experiments, opened or by their place; of a copy every difference is zero."""
    with pytest.raises(polarmap.PolarmapError, match="cannot be compared with itself"):
        polarmap.compare(run, run.paths.root)
    shutil.copytree(run.paths.root, tmp_path / "copy")
    with pytest.raises(polarmap.PolarmapError, match="both are runs of one experiment"):
        polarmap.compare(run, tmp_path / "copy")


def test_settings_take_the_place_of_the_files(tiny):
    """`settings` overrides by dotted name with Python's values, and refuses what the file would be refused."""
    plan = polarmap.plan(tiny, {"folds.repeats": 3, "cohort.inputs": ("stress",)})
    assert (plan.repeats, plan.cells) == (3, 7)
    with pytest.raises(polarmap.PolarmapError, match="unknown key `repeat`") as refused:
        polarmap.check(tiny, {"folds.repeat": 3, "training.epochs": "many"})
    assert len(refused.value.problems) == 2
    with pytest.raises(polarmap.PolarmapError, match="`name` is not a section"):
        polarmap.check(tiny, {"name.of": 3})


def test_failed_cells_are_an_error_that_says_where_the_run_is(tiny, monkeypatch):
    """A program isn't handed an incomplete run as if it were a whole one; the run can be opened."""

    def broken(*_: object) -> None:
        raise RuntimeError("a cell breaks")

    monkeypatch.setattr("orchestrator.cells.guard.run_cell", broken)
    with pytest.raises(polarmap.PolarmapError, match=r"6 of 6 cells failed; `polarmap.open_run\(") as refused:
        polarmap.run(tiny, runner="inline", progress="none")
    assert refused.value.exit_code == 4
    assert set(polarmap.open_run(tiny.parent / "runs" / "tiny").cells["state"]) == {"failed"}


def test_the_version_is_the_installed_one(capsys):
    """`polarmap --version` prints the version of the distribution and ends with 0."""
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"polarmap {importlib.metadata.version('polarmap-tune')}\n"
