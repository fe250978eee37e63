"""An SVG of matplotlib as a part of a page: named for screen readers, in the page's colours, with ids of its own."""

import re
from typing import Final
from xml.etree import ElementTree

from orchestrator.report.figures.drawing import FAINT, INK
from orchestrator.report.records import ReportFigure

_SVG: Final = "http://www.w3.org/2000/svg"
_LINK: Final = "{http://www.w3.org/1999/xlink}href"
_REFERENCE: Final = re.compile(r"url\(#([^)]+)\)")


def inline(figure: ReportFigure) -> str:
    """The figure's `<svg>` element.

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
    return _in_page_colours(ElementTree.tostring(root, encoding="unicode"))


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


def _in_page_colours(svg: str) -> str:
    return svg.replace(INK, "currentColor").replace(FAINT, "var(--faint)")
