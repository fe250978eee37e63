"""Doors that are seldom used: cluster files, imports, merges, options that contradict each other."""

import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from asking import ask

import polarmap
from orchestrator.storage.local import LocalStorage

Spoil = Callable[[Path], object]

CLUSTERS: dict[str, tuple[str | bytes, str]] = {
    "a value that is not what its tag says": ("a: 1\nmax_workers: !!bool maybe\n", "line 2: not YAML"),
    "a time that is none": ("max_workers: !!timestamp x\n", "line 1: not YAML"),
    "an empty whole number": ('max_workers: !!int ""\n', "line 1: not YAML"),
    "a null character": (b"a: 1\nb: \x00\n", "line 2: not YAML"),
    "a number of 5,000 hexadecimal digits": (f"max_workers: 0x{'F' * 5000}\n", "more than 64 bits"),
    "a key twice": ("max_workers: 1\nmax_workers: 200\n", "line 2: max_workers stands already in line 1"),
    "a home of nobody": ('file_mounts: {/x.sh: "~nosuchuser/x.sh"}\n', ""),
    "a mount of 5,000 letters": (f"file_mounts: {{/x.sh: {'x' * 5000}.sh}}\n", ""),
    "an instance type of 5,000 digits": (
        "provider: {type: aws}\navailable_node_types: {a: {node_config: {InstanceType: m."
        f"{'1' * 5000}xlarge}}}}}}",
        "",
    ),
    "a long text in many aliases": (f"a: &a {'x' * 100_000}\nb: [{', '.join(['*a'] * 300)}]\n", "expand too far"),
    "a command of 20,000 installations": (f"setup_commands: ['{'pip install ' * 20_000}']\n", ""),
    "a word of 900,000 letters": (f"a: 1\n# {'a' * 900_000}\n", ""),
    "20,000 keys": ("".join(f"k{number}: 1\n" for number in range(20_000)), "more than 10000 values"),
}


