"""`polarmap plan`: what a run would do, and how wide its intervals will be. No torch without a pilot, no Ray."""

import argparse

from mpi_model.errors import ExperimentError
from orchestrator.commands.checks import loaded_from, print_json, problems_as_json
from orchestrator.driver.run_plan import PilotRequest, plan_experiment
from orchestrator.terminal.planning import print_plan
from orchestrator.terminal.progress import progress_for


def plan(arguments: argparse.Namespace) -> int:
    """`polarmap plan EXPERIMENT`; an earlier run of that name tells how long a cell takes."""
    with problems_as_json(arguments.json):
        found = plan_experiment(loaded_from(arguments), progress_for(), _pilot(arguments))
    if arguments.json:
        print_json({**found.to_dict(), "exit_code": 0})
    else:
        print_plan(found)
    return 0


def _pilot(arguments: argparse.Namespace) -> PilotRequest | None:
    if not arguments.pilot:
        if arguments.workers is not None or arguments.cluster is not None:
            raise ExperimentError("`--workers` and `--cluster` say what a pilot forecasts; add `--pilot`")
        return None
    if arguments.workers is not None and arguments.workers < 1:
        raise ExperimentError(f"`--workers` must be at least 1, but is {arguments.workers}")
    return PilotRequest(workers=arguments.workers, cluster=arguments.cluster)
