"""From exams to groups: what an average is of, intervals over patients, and what a figure shows of them."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from orchestrator.explanation.groups import _shares, attribution_groups, with_permuted
from orchestrator.ledger.schemas import SEGMENT_COLUMNS
from orchestrator.report.figures.attribution import attribution
from orchestrator.report.figures.drawing import house_style, rendered
from orchestrator.statistics.patient_bootstrap import bootstrap_intervals

HOSTILE = 'a<script>&"$\\frac{1}{2}$|=cmd()'


def tables(patients: int = 24, repeats: int = 2) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Exams of which the positive ones score by segment 9 of the stress map, and their predictions."""
    random = np.random.default_rng(0)
    rows, predictions = [], []
    for number in range(patients):
        label = number % 2
        exam = {"inputs": "dual", "partition": "development", "exam_id": f"exam-{number}", "label": label}
        for repeat in range(repeats):
            cell = {**exam, "repeat": repeat, "fold": number % 3}
            called = label if number % 6 < 4 else 1 - label
            decided = {"probability": 0.2 + 0.6 * called, "threshold": 0.5}
            predictions.append({**cell, "model": "network", "member": 0, "score": 0.0, **decided})
            for network in ("trained", "randomised"):
                for phase in ("stress", "rest"):
                    values = random.normal(0, 0.1, 17)
                    values[8] += 2.0 * label * (phase == "stress") * (network == "trained")
                    about = {"network": network, "patient_id": f"patient-{number}", "tracer": "Tc-99m", "phase": phase}
                    rows.append({**cell, **about, **dict(zip(SEGMENT_COLUMNS, values, strict=True)), "outside": 0.0})
    return pd.DataFrame(rows), pd.DataFrame(predictions)


def test_intervals_are_those_of_patients_drawn_again():
    """Limits agree with a plain loop that draws patients with all their exams, and not with one that draws exams."""
    random = np.random.default_rng(1)
    patients = np.repeat(np.arange(20), 5)
    values = np.repeat(random.normal(size=20), 5)[:, None] + 0.01 * random.normal(size=(100, 1))
    low, high = bootstrap_intervals(values, patients, 0.9)

    means = []
    for _ in range(4000):
        drawn = random.integers(0, 20, size=20)
        means.append(np.concatenate([values[patients == one] for one in drawn]).mean())
    due = np.quantile(means, [0.05, 0.95])
    assert [low[0], high[0]] == pytest.approx(due, abs=0.05)
    of_exams = values.std() / np.sqrt(100) * 1.645
    assert high[0] - low[0] > 3 * of_exams


def test_equal_data_give_equal_intervals():
    """The draw has one seed, and patients' names do not matter."""
    values = np.random.default_rng(2).normal(size=(30, 3))
    one, other = (bootstrap_intervals(values, np.repeat(np.arange(10) * step, 3), 0.95) for step in (1, 7))
    np.testing.assert_array_equal(one, other)


def test_shares_ignore_the_sign_and_the_size():
    """Attributions that raise and lower the score count alike, and an exam with large ones counts once."""
    values = np.array([[1.0, -3.0], [-10.0, 30.0], [0.0, 0.0]])
    np.testing.assert_allclose(_shares(values), [[0.25, 0.75], [0.25, 0.75], [0.0, 0.0]])


def test_the_segment_that_scores_leads_its_group():
    """Among positive exams segment 9 at stress has the largest share, which random weights do not have."""
    found = attribution_groups(*tables(), 0.95).to_pandas()
    mine = found[
        (found["metric"] == "share") & (found["label"] == 1) & found["outcome"].isna() & (found["region"] == "9")
    ]
    share = mine[mine["phase"] == "stress"].set_index("network")["estimate"]
    assert share["trained"] > 0.4
    assert share["randomised"] < 0.1
    alike = found[(found["metric"] == "rank_correlation") & (found["label"] == 1) & found["outcome"].isna()]
    assert alike["low"].item() < 0.3
    assert alike["exams"].item() == 12


def test_decisions_are_counted_once_a_repeat():
    """An exam that is called the same in both repeats is one exam of one patient in its outcome's group."""
    found = attribution_groups(*tables(), 0.95).to_pandas()
    one = found[(found["network"] == "trained") & (found["metric"] == "share") & (found["region"] == "all")]
    one = one[one["phase"].isna() & one["outcome"].notna()].set_index("outcome")
    assert one["exams"].to_dict() == {"TP": 8, "FN": 4, "TN": 8, "FP": 4}
    assert one.loc["FN", "state"] == "refused"
    assert one.loc["FN", "reason"] == "fewer than 5 patients"


def test_permuted_labels_stand_under_the_true_ones():
    """A network that learned permuted labels is grouped by the exams' own labels, on the same exams."""
    exams, predictions = tables()
    permuted = exams.assign(label=1 - exams["label"], fold=(exams["fold"] + 1) % 3)
    both = with_permuted(exams, permuted)
    found = attribution_groups(both, predictions, 0.95).to_pandas()
    whole = found[(found["metric"] == "attribution") & (found["region"] == "9") & (found["phase"] == "stress")]
    values = whole[whole["outcome"].isna() & (whole["label"] == 1)].set_index("network")["estimate"]
    assert values["permuted"] == pytest.approx(values["trained"])
    assert set(whole["network"]) == {"trained", "randomised", "permuted"}


def test_a_figure_names_nobody_and_shows_text_as_text(tmp_path):
    """The figure's files hold no patient and no exam; a hostile endpoint is drawn as it is written."""
    groups = attribution_groups(*tables(), 0.95).to_pandas()
    with house_style():
        drawing, other = attribution("Tc-99m", HOSTILE, groups)
        figure = rendered(drawing)
        drawing.figure.savefig(tmp_path / "figure.png", dpi=50)
    for text in (figure.svg, figure.csv, str(figure.caption), figure.description):
        assert "patient-" not in text
        assert "exam-" not in text
    assert HOSTILE in "".join(map(str, figure.caption))
    assert [one.key for one in (drawing, other)] == ["attribution-tc-99m-dual-stress", "attribution-tc-99m-dual-rest"]
    assert other.caption == drawing.caption, "both maps stand beside each other"
    assert "<script>" not in figure.svg
    assert np.asarray(Image.open(tmp_path / "figure.png")).std() > 10
    assert list(attribution("Tc-99m", "", pd.DataFrame())) == []
    nothing = groups.assign(state="refused", estimate=np.nan, low=np.nan, high=np.nan)
    assert list(attribution("Tc-99m", "", nothing)) == [], "groups that are all too small have no figure"
