"""The command line: one small function per verb; each imports what it needs when it is called.

Tables go to standard output, progress and errors to standard error. A person's error is one or two lines and
an exit code (see `mpi_model.errors`); a traceback appears only with `--debug`.
"""

import argparse
import logging
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from mpi_model.errors import ExperimentError, IncompleteRunError, PolarmapError

if TYPE_CHECKING:
    from orchestrator.engine import Engine
    from orchestrator.experiment.settings import LoadedExperiment

INTERRUPTED = 130
BUG = 1


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: The words after `polarmap`; the process's own by default.

    Returns:
        The exit code: 0 done, 1 a bug, 2 usage or experiment file, 3 cohort or folds, 4 incomplete, 130 interrupted.
    """
    arguments = parser().parse_args(argv)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        command: Callable[[argparse.Namespace], int] = arguments.command
        return command(arguments)
    except PolarmapError as error:
        if arguments.debug:
            logging.getLogger("polarmap").exception("polarmap refused")
        for problem in error.problems:
            print(f"polarmap: {problem}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("polarmap: interrupted; the same command goes on from what is finished", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except Exception as error:  # noqa: BLE001 - the last door: anything that comes here is a bug, said in one line
        if arguments.debug:
            raise
        print(f"polarmap: a bug: {type(error).__name__}: {error}; run it with --debug and report it", file=sys.stderr)
        return BUG


def entry_point() -> NoReturn:
    """The console script."""
    sys.exit(main())


def _interrupt(number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


def parser() -> argparse.ArgumentParser:
    """Every verb with its arguments."""
    root = argparse.ArgumentParser(
        prog="polarmap",
        description="How well does a network read stress/rest SPECT myocardial perfusion polar maps? Nested, "
        "patient-stratified cross-validation on Ray Tune, with intervals that mean what they say.",
        epilog="exit codes: 0 done, 1 a bug, 2 usage or experiment file, 3 cohort or folds, 4 incomplete, 130 interrupted",
    )
    root.add_argument("--debug", action="store_true", help="show tracebacks")
    verbs = root.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for name, add, help_text in VERBS:
        add(verbs.add_parser(name, help=help_text, description=help_text))
    return root


def _init(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("file", nargs="?", type=Path, default=Path("experiment.toml"), help="default: experiment.toml")
    verb.set_defaults(command=init)


def init(arguments: argparse.Namespace) -> int:
    """`polarmap init [FILE]`."""
    from orchestrator.experiment.file import template

    path: Path = arguments.file
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(template())
    except FileExistsError:
        raise ExperimentError(f"{path} exists already and is left as it is; name another file") from None
    except OSError as error:
        raise ExperimentError(f"cannot write {path} ({error.strerror})") from error
    print(f"{path} written; set `name` and `cohort.manifest`, then: polarmap check {path}")
    return 0


def _import(verb: argparse.ArgumentParser) -> None:
    sources = verb.add_subparsers(title="sources", required=True, metavar="SOURCE")
    spectf = sources.add_parser("spectf", help="the 267 patients of the UCI SPECTF data, as real polar maps")
    spectf.add_argument("train", type=Path, metavar="SPECTF.train")
    spectf.add_argument("test", type=Path, metavar="SPECTF.test")
    spectf.add_argument("folder", type=Path, metavar="DIR", help="a new or empty folder")
    spectf.add_argument(
        "--all-development", action="store_true", help="no test partition: all 267 for cross-validation"
    )
    spectf.add_argument("--size", type=int, default=32, help="pixels of a side (default: 32)")
    spectf.set_defaults(command=import_spectf)


def import_spectf(arguments: argparse.Namespace) -> int:
    """`polarmap import spectf TRAIN TEST DIR`."""
    from orchestrator.cohort.spectf import import_spectf as convert

    manifest = convert(
        arguments.train,
        arguments.test,
        arguments.folder,
        size=arguments.size,
        all_development=arguments.all_development,
    )
    print(f"{manifest} written: one row an exam, stress and rest maps beside it")
    return 0


def _experiment(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("experiment", type=Path, help="the experiment file (TOML)")
    verb.add_argument(
        "--set", dest="overrides", action="append", default=[], metavar="a.b=c", help="override one setting; repeatable"
    )


def _loaded(arguments: argparse.Namespace) -> "LoadedExperiment":
    from orchestrator.experiment.file import load_experiment

    return load_experiment(arguments.experiment, arguments.overrides)


def _check(verb: argparse.ArgumentParser) -> None:
    _experiment(verb)
    verb.set_defaults(command=check)


def check(arguments: argparse.Namespace) -> int:
    """`polarmap check EXPERIMENT`: every problem at once; no torch, no Ray."""
    from orchestrator.preparation import prepare
    from orchestrator.terminal.checking import print_check
    from orchestrator.terminal.progress import progress_for

    print_check(prepare(_loaded(arguments), progress_for()))
    return 0


def _plan(verb: argparse.ArgumentParser) -> None:
    _experiment(verb)
    verb.set_defaults(command=plan)


def plan(arguments: argparse.Namespace) -> int:
    """`polarmap plan EXPERIMENT`: what will be done, and how wide the intervals will be."""
    from orchestrator.ledger.paths import RunPaths
    from orchestrator.ledger.reading import Run
    from orchestrator.preparation import prepare
    from orchestrator.terminal.planning import print_plan
    from orchestrator.terminal.progress import progress_for

    loaded = _loaded(arguments)
    paths = RunPaths(loaded.run_directory)
    print_plan(prepare(loaded, progress_for()), Run(paths) if paths.experiment.exists() else None)
    return 0


def _run(verb: argparse.ArgumentParser) -> None:
    _experiment(verb)
    verb.add_argument("--runner", choices=("ray", "inline"), default="ray", help="default: ray")
    verb.add_argument("--address", help="a running Ray cluster; default: Ray on this machine")
    verb.add_argument("--open-test", action="store_true", help="judge the frozen final networks on the test partition")
    verb.add_argument("--retry-failed", action="store_true", help="do failed cells again")
    verb.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    """`polarmap run EXPERIMENT`: the job; run again to resume."""
    from orchestrator.ledger.reading import Run
    from orchestrator.reporting import report_of
    from orchestrator.run import RunOptions, run_experiment
    from orchestrator.terminal.progress import progress_for
    from orchestrator.terminal.report import print_report

    options = RunOptions(open_test=arguments.open_test, retry_failed=arguments.retry_failed)
    outcome = run_experiment(_loaded(arguments), options, lambda: _engine(arguments), progress_for())
    if outcome.done_now == 0 and not outcome.opened_now:
        print(f"nothing to do: all {outcome.cells} cells of {outcome.paths.root.name} are finished", file=sys.stderr)
    print_report(report_of(Run(outcome.paths)), "rich")
    print(f"report: {outcome.paths.report}", file=sys.stderr)
    if outcome.failed:
        raise IncompleteRunError(
            f"{len(outcome.failed)} of {outcome.cells} cells failed; the reasons are in the report; "
            "`polarmap run … --retry-failed` does them again"
        )
    return 0


def _engine(arguments: argparse.Namespace) -> "Engine":
    """Import torch and the runner that was asked for."""
    print("polarmap: loading torch" + (" and Ray" if arguments.runner == "ray" else ""), file=sys.stderr)
    from orchestrator.runners.environment import prepare_for_ray

    prepare_for_ray()
    from orchestrator.machinery import engine_with

    if arguments.runner == "inline":
        from orchestrator.runners.inline import InlineRunner

        return engine_with(InlineRunner())
    from orchestrator.runners.ray_tune import RayRunner

    return engine_with(RayRunner(address=arguments.address))


def _report(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("run", type=Path, help="a run directory")
    verb.add_argument(
        "--format", choices=("rich", "markdown", "csv", "latex", "json", "html"), default="rich", help="default: rich"
    )
    verb.set_defaults(command=report)


def report(arguments: argparse.Namespace) -> int:
    """`polarmap report RUN`: tables from the ledger alone."""
    from orchestrator.ledger.reading import open_run
    from orchestrator.reporting import report_of
    from orchestrator.terminal.report import print_report

    print_report(report_of(open_run(arguments.run)), arguments.format)
    return 0


VERBS: tuple[tuple[str, Callable[[argparse.ArgumentParser], None], str], ...] = (
    ("init", _init, "write a commented experiment.toml to start from"),
    ("import", _import, "turn a known source into a manifest and images"),
    ("check", _check, "every problem of file, cohort, folds and freeze depths at once; trains nothing"),
    ("plan", _plan, "folds, class balance, work to do and the interval widths to expect; trains nothing"),
    ("run", _run, "the job: search, training, prediction, report; run again to resume"),
    ("report", _report, "tables and figures of a run, from its ledger alone"),
)
