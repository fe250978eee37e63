"""The simulation gate: do the intervals cover, and do the tests reject, as often as they claim?

    python -m validation.coverage [--simulations 400] [--seed 1] [--out docs/coverage.md] [--short]

Every method of `orchestrator.statistics` that a report leads with is run on simulated worlds whose truth is known
(`learners.py`, `simulated.py`) and must land in the range written beside it. Constants were chosen on seed 0. Methods
that the field prints and that do not work are run as well and must fail: if they passed, the simulation would be wrong.
The short form, for every change of the code, takes one or two settings of each world, controls included.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from validation.fold_gates import NOISY_SETTINGS, learner_gate, noisy_gate
from validation.fold_probabilities import fold_probability_gate
from validation.held_out_gates import (
    PAIR_SETTINGS,
    Setting,
    cluster_gate,
    difference_gate,
    fixed_model_gate,
    held_out_gate,
    probability_gate,
)
from validation.learners import World
from validation.measured import Measured, monte_carlo_slack

SHORT_SIMULATIONS = 120
SHORT_WORLDS = (World(learner="ridge", patients=60, area=0.85), World(learner="ridge", patients=120, area=0.7))
"""A stable learner with and without much signal; both have controls that must fail."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the gate, write the table, and return 1 if anything is out of its range."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--simulations", type=int, default=None, help="default: 400, in the short form 120")
    parser.add_argument("--seed", type=int, default=1, help="another number, other simulations")
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--short", action="store_true", help="some settings of each world, in minutes")
    chosen = parser.parse_args(arguments)
    simulations = chosen.simulations or (SHORT_SIMULATIONS if chosen.short else 400)
    slack = monte_carlo_slack(simulations)
    found = []
    for measured in (short_gate if chosen.short else gate)(simulations, 1_000_000 * chosen.seed):
        found.append(measured)
        if not measured.verdict(slack):
            sys.stderr.write(f"out of range: {measured}\n")
    text = as_markdown(found, slack, chosen.seed)
    if chosen.out is None:
        sys.stdout.write(text)
    else:
        chosen.out.write_text(text, encoding="utf-8")
    return int(not all(measured.verdict(slack) for measured in found))


def gate(simulations: int, first_seed: int) -> Iterator[Measured]:
    """All settings of all worlds."""
    yield from learner_gate(simulations, first_seed=first_seed)
    yield from noisy_gate(simulations, first_seed=first_seed)
    yield from held_out_gate(simulations, first_seed)
    yield from fold_probability_gate(simulations, first_seed)


def short_gate(simulations: int, first_seed: int) -> Iterator[Measured]:
    """Some settings of all worlds: every leading method, and every control that must fail."""
    yield from learner_gate(simulations, SHORT_WORLDS, first_seed, repeats=(1, 10))
    yield from noisy_gate(simulations, NOISY_SETTINGS[3:4], first_seed)
    yield from fixed_model_gate(Setting(positives=10, negatives=10, area=0.95), simulations, first_seed + 20_000)
    yield from difference_gate(*PAIR_SETTINGS[1], simulations, first_seed + 50_000)
    yield from probability_gate(80, simulations, first_seed + 60_000)
    yield from cluster_gate(40, 0.8, simulations, first_seed + 40_000)
    yield from fold_probability_gate(simulations, first_seed, SHORT_WORLDS[:1])


def as_markdown(found: Sequence[Measured], slack: float, seed: int) -> str:
    """The page for `docs/`, dated."""
    text = Path(__file__).with_name("coverage_head.md").read_text(encoding="utf-8")
    head = text.format(seed=seed, date=f"{datetime.now(UTC):%d %B %Y}")
    columns = (
        "| world | setting | true AUC | method | rate | above truth | width | undefined | simulations | accepted | |"
    )
    lines = [
        head,
        columns,
        "|---|---|---|---|---|---|---|---|---|---|---|",
        *(_line(measured, slack) for measured in found),
    ]
    return "\n".join(lines) + "\n"


def _line(measured: Measured, slack: float) -> str:
    low, high = measured.accepted
    accepted = "" if (low, high) == (0.0, 1.0) else f"{low:.3f}–{high:.3f}"
    coverage = measured.quantity == "coverage"
    cells = (
        measured.world,
        measured.setting,
        f"{measured.truth:.3f}",
        measured.method + (" (control)" if measured.control else "") + ("" if coverage else ", rejections"),
        f"{measured.rate:.3f}",
        f"{measured.above:.3f}" if coverage else "",
        f"{measured.width:.3f}" if coverage else "",
        f"{measured.undefined:.3f}",
        str(measured.simulations or "exact"),
        accepted,
        "" if not accepted else "ok" if measured.verdict(slack) else "**out**",
    )
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    sys.exit(main())
