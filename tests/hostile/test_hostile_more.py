"""Values that unpack, maps that mean something else than their pixels, variables of libraries, other people's files."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from asking import ask
from PIL import Image

from orchestrator.ledger.files import json_object
from orchestrator.output_files import new_folder


@pytest.mark.parametrize("kind", [pa.string(), pa.binary(), pa.list_(pa.string())])
def test_a_value_that_is_stored_once_and_fills_every_row_is_refused(kind, sound, refused):
    """Three kilobytes of Parquet held four gigabytes of text; they are counted before they are unpacked."""
    rows = 1024
    value = pa.array(["x" * 4_000_000]).cast(pa.binary() if pa.types.is_binary(kind) else pa.string())
    column = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, dtype=np.int32)), value)
    if pa.types.is_nested(kind):
        column = pa.ListArray.from_arrays(pa.array(np.arange(rows + 1, dtype=np.int32)), column)
    table = pa.table({"patient_id": [str(row) for row in range(rows)], "note": column})
    pq.write_table(table, sound / "m.parquet", store_schema=False, dictionary_pagesize_limit=2**30)
    said = "holds lists" if pa.types.is_nested(kind) else "more than 1073741824 characters"
    refused(["check", "experiment.toml", "--set", "cohort.manifest=m.parquet"], 3, said)


def _first_map(folder: Path, name: str) -> None:
    text = (folder / "manifest.csv").read_text()
    (folder / "manifest.csv").write_text(text.replace("000-stress.npy", name))


def _orientation(folder: Path, name: str) -> None:
    marks = Image.Exif()
    marks[274] = 6
    _picture(folder, np.uint8, 255).save(folder / name, exif=marks.tobytes())


def _picture(folder: Path, kind: type, most: int) -> Image.Image:
    counts = np.load(folder / "000-stress.npy")
    return Image.fromarray((counts / counts.max() * most).astype(kind))


@pytest.mark.parametrize("power", ["1e4000", "1e-4900"])
def test_counts_beyond_double_precision_are_refused(power, sound, refused):
    """They became not a number, and the network was given what the processor makes of that."""
    if np.finfo(np.longdouble).maxexp <= 1024:
        pytest.skip("this machine has no longer numbers")
    np.save(sound / "bad.npy", np.load(sound / "000-stress.npy").astype(np.longdouble) * np.longdouble(power))
    _first_map(sound, "bad.npy")
    refused(["check", "experiment.toml"], 3, "row 1 (line 2), stress image", "more than 64 bits")


def test_counts_that_are_stored_upside_down_are_refused(sound, refused):
    """Pillow turns a scale with white as zero in pictures of 8 bits, and in no others."""
    _picture(sound, np.uint16, 60000).save(sound / "bad.tif", tiffinfo={262: 0})
    _first_map(sound, "bad.tif")
    refused(["check", "experiment.toml"], 3, "row 1 (line 2), stress image", "white is zero")


@pytest.mark.parametrize("name", ["bad.png", "bad.jpg"])
def test_a_picture_that_is_to_be_shown_turned_is_refused(name, sound, refused):
    """A viewer shows it turned by 90 degrees, the network was given it as it is stored."""
    _orientation(sound, name)
    _first_map(sound, name)
    refused(["check", "experiment.toml"], 3, "row 1 (line 2), stress image", "turned or mirrored")


def test_a_number_of_stages_with_a_point_is_refused_before_anything_is_trained(sound, refused):
    """3.0 passed the check, and every cell failed."""
    (sound / "space.toml").write_text('[encoder_stages]\nkind = "choice"\nchoices = [3.0, 4.0]\n')
    refused(["check", "experiment.toml", "--set", "search.space=space.toml"], 2, "a whole number", "3.0 is possible")


@pytest.mark.parametrize("variable", ["TQDM_MININTERVAL", "SKLEARN_WORKING_MEMORY", "TORCH_LOGS"])
def test_a_variable_that_a_library_cannot_read_is_no_bug(variable, sound):
    """Libraries read their variables on import, and raise what they like."""
    name = {"TORCH_LOGS": "torch", "SKLEARN_WORKING_MEMORY": "sklearn"}.get(variable, "tqdm")
    program = (
        "import sys, types, orchestrator.cli as cli\n"
        f"sys.modules['orchestrator.commands.checks'] = types.SimpleNamespace(check=lambda _: __import__('{name}'))\n"
        "sys.exit(cli.main(['check', 'experiment.toml']))"
    )
    found = subprocess.run(
        [sys.executable, "-c", program],
        cwd=sound, env=os.environ | {variable: "no such thing"}, capture_output=True, text=True, timeout=60, check=False
    )  # fmt: skip
    assert found.returncode == 2, found.stderr
    assert "a library cannot be loaded" in found.stderr
    assert "a bug" not in found.stderr


@pytest.mark.parametrize("named", [".", "../here"])
def test_a_new_folder_is_never_the_current_one(named, tmp_path, monkeypatch, refused):
    """It was deleted under the feet of the command, and an unfinished folder was left beside it."""
    np.save(tmp_path / "P1_Tc-99m_stress.npy", np.random.default_rng(0).random((16, 16)))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    words = ["import", "folder", "..", named, "--pattern", "{patient}_{tracer}_{phase}.npy"]
    refused(words, 2, "is the current folder")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["P1_Tc-99m_stress.npy", "here", "sound"]


def test_a_new_folder_elsewhere_takes_the_place_of_an_empty_one(tmp_path):
    """As before."""
    (tmp_path / "out").mkdir()
    with new_folder(tmp_path / "out") as work:
        (work / "a").write_text("a")
    assert (tmp_path / "out" / "a").read_text() == "a"


def test_half_a_letter_is_no_json_of_ours():
    """It was said to be what standard output cannot hold, and a damaged marker was never done again."""
    assert json_object(json.dumps({"reason": "\ud800"}).encode("ascii")) is None
    assert json_object(json.dumps({"reason": "\U0001f600"}).encode("ascii")) == {"reason": "\U0001f600"}


def test_a_cohort_page_takes_the_place_of_no_other_page(sound, refused):
    """Another person's page, or the run's report, stays; an earlier cohort page is written anew."""
    (sound / "page.html").write_text("<html>mine</html>")
    refused(["check", "experiment.toml", "--html", "page.html"], 2, "holds something else")
    assert (sound / "page.html").read_text() == "<html>mine</html>"
    assert [ask(["check", "experiment.toml", "--html", "cohort.html"]) for _ in range(2)] == [0, 0]


@pytest.mark.parametrize("is_link", [False, True])
def test_a_schema_takes_the_place_of_no_other_file(is_link, sound, capsys, monkeypatch):
    """A link of its name led to a manifest, which was overwritten."""
    monkeypatch.chdir(sound)
    before = (sound / "manifest.csv").read_bytes()
    beside = sound / "polarmap.schema.json"
    beside.symlink_to("manifest.csv") if is_link else beside.write_bytes(before)
    assert ask(["init", "new.toml"]) == 0
    assert "left as it is" in capsys.readouterr().out
    assert beside.read_bytes() == (sound / "manifest.csv").read_bytes() == before


def test_a_home_that_nobody_expands_is_refused(refused):
    """A folder called `~` was made beside the experiment file."""
    refused(["check", "experiment.toml", "--set", "storage.runs=~/runs"], 2, "write the whole path")


def test_predictions_take_the_place_of_no_file_that_appeared_meanwhile(tmp_path):
    """The name was looked at before, and replaced after, the exams were predicted."""
    import pandas as pd  # noqa: PLC0415 - here alone

    from mpi_model.errors import ExperimentError  # noqa: PLC0415 - here alone
    from orchestrator.commands.predictions import write_table  # noqa: PLC0415 - imports torch

    (tmp_path / "o.csv").write_text("mine")
    with pytest.raises(ExperimentError, match="exists already"):
        write_table(tmp_path / "o.csv", pd.DataFrame({"score": [1.0]}))
    assert (tmp_path / "o.csv").read_text() == "mine"


def test_an_interrupt_while_modules_are_imported_shows_no_traceback():
    """Ctrl-C in the first tenth of a second ends the command as the system does it, without a word."""
    struck = (
        "import os, signal, sys\n"
        "class Strike:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'orchestrator.cli':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "sys.meta_path.insert(0, Strike())\n"
        "from orchestrator.entry import entry_point\n"
        "entry_point()\n"
    )
    done = subprocess.run([sys.executable, "-c", struck], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGINT
    assert done.stderr == ""
