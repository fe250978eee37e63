"""Worlds A and B of the simulation gate: cross-validation by learners, and by noisy fold models."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from scipy import stats

from orchestrator.statistics.auc import delong_variance
from orchestrator.statistics.comparisons import corrected_resampled_t, cross_validated_difference
from orchestrator.statistics.cross_validation import (
    CrossValidation,
    fold_aucs,
    nadeau_bengio_interval,
    within_fold_interval,
)
from orchestrator.statistics.intervals import Interval
from orchestrator.statistics.proportions import cross_validated_proportions
from orchestrator.statistics.scores import Exams, Floats, FoldScores, PatientScores
from validation.learners import World, effect_of, simulate
from validation.measured import ANY, LEVEL, Measured, Range, Tally
from validation.rivals import NAMES, rival_intervals
from validation.simulated import Design, FoldWorld, noisy_folds

AREAS = (0.5, 0.6, 0.7, 0.85, 0.95)
LEARNERS = ("ridge", "subspace", "ridge 40", "network")
WORLDS: tuple[World, ...] = (
    *(World(learner="ridge", patients=patients, area=0.85, exams_each=2) for patients in (60, 120)),
    *(World(learner="ridge", patients=patients, area=0.85, label_noise=0.1) for patients in (60, 120)),
    World(learner="subspace", patients=60, area=0.7, exams_each=2),
    *(
        World(learner=learner, patients=patients, area=area)
        for patients in (60, 120, 300)
        for learner in LEARNERS
        for area in AREAS
    ),
)
"""The grid: stable and unstable learners, two exams a patient, a tenth of the labels wrong."""
REPEATS = (1, 2, 10)
"""Repeats of five folds that each world is judged with."""
_CHUNK = 50
_COVERS: Range = (0.935, 0.975)
_WIDE: Range = (0.925, 0.995)
"""Where the aim is missed on the safe side: one repeat cannot tell an unstable learner from a stable one."""
OWN_METHOD = "within-fold logit"
DIFFERENCE = "within-fold t, difference"
RIVAL = " (rival)"
_METHODS = {
    "within": OWN_METHOD,
    "expected": "within-fold logit, the procedure's AUC",
    "nadeau": "Nadeau–Bengio logit",
    "naive": "SD/√(folds · repeats)",
    "rows": "all rows as independent",
    "difference": DIFFERENCE,
    "t": "Nadeau–Bengio t, difference",
    "sensitivity": "sensitivity, Wilson inflated",
    "specificity": "specificity, Wilson inflated",
    "balanced": "balanced accuracy, MOVER",
    **{name: name + RIVAL for name in NAMES},
}
_RIVALS_OF = ("ridge", "network")
"""Learners for which rival intervals are measured, too; they cost more than all else together."""


def world_gate(
    world: World,
    simulations: int,
    seed: tuple[int, int],
    repeats: Sequence[int] = REPEATS,
    *,
    rivals: bool = False,
) -> Iterator[Measured]:
    """One setting of world A, with each number of repeats: the first ones of the same cross-validations."""
    effect = effect_of(world)
    tallies = {count: {name: Tally() for name in _METHODS} for count in repeats}
    intervals: dict[int, list[tuple[float, float]]] = {count: [] for count in repeats}
    expected: list[Floats] = []
    plain = world.learner in _RIVALS_OF and world.exams_each == 1 and not world.label_noise
    generator = np.random.default_rng((*seed, 1))
    for start in range(0, simulations, _CHUNK):
        chunk = simulate(world, min(_CHUNK, simulations - start), (*seed, start), effect=effect)
        expected.append(chunk.truths[..., 0].mean(axis=(2, 3)))
        exams = Exams(labels=chunk.labels, patients=chunk.owners)
        for one in range(len(chunk.folds)):
            for count in repeats:
                models = [
                    FoldScores(exams=exams, scores=scores[one, :count], folds=chunk.folds[one, :count])
                    for scores in chunk.scores
                ]
                truths = chunk.truths[:, one, :count].mean(axis=(1, 2))
                intervals[count].append(_count(tallies[count], models, truths, count == max(repeats)))
                if plain and rivals:
                    for name, compute in rival_intervals(models[0], generator).items():
                        tallies[count][name].interval(compute, float(truths[0, 0]))
    # The procedure's AUC is an average over training sets, so it is known when all have been trained.
    truth = float(np.concatenate(expected, axis=1).mean())
    for count in repeats:
        for limits in intervals[count]:
            tallies[count]["expected"].interval(lambda limits=limits: limits, truth)  # type: ignore[misc]
        yield from _measured(world, count, tallies[count], truth)


def _measured(world: World, repeats: int, tallies: dict[str, Tally], truth: float) -> Iterator[Measured]:
    setting = f"{world.named}, {world.folds} × {repeats}"
    ranges: dict[str, Range] = {
        "within": _WIDE if world.learner == "subspace" or repeats == 1 else _COVERS,
        "expected": (0.92, 0.99) if world.learner == "ridge" else ANY,
        "difference": (0.92, 0.995),
        **dict.fromkeys(("sensitivity", "specificity", "balanced"), (0.915, 1.0)),
    }
    several = repeats > 2 and world.area > 0.5
    controls: dict[str, Range] = {"naive": (0.0, 0.75), "rows": (0.0, 0.85)} if several else {}
    if world.learner == "subspace":
        # Independent networks are what SD/√(folds · repeats) supposes, so there it is not a control.
        controls = {}
    for name, method in _METHODS.items():
        if tallies[name].total == 0:
            continue
        accepted = controls.get(name, ranges.get(name, ANY))
        yield tallies[name].measured(
            "A: learner", setting, method, "coverage", truth, accepted, control=name in ("naive", "rows")
        )


def _count(tallies: dict[str, Tally], models: list[FoldScores], truths: Floats, controls: bool) -> tuple[float, float]:
    """Count every method on one cross-validation, controls where asked for; returns the leading interval."""
    first, second = (CrossValidation.of(model) for model in models)
    areas, others = (fold_aucs(model) for model in models)
    area, gap = float(truths[0, 0]), float(truths[0, 0] - truths[1, 0])
    leading = _limits(within_fold_interval(first, LEVEL))
    tallies["within"].interval(lambda: leading, area)
    tallies["nadeau"].interval(lambda: _limits(nadeau_bengio_interval(areas, LEVEL)), area)
    tallies["naive"].interval(lambda: _naive(areas), area)
    if controls:
        tallies["rows"].interval(lambda: _rows_as_independent(models[0]), area)
    tallies["difference"].interval(lambda: _limits(cross_validated_difference(first, second, LEVEL).interval), gap)
    tallies["t"].interval(lambda: _limits(corrected_resampled_t(areas - others, LEVEL).interval), gap)
    exams, positive = models[0].exams, models[0].scores >= 0
    sides = cross_validated_proportions(exams, positive, first.factor, LEVEL)
    wanted = (truths[0, 1], truths[0, 2], (truths[0, 1] + truths[0, 2]) / 2)
    for name, side, truth in zip(("sensitivity", "specificity", "balanced"), sides, wanted, strict=True):
        tallies[name].interval(lambda side=side: _limits(side), float(truth))  # type: ignore[misc]
    return leading


NOISY_SETTINGS: tuple[tuple[Design, float, float, int, float], ...] = (
    (Design(patients=40), 0.0, 0.0, 1, 0.0),
    (Design(patients=100), 0.5, 0.5, 1, 0.0),
    (Design(patients=100), 1.0, 0.5, 1, 0.0),
    (Design(patients=60), 0.5, 0.5, 3, 0.5),
    (Design(patients=100), 0.5, 0.0, 3, 0.8),
)
"""Design, noise of models, offset of folds, most exams a patient, their correlation."""


def noisy_setting_gate(
    setting: tuple[Design, float, float, int, float], simulations: int, seed: int
) -> Iterator[Measured]:
    """One setting of world B."""
    design, noise, offset, exams, within = setting

    def make(count: int, seed: int) -> FoldWorld:
        return noisy_folds(
            design, count, seed, area=0.85, model_noise=noise, fold_offset=offset, most_exams=exams,
            within_patient=within,
        )  # fmt: skip

    named = f"{design.patients} patients, {design.folds} × {design.repeats}"
    several = f", 1–{exams} exams a patient correlated {within:g}" if exams > 1 else ""
    yield from _noisy_setting(
        f"{named}, model noise {noise:g}, fold offset {offset:g}{several}", make, simulations, seed
    )


def _noisy_setting(
    setting: str, make: Callable[[int, int], FoldWorld], simulations: int, seed: int
) -> Iterator[Measured]:
    interval, difference = Tally(), Tally()
    truth = 0.0
    for start in range(0, simulations, 4 * _CHUNK):
        chunk = make(min(4 * _CHUNK, simulations - start), seed + start)
        exams, truth = Exams(labels=chunk.labels, patients=chunk.patients), chunk.truth
        for one in range(len(chunk.folds)):
            first, second = (
                CrossValidation.of(FoldScores(exams=exams, scores=scores[one], folds=chunk.folds[one]))
                for scores in chunk.scores
            )
            limits = _limits(within_fold_interval(first, LEVEL))
            interval.interval(lambda limits=limits: limits, truth)  # type: ignore[misc]
            gap = _limits(cross_validated_difference(first, second, LEVEL).interval)
            difference.interval(lambda gap=gap: gap, 0.0)  # type: ignore[misc]
    about = ("B: noisy folds", setting)
    yield interval.measured(*about, _METHODS["within"], "coverage", truth, (0.935, 0.995))
    yield difference.measured(*about, _METHODS["difference"], "coverage", truth, (0.93, 0.999))


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
