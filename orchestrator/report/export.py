"""A report as Markdown, CSV, LaTeX, JSON or one HTML file that needs nothing else."""

import html
import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from orchestrator.report.layout import Table, as_records
from orchestrator.report.layout_of_run import statements, tables_of
from orchestrator.report.records import Report

_STYLE: Final = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 68rem; margin: 2rem auto; padding: 0 1rem; color:
#1a1a1a; } table { border-collapse: collapse; margin: 0.4rem 0 0.2rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding: 1.2rem 0 0.3rem; }
th, td { text-align: left; vertical-align: top; padding: 0.25rem 0.9rem 0.25rem 0; border-bottom: 1px solid
#ddd; } th { border-bottom: 2px solid #555; }
td { white-space: pre-line; }
p.note { color: #555; font-size: 0.9em; margin-top: 0.2rem; }
figure { margin: 1.5rem 0; }
figure svg { max-width: 100%; height: auto; }
"""

_LATEX: Final = MappingProxyType(
    {
        "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
        "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"$<$", ">": r"$>$",
        "±": r"$\pm$", "×": r"$\times$",
        "−": "$-$", "√": r"$\sqrt{}$", "≥": r"$\ge$", "—": "---", "–": "--",
    }
)  # fmt: skip

# What would begin markup, or end a table's cell; a line end is a break inside the cell.
_MARKDOWN: Final = MappingProxyType({**{letter: f"\\{letter}" for letter in "\\`*[]<|"}, "\n": "<br>"})
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


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
    texts = report.summary.select_dtypes(["object", "string"]).columns
    cells = {name: report.summary[name].map(_csv_cell) for name in texts}
    return report.summary.assign(**cells).to_csv(index=False, lineterminator="\n")


def _latex(report: Report) -> str:
    """One `table` environment a table, with booktabs rules; needs `booktabs` and `longtable` nowhere else."""
    head = "% needs \\usepackage{booktabs}"
    tables = [_latex_table(table) for table in tables_of(report)]
    return "\n\n".join([head, *tables, *map(_latex_text, statements(report))]) + "\n"


def _to_json(report: Report) -> str:
    """Everything, with null for what does not exist."""
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
    }
    # `allow_nan=False`: NaN is not JSON, and a missing value must be null.
    return json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def _to_html(report: Report) -> str:
    """One page: tables, figures as inline SVG, no script and nothing to load."""
    title = html.escape(report.name)
    tables = "\n".join(_html_table(table) for table in tables_of(report))
    figures = "\n".join(
        f"<figure>{_svg_element(svg)}<figcaption>{html.escape(name)}</figcaption></figure>"
        for name, svg in report.figures.items()
    )
    lines = "".join(f"<li>{html.escape(line)}</li>" for line in statements(report))
    head = f'<meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
    body = f"<h1>{title}</h1>\n{tables}\n<ul>{lines}</ul>\n{figures}"
    return f'<!doctype html>\n<html lang="en">\n<head>{head}</head>\n<body>\n{body}\n</body>\n</html>\n'


# The formats that are text; `rich` is in `orchestrator.terminal.tables`.
_FORMATS: Final[Mapping[str, Callable[[Report], str]]] = MappingProxyType(
    {"markdown": _markdown, "csv": _csv, "latex": _latex, "json": _to_json, "html": _to_html}
)


def _csv_cell(value: object) -> object:
    """A text that a spreadsheet would take for a formula gets an apostrophe before it (OWASP, CSV injection)."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _markdown_cell(text: str) -> str:
    return "".join(_MARKDOWN.get(letter, letter) for letter in text)


def _markdown_table(table: Table) -> str:
    rows = [table.columns, tuple("---" for _ in table.columns), *table.rows]
    lines = ["| " + " | ".join(_markdown_cell(cell) for cell in row) + " |" for row in rows]
    note = [f"\n{_markdown_cell(table.note)}"] if table.note else []
    return "\n".join([f"## {_markdown_cell(table.title)}\n", *lines, *note])


def _latex_text(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in text)


def _latex_table(table: Table) -> str:
    # A cell of `tabular` has one line only.
    rows = [" & ".join(_latex_text(cell.replace("\n", " ")) for cell in row) + r" \\" for row in table.rows]
    heads = " & ".join(map(_latex_text, table.columns)) + r" \\"
    note = [rf"\par\smallskip\footnotesize {_latex_text(table.note)}"] if table.note else []
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


def _html_table(table: Table) -> str:
    head = "".join(f"<th>{html.escape(name)}</th>" for name in table.columns)
    body = "\n".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in table.rows)
    note = f'\n<p class="note">{html.escape(table.note)}</p>' if table.note else ""
    return f"<table><caption>{html.escape(table.title)}</caption>\n<tr>{head}</tr>\n{body}\n</table>{note}"


def _svg_element(svg: str) -> str:
    # HTML does not allow the XML declaration and document type that matplotlib writes first.
    return svg[svg.index("<svg") :] if "<svg" in svg else ""
