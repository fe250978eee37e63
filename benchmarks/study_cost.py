"""What the reference study costs with each way of saving trainings, by the forecast of `polarmap plan --pilot`.

Run from the repository, with the cohort of `examples/reference_study` made: `OMP_NUM_THREADS=1 python -m
benchmarks.study_cost`. Each row is a pilot in a process of its own, so that none finds features that another computed.
Pilots count processor time, so work beside them disturbs little. What a saving does to the choice is another question:
`docs/search_cost.md`.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Final

EXPERIMENT: Final = "examples/reference_study/experiment.toml"
WHOLE: Final[Mapping[str, str]] = {
    "network.encoder_stages": "18",
    "search.space": "learning_rates_and_encoder_stages",
    "search.strategy": "all_folds",
    "training.budget": "schedule",
}
"""The defaults of a search, with the whole encoder: no saving at all."""
CUT: Final = {"network.encoder_stages": "6", "search.space": "space.toml"}
ROWS: Final[Mapping[str, Mapping[str, str]]] = {
    "whole encoder, all folds, whole schedules": WHOLE,
    "– race": {**WHOLE, "search.strategy": "race"},
    "– best epoch, with patience": {**WHOLE, "training.budget": "best_epoch"},
    "– flat search": {**WHOLE, "search.scheme": "flat"},
    "– encoder to block5 at most, three stages never trained": {**WHOLE, **CUT},
    "encoder cut, race, best epoch (the example)": {},
    "encoder cut, flat search": {**WHOLE, **CUT, "search.scheme": "flat"},
}


def main() -> None:
    """A row a way of searching: worker-hours, and its ratio to the first row's."""
    sys.stdout.write("| reference study | worker-hours [90 %] | ratio |\n|---|---|---|\n")
    first = None
    for title, settings in ROWS.items():
        hours = _worker_hours(settings)
        first = first or hours["estimate"]
        shown = f"{hours['estimate']:.1f} [{hours['low']:.1f}, {hours['high']:.1f}]"
        sys.stdout.write(f"| {title} | {shown} | {hours['estimate'] / first:.2f} |\n")
        sys.stdout.flush()


def _worker_hours(settings: Mapping[str, str]) -> dict[str, float]:
    changes = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    command = [
        sys.executable,
        "-m",
        "orchestrator",
        "plan",
        EXPERIMENT,
        "--pilot",
        "--json",
        "--workers",
        "1",
        *changes,
    ]
    told = subprocess.run(command, check=True, capture_output=True, text=True)
    hours: dict[str, float] = json.loads(told.stdout)["pilot"]["run"]["worker_hours"]
    return hours


if __name__ == "__main__":
    main()
