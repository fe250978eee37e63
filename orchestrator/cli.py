"""The command line: the parser, and the last door for errors.

Tables go to standard output, progress and errors to standard error. A person's error is one or two lines and
an exit code (see `mpi_model.errors`); a traceback appears only with `--debug`. What a verb does lies in
`orchestrator.commands` and is imported when the verb is called, so that `--help` waits for nothing.
"""

import argparse
import contextlib
import errno
import importlib
import io
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from mpi_model.errors import PolarmapError
from mpi_model.printable import printable
from orchestrator.commands.verbs import VERBS
from orchestrator.output_files import private_files

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

_INTERRUPTED: Final = 130
_BUG: Final = 1
_USAGE: Final = 2
_DIGITS_OF_A_DATE: Final = 11
"""Of seconds since 1970: Python's dates end with the year 9999, which has twelve."""
_MOST_PROBLEMS: Final = 100
"""Lines that are said of one refusal; a file of twenty thousand wrong keys has as many problems."""
_OWN: Final = ("polarmap", "orchestrator", "mpi_model", "search_spaces")
_REMEDIES: Final = {
    errno.ENAMETOOLONG: "a name or a path is too long: shorten it, or move the files to a shorter path",
    errno.ELOOP: "a symbolic link leads back to itself: name another place",
    errno.EMFILE: "too many files are open: allow more with `ulimit -n`",
}
"""What to do by the system's reason, where neither room nor rights are missing."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: The words after `polarmap`; the process's own by default.

    Returns:
        The exit code: 0 done, 1 a bug, 2 usage or experiment file, 3 cohort or folds, 4 incomplete, 130 interrupted.
    """
    _prepare_process()
    if problem := _unusable_process():
        print(f"polarmap: {problem}", file=sys.stderr)
        return _USAGE
    try:
        arguments = parser().parse_args(argv)
    except OSError as error:
        return _cannot_go_on(error)
    except SystemExit:  # --help, --version, or words that are wrong
        try:
            sys.stdout.flush()
        except OSError as error:
            return _cannot_go_on(error)
        raise
    signal.signal(signal.SIGTERM, _interrupt)
    # A shell's background job ignores SIGINT, and goes on doing so.
    if signal.getsignal(signal.SIGINT) in (signal.default_int_handler, signal.SIG_DFL):
        signal.signal(signal.SIGINT, _interrupt)
    code = _guarded(arguments)
    try:
        sys.stdout.flush()
    except OSError as error:
        code = code or _cannot_go_on(error)
    if getattr(arguments, "notify", None):
        from orchestrator.commands.notification import notify  # noqa: PLC0415 - where it is asked for

        notify(arguments, code)
    return code


def _prepare_process() -> None:
    """Standard error that is closed goes nowhere, and names of files that are no text are printed as escapes."""
    # No figure is ever shown; another backend's name that is none would end Matplotlib when it is imported.
    os.environ["MPLBACKEND"] = "agg"
    # That it makes itself another folder for its fonts changes nothing here.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    if sys.stderr is None:
        # Whatever is opened next would get its number, and libraries write their warnings there.
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - as long as the process
    # Nothing but bytes that are no UTF-8, in the name of a file or folder, cannot be written as UTF-8.
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.encoding.casefold().replace("-", "") == "utf8":
        sys.stdout.reconfigure(errors="backslashreplace")


def _unusable_process() -> str:
    """What no command can work with; empty where all is well."""
    try:
        os.getcwd()
    except OSError:
        # Libraries that are loaded later, torch's among them, would end the process in words of their own.
        return "the current folder no longer exists; change to another one"
    if sys.stdout is None:
        # Whatever is opened next would get its number, and be written to by mistake.
        return "standard output is closed; give it a file, a pipe or a terminal"
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "0")
    if not epoch.isdecimal() or len(epoch) > _DIGITS_OF_A_DATE:
        # NumPy and Matplotlib read it as a date when they are imported.
        return "SOURCE_DATE_EPOCH in the environment is not a whole number of seconds since 1970; correct or unset it"
    if os.path.exists("matplotlibrc") and not os.path.isdir("matplotlibrc") and not os.path.isfile("matplotlibrc"):
        # Matplotlib opens it when it is imported, and would wait for the writer of a named pipe.
        return "matplotlibrc in this folder is not a file, and Matplotlib would wait for it; remove it"
    return ""


