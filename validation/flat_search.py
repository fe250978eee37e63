"""Is the AUC of a flat search honest? Its bias and coverage where the truth is known, with controls that must fail.

    python -m validation.flat_search [--simulations 1000] [--seed 1] [--short]

Patients have Gaussian features; candidates are ridge discriminants, each on a few features of its own, and are really
trained in every part and cell. What the chosen networks do in the population follows from their weights. A
flat search is judged as a run does it: candidates trained without a fold and the next one, chosen by each cell without
its patients. Beside it stand what a page shows of the best candidate, BBC-CV, and three ways of saving that are not
offered: choosing once for all repeats, leaving out only the scores of a cell's patients, BBC-CV on a race's survivors.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from orchestrator.statistics.cross_validation import CrossValidation, cross_validated_auc, within_fold_interval
from orchestrator.statistics.scores import Codes, Exams, Flags, Floats, FoldScores
from orchestrator.statistics.selection_bias import ScoredCandidates, _bootstrap_bias_corrected, _naive_aucs
from validation.flat_worlds import DrawnCohorts, FlatWorld

LEVEL = 0.95
BIAS, COVERAGE = 0.01, 0.93
"""The gate: at most so much bias where there is signal, at least so much coverage."""
_CHUNK = 50
_DRAWS = 100
"""Draws of BBC-CV; its mean over simulations needs no more."""
FLAT, BBC = "flat search, cross-fitted", "BBC-CV on the parts"
NAIVE, SURVIVORS = "best candidates, naive", "BBC-CV on the survivors of a race"
SAME, LEAKY = "chosen once, other repeats", "only the scores of a cell's patients left out"
CONTROLS = (NAIVE, SURVIVORS, SAME)


@dataclass(frozen=True, slots=True, kw_only=True)
class FlatMeasured:
    """How far a method was from the truth in one world."""

    world: FlatWorld
    method: str
    truth: float
    bias: float
    error: float
    """Standard error of the bias."""
    spread: float
    """Standard deviation of the error of one study."""
    coverage: float | None
    width: float | None

    @property
    def accepted(self) -> bool | None:
        """Whether the gate is passed; None for what is not gated: no signal, and methods that only stand beside."""
        if self.world.effect == 0 or self.method not in (FLAT, *CONTROLS):
            return None
        # Three standard errors for a small run: a control has to fail beyond doubt, a method to pass within it.
        if self.method in CONTROLS and not self.world.tempting:
            return None
        if self.method in CONTROLS:
            return bool(self.bias - 3 * self.error <= BIAS)
        assert self.coverage is not None, "the interval of the flat search is always counted"
        simulations = (self.spread / self.error) ** 2
        slack = 3 * np.sqrt(COVERAGE * (1 - COVERAGE) / simulations)
        return bool(abs(self.bias) <= BIAS + 3 * self.error and self.coverage >= COVERAGE - slack)

    @property
    def verdict(self) -> bool:
        """Whether it is as it has to be: the flat search passes, controls fail."""
        return self.accepted is None or self.accepted is (self.method == FLAT)


WORLDS = tuple(
    FlatWorld(patients=patients, effect=effect, winners=winners)
    for patients in (60, 120, 300)
    for effect in (0.0, 1.2, 1.9, 2.8)
    for winners in (1, 3)
)
SHORT = (FlatWorld(patients=60, effect=1.9), FlatWorld(patients=120, effect=1.2))


def measure(world: FlatWorld, simulations: int, seed: int) -> list[FlatMeasured]:
    """Simulate one world."""
    found: dict[str, list[tuple[float, float]]] = {}
    limits: list[tuple[float, float, float]] = []
    for start in range(0, simulations, _CHUNK):
        drawn = DrawnCohorts.of(world, min(_CHUNK, simulations - start), (seed, world.patients, start))
        for one in range(len(drawn.folds)):
            for method, pair in _estimates(world, drawn, one, limits).items():
                found.setdefault(method, []).append(pair)
    covered = np.mean([low <= truth <= high for low, high, truth in limits])
    width = np.mean([high - low for low, high, _ in limits])
    return [
        _measured(world, method, np.array(pairs), *((float(covered), float(width)) if method == FLAT else (None, None)))
        for method, pairs in found.items()
    ]


def _measured(
    world: FlatWorld, method: str, pairs: Floats, coverage: float | None, width: float | None
) -> FlatMeasured:
    missed = pairs[:, 0] - pairs[:, 1]
    return FlatMeasured(
        world=world,
        method=method,
        truth=float(pairs[:, 1].mean()),
        bias=float(missed.mean()),
        error=float(missed.std(ddof=1) / np.sqrt(len(missed))),
        spread=float(missed.std(ddof=1)),
        coverage=coverage,
        width=width,
    )


def _estimates(
    world: FlatWorld, drawn: DrawnCohorts, one: int, limits: list[tuple[float, float, float]]
) -> dict[str, tuple[float, float]]:
    """Each method's estimate with its truth, on one cohort; the interval of the flat search is added to the limits."""
    labels, folds, repeats = world.labels, drawn.folds[one], range(world.repeats)
    values = np.column_stack([drawn.values[one], np.ones(labels.size)])
    part_scores = np.einsum("crkf,nf->crkn", drawn.parts[:, one], values)
    cell_scores = np.einsum("crkf,nf->crkn", drawn.cells[:, one], values)
    flat, networks = _flat(world, drawn.cells[:, one], folds, part_scores, cell_scores)
    judged = _fold_scores(labels, flat, folds[: world.repeats])
    truth = drawn.area(networks)
    interval = within_fold_interval(CrossValidation.of(judged), LEVEL)
    limits.append((interval.low, interval.high, truth))
    found = {FLAT: (cross_validated_auc(judged), truth)}
    # The others are about networks of the candidates that all patients choose, trained as the cells' are.
    scored = _scored(world, folds[: world.repeats], part_scores)
    best = list(
        scored.chosen(_costs(part_scores, labels, folds, [(r, k, -1) for r in repeats for k in range(world.folds)]))
    )
    whole = drawn.area(drawn.cells[best, one].mean(axis=0))
    found[NAIVE] = (float(_naive_aucs(scored)[0]), whole)
    found[BBC] = (_bias_corrected(scored), whole)
    found[SURVIVORS] = (_bias_corrected(_survivors(world, _out_of_fold(world, folds[0], cell_scores))), whole)
    return found | _not_offered(world, drawn, one, cell_scores, values)


