"""`polarmap evaluate`: the same summary for predictions made elsewhere.

A missing column is filled in only where that cannot improve the estimate. Without `patient_id` every exam is a patient
of its own, which is refused as soon as an exam could occur twice. Without `positive` and `threshold` nothing is
decided, except that a given probability is cut at one half.
"""

from collections.abc import Hashable, Iterable, Iterator, Sequence

import numpy as np
import pandas as pd

from mpi_model.errors import StatisticsError
from mpi_model.vocabulary import INPUTS
from orchestrator.experiment.bounds import HIGHEST_LEVEL
from orchestrator.experiment.settings import DEFAULT_SUBGROUPS, Noninferiority, StatisticsSettings
from orchestrator.report.prediction_notices import notices_of
from orchestrator.report.prediction_problems import column_problems, design_problems, value_problems
from orchestrator.report.prediction_table import KNOWN, numbers_of, with_known_names
from orchestrator.report.records import Report, RunTables
from orchestrator.report.summary import summarise

_NO_TRACER = "not stated"
_NO_INPUTS = "model"
_NO_MODEL = "not stated"
_MOST_REFUSALS = 5
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
    if not isinstance(subgroups, Iterable | None):
        raise StatisticsError(f"`subgroups` must be names of columns, not a {type(subgroups).__name__}")
    wanted = [subgroups] if isinstance(subgroups, str) else list(DEFAULT_SUBGROUPS if subgroups is None else subgroups)
    problems = list(_option_problems(level, noninferiority, prevalence, wanted))
    if problems:
        raise StatisticsError(*problems)
    # A column is found by the name it was given, and by its own: `Sex` is `sex`.
    columns = [name.strip().casefold() if name.strip().casefold() in KNOWN else name for name in wanted]
    known = with_known_names(predictions, columns)
    settings = StatisticsSettings(
        level=level,
        subgroups=tuple(dict.fromkeys(column for column in columns if column in known or subgroups is not None)),
        endpoints={},
        noninferiority=None
        if noninferiority is None
        else Noninferiority(pair=noninferiority[0], margin=noninferiority[1]),
        prevalence=prevalence,
    )
    summary = _evaluate_predictions(known, settings)
    notices = tuple(notices_of(known))
    if prevalence is not None and not summary["metric"].str.endswith("_predictive_value").any():
        notices += (f"no predictive values at {prevalence:g}: they need decisions on a test, exams without a `fold`",)
    # A report of nothing but refusals would look like a success to a script.
    if (summary["state"] == "refused").all():
        refusals = list(dict.fromkeys(map(_refused, summary.to_dict("records"))))
        more = [f"… and {len(refusals) - _MOST_REFUSALS} more of the kind"] * (len(refusals) > _MOST_REFUSALS)
        raise StatisticsError(*refusals[:_MOST_REFUSALS], *more)
    return Report(name=name, summary=summary, notices=notices)


def _refused(row: dict[Hashable, object]) -> str:
    part = "test" if row["partition"] == "test" else "cross-validation"
    return f"nothing can be judged: {row['tracer']}, {row['inputs']}, {part}: {row['reason']}"


def _option_problems(
    level: float, noninferiority: tuple[str, float] | None, prevalence: float | None, subgroups: Sequence[str]
) -> Iterator[str]:
    if not _is_number(level) or not 0.5 < level < HIGHEST_LEVEL:
        yield f"`level` must lie between 0.5 and {HIGHEST_LEVEL}, but is {_told(level)}"
    if prevalence is not None and not (_is_number(prevalence) and 0 < prevalence < 1):
        yield f"`prevalence` must lie between 0 and 1, but is {_told(prevalence)}"
    if noninferiority is not None and not _is_question(noninferiority):
        yield (
            "a non-inferiority question is a pair of inputs joined by a dash and a margin between 0 and 0.5, such as "
            f"stress-dual and 0.05, but is {_told(noninferiority)}"
        )
    if not all(isinstance(column, str) for column in subgroups):
        yield "`subgroups` must be names of columns"


def _told(value: object) -> str:
    try:
        return repr(value)[:80]
    except ValueError:  # a whole number of more digits than Python writes out
        return f"a value of type {type(value).__name__} with too many digits"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_question(asked: object) -> bool:
    """Whether a non-inferiority question has two different sides and a margin."""
    if not isinstance(asked, tuple | list) or len(asked) != 2:
        return False
    pair, margin = asked
    if not isinstance(pair, str) or not _is_number(margin) or not 0 < margin < 0.5:
        return False
    first, second = Noninferiority(pair=pair, margin=margin).sides
    return bool(first and second and first != second)


