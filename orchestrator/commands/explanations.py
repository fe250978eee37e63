"""`polarmap explain`: where a run's networks look."""

import argparse

from orchestrator.driver.explain import ExplainOptions, explain_run
from orchestrator.ledger.reading import open_run
from orchestrator.terminal.explaining import print_attributions
from orchestrator.terminal.progress import progress_for


def explain(arguments: argparse.Namespace) -> int:
    """`polarmap explain RUN`.

    Raises:
        IncompleteRunError: Cells could not be explained.
    """
    run = open_run(arguments.run)
    options = ExplainOptions(
        cells=arguments.cells,
        manifest=arguments.manifest,
        permuted=None if arguments.permuted is None else open_run(arguments.permuted),
        runner=arguments.runner,
        address=arguments.address,
    )
    found = explain_run(run, options, progress_for(arguments.progress))
    found.check()
    print_attributions(run.attributions)
    print(f"{found.done_now} cells explained now; every group: {run.paths.table('attributions')}")
    return 0
