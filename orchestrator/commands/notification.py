"""`--notify COMMAND`: a command of the user's own at the end of a long one, told the outcome by its environment.

What it does is its own affair: it changes no exit code, it has a minute, and what it says is shown bounded, without
characters that command a terminal.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from typing import Final

from mpi_model.errors import PolarmapError
from mpi_model.printable import printable

_SECONDS: Final = 60.0
_MOST_BYTES: Final = 4000
_MOST_LINES: Final = 20
_OUTCOMES: Final = {0: "done", 1: "bug", 2: "refused", 3: "cohort", 4: "incomplete", 130: "interrupted"}
"""The exit codes of the command line, in a word each."""
_COUNTED: Final = (0, 4, 130)
"""Codes after which the run directory is read; after others it may be what failed, and would be waited for again."""


def notify(arguments: argparse.Namespace, code: int) -> None:
    """Run the command that was asked for, whatever comes of it.

    Args:
        arguments: Of the command that has ended.
        code: Its exit code.
    """
    try:
        said = _run(arguments.notify, os.environ | _outcome(arguments, code))
    # Its end is the user's: an interrupt or a missing shell changes nothing of what was done.
    except (OSError, KeyboardInterrupt) as error:
        said = [f"the notification command was not run to its end ({type(error).__name__})"]
    for line in said:
        print(f"polarmap: {printable(line)}", file=sys.stderr)


def _outcome(arguments: argparse.Namespace, code: int) -> dict[str, str]:
    """The environment's variables."""
    outcome = {"POLARMAP_EXIT_CODE": str(code), "POLARMAP_OUTCOME": _OUTCOMES.get(code, "ended")}
    # The experiment file may be what was refused.
    with suppress(PolarmapError, OSError, ValueError):
        from orchestrator.commands.checks import loaded_from  # noqa: PLC0415 - where it is asked for
        from orchestrator.ledger.paths import run_paths  # noqa: PLC0415
        from orchestrator.monitoring.status import status_of  # noqa: PLC0415

        loaded = loaded_from(arguments)
        outcome |= {"POLARMAP_NAME": loaded.experiment.name, "POLARMAP_RUN": loaded.run_directory}
        if code in _COUNTED:
            now = status_of(run_paths(loaded.run_directory)).progress
            left = now.total - now.complete - now.failed
            outcome |= {
                "POLARMAP_CELLS": str(now.total),
                "POLARMAP_CELLS_COMPLETE": str(now.complete),
                "POLARMAP_CELLS_FAILED": str(now.failed),
                "POLARMAP_CELLS_LEFT": str(left),
            }
    return outcome


def _run(command: str, environment: dict[str, str]) -> list[str]:
    """Run it by the shell, in a session of its own; what is to be said afterwards."""
    # A file, not a pipe: what it leaves running in the background may keep a pipe open for ever.
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command,
            shell=True,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
        try:
            code: int | None = process.wait(_SECONDS)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            if process.poll() is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        output.seek(0)
        said = output.read(_MOST_BYTES).decode("utf-8", "replace").splitlines()[:_MOST_LINES]
    lines = [f"notify: {line}" for line in said if line.strip()]
    if code is None:
        lines.append(f"the notification command was ended after {_SECONDS:.0f} s")
    elif code:
        lines.append(f"the notification command ended with code {code}; the run's own exit code stays")
    return lines
