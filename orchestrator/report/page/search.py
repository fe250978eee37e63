"""The search: what was tried, what was chosen, and by how much choosing flatters."""

from orchestrator.report.layout import MISSING, Record, Table, grouped, numbered
from orchestrator.report.layout_of_run import chosen_hyperparameters
from orchestrator.report.records import EVERYONE, FLAT_SEARCH, Report, is_of_flat_search
from orchestrator.report.traced import Phrase, of_json, of_summary

_OPTIMISM = ("auc_of_search", "auc_bias_corrected", "auc", "optimism", "test")
_COLUMNS = ("", "best candidates, where chosen", "BBC-CV", "cross-validated AUC", "optimism", "test AUC")


def search(report: Report) -> tuple[Table, ...] | None:
    """The tables under the figures of a search; None for predictions made elsewhere."""
    tables = (_counts(report), chosen_hyperparameters(report.cells), _optimism(report))
    found = tuple(table for table in tables if table is not None and table.rows)
    return found or None


def _counts(report: Report) -> Table | None:
    frame = report.extracts.get("candidate_counts")
    if frame is None:
        return None
    columns = [str(name) for name in frame.columns[1:]]
    body = tuple(
        (row["inputs"], *(of_json(str(row[name]), "candidate_counts", row["row"], name) for name in columns))
        for row in numbered(frame)
    )
    return Table(title="Candidates", columns=("inputs", *columns), rows=body)


def _optimism(report: Report) -> Table | None:
    """The AUC that the search saw beside the nested one."""
    rows = [row for row in numbered(report.summary) if row["subgroup"] == EVERYONE]
    rows = [row for row in rows if row["model"] == rows[0]["model"] and row["state"] == "ok"]
    wanted = [row for row in rows if row["metric"] in _OPTIMISM and (row["metric"] != "auc" or row["primary"])]
    body = []
    for (tracer, inputs), mine in grouped(wanted, "tracer", "inputs"):
        found = {"test" if row["partition"] == "test" else row["metric"]: row for row in mine}
        # Without it where a class has too few patients for an AUC.
        if "optimism" in found and found["optimism"]["estimate"] is not None:
            body.append((f"{tracer}, {inputs}", *(_number(found.get(name)) for name in _OPTIMISM)))
    # Columns that no row fills are left out: BBC-CV is of flat searches, and the test may be closed.
    kept = [place for place in range(len(_COLUMNS)) if any(line[place] != MISSING for line in body)]
    flat = any(map(is_of_flat_search, wanted))
    return Table(
        title="Optimism of the search",
        columns=tuple(_COLUMNS[place] for place in kept),
        rows=tuple(tuple(line[place] for place in kept) for line in body),
        note=f"{_FLAT} Optimism: the first column less the cross-validated AUC." if flat else _NESTED,
    )


_NESTED = (
    "A search reports its best candidate on the inner folds that it was chosen by, here as a mean over tracers; the "
    "outer folds took no part. Optimism: that value less the mean of the cross-validated AUCs over tracers. It may be "
    "negative: a candidate of the search learned from fewer patients, and was one network where the model has several."
)
_FLAT = (
    f"{FLAT_SEARCH.capitalize()}: best candidates on the folds that they were chosen by. BBC-CV takes off most of what "
    "choosing adds. In the cross-validated AUC each choice was made without the patients judged."
)


def _number(row: Record | None) -> Phrase:
    return MISSING if row is None or row["estimate"] is None else of_summary(row, f"{row['estimate']:.3f}", "estimate")
