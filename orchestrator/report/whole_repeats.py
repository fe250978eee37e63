"""An incomplete run's whole repeats, for a report over them where one is asked for."""

from dataclasses import replace

from mpi_model.errors import IncompleteRunError
from orchestrator.report.records import RunTables


def whole_repeats(tables: RunTables) -> tuple[RunTables, str]:
    """Leave out every repeat in which a cell of any inputs has no result, so that all inputs keep the same ones.

    Args:
        tables: Of an incomplete run.

    Returns:
        What is left, and the sentence that says what was left out; test predictions stay as they are.

    Raises:
        IncompleteRunError: No repeat is whole.
    """
    due = tables.folds.groupby("repeat")["fold"].nunique() * len(tables.inputs)
    done = tables.cells[tables.cells["repeat"].notna() & (tables.cells["state"] == "complete")].groupby("repeat").size()
    kept = [repeat for repeat, cells in due.items() if done.get(repeat, 0) == cells]
    if not kept:
        raise IncompleteRunError(
            f"none of {len(due)} repeats is whole, so there is nothing to average over; finish the run with "
            "`polarmap run … --retry-failed`"
        )
    cells, predictions = (
        table[table["repeat"].isna() | table["repeat"].isin(kept)] for table in (tables.cells, tables.predictions)
    )
    folds = tables.folds[tables.folds["repeat"].isin(kept)]
    left_out = (
        f"INCOMPLETE, as asked for: cross-validation over {len(kept)} of {len(due)} repeats; the others lack cells, "
        "and cells fail for reasons that have to do with their results"
    )
    return replace(tables, cells=cells, predictions=predictions, folds=folds), left_out
