"""Reporting checklists, answered as far as a run can answer them: TRIPOD+AI and CLAIM 2024.

The items are in `tripod_ai.toml` and `claim_2024.toml`, in our own words. An item is answered by sentences of the
methods paragraph and by sections of the report; where something is left that no run can know, the answer says what.
"""

import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Final, Literal

from orchestrator.report.manuscript.methods import Methods
from orchestrator.report.manuscript.references import Reference, references

CHECKLISTS: Final[Mapping[str, str]] = {"tripod-ai": "tripod_ai.toml", "claim": "claim_2024.toml"}
"""The checklists by the name of the command line, with their files."""
ItemState = Literal["answered", "in part", "to be written by you"]
_TO_WRITE: Final = "to be written by you"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """An item of a checklist with its answer."""

    item: str
    """Its number, such as `12c`."""
    topic: str
    asks: str
    """What it asks for, in our words."""
    state: ItemState
    answer: str
    """Sentences; empty where the sections answer alone, or nothing does."""
    sections: tuple[str, ...]
    """Keys of the report's sections that answer it."""
    yours: str
    """What is left to be written; empty where nothing is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checklist:
    """A checklist, answered."""

    name: str
    reference: Reference
    """What defines it."""
    items: tuple[Answered, ...]

    def count(self, state: ItemState) -> int:
        """How many items are in a state."""
        return sum(item.state == state for item in self.items)

    @property
    def summary(self) -> str:
        """The counts in a sentence."""
        return (
            f"Of {len(self.items)} items {self.count('answered')} are answered here, {self.count('in part')} in part, "
            f"and {self.count(_TO_WRITE)} are to be written by you."
        )


def checklist(name: str, methods: Methods, sections: Collection[str]) -> Checklist:
    """Answer a checklist.

    Args:
        name: A key of `CHECKLISTS`.
        methods: Of the run.
        sections: Keys of the sections that the run's report has; others answer nothing.
    """
    text = resources.files(__package__).joinpath(CHECKLISTS[name]).read_text(encoding="utf-8")
    content = tomllib.loads(text)
    return Checklist(
        name=content["name"],
        reference=references()[content["reference"]],
        items=tuple(_answered(item, methods, sections) for item in content["items"]),
    )


def _answered(item: Mapping[str, object], methods: Methods, sections: Collection[str]) -> Answered:
    sentences, named = _texts(item, "sentences"), _texts(item, "sections")
    there = tuple(key for key in named if key in sections)
    answer = " ".join(methods.of(about) for about in sentences) or ("" if there else str(item.get("without", "")))
    yours = str(item.get("yours", ""))
    found = bool(answer or there)
    # Where only sections could answer and this report has none of them, a promise would lead nowhere.
    state: ItemState = _TO_WRITE if not found else "in part" if yours else "answered"
    return Answered(
        item=str(item["item"]),
        topic=str(item["topic"]),
        asks=str(item["asks"]),
        state=state,
        answer=answer,
        sections=there,
        yours=yours or ("" if found else "this report has nothing on it"),
    )


def _texts(item: Mapping[str, object], key: str) -> list[str]:
    value = item.get(key, [])
    return [str(one) for one in value] if isinstance(value, list) else []
