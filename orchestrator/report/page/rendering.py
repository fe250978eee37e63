"""From a report to one page that needs nothing else: no script, nothing to load."""

import re
from importlib.resources import files
from typing import Final
from xml.etree import ElementTree

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from orchestrator.report.figures.drawing import FAINT, INK
from orchestrator.report.page.sections import TITLES, sections_of
from orchestrator.report.records import Report, ReportFigure

_PACKAGE: Final = "orchestrator.report.page"
_SVG: Final = "http://www.w3.org/2000/svg"
_LINK: Final = "{http://www.w3.org/1999/xlink}href"
_REFERENCE: Final = re.compile(r"url\(#([^)]+)\)")


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
    """The figure's `<svg>` element: named for screen readers, in the page's colours, with ids of its own.

    Ids are prefixed with the figure's key, because two figures of a page may not share one; those that nothing refers
    to go. Ink and reference lines take the colours of the page, so that they are legible on a dark one.
    """
    root = ElementTree.fromstring(figure.svg)
    _drop(root, "metadata", "style")
    used = _references(root)
    for element in root.iter():
        _renamed(element, figure.key, used)
    box = root.get("viewBox", "0 0 1 1").split()
    # The size in points is a hint; the page's style makes it narrower where the screen is.
    attributes = {"viewBox": " ".join(box), "width": f"{float(box[2]) * 4 / 3:.0f}", "role": "img"}
    names = {"aria-labelledby": f"{figure.key}-title {figure.key}-desc"}
    root.attrib.clear()
    root.attrib.update(attributes | names)
    for place, (tag, text) in enumerate((("title", figure.title), ("desc", figure.description))):
        element = ElementTree.Element(f"{{{_SVG}}}{tag}", {"id": f"{figure.key}-{tag}"})
        element.text = text
        root.insert(place, element)
    ElementTree.register_namespace("", _SVG)
    svg = ElementTree.tostring(root, encoding="unicode")
    # Matplotlib has escaped the texts in it.
    return Markup(svg.replace(INK, "currentColor").replace(FAINT, "var(--faint)"))


def _drop(root: ElementTree.Element, *tags: str) -> None:
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in {f"{{{_SVG}}}{tag}" for tag in tags}:
                parent.remove(child)


def _references(root: ElementTree.Element) -> set[str]:
    used: set[str] = set()
    for element in root.iter():
        used |= {name for value in element.attrib.values() for name in _REFERENCE.findall(value)}
        if _LINK in element.attrib:
            used.add(element.attrib[_LINK].removeprefix("#"))
    return used


def _renamed(element: ElementTree.Element, key: str, used: set[str]) -> None:
    attributes = element.attrib
    name = attributes.pop("id", None)
    if name in used:
        attributes["id"] = f"{key}-{name}"
    if _LINK in attributes:
        attributes["href"] = f"#{key}-{attributes.pop(_LINK).removeprefix('#')}"
    for attribute, value in list(attributes.items()):
        attributes[attribute] = _REFERENCE.sub(rf"url(#{key}-\1)", value)
