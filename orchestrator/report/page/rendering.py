"""From a report to one page that needs nothing else: no script, nothing to load."""

from importlib.resources import files
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from orchestrator.report.page.sections import TITLES, sections_of
from orchestrator.report.page.vector_graphics import inline
from orchestrator.report.records import Report, ReportFigure

_PACKAGE: Final = "orchestrator.report.page"


def page_of(report: Report) -> str:
    """The page."""
    style = files(_PACKAGE).joinpath("templates/style.css").read_text(encoding="utf-8")
    template = environment().get_template("page.html")
    return template.render(report=report, sections=sections_of(report), titles=TITLES, style=Markup(style))


def environment() -> Environment:
    """The templates, and what they call."""
    # Everything that is printed is escaped; a name that a template misspells is an error, not a gap.
    made = Environment(
        loader=PackageLoader(_PACKAGE), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    made.filters["inline"] = _inline
    made.filters["code"] = _code
    return made


def _code(text: object) -> Markup:
    """Escaped, and what stands between backticks as code."""
    parts = str(text).split("`")
    if len(parts) % 2 == 0:
        return escape(text)
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if place % 2 else escape(part) for place, part in enumerate(parts)
    )


def _inline(figure: ReportFigure) -> Markup:
    # Matplotlib has escaped the texts in it.
    return Markup(inline(figure))
