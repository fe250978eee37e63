"""Check, plan and run experiments from Python."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mpi_model.errors import ExperimentError, IncompleteRunError
from orchestrator.driver.cohort_check import CohortCheck, check_experiment
from orchestrator.driver.demo import write_demo
from orchestrator.driver.instability import measure_instability
from orchestrator.driver.permute import check_times, permute_labels
from orchestrator.driver.resume import RunOptions
from orchestrator.driver.run import run_experiment
from orchestrator.driver.run_plan import PilotRequest, RunPlan, plan_experiment
from orchestrator.experiment import file
from orchestrator.experiment.file import load_experiment
from orchestrator.experiment.schema import experiment_schema
from orchestrator.output_files import private_files
from orchestrator.runners.runner import RunnerName
from orchestrator.terminal.progress import ProgressKind, progress_for
from polarmap.reports import Report
from polarmap.runs import Run


def check(experiment: str | Path, settings: Mapping[str, object] | None = None) -> CohortCheck:
    """Check an experiment file with its cohort, folds and run directory, as `polarmap check` does.

    Args:
        experiment: The experiment file (TOML).
        settings: Values that take the place of the file's, by dotted name: `{"folds.repeats": 2}`.

    Raises:
        PolarmapError: All problems together; `problems` holds one line each.
    """
    return check_experiment(Path(experiment), settings or {}, progress_for("none"))[0]


def plan(
    experiment: str | Path,
    settings: Mapping[str, object] | None = None,
    *,
    pilot: bool = False,
    workers: int | None = None,
    cluster: str | Path | None = None,
) -> RunPlan:
    """What a run would do: folds, trainings, the interval widths to expect, as `polarmap plan` does.

    Args:
        experiment: The experiment file (TOML).
        settings: Values that take the place of the file's, by dotted name.
        pilot: Whether trainings are timed now, for up to two minutes, to forecast the run.
        workers: Cells side by side in the forecast; None for as many as this machine runs.
        cluster: A Ray cluster file, whose node types the forecast prices.

    Raises:
        PolarmapError: See `check`.
    """
    if not pilot and (workers is not None or cluster is not None):
        raise ExperimentError("`workers` and `cluster` say what a pilot forecasts; add `pilot=True`")
    loaded = load_experiment(Path(experiment), settings or {})
    request = PilotRequest(workers=workers, cluster=None if cluster is None else Path(cluster)) if pilot else None
    return plan_experiment(loaded, progress_for("none"), request)


def run(
    experiment: str | Path,
    settings: Mapping[str, object] | None = None,
    *,
    open_test: bool = False,
    retry_failed: bool = False,
    runner: RunnerName = "ray",
    address: str | None = None,
    progress: ProgressKind = "auto",
    tensorboard: str | Path | None = None,
) -> Run:
    """Run an experiment, or what is left of it: search, train, predict, report, as `polarmap run` does.

    An interrupted run keeps what is finished; the same call goes on from there and gives the same tables.

    Args:
        experiment: The experiment file (TOML).
        settings: Values that take the place of the file's, by dotted name.
        open_test: Whether the frozen final networks are judged on the test partition; every opening is recorded.
        retry_failed: Whether failed cells are done again.
        runner: Who runs the cells.
        address: A running Ray cluster; None starts Ray on this machine.
        progress: What is shown on standard error.
        tensorboard: A folder for TensorBoard's event files; None writes none.

    Returns:
        The run, whose tables are data frames.

    Raises:
        IncompleteRunError: Cells failed. The run is kept: `polarmap.open_run` opens it, and its report gives reasons.
        PolarmapError: See `mpi_model.errors`.
    """
    loaded = load_experiment(Path(experiment), settings or {})
    # Before the cohort is read: an address together with the inline runner is refused.
    options = RunOptions(
        open_test=open_test,
        retry_failed=retry_failed,
        runner=runner,
        address=address,
        tensorboard=None if tensorboard is None else Path(tensorboard),
    )
    with private_files():
        outcome = run_experiment(loaded, options, progress_for(progress))
    # An error, not a quiet result: averages over the cells that did not fail would be biased.
    if outcome.failed:
        raise IncompleteRunError(
            f"{len(outcome.failed)} of {outcome.cells} cells failed; `polarmap.open_run({outcome.paths.root!r})` has "
            "the reasons in `cells`, and `retry_failed=True` does them again"
        )
    return Run(outcome.paths)


def permute(
    experiment: str | Path,
    times: int,
    settings: Mapping[str, object] | None = None,
    *,
    runner: RunnerName = "ray",
    address: str | None = None,
    progress: ProgressKind = "auto",
) -> Report:
    """Run the whole pipeline again under permuted patient labels, as `polarmap permute` does.

    Args:
        experiment: The experiment file (TOML).
        times: Permutations; 99 or more for a p of .01.
        settings: Values that take the place of the file's, by dotted name.
        runner: Who runs the cells.
        address: A running Ray cluster; None starts Ray on this machine.
        progress: What is shown on standard error.

    Returns:
        One row per tracer and input configuration: the observed AUC and its permutation p-value.

    Raises:
        IncompleteRunError: Cells of the run itself failed.
        PolarmapError: See `run`.
    """
    check_times(times)
    loaded = load_experiment(Path(experiment), settings or {})
    with private_files():
        found = permute_labels(loaded, times, RunOptions(runner=runner, address=address), progress_for(progress))
    return Report.of(found)


def instability(
    experiment: str | Path,
    samples: int,
    settings: Mapping[str, object] | None = None,
    *,
    retry_failed: bool = False,
    runner: RunnerName = "ray",
    address: str | None = None,
    progress: ProgressKind = "auto",
) -> Report:
    """Train on bootstrap samples of patients and tell how far predictions move, as `polarmap instability` does.

    Args:
        experiment: The experiment file (TOML).
        samples: Bootstrap samples, at least 2; a later call may ask for more and trains only those.
        settings: Values that take the place of the file's, by dotted name.
        retry_failed: Whether failed samples are done again.
        runner: Who runs the cells.
        address: A running Ray cluster; None starts Ray on this machine.
        progress: What is shown on standard error.

    Returns:
        Means over exams; the run directory `NAME-instability` has every exam in `tables/instability.parquet`.

    Raises:
        IncompleteRunError: A cell of the whole development partition failed.
        PolarmapError: See `run`.
    """
    loaded = load_experiment(Path(experiment), settings or {})
    options = RunOptions(retry_failed=retry_failed, runner=runner, address=address)
    with private_files():
        return Report.of(measure_instability(loaded, samples, options, progress_for(progress)))


def demo(folder: str | Path = "demo", *, runner: RunnerName = "ray", progress: ProgressKind = "auto") -> Run:
    """A synthetic cohort, a picture of it and a whole experiment, as `polarmap demo` does.

    Args:
        folder: A new folder, or that of an earlier demo, which goes on.
        runner: Who runs the cells.
        progress: What is shown on standard error.
    """
    with private_files():
        experiment = write_demo(Path(folder), progress_for(progress))
    # The demonstration's test partition is simulated, so opening it spends nothing.
    return run(experiment, open_test=True, runner=runner, progress=progress)


def template() -> str:
    """The commented experiment file that `polarmap init` writes: every setting with its default."""
    return file.template()


def schema() -> dict[str, Any]:
    """The JSON Schema of experiment files, as `polarmap schema` prints it."""
    return experiment_schema()
