"""How far a run is as a text file of Prometheus' exposition format, for the node exporter's textfile collector."""

from collections.abc import Iterator

from orchestrator.monitoring.progress import RunProgress


def metrics_text(run: str, progress: RunProgress, *, since_result: float, now: float, over: bool) -> str:
    """The metrics of one moment.

    Args:
        run: The run directory's name.
        progress: How far the run is.
        since_result: Seconds since the last finished candidate or cell, or since the driver began.
        now: Seconds since 1970. A driver that was killed leaves its last file behind: only a moment in time shows that.
        over: Whether the driver ended by itself.
    """
    label = f'run="{_escaped(run)}"'
    return "".join(_lines(label, progress, since_result, now, over))


def _lines(label: str, progress: RunProgress, since_result: float, now: float, over: bool) -> Iterator[str]:
    states = {"complete": progress.complete, "failed": progress.failed}
    states["under_way"] = sum(one.under_way for one in progress.cells)
    states["left"] = sum(one.left for one in progress.cells)
    yield "# HELP polarmap_cells Cells of the run by state.\n# TYPE polarmap_cells gauge\n"
    yield from (f'polarmap_cells{{{label},state="{state}"}} {count}\n' for state, count in states.items())
    for name, kind, text, value in (
        ("candidates_total", "counter", "Candidates that this driver has finished.", progress.candidates),
        ("seconds_since_last_result", "gauge", "Seconds since a candidate or a cell ended.", round(since_result, 1)),
        ("last_result_timestamp_seconds", "gauge", "When one ended, since 1970.", round(now - since_result, 1)),
        ("written_timestamp_seconds", "gauge", "When this file was written, since 1970.", round(now, 1)),
        ("driver_over", "gauge", "1 where the driver has ended by itself.", int(over)),
    ):
        yield f"# HELP polarmap_{name} {text}\n# TYPE polarmap_{name} {kind}\npolarmap_{name}{{{label}}} {value}\n"


def _escaped(value: str) -> str:
    """A label's value as the format wants it."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
