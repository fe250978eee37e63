"""A report as Markdown, CSV, LaTeX, JSON or one HTML file that needs nothing else."""

import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from orchestrator.report.layout import Table, as_records
from orchestrator.report.layout_of_run import CHOSEN, chosen_hyperparameters, statements, tables_of
from orchestrator.report.records import Report
from orchestrator.report.spreadsheets import as_csv

_LATEX: Final = MappingProxyType(
    {
        "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
        "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"$<$", ">": r"$>$",
        "±": r"$\pm$", "×": r"$\times$",
        "−": "$-$", "√": r"$\sqrt{}$", "≥": r"$\ge$", "—": "---", "–": "--",
    }
)  # fmt: skip

# What would begin markup, or end a table's cell; a line end is a break inside the cell.
_MARKDOWN: Final = MappingProxyType({**{letter: f"\\{letter}" for letter in "\\`*<|"}, "\n": "<br>"})


def export(report: Report, format: str) -> str:
    """The report as text.

    Args:
        report: What to print.
        format: A key of `_FORMATS`.
    """
    return _FORMATS[format](report)


def _markdown(report: Report) -> str:
    """Pipe tables with a heading each."""
    parts = [f"# {_markdown_cell(report.name)}", *(_markdown_table(table) for table in tables_of(report))]
    lines = [f"- {_markdown_cell(line)}" for line in statements(report)]
    return "\n\n".join([*parts, *(["\n".join(lines)] if lines else [])]) + "\n"


def _csv(report: Report) -> str:
    """The whole summary, one row a method."""
    return as_csv(report.summary)


def _latex(report: Report) -> str:
    """One `table` environment a table, with booktabs rules; needs `booktabs` and `longtable` nowhere else."""
    head = "% needs \\usepackage{booktabs}"
    tables = [_latex_table(table) for table in tables_of(report)]
    return "\n\n".join([head, *tables, *map(_latex_text, statements(report))]) + "\n"


def _to_json(report: Report) -> str:
    """Everything, with null for what does not exist."""
    chosen = chosen_hyperparameters(report.cells)
    content = {
        "name": report.name,
        "facts": dict(report.facts),
        "test_openings": report.openings,
        "validations": {
            name: dict(zip(("uses", "networks"), both, strict=True)) for name, both in report.validations.items()
        },
        "case_mix": as_records(report.case_mix),
        "exclusions": [dict(zip(("partition", "reason", "exams"), line, strict=True)) for line in report.exclusions],
        "notices": list(report.notices),
        "summary": as_records(report.summary),
        "unstable_exams": as_records(report.unstable),
        CHOSEN: [dict(zip(("hyperparameter", *chosen.columns[1:]), map(str, row), strict=True)) for row in chosen.rows],
        **{name: as_records(frame) for name, frame in report.extracts.items()},
    }
    # `allow_nan=False`: NaN is not JSON, and a missing value must be null.
    return json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def _to_html(report: Report) -> str:
    """One page: sections, figures as inline SVG, no script and nothing to load."""
    # Imported here: only this format needs Jinja.
    from orchestrator.report.page.rendering import page_of  # noqa: PLC0415

    return page_of(report)


# The formats that are text; `rich` is in `orchestrator.terminal.tables`.
_FORMATS: Final[Mapping[str, Callable[[Report], str]]] = MappingProxyType(
    {"markdown": _markdown, "csv": _csv, "latex": _latex, "json": _to_json, "html": _to_html}
)


def _markdown_cell(text: str) -> str:
    # An interval keeps its brackets; a link, which is a bracket and a parenthesis, does not become one.
    return "".join(_MARKDOWN.get(letter, letter) for letter in text).replace("](", "]\\(")


def _markdown_table(table: Table) -> str:
    rows = [table.columns, tuple("---" for _ in table.columns), *table.rows]
    lines = ["| " + " | ".join(_markdown_cell(str(cell)) for cell in row) + " |" for row in rows]
    note = [f"\n{_markdown_cell(str(table.note))}"] if table.note else []
    return "\n".join([f"## {_markdown_cell(table.title)}\n", *lines, *note])


def _latex_text(text: str) -> str:
    # An empty line in an argument would end it.
    return "".join(_LATEX.get(letter, letter) for letter in text.replace("\n", " "))


def _latex_table(table: Table) -> str:
    # A cell of `tabular` has one line only.
    rows = [" & ".join(_latex_text(str(cell)) for cell in row) + r" \\" for row in table.rows]
    heads = " & ".join(map(_latex_text, table.columns)) + r" \\"
    note = [rf"\par\smallskip\footnotesize {_latex_text(str(table.note))}"] if table.note else []
    return "\n".join(
        [
            r"\begin{table}",
            rf"\caption{{{_latex_text(table.title)}}}",
            rf"\begin{{tabular}}{{{'l' * len(table.columns)}}}",
            *(r"\toprule", heads, r"\midrule", *rows, r"\bottomrule", r"\end{tabular}"),
            *note,
            r"\end{table}",
        ]
    )
