"""The works that a methods paragraph cites, from `references.bib`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from types import MappingProxyType

_ENTRY = re.compile(r"@\w+\{(\w+),\n(.*?)\n\}", flags=re.DOTALL)
_FIELD = re.compile(r"^\s*(\w+) = \{(.*)\},?$", flags=re.MULTILINE)
# Braces keep capitals in BibTeX; a reader does not see them.
_ACCENTS = str.maketrans({"{": "", "}": ""})


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A cited work."""

    key: str
    bibtex: str
    """The whole entry."""
    text: str
    """Authors, title, source and year, in a line."""
    doi: str
    """Empty where the work has none."""


@lru_cache(maxsize=1)
def references() -> Mapping[str, Reference]:
    """Every work of `references.bib` by its key."""
    text = resources.files(__package__).joinpath("references.bib").read_text(encoding="utf-8")
    return MappingProxyType({match[1]: _reference(match[1], match[0]) for match in _ENTRY.finditer(text)})


def _reference(key: str, entry: str) -> Reference:
    fields = dict(_FIELD.findall(entry))
    names = [name.partition(",")[0].strip() for name in _plain(fields["author"]).split(" and ")]
    # Three names, then "et al.", as medical journals print them.
    authors = ", ".join(names[:3]) + (" et al." if len(names) > 3 or "others" in names else "")
    source = _plain(fields.get("journal") or fields.get("booktitle", ""))
    volume = f" {fields['volume']}" if "volume" in fields else ""
    pages = f":{fields['pages'].replace('--', '–')}" if "pages" in fields and volume else ""
    text = f"{authors.removesuffix('.')}. {_plain(fields['title'])}. {source}{volume}{pages}, {fields['year']}."
    return Reference(key=key, bibtex=entry, text=text, doi=fields.get("doi", ""))


def _plain(text: str) -> str:
    return text.replace("{\\'e}", "é").replace("{\\'a}", "á").translate(_ACCENTS)
