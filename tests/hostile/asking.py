"""One command in this process, ended where it takes longer than anybody waits."""

import signal
from collections.abc import Sequence

from orchestrator.cli import main

SECONDS = 20


class Hung(BaseException):
    """The command did not come back in time; no `except Exception` of the command catches this."""


def ask(words: Sequence[str]) -> int:
    """The exit code of a command."""

    def ring(number: int, frame: object) -> None:
        raise Hung

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(SECONDS)
    try:
        return main(list(words))
    except SystemExit as ended:  # argparse ends by itself
        return int(ended.code or 0)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
