"""The run's log as JSON lines: one object a line, the same few keys, for people with `jq` and for machines.

Messages are polarmap's own sentences about cells and candidates. No patient's id and no path of a patient's file is
ever among them. A worker has none, and of an error in the driver only its type and its place are written.
"""

import datetime
import json
import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Final

from orchestrator.ledger.paths import RunPaths

_ROOT: Final = logging.getLogger("polarmap")
_LOG: Final = logging.getLogger("polarmap.run")
_FIELDS: Final = "polarmap_fields"
"""The attribute of a log record that holds the keys of `event`."""


@contextmanager
def logging_to(paths: RunPaths) -> Iterator[None]:
    """Send what polarmap logs to the run's log, and nowhere else, while the run goes on."""
    handler = paths.storage.log_handler(paths.log.name)
    handler.setFormatter(_JsonLines())
    propagate, level = _ROOT.propagate, _ROOT.level
    _ROOT.addHandler(handler)
    # Otherwise a program that uses polarmap as a library would print every event, too.
    _ROOT.propagate = False
    _ROOT.setLevel(logging.INFO)
    try:
        yield
    finally:
        _ROOT.removeHandler(handler)
        _ROOT.propagate = propagate
        _ROOT.setLevel(level)
        # Last: object storage gets the final lines only now.
        handler.close()


def event(level: int, name: str, message: str, **fields: object) -> None:
    """Log one event of a run.

    Args:
        level: As in `logging`.
        name: What happened, for machines: `cell_finished`.
        message: The same for people.
        fields: Further keys, those that are None left out: `cell`, `candidate`, `attempt`, `seconds`, `traceback`, …
    """
    kept = {key: value for key, value in fields.items() if value is not None}
    _LOG.log(level, "%s", message, extra={_FIELDS: {"event": name, **kept}})


class _JsonLines(logging.Formatter):
    """One JSON object a record: `time` (UTC), `level`, `event`, `message`, then what the event adds."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter.format`."""
        fields = dict(getattr(record, _FIELDS, {"event": "remark"}))
        when = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        line = {
            "time": when.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": fields.pop("event"),
            "message": record.getMessage(),
            **fields,
        }
        if record.exc_info and record.exc_info[0] is not None:
            line["traceback"] = without_message(record.exc_info[0], record.exc_info[2])
        return json.dumps(line, ensure_ascii=False)


def without_message(kind: type[BaseException], frames: TracebackType | None) -> str:
    """A traceback that ends with the error's kind: its message may quote a patient's data."""
    return "".join([*traceback.format_tb(frames), kind.__name__])
