"""What `explain` prints: where scores come from, a line a group of exams."""

import pandas as pd
from rich import box
from rich.table import Table

from orchestrator.cohort.segments import TERRITORIES
from orchestrator.report.layout import MISSING, PARTITION_NAMES, Record, as_records, grouped
from orchestrator.terminal.consoles import standard_output

_NETWORKS = {
    "trained": "the run's",
    "randomised": "random weights",
    "permuted": "permuted labels",
    "none": "none: the map itself",
}


def print_attributions(groups: pd.DataFrame) -> None:
    """Print the shares of the vascular territories for each tracer, input configuration and class.

    Args:
        groups: The run's `attributions`.
    """
    table = Table(
        box=box.SIMPLE_HEAD,
        title="Share of the attribution by vascular territory, and its order's correlation with the run's networks",
        title_justify="left",
        pad_edge=False,
    )
    for name in ("tracer", "inputs", "partition", "label", "network", *TERRITORIES, "stress", "correlation"):
        table.add_column(name)
    shown = groups[groups["outcome"].isna()]
    names = ["tracer", "inputs", "partition", "label", "network"]
    for (tracer, inputs, partition, label, network), rows in grouped(as_records(shown), *names):
        found = {(row["metric"], row["phase"], row["region"]): row for row in rows}
        # With two phases their sum has no phase.
        phase = next((key[1] for key in found if key[0] == "share" and key[1] is None), inputs)
        table.add_row(
            tracer,
            inputs,
            PARTITION_NAMES[partition],
            str(label),
            _NETWORKS[network],
            *(_interval(found.get(("share", phase, name))) for name in TERRITORIES),
            _interval(found.get(("share", "stress", "all"))) if phase is None else MISSING,
            _interval(found.get(("rank_correlation", None, "all"))),
        )
    standard_output().print(table)


def _interval(row: Record | None) -> str:
    if row is None or row["estimate"] is None:
        return MISSING
    return f"{row['estimate']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"
