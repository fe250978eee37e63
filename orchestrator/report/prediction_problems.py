"""What is wrong with predictions made elsewhere: columns, values, design; each problem a line with its rows."""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from orchestrator.cohort.identifiers import refusal
from orchestrator.cohort.spellings import counted_values
from orchestrator.experiment.settings import MOST_SUBGROUPS, NAMING_COLUMNS
from orchestrator.report.prediction_table import KNOWN, MOST_PREDICTIONS, numbers_of

_LARGEST_SCORE: Final = 1e300
"""Larger ones are nobody's, and their differences are no longer numbers."""
_ROUNDING: Final = 1e-6
"""By which a probability in single precision may miss [0, 1], or its threshold."""
_EDGE: Final = 1e-12
"""By which probabilities of 0 and 1, which have no log odds, are moved inside."""
_MOST_VALUES: Final = {"tracer": 20, "inputs": 20, "model": 20, "member": 100, "repeat": 1000}
"""Different values of a column; every pair of input configurations is compared."""
_NO_SUBGROUPS: Final = NAMING_COLUMNS | KNOWN - {"sex", "tracer"}


def column_problems(frame: pd.DataFrame, subgroups: Sequence[str]) -> Iterator[str]:
    """Columns that are missing, twice, or too many."""
    twice = sorted({str(name) for name in frame.columns[frame.columns.duplicated()]})
    if twice:
        yield f"columns are there twice: {', '.join(twice)[:80]}; delete or rename one of each"
        return
    if frame.empty:
        yield "there are no predictions"
    if len(frame) > MOST_PREDICTIONS:
        yield f"there are {len(frame)} predictions; {MOST_PREDICTIONS} can be judged in one table: divide it"
    if len(frame.columns) == 1 and frame.columns[0] not in KNOWN:
        yield "there is one column; name the columns in line 1, and separate them by commas, semicolons or tabs"
        return
    for column in subgroups:
        if column.strip().casefold() in NAMING_COLUMNS:
            yield f"`{column}` names single exams and is no subgroup; leave it out"
        elif column in _NO_SUBGROUPS:
            yield f"`{column}` belongs to the prediction and is no subgroup; leave it out"
        elif column not in frame:
            yield f"there is no column `{column[:80]}` to report apart"
        elif frame[column].nunique() > MOST_SUBGROUPS:
            yield f"`{column}` has {frame[column].nunique()} different values; {MOST_SUBGROUPS} can be reported apart"
    if "label" not in frame:
        yield "a column `label` (0 or 1) is required"
    if "score" not in frame and "probability" not in frame:
        yield "a column `score` or `probability` is required"
    if "threshold" in frame and "probability" not in frame:
        yield "`threshold` without `probability`: a decision compares the two; add `probability`, or delete `threshold`"
    if "repeat" in frame and "fold" not in frame:
        yield "`repeat` without `fold`: cross-validation needs both; add the fold in which each exam was held out"
    if "fold" in frame and "patient_id" not in frame and "exam_id" not in frame:
        yield "`fold` without `patient_id` or `exam_id`: exams of several repeats cannot be told apart; add one of them"
    for name, most in _MOST_VALUES.items():
        if name in frame and frame[name].nunique() > most:
            yield f"`{name}` has {frame[name].nunique()} different values; {most} can be judged in one table: divide it"


def value_problems(frame: pd.DataFrame) -> Iterator[str]:
    """Cells that cannot be what their column says."""
    rows = frame.index
    if "label" in frame:
        wrong = ~np.isin(numbers_of(frame["label"]), (0, 1))
        held = f"; the column holds {_held(frame, 'label')}" if wrong.any() else ""
        yield from (problem + held for problem in _rows_problem("`label` must be 0 or 1", wrong, rows))
    if "positive" in frame:
        wrong = ~np.isin(numbers_of(frame["positive"]), (0, 1))
        held = f"; the column holds {_held(frame, 'positive')}" if wrong.any() else ""
        rule = "`positive` must be 0 or 1, or true or false: the decisions that are judged; fill it in, or delete it"
        yield from (problem + held for problem in _rows_problem(rule, wrong, rows))
    for name in ("score", "probability", "threshold"):
        if name in frame:
            values = numbers_of(frame[name])
            finite = np.isfinite(values)
            found = "" if finite.all() else f"; found {_held(frame[~finite], name)}"
            rule = f"`{name}` must be a finite number"
            yield from (problem + found for problem in _rows_problem(rule, ~finite, rows))
            low, high = (-_LARGEST_SCORE, _LARGEST_SCORE) if name == "score" else (0, 1)
            outside = finite & ((values < low - _ROUNDING) | (values > high + _ROUNDING))
            yield from _rows_problem(f"`{name}` must lie in [{low:g}, {high:g}]", outside, rows)
    for name in ("patient_id", "exam_id", "tracer", "inputs", "model", "member"):
        if name in frame:
            blank = frame[name].isna() | (frame[name].astype(str).str.strip() == "")
            yield from _rows_problem(f"`{name}` must not be blank", blank.to_numpy(), rows)
    for name in ("patient_id", "exam_id"):
        if name in frame:
            refused = [bool(refusal(text)) for text in frame[name].fillna("").astype(str)]
            yield from _rows_problem(
                f"`{name}` must not be a formula, hold invisible letters or exceed 200 characters", refused, rows
            )
    if "partition" in frame:
        other = ~frame["partition"].isin(["development", "test"])
        yield from _rows_problem("`partition` must be development or test", other.to_numpy(), rows)
    elif "fold" in frame and frame["fold"].notna().any():
        # Taken as a test, these exams would leave the cross-validation without a word.
        yield from _rows_problem(
            "`fold` is blank beside others that are not; fill it in, or say in a column `partition` what is the test",
            frame["fold"].isna().to_numpy(),
            rows,
        )


