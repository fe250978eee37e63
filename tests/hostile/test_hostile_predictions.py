"""`polarmap evaluate` with tables and options that cannot be judged: each with its exit code and its message."""

import datetime
import decimal
import gzip
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from asking import ask

import polarmap
from mpi_model.errors import StatisticsError
from orchestrator.cohort.table import read_table

Change = Callable[[pd.DataFrame], pd.DataFrame]


def _sound() -> pd.DataFrame:
    random = np.random.default_rng(0)
    labels = np.tile([0, 1], 30)
    scores = labels + random.normal(0, 1, 60)
    return pd.DataFrame(
        {
            "patient_id": [f"P{number:03d}" for number in range(60)],
            "tracer": "Tc-99m",
            "sex": np.tile(["F", "F", "M", "M"], 15),
            "label": labels,
            "score": scores.round(6),
            "probability": (1 / (1 + np.exp(-scores))).round(6),
        }
    )


def _cell(name: str, value: object) -> Change:
    def change(frame: pd.DataFrame) -> pd.DataFrame:
        frame = frame.astype({name: object})
        frame.loc[4, name] = value
        return frame

    return change


def _folds(frame: pd.DataFrame, repeats: int = 1) -> pd.DataFrame:
    """Five folds of twelve patients, both classes in each."""
    parts = [frame.assign(repeat=repeat, fold=np.arange(60) // 12) for repeat in range(repeats)]
    return pd.concat(parts, ignore_index=True)


FRAMES: dict[str, tuple[Change, str]] = {
    **{
        f"label {value!r}": (_cell("label", value), "`label` must be 0 or 1: row 5 (line 6)")
        for value in ("2", "yes", "", "NaN", "-1", "0.5", "inf", "True", "1,0")
    },
    **{
        f"score {value!r}": (_cell("score", value), "`score` must be a finite number: row 5 (line 6)")
        for value in ("", "high", "nan", "inf", "-inf", "1e400", "0x1", "1;2")
    },
    **{
        f"probability {value!r}": (_cell("probability", value), "`probability` must")
        for value in ("1.01", "-0.1", "nan", "", "80%", "inf")
    },
    **{
        f"id {value!r}": (_cell("patient_id", value), "`patient_id` must not")
        for value in ("", " ", "P\u200b1", "P\u00ad1", "=1+1", "@x", "\u3164")
    },
    "an id of 300 characters": (_cell("patient_id", "P" * 300), "exceed 200 characters"),
    "an escape": (_cell("sex", "\x1b[31mF"), "control character"),
    "a null": (_cell("sex", "F\x00"), "control character"),
    "no label": (lambda frame: frame.drop(columns="label"), "a column `label`"),
    "no score": (lambda frame: frame.drop(columns=["score", "probability"]), "a column `score` or"),
    "no rows": (lambda frame: frame[:0], "no exams"),
    "a patient twice": (lambda frame: pd.concat([frame, frame[:1]]), "predicted twice"),
    "a patient twice, composed and decomposed": (
        lambda frame: frame.assign(patient_id=["caf\u00e9", "cafe\u0301", *frame["patient_id"][2:]]),
        "row",
    ),
    "a wrong partition": (lambda frame: frame.assign(partition="train"), "`partition` must be"),
    "a repeat without a fold": (lambda frame: frame.assign(repeat=0), "`repeat` without `fold`"),
    "a fold in a test": (lambda frame: frame.assign(partition="test", fold=1), "no `fold`"),
    "one class": (lambda frame: frame.assign(label=1), "both classes are needed, but 60 of 60"),
    "one fold": (lambda frame: _folds(frame).assign(fold=7), "at least two folds"),
    "folds of one class": (lambda frame: _folds(frame).assign(fold=frame["label"]), "lacks one class"),
    "a repeat without an exam": (lambda frame: _folds(frame, 2)[:-1], "in every repeat and by every member"),
    "an exam of two tracers": (
        lambda frame: _folds(frame, 2).assign(
            exam_id=[f"E{row % 60}" for row in range(120)], tracer=["Tl-201", *["Tc-99m"] * 119]
        ),
        "an exam has several tracers: rows 1, 61",
    ),
    "a patient in two folds": (
        lambda frame: _folds(frame).assign(
            exam_id=[f"E{row}" for row in range(60)], patient_id=["P1", *frame["patient_id"][1:59], "P1"]
        ),
        "a patient is in two folds",
    ),
    **{
        f"{name} of score {value!r}": (_cell("score", value), "`score` must")
        for name, value in {
            "thousands": "1,234",
            "a space for thousands": "1\u202f000",
            "a minus of typography": "\u22121.5",
            "Arabic figures": "\u0661",
            "an underscore": "1_000",
            "a complex number": "1+2j",
            "Fortran's exponent": "1d5",
            "the largest number": "1e308",
        }.items()
    },
    **{
        f"threshold {value!r}": (lambda frame, value=value: frame.assign(threshold=value), "`threshold` must")
        for value in (5, -1, "high", "")
    },
    "a threshold for scores": (
        lambda frame: frame.drop(columns="probability").assign(threshold=0.5),
        "`threshold` without `probability`",
    ),
    "a fold that is blank for some": (
        lambda frame: _folds(frame).astype({"fold": object}).assign(fold=["", *_folds(frame)["fold"][1:]]),
        "`fold` is blank beside others",
    ),
    "a blank member": (
        lambda frame: pd.concat([frame.assign(member=""), frame.assign(member="1")]),
        "`member` must not be blank",
    ),
    "60 input configurations": (
        lambda frame: pd.concat([frame.assign(inputs=f"i{number}") for number in range(60)]),
        "`inputs` has 60 different values",
    ),
    "a tracer an exam": (
        lambda frame: frame.assign(tracer=[f"t{row}" for row in range(60)]),
        "`tracer` has 60 different values",
    ),
    "stress in two capitals": (
        lambda frame: pd.concat([frame.assign(inputs="stress"), frame.assign(inputs="Stress")]),
        "predicted twice",
    ),
    "a label that turns in the second repeat": (
        lambda frame: _folds(frame, 2).assign(label=[1, *_folds(frame, 2)["label"][1:]]),
        "an exam has both labels: rows 1, 61",
    ),
    "other patients in the second repeat": (
        lambda frame: _folds(frame, 2).assign(patient_id=[f"P{row}" for row in range(120)]),
        "in every repeat and by every member",
    ),
    "a soft label": (lambda frame: frame.assign(label=frame["probability"]), "`label` must be 0 or 1"),
    "a patient on both sides": (
        lambda frame: pd.concat(
            [frame.assign(partition="development", fold=0), frame.assign(partition="test", fold=None)]
        ),
        "row",
    ),
}


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("name", FRAMES)
def test_predictions_that_cannot_be_judged_are_refused(name, kind, refused):
    """Wrong cells, columns and designs end with code 2 or 3, and name the row and the line."""
    change, fragment = FRAMES[name]
    frame = change(_sound())
    if kind == "csv":
        frame.to_csv("predictions.csv", index=False)
    else:
        frame.astype(str).replace({"nan": "", "None": ""}).to_parquet("predictions.parquet")
    code = ask(["evaluate", f"predictions.{kind}"])
    assert code in (2, 3)
    refused(["evaluate", f"predictions.{kind}"], code, fragment)


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _with_thousands(sign: str = ",") -> pd.DataFrame:
    """Whole scores on both sides of a thousand, as a spreadsheet shows them."""
    whole = (900 + 300 * _sound()["score"]).astype(int)
    return _sound().drop(columns="probability").assign(score=[f"{one:,}".replace(",", sign) for one in whole])


FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a named pipe": (_pipe, "a named pipe"),
    "a folder": (Path.mkdir, "a folder"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), "a device"),
    "nothing": (lambda path: None, "No such file"),
    "empty": (lambda path: path.write_bytes(b""), "no exams"),
    "an unclosed quote": (lambda path: path.write_text('label,score\n"1,2\n'), "line 2"),
    "a column twice": (lambda path: path.write_text("label,score,score\n1,2,3\n"), "one name"),
    "a column in two capitals": (lambda path: path.write_text("label,Label,score\n1,1,3\n0,0,1\n"), ""),
    "Latin-1": (lambda path: path.write_bytes("label,score,ä\n1,2,3\n".encode("latin-1")), "line 1"),
    "a ZIP archive": (lambda path: path.write_bytes(b"PK\x03\x04" + bytes(200)), ""),
    "UTF-16 without its mark": (lambda path: path.write_bytes("label,score\n1,2\n".encode("utf-16-le")), "not UTF-8"),
    "UTF-32": (lambda path: path.write_bytes("label,score\n1,2\n".encode("utf-32")), "not UTF-8"),
    "nothing but nulls": (lambda path: path.write_bytes(bytes(10_000)), "not UTF-8"),
    "bars for separators": (lambda path: path.write_text("label|score\n1|2\n0|1\n"), "there is one column"),
    "a page": (lambda path: path.write_text("<table>\n<tr><td>1</td></tr>\n"), "there is one column"),
    "a million columns": (lambda path: path.write_text("," * 1_000_000), "more than 1000 columns"),
    "a separator after every row": (
        lambda path: path.write_text("label,score\n" + "1,2,\n" * 100),
        "rows 1, 2, 3",
    ),
    "a comment above the header": (
        lambda path: path.write_text("# made by R\nlabel,score\n" + "1,2\n" * 9),
        "have 2 cells",
    ),
    "a gzip file": (lambda path: path.write_bytes(gzip.compress(b"label,score\n1,2\n")), "not UTF-8"),
    **{
        f"thousands parted by {sign!r}, in a file with {separator!r}": (
            lambda path, sign=sign, separator=separator: (
                _with_thousands().to_csv(path, index=False, sep=separator)
                if sign == ","
                else _with_thousands(".").to_csv(path, index=False, sep=separator)
            ),
            fragment,
        )
        for sign, fragment in ((",", "`score` must be a finite number"), (".", "part thousands"))
        for separator in ",;"
    },
    "an escape as a name": (lambda path: path.write_text("label,score,\x1b[31m\n1,2,3\n"), "column 3"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_no_table_is_refused(name, refused):
    """Neither waits nor reads without end; the reason is said."""
    make, fragment = FILES[name]
    make(Path("bad.csv"))
    code = ask(["evaluate", "bad.csv"])
    assert code in (0, 2, 3) if name == "a column in two capitals" else code in (2, 3)
    refused(["evaluate", "bad.csv"], code, fragment if code else "")


OPTIONS: list[tuple[list[str], str]] = [
    *(
        (["--level", value], "`level` must lie between")
        for value in ("0", "0.5", "1", "1.5", "-1", "nan", "inf", "1e9", "0.9999999999999999")
    ),
    *((["--prevalence", value], "`prevalence` must lie between") for value in ("0", "1", "-0.5", "nan", "inf")),
    *(
        (["--noninferiority", "a-b", "--margin", value], "non-inferiority question")
        for value in ("0", "0.5", "-1", "nan", "inf")
    ),
    *((["--noninferiority", value], "non-inferiority question") for value in ("-", "a-", "a", "a-a")),
    (["--level", "high"], "invalid float"),
    (["--margin", "wide", "--noninferiority", "a-b"], "invalid float"),
    (["--subgroup", "patient_id"], "names single exams"),
    (["--subgroup", "PATIENT_ID"], "names single exams"),
    (["--subgroup", "exam_id"], "names single exams"),
    (["--subgroup", "LABEL"], "belongs to the prediction"),
    (["--subgroup", ""], "no column"),
    (["--subgroup", "colour"], "no column `colour`"),
    (["--subgroup", "score"], "is no subgroup"),
    (["--format", "docx"], "invalid choice"),
    (["--json", "/dev/full"], "cannot write"),
    (["--json", "/nowhere/x.json"], "cannot write"),
    (["--json", "."], "cannot write"),
    (["--json", f"{'j' * 300}.json"], "cannot write"),
]


@pytest.mark.parametrize(("words", "fragment"), OPTIONS, ids=[" ".join(words)[:50] for words, _ in OPTIONS])
def test_an_option_that_cannot_be_met_is_refused(words, fragment, refused, capsys):
    """Levels, margins, prevalences and files outside their ranges end with code 2 or 3."""
    _sound().to_csv("predictions.csv", index=False)
    code = ask(["evaluate", "predictions.csv", *words])
    assert code in (2, 3)
    capsys.readouterr()
    refused(["evaluate", "predictions.csv", *words], code, fragment)


def test_common_forms_of_predictions_are_read_alike(refused, capsys):
    """Semicolons with decimal commas, capitals, a byte-order mark and other spellings say the same estimates."""
    frame = _sound()
    plain = frame.to_csv(index=False)
    european = frame.to_csv(index=False, sep=";", decimal=",")
    spelled = frame.assign(
        tracer=np.tile(["Tc-99m", "tc99m", "99mTc"], 20), sex=np.tile(["f", "Female", "m", "male"], 15)
    )
    forms = [
        plain.encode(),
        european.encode(),
        b"\xef\xbb\xbf" + plain.encode(),
        plain.encode("utf-16"),
        plain.replace("label", "Label", 1).replace("patient_id", "Patient_ID", 1).encode(),
        spelled.to_csv(index=False).encode(),
    ]
    said = []
    for form in forms:
        Path("predictions.csv").write_bytes(form)
        assert ask(["evaluate", "predictions.csv", "--format", "csv"]) == 0
        said.append(capsys.readouterr().out)
    assert len(set(said)) == 1


def test_decimal_commas_with_three_digits_are_no_thousands(refused, capsys):
    """0,123 cannot be a thousand, so a file that is rounded to three decimals is read as with points."""
    said = []
    for decimal_sign in ".,":
        _sound().round(3).to_csv("predictions.csv", index=False, sep=";", decimal=decimal_sign)
        assert ask(["evaluate", "predictions.csv", "--format", "csv"]) == 0
        said.append(capsys.readouterr().out)
    assert said[0] == said[1]


def _nested(name: str, value: object) -> Change:
    return lambda frame: frame.assign(**{name: pd.Series([value] * 60, dtype=object)})


OBJECTS: dict[str, tuple[Callable[[pd.DataFrame], object], str]] = {
    "a list of rows": (lambda frame: frame.to_dict("records"), "not a list"),
    "a series": (lambda frame: frame["score"], "not a Series"),
    "an array": (lambda frame: frame.to_numpy(), "not a ndarray"),
    "nothing": (lambda frame: None, "not a NoneType"),
    "no columns": (lambda frame: pd.DataFrame(), "no predictions"),
    "columns of two levels": (lambda frame: pd.concat({"a": frame}, axis=1), "several levels"),
    "a column twice": (lambda frame: pd.concat([frame, frame[["score"]]], axis=1), "there twice: score"),
    **{
        f"a list as {name}": (_nested(name, ["x"]), f"`{name}` must hold one plain value a cell")
        for name in ("label", "score", "patient_id", "tracer", "sex")
    },
    **{
        f"{name} as {kind}": (lambda frame, name=name, make=make: frame.assign(**{name: make(frame)}), f"`{name}` must")
        for name in ("label", "score")
        for kind, make in {
            "dates": lambda frame: pd.to_datetime(frame["label"]),
            "durations": lambda frame: pd.to_timedelta(frame["label"]),
            "complex numbers": lambda frame: frame["label"].astype(complex),
            "periods": lambda frame: pd.period_range("2020", periods=60, freq="D"),
        }.items()
    },
    "a whole number of 400 digits": (lambda frame: frame.assign(score=[10**400, *frame["score"][1:]]), "finite number"),
    "a label of 5,000 digits": (lambda frame: frame.assign(label=[10**5000, *frame["label"][1:]]), "one plain value"),
    "an id of 5,000 digits": (lambda frame: frame.assign(patient_id=[10**5000, *range(59)]), "one plain value"),
    "a number that may not be compared": (
        lambda frame: frame.assign(score=[decimal.Decimal("sNaN"), *frame["score"][1:]]),
        "one plain value",
    ),
    "an index of texts called as ours": (
        lambda frame: frame.assign(label=2).set_axis(pd.Index(["a"] * 60, name="row of the file")),
        "rows 1, 2",
    ),
    "a missing nullable label": (
        lambda frame: frame.assign(label=pd.array([None, *frame["label"][1:]], dtype="Int64")),
        "blank (1 time)",
    ),
    **{
        f"two spellings of {name}": (
            lambda frame, name=name: frame.rename(columns={name: name.title()}).assign(**{name.upper(): frame[name]}),
            f"2 columns are called `{name}` in other capitals",
        )
        for name in ("label", "score", "patient_id", "tracer", "sex")
    },
    "a list as fold": (_nested("fold", [0]), "`fold` must hold one plain value"),
    "a dictionary as member": (_nested("member", {"a": 1}), "`member` must hold one plain value"),
    "an escape as tracer": (lambda frame: frame.assign(tracer="\x1b[31m"), "no control character"),
}


@pytest.mark.parametrize("name", OBJECTS)
def test_an_object_that_is_no_table_of_predictions_is_refused(name):
    """In a notebook every wrong object, column type and cell is polarmap's own error, and no other library's."""
    make, fragment = OBJECTS[name]
    with pytest.raises(StatisticsError) as caught:
        polarmap.evaluate(make(_sound()))
    assert fragment in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"level": "0.95"},
        {"level": None},
        {"level": True},
        {"prevalence": "0.1"},
        {"noninferiority": "stress-dual"},
        {"noninferiority": ("stress-dual",)},
        {"noninferiority": ("stress-dual", "0.05")},
        {"noninferiority": (None, 0.05)},
        {"subgroups": [1]},
        {"subgroups": [None]},
        {"subgroups": 5},
        {"level": 10**5000},
    ],
    ids=lambda options: next(iter(options)),
)
def test_an_option_of_another_type_is_refused(options):
    """A text for a number, or half a question, is refused in words."""
    with pytest.raises(StatisticsError):
        polarmap.evaluate(_sound(), **options)