def _guarded(arguments: argparse.Namespace) -> int:
    """Do what a command asks; every error ends here, in one line and a documented code."""
    try:
        module, verb = arguments.command
        command: Callable[[argparse.Namespace], int] = getattr(
            importlib.import_module(f"orchestrator.commands.{module}"), verb
        )
        with private_files():
            return command(arguments)
    except PolarmapError as error:
        return _refused(error, arguments.debug)
    except KeyboardInterrupt:
        print("polarmap: interrupted; the same command goes on from what is finished", file=sys.stderr)
        return _INTERRUPTED
    except MemoryError:
        print("polarmap: there is not enough memory; close other programs, or ask for less", file=sys.stderr)
        return _USAGE
    except UnicodeEncodeError as error:
        if arguments.debug:
            raise
        if any(0xDC80 <= ord(letter) <= 0xDCFF for letter in error.object[error.start : error.end]):
            print("polarmap: the name of a file or folder holds bytes that are no UTF-8; rename it", file=sys.stderr)
            return _USAGE
        print(
            f"polarmap: standard output is {error.encoding}, which cannot hold every letter of this text; "
            "set PYTHONIOENCODING=utf-8, or LC_ALL=C.UTF-8",
            file=sys.stderr,
        )
        return _USAGE
    except OSError as error:
        if arguments.debug:
            raise
        return _cannot_go_on(error)
    except Exception as error:  # the last door: whatever comes here is a bug, said in one line
        if arguments.debug:
            raise
        if _is_of_an_import(error):
            print(
                f"polarmap: a library cannot be loaded ({_kind_and_place(error)}); a variable of the environment that "
                "it reads holds what it does not take, or it is damaged: unset the variable, or install it again",
                file=sys.stderr,
            )
            return _USAGE
        # What the error says may quote a patient's data; its kind and place do not.
        print(
            f"polarmap: a bug: {_kind_and_place(error)}; `polarmap --debug …` shows where; please report it",
            file=sys.stderr,
        )
        return _BUG


def _cannot_go_on(error: OSError) -> int:
    """The system refuses: a reader that went away, a full disk, a missing right. No bug, and nothing to trace.

    The error's file name is left out: it may be the path of a patient's file.
    """
    with contextlib.suppress(OSError, ValueError):
        # Python flushes again when it ends, and would complain once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):
        print("polarmap: what reads standard output ended before everything was written", file=sys.stderr)
    else:
        remedy = _REMEDIES.get(
            error.errno or 0, "look for room and rights, on standard output too, then run the same command again"
        )
        print(
            f"polarmap: the system refuses to go on ({error.strerror or type(error).__name__}); {remedy}",
            file=sys.stderr,
        )
    return _USAGE


def _refused(error: PolarmapError, debug: bool) -> int:
    if debug:
        logging.getLogger("polarmap").error("refused", exc_info=error)
    for problem in error.problems[:_MOST_PROBLEMS]:
        # A problem may quote a name from a file: it must not command the terminal.
        print(f"polarmap: {printable(problem)}", file=sys.stderr)
    if (more := len(error.problems) - _MOST_PROBLEMS) > 0:
        print(f"polarmap: … and {more} more problems; correct these first", file=sys.stderr)
    return error.exit_code


def _is_of_an_import(error: Exception) -> bool:
    """Whether it was raised while a library was loaded: by the body of a module that is none of ours."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    bodies = [frame.f_globals.get("__name__", "") for frame in frames if frame.f_code.co_name == "<module>"]
    return any(str(name).partition(".")[0] not in (*_OWN, "__main__") for name in bodies)


def _kind_and_place(error: Exception) -> str:
    *_, (frame, line) = traceback.walk_tb(error.__traceback__)
    return f"{type(error).__name__} at line {line} of {Path(frame.f_code.co_filename).name}"


class _Interrupt(KeyboardInterrupt):
    """Python ends a process of `python -m` by SIGINT where a KeyboardInterrupt itself left an `exec`, caught or not.

    Imports use `exec` of text (dataclasses do), so an interrupt during one would end without its exit code.
    """


def _interrupt(number: int, frame: object) -> NoReturn:
    raise _Interrupt


def parser() -> argparse.ArgumentParser:
    """Every verb with its arguments."""
    root = _Parser(
        prog="polarmap",
        description="How well does a network read stress/rest SPECT myocardial perfusion polar maps? Nested, "
        "patient-stratified cross-validation on Ray Tune, with intervals whose coverage was simulated.",
        epilog="exit codes: 0 done, 1 a bug, 2 usage or experiment file, 3 cohort or folds, 4 incomplete, "
        "130 interrupted",
    )
    root.add_argument("--debug", action="store_true", help="show tracebacks")
    root.add_argument("--version", action=_Version, help="print the version, and end")
    root.add_argument(
        "--print-completion", action=_Completion, choices=("bash", "zsh", "tcsh"), help="print completions for a shell"
    )
    # After a verb the flag must not have a default, which would take back a --debug that came before the verb.
    debug = _Parser(add_help=False)
    debug.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    verbs = root.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for name, add, command, text in VERBS:
        verb = verbs.add_parser(name, help=text, description=text, parents=[debug])
        verb.set_defaults(command=command)
        add(verb)
    return root


class _Parser(argparse.ArgumentParser):
    """A parser whose messages do not command the terminal: they quote what was typed, or came from a variable."""

    def print_help(self, file: "SupportsWrite[str] | None" = None) -> None:
        """Print the help; argparse itself says nothing where there is no room for it."""
        print(self.format_help(), end="", file=file or sys.stdout)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the words, and end."""
        super().error(printable(message))


class _Version(argparse.Action):
    """Prints the installed version; `importlib.metadata` is imported only when it is asked for."""

    def __init__(self, option_strings: Sequence[str], dest: str, help: str) -> None:
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        print(f"polarmap {importlib.import_module('importlib.metadata').version('polarmap-tune')}")
        parser.exit()


class _Completion(argparse.Action):
    """Prints a shell's completion script; shtab is imported only when it is asked for."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: object, _: object = None
    ) -> None:
        print(importlib.import_module("shtab").complete(parser, shell=values))
        parser.exit()