def _flat(
    world: FlatWorld, cells: Floats, folds: Codes, part_scores: Floats, cell_scores: Floats
) -> tuple[Floats, Floats]:
    """The scores `[R, N]` and networks `[R, K, F + 1]` of a flat search."""
    scores, networks = np.empty((world.repeats, world.patients)), []
    for repeat in range(world.repeats):
        for fold in range(world.folds):
            after, before = (fold + 1) % world.folds, (fold - 1) % world.folds
            costs = _costs(part_scores, world.labels, folds, [(repeat, fold, after), (repeat, before, before)])
            best = np.argsort(costs, kind="stable")[: world.winners]
            inside = folds[repeat] == fold
            scores[repeat, inside] = cell_scores[best, repeat, fold][:, inside].mean(axis=0)
            networks.append(cells[best, repeat, fold].mean(axis=0))
    return scores, np.stack(networks)


def _costs(
    scores: Floats, labels: Flags, folds: Codes, chosen_by: Sequence[tuple[int, int, int]], fewer: Flags | None = None
) -> Floats:
    """`[C]`, the balanced log loss on folds that parts left out: repeat, part, and the fold scored; -1 for both."""
    found = []
    for repeat, part, fold in chosen_by:
        both = (part, (part + 1) % int(folds.max() + 1)) if fold < 0 else (fold,)
        inside = np.isin(folds[repeat], both) & (True if fewer is None else fewer)
        losses = np.logaddexp(0, np.where(labels, -1, 1) * scores[:, repeat, part])
        # A fold of another repeat may lose a class to the patients who are left out.
        if (inside & labels).any() and (inside & ~labels).any():
            found.append((losses[:, inside & labels].mean(axis=1) + losses[:, inside & ~labels].mean(axis=1)) / 2)
    costs: Floats = np.stack(found).mean(axis=0)
    return costs


def _scored(world: FlatWorld, folds: Codes, part_scores: Floats) -> ScoredCandidates:
    """What a run keeps of the parts: two folds each."""
    rows = [
        (repeat, part, fold, place)
        for repeat in range(len(folds))
        for part in range(world.folds)
        for fold in (part, (part + 1) % world.folds)
        for place in np.flatnonzero(folds[repeat] == fold).tolist()
    ]
    repeat, part, fold, place = np.array(rows).T
    return ScoredCandidates(
        scores=part_scores[:, repeat, part, place],
        labels=world.labels[place],
        patients=place,
        tracers=np.zeros(place.size, dtype=np.int64),
        cells=(repeat * world.folds + part) * world.folds + fold,
        by_auc=False,
        winners=world.winners,
        members=world.winners,
    )


def _out_of_fold(world: FlatWorld, folds: Codes, cell_scores: Floats) -> ScoredCandidates:
    """An ordinary cross-validation of every candidate on the first repeat."""
    place = np.arange(world.patients)
    return ScoredCandidates(
        scores=cell_scores[:, 0, folds, place], labels=world.labels, patients=place, tracers=np.zeros_like(place),
        cells=folds, by_auc=False, winners=world.winners, members=world.winners,
    )  # fmt: skip


