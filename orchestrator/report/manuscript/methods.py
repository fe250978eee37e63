"""The methods paragraph of a manuscript, written from what a run has stored; CC0, to be pasted and completed.

Every sentence follows from settings and facts of the run's description; what a run cannot know (who was recruited,
scanners, ethics) is not guessed. A citation stands as `[@key]`, a key of `references.bib`.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from orchestrator.ledger.description import RunDescription
from orchestrator.report.manuscript.evaluation_sentences import evaluation_sentences
from orchestrator.report.manuscript.references import Reference, references
from orchestrator.report.manuscript.training_sentences import choice_sentences, objective_sentences, training_sentences

_CITED: Final = re.compile(r"\[@(\w+)\]")
_REFUSALS: Final = (
    "The software refuses images that cannot be read, and leaves out exams without a map that the input configuration "
    "needs; nothing is imputed. An image of poor quality is not recognised."
)
_EXTERNAL: Final = "This report holds no data of another centre."


@dataclass(frozen=True, slots=True, kw_only=True)
class Methods:
    """The paragraph by its parts."""

    sentences: tuple[tuple[str, str], ...]
    """What a part is about (such as `folds`), and its sentences, with citations as `[@key]`."""
    further: tuple[tuple[str, str], ...]
    """The same for what checklists ask for and a methods paragraph does not say."""

    @property
    def text(self) -> str:
        """The whole paragraph, with citations as `[@key]`, which pandoc reads."""
        return " ".join(text for _, text in self.sentences)

    @property
    def references(self) -> tuple[Reference, ...]:
        """The works cited, in the order in which they are."""
        known = references()
        return tuple(known[key] for key in dict.fromkeys(_CITED.findall(self.text)))

    def numbered(self, text: str) -> str:
        """A text with its citations as numbers of `references`."""
        places = {one.key: number for number, one in enumerate(self.references, start=1)}
        return _CITED.sub(lambda match: f"[{places[match[1]]}]", text)

    def of(self, about: str) -> str:
        """The sentences of one part, without citations; for a checklist."""
        return re.sub(r" ?\[@\w+\]", "", dict((*self.sentences, *self.further))[about])


def methods(description: RunDescription, columns: Collection[str], *, opened: bool, tested: bool) -> Methods:
    """Write the paragraph.

    Args:
        description: Of the run.
        columns: Of the manifest: default strata and subgroups that it lacks were not used.
        opened: Whether the test partition was opened.
        tested: Whether there is a test partition.
    """
    parts = training_sentences(description) | evaluation_sentences(description, columns, opened=opened, tested=tested)
    return Methods(
        sentences=tuple((about, " ".join(filter(None, sentences))) for about, sentences in parts.items()),
        further=(
            ("objective", " ".join(objective_sentences(description.settings))),
            ("choice", " ".join(choice_sentences(description))),
            ("refusals", _REFUSALS),
            ("external", _EXTERNAL),
        ),
    )
