"""`polarmap rerun-cell`: one cell of a run again, alone."""

import argparse
from pathlib import Path

from orchestrator.driver.rerun import rerun_cell as do_again
from orchestrator.driver.resume import RunOptions
from orchestrator.ledger.reading import open_run
from orchestrator.terminal.progress import progress_for


def rerun_cell(arguments: argparse.Namespace) -> int:
    """`polarmap rerun-cell RUN CELL`."""
    run = open_run(arguments.run)
    found = do_again(
        run,
        arguments.cell,
        arguments.out or Path(f"{run.name}-{arguments.cell[:60]}"),
        RunOptions(runner=arguments.runner, address=arguments.address),
        progress_for(arguments.progress),
        arguments.manifest,
        unguarded=arguments.debug,
    )
    print(f"cell {found.cell}: {found.state} here{f' ({found.reason})' if found.reason else ''}; in {found.folder}")
    print(f"in the ledger: {found.ledger}")
    if found.same:
        print(f"the same bytes as the ledger's: {', '.join(found.same)}")
    found.check()
    return 0
