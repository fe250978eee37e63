"""`experiment.json`: what an experiment asked for and what it is, written when its run begins."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final

from mpi_model.errors import RunDirectoryError
from orchestrator.cohort.records import Exclusion
from orchestrator.experiment.reading import read_record
from orchestrator.experiment.settings import Experiment
from orchestrator.hashing import digest_as_stored
from orchestrator.ledger.files import json_bytes, json_object
from orchestrator.ledger.identity import Facts, experiment_hash, facts_of_settings
from orchestrator.ledger.paths import RunPaths
from search_spaces.stored import PlainParameter

_LAYOUT: Final = 2
"""Of the run directory; 1 had a file a table in every cell."""
_RESTORE: Final = "restore it, or give the experiment another `name` and run anew"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDescription:
    """An experiment as its run directory describes it; the fields are the keys of `experiment.json`."""

    layout: int = _LAYOUT
    name: str
    """The experiment's name, as in the settings."""
    settings: Experiment
    facts: Mapping[str, str]
    """Everything that decides the numbers, by dotted name."""
    hash: str
    """The experiment's hash: of the facts."""
    plan: str
    """The fold plan's digest."""
    begun: str
    """When the run was first begun: UTC, ISO 8601."""
    revision: str | None
    """The code's git revision, where it is a checkout."""
    hardware: Mapping[str, str]
    """The machine of the driver that began the run."""
    final: bool
    """Whether final networks are trained; a label permutation has none."""
    space: tuple[PlainParameter, ...]
    """What the search draws."""
    notices: tuple[str, ...]
    exclusions: tuple[Exclusion, ...]


def write_description(paths: RunPaths, description: RunDescription) -> None:
    """Write `experiment.json`, with a digest of everything in it."""
    content = asdict(description)
    # The digest finds edits by hand; it is no protection against somebody who computes it anew.
    paths.experiment.write_bytes(json_bytes(content | {"digest": digest_as_stored(content)}))


def read_description(paths: RunPaths) -> RunDescription:
    """Read and verify `experiment.json`.

    Raises:
        RunDirectoryError: It is missing, damaged, not of this form, or was changed after it was written.
    """
    blob, stored_as = paths.experiment, paths.storage.find(paths.experiment.name)
    if stored_as is None:
        raise RunDirectoryError(
            f"{paths.root[:200]} is not a run directory: it has no experiment.json; name RUNS/<experiment name>"
        )
    stored = json_object(stored_as.content)
    if stored is None:
        raise RunDirectoryError(f"{blob} is damaged; {_RESTORE}")
    problems: list[str] = []
    content = {key: value for key, value in stored.items() if key != "digest"}
    is_whole = stored.get("digest") == digest_as_stored(content)
    if is_whole and stored.get("layout") != _LAYOUT:
        raise RunDirectoryError(
            f"{paths.root} has layout {stored.get('layout', 1)} (`layout` of experiment.json), and this version of "
            f"polarmap reads layout {_LAYOUT}; read it with the version that `facts` names, or give the experiment "
            "another `name` and run anew"
        )
    found = read_record(RunDescription, content, "", problems)
    if problems or not isinstance(found, RunDescription):
        # One problem is enough here: the file is not written by hand, so it is restored as a whole.
        first, more = problems[0].partition(";")[0], len(problems) - 1
        others = f" and {more} more problems" if more else ""
        raise RunDirectoryError(f"{blob} does not describe a run: {first}{others}; {_RESTORE}")
    changed = _changed(found, is_whole)
    if changed:
        raise RunDirectoryError(f"{blob} was changed after it was written: {changed}; {_RESTORE}")
    return found


def _changed(found: RunDescription, same_digest: bool) -> str:
    """What does not agree with the rest; empty where everything does.

    Commit markers name the hash, the hash is of the facts, and the facts say what the settings were. A setting that is
    changed later, digest included, is found out by the facts.
    """
    due: Facts = facts_of_settings(found.settings)
    differing = sorted(name for name, text in due.items() if found.facts.get(name) != text)
    if differing:
        return f"`settings.{differing[0]}` is not what the run was begun with"
    # The hash is in every marker, so facts that were changed would orphan all finished cells.
    if found.hash != experiment_hash(dict(found.facts)):
        return "`hash` is not that of `facts`"
    return "" if same_digest else "`digest` is not that of its content"
