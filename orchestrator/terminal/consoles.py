"""Standard output as rich sees it: the terminal's width, or a wide page where the output goes to a file."""

import sys
from typing import Final

from rich.console import Console

PIPED_WIDTH: Final = 160
"""Columns where standard output is not a terminal: a file should hold whole lines."""


def standard_output() -> Console:
    """A console on standard output."""
    console = Console(file=sys.stdout)
    return console if console.is_terminal else Console(file=sys.stdout, width=PIPED_WIDTH)