def _auc(predictions: object) -> tuple[object, ...]:
    row = polarmap.evaluate(predictions).summary.query("metric == 'auc' and subgroup == 'all'").iloc[0]
    return tuple(row[["estimate", "low", "high", "patients", "exams"]])


TYPES: dict[str, Change] = {
    "categories": lambda frame: frame.assign(**{name: frame[name].astype("category") for name in ("label", "sex")}),
    "truth values": lambda frame: frame.assign(label=frame["label"].astype(bool)),
    "nullable types": lambda frame: frame.convert_dtypes(),
    "Arrow's types": lambda frame: frame.convert_dtypes(dtype_backend="pyarrow"),
    "decimals": lambda frame: frame.assign(score=[decimal.Decimal(str(score)) for score in frame["score"]]),
    "an index of patients": lambda frame: frame.set_index("patient_id"),
    "an index of two levels": lambda frame: frame.set_index(["patient_id", "tracer"]),
    "other capitals": lambda frame: frame.rename(columns=str.upper),
}


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("kind", ["frame", "parquet"])
def test_other_types_of_columns_say_the_same(name, kind, tmp_path):
    """Categories, truth values, decimals and patients in the index are read as plain columns; nobody is lost."""
    plain = _sound().assign(patient_id=[f"P{row // 2}" for row in range(60)], exam_id=[f"E{row}" for row in range(60)])
    typed = TYPES[name](plain)
    if kind == "parquet":
        typed.to_parquet(tmp_path / "p.parquet")
    assert _auc(typed if kind == "frame" else tmp_path / "p.parquet") == _auc(plain)
    assert _auc(plain)[3:] == (30, 60)


