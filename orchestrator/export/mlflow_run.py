"""A finished run in MLflow's file store: settings, leading estimates, tables and figures. No server is needed."""

import importlib.util
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from mpi_model.errors import ExperimentError, IncompleteRunError
from orchestrator.cells.records import NETWORK
from orchestrator.export.folder import refuse_links
from orchestrator.ledger.reading import Run
from orchestrator.report.layout import numbered
from orchestrator.report.records import EVERYONE
from orchestrator.runners.environment import changed_environment

_ENVIRONMENT: Final = {"MLFLOW_ALLOW_FILE_STORE": "true", "MLFLOW_DISABLE_TELEMETRY": "true"}
"""From 3.17 on MLflow opens a file store only where it is asked for; a clinic's tool reports to nobody."""
_TABLES: Final = ("cells", "candidates", "epochs", "timings")
"""`predictions` stays: it names patients."""
_LONGEST: Final = 500
"""Characters of a parameter that MLflow takes."""


def write_mlflow(run: Run, store: Path) -> None:
    """Write a finished run as one run of MLflow.

    Args:
        run: The run.
        store: The folder of an MLflow file store; a new one is made, and one that is there gets one more run.

    Raises:
        ExperimentError: MLflow is not installed, or refuses the folder.
        IncompleteRunError: The run has no report yet.
    """
    if importlib.util.find_spec("mlflow") is None:
        raise ExperimentError('--format mlflow needs the extra mlflow: pip install "polarmap-tune[mlflow]"')
    refuse_links(run)
    if not run.paths.summary.exists():
        raise IncompleteRunError(f"{run.paths.name} has no report yet; finish it with `polarmap run`")
    with _settings():
        from mlflow import MlflowClient  # noqa: PLC0415 - an optional dependency
        from mlflow.exceptions import MlflowException  # noqa: PLC0415

        try:
            _log(run, MlflowClient(tracking_uri=Path(os.path.realpath(store)).as_uri()))
        except MlflowException as error:
            raise ExperimentError(f"MLflow refuses: {str(error).splitlines()[0]}; name a new folder") from error


def _log(run: Run, client: Any) -> None:  # noqa: ANN401 - MLflow's client, an optional dependency
    """Settings, estimates and artefacts, as one more run of the experiment `polarmap`."""
    description = run.description
    known = client.get_experiment_by_name("polarmap")
    experiment = known.experiment_id if known else client.create_experiment("polarmap")
    begun = client.create_run(experiment, run_name=description.name, tags={"polarmap.experiment": description.hash})
    for name, text in description.facts.items():
        client.log_param(begun.info.run_id, name, text[:_LONGEST] or "none")
    for name, value in _estimates(run):
        client.log_metric(begun.info.run_id, name, value)
    with tempfile.TemporaryDirectory() as folder:
        _copy(run, Path(folder))
        client.log_artifacts(begun.info.run_id, folder)
    client.set_terminated(begun.info.run_id)


def _estimates(run: Run) -> Iterator[tuple[str, float]]:
    """The leading estimates of the network with their limits, by partition, tracer, input configuration and metric."""
    summary = run.summary
    leading = summary[summary["primary"] & (summary["model"] == NETWORK) & (summary["subgroup"] == EVERYONE)]
    # Without the numbers that reports do not show: a chart of metrics has no place for a mark.
    for row in numbered(leading):
        at = "" if row["at"] is None else f"_at_{row['at']:g}"
        place = f"{row['partition']}/{row['tracer']}/{row['inputs']}/{row['metric']}{at}"
        yield from (
            (f"{place}{end}", float(row[column]))
            for column, end in (("estimate", ""), ("low", "_low"), ("high", "_high"))
            if row[column] is not None
        )


def _copy(run: Run, folder: Path) -> None:
    """The report and the tables that name no patient."""
    names = list(run.paths.storage.names("report"))
    names += [run.paths.table(table).name for table in _TABLES]
    for name in names:
        target = folder / name
        # Names come from the run directory; none may lead out of this folder.
        if target.resolve().is_relative_to(folder.resolve()) and run.paths.blob(name).exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(run.paths.blob(name).read_bytes())


@contextmanager
def _settings() -> Iterator[None]:
    """MLflow as it is needed here: a file store without a warning that it is not for teams, and no usage statistics."""
    with changed_environment(_ENVIRONMENT), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
