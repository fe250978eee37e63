"""BBC-CV and the naive AUC of the best candidates, against implementations that go pair by pair."""

from dataclasses import replace

import numpy as np
import pytest

from orchestrator.statistics.selection_bias import (
    _SEED,
    ScoredCandidates,
    _bootstrap_bias_corrected,
    _naive_aucs,
)

LEVEL = 0.95


@pytest.fixture
def scored() -> ScoredCandidates:
    """Six candidates on two tracers, four cells, some patients with several exams, and tied scores."""
    generator = np.random.default_rng(3)
    rows = 64
    labels = generator.random(rows) < 0.4
    return ScoredCandidates(
        scores=np.round(generator.normal(size=(6, rows)) + 0.8 * labels, 1),
        labels=labels,
        patients=np.arange(rows) % 25,
        tracers=np.arange(rows) % 2,
        cells=np.arange(rows) // 2 % 4,
        by_auc=False,
        winners=3,
        members=4,
    )


def area(found: ScoredCandidates, scores: np.ndarray, weights: np.ndarray, tracer: int) -> float:
    """Pair by pair, within cells; NaN without a pair."""
    won = pairs = 0.0
    for one in np.flatnonzero(found.labels & (found.tracers == tracer)):
        for other in np.flatnonzero(~found.labels & (found.tracers == tracer)):
            if found.cells[one] == found.cells[other]:
                weight = weights[one] * weights[other]
                pairs += weight
                won += weight * (1.0 if scores[one] > scores[other] else 0.5 if scores[one] == scores[other] else 0.0)
    return won / pairs if pairs else float("nan")


def cost(found: ScoredCandidates, scores: np.ndarray, weights: np.ndarray) -> float:
    """The mean over tracers of -AUC, or of the log loss in which both classes count the same."""
    if found.by_auc:
        return -np.mean([area(found, scores, weights, tracer) for tracer in (0, 1)])
    losses = []
    for tracer in (0, 1):
        for label in (True, False):
            mine = [row for row in range(len(scores)) if found.tracers[row] == tracer and found.labels[row] == label]
            total = sum(weights[row] for row in mine)
            if not total:
                return float("nan")
            probability = [1 / (1 + np.exp(-scores[row] if label else scores[row])) for row in mine]
            losses.append(-sum(weights[row] * np.log(p) for row, p in zip(mine, probability, strict=True)) / total)
    return float(np.mean(losses))


def model(found: ScoredCandidates, weights: np.ndarray) -> np.ndarray | None:
    """The mean score of the members, refits of the three best in turn: best, second, third, best."""
    costs = [cost(found, scores, weights) for scores in found.scores]
    if np.isnan(costs).any():
        return None
    best = sorted(range(len(costs)), key=lambda number: costs[number])[:3]
    return np.mean([found.scores[number] for number in (*best, best[0])], axis=0)


@pytest.mark.parametrize("by_auc", [False, True])
def test_it_is_the_bootstrap_of_the_source(scored: ScoredCandidates, by_auc: bool) -> None:
    """Patients drawn with all their exams choose, the others judge, and the mean over draws is the estimate."""
    found = replace(scored, by_auc=by_auc)
    generator = np.random.default_rng(_SEED)
    times = generator.multinomial(25, np.full(25, 1 / 25), size=12)
    areas: list[list[float]] = [[], []]
    for drawn in times:
        chosen = model(found, drawn[found.patients])
        for tracer in (0, 1) if chosen is not None else ():
            judged = area(found, chosen, (drawn == 0)[found.patients], tracer)
            areas[tracer] += [] if np.isnan(judged) else [judged]

    corrected = _bootstrap_bias_corrected(found, LEVEL, draws=12)
    for tracer, one in enumerate(corrected):
        assert one is not None
        assert one.draws == len(areas[tracer]) > 8
        assert one.estimate == pytest.approx(np.mean(areas[tracer]), abs=1e-12)
        assert (one.low, one.high) == pytest.approx(np.quantile(areas[tracer], [0.025, 0.975]), abs=1e-12)


@pytest.mark.parametrize("by_auc", [False, True])
def test_the_naive_value_is_judged_by_who_chose(scored: ScoredCandidates, by_auc: bool) -> None:
    """The best candidates by all exams, on all exams, within cells and tracers."""
    found = replace(scored, by_auc=by_auc)
    everybody = np.ones(scored.labels.size)
    chosen = model(found, everybody)

    assert _naive_aucs(found) == pytest.approx([area(found, chosen, everybody, tracer) for tracer in (0, 1)], abs=1e-12)


def test_without_signal_the_naive_value_exceeds_a_half_and_the_corrected_one_less() -> None:
    """Twenty candidates of noise: the best looks good on whom it was chosen by; BBC-CV takes that off."""
    generator = np.random.default_rng(0)
    naive, corrected = [], []
    for _ in range(40):
        found = ScoredCandidates(
            scores=generator.normal(size=(20, 60)), labels=np.arange(60) < 25, patients=np.arange(60),
            tracers=np.zeros(60, np.int64), cells=np.arange(60) % 5, by_auc=True, winners=1, members=1,
        )  # fmt: skip
        naive.append(_naive_aucs(found)[0])
        one = _bootstrap_bias_corrected(found, LEVEL, draws=60)[0]
        corrected.append(one.estimate if one else np.nan)

    assert np.mean(naive) > 0.6
    assert np.mean(corrected) == pytest.approx(0.5, abs=0.03)


def test_where_nobody_is_left_to_judge_there_is_no_number(scored: ScoredCandidates) -> None:
    """One patient with all exams is in every draw: no estimate, rather than one from nobody."""
    alone = replace(scored, patients=np.zeros(scored.labels.size, dtype=np.int64))

    assert _bootstrap_bias_corrected(alone, LEVEL, draws=5) == [None, None]