@pytest.mark.parametrize("name", ["fold", "repeat", "member"])
def test_numbers_and_texts_name_one_fold(name):
    """In a notebook the fold 0 and the fold "0" are one; numbers beside dates end in no other library's error."""
    members = [_folds(_sound(), 2).assign(member=member) for member in (0, 1)] if name == "member" else []
    plain = pd.concat(members, ignore_index=True) if members else _folds(_sound(), 2)
    mixed = plain.astype({name: object})
    mixed.loc[::2, name] = mixed.loc[::2, name].map(str)
    assert _auc(mixed) == _auc(plain)
    mixed.loc[mixed[name] == 1, name] = pd.Timestamp("2026-01-01")
    mixed.loc[mixed[name] == "1", name] = pd.Timestamp("2026-01-01")
    assert _auc(mixed) == _auc(plain)


def test_long_numbers_stay_different(tmp_path):
    """Numbers of 19 digits beside a missing cell of their column do not become one float."""
    pq.write_table(
        pa.table({"exam_id": pa.array([None, 2**60, 2**60 + 1]), "label": [0, 1, 1]}), tmp_path / "p.parquet"
    )
    table = read_table(tmp_path / "p.parquet")
    assert [cells["exam_id"] for _, cells in table.rows] == ["", str(2**60), str(2**60 + 1)]


