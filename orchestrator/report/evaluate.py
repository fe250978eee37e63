"""`polarmap evaluate`: the same summary for predictions made elsewhere.

A missing column is filled in only where that cannot improve the estimate: without `patient_id` every exam is a
patient of its own, which is refused as soon as an exam could occur twice; without `threshold` nothing is decided,
except that a given probability is cut at one half.
"""

from collections.abc import Hashable, Iterator, Sequence

import numpy as np
import pandas as pd

from mpi_model.errors import StatisticsError
from orchestrator.cohort.identifiers import refusal
from orchestrator.cohort.spellings import counted_values
from orchestrator.experiment.settings import (
    DEFAULT_SUBGROUPS,
    MOST_SUBGROUPS,
    NAMING_COLUMNS,
    Noninferiority,
    StatisticsSettings,
)
from orchestrator.report.prediction_table import with_known_names
from orchestrator.report.records import Report, RunTables
from orchestrator.report.summary import summarise

_NO_TRACER = "not stated"
_NO_INPUTS = "model"
_NO_MODEL = "not stated"
_DEFAULTS = {"tracer": _NO_TRACER, "inputs": _NO_INPUTS, "model": _NO_MODEL}


def evaluation_report(
    predictions: pd.DataFrame,
    name: str,
    *,
    level: float = 0.95,
    noninferiority: tuple[str, float] | None = None,
    prevalence: float | None = None,
    subgroups: Sequence[str] | None = None,
) -> Report:
    """The report of predictions made elsewhere.

    Args:
        predictions: See `_evaluate_predictions`.
        name: Stands at the head of the report.
        level: Confidence level.
        noninferiority: A pair of input configurations, such as `stress-dual`, and a margin of AUC, both fixed before
            the predictions were made; None for no primary hypothesis.
        prevalence: At which predictive values are given; None for none.
        subgroups: Columns whose values are reported apart; `sex`, where there is such a column, when None.

    Raises:
        StatisticsError: The predictions cannot be judged, or an option is out of its range.
    """
    columns = DEFAULT_SUBGROUPS if subgroups is None else tuple(subgroups)
    question = None if noninferiority is None else Noninferiority(pair=noninferiority[0], margin=noninferiority[1])
    settings = StatisticsSettings(
        level=level,
        subgroups=tuple(column for column in columns if column in predictions or subgroups is not None),
        endpoints={},
        noninferiority=question,
        prevalence=prevalence,
    )
    problems = list(_option_problems(settings))
    if problems:
        raise StatisticsError(*problems)
    summary = _evaluate_predictions(predictions, settings)
    # A report of nothing but refusals would look like a success to a script.
    if (summary["state"] == "refused").all():
        raise StatisticsError(*dict.fromkeys(map(_refused, summary.to_dict("records"))))
    return Report(name=name, summary=summary)


def _refused(row: dict[Hashable, object]) -> str:
    part = "test" if row["partition"] == "test" else "cross-validation"
    return f"nothing can be judged: {row['tracer']}, {row['inputs']}, {part}: {row['reason']}"


def _option_problems(settings: StatisticsSettings) -> Iterator[str]:
    if not 0.5 < settings.level < 1:
        yield f"`level` must lie between 0.5 and 1, but is {settings.level}"
    if settings.prevalence is not None and not 0 < settings.prevalence < 1:
        yield f"`prevalence` must lie between 0 and 1, but is {settings.prevalence}"
    question = settings.noninferiority
    if question is not None and not (0 < question.margin < 0.5 and all(question.sides)):
        yield (
            "a non-inferiority question is a pair of inputs joined by a dash and a margin between 0 and 0.5, such as "
            f"stress-dual and 0.05, but is {question.pair!r} and {question.margin}"
        )


def _evaluate_predictions(frame: pd.DataFrame, settings: StatisticsSettings) -> pd.DataFrame:
    """The summary of predictions made elsewhere.

    Args:
        frame: One row a prediction. `label` (0 or 1) and `score` or `probability`; where present
            `patient_id`, `exam_id`, `tracer`, `inputs`, `model`, `partition`, `repeat`, `fold`, `member`,
            `threshold` and columns for subgroups. The `model` of the first row is judged, the others are what it
            is compared with.
        settings: Level, endpoints, subgroups and so on.

    Raises:
        StatisticsError: The frame cannot be judged; every problem on a line, with the numbers of its rows
            (the first data row is row 1).
    """
    frame = with_known_names(frame)
    problems = list(_column_problems(frame, settings.subgroups))
    # Values are looked at in columns that are there once.
    problems += [] if problems else list(_value_problems(frame))
    if problems:
        raise StatisticsError(*problems)
    predictions = _completed(frame)
    problems = list(_design_problems(predictions))
    if problems:
        raise StatisticsError(*problems)
    return summarise(_as_tables(predictions), settings)


