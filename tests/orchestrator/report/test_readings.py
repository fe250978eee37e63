"""What an interval is allowed to say in words: exactly at the borders, and never more than the interval."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.report.readings import (
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


def limits(low: float, high: float) -> Limits:
    return Limits(low=low, high=high)


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
    """The row's own answer says that something was shown exactly where the page's verdict does."""
    found = limits(low, high)
    shown = _of_noninferiority(found, MARGIN) in (_Verdict.NOT_INFERIOR, _Verdict.INFERIOR)

    assert ("shown" in answer("stress", "dual", found, MARGIN)) is shown


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


def test_a_sentence_about_an_auc_says_only_what_is_wrong_with_it() -> None:
    """Nothing where it is above chance and known well; otherwise which of the two fails."""
    assert auc_in_words("stress", limits(0.9, 0.95)) == ""
    assert auc_in_words("stress", limits(0.6, 0.81)) == "stress: the interval of the AUC is wide"
    assert auc_in_words("stress", limits(0.4, 0.7)) == "stress: the AUC cannot be told from chance"


def test_a_sentence_says_when_not_inferior_is_lower_all_the_same() -> None:
    """Within the margin and below 0 both hold, and both are said."""
    words = noninferiority_in_words("stress", "dual", limits(-0.015, -0.005), MARGIN)

    assert words == "stress is not inferior to dual by the margin of 0.02, though its AUC is lower"
    assert difference_in_words("stress", "dual", limits(0.005, 0.015), MARGIN).endswith("and its AUC is higher")


@given(first=st.floats(-1, 1), second=st.floats(-1, 1), truth=st.floats(0, 1), margin=st.floats(0.001, 0.2))
def test_no_verdict_excludes_a_value_of_its_interval(first: float, second: float, truth: float, margin: float) -> None:
    """Every value inside the interval is compatible with what is said: a naive check of each verdict's meaning."""
    low, high = sorted((first, second))
    # Rounding may lead out of the interval by a last digit.
    value = min(max(low, low + truth * (high - low)), high)
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