def test_a_value_stored_once_for_a_hundred_thousand_rows_is_refused(tmp_path, refused):
    """A small file that unpacks to ten gigabytes ends in a line, before the memory does."""
    repeated = pa.DictionaryArray.from_arrays(pa.array([0] * 100_000, pa.int32()), pa.array(["z" * 100_000]))
    labels = pa.array([0, 1] * 50_000)
    pq.write_table(pa.table({"label": labels, "score": labels, "note": repeated}), "bomb.parquet", compression="zstd")
    refused(["evaluate", "bomb.parquet"], 2, "too many to read")


def test_times_as_labels_are_refused_with_their_values(refused):
    """A column of dates is no label, and the message shows what it holds."""
    frame = _sound().assign(label=[datetime.date(2020, 1, 1 + row % 2) for row in range(60)])
    frame.to_parquet("p.parquet")
    refused(["evaluate", "p.parquet"], 3, "`label` must be 0 or 1", "2020-01-01")


def test_lines_are_the_files_own_below_blank_rows(refused):
    """Blank rows are left out, and counted: the line that is named is the one an editor shows."""
    header, *lines = _sound().to_csv(index=False).splitlines()
    lines[10] = lines[10].replace(",F,", ",F,x").replace(",M,", ",M,x")
    Path("p.csv").write_text("\n".join([header, *lines[:5], "", "", *lines[5:]]))
    refused(["evaluate", "p.csv"], 3, "row 13 (line 14)")


