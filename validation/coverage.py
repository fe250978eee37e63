"""The simulation gate: do the intervals cover, and do the tests reject, as often as they claim?

    python -m validation.coverage [--simulations 400] [--seed 1] [--workers 2] [--only TEXT | --missing] [--short]

Every method of `orchestrator.statistics` that a report leads with is run on simulated worlds whose truth is known
(`learners.py`, `simulated.py`) and must land in the range written beside it. Constants were chosen on seed 0. Methods
that the field prints and that do not work are run as well and must fail: if they passed, the simulation would be wrong.

The gate consists of pieces, one a setting. Each piece's rows are written into `coverage_rows.csv` when it is done, and
`docs/coverage.md` is written from that file, so an interrupted gate goes on with `--missing`. The short form, for every
change of the code, takes one or two settings of each world, controls included, and writes nothing.
"""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Protocol

from validation.coverage_page import as_markdown
from validation.coverage_rows import Row, merged, read_rows, write_rows
from validation.fold_gates import DIFFERENCE, NOISY_SETTINGS, WORLDS, noisy_setting_gate, world_gate
from validation.fold_probabilities import WORLDS as PROBABILITY_WORLDS
from validation.fold_probabilities import probabilities_of_world
from validation.held_out_gates import (
    AUC_SETTINGS,
    CLUSTER_SETTINGS,
    DECISION_SETTINGS,
    PAIR_SETTINGS,
    PROBABILITY_SETTINGS,
    WALD_FAILS,
    Setting,
    cluster_gate,
    decision_gate,
    difference_gate,
    fixed_model_gate,
    probability_gate,
)
from validation.learners import World
from validation.measured import Measured, monte_carlo_slack

SHORT_SIMULATIONS = 400
SHORT_WORLDS = tuple(World(learner="ridge", patients=60, area=area) for area in (0.5, 0.7, 0.85))
"""A stable learner without, with some and with much signal; the latter two have controls that must fail."""
# Two standard errors above .025 for the 1200 cross-validations of the short form.
_ONE_SIDED = (0.0, 0.035)
_ROWS = Path(__file__).with_name("coverage_rows.csv")
_PAGE = Path("docs/coverage.md")