def _evaluate_predictions(frame: pd.DataFrame, settings: StatisticsSettings) -> pd.DataFrame:
    """The summary of predictions made elsewhere.

    Args:
        frame: One row a prediction. `label` (0 or 1) and `score` or `probability`; where present
            `patient_id`, `exam_id`, `tracer`, `inputs`, `model`, `partition`, `repeat`, `fold`, `member`,
            `threshold`, `positive` and columns for subgroups. The `model` of the first row is judged, the others are
            what it is compared with.
        settings: Level, endpoints, subgroups and so on.

    Raises:
        StatisticsError: The frame cannot be judged; every problem on a line, with the numbers of its rows
            (the first data row is row 1).
    """
    frame = with_known_names(frame, settings.subgroups)
    problems = list(column_problems(frame, settings.subgroups))
    # Values are looked at in columns that are there once.
    problems += [] if problems else list(value_problems(frame))
    if problems:
        raise StatisticsError(*problems)
    predictions = _completed(frame)
    problems = list(design_problems(predictions, settings.subgroups))
    if problems:
        raise StatisticsError(*problems)
    return summarise(_as_tables(predictions), settings)


def _as_tables(predictions: pd.DataFrame) -> RunTables:
    """Completed predictions as the tables of a finished run."""
    development = predictions[predictions["partition"] == "development"]
    inputs = _ordered(predictions["inputs"])
    # `design_problems` has found every exam of every model in all its repeats: no cell is unfinished.
    places = development[["partition", "repeat", "fold"]].drop_duplicates().assign(state="complete", reason="")
    cells = places.merge(pd.DataFrame({"inputs": inputs}), how="cross")
    return RunTables(
        predictions=predictions,
        exams=predictions.drop_duplicates("exam_id"),
        folds=development[["repeat", "patient_id", "fold"]].drop_duplicates(),
        cells=cells,
        inputs=inputs,
        calibrated="probability" in predictions and bool(predictions["probability"].notna().all()),
    )


def _ordered(inputs: "pd.Series[str]") -> tuple[str, ...]:
    """Stress, rest and dual as in every report, whatever the order of rows; then other names as they come."""
    return tuple(sorted(inputs.unique(), key=lambda name: INPUTS.index(name) if name in INPUTS else len(INPUTS)))


def _completed(known: pd.DataFrame) -> pd.DataFrame:
    """The frame with every column of `predictions`."""
    score = known["score"] if "score" in known else known["probability"]
    probability = known["probability"] if "probability" in known else pd.Series(np.nan, index=known.index)
    # Only probabilities have a natural threshold; a score without one is not decided on. Decisions given need none.
    natural = "probability" in known and "positive" not in known
    cut = pd.Series(0.5 if natural else np.nan, index=known.index)
    exam = known["exam_id"] if "exam_id" in known else _exam_ids(known)
    columns: dict[str, pd.Series] = {
        "label": pd.Series(numbers_of(known["label"]), index=known.index).astype("int64"),
        "score": pd.Series(numbers_of(score), index=known.index),
        # A sum in single precision may exceed 1 in its last digits.
        "probability": pd.Series(numbers_of(probability), index=known.index).clip(0, 1),
        "threshold": pd.Series(numbers_of(known.get("threshold", cut)), index=known.index).clip(0, 1),
        "exam_id": exam.astype(str),
        "patient_id": known.get("patient_id", exam).astype(str),
        "member": known.get("member", pd.Series(0, index=known.index)),
        **{name: known.get(name, pd.Series(value, index=known.index)).astype(str) for name, value in _DEFAULTS.items()},
    }
    if "positive" in known:
        columns["positive"] = pd.Series(numbers_of(known["positive"]), index=known.index)
    return known.assign(**columns).assign(**_places(known))


def _exam_ids(known: pd.DataFrame) -> pd.Series:
    """Patient and tracer as in a manifest; without patients, the row."""
    if "patient_id" not in known:
        return pd.Series(known.index.astype(str), index=known.index)
    tracer = known.get("tracer", pd.Series(_NO_TRACER, index=known.index)).astype(str)
    return known["patient_id"].astype(str) + " " + tracer


def _places(known: pd.DataFrame) -> dict[str, pd.Series]:
    """Partition, repeat and fold: with a fold it is cross-validation, without one a test.

    Folds are numbered anew in every repeat: some number them 0 to R·K − 1.
    """
    fold = _numbered(known, "fold")
    # `fold * 0` is repeat 0 where there is a fold and missing where there is none.
    repeat = _numbered(known, "repeat") if "repeat" in known else fold * 0
    partition = pd.Series(np.where(fold.notna(), "development", "test"), index=known.index)
    within = (fold.groupby(repeat, dropna=False).rank(method="dense") - 1).astype("Int64")
    return {"fold": within, "repeat": repeat.where(fold.notna()), "partition": known.get("partition", partition)}


def _numbered(known: pd.DataFrame, name: str) -> pd.Series:
    """The values of a column numbered from 0 in the order of the sorted values; missing where they are."""
    nothing = pd.Series(pd.NA, index=known.index, dtype="Int64")
    if name not in known:
        return nothing
    codes = pd.Series(pd.factorize(known[name], sort=True)[0], index=known.index, dtype="Int64")
    return codes.where(codes >= 0)
