"""From the attributions of exams to those of groups: means by class and outcome, with intervals over patients.

The share of a region is its part of all attribution, without signs: |a| / Σ|a|. The sum is over the segments (and what
lies outside of them) of all phases of an exam. Shares are formed exam by exam and averaged then. A group of fewer than
five patients is refused, so that nothing here shows a single patient's map.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
from scipy import stats

from orchestrator.cells.records import NETWORK
from orchestrator.cohort.segments import TERRITORIES
from orchestrator.ledger.schemas import GROUP_ATTRIBUTIONS, SEGMENT_COLUMNS
from orchestrator.statistics.members import Model
from orchestrator.statistics.patient_bootstrap import bootstrap_intervals
from orchestrator.statistics.scores import Codes, Flags, Floats

# Without the fold: each exam is held out once a repeat, and a permutation has other folds.
_EXAM: Final = ["inputs", "partition", "repeat", "exam_id"]
_FEWEST: Final = 5
"""Patients of a group, at least."""
_COLUMNS: Final = [*SEGMENT_COLUMNS, "outside"]
_REGIONS: Final[Mapping[str, tuple[int, ...]]] = {
    **{str(number): (number - 1,) for number in range(1, 18)},
    **{name: tuple(number - 1 for number in numbers) for name, numbers in TERRITORIES.items()},
    "outside": (17,),
    "all": tuple(range(18)),
}
"""Each region's places among `_COLUMNS`; `all` is the whole map, so that its share is the phase's."""
_OUTCOMES: Final = {(1, True): "TP", (1, False): "FN", (0, True): "FP", (0, False): "TN"}


def attribution_groups(exams: pd.DataFrame, predictions: pd.DataFrame, level: float) -> pa.Table:
    """Average the attributions of exams.

    Args:
        exams: `orchestrator.ledger.schemas.EXAM_ATTRIBUTIONS`; each exam in each repeat counts once.
        predictions: The run's table, for the outcomes.
        level: Of the intervals.

    Returns:
        The columns of `orchestrator.ledger.schemas.GROUP_ATTRIBUTIONS`; `label` and `outcome` are null where a row is
        not about one class or outcome, `phase` where it is about both.
    """
    frame = exams.merge(_outcomes(predictions), on=_EXAM, how="left")
    rows: list[dict[str, object]] = []
    for (inputs, partition, tracer), found in frame.groupby(["inputs", "partition", "tracer"], sort=False):
        cell = {"inputs": inputs, "partition": partition, "tracer": tracer, "level": level}
        trained = _Nets(found[found["network"] == "trained"])
        for network, mine in found.groupby("network", sort=False):
            nets = _Nets(mine)
            for group, chosen in nets.groups():
                about = {**cell, "network": network, **group}
                rows += _rows(nets.phases, nets.values[chosen], nets.who[chosen], about)
                if network != "trained" and nets.is_paired_with(trained):
                    rows += _correlation(nets.values[chosen], trained.values[chosen], nets.who[chosen], about)
    return pa.Table.from_pylist(rows, schema=GROUP_ATTRIBUTIONS)


def with_permuted(exams: pd.DataFrame, permuted: pd.DataFrame) -> pd.DataFrame:
    """Beside the attributions of a run those of the same exams by networks that learned permuted labels.

    Args:
        exams: The run's.
        permuted: The permutation's, whose labels are not the exams' own.

    Returns:
        Both; the permutation's as `network` = `permuted`, under the exams' true labels.
    """
    labels = exams.drop_duplicates("exam_id").set_index("exam_id")["label"]
    mine = permuted[(permuted["network"] == "trained") & permuted["exam_id"].isin(labels.index)]
    mine = mine.assign(network="permuted", label=mine["exam_id"].map(labels).astype("int64"))
    return pd.concat([exams, mine], ignore_index=True)


class _Nets:
    """The net attributions of some exams, one row an exam and repeat."""

    def __init__(self, rows: pd.DataFrame) -> None:
        self.phases: Sequence[str] = list(dict.fromkeys(rows["phase"]))
        rows = rows.sort_values(["repeat", "exam_id"], kind="stable")
        # Every exam has a row a phase, so the parts agree row by row.
        parts = [rows[rows["phase"] == phase].reset_index(drop=True) for phase in self.phases]
        self.exams = parts[0] if parts else rows
        self.values: Floats = np.concatenate([part[_COLUMNS].to_numpy(np.float64) for part in parts or [rows]], axis=1)
        names = ("patient_id", "exam_id")
        self.who = np.stack([pd.factorize(self.exams[name], sort=True)[0] for name in names], axis=1)

    def groups(self) -> Iterator[tuple[dict[str, object], Flags]]:
        """The classes and outcomes with the rows that belong to them; every group, also one without exams."""
        label, outcome = self.exams["label"].to_numpy(), self.exams["outcome"].to_numpy(object)
        for value in (0, 1):
            yield {"label": value, "outcome": None}, label == value
        for (value, _), name in _OUTCOMES.items():
            yield {"label": value, "outcome": name}, outcome == name

    def is_paired_with(self, other: "_Nets") -> bool:
        """Whether both are about the same exams of the same cells."""
        return self.exams[_EXAM].equals(other.exams[_EXAM])


def _outcomes(predictions: pd.DataFrame) -> pd.DataFrame:
    """What became of every prediction of the model: `_EXAM` and `outcome`."""
    mine = predictions[predictions["model"] == NETWORK].sort_values(["member", *_EXAM], kind="stable")
    members = mine["member"].nunique()
    grids = [mine[name].to_numpy(np.float64).reshape(members, -1) for name in ("score", "probability", "threshold")]
    model = Model.of(*grids)
    first = mine.iloc[: grids[0].shape[1]]
    positive = model.probabilities >= model.thresholds
    names = [_OUTCOMES[int(label), bool(call)] for label, call in zip(first["label"], positive, strict=True)]
    return first[_EXAM].assign(outcome=names)


def _rows(phases: Sequence[str], values: Floats, who: Codes, about: Mapping[str, object]) -> list[dict[str, object]]:
    """The rows of a group: shares and net attributions of every region of every phase."""
    width = len(_COLUMNS)
    # With two phases, their regions together as well: the territory's share of both maps.
    shown: list[tuple[str | None, tuple[int, ...]]] = [(phase, (place,)) for place, phase in enumerate(phases)]
    if len(phases) > 1:
        shown.append((None, tuple(range(len(phases)))))
    regions = np.zeros((len(shown) * len(_REGIONS), len(phases) * width))
    names: list[dict[str, object]] = []
    for phase, places in shown:
        for region, columns in _REGIONS.items():
            regions[len(names), [place * width + column for place in places for column in columns]] = 1
            names.append({"phase": phase, "region": region})
    summed = [np.einsum("nk,rk->nr", part, regions) for part in (_shares(values), values)]
    found = []
    for metric, columns_of_metric in zip(("share", "attribution"), summed, strict=True):
        estimates = _estimates(columns_of_metric, who, about)
        found += [{**about, "metric": metric, **name, **one} for name, one in zip(names, estimates, strict=True)]
    return found


def _shares(values: Floats) -> Floats:
    """Each net attribution's share of its exam's, without sign; `[N, K]`, rows add up to 1, or to 0 without any."""
    size = np.abs(values).sum(axis=1, keepdims=True)
    found: Floats = np.abs(values) / np.where(size > 0, size, 1.0)
    return found


def _correlation(values: Floats, trained: Floats, who: Codes, about: Mapping[str, object]) -> list[dict[str, object]]:
    """How much shares are ordered like those of the trained network: Spearman's correlation, exam by exam."""
    ranks = [stats.rankdata(_shares(part), axis=1) for part in (values, trained)]
    centred = [part - part.mean(axis=1, keepdims=True) for part in ranks]
    norms = np.sqrt((centred[0] ** 2).sum(axis=1) * (centred[1] ** 2).sum(axis=1))
    correlations = (centred[0] * centred[1]).sum(axis=1) / np.where(norms > 0, norms, 1.0)
    (estimate,) = _estimates(correlations[:, None], who, about)
    return [{**about, "metric": "rank_correlation", "phase": None, "region": "all", **estimate}]


def _estimates(values: Floats, who: Codes, about: Mapping[str, object]) -> list[dict[str, object]]:
    """The mean of every column `[N, K]` with its interval, or why there is none.

    Args:
        values: A row an exam and repeat.
        who: `[N, 2]`, the row's patient and exam.
        about: The group.
    """
    count = dict(zip(("patients", "exams"), (int(np.unique(column).size) for column in who.T), strict=True))
    if count["patients"] < _FEWEST:
        refused = {"state": "refused", "reason": f"fewer than {_FEWEST} patients"}
        return [{**count, **refused, "estimate": None, "low": None, "high": None}] * values.shape[1]
    lows, highs = bootstrap_intervals(values, who[:, 0], float(str(about["level"])))
    return [
        {**count, "state": "ok", "reason": "", "estimate": estimate, "low": low, "high": high}
        for estimate, low, high in zip(values.mean(axis=0).tolist(), lows.tolist(), highs.tolist(), strict=True)
    ]