class _Gate(Protocol):
    def __call__(self, simulations: int, seed: int) -> Iterator[Measured]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One setting of the gate, which runs by itself."""

    name: str
    gate: _Gate

    def run(self, simulations: int, seed: int) -> tuple[list[Measured], float]:
        """Its rows, the same for the same seed whoever else runs, and the processor seconds they took."""
        begun = time.process_time()
        return list(self.gate(simulations, 1_000_000 * seed)), time.process_time() - begun


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the gate, write the table, and return 1 if anything is out of its range."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--simulations", type=int, default=None, help=f"default: 400, in the short form {SHORT_SIMULATIONS}"
    )
    parser.add_argument("--seed", type=int, default=1, help="another number, other simulations")
    parser.add_argument("--workers", type=int, default=1, help="processes side by side")
    parser.add_argument(
        "--only", default="", metavar="TEXT", help="only pieces with this in their name; others are kept"
    )
    parser.add_argument("--missing", action="store_true", help="only pieces that the table has no rows of")
    parser.add_argument("--page", action="store_true", help="run nothing, write the page from the table")
    parser.add_argument("--short", action="store_true", help="some settings of each world, in minutes; writes nothing")
    chosen = parser.parse_args(arguments)
    simulations = chosen.simulations or (SHORT_SIMULATIONS if chosen.short else 400)
    if chosen.short:
        found = [one for piece in short_pieces() for one in piece.run(simulations, chosen.seed)[0]]
        return _verdict([*found, one_sided(found)])
    rows, names = read_rows(_ROWS), [piece.name for piece in pieces()]
    if not (chosen.only or chosen.missing or chosen.page):
        rows = []
    have = {row.piece for row in rows} if chosen.missing else set()
    due = [piece for piece in pieces() if chosen.only in piece.name and piece.name not in have and not chosen.page]
    for new in _run_all(due, simulations, chosen.seed, chosen.workers):
        rows = merged(rows, new, names)
        write_rows(_ROWS, rows)
    _PAGE.write_text(as_markdown(rows, names), encoding="utf-8")
    return _verdict([row.measured for row in rows])


def _run_all(due: Sequence[Piece], simulations: int, seed: int, workers: int) -> Iterator[list[Row]]:
    """The rows of each piece, as pieces end."""
    day = f"{datetime.now(UTC):%d %B %Y}"
    with ProcessPoolExecutor(workers) as pool:
        running = {pool.submit(piece.run, simulations, seed): piece.name for piece in due}
        for done in as_completed(running):
            found, seconds = done.result()
            sys.stderr.write(f"{seconds:5.0f} s of processor time: {running[done]}\n")
            yield [Row(piece=running[done], measured=one, seed=seed, date=day) for one in found]


def _verdict(found: Sequence[Measured]) -> int:
    """Name what is out of its range; 1 if anything is, or if no control was run that could have failed."""
    out = [one for one in found if not one.verdict(monte_carlo_slack(one.simulations))]
    for one in out:
        sys.stderr.write(f"out of range: {one}\n")
    controls = [one for one in found if one.control and one.accepted != (0.0, 1.0)]
    sys.stderr.write(f"{len(found)} rows, {len(controls)} controls that must fail; {len(out)} out of range\n")
    return int(bool(out) or not controls)


def pieces() -> list[Piece]:
    """All settings of all worlds."""
    return [
        *(_learner(number, world, rivals=True) for number, world in enumerate(WORLDS)),
        *(
            Piece(name=f"noisy folds {number}", gate=partial(_noisy, number=number))
            for number in range(len(NOISY_SETTINGS))
        ),
        *(
            Piece(
                name=f"test set{', two models' if setting.compare else ''}: {setting.named}",
                gate=partial(_fixed, number=number),
            )
            for number, setting in enumerate(AUC_SETTINGS)
        ),
        Piece(name="decisions", gate=partial(_decisions)),
        *(
            Piece(name=f"paired difference {number}", gate=partial(_pair, number=number))
            for number in range(len(PAIR_SETTINGS))
        ),
        *(
            Piece(name=f"probabilities, {exams} exams", gate=partial(_probabilities, number=number))
            for number, exams in enumerate(PROBABILITY_SETTINGS)
        ),
        *(
            Piece(name=f"clusters {number}", gate=partial(_cluster, number=number))
            for number in range(len(CLUSTER_SETTINGS))
        ),
        *(_by_fold(number, world) for number, world in enumerate(PROBABILITY_WORLDS)),
    ]


def short_pieces() -> list[Piece]:
    """Some settings of all worlds: every leading method, and every control that must fail."""
    few = Setting(positives=10, negatives=10, area=0.95)
    return [
        *(_learner(number, world, rivals=False, repeats=(1, 10)) for number, world in enumerate(SHORT_WORLDS)),
        Piece(name="noisy folds", gate=partial(_noisy, number=3)),
        Piece(name="test set", gate=partial(_fixed, number=AUC_SETTINGS.index(few))),
        # Four times the simulations, so that a leading interval of Wald's falls short by far more than its error.
        Piece(name="test set, Wald fails", gate=partial(_fixed, number=AUC_SETTINGS.index(WALD_FAILS), times=4)),
        # Enumerated, so that no Monte Carlo error hides a proportion's interval that falls short by a little.
        Piece(name="decisions", gate=partial(_decisions)),
        Piece(name="paired difference", gate=partial(_pair, number=1)),
        Piece(name="probabilities", gate=partial(_probabilities, number=1)),
        Piece(name="clusters", gate=partial(_cluster, number=1)),
        _by_fold(0, SHORT_WORLDS[-1]),
    ]


def one_sided(found: Sequence[Measured]) -> Measured:
    """How often the lower limit of a cross-validated difference lies above the truth, over all settings together.

    Where one model is worse by the margin of a non-inferiority question, this is how often it is called not inferior. A
    single setting has too few simulations to tell .025, as claimed, from the .05 of a limit at 90 %.

    Args:
        found: Of learners' worlds.
    """
    rows = [one for one in found if one.method == DIFFERENCE]
    rate = sum(one.above * one.simulations for one in rows) / sum(one.simulations for one in rows)
    return replace(
        rows[0], setting=f"{len(rows)} settings together", method=f"{DIFFERENCE}: lower limit above the truth",
        quantity="rejections", rate=rate, above=rate, width=float("nan"), accepted=_ONE_SIDED,
        simulations=sum(one.simulations for one in rows),
    )  # fmt: skip


# Functions of a number each, because a piece is sent to another process.
def _learner(number: int, world: World, *, rivals: bool, repeats: tuple[int, ...] = (1, 2, 10)) -> Piece:
    gate = partial(_learner_gate, number=number, world=world, rivals=rivals, repeats=repeats)
    return Piece(name=f"learner: {world.named}", gate=gate)


def _learner_gate(
    simulations: int, seed: int, *, number: int, world: World, rivals: bool, repeats: tuple[int, ...]
) -> Iterator[Measured]:
    return world_gate(world, simulations, (seed, number), repeats, rivals=rivals)


def _by_fold(number: int, world: World) -> Piece:
    return Piece(name=f"probabilities by fold: {world.named}", gate=partial(_by_fold_gate, number=number, world=world))


def _by_fold_gate(simulations: int, seed: int, *, number: int, world: World) -> Iterator[Measured]:
    return probabilities_of_world(world, simulations, (seed, 70_000, number))


def _noisy(simulations: int, seed: int, *, number: int) -> Iterator[Measured]:
    return noisy_setting_gate(NOISY_SETTINGS[number], simulations, seed + 5000 + 100 * number)


def _fixed(simulations: int, seed: int, *, number: int, times: int = 1) -> Iterator[Measured]:
    return fixed_model_gate(AUC_SETTINGS[number], times * simulations, seed + 20_000 + 10 * number)


def _decisions(simulations: int, seed: int) -> Iterator[Measured]:
    return (decision_gate(*setting) for setting in DECISION_SETTINGS)


def _pair(simulations: int, seed: int, *, number: int) -> Iterator[Measured]:
    return difference_gate(*PAIR_SETTINGS[number], simulations, seed + 50_000 + number)


def _probabilities(simulations: int, seed: int, *, number: int) -> Iterator[Measured]:
    return probability_gate(PROBABILITY_SETTINGS[number], simulations, seed + 60_000 + number)


def _cluster(simulations: int, seed: int, *, number: int) -> Iterator[Measured]:
    return cluster_gate(*CLUSTER_SETTINGS[number], simulations, seed + 40_000 + number)


if __name__ == "__main__":
    sys.exit(main())
