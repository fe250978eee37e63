"""What `check` prints: the cohort as it will be used, what was left out, what to think about."""

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

from orchestrator.driver.prepare import Prepared
from orchestrator.terminal.consoles import standard_output


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The exams of one partition and tracer that some inputs share."""

    partition: str
    tracer: str
    endpoint: str
    inputs: tuple[str, ...]
    exams: pd.DataFrame

    @property
    def all_inputs(self) -> str:
        """The inputs as one text."""
        return ", ".join(self.inputs)


def groups_of(prepared: Prepared) -> Iterator[Group]:
    """Every partition and tracer; inputs that use the same exams share a group."""
    exams, endpoints = prepared.cohort.exams, prepared.loaded.experiment.statistics.endpoints
    sharing: dict[bytes, list[str]] = {}
    for name, mask in prepared.eligible.items():
        sharing.setdefault(mask.tobytes(), []).append(name)
    for partition in ("development", "test"):
        for tracer in sorted(exams["tracer"].unique()):
            for names in sharing.values():
                mask = prepared.eligible[names[0]]  # type: ignore[index] # a key of the same mapping
                chosen = exams[mask & (exams["partition"] == partition) & (exams["tracer"] == tracer)]
                if len(chosen):
                    endpoint = endpoints.get(tracer, "label 1")
                    yield Group(
                        partition=partition, tracer=tracer, endpoint=endpoint, inputs=tuple(names), exams=chosen
                    )


def print_check(prepared: Prepared, console: Console | None = None, *, remark: str | None = None) -> None:
    """Print the cohort and every remark; there are no problems, or it would not be prepared."""
    console = console or standard_output()
    console.print(_cohort_table(prepared))
    for exclusion in prepared.exclusions:
        console.print(
            f"left out of {exclusion.partition}: {exclusion.count} exams, {exclusion.reason}", highlight=False
        )
    for notice in prepared.notices:
        console.print(f"notice: {notice}", highlight=False, markup=False)
    if remark is not None:
        console.print(remark, highlight=False, markup=False, soft_wrap=True)
    console.print("no problems", highlight=False)


def _cohort_table(prepared: Prepared) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title="Cohort", title_justify="left", pad_edge=False)
    for name in ("partition", "tracer", "inputs"):
        table.add_column(name, no_wrap=True)
    table.add_column("positive means")
    for name in ("patients", "exams", "positive", "negative"):
        table.add_column(name, justify="right", no_wrap=True)
    for group in groups_of(prepared):
        exams, positive = group.exams, int(group.exams["label"].sum())
        counts = (exams["patient_id"].nunique(), len(exams), positive, len(exams) - positive)
        table.add_row(group.partition, group.tracer, group.all_inputs, group.endpoint, *map(str, counts))
    return table
