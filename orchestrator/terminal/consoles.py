"""Standard output as rich sees it: the terminal's width, or a wide page where the output goes to a file."""

import sys
from typing import Final

from rich.console import Console

_PIPED_WIDTH: Final = 160
"""Columns where standard output is not a terminal: a file should hold whole lines."""


class _Output(Console):
    """A console whose broken pipe is an error like any other; rich would end the process without a word."""

    def on_broken_pipe(self) -> None:
        """Let the last door of the command line say it."""
        raise BrokenPipeError


def standard_output() -> Console:
    """A console on standard output."""
    width = None if sys.stdout.isatty() else _PIPED_WIDTH
    # Texts come from users' files: a bracket in an endpoint is a bracket, not markup.
    return _Output(file=sys.stdout, width=width, markup=False, highlight=False)
