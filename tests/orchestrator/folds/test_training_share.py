"""The share of its training patients that a cell uses: nested, balanced, and paired with the whole."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from mpi_model.errors import ExperimentError, FoldsError
from orchestrator.cells.records import CellKey
from orchestrator.cells.tasks import cell_task
from orchestrator.experiment.file import load_experiment
from orchestrator.experiment.settings import FoldSettings
from orchestrator.folds.draws import evaluated_patients, inner_parts, training_patients
from orchestrator.folds.plan import plan_folds

SHARES = (0.2, 0.4, 0.7, 1.0)
PURPOSES = ("inner", "calibration")


@pytest.fixture(scope="module")
def exams() -> pd.DataFrame:
    """200 patients of two tracers, three in ten positive, some with two exams."""
    random = np.random.default_rng(5)
    patient = np.sort(np.r_[np.arange(200), random.integers(0, 200, 20)])
    return pd.DataFrame(
        {
            "patient_id": [f"p{one:03d}" for one in patient],
            "exam_id": [f"e{one:03d}" for one in range(len(patient))],
            "tracer": np.where(patient % 2, "Tl-201", "Tc-99m"),
            "label": (patient // 2 % 10 < 3).astype(int),
            "sex": np.where(patient % 3, "F", "M"),
            "partition": "development",
        }
    )


def planned(exams, share):
    """The plan of three folds, twice, at a share."""
    settings = FoldSettings(folds=3, repeats=2, training_share=share)
    return plan_folds(exams, {"stress": np.ones(len(exams), dtype=bool)}, settings, 2, PURPOSES)


def test_a_smaller_share_is_part_of_every_larger_one_and_folds_stay(exams):
    """A learning curve is paired: the same folds are judged, and more training patients means added ones only."""
    plans = [planned(exams, share) for share in SHARES]

    assert len({plan.digest for plan in plans}) == 1
    for repeat, fold in [(0, 0), (1, 2), (None, None)]:
        chosen = [training_patients(plan, repeat, fold) for plan in plans]
        everyone = int(chosen[-1].sum())
        assert (chosen[-1] == ~evaluated_patients(plans[0], repeat, fold)).all()
        for share, mask in zip(SHARES, chosen, strict=True):
            assert mask.sum() == round(share * everyone)
        for smaller, larger in pairwise(chosen):
            assert not (smaller & ~larger).any()
    drawn = [training_patients(planned(exams, 0.4), 0, fold) for fold in (0, 1)]
    assert (drawn[0] != drawn[1]).any()


def test_a_share_keeps_every_stratum_in_proportion(exams):
    """A point of the curve has the tracers, labels and sexes of the whole: within one patient of each stratum."""
    plan = planned(exams, 0.4)
    chosen, everyone = training_patients(plan, 0, 0), ~evaluated_patients(plan, 0, 0)
    for stratum in set(plan.strata):
        mine = np.array([one == stratum for one in plan.strata])
        assert abs((chosen & mine).sum() - 0.4 * (everyone & mine).sum()) <= 1


def test_a_cell_learns_from_its_share_alone(exams):
    """Training, search and calibration see no patient who was left out, and each is judged on all its fold."""
    whole, part = planned(exams, 1.0), planned(exams, 0.4)
    key = CellKey(inputs="stress", partition="development", repeat=1, fold=1)
    eligible = {"stress": np.ones(len(exams), dtype=bool)}
    full, less = (cell_task(key, plan, exams, eligible, 2, calibrated=True) for plan in (whole, part))

    assert less.evaluation.tolist() == full.evaluation.tolist()
    assert less.plan == full.plan
    kept = set(np.array(part.patients)[training_patients(part, 1, 1)])
    assert set(exams["patient_id"].iloc[less.training.rows]) == kept
    for splits in (less.inner, less.calibration):
        validated = np.sort(np.concatenate([split.validation.rows for split in splits]))
        assert validated.tolist() == less.training.rows.tolist()
        for split in splits:
            assert sorted([*split.training.rows, *split.validation.rows]) == less.training.rows.tolist()


def test_calibration_folds_are_not_those_of_the_search(exams):
    """Folds drawn anew: a winner that fitted one split by chance is not calibrated on it."""
    plan = planned(exams, 1.0)

    assert (inner_parts(plan, 0, 0, 2) != inner_parts(plan, 0, 0, 2, "calibration")).any()
    assert cell_task(CellKey(inputs="stress", partition="development", repeat=0, fold=0), plan, exams,
                     {"stress": np.ones(len(exams), dtype=bool)}, 2).calibration == ()  # fmt: skip


def test_a_share_too_small_for_both_classes_is_refused(exams, tiny):
    """Refused before training, with the share named; and a share outside (0, 1] is no share."""
    with pytest.raises(FoldsError, match=r"of whom 0\.02 are trained on"):
        planned(exams, 0.02)
    for share in ("0.0", "1.5"):
        with pytest.raises(ExperimentError, match="training_share` must be above 0 and at most 1"):
            load_experiment(tiny, [f"folds.training_share={share}"])