@pytest.mark.parametrize("name", CLUSTERS)
def test_a_hostile_cluster_file_is_refused(name, sound, refused, capsys):
    """Each ends soon with code 2, and commands no terminal; of what is read as YAML, findings say the rest."""
    content, fragment = CLUSTERS[name]
    (sound / "c.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
    errors = refused(["cluster", "check", "c.yaml"], 2, fragment)
    assert bool(errors) == bool(fragment)


def test_keys_of_a_cluster_file_do_not_command_the_terminal(sound, monkeypatch, capsys):
    """Names that the file gives are printed as escapes."""
    monkeypatch.chdir(sound)
    (sound / "c.yaml").write_text('"\\e[31mX": 1\nprovider: {type: aws, region: "\\e[2J"}\nhead_node_type: "\\e[1m"\n')
    assert ask(["cluster", "check", "c.yaml"]) == 2
    assert "\x1b" not in capsys.readouterr().out


def _maps(folder: Path, *names: str) -> Path:
    """Maps of those names, all different."""
    folder.mkdir(exist_ok=True)
    for name in names or ("a_Tc-99m_stress.npy", "a_Tc-99m_rest.npy"):
        np.save(folder / name, np.random.default_rng(len(os.listdir(folder))).uniform(1, 100, (16, 16)))
    return folder


def _source(folder: Path) -> None:
    _maps(folder / "maps")
    (folder / "exams.csv").write_text("patient_id,exam_date,SSS,age\na,2020-01-01,nan,50\n")


_FOLDER = ["import", "folder", "maps", "out", "--pattern", "{patient}_{tracer}_{phase}.npy"]
_SPECTF_LINE = ",".join(["1", *["70"] * 44])


def _spectf(train: str, test: str) -> Spoil:
    return lambda folder: ((folder / "A").write_text(train), (folder / "B").write_text(test))


def _segments(**cells: object) -> Spoil:
    names = [f"{phase}_{number}" for phase in ("stress", "rest") for number in range(1, 18)]
    row = {"patient_id": "P1", "tracer": "Tc-99m"} | dict.fromkeys(names, 1) | cells
    return lambda folder: pd.DataFrame([row]).to_csv(folder / "s.csv", index=False)


_SEGMENTS = ["import", "segments", "s.csv", "out", "--values", "scores"]
_LAYOUT = (
    'page = [300, 200]\n[colour_bar]\nbox = [280, 20, 292, 148]\nhigh = "top"\n'
    '[[map]]\nphase = "stress"\ncentre = [60, 80]\nradius = 40\n'
)


def _layout(old: str, new: str) -> Spoil:
    return lambda folder: (_maps(folder / "maps"), (folder / "l.toml").write_text(_LAYOUT.replace(old, new)))


_PAGES = ["import", "pages", "maps", "l.toml", "out", "--pattern", "{patient}.png"]


def _import(**record: object) -> Spoil:
    """An import's folder, whose manifest and record were edited."""

    def make(folder: Path) -> None:
        part = _maps(folder / "part")
        manifest = {"patient_id": "a", "tracer": "Tc-99m", "label": 1, "stress": "a_Tc-99m_stress.npy"}
        cells = {name: record.pop(name) for name in ("exam_date", "stress", "patient_id") if name in record}
        pd.DataFrame([manifest | cells]).to_csv(part / "manifest.csv", index=False)
        (part / "import.json").write_text(json.dumps(record))

    return make


_MERGE = ["merge", "out", "one=part"]

IMPORTS: dict[str, tuple[Spoil, list[str], int, str]] = {
    "the source's ids carried": (
        _source,
        [*_FOLDER, "--exams", "exams.csv", "--carry", "patient_id"],
        2,
        "an import writes itself",
    ),
    "dates carried": (
        _source,
        [*_FOLDER, "--exams", "exams.csv", "--carry", "exam_date"],
        2,
        "an import writes itself",
    ),
    "a column carried from nowhere": (_source, [*_FOLDER, "--carry", "SSS"], 2, "name that table"),
    "a column that the segments lack": (_segments(), [*_SEGMENTS, "--carry", "colour"], 3, "no column 'colour'"),
    "negative days": (_source, [*_FOLDER, "--exam-days", "-1"], 2, "`--exam-days` must be at least 0"),
    "a named pipe as source": (lambda folder: os.mkfifo(folder / "maps"), _FOLDER, 2, "no folder and no file"),
    "a source of 300 letters": (lambda folder: None, ["import", "list", "x" * 300], 2, "no folder and no file"),
    "a link to itself in the source": (
        lambda folder: (_source(folder), (folder / "maps" / "x").symlink_to("x")),
        _FOLDER,
        3,
        "leads nowhere",
    ),
    "a formula kept as id": (
        lambda folder: _maps(folder / "maps", "=1_Tc-99m_stress.npy"),
        [*_FOLDER, "--keep-ids"],
        3,
        "file 1: the patient's id begins as a formula",
    ),
    "an invisible letter in a numbered patient": (
        lambda folder: _maps(folder / "maps", "a\u200b_Tc-99m_stress.npy"),
        _FOLDER,
        3,
        "invisible character U+200B",
    ),
    "a name that is no UTF-8": (
        lambda folder: _maps(folder / "maps", os.fsdecode(b"a\xff_Tc-99m_stress.npy")),
        _FOLDER,
        3,
        "invisible character U+DCFF",
    ),
    "a pattern of many stars": (
        lambda folder: _maps(folder / "maps", f"{'a' * 200}.npy"),
        ["import", "folder", "maps", "out", "--pattern", "{patient}*a*a*a*a*a*a*b.npy"],
        3,
        "files that do not fit the pattern: 1",
    ),
    "a pattern of 300 letters": (_source, [*_FOLDER[:-1], "{patient}" + "x" * 300], 2, "200 are the most"),
    "maps of no pixel": (_segments(), [*_SEGMENTS, "--size", "0"], 2, "`--size` must be at least 8"),
    "maps of 5,000 pixels a side": (_segments(), [*_SEGMENTS, "--size", "5000"], 2, "`--size` must be at most 1024"),
    "a kept id of 260 bytes": (_segments(patient_id="é" * 130), [*_SEGMENTS, "--keep-ids"], 3, "200 bytes"),
    "a count of 5,000 digits": (
        _spectf(_SPECTF_LINE.replace("70", "9" * 5000, 1), _SPECTF_LINE),
        ["import", "spectf", "A", "B", "out"],
        3,
        "column 2 is not a whole number",
    ),
    "the training file copied as the test": (
        _spectf(_SPECTF_LINE, _SPECTF_LINE),
        ["import", "spectf", "A", "B", "out"],
        3,
        "in development and in test",
    ),
    "SPECTF of one pixel": (
        _spectf(_SPECTF_LINE, _SPECTF_LINE),
        ["import", "spectf", "A", "B", "out", "--size", "1"],
        2,
        "`--size` must be at least 8",
    ),
    "a box that is no number": (_layout("280,", "nan,"), _PAGES, 2, "colour_bar.box"),
    "a box without an end": (_layout("148]", "inf]"), _PAGES, 2, "colour_bar.box"),
    "a box between pixels": (_layout("280,", "280.9,"), _PAGES, 2, "whole numbers"),
    "a program that is a list": (_layout("page", "program = [1]\npage"), _PAGES, 2, "must be a text"),
    "a frame that is a truth value": (_layout("radius", "frame = true\nradius"), _PAGES, 2, "frame must be"),
    "label rules that are a number": (_import(label_rules=5), _MERGE, 2, "of another kind"),
    "a key's check that is a list": (_import(key_check=[1]), _MERGE, 2, "of another kind"),
    "a day of 5,000 digits": (_import(exam_date=f"day {'1' * 5000}"), [*_MERGE, "two=part"], 3, ""),
    "a map that is a link to itself": (
        lambda folder: (_import(stress="x.npy")(folder), (folder / "part" / "x.npy").symlink_to("x.npy")),
        _MERGE,
        3,
        "",
    ),
    "a formula in an import's manifest": (_import(patient_id="=1+1"), _MERGE, 3, "begins as a formula"),
}


@pytest.mark.parametrize("name", IMPORTS)
def test_an_import_of_what_is_wrong_is_refused(name, sound, refused):
    """Each ends with its code and one reason, and leaves no folder behind."""
    make, words, code, fragment = IMPORTS[name]
    make(sound)
    refused(words, code, fragment)
    assert not (sound / "out").exists()


def test_a_link_to_an_archive_is_read_as_the_archive(sound, monkeypatch):
    """A source that is a symbolic link holds what it leads to; before, it was said to hold nothing."""
    monkeypatch.chdir(sound)
    _source(sound)
    with zipfile.ZipFile("a.zip", "w") as archive:
        for path in (sound / "maps").iterdir():
            archive.write(path, path.name)
    Path("link.zip").symlink_to("a.zip")
    assert ask(["import", "folder", "link.zip", "out", "--pattern", _FOLDER[-1]]) == 0
    assert len(pd.read_csv("out/manifest.csv")) == 1


def test_one_patient_of_two_spellings_is_one_number(sound, monkeypatch):
    """A composed and a decomposed letter in file names are one patient, also where ids are numbered anew."""
    monkeypatch.chdir(sound)
    _maps(sound / "maps", "caf\u00e9_Tc-99m_stress.npy", "cafe\u0301_Tc-99m_rest.npy")
    assert ask(_FOLDER) == 0
    assert pd.read_csv("out/manifest.csv")["patient_id"].tolist() == ["P0001"]


def test_a_score_that_is_no_number_gives_no_label(sound, monkeypatch):
    """`nan` is below no number, but it is no negative exam either."""
    monkeypatch.chdir(sound)
    _source(sound)
    assert ask([*_FOLDER, "--exams", "exams.csv", "--carry", "SSS", "--label", "SSS >= 4"]) == 0
    assert pd.read_csv("out/manifest.csv")["label"].isna().all()


@pytest.mark.parametrize("kind", ["float16", "float32"])
def test_counts_of_any_precision_keep_their_pattern(kind, sound, monkeypatch):
    """Half precision ends at 65504, below a 16-bit image's maximum; no level may overflow."""
    from PIL import Image  # noqa: PLC0415 - for this alone

    monkeypatch.chdir(sound)
    Path("maps").mkdir()
    counts = np.linspace(1, 1000, 256).reshape(16, 16).astype(kind)
    np.save("maps/a_Tc-99m_stress.npy", counts)
    assert ask(_FOLDER) == 0
    levels = np.asarray(Image.open("out/maps/P0001-Tc_stress.png"))
    assert np.abs(levels / 65535 - counts.astype(float) / 1000).max() < 1e-3


def test_names_of_files_do_not_command_the_terminal(sound, monkeypatch, capsys):
    """`import list` shows names, with their control characters as escapes."""
    monkeypatch.chdir(sound)
    _maps(sound / "maps", "a\x1b[31m\n\u202eb.npy")
    assert ask(["import", "list", "maps"]) == 0
    assert capsys.readouterr().out == "1\ta\\x1b[31m\\n\\u202eb.npy\n"


def _pipe(folder: Path) -> None:
    os.mkfifo(folder / "pipe")


PLACES: dict[str, tuple[Spoil, list[str], int, str]] = {
    "runs below a named pipe": (_pipe, ["check", "experiment.toml", "--set", "storage.runs=pipe/x"], 2, "not a folder"),
    "a demonstration in a named pipe": (_pipe, ["demo", "pipe"], 2, "pipe is not a folder"),
    "TensorBoard's files in a named pipe": (
        _pipe,
        ["run", "experiment.toml", "--runner", "inline", "--tensorboard", "pipe"],
        2,
        "does not name a folder",
    ),
    "a manifest of a name of 300 letters": (
        lambda folder: None,
        ["predict", "run", "manifest.csv", "--out", f"{'x' * 300}.csv"],
        2,
        "shorten it",
    ),
    "20,000 unknown tables": (
        lambda folder: (folder / "many.toml").write_text("".join(f"[k{number}]\n" for number in range(20_000))),
        ["check", "many.toml"],
        2,
        "more problems; correct these first",
    ),
    "a summary over a run's experiment.json": (
        lambda folder: ((folder / "x.json").write_text('{"layout": 2}'), _predictions(folder)),
        ["evaluate", "p.csv", "--format", "csv", "--json", "x.json"],
        2,
        "holds something else",
    ),
}


CALLS: dict[str, Callable[[Path], object]] = {
    "`progress` must be one of": lambda folder: polarmap.run(folder / "experiment.toml", progress="x"),
    "`runner` must be": lambda folder: polarmap.run(folder / "experiment.toml", runner="x"),
    "`--times` must be a whole number": lambda folder: polarmap.permute(folder / "experiment.toml", 1.5),
    "`--times` must be at most": lambda folder: polarmap.permute(folder / "experiment.toml", 10**30),
    "`--samples` must be a whole number": lambda folder: polarmap.instability(folder / "experiment.toml", "3"),
    "`workers` and `cluster` say": lambda folder: polarmap.plan(folder / "experiment.toml", workers=3),
    "`--workers` must be at least 1": lambda folder: polarmap.plan(folder / "experiment.toml", pilot=True, workers=0),
    "`--exam-days` must be a whole number": lambda folder: _import_from_python(folder, exam_days="3"),
    "`--format` must be one of": lambda folder: _import_from_python(folder, format="bmp"),
    "patients must be a whole number": lambda folder: polarmap.synth(folder / "new", patients=2.5),
    "seed must be a whole number": lambda folder: polarmap.synth(folder / "new", patients=2, seed=1.5),
    "tracer_mix must hold numbers": lambda folder: polarmap.synth(folder / "new", tracer_mix={"Tc-99m": "half"}),
}


def _import_from_python(folder: Path, **options: object) -> object:
    _source(folder)
    return polarmap.import_folder(
        folder / "maps", folder / "out", pattern=_FOLDER[-1], options=polarmap.ImportOptions(**options)
    )


@pytest.mark.parametrize("fragment", CALLS)
def test_a_call_from_python_is_refused_as_the_command_is(fragment, sound):
    """Values that the command's parser would refuse end in polarmap's own error, before anything is written."""
    with pytest.raises(polarmap.PolarmapError) as caught:
        CALLS[fragment](sound)
    assert fragment in str(caught.value)
    assert not (sound / "new").exists()


def test_a_log_of_a_year_without_a_date_is_read(tmp_path):
    """A file of the year 36812, as a broken clock leaves it, is a file like any other."""
    storage = LocalStorage(tmp_path)
    storage.write("log", b"x")
    try:
        os.utime(tmp_path / "log", (2**40, 2**40))
    except OSError:
        pytest.skip("this file system keeps no such year")
    found = storage.find("log")
    assert found is not None
    assert found.content == b"x"


def _predictions(folder: Path) -> None:
    scores = np.random.default_rng(0).normal(np.tile([0, 1], 20), 1)
    pd.DataFrame({"label": np.tile([0, 1], 20), "score": scores}).to_csv(folder / "p.csv", index=False)


@pytest.mark.parametrize("name", PLACES)
def test_a_place_that_cannot_be_used_is_refused(name, sound, refused):
    """Before long work, in one line; what was there stays."""
    make, words, code, fragment = PLACES[name]
    make(sound)
    before = {path.name: path.read_bytes() for path in sound.iterdir() if path.is_file()}
    refused(words, code, fragment)
    assert {path.name: path.read_bytes() for path in sound.iterdir() if path.is_file()} == before


OPTIONS: dict[str, list[str]] = {
    "the path is empty": ["check", ""],
    "argument DIR: the path is empty": ["synth", ""],
    "argument SOURCE: the path is empty": ["import", "folder", "", "out", "--pattern", "{patient}"],
    "argument RUN: the path is empty": ["report", ""],
    "`--margin` belongs to a hypothesis": ["evaluate", "p.csv", "--margin", "0.1"],
    "non-inferiority question": ["evaluate", "p.csv", "--noninferiority", ""],
    "`--tracer` belongs to `--stress`": ["predict", "run", "manifest.csv", "--out", "o.csv", "--tracer", "Tl-201"],
    "are two outputs": ["report", "run", "--figures", "f", "--patients", "p.html"],
    "`--pixels` belongs to the formats": ["export", "run", "d", "--format", "hub", "--pixels", "uint8"],
    "is the name of the schema": ["init", "polarmap.schema.json"],
    "`--html` and `--patients` name one file": [
        "check",
        "experiment.toml",
        "--html",
        "a.html",
        "--patients",
        "./a.html",
    ],
    "patients must be 1": ["synth", "--preview", "a.png", "--patients", "0"],
    "must be a new file": ["synth", "new", "--patients", "4", "--preview", "manifest.csv"],
    "--new-layout PAGE is called alone": ["import", "pages", "a", "b", "c", "--new-layout", "page.png"],
    "unrecognized arguments: \\x1b[31m": ["check", "experiment.toml", "\x1b[31m"],
}


@pytest.mark.parametrize("fragment", OPTIONS)
def test_options_that_contradict_each_other_are_refused(fragment, sound, refused):
    """What cannot be meant, or would be left out without a word, ends with code 2 or 3, before anything is written."""
    (sound / "p.csv").write_text("label,score\n" + "0,1\n1,2\n" * 20)
    before = sorted(path.name for path in sound.iterdir())
    code = 3 if "non-inferiority" in fragment else 2
    refused(OPTIONS[fragment], code, fragment)
    assert sorted(path.name for path in sound.iterdir()) == before
