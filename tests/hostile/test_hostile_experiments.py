"""Experiment files, overrides and space files that nobody should write: each with its exit code and its message."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

Spoil = Callable[[Path], None]

WHOLE = (
    ("images.size", 1024),
    ("folds.folds", 1000),
    ("folds.repeats", 1000),
    ("folds.seed", 2**32 - 1),
    ("search.candidates", 10_000),
    ("search.inner_folds", 100),
    ("search.winners", 10_000),
    ("training.epochs", 10_000),
    ("training.batch_size", 65_536),
    ("training.patience", 10_000),
    ("training.members", 100),
    ("resources.attempts", 100),
)
"""Every whole number of an experiment file with its largest value."""

OVERRIDES: list[tuple[str, str]] = [
    *((f"{key}={most + 1}", f"`{key}` must be at most {most}") for key, most in WHOLE),
    *((f"{key}={10**9}", f"`{key}` must be at most") for key, most in WHOLE if most < 10**9),
    *((f"{key}={10**30}", "more than 64 bits") for key, _ in WHOLE),
    *((f"{key}=-1", f"`{key}` must be at least") for key, _ in WHOLE),
    *((f"{key}=1.5", f"`{key}` must be a whole number") for key, _ in WHOLE),
    *((f"{key}=true", f"`{key}` must be a whole number") for key, _ in WHOLE),
    *((f"{key}=nan", f"`{key}` must be a whole number") for key, _ in WHOLE),
    *((f'{key}=""', f"`{key}` must be a whole number") for key, _ in WHOLE),
    *((f"{key}=[1]", f"`{key}` must be a whole number") for key, _ in WHOLE),
    *(
        (f"statistics.{key}={value}", f"`statistics.{key}` must lie between")
        for key in ("level", "equivalence", "specificity", "prevalence")
        for value in ("0", "1.5", "nan", "inf", "-inf", "-0.1", "1e400")
    ),
    ("statistics.level=0.5", "must lie between"),
    *(
        (f"resources.gpus_per_cell={value}", "gpus_per_cell")
        for value in ("-1", "1.5", "nan", "inf", "1e300", "200000")
    ),
    *((f"resources.cpus_per_cell={value}", "cpus_per_cell") for value in ("0", "-1", "nan", "inf", "1e300")),
    ("network.encoder_stages=0", "encoder_stages"),
    ("network.encoder_stages=-3", "encoder_stages"),
    ("network.encoder_stages=1000000000", "encoder_stages"),
    ("name=", "`name` must be"),
    ("name=..", "`name` must be"),
    ("name=../../elsewhere", "`name` must be"),
    ("name=test_openings", "`name` must be"),
    ("name=con\u202e", "printable"),
    (f"name={'n' * 65}", "`name` must be"),
    (f"name={'n' * 5000}", "at most 4096"),
    (f"cohort.manifest={'m' * 300}.csv", "`cohort.manifest` holds a name of 304 bytes"),
    (f"cohort.manifest={'m/' * 510}m.csv", "`cohort.manifest` has"),
    (f"cohort.manifest={'é' * 130}.csv", "holds a name of 264 bytes"),
    ("cohort.manifest=", "`cohort.manifest` must be a path"),
    ("cohort.manifest=5", "`cohort.manifest` must be a text"),
    (f"network.weights={'w' * 300}.pth", "`network.weights` holds a name"),
    (f"search.space={'s' * 300}.toml", "`search.space` holds a name"),
    (f"storage.runs={'r' * 300}", "`storage.runs` holds a name"),
    (f"storage.runs={'r/' * 510}", "`storage.runs` has"),
    ("storage.runs=", "`storage.runs` must be a path"),
    ("storage.runs=a\x00b", "printable"),
    ("storage.runs=s3://", "storage.runs"),
    ("storage.runs=s3://UPPER/x", "storage.runs"),
    ("storage.runs=gs://bucket/x", "storage.runs"),
    ("folds.folds=2\nrepeats=3", "on one line"),
    ("folds.folds=2\r\nrepeats=3", "on one line"),
    ("folds.folds=\x1b[31m2", "printable"),
    ("=3", "section.key=value"),
    ("folds.=3", "section.key=value"),
    (".folds=3", "section.key=value"),
    ("folds..folds=3", "section.key=value"),
    ("folds", "section.key=value"),
    ("name.x=3", "is not a section"),
    ("folds=3", "`folds` must be a table"),
    ("nothing.here=3", "unknown key `nothing`"),
    (f"{'a.' * 200}b=1", "deeper than"),
    ("folds.folds=0x" + "f" * 300, "64 bits"),
    (f"folds.folds={'[' * 2000}", "2000 characters"),
    ("folds.folds=[[[[[[[[[[1]]]]]]]]]]", "deeper than"),
    *(
        (f'statistics.subgroups=["{column}"]', "names single exams and is no group")
        for column in ("patient_id", "exam_id", "Patient_ID", " exam_id ", "stress", "rest", "exam_date", "partition")
    ),
    *(
        (f'folds.stratify=["label", "{column}"]', "names single exams and is no group")
        for column in ("patient_id", "exam_id", "PATIENT_ID", "manifest_row")
    ),
    ('statistics.subgroups=[""]', "names an empty column"),
    ('statistics.subgroups=["label"]', "it is what is predicted"),
    ('statistics.subgroups=["Tracer"]', "every estimate is of one tracer already"),
    ('statistics.subgroups=["sex", "sex"]', "name nothing twice"),
    ('folds.stratify=["label", "label"]', "name nothing twice"),
    ('statistics.endpoints={"Tc-99m" = ""}', "must say in 1 to 200 characters"),
    (f'statistics.endpoints={{"Tc-99m" = "{"e" * 270}"}}', "must say in 1 to 200 characters"),
    (f'statistics.endpoints={{"Tc-99m" = "{"e" * 2000}"}}', "2000 characters"),
    ('statistics.endpoints={"Tc-99m" = "\\u001b[31mred"}', "control character U+001B"),
    ('statistics.endpoints={"Tc-99m" = "a\\u202eb"}', "control character U+202E"),
    ('statistics.endpoints={"\\u001b" = "x"}', "control character"),
    ('statistics.comparisons=["stress-stress"]', "two different entries"),
    ('statistics.comparisons=["stress"]', "two different entries"),
    ('statistics.comparisons=["-"]', "two different entries"),
    ('statistics.noninferiority={pair = "stress-dual", margin = nan}', "margin"),
    ('statistics.noninferiority={pair = "stress-dual", margin = 0.7}', "margin"),
    ('statistics.noninferiority={pair = "a-b", margin = 0.05}', "two different entries"),
    ('cohort.inputs=["stress", "stress"]', "three different inputs"),
    ('cohort.inputs=["../../../../etc/passwd"]', "cohort.inputs"),
    ("cohort.inputs=stress", "`cohort.inputs` must be a list"),
    ("search.space=../nowhere.toml", "cannot read the space file"),
    ("search.space=/dev/zero.toml", "cannot read the space file"),
]


@pytest.mark.parametrize(
    ("override", "fragment"), OVERRIDES, ids=[text[:40].encode("unicode_escape").decode() for text, _ in OVERRIDES]
)
def test_an_impossible_setting_is_refused_before_anything_is_read(override, fragment, refused):
    """Each ends with code 2 and the rule; nothing is trained, nothing waits, nothing is taken in part."""
    refused(["check", "experiment.toml", "--set", override], 2, fragment)


def _text(content: str | bytes) -> Spoil:
    data = content.encode() if isinstance(content, str) else content
    return lambda folder: (folder / "experiment.toml").write_bytes(data) and None


def _instead(make: Callable[[Path], object]) -> Spoil:
    def spoil(folder: Path) -> None:
        (folder / "experiment.toml").unlink()
        make(folder / "experiment.toml")

    return spoil


FILES: dict[str, tuple[Spoil, str]] = {
    "a named pipe": (_instead(os.mkfifo), "a named pipe"),
    "a folder": (_instead(Path.mkdir), "a folder"),
    "a link to /dev/zero": (_instead(lambda path: path.symlink_to("/dev/zero")), "a device"),
    "a link to itself": (_instead(lambda path: path.symlink_to(path)), "symbolic links"),
    "a dangling link": (_instead(lambda path: path.symlink_to("nowhere")), "No such file"),
    "nothing": (_instead(lambda path: None), "polarmap init"),
    "empty": (_text(""), "`name` is required"),
    "blank": (_text("\n \n"), "`name` is required"),
    "a byte-order mark alone": (_text(b"\xef\xbb\xbf"), "`name` is required"),
    "Latin-1": (_text("name = 'café'".encode("latin-1")), "line 1 is not UTF-8"),
    "UTF-16": (_text('name = "x"'.encode("utf-16")), "not UTF-8"),
    "null bytes": (_text(b'name = "a\x00b"'), "not valid TOML"),
    "random bytes": (_text(bytes(range(256))), "not"),
    "20,000 open brackets": (_text("x = " + "[" * 20_000), "characters"),
    "20,000 open brackets on their lines": (_text("x = " + "[\n" * 20_000), "nested deeper"),
    "50,000 dots": (_text("a" + ".a" * 50_000 + " = 1"), "characters"),
    "2,000 dots": (_text("a" + ".a" * 2000 + " = 1"), "deeper than"),
    "9 tables in tables": (_text("[a.b.c.d.e.f.g.h.i]\nx = 1"), "deeper than"),
    "a number of 10,000 digits": (_text("x = " + "9" * 10_000), "characters"),
    "a number of 4,000 digits": (_text("x = " + "9" * 4000), "64 bits"),
    "a hexadecimal number of 4,000 digits": (_text("x = 0x" + "f" * 4000), "64 bits"),
    "a megabyte": (_text("# " + "x" * 2**20), "bytes"),
    "100,000 lines": (_text("# x\n" * 100_000), "bytes"),
    "a key twice": (_text('name = "a"\nname = "b"\n'), "not valid TOML"),
    "a table twice": (_text('[cohort]\nmanifest = "m"\n[cohort]\n'), "not valid TOML"),
    "an array of tables": (_text('name = "x"\n[[cohort]]\nmanifest = "manifest.csv"\n'), "`cohort` must be a table"),
    "a date": (_text('name = 1979-05-27\n[cohort]\nmanifest = "manifest.csv"\n'), "`name` must be a text"),
    "YAML": (_text("name: tiny\ncohort:\n  manifest: manifest.csv\n"), "not valid TOML"),
    "JSON": (_text('{"name": "tiny"}'), "not valid TOML"),
    "an unclosed text": (_text('name = "tiny'), "Unterminated"),
    "an escape in a key": (_text('"\\u001b[31m" = 1\n'), "control character U+001B"),
    "a line end in a name": (_text('name = "a\\nb"\n'), "control character U+000A"),
    "a null character in a path": (_text('name = "x"\n[cohort]\nmanifest = "a\\u0000.csv"\n'), "control character"),
    "a text of 2,000 letters": (_text(f'name = "{"x" * 2000}"\n'), "2000 characters"),
    "the space file": (_text('[head_learning_rate]\nkind = "fixed"\nvalue = 1.0\n'), "unknown key"),
    "a ZIP archive": (_text(b"PK\x03\x04" + bytes(100)), "not"),
}


@pytest.mark.parametrize("verb", ["check", "run"])
@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_no_experiment_is_refused(name, verb, sound, refused):
    """Pipes, devices, folders, bombs and other formats end with code 2 at once."""
    spoil, fragment = FILES[name]
    spoil(sound)
    words = [verb, "experiment.toml"]
    refused(words if verb == "check" else [*words, "--runner", "inline"], 2, fragment)


SPACES: dict[str, str] = {
    "nothing": "",
    "a number": "head_learning_rate = 3",
    "no kind": "[head_learning_rate]\nlow = 0.1\nhigh = 1.0",
    "an unknown kind": '[head_learning_rate]\nkind = "normal"',
    "an unknown parameter": '[learning]\nkind = "fixed"\nvalue = 1',
    "an unknown key": '[head_learning_rate]\nkind = "fixed"\nvalue = 0.1\nvalues = 3',
    "low above high": '[head_learning_rate]\nkind = "float"\nlow = 1.0\nhigh = 0.1',
    "NaN as low": '[head_learning_rate]\nkind = "float"\nlow = nan\nhigh = 0.1',
    "NaN as high": '[head_learning_rate]\nkind = "float"\nlow = 0.1\nhigh = nan',
    "infinity": '[head_learning_rate]\nkind = "float"\nlow = 0.1\nhigh = inf',
    "minus infinity": '[head_learning_rate]\nkind = "float"\nlow = -inf\nhigh = 0.1',
    "an infinite log range": '[head_learning_rate]\nkind = "float"\nlow = 0.1\nhigh = inf\nlog = true',
    "an infinite whole range": '[freeze_depth]\nkind = "int"\nlow = 0\nhigh = inf',
    "a NaN whole range": '[freeze_depth]\nkind = "int"\nlow = nan\nhigh = 3',
    "a huge whole range": '[freeze_depth]\nkind = "int"\nlow = 0\nhigh = 1000000000',
    "a half whole range": '[freeze_depth]\nkind = "int"\nlow = 0.5\nhigh = 3',
    "zero on a log scale": '[head_learning_rate]\nkind = "float"\nlow = 0.0\nhigh = 1.0\nlog = true',
    "negative rates": '[head_learning_rate]\nkind = "float"\nlow = -1.0\nhigh = 1.0',
    "a text as log": '[head_learning_rate]\nkind = "float"\nlow = 0.1\nhigh = 1.0\nlog = "yes"',
    "no choices": '[head_learning_rate]\nkind = "choice"\nchoices = []',
    "texts as choices": '[head_learning_rate]\nkind = "choice"\nchoices = ["a"]',
    "NaN as a choice": '[head_learning_rate]\nkind = "choice"\nchoices = [nan]',
    "infinity as a choice": '[head_learning_rate]\nkind = "choice"\nchoices = [0.1, inf]',
    "choices in choices": '[head_learning_rate]\nkind = "choice"\nchoices = [[0.1]]',
    "a fixed NaN": '[head_learning_rate]\nkind = "fixed"\nvalue = nan',
    "a fixed infinity": '[head_learning_rate]\nkind = "fixed"\nvalue = inf',
    "a fixed text": '[head_learning_rate]\nkind = "fixed"\nvalue = "fast"',
    "a fixed list": '[head_learning_rate]\nkind = "fixed"\nvalue = [1]',
    "dropout of 1": '[dropout]\nkind = "fixed"\nvalue = 1.0',
    "a default outside": '[head_learning_rate]\nkind = "float"\nlow = 0.1\nhigh = 1.0\ndefault = 5.0',
    "a NaN default": '[head_learning_rate]\nkind = "float"\nlow = 0.1\nhigh = 1.0\ndefault = nan',
    "a condition of nonsense": '[head_learning_rate]\nkind = "fixed"\nvalue = 0.1\nwhen = "os.system(1)"',
    "a condition on nothing": '[encoder_learning_rate]\nkind = "fixed"\nvalue = 0.1\nwhen = "dropout < 1"',
    "a condition of 2,000 letters": f'[encoder_learning_rate]\nkind = "fixed"\nvalue = 0.1\nwhen = "{"a" * 2000}"',
    "a condition with NaN": '[freeze_depth]\nkind = "int"\nlow = 0\nhigh = "stages"\n'
    '[encoder_learning_rate]\nkind = "fixed"\nvalue = 0.1\nwhen = "freeze_depth < nan"',
    "broken TOML": "[head_learning_rate",
    "a deep table": "[a.b.c.d.e.f.g.h.i.j]\nx = 1",
    "an escape": '["\\u001b[31m"]\nkind = "fixed"\nvalue = 1',
}


@pytest.mark.parametrize("name", SPACES)
def test_a_space_that_cannot_be_searched_is_refused(name, sound, refused):
    """Not-numbers, infinities, bombs and nonsense in a space file end with code 2 and the file's name."""
    (sound / "mine.toml").write_text(SPACES[name], encoding="utf-8")
    refused(["check", "experiment.toml", "--set", "search.space=mine.toml"], 2, "mine")


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/dev/zero")])
def test_a_space_or_weights_file_that_is_no_file_is_refused(make, sound, refused):
    """Neither waits for a pipe nor reads a device."""
    make(sound / "mine.toml")
    make(sound / "mine.pth")
    refused(["check", "experiment.toml", "--set", "search.space=mine.toml"], 2, "cannot read the space file")
    refused(["check", "experiment.toml", "--set", "network.weights=mine.pth"], 2, "network.weights")


