"""The simulation gate in its smoke form: 200 simulations of one setting a world; `make interval-coverage` runs all."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from validation import coverage
from validation.coverage_page import as_markdown
from validation.coverage_rows import Row, merged, read_rows, write_rows
from validation.measured import Measured

VALIDATION = Path(__file__).resolve().parents[3] / "validation"
SIMULATIONS = 200


def load(name: str) -> ModuleType:
    """A module of `validation/`, which is a folder of scripts and no package."""
    specification = importlib.util.spec_from_file_location(name, VALIDATION / f"{name}.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    # Dataclasses look their module up, and the scripts import each other by name.
    sys.modules[name] = module
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def scripts() -> dict[str, ModuleType]:
    """The gate's scripts, in the order in which they import each other."""
    names = (
        *("simulated", "learners", "measured", "fold_gates", "held_out_gates", "fold_probabilities"),
        *("flat_worlds", "flat_search"),
    )
    try:
        return {name: load(name) for name in names}
    finally:
        for name in names:
            sys.modules.pop(name, None)


@pytest.fixture
def slack(scripts: dict[str, ModuleType]) -> float:
    """Three standard errors of a coverage of .95 in 200 simulations: 4.6 points."""
    return float(scripts["measured"].monte_carlo_slack(SIMULATIONS))


def rates_of(scripts: dict[str, ModuleType], learner: str, area: float, slack: float) -> dict[str, float]:
    """The rates of a learner's world with 60 patients and 5 × 10 folds, everything gated in its range."""
    gates = scripts["fold_gates"]
    world = gates.World(learner=learner, patients=60, area=area)
    found = list(gates.world_gate(world, SIMULATIONS, (3, 0), (10,)))

    assert [measured for measured in found if not measured.verdict(slack)] == []
    return {measured.method: measured.rate for measured in found}


def test_the_learners_world_accepts_the_default_and_fails_the_controls(
    scripts: dict[str, ModuleType], slack: float
) -> None:
    """With folds that share training patients the default covers; SD/√(folds · repeats) and stacked rows do not."""
    rates = rates_of(scripts, "ridge", 0.7, slack)

    assert rates["SD/√(folds · repeats)"] < 0.65
    assert rates["all rows as independent"] < 0.75


def test_networks_at_chance_are_not_found_better_than_chance(scripts: dict[str, ModuleType], slack: float) -> None:
    """Where nothing can be learned training and test noise go together; the default allows for it, rows do not."""
    rates = rates_of(scripts, "ridge", 0.5, slack)

    assert rates["within-fold logit"] > 0.90
    assert rates["SD/√(folds · repeats)"] < 0.65


def test_the_noisy_folds_world_accepts_several_exams_a_patient(scripts: dict[str, ModuleType], slack: float) -> None:
    """Fold models with noise and offsets, one to three exams a patient: covered, no false differences."""
    gates = scripts["fold_gates"]
    found = list(gates.noisy_setting_gate(gates.NOISY_SETTINGS[3], SIMULATIONS, 5000))

    assert [measured for measured in found if not measured.verdict(slack)] == []


def test_the_test_sets_world_accepts_the_default_and_fails_wald(scripts: dict[str, ModuleType], slack: float) -> None:
    """Ten and ten exams at AUC .95: the default covers, is always defined, and Wald's interval misses one in four."""
    gates = scripts["held_out_gates"]
    setting = gates.Setting(positives=10, negatives=10, area=0.95)
    default, wald = gates.fixed_model_gate(setting, 2 * SIMULATIONS, 20_000)

    assert default.verdict(slack)
    assert default.undefined == 0
    assert wald.rate < 0.80


def test_exams_of_a_patient_taken_for_patients_fail(scripts: dict[str, ModuleType], slack: float) -> None:
    """Patient-clustered intervals cover where the same interval over exams does not."""
    gates = scripts["held_out_gates"]
    clustered, strangers, decided = gates.cluster_gate(40, 0.8, SIMULATIONS, 40_001)

    assert clustered.verdict(slack)
    assert decided.verdict(slack)
    assert strangers.rate < clustered.rate - 0.05


def test_the_balanced_accuracys_coverage_is_enumerated(scripts: dict[str, ModuleType]) -> None:
    """Ten and ten exams: the exact coverage of the MOVER interval over all outcomes lies in its range."""
    measured = scripts["held_out_gates"].decision_gate(10, 0.95, 0.90)

    assert measured.verdict(0.0)
    assert measured.rate == pytest.approx(0.9427, abs=5e-5)


def test_probabilities_by_fold_are_covered_and_stacked_rows_are_not(scripts: dict[str, ModuleType]) -> None:
    """Calibration, Brier score and net benefit cover in forty cross-validations; rows as patients do not."""
    gates = scripts["fold_probabilities"]
    world = gates.World(learner="ridge", patients=60, area=0.85)
    found = list(gates.probabilities_of_world(world, 40, (5, 70_000, 0), (10,)))
    slack = scripts["measured"].monte_carlo_slack(40)

    assert [measured for measured in found if not measured.verdict(slack)] == []
    (control,) = [measured for measured in found if measured.control]
    assert control.rate < 0.75
    assert len(found) == 7


