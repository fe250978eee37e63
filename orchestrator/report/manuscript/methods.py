"""The methods paragraph of a manuscript, written from what a run has stored; CC0, to be pasted and completed.

Every sentence follows from settings and facts of the run's description; what a run cannot know (who was recruited,
scanners, ethics) is not guessed. A citation stands as `[@key]`, a key of `references.bib`.
"""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

from orchestrator.ledger.description import RunDescription
from orchestrator.report.manuscript.evaluation_sentences import (
    on_clusters,
    on_comparisons,
    on_decision,
    on_folds,
    on_measures,
    on_members,
    on_predictions,
    on_search,
    on_software,
    on_subgroups,
    on_test,
)
from orchestrator.report.manuscript.references import Reference, references
from orchestrator.report.manuscript.training_sentences import (
    on_cohort,
    on_images,
    on_imbalance,
    on_initialisation,
    on_missing,
    on_network,
    on_training,
)

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
    settings = description.settings
    parts: dict[str, Callable[[], list[str]]] = {
        "cohort": lambda: on_cohort(settings),
        "missing": lambda: on_missing(description),
        "images": lambda: on_images(settings),
        "network": lambda: on_network(description),
        "initialisation": lambda: on_initialisation(description),
        "training": lambda: on_training(settings),
        "imbalance": lambda: on_imbalance(settings),
        "folds": lambda: on_folds(description, columns),
        "search": lambda: on_search(description),
        "members": lambda: on_members(settings),
        "decision": lambda: on_decision(settings),
        "test": lambda: on_test(description, opened=opened, tested=tested),
        "measures": lambda: on_measures(settings, tested=tested),
        "comparisons": lambda: on_comparisons(settings, tested=tested),
        "subgroups": lambda: on_subgroups(settings, columns),
        "clusters": lambda: on_clusters(settings),
        "updating": lambda: ["No model was changed after it was evaluated."],
        "predictions": lambda: on_predictions(description),
        "software": lambda: on_software(description),
    }
    return Methods(
        sentences=tuple((about, " ".join(filter(None, write()))) for about, write in parts.items()),
        further=(("refusals", _REFUSALS), ("external", _EXTERNAL)),
    )
