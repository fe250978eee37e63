"""Why a cell was lost, recognised in the text of Ray's error; no Ray here.

Ray keeps the cause of an actor's death only as text. It is read in this one place. A test ends real workers and real
nodes and compares, so that another text in another version of Ray is noticed.
"""

import re
from collections.abc import Mapping
from typing import Final, Literal

Cause = Literal["error", "worker", "node", "host_memory", "gpu_memory", "gpu_fault", "gpu_unfit", "hung"]

CAUSE_MESSAGES: Final[Mapping[Cause, str]] = {
    "error": "an error in its worker",
    "worker": "its worker process died",
    "node": "its node was lost",
    "host_memory": "its host ran out of memory; lower the cells at a time by raising `resources.cpus_per_cell`",
    "gpu_memory": "its share of a GPU was too small",
    "gpu_fault": "the GPU failed under it",
    "gpu_unfit": "the GPU of its node does not compute; that node gets no more cells",
    "hung": "its worker gave no sign until its deadline and was ended; run.log has its stack",
}
"""Each cause as a message that names a remedy where there is one."""

_LONGEST_MESSAGE: Final = 200
_KILLED: Final = re.compile(r"Selected to kill: \(.*?\bpid=(\d+)")
_COLOUR: Final = re.compile(r"\x1b\[\d*m")


def cause_of(text: str) -> Cause:
    """Why a worker was lost, from Ray's text of the error.

    Args:
        text: What Tune wrote into the trial's error file, or the text of the error that ended Tune.
    """
    if "due to the node running low on memory" in text:
        return "host_memory"
    if "its node has died" in text or re.search(r"The actor \w+ is unavailable", text):
        return "node"
    if "died unexpectedly before finishing this task" in text:
        return "worker"
    # A traceback from inside a worker names its function as `ray::…`; without one the process itself has died.
    return "error" if "ray::" in text else "worker"


def reason_of(text: str, cause: Cause, attempts: int) -> str:
    """One line for a cell that failed for good."""
    if cause != "error":
        return f"{CAUSE_MESSAGES[cause]} ({attempts} attempt{'s' if attempts > 1 else ''})"
    lines = [line for line in _COLOUR.sub("", text).splitlines() if line.strip()]
    return f"{CAUSE_MESSAGES[cause]}: {lines[-1].strip()[:_LONGEST_MESSAGE] if lines else 'without a message'}"


def killed_process(text: str) -> int | None:
    """The process that Ray's memory monitor ended, where its text names one."""
    found = _KILLED.search(text)
    return int(found.group(1)) if found else None
