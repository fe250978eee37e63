"""Numbers that know where they come from: the table and the key that `data-source` names in the page."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

_SUMMARY: Final = "summary.json#/summary"
"""The rows of the summary, as a JSON pointer (RFC 6901)."""


@dataclass(frozen=True, slots=True)
class Traced:
    """A text with numbers, and their source."""

    text: str
    source: str
    """`FILE#KEY COLUMN COLUMN`, several divided by `; `. The file is beside `report.html`; the key is a JSON pointer,
    or `row=N` of a CSV file (RFC 7111, the header being row 0). The text's numbers are those of the columns, in order;
    without a column the text is what stands there.
    """

    def __str__(self) -> str:
        """The text alone, for formats without sources."""
        return self.text


Phrase = str | Traced
"""A part of a sentence, or a cell of a table."""


def of_summary(row: Mapping[str, Any], text: str, *columns: str) -> Traced:
    """A text from columns of a row of the summary, which knows its place as `row`."""
    return Traced(text, " ".join([f"{_SUMMARY}/{row['row']}", *columns]))


def of_json(text: str, *path: object) -> Traced:
    """A text that stands in `summary.json` under a path of keys and places; a number's text is its value's."""
    # A JSON pointer as a fragment of a URI (RFC 6901, section 6).
    steps = (str(step).replace("~", "~0").replace("/", "~1") for step in path)
    return Traced(text, "summary.json#" + "".join(f"/{quote(step, safe='~')}" for step in steps))


def joined(divider: str, parts: Iterable[Phrase]) -> Phrase:
    """Several phrases as one, with the sources of all."""
    found = [part for part in parts if str(part)]
    sources = [part.source for part in found if isinstance(part, Traced)]
    text = divider.join(map(str, found))
    return Traced(text, "; ".join(sources)) if sources else text


def plain(phrases: Iterable[Phrase]) -> str:
    """A sentence as text."""
    return "".join(map(str, phrases))
