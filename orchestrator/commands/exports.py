"""Verbs that hand a run to other programs."""

import argparse

import optuna

from orchestrator.export.optuna_journal import export_studies
from orchestrator.ledger.reading import open_run


def export_optuna(arguments: argparse.Namespace) -> int:
    """`polarmap export-optuna RUN FILE`."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    studies, trials = export_studies(open_run(arguments.run), arguments.file)
    print(f"{arguments.file} written: {studies} studies, {trials} trials; to look: optuna-dashboard {arguments.file}")
    return 0
