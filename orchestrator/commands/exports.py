"""Verbs that hand a run to other programs."""

import argparse

import optuna

from orchestrator.driver.export_model import export_model
from orchestrator.export.mlflow_run import write_mlflow
from orchestrator.export.optuna_journal import export_studies
from orchestrator.ledger.reading import open_run


def export_optuna(arguments: argparse.Namespace) -> int:
    """`polarmap export-optuna RUN FILE`."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    studies, trials = export_studies(open_run(arguments.run), arguments.file)
    print(f"{arguments.file} written: {studies} studies, {trials} trials; to look: optuna-dashboard {arguments.file}")
    return 0


def export(arguments: argparse.Namespace) -> int:
    """`polarmap export RUN DIR --format FORMAT`."""
    if arguments.format == "mlflow":
        write_mlflow(open_run(arguments.run), arguments.folder)
        look = f"MLFLOW_ALLOW_FILE_STORE=true mlflow ui --backend-store-uri {arguments.folder}"
        print(f"{arguments.folder} has one more run; to look: {look}")
        return 0
    export_model(
        open_run(arguments.run),
        arguments.folder,
        arguments.format,
        inputs=arguments.inputs,
        pixels=arguments.pixels,
    )
    print(f"{arguments.folder} written: README.md is the model card; what only you know in it is marked")
    return 0
