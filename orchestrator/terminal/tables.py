"""A report in the terminal: short by default, every method and subgroup on request."""

from rich import box
from rich.console import Console, Group
from rich.table import Table as RichTable
from rich.text import Text

from orchestrator.report.export import export
from orchestrator.report.layout import Table
from orchestrator.report.layout_of_run import statements, tables_of
from orchestrator.report.records import Report
from orchestrator.terminal.consoles import standard_output

_KEPT_WIDTH = 16
"""The longest line that is never wrapped: an estimate with its interval or spread."""
_WORD_WIDTH = 12
"""Words up to this length are not broken: "Mann–Whitney"."""


def print_report(report: Report, text_format: str, *, full: bool = False) -> None:
    """Print a report on standard output, in a format of `polarmap report`; a rich one is short unless `full`."""
    _render(report, text_format, standard_output(), full=full)


def _render(report: Report, format: str, console: Console, *, full: bool = True) -> None:
    """Print a report.

    Args:
        report: What to print.
        format: `rich`, or a key of `export.FORMATS`, whose text goes to the console's file as it is.
        console: Where to.
        full: Whether a rich report holds every method and subgroup, or what leads; texts always hold all.
    """
    if format != "rich":
        console.file.write(export(report, format))
        return
    console.print(Text(report.name, style="bold"))
    for table in tables_of(report, full=full):
        console.print(Group(Text(), _as_rich(table)))
    for line in statements(report):
        console.print(Text(line))


def _as_rich(table: Table) -> RichTable:
    """The table for a terminal; cells are text, never markup."""
    shown = RichTable(
        title=Text(table.title),
        title_justify="left",
        caption=Text(str(table.note)) if table.note else None,
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    texts = [[str(cell) for cell in row] for row in table.rows]
    for name, cells in zip(table.columns, zip(*texts, strict=True), strict=True):
        widest = max(len(line) for cell in cells for line in cell.splitlines() or [""])
        # Numbers with their intervals stay on their lines; in a narrow terminal the words around them wrap.
        words = max(len(word) for cell in (name, *cells) for word in cell.split() or [""])
        shown.add_column(
            Text(name.replace(" (", "\n(")),
            overflow="fold",
            no_wrap=widest <= _KEPT_WIDTH and len(table.columns) < 7,
            min_width=min(words, _WORD_WIDTH),
        )
    for row in texts:
        shown.add_row(*map(Text, row))
    return shown