COMMANDS: list[tuple[list[str], str]] = [
    (["permute", "experiment.toml", "--times", "1000000000"], "`--times` must be at most 10000"),
    (["instability", "experiment.toml", "--samples", "1000000000"], "`--samples` must be at most 10000"),
    (["run", "experiment.toml", "--tensorboard", "manifest.csv"], "`--tensorboard` does not name a folder"),
    (["check", "experiment.toml", "--html", "manifest.csv"], "manifest.csv exists and is no .html file"),
    (["check", "experiment.toml", "--html", "experiment.toml"], "experiment.toml exists and is no .html file"),
    (["evaluate", "predictions.csv", "--json", "manifest.csv"], "manifest.csv exists and is no .json file"),
    (["synth", "new", "--patients", "2", "--tracer-mix", "Tc-99m=.1,Tc-99m=.2"], "each tracer once"),
]


@pytest.mark.parametrize(
    ("words", "fragment"), COMMANDS, ids=[" ".join(words[:1] + words[2:]) for words, _ in COMMANDS]
)
def test_a_command_without_a_bound_or_over_another_file_is_refused(words, fragment, sound, refused):
    """Billions of runs are not begun, and no output takes the place of a manifest or an experiment file."""
    (sound / "predictions.csv").write_text("label,score\n" + "0,1\n1,2\n" * 20)
    before = {path: path.read_bytes() for path in sound.iterdir()}
    refused([*words, "--runner", "inline"] if words[0] in ("permute", "instability", "run") else words, 2, fragment)
    assert {path: path.read_bytes() for path in sound.iterdir()} == before


def test_a_thousand_repeats_of_too_many_folds_are_refused_at_once(refused):
    """What would work is looked for in a few repeats, not in all."""
    words = ["check", "experiment.toml", "--set", "folds.folds=10", "--set", "folds.repeats=1000"]
    refused(words, 3, "would work")
