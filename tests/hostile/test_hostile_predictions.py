"""`polarmap evaluate` with tables and options that cannot be judged: each with its exit code and its message."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from asking import ask

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
        for value in ("0", "0.5", "1", "1.5", "-1", "nan", "inf", "1e9")
    ),
    *((["--prevalence", value], "`prevalence` must lie between") for value in ("0", "1", "-0.5", "nan", "inf")),
    *(
        (["--noninferiority", "a-b", "--margin", value], "non-inferiority question")
        for value in ("0", "0.5", "-1", "nan", "inf")
    ),
    *((["--noninferiority", value], "non-inferiority question") for value in ("-", "a-", "a")),
    (["--level", "high"], "invalid float"),
    (["--margin", "wide", "--noninferiority", "a-b"], "invalid float"),
    (["--subgroup", "patient_id"], "names single exams"),
    (["--subgroup", "PATIENT_ID"], "names single exams"),
    (["--subgroup", "exam_id"], "names single exams"),
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
