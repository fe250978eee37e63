"""Worlds A and B of the simulation gate: cross-validation by a learner, and by noisy fold models."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from scipy import stats

from orchestrator.statistics.auc import delong_variance
from orchestrator.statistics.comparisons import above_chance, corrected_resampled_t, cross_validated_difference
from orchestrator.statistics.cross_validation import fold_aucs, inflated_logit_interval, nadeau_bengio_interval
from orchestrator.statistics.intervals import Interval
from orchestrator.statistics.scores import Exams, FoldScores, PatientScores
from validation.measured import ANY, CHUNK, LEVEL, Measured, Range, Tally
from validation.simulated import Design, FoldWorld, learner, noisy_folds

LEARNER_SETTINGS: tuple[tuple[Design, float, int], ...] = (
    (Design(patients=40), 0.80, 10),
    (Design(patients=40), 0.96, 10),
    (Design(patients=40, prevalence=0.3, folds=4), 0.96, 10),
    (Design(patients=40), 0.95, 40),
    (Design(patients=100), 0.80, 10),
    (Design(patients=100, prevalence=0.3), 0.80, 10),
    (Design(patients=100, folds=10, repeats=10), 0.80, 10),
    (Design(patients=100), 0.90, 40),
    (Design(patients=300), 0.80, 10),
    (Design(patients=60), 0.50, 10),
)
"""Design, AUC of the best model, number of features."""


def learner_gate(
    simulations: int, settings: Sequence[tuple[Design, float, int]] = LEARNER_SETTINGS, first_seed: int = 0
) -> Iterator[Measured]:
    """World A: a learner, whose folds share training patients."""
    for number, (design, area, features) in enumerate(settings):
        chance = area == 0.5

        def make(count: int, seed: int, setting: tuple[Design, float, int] = (design, area, features)) -> FoldWorld:
            return learner(setting[0], count, seed, area=setting[1], features=setting[2])

        yield from _fold_settings(
            "A: learner",
            f"{_named(design)}, {features} features, best AUC {area:.2f}",
            make,
            simulations,
            first_seed + 1000 + 100 * number,
            interval=_interval_range(chance, features),
            rejections=(0.0, 0.03) if chance else (0.0, 0.08) if design.patients <= 40 else (0.0, 0.07),
        )


NOISY_SETTINGS: tuple[tuple[Design, float, float, int, float], ...] = (
    (Design(patients=40), 0.0, 0.0, 1, 0.0),
    (Design(patients=100), 0.5, 0.5, 1, 0.0),
    (Design(patients=100), 1.0, 0.5, 1, 0.0),
    (Design(patients=300), 0.5, 0.0, 1, 0.0),
    (Design(patients=60), 0.5, 0.5, 3, 0.5),
    (Design(patients=100), 0.5, 0.0, 3, 0.8),
)
"""Design, noise of models, offset of folds, most exams a patient, their correlation."""


def _interval_range(chance: bool, features: int) -> Range:
    """What the leading interval must cover: a learner with many features depends more on its training set."""
    if features > 10:
        return (0.92, 0.985)
    return (0.915, 0.985) if chance else (0.935, 0.985)


def noisy_gate(
    simulations: int,
    settings: Sequence[tuple[Design, float, float, int, float]] = NOISY_SETTINGS,
    first_seed: int = 0,
) -> Iterator[Measured]:
    """World B: fold models that differ by noise and offset, patients with several exams."""
    for number, (design, noise, offset, exams, within) in enumerate(settings):

        def make(
            count: int,
            seed: int,
            setting: tuple[Design, float, float, int, float] = (design, noise, offset, exams, within),
        ) -> FoldWorld:
            return noisy_folds(
                setting[0], count, seed, area=0.85, model_noise=setting[1], fold_offset=setting[2],
                most_exams=setting[3], within_patient=setting[4],
            )  # fmt: skip

        about = f"{_named(design)}, model noise {noise:g}, fold offset {offset:g}"
        several = f", 1–{exams} exams a patient correlated {within:g}" if exams > 1 else ""
        yield from _fold_settings(
            "B: noisy folds", about + several, make, simulations, first_seed + 5000 + 100 * number,
            interval=(0.94, 0.998), rejections=(0.0, 0.07), controls=False,
        )  # fmt: skip


def _fold_settings(
    world: str,
    setting: str,
    make: Callable[[int, int], FoldWorld],
    simulations: int,
    seed: int,
    *,
    interval: Range,
    rejections: Range,
    controls: bool = True,
) -> Iterator[Measured]:
    """Run the methods of cross-validation in one setting."""
    tallies = {name: Tally() for name in ("inflated", "nadeau", "naive", "rows", "difference", "t", "paired t")}
    # The truth of a learner is an average over training sets, so it comes from all chunks.
    chunks = [make(min(CHUNK, simulations - start), seed + start) for start in range(0, simulations, CHUNK)]
    truth = float(np.mean([chunk.truth for chunk in chunks]))
    for chunk in chunks:
        exams = Exams(labels=chunk.labels, patients=chunk.patients)
        for one in range(chunk.folds.shape[0]):
            models = [FoldScores(exams=exams, scores=scores[one], folds=chunk.folds[one]) for scores in chunk.scores]
            _count_folds(tallies, models, truth, truth == 0.5)
    chance = truth == 0.5
    control = controls and not chance
    rows: list[tuple[str, str, str, Range, bool]] = [
        ("inflated", "NB-inflated logit", "coverage", interval, False),
        ("nadeau", "Nadeau–Bengio logit", "coverage", ANY, False),
        ("naive", "SD/√(folds · repeats)", "coverage", (0.0, 0.60) if control else ANY, True),
        ("rows", "all rows as independent", "coverage", (0.0, 0.70) if control else ANY, True),
        ("difference", "NB-inflated t" + ", gated" * chance, "rejections", rejections, False),
        ("t", "Nadeau–Bengio t", "rejections", ANY, False),
        ("paired t", "paired t over all cells", "rejections", (0.30, 1.0) if control else ANY, True),
    ]
    for key, method, quantity, accepted, is_control in rows:
        yield tallies[key].measured(world, setting, method, quantity, truth, accepted, control=is_control)


def _count_folds(tallies: dict[str, Tally], models: list[FoldScores], truth: float, chance: bool) -> None:
    first, second = models
    areas = fold_aucs(first)
    differences = areas - fold_aucs(second)
    tallies["inflated"].interval(lambda: _limits(inflated_logit_interval(first, LEVEL)), truth)
    tallies["nadeau"].interval(lambda: _limits(nadeau_bengio_interval(areas, LEVEL)), truth)
    tallies["naive"].interval(lambda: _naive(areas), truth)
    tallies["rows"].interval(lambda: _rows_as_independent(first), truth)
    # Away from chance nearly every pair passes the gate, so it is only tried where it matters.
    gated = chance and not above_chance(*(inflated_logit_interval(model, LEVEL) for model in models))
    tallies["difference"].test(lambda: 1.0 if gated else cross_validated_difference(first, second, LEVEL).p)
    tallies["t"].test(lambda: corrected_resampled_t(differences, LEVEL).p)
    tallies["paired t"].test(lambda: float(stats.ttest_1samp(differences.ravel(), 0).pvalue))


def _naive(areas: np.ndarray) -> tuple[float, float]:
    reach = stats.norm.ppf((1 + LEVEL) / 2) * areas.std(ddof=1) / np.sqrt(areas.size)
    return float(areas.mean() - reach), float(areas.mean() + reach)


def _rows_as_independent(model: FoldScores) -> tuple[float, float]:
    """DeLong on the rows of all repeats; the record refuses that, so each row is made a patient of its own."""
    rows = Exams.of(np.tile(model.exams.labels, model.repeat_count))
    stacked = PatientScores(exams=rows, scores=model.scores.ravel())
    centre = float(fold_aucs(model).mean())
    reach = stats.norm.ppf((1 + LEVEL) / 2) * np.sqrt(delong_variance(stacked))
    return centre - float(reach), centre + float(reach)


def _limits(interval: Interval) -> tuple[float, float]:
    return interval.low, interval.high


def _named(design: Design) -> str:
    return f"{design.patients} patients, {design.prevalence:.0%} positive, {design.folds} × {design.repeats}"