def _as_tables(predictions: pd.DataFrame) -> RunTables:
    """Completed predictions as the tables of a finished run."""
    development = predictions[predictions["partition"] == "development"]
    cells = development[["inputs", "partition", "repeat", "fold"]].drop_duplicates().assign(state="complete", reason="")
    return RunTables(
        predictions=predictions,
        exams=predictions.drop_duplicates("exam_id"),
        folds=development[["repeat", "patient_id", "fold"]].drop_duplicates(),
        cells=cells,
        inputs=tuple(dict.fromkeys(predictions["inputs"])),
        calibrated="probability" in predictions and bool(predictions["probability"].notna().all()),
    )


def _column_problems(frame: pd.DataFrame, subgroups: Sequence[str]) -> Iterator[str]:
    twice = sorted({str(name) for name in frame.columns[frame.columns.duplicated()]})
    if twice:
        yield f"{len(twice)} columns are there twice: {', '.join(twice)[:80]}; delete or rename one of each"
        return
    for column in subgroups:
        if column.strip().casefold() in NAMING_COLUMNS:
            yield f"`{column}` names single exams and is no subgroup; leave it out"
        elif column not in frame:
            yield f"there is no column `{column[:80]}` to report apart"
        elif frame[column].nunique() > MOST_SUBGROUPS:
            yield f"`{column}` has {frame[column].nunique()} different values; {MOST_SUBGROUPS} can be reported apart"
    if frame.empty:
        yield "there are no predictions"
    if "label" not in frame:
        yield "a column `label` (0 or 1) is required"
    if "score" not in frame and "probability" not in frame:
        yield "a column `score` or `probability` is required"
    if "repeat" in frame and "fold" not in frame:
        yield "`repeat` without `fold`: cross-validation needs both; add the fold in which each exam was held out"
    if "fold" in frame and "patient_id" not in frame and "exam_id" not in frame:
        yield "`fold` without `patient_id` or `exam_id`: exams of several repeats cannot be told apart; add one of them"


def _value_problems(frame: pd.DataFrame) -> Iterator[str]:
    if "label" in frame:
        labels = pd.to_numeric(frame["label"], errors="coerce")
        ids = frozenset(frame["patient_id"].astype(str)) if "patient_id" in frame else frozenset()
        owners = frame["patient_id"] if "patient_id" in frame else pd.Series(range(len(frame)))
        cells = zip(map(str, owners), map(str, frame["label"]), strict=True)
        wrong = ~labels.isin([0, 1]).to_numpy()
        held = f"; the column holds {counted_values(cells, ids)}" if wrong.any() else ""
        yield from (problem + held for problem in _rows("`label` must be 0 or 1", wrong))
    for name in ("score", "probability", "threshold"):
        if name in frame:
            values = pd.to_numeric(frame[name], errors="coerce").to_numpy(np.float64)
            yield from _rows(f"`{name}` must be a finite number", ~np.isfinite(values))
    if "probability" in frame:
        values = pd.to_numeric(frame["probability"], errors="coerce").to_numpy(np.float64)
        yield from _rows("`probability` must lie in [0, 1]", np.isfinite(values) & ((values < 0) | (values > 1)))
    for name in ("patient_id", "exam_id", "tracer", "inputs", "model"):
        if name in frame:
            blank = frame[name].isna() | (frame[name].astype(str).str.strip() == "")
            yield from _rows(f"`{name}` must not be blank", blank.to_numpy())
    for name in ("patient_id", "exam_id"):
        if name in frame:
            refused = [bool(refusal(text)) for text in frame[name].fillna("").astype(str)]
            yield from _rows(f"`{name}` must not hold invisible characters, nor begin as a formula", refused)
    if "partition" in frame:
        other = ~frame["partition"].isin(["development", "test"])
        yield from _rows("`partition` must be development or test", other.to_numpy())