def _held(frame: pd.DataFrame, name: str) -> str:
    """The values of a column with their counts, as far as they are nobody's id."""
    owners = frame["patient_id"].astype(str) if "patient_id" in frame else frame.index.astype(str)
    cells = frame[name].astype(object).where(frame[name].notna(), "").map(str)
    return counted_values(zip(owners, cells, strict=True), frozenset(owners) if "patient_id" in frame else frozenset())


def design_problems(predictions: pd.DataFrame, subgroups: Sequence[str]) -> Iterator[str]:
    """Predictions that contradict each other, or leave something out."""
    rows = predictions.index
    held_out = predictions["partition"] == "development"
    lost = (held_out & predictions["fold"].isna()).to_numpy()
    yield from _rows_problem("a development prediction needs a `fold`", lost, rows)
    yield from _rows_problem(
        "a prediction with a `fold` needs a `repeat`",
        (predictions["fold"].notna() & predictions["repeat"].isna()).to_numpy(),
        rows,
    )
    kept = (~held_out & predictions["fold"].notna()).to_numpy()
    yield from _rows_problem("a test prediction has no `fold`", kept, rows)
    key = ["model", "inputs", "tracer", "partition", "repeat", "exam_id", "member"]
    yield from _rows_problem(
        "an exam is predicted twice in the same place (name repeats with `repeat`, exams with `exam_id`)",
        predictions.duplicated(key, keep=False).to_numpy(),
        rows,
    )
    yield from _decision_problems(predictions)
    several = {"label": "both labels", "tracer": "several tracers", "patient_id": "several patients"}
    several |= {name: f"several values of `{name}`" for name in subgroups if name not in several}
    for name, words in several.items():
        verb = "belongs to" if name == "patient_id" else "has"
        found = predictions.groupby("exam_id")[name].transform("nunique")
        yield from _rows_problem(f"an exam {verb} {words}", (found > 1).to_numpy(), rows)
    # A patient on two sides, or in two folds, makes estimates too high: refused, not repaired.
    sides = predictions.groupby("patient_id")["partition"].transform("nunique")
    yield from _rows_problem("a patient is in development and in test", (sides > 1).to_numpy(), rows)
    folds = predictions.groupby(["model", "inputs", "repeat", "patient_id"])["fold"].transform("nunique")
    yield from _rows_problem(
        "a patient is in two folds of one repeat", (folds > 1).fillna(False).to_numpy(np.bool_), rows
    )
    # Averages over exams that happen to be there would be biased, so nothing is left out quietly.
    model = ["model", "inputs", "tracer", "partition"]
    places = predictions.groupby([*model, "repeat", "member"], dropna=False).ngroup()
    wanted = places.groupby([predictions[name] for name in model]).transform("nunique")
    found = predictions.groupby([*model, "exam_id"])["exam_id"].transform("size")
    yield from _rows_problem(
        "an exam is not predicted in every repeat and by every member; add what is missing, or take the exam out",
        (found < wanted).to_numpy(),
        rows,
    )


def _decision_problems(predictions: pd.DataFrame) -> Iterator[str]:
    """Decisions that are given: several for one exam, or others than those of the probabilities and thresholds."""
    if "positive" not in predictions:
        return
    rows = predictions.index
    model = predictions.groupby(["model", "inputs", "tracer", "partition", "repeat", "exam_id"], dropna=False)
    yield from _rows_problem(
        "the members of a model decide an exam differently: repeat the model's own decision in `positive`, or leave "
        "that column out, and the mean of the members' log odds decides",
        (model["positive"].transform("nunique") > 1).to_numpy(),
        rows,
    )
    odds = predictions[["probability", "threshold"]].clip(_EDGE, 1 - _EDGE).apply(logit)
    means = odds.groupby(model.ngroup()).transform("mean").apply(expit)
    # Rounded to the same digits, a probability and its threshold may have changed places.
    apart = (means["probability"] - means["threshold"]).abs() > _ROUNDING
    other = (means["probability"] >= means["threshold"]) != (predictions["positive"] == 1)
    yield from _rows_problem(
        "`positive` is not what `probability` ≥ `threshold` says; delete the column that is not meant",
        (apart & other).to_numpy(),
        rows,
    )


def _rows_problem(rule: str, wrong: Sequence[bool] | np.ndarray, rows: pd.Index) -> Iterator[str]:
    """The rule with the numbers of the rows that break it, if any.

    Args:
        rule: What must hold.
        wrong: `[N]`, true where it does not.
        rows: `[N]`, what a person calls the rows; row 1 is line 2.
    """
    places = rows[np.asarray(wrong, dtype=np.bool_)].tolist()
    if places:
        more = f" and {len(places) - 5} more" if len(places) > 5 else ""
        numbers, lines = (", ".join(str(place + header) for place in places[:5]) for header in (0, 1))
        several = "s" if len(places) > 1 else ""
        yield f"{rule}: row{several} {numbers}{more} (line{several} {lines}{more})"
