"""Verbs that hand a run to other programs."""

import argparse
from typing import Final

import optuna

from mpi_model.errors import ExperimentError
from orchestrator.driver.export_model import export_model
from orchestrator.export.mlflow_run import write_mlflow
from orchestrator.export.optuna_journal import export_studies
from orchestrator.ledger.reading import open_run

_PIXELS: Final = "uint16"


def export_optuna(arguments: argparse.Namespace) -> int:
    """`polarmap export-optuna RUN FILE`."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    studies, trials = export_studies(open_run(arguments.run), arguments.file)
    print(f"{arguments.file} written: {studies} studies, {trials} trials; to look: optuna-dashboard {arguments.file}")
    return 0


def export(arguments: argparse.Namespace) -> int:
    """`polarmap export RUN DIR --format FORMAT`."""
    graph = arguments.format in ("torch", "onnx")
    if arguments.pixels is not None and not graph:
        raise ExperimentError("`--pixels` belongs to the formats torch and onnx; leave it out")
    if arguments.format == "mlflow" and arguments.inputs is not None:
        raise ExperimentError("`--format mlflow` writes the whole run; leave `--inputs` out")
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
        pixels=arguments.pixels or _PIXELS,
    )
    print(f"{arguments.folder} written: README.md is the model card; what only you know in it is marked")
    return 0
