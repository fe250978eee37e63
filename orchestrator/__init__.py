"""From a cohort to tables with honest intervals: folds, search, runners, ledger, statistics, report.

`open_run(path)` gives a run's tables as pandas data frames.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.ledger.reading import Run, open_run

__all__ = ["Run", "open_run"]


def __getattr__(name: str) -> object:
    """Import the reader when it is asked for: `polarmap --help` should not wait for pandas (PEP 562)."""
    if name in __all__:
        from orchestrator.ledger import reading  # noqa: PLC0415 - the lazy door that PEP 562 describes

        return getattr(reading, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
