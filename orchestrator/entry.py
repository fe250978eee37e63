"""The console script: an interrupt while everything else is imported ends without a traceback."""

import signal
import sys
from typing import NoReturn


def entry_point() -> NoReturn:
    """Import the command line and run it; it sets a handler of its own."""
    # Nothing is begun yet, so the system may end the process: a shell sees 130. A background job ignores SIGINT.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from orchestrator.cli import main  # noqa: PLC0415 - after the handler is set

    sys.exit(main())
