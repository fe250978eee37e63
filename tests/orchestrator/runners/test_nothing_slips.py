"""A run under Ray leaves patients' ids and the names of their images in three tables, and nowhere else at all."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

PATIENT, IMAGE = "zqxPatientZqx", "vwkImageVwk"
ALLOWED = {"tiny/cohort.parquet", "tiny/folds.parquet", "tiny/tables/predictions.parquet"}

KEEP_RAYS_FOLDER = """
import os, shutil, sys
remove = shutil.rmtree
def special(folder, names):
    whole = [os.path.join(folder, name) for name in names]
    return [name for name, path in zip(names, whole) if not os.path.isfile(path) and not os.path.isdir(path)]
def keep(path, *rest, **more):
    if os.path.basename(path).startswith("polarmap-"):
        shutil.copytree(path, sys.argv[1], symlinks=True, ignore=special)
    remove(path, *rest, **more)
shutil.rmtree = keep
from orchestrator.cli import main
sys.exit(main(sys.argv[2:]))
"""

BREAK_TWO_CELLS = """
import importlib.util, os, sys

class Late:
    def find_spec(self, name, path=None, target=None):
        if name != "orchestrator.cells.guard":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        load = spec.loader.exec_module

        def exec_module(module):
            load(module)
            whole = module.run_cell

            def run_cell(task, bench, *rest):
                if task.key.name == "stress-r00-f0":
                    raise RuntimeError(f"all that a worker knows: {task} {bench}")
                if task.key.name == "dual-r00-f0":
                    os._exit(1)
                return whole(task, bench, *rest)

            module.run_cell = run_cell

        spec.loader.exec_module = exec_module
        return spec

sys.meta_path.insert(0, Late())
"""


def named_cohort(experiment: Path) -> None:
    """Give patients and images of a tiny cohort names that nothing else has."""
    manifest = experiment.parent / "manifest.csv"
    table = pd.read_csv(manifest)
    table["patient_id"] = [f"{PATIENT}{number}" for number in range(len(table))]
    for phase in ("stress", "rest"):
        for number, name in enumerate(table[phase]):
            (experiment.parent / name).rename(experiment.parent / f"{IMAGE}{number}-{phase}.npy")
        table[phase] = [f"{IMAGE}{number}-{phase}.npy" for number in range(len(table))]
    table.to_csv(manifest, index=False)


def slips(folder: Path) -> Iterator[str]:
    """Every file below a folder that holds a patient's id or an image's name, in its bytes or in its columns."""
    for path in folder.rglob("*"):
        name = str(path.relative_to(folder))
        content = (path.read_bytes() if path.is_file() and not path.is_symlink() else b"") + name.encode()
        if path.suffix == ".parquet":
            content += pd.read_parquet(path).to_csv().encode() + str(pq.read_schema(path).metadata).encode()
        if PATIENT.encode() in content or IMAGE.encode() in content:
            yield name


@pytest.mark.ray
@pytest.mark.thorough
def test_ids_and_image_names_stand_in_three_tables_only(tiny, tmp_path):
    """Searched: every file of the run and of Ray's session, decoded tables, output; with a failing and a lost cell."""
    named_cohort(tiny)
    (tmp_path / "patch").mkdir()
    (tmp_path / "patch" / "sitecustomize.py").write_text(BREAK_TWO_CELLS)
    command = ["run", str(tiny), "--progress", "json", "--set", "resources.attempts=1"]
    found = subprocess.run(
        [sys.executable, "-c", KEEP_RAYS_FOLDER, str(tmp_path / "kept"), *command],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path / "patch"), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
    )

    assert found.returncode == 4, found.stderr
    runs = tiny.parent / "runs"
    log = (runs / "tiny" / "run.log").read_text()
    assert "all that a worker knows" in log
    assert "its worker process died" in log
    assert set(slips(runs)) == ALLOWED
    assert list((tmp_path / "kept" / "ray").rglob("worker-*.out"))
    assert list(slips(tmp_path / "kept")) == []
    for text in (found.stdout, found.stderr):
        assert text
        assert PATIENT not in text
        assert IMAGE not in text


@pytest.mark.slow
@pytest.mark.ray
def test_nothing_that_a_run_makes_is_for_others_to_read(tiny, tmp_path):
    """Whatever the user's umask: run directory, tables, log, openings and Ray's own files are the user's alone."""
    command = ["run", str(tiny), "--open-test", "--set", "search.candidates=1"]
    code = f"import os; os.umask(0o022)\n{KEEP_RAYS_FOLDER}"
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "kept"), *command],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        check=True,
    )

    for path in (tiny.parent / "runs").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path.name
    # Ray opens some folders of its own to all; they lie in one that nobody else can enter.
    assert (tmp_path / "kept").stat().st_mode & 0o077 == 0
