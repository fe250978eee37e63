"""World C of the simulation gate: one fixed model, or two, on an independent test set."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np
from scipy import stats

from orchestrator.statistics.auc import auc_influence, auc_intervals, logit_delong_interval
from orchestrator.statistics.calibration import brier_interval, calibration_in_the_large, calibration_slope
from orchestrator.statistics.comparisons import held_out_difference, paired_delong
from orchestrator.statistics.intervals import Interval
from orchestrator.statistics.net_benefit import net_benefit
from orchestrator.statistics.proportions import Decisions, balanced_accuracy_interval
from orchestrator.statistics.resampling import rank_swap_p_value
from orchestrator.statistics.scores import Exams, Floats, PatientScores
from validation.measured import ANY, LEVEL, Measured, Range, Tally
from validation.simulated import held_out_scores

DEFAULT_RANGE: Range = (0.925, 0.985)
PERMUTATIONS = 399


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting of an independent test set."""

    positives: int
    negatives: int
    area: float
    shape: str = "normal"
    compare: bool = False
    """Whether two equally good models are compared as well, which takes longer."""

    @property
    def named(self) -> str:
        """For the table."""
        return f"{self.positives} + {self.negatives} exams, {self.shape}, AUC {self.area:.2f}"


WALD_FAILS = Setting(positives=15, negatives=35, area=0.97)
"""As many patients of a class as let DeLong's variance lead: on the logit scale it covers .95, without it .83."""
AUC_SETTINGS: tuple[Setting, ...] = (
    *(
        Setting(positives=size // 2, negatives=size // 2, area=area)
        for size in (20, 40, 60, 100)
        for area in (0.75, 0.88, 0.95, 0.98)
    ),
    *(
        Setting(positives=3 * size // 10, negatives=7 * size // 10, area=area)
        for size in (20, 40, 100)
        for area in (0.75, 0.95)
    ),
    *(Setting(positives=15, negatives=25, area=0.88, shape=shape) for shape in ("t3", "ordinal")),
    Setting(positives=5, negatives=5, area=0.88),
    Setting(positives=50, negatives=50, area=0.50),
    Setting(positives=10, negatives=10, area=0.75, compare=True),
    Setting(positives=20, negatives=20, area=0.88, compare=True),
    Setting(positives=50, negatives=50, area=0.88, compare=True),
    WALD_FAILS,
)


def fixed_model_gate(setting: Setting, simulations: int, seed: int) -> Iterator[Measured]:
    """The default interval, Wald's as a control, and the tests of a difference."""
    scores, truth = held_out_scores(
        setting.positives, setting.negatives, simulations, seed, area=setting.area, shape=setting.shape
    )
    exams = Exams.of(np.arange(scores.shape[2]) < setting.positives)
    default, wald, permutation, delong = Tally(), Tally(), Tally(), Tally()
    for one in range(simulations):
        first, second = (PatientScores(exams=exams, scores=values[one]) for values in scores)
        default.interval(partial(_default, first), truth)
        wald.interval(partial(_wald, first), truth)
        if setting.compare:
            permutation.test(partial(rank_swap_p_value, first, second, PERMUTATIONS, seed + one))
            delong.test(partial(_delong, first, second))
    hard = setting == WALD_FAILS or (setting.positives + setting.negatives == 20 and setting.area >= 0.95)
    about = ("C: test set", setting.named)
    yield default.measured(*about, "default AUC interval", "coverage", truth, DEFAULT_RANGE)
    yield wald.measured(*about, "Wald DeLong", "coverage", truth, (0.0, 0.85) if hard else ANY, control=True)
    if setting.compare:
        yield permutation.measured(*about, "rank-swap permutation", "rejections", truth, (0.0, 0.065))
        yield delong.measured(*about, "paired DeLong", "rejections", truth, (0.0, 0.065))


DECISION_SETTINGS = ((10, 0.95, 0.90), (10, 0.80, 0.70), (20, 0.95, 0.90), (50, 0.80, 0.85))
"""Exams of a class, sensitivity, specificity."""


def decision_gate(exams_of_class: int, sensitivity: float, specificity: float) -> Measured:
    """The coverage of the MOVER interval of a balanced accuracy, exact: every pair of counts with its probability."""
    exams = Exams.of(np.arange(2 * exams_of_class) < exams_of_class)
    counts = np.arange(exams_of_class + 1)
    chances = [stats.binom.pmf(counts, exams_of_class, rate) for rate in (sensitivity, specificity)]
    truth, covered, above, width = (sensitivity + specificity) / 2, 0.0, 0.0, 0.0
    for (first, chance), (second, other) in product(*(list(enumerate(one)) for one in chances)):
        right = np.concatenate([np.arange(exams_of_class) < count for count in (first, second)])
        low, high = _mover(Decisions(exams=exams, positive=right == exams.labels))
        covered += chance * other * (low <= truth <= high)
        above += chance * other * (low > truth)
        width += chance * other * (high - low)
    return Measured(
        world="C: decisions",
        setting=f"{exams_of_class} + {exams_of_class} exams, sensitivity {sensitivity}, specificity {specificity}",
        method="MOVER of Wilson, enumerated",
        quantity="coverage",
        rate=covered,
        above=above,
        width=width,
        undefined=0.0,
        truth=truth,
        accepted=(0.925, 0.975),
        control=False,
        simulations=0,
    )


CLUSTER_SETTINGS = ((40, 0.5), (40, 0.8), (100, 0.5), (100, 0.8))
"""Patients with one to three exams each, and how their scores correlate."""


def cluster_gate(patients: int, within: float, simulations: int, seed: int) -> Iterator[Measured]:
    """Several exams a patient: clustered by patient, and as if they were strangers."""
    generator = np.random.default_rng(seed)
    owners = np.repeat(np.arange(patients), np.arange(patients) % 3 + 1)
    labels = (owners % 10) < 4
    own = np.sqrt(within) * generator.normal(size=(simulations, patients))[:, owners]
    scores: Floats = own + np.sqrt(1 - within) * generator.normal(size=(simulations, owners.size))
    truth = 0.80
    scores = scores + np.sqrt(2) * stats.norm.ppf(truth) * labels
    tallies = Tally(), Tally(), Tally()
    clustered, strangers = Exams.of(labels, owners), Exams.of(labels)
    for one in scores:
        for tally, exams in zip(tallies[:2], (clustered, strangers), strict=True):
            tally.interval(partial(_logit_delong, PatientScores(exams=exams, scores=one)), truth)
        decisions = Decisions(exams=clustered, positive=one > np.sqrt(0.5) * stats.norm.ppf(truth))
        accuracy = float(stats.norm.cdf(np.sqrt(0.5) * stats.norm.ppf(truth)))
        tallies[2].interval(partial(_mover, decisions), accuracy)
    about = ("C: clusters", f"{patients} patients, 1–3 exams correlated {within:g}")
    control: Range = (0.0, 0.93)
    yield tallies[0].measured(*about, "logit DeLong, patient-clustered", "coverage", truth, (0.93, 0.965))
    yield tallies[1].measured(*about, "logit DeLong, exams as patients", "coverage", truth, control, control=True)
    yield tallies[2].measured(*about, "MOVER of Wilson, patient-clustered", "coverage", truth, (0.925, 0.975))


PAIR_SETTINGS = (
    (6, 6, 0.99, 0.95),
    (18, 28, 0.99, 0.95),
    (18, 28, 0.85, 0.75),
    (50, 50, 0.90, 0.80),
    (50, 50, 0.99, 0.97),
)
"""Exams of either class, AUCs of two models that correlate by one half."""


def difference_gate(
    positives: int, negatives: int, first: float, second: float, simulations: int, seed: int
) -> Iterator[Measured]:
    """The paired difference of two unequal models: square-and-add, and DeLong's as a control where it has no width."""
    generator = np.random.default_rng(seed)
    labels = np.arange(positives + negatives) < positives
    exams, shifts = Exams.of(labels), np.sqrt(2) * stats.norm.ppf([first, second])
    leading, control = Tally(), Tally()
    for _ in range(simulations):
        shared, *own = generator.normal(size=(3, labels.size))
        models = [
            PatientScores(exams=exams, scores=np.sqrt(0.5) * (shared + one) + shift * labels)
            for one, shift in zip(own, shifts, strict=True)
        ]
        leading.interval(partial(_difference, *models), first - second)
        control.interval(partial(_delong_difference, *models), first - second)
    about = ("C: paired difference", f"{positives} + {negatives} exams, AUC {first} and {second}")
    accepted: Range = (0.93, 1.0) if positives < 15 else (0.93, 0.985)
    near_one = first > 0.98 and 15 <= positives < 50
    yield leading.measured(*about, "MOVER of AUC intervals", "coverage", first - second, accepted)
    yield control.measured(
        *about, "paired DeLong", "coverage", first - second, (0.0, 0.92) if near_one else ANY, control=True
    )


PROBABILITY_SETTINGS = (40, 80, 200)
"""Exams of a test set whose prevalence is left to chance."""
_THRESHOLDS = (0.1, 0.3, 0.5)


def probability_gate(exams: int, simulations: int, seed: int) -> Iterator[Measured]:
    """Net benefit, Brier score, calibration: patients as they come from a population of 200,000."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(-0.6, 1.2, size=200_000)
    labels = generator.random(logits.size) < 1 / (1 + np.exp(-logits))
    probabilities = 1 / (1 + np.exp(-0.8 * logits))
    population = PatientScores(exams=Exams.of(labels), scores=probabilities)
    truths = {
        f"net benefit at {at}": net_benefit(probabilities, population.exams, at, LEVEL).model.estimate
        for at in _THRESHOLDS
    }
    truths["Brier score"] = float(((probabilities - labels) ** 2).mean())
    truths["calibration in the large"] = calibration_in_the_large(population, LEVEL).estimate
    truths["calibration slope"] = calibration_slope(population, LEVEL).estimate
    tallies = {name: Tally() for name in truths}
    for _ in range(simulations):
        rows = generator.integers(0, logits.size, size=exams)
        if not 0 < labels[rows].sum() < exams:
            continue
        sample = PatientScores(exams=Exams.of(labels[rows]), scores=probabilities[rows])
        found: dict[str, Callable[[], Interval]] = {
            "Brier score": partial(brier_interval, sample.scores, sample.exams, LEVEL),
            "calibration in the large": partial(calibration_in_the_large, sample, LEVEL),
            "calibration slope": partial(calibration_slope, sample, LEVEL),
            **{f"net benefit at {at}": partial(_net_benefit, sample, at) for at in _THRESHOLDS},
        }
        for name, compute in found.items():
            tallies[name].interval(lambda compute=compute: _limits(compute()), truths[name])  # type: ignore[misc]
    for name, tally in tallies.items():
        yield tally.measured(
            "C: probabilities",
            f"{exams} exams, prevalence left to chance",
            name,
            "coverage",
            truths[name],
            (0.92, 0.98),
        )


def _net_benefit(model: PatientScores, threshold: float) -> Interval:
    return net_benefit(model.scores, model.exams, threshold, LEVEL).model


def _difference(first: PatientScores, second: PatientScores) -> tuple[float, float]:
    return _limits(held_out_difference(first, second, LEVEL).interval)


def _delong_difference(first: PatientScores, second: PatientScores) -> tuple[float, float]:
    return _limits(paired_delong(first, second, LEVEL).interval)


def _default(model: PatientScores) -> tuple[float, float]:
    return _limits(auc_intervals(model, LEVEL)[0])


def _logit_delong(model: PatientScores) -> tuple[float, float]:
    return _limits(logit_delong_interval(model, LEVEL))


def _mover(decisions: Decisions) -> tuple[float, float]:
    return _limits(balanced_accuracy_interval(decisions, LEVEL))


def _delong(first: PatientScores, second: PatientScores) -> float:
    return paired_delong(first, second, LEVEL).p


def _wald(model: PatientScores) -> tuple[float, float]:
    influence = auc_influence(model)
    reach = float(stats.norm.ppf((1 + LEVEL) / 2) * np.sqrt(influence.variance(model.exams)))
    return influence.auc - reach, influence.auc + reach


def _limits(interval: Interval) -> tuple[float, float]:
    return interval.low, interval.high