def _survivors(world: FlatWorld, scored: ScoredCandidates) -> ScoredCandidates:
    """The best quarter, in two halvings: by the first fold, then by the first two."""
    kept = np.arange(world.candidates)
    losses = np.logaddexp(0, np.where(scored.labels, -1, 1) * scored.scores)
    for cells in (scored.cells == 0, scored.cells <= 1):
        sides = [losses[kept][:, cells & (scored.labels == label)].mean(axis=1) for label in (True, False)]
        kept = kept[np.argsort(np.mean(sides, axis=0), kind="stable")[: max(world.winners, kept.size // 2)]]
    return ScoredCandidates(
        scores=scored.scores[np.sort(kept)], labels=scored.labels, patients=scored.patients, tracers=scored.tracers,
        cells=scored.cells, by_auc=False, winners=scored.winners, members=scored.members,
    )  # fmt: skip


def _bias_corrected(scored: ScoredCandidates) -> float:
    (found,) = _bootstrap_bias_corrected(scored, LEVEL, _DRAWS)
    assert found is not None, "some of a hundred draws leave patients of both classes out"
    return found.estimate


def _not_offered(
    world: FlatWorld, drawn: DrawnCohorts, one: int, cell_scores: Floats, values: Floats
) -> dict[str, tuple[float, float]]:
    """Candidates scored on the folds of the first repeat and used in the next one."""
    labels, folds, last = world.labels, drawn.folds[one], len(drawn.folds[one]) - 1
    out_of_fold = [(0, fold, fold) for fold in range(world.folds)]
    once = np.argsort(_costs(cell_scores, labels, folds, out_of_fold), kind="stable")[: world.winners]
    scores = {SAME: np.empty(labels.size), LEAKY: np.empty(labels.size)}
    networks: dict[str, list[Floats]] = {SAME: [], LEAKY: []}
    for fold in range(world.folds):
        inside = folds[last] == fold
        without = _costs(cell_scores, labels, folds, out_of_fold, ~inside)
        for method, best in ((SAME, once), (LEAKY, np.argsort(without, kind="stable")[: world.winners])):
            network = drawn.cells[best, one, last, fold].mean(axis=0)
            networks[method].append(network)
            scores[method][inside] = values[inside] @ network
    return {
        method: (
            cross_validated_auc(_fold_scores(labels, scores[method][None], folds[last:])),
            drawn.area(np.stack(networks[method])),
        )
        for method in (SAME, LEAKY)
    }


def _fold_scores(labels: Flags, scores: Floats, folds: Codes) -> FoldScores:
    return FoldScores(exams=Exams.of(labels), scores=scores, folds=folds)


def as_markdown(found: Sequence[FlatMeasured]) -> str:
    """The table for `docs/search_cost.md`: a row a world, with the bias of every method."""
    columns = ("true AUC", FLAT, "coverage", "width", f"{NAIVE} (control)", BBC, f"{SAME} (control)", LEAKY,
               f"{SURVIVORS} (control)", "")  # fmt: skip
    lines = [f"| world | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for world in dict.fromkeys(one.world for one in found):
        mine = {one.method: one for one in found if one.world == world}
        flat, bias = mine[FLAT], {name: f"{one.bias:+.3f}" for name, one in mine.items()}
        failed = [name for name, one in mine.items() if not one.verdict]
        gated = "" if flat.accepted is None else "**out**: " + ", ".join(failed) if failed else "ok"
        cells = (
            world.named, f"{flat.truth:.3f}", f"{flat.bias:+.4f} ± {flat.error:.4f}", f"{flat.coverage:.3f}",
            f"{flat.width:.3f}", *(bias[name] for name in (NAIVE, BBC, SAME, LEAKY, SURVIVORS)), gated,
        )  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def gate(worlds: Sequence[FlatWorld], simulations: int, seed: int) -> Iterator[FlatMeasured]:
    """All worlds."""
    for world in worlds:
        yield from measure(world, simulations, seed)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the gate, print the table, and return 1 if anything is not as it has to be."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--simulations", type=int, default=None, help="default: 1000, in the short form 150")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--short", action="store_true", help="two worlds, in a minute")
    parser.add_argument("--patients", type=int, default=None, help="only worlds of this size")
    chosen = parser.parse_args(arguments)
    worlds = SHORT if chosen.short else [one for one in WORLDS if chosen.patients in (None, one.patients)]
    found = list(gate(worlds, chosen.simulations or (150 if chosen.short else 1000), chosen.seed))
    sys.stdout.write(as_markdown(found))
    return int(not all(one.verdict for one in found))


if __name__ == "__main__":
    sys.exit(main())
