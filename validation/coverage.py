"""The simulation gate: do the intervals cover, and do the tests reject, as often as they claim?

    python -m validation.coverage [--simulations 400] [--seed 1] [--out docs/coverage.md]

Every method of `orchestrator.statistics` that a report leads with is run on simulated worlds whose truth is known
(`learners.py`, `simulated.py`) and must land in the range written beside it. Constants were chosen on seed 0. Methods
that the field prints and that do not work are run as well and must fail: if they passed, the simulation would be wrong.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from validation.fold_gates import learner_gate, noisy_gate
from validation.held_out_gates import held_out_gate
from validation.measured import Measured, monte_carlo_slack


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the gate, write the table, and return 1 if anything is out of its range."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--simulations", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1, help="another number, other simulations")
    parser.add_argument("--out", type=Path, default=None)
    chosen = parser.parse_args(arguments)
    slack = monte_carlo_slack(chosen.simulations)
    found = []
    for measured in gate(chosen.simulations, 1_000_000 * chosen.seed):
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
    """All settings of all three worlds."""
    yield from learner_gate(simulations, first_seed=first_seed)
    yield from noisy_gate(simulations, first_seed=first_seed)
    yield from held_out_gate(simulations, first_seed)


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
