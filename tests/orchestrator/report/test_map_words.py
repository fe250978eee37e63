"""Maps in words: the wall and the phase of a defect that was put there, and nothing where there is none."""

import numpy as np
import pandas as pd

from orchestrator.report.map_words import _defect_in_words, _Usual, maps_in_words

WALLS_OF_DEFECT = (4, 10, 15)
"""The inferior wall in the 17-segment model."""


def cohort(exams: int = 40) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Normal maps with a spread of two per cent, and a last exam without rest map."""
    generator = np.random.default_rng(3)
    names = [f"{phase}_segment_{number}" for phase in ("stress", "rest") for number in range(1, 18)]
    maps = pd.DataFrame(0.8 + 0.02 * generator.normal(size=(exams, 34)), columns=names)
    table = pd.DataFrame({"tracer": "Tc-99m", "label": 0, "partition": "development"}, index=range(exams))
    return maps, table


def test_a_defect_is_named_by_wall_phase_and_depth() -> None:
    """Half the counts in the inferior wall at stress only is a severe inferior defect at stress, none at rest."""
    maps, exams = cohort()
    maps.loc[0, [f"stress_segment_{number}" for number in WALLS_OF_DEFECT]] *= 0.5
    exams.loc[0, "label"] = 1

    assert maps_in_words(maps, exams)[0] == "severe inferior defect at stress, none at rest"


def test_a_map_like_the_others_has_no_defect_and_scale_does_not_matter() -> None:
    """A normal map is called one, also where its scanner scales it to another maximum."""
    maps, exams = cohort()
    maps.iloc[1] = maps.iloc[1].mean()
    maps.iloc[2] = maps.iloc[1] * 0.3

    assert maps_in_words(maps, exams)[1:3] == ["no defect at stress or rest"] * 2


def test_limits_are_those_documented() -> None:
    """Three, four and five standard deviations below what is usual begin mild, moderate and severe defects."""

    def said(depth: float) -> str:
        below = np.zeros(17)
        below[16] = depth
        return _defect_in_words(below)

    assert [said(depth) for depth in (2.99, 3.0, 4.0, 5.0)] == [
        "none", "mild apical defect", "moderate apical defect", "severe apical defect",
    ]  # fmt: skip


def test_nothing_is_said_without_usual_maps() -> None:
    """Nine exams without the event are no reference, and a missing map is passed over."""
    maps, exams = cohort(9)
    assert _Usual.of(maps.iloc[:, :17].to_numpy()) is None
    assert set(maps_in_words(maps, exams)) == {""}

    maps, exams = cohort()
    maps.loc[5, [name for name in maps.columns if name.startswith("rest")]] = np.nan
    assert "rest" not in maps_in_words(maps, exams)[5]