def _completed(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with every column of `predictions`; its index is the row number a person sees, from 1."""
    known = frame.reset_index(drop=True)
    # Row numbers in messages start at 1; the header is not counted.
    known.index += 1
    score = known["score"] if "score" in known else known["probability"]
    probability = known["probability"] if "probability" in known else pd.Series(np.nan, index=known.index)
    # Only probabilities have a natural threshold; a score without one is not decided on.
    cut = pd.Series(0.5 if "probability" in known else np.nan, index=known.index)
    exam = known["exam_id"] if "exam_id" in known else _exam_ids(known)
    columns: dict[str, pd.Series] = {
        "label": pd.to_numeric(known["label"]).astype("int64"),
        "score": pd.to_numeric(score).astype("float64"),
        "probability": pd.to_numeric(probability).astype("float64"),
        "threshold": pd.to_numeric(known.get("threshold", cut)).astype("float64"),
        "exam_id": exam.astype(str),
        "patient_id": known.get("patient_id", exam).astype(str),
        "member": known.get("member", pd.Series(0, index=known.index)),
        **{name: known.get(name, pd.Series(value, index=known.index)).astype(str) for name, value in _DEFAULTS.items()},
    }
    return known.assign(**columns).assign(**_places(known))


def _exam_ids(known: pd.DataFrame) -> pd.Series:
    """Patient and tracer as in a manifest; without patients, the row."""
    if "patient_id" not in known:
        return pd.Series(known.index.astype(str), index=known.index)
    tracer = known.get("tracer", pd.Series(_NO_TRACER, index=known.index)).astype(str)
    return known["patient_id"].astype(str) + " " + tracer


def _places(known: pd.DataFrame) -> dict[str, pd.Series]:
    """Partition, repeat and fold: with a fold it is cross-validation, without one a test."""
    fold = _numbered(known, "fold")
    # `fold * 0` is repeat 0 where there is a fold and missing where there is none.
    repeat = _numbered(known, "repeat") if "repeat" in known else fold * 0
    partition = pd.Series(np.where(fold.notna(), "development", "test"), index=known.index)
    return {"fold": fold, "repeat": repeat.where(fold.notna()), "partition": known.get("partition", partition)}


def _numbered(known: pd.DataFrame, name: str) -> pd.Series:
    """The values of a column numbered from 0 in the order of the sorted values; missing where they are."""
    nothing = pd.Series(pd.NA, index=known.index, dtype="Int64")
    if name not in known:
        return nothing
    codes = pd.Series(pd.factorize(known[name], sort=True)[0], index=known.index, dtype="Int64")
    return codes.where(codes >= 0)


def _design_problems(predictions: pd.DataFrame) -> Iterator[str]:
    held_out = predictions["partition"] == "development"
    yield from _rows("a development prediction needs a `fold`", (held_out & predictions["fold"].isna()).to_numpy())
    yield from _rows(
        "a prediction with a `fold` needs a `repeat`",
        (predictions["fold"].notna() & predictions["repeat"].isna()).to_numpy(),
    )
    yield from _rows("a test prediction has no `fold`", (~held_out & predictions["fold"].notna()).to_numpy())
    key = ["model", "inputs", "tracer", "partition", "repeat", "exam_id", "member"]
    yield from _rows(
        "an exam is predicted twice in the same place (name repeats with `repeat`, exams with `exam_id`)",
        predictions.duplicated(key, keep=False).to_numpy(),
    )
    labels = predictions.groupby("exam_id")["label"].transform("nunique")
    yield from _rows("an exam has both labels", (labels > 1).to_numpy())
    tracers = predictions.groupby("exam_id")["tracer"].transform("nunique")
    yield from _rows("an exam has several tracers", (tracers > 1).to_numpy())
    owners = predictions.groupby("exam_id")["patient_id"].transform("nunique")
    yield from _rows("an exam belongs to several patients", (owners > 1).to_numpy())
    # A patient on two sides, or in two folds, makes estimates too high: refused, not repaired.
    sides = predictions.groupby("patient_id")["partition"].transform("nunique")
    yield from _rows("a patient is in development and in test", (sides > 1).to_numpy())
    folds = predictions.groupby(["inputs", "repeat", "patient_id"])["fold"].transform("nunique")
    yield from _rows("a patient is in two folds of one repeat", (folds > 1).fillna(False).to_numpy())
    # Averages over exams that happen to be there would be biased, so nothing is left out quietly.
    model = ["model", "inputs", "tracer", "partition"]
    places = predictions.groupby([*model, "repeat", "member"], dropna=False).ngroup()
    wanted = places.groupby([predictions[name] for name in model]).transform("nunique")
    found = predictions.groupby([*model, "exam_id"])["exam_id"].transform("size")
    yield from _rows(
        "an exam is not predicted in every repeat and by every member; add what is missing, or take the exam out",
        (found < wanted).to_numpy(),
    )


def _rows(rule: str, wrong: Sequence[bool] | np.ndarray) -> Iterator[str]:
    """The rule with the numbers of the rows that break it, if any."""
    places = (np.flatnonzero(np.asarray(wrong, dtype=np.bool_)) + 1).tolist()
    if places:
        more = f" and {len(places) - 5} more" if len(places) > 5 else ""
        rows, lines = (", ".join(str(place + header) for place in places[:5]) for header in (0, 1))
        several = "s" if len(places) > 1 else ""
        yield f"{rule}: row{several} {rows}{more} (line{several} {lines}{more})"
