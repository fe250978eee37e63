"""What an interval is allowed to say in words: exactly at the borders, and never more than the interval."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.report.readings import (
    _FEWEST_EVENTS,
    Limits,
    _of_auc,
    _of_difference,
    _of_noninferiority,
    _Verdict,
    answer,
    auc_in_words,
    difference_in_words,
    noninferiority_in_words,
)

MARGIN = 0.02


def limits(low: float, high: float, events: int = 40, others: int = 60) -> Limits:
    return Limits(low=low, high=high, events=events, others=others)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (-0.0199, 0.05, _Verdict.NOT_INFERIOR),
        (-0.02, 0.05, _Verdict.UNKNOWN),
        (-0.1, -0.02, _Verdict.UNKNOWN),
        (-0.1, -0.0201, _Verdict.INFERIOR),
        (0.01, 0.05, _Verdict.NOT_INFERIOR),
    ],
)
def test_noninferiority_at_its_borders(low: float, high: float, verdict: _Verdict) -> None:
    """An interval that ends exactly at the margin has not passed it, on neither side."""
    assert _of_noninferiority(limits(low, high), MARGIN) is verdict


@pytest.mark.parametrize(("low", "high"), [(-0.01, 0.1), (-0.1, -0.05), (-0.1, 0.1)])
def test_the_table_and_the_page_answer_alike(low: float, high: float) -> None:
    """With nine events neither says that anything was shown, wherever the interval lies; with ten both may."""
    few, enough = (limits(low, high, events=events) for events in (_FEWEST_EVENTS - 1, _FEWEST_EVENTS))

    for found in (few, enough):
        shown = _of_noninferiority(found, MARGIN) in (_Verdict.NOT_INFERIOR, _Verdict.INFERIOR)
        assert ("shown" in answer("stress", "dual", found, MARGIN)) is shown
    assert "too few events" in answer("stress", "dual", few, MARGIN)
    assert "too few events" not in answer("stress", "dual", enough, MARGIN)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (-0.0199, 0.0199, _Verdict.EQUIVALENT),
        (-0.02, 0.01, _Verdict.UNKNOWN),
        (-0.01, 0.02, _Verdict.UNKNOWN),
        (0.0, 0.05, _Verdict.UNKNOWN),
        (0.001, 0.05, _Verdict.HIGHER),
        (-0.05, 0.0, _Verdict.UNKNOWN),
        (-0.05, -0.001, _Verdict.LOWER),
    ],
)
def test_differences_at_their_borders(low: float, high: float, verdict: _Verdict) -> None:
    """Equal needs both limits inside the zone; higher and lower need an interval without 0."""
    assert _of_difference(limits(low, high), MARGIN) is verdict


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.5, 0.9, _Verdict.UNKNOWN),
        (0.501, 0.9, _Verdict.HIGHER),
        (0.1, 0.5, _Verdict.UNKNOWN),
        (0.1, 0.499, _Verdict.LOWER),
    ],
)
def test_an_auc_at_chance(low: float, high: float, verdict: _Verdict) -> None:
    """An interval that touches 0.5 cannot be told from chance."""
    assert _of_auc(limits(low, high)) is verdict


@pytest.mark.parametrize(("events", "others"), [(_FEWEST_EVENTS - 1, 100), (100, _FEWEST_EVENTS - 1)])
def test_too_few_of_either_class_give_no_verdict(events: int, others: int) -> None:
    """However narrow the interval, nine events, or nine exams without one, say nothing; ten do."""
    few = limits(0.9, 0.95, events, others)
    enough = limits(0.9, 0.95, max(events, _FEWEST_EVENTS), max(others, _FEWEST_EVENTS))

    assert _of_auc(few) is _of_difference(few, MARGIN) is _of_noninferiority(few, MARGIN) is _Verdict.TOO_FEW
    assert _of_auc(enough) is _Verdict.HIGHER
    assert "too few events" in auc_in_words("stress", few)


def test_a_sentence_says_when_not_inferior_is_lower_all_the_same() -> None:
    """Within the margin and below 0 both hold, and both are said."""
    words = noninferiority_in_words("stress", "dual", limits(-0.015, -0.005), MARGIN)

    assert words == "stress is not inferior to dual by the margin of 0.02, though its AUC is lower"
    assert difference_in_words("stress", "dual", limits(0.005, 0.015), MARGIN).endswith("and its AUC is higher")


@given(first=st.floats(-1, 1), second=st.floats(-1, 1), truth=st.floats(0, 1), margin=st.floats(0.001, 0.2))
def test_no_verdict_excludes_a_value_of_its_interval(first: float, second: float, truth: float, margin: float) -> None:
    """Every value inside the interval is compatible with what is said: a naive check of each verdict's meaning."""
    low, high = sorted((first, second))
    value = low + truth * (high - low)
    compatible = {
        _Verdict.NOT_INFERIOR: value > -margin,
        _Verdict.INFERIOR: value < -margin,
        _Verdict.EQUIVALENT: -margin < value < margin,
        _Verdict.HIGHER: value > 0,
        _Verdict.LOWER: value < 0,
        _Verdict.UNKNOWN: True,
    }

    assert compatible[_of_noninferiority(limits(low, high), margin)]
    assert compatible[_of_difference(limits(low, high), margin)]
