"""`polarmap plan`: what a run would do, and how wide its intervals will be. No torch, no Ray."""

import argparse

from orchestrator.commands.checks import loaded_from, print_json, problems_as_json
from orchestrator.driver.run_plan import plan_experiment
from orchestrator.terminal.planning import print_plan
from orchestrator.terminal.progress import progress_for


def plan(arguments: argparse.Namespace) -> int:
    """`polarmap plan EXPERIMENT`; an earlier run of that name tells how long a cell takes."""
    with problems_as_json(arguments.json):
        found = plan_experiment(loaded_from(arguments), progress_for())
    if arguments.json:
        print_json({**found.to_dict(), "exit_code": 0})
    else:
        print_plan(found)
    return 0