def test_ids_that_look_alike_are_reported_with_predictions():
    """`P000` and `p000` in two folds may be one patient: a notice with the rows, as for a manifest."""
    frame = _folds(_sound()).assign(patient_id=lambda table: [*table["patient_id"][:59], "p000"])
    (notice,) = polarmap.evaluate(frame).notices
    assert notice.startswith("rows 1 and 60 (lines 2 and 61) have patient ids that look alike")


def test_one_patient_alone_gets_no_calibration():
    """Sixty exams of one patient have no variance over patients: refused in rows, and no division by zero."""
    frame = _sound().assign(patient_id="P", exam_id=[f"E{row}" for row in range(60)])
    summary = polarmap.evaluate(frame).summary.set_index("metric")
    assert "one patient" in str(summary.loc["calibration_slope", "reason"])


def test_a_nullable_number_that_is_missing_is_a_group():
    """A site as pandas' `Int64`, with cells missing, is reported apart as a column of numbers is."""
    site = pd.array([None, 1] * 30, dtype="Int64")
    groups = polarmap.evaluate(_sound().assign(site=site), subgroups=["site"]).summary["subgroup"]
    assert {name for name in groups if "site" in name} == {"site=(blank)", "site=1"}


@pytest.mark.parametrize("settings", [{5: 1}, "folds.repeats=2"], ids=str)
def test_settings_of_another_type_are_refused(settings, sound):
    """Names of settings that are none are polarmap's own error in a notebook, too."""
    with pytest.raises(polarmap.PolarmapError, match="settings are"):
        polarmap.check(sound / "experiment.toml", settings)


def test_an_exam_in_two_subgroups_is_refused():
    """A site that changes from one repeat to the next is not settled by taking the first."""
    frame = _folds(_sound(), 2).assign(site=["a"] * 60 + ["b"] * 60)
    with pytest.raises(StatisticsError, match="an exam has several values of `site`"):
        polarmap.evaluate(frame, subgroups=["site"])
