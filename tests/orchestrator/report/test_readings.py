"""What an interval is allowed to say in words: exactly at the borders, and never more than the interval."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.report.readings import (
    Limits,
    Verdict,
    answer,
    auc_in_words,
    difference_in_words,
    noninferiority_in_words,
    of_auc,
    of_difference,
    of_noninferiority,
)

MARGIN = 0.02


def limits(low: float, high: float) -> Limits:
    return Limits(low=low, high=high)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (-0.0199, 0.05, Verdict.NOT_INFERIOR),
        (-0.02, 0.05, Verdict.UNKNOWN),
        (-0.1, -0.02, Verdict.UNKNOWN),
        (-0.1, -0.0201, Verdict.INFERIOR),
        (0.01, 0.05, Verdict.NOT_INFERIOR),
    ],
)
def test_noninferiority_at_its_borders(low: float, high: float, verdict: Verdict) -> None:
    """An interval that ends exactly at the margin has not passed it, on neither side."""
    assert of_noninferiority(limits(low, high), MARGIN) is verdict


@pytest.mark.parametrize(("low", "high"), [(-0.01, 0.1), (-0.1, -0.05), (-0.1, 0.1)])
def test_the_table_and_the_page_answer_alike(low: float, high: float) -> None:
    """The row's own answer says that something was shown exactly where the page's verdict does."""
    found = limits(low, high)
    shown = of_noninferiority(found, MARGIN) in (Verdict.NOT_INFERIOR, Verdict.INFERIOR)

    assert ("shown" in answer("stress", "dual", found, MARGIN)) is shown


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (-0.0199, 0.0199, Verdict.EQUIVALENT),
        (-0.02, 0.01, Verdict.UNKNOWN),
        (-0.01, 0.02, Verdict.UNKNOWN),
        (0.0, 0.05, Verdict.UNKNOWN),
        (0.001, 0.05, Verdict.HIGHER),
        (-0.05, 0.0, Verdict.UNKNOWN),
        (-0.05, -0.001, Verdict.LOWER),
    ],
)
def test_differences_at_their_borders(low: float, high: float, verdict: Verdict) -> None:
    """Equal needs both limits inside the zone; higher and lower need an interval without 0."""
    assert of_difference(limits(low, high), MARGIN) is verdict


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.5, 0.9, Verdict.UNKNOWN),
        (0.501, 0.9, Verdict.HIGHER),
        (0.1, 0.5, Verdict.UNKNOWN),
        (0.1, 0.499, Verdict.LOWER),
    ],
)
def test_an_auc_at_chance(low: float, high: float, verdict: Verdict) -> None:
    """An interval that touches 0.5 cannot be told from chance."""
    assert of_auc(limits(low, high)) is verdict


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
    value = low + truth * (high - low)
    compatible = {
        Verdict.NOT_INFERIOR: value > -margin,
        Verdict.INFERIOR: value < -margin,
        Verdict.EQUIVALENT: -margin < value < margin,
        Verdict.HIGHER: value > 0,
        Verdict.LOWER: value < 0,
        Verdict.UNKNOWN: True,
    }

    assert compatible[of_noninferiority(limits(low, high), margin)]
    assert compatible[of_difference(limits(low, high), margin)]