def test_what_trained_networks_do_in_the_population_is_integrated_right(scripts: dict[str, ModuleType]) -> None:
    """Two networks with Gaussian log odds: the integrals are the means over 400,000 patients drawn."""
    means, spreads = np.array([[1.2, -1.5], [0.8, -1.0]]), np.array([1.0, 1.4])
    population = scripts["fold_probabilities"]._Population.of(means, spreads, 0.3)
    generator = np.random.default_rng(0)
    labels = generator.random((2, 200_000)) < 0.3
    odds = np.where(labels, means[:, :1], means[:, 1:]) + spreads[:, None] * generator.normal(size=labels.shape)
    called = odds >= np.log(0.3 / 0.7)
    fitted = LogisticRegression(C=np.inf).fit(odds.reshape(-1, 1), labels.ravel())

    assert population.brier() == pytest.approx(((expit(odds) - labels) ** 2).mean(), abs=2e-3)
    gained = (called & labels).mean() - (called & ~labels).mean() * 0.3 / 0.7
    assert population.net_benefit(0.3) == pytest.approx(gained, abs=3e-3)
    assert population.calibration()["slope"] == pytest.approx(fitted.coef_[0, 0], abs=0.02)


def test_a_flat_search_is_honest_and_what_is_not_offered_is_not(scripts: dict[str, ModuleType]) -> None:
    """A hundred cohorts: cross-fitted choices are unbiased and covered; naive, once, and a race's survivors fail."""
    flat = scripts["flat_search"]
    found = {one.method: one for one in flat.measure(flat.SHORT[0], 100, 3)}

    assert found[flat.FLAT].accepted
    assert [found[name].accepted for name in flat.CONTROLS] == [False, False, False]
    assert found[flat.NAIVE].bias > found[flat.LEAKY].bias > found[flat.FLAT].bias


def test_the_gate_fails_where_a_control_covers_or_none_was_run() -> None:
    """A gate whose controls cannot fail would pass any interval: it returns 1 for both, and 0 for a sound one."""
    sound, control = (
        Measured(
            world="A", setting="s", method="m", quantity="coverage", rate=rate, above=0.02, width=0.2, undefined=0.0,
            truth=0.7, accepted=accepted, control=accepted[1] < 0.9, simulations=400,
        )
        for rate, accepted in ((0.95, (0.935, 0.975)), (0.5, (0.0, 0.75)))
    )  # fmt: skip

    assert coverage._verdict([sound, control]) == 0
    assert coverage._verdict([sound, replace(control, rate=0.9)]) == 1
    assert coverage._verdict([replace(sound, rate=0.85), control]) == 1
    assert coverage._verdict([sound]) == 1


def test_the_gate_fails_where_a_lower_limit_is_too_high_too_often(slack: float) -> None:
    """Six settings with lower limits at 95 % pass, at 90 % fail, though each of them is within its own range."""
    settings = [
        Measured(
            world="A: learner", setting=str(number), method="within-fold t, difference", quantity="coverage", rate=0.95,
            above=0.024, width=0.2, undefined=0.0, truth=0.0, accepted=(0.92, 0.995), control=False, simulations=400,
        )
        for number in range(6)
    ]  # fmt: skip
    broken = [replace(one, rate=0.90, above=0.048) for one in settings]

    assert all(one.verdict(slack) for one in (*settings, *broken))
    assert coverage.one_sided(settings).verdict(0.0)
    assert not coverage.one_sided(broken).verdict(0.0)


def test_the_gates_pieces_can_be_run_and_stored_apart(tmp_path: Path) -> None:
    """Names are unique, rows come back as they were written, and a piece run again replaces its own rows only."""
    names = [piece.name for piece in coverage.pieces()]
    assert len(names) == len(set(names))
    found, seconds = next(piece for piece in coverage.pieces() if piece.name == "decisions").run(1, 1)
    rows = [
        Row(piece=name, measured=one, seed=1, date="today") for name in ("clusters 0", "decisions") for one in found
    ]
    write_rows(tmp_path / "rows.csv", rows)
    read = read_rows(tmp_path / "rows.csv")
    again = merged(read, [replace(rows[0], seed=2)], names)

    assert seconds > 0
    assert coverage._verdict(found) == 1, "no control among them"
    assert [(row.piece, row.measured.setting, row.measured.accepted) for row in read] == [
        (row.piece, row.measured.setting, row.measured.accepted) for row in rows
    ]
    assert [row.measured.rate for row in read] == pytest.approx([row.measured.rate for row in rows], abs=1e-5)
    assert sorted({(row.piece, row.seed) for row in again}) == [("clusters 0", 2), ("decisions", 1)]
    assert len(again) == 1 + len(found)


def test_the_page_names_the_narrowest_rival_that_covers() -> None:
    """Two rivals, the narrower of which covers .90: the wider one is what the interval is compared with."""
    own = Measured(
        world="A: learner", setting="ridge, 60 patients, AUC 0.7, 5 × 1", method="within-fold logit",
        quantity="coverage", rate=0.95, above=0.02, width=0.22, undefined=0.0, truth=0.7, accepted=(0.935, 0.975),
        control=False, simulations=400,
    )  # fmt: skip
    rivals = [
        replace(own, method=f"{name} (rival)", rate=rate, width=width, accepted=(0.0, 1.0))
        for name, rate, width in (("narrow", 0.90, 0.10), ("wide", 0.94, 0.20))
    ]
    page = as_markdown([Row(piece="p", measured=one, seed=1, date="1 May 2026") for one in (own, *rivals)], ["p", "q"])

    assert "| ridge, 60 patients, AUC 0.7, 5 × 1 | 0.950 | 0.220 | wide | 0.940 | 0.200 | 1.10 |" in page
    assert "rival)" not in page
    assert "Not run, `python -m validation.coverage --missing` does it: q." in page
