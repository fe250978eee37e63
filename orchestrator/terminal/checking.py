"""What `check` prints: the cohort as it will be used, the exclusions and the notices."""

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

from orchestrator.driver.cohort_check import CohortCheck
from orchestrator.terminal.consoles import standard_output


def print_check(check: CohortCheck, console: Console | None = None) -> None:
    """Print the cohort and every remark; there are no problems, or they would have been raised."""
    console = console or standard_output()
    console.print(_cohort_table(check.cohort))
    for partition, reason, exams in check.exclusions.itertuples(index=False):
        console.print(f"left out of {partition}: {exams} exams, {reason}", highlight=False)
    for notice in check.notices:
        console.print(f"notice: {notice}", highlight=False, markup=False)
    # The last line before the verdict, because it names what `run` would do now.
    if check.resumes is not None:
        console.print(check.resumes, highlight=False, markup=False, soft_wrap=True)
    console.print("no problems", highlight=False)


def _cohort_table(cohort: pd.DataFrame) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title="Cohort", title_justify="left", pad_edge=False)
    for name in ("partition", "tracer", "inputs"):
        table.add_column(name, no_wrap=True)
    # The only column that may wrap: an endpoint's definition is a sentence.
    table.add_column("positive means")
    for name in ("patients", "exams", "positive", "negative"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in cohort.itertuples(index=False):
        table.add_row(*map(str, row))
    return table
