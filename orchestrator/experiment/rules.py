"""What the values of an experiment must satisfy, beyond their types; no torch, no files."""

import re
from collections.abc import Callable, Iterator
from pathlib import PurePath
from typing import Final

from mpi_model.errors import ExperimentError
from mpi_model.stages import backbone
from mpi_model.vocabulary import TRACERS
from orchestrator.experiment.bounds import BOUNDS, BUCKET, HIGHEST_LEVEL
from orchestrator.experiment.settings import (
    NAMING_COLUMNS,
    Experiment,
    FoldSettings,
    ResourceSettings,
    StatisticsSettings,
)

# A folder of this name is made, in a local file system or a bucket; 64 characters fit both.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_NO_SUBGROUPS: Final = {
    "label": "it is what is predicted, and a group of one class has no AUC",
    "tracer": "every estimate is of one tracer already",
}

_MOST_CELLS: Final = 10_000
"""Folds times repeats of an input configuration."""
_FEWEST_FLAT_FOLDS: Final = 3
"""Folds of a flat search, which trains without two of them."""
_MOST_SHARE: Final = 100_000.0
"""GPUs or cores that a cell may reserve."""
_LONGEST_DEADLINE: Final = 1e7
"""Seconds, about four months."""
_LONGEST_ENDPOINT: Final = 200
"""Characters of an endpoint's definition, which is a cell of the report's tables."""
_LONGEST_NAME: Final = 255
"""Bytes of one name in a path, which the file systems of Linux, macOS and Windows share (NAME_MAX)."""
_LONGEST_PATH: Final = 1000
"""Bytes; macOS ends at 1024 with what a run adds below."""


def broken_rules(experiment: Experiment) -> list[str]:
    """One line for every rule that the experiment breaks."""
    return [
        *_name(experiment),
        *_bounds(experiment),
        *_cohort(experiment),
        *_network(experiment),
        *_folds(experiment.folds),
        *_flat_search(experiment),
        *_statistics(experiment.statistics),
        *_hypotheses(experiment),
        *_resources(experiment.resources),
        *_storage(experiment),
    ]


def _name(experiment: Experiment) -> Iterator[str]:
    # The logs of openings and validations lie beside the run directories under these names.
    if not _NAME.fullmatch(experiment.name) or experiment.name in ("test_openings", "validations"):
        yield (
            "`name` must be 1 to 64 letters, digits, dots, dashes or underscores and start with a letter or digit "
            f"(and not be test_openings or validations), but is {experiment.name!r}; it names the run directory"
        )


def _bounds(experiment: Experiment) -> Iterator[str]:
    """Whole numbers outside their bounds, and paths that no file can have."""
    for key, (low, high) in BOUNDS.items():
        section, _, name = key.partition(".")
        value = getattr(getattr(experiment, section), name)
        if value < low:
            yield f"`{key}` must be at least {low}, but is {value}"
        elif value > high:
            yield f"`{key}` must be at most {high}, but is {value}"
    yield from _path_problems("cohort.manifest", experiment.cohort.manifest)
    yield from _path_problems("network.weights", experiment.network.weights)
    yield from _path_problems("search.space", experiment.search.space)
    yield from _path_problems("storage.runs", experiment.storage.runs)


def _path_problems(key: str, path: str) -> Iterator[str]:
    """Why no file or folder can have this path, found before anything is trained.

    Args:
        key: The setting, for the message.
        path: Its value.
    """
    longest = max((len(part.encode("utf-8", "replace")) for part in PurePath(path).parts), default=0)
    if not path.strip():
        yield f"`{key}` must be a path, but is empty"
    elif longest > _LONGEST_NAME:
        yield f"`{key}` holds a name of {longest} bytes; file systems allow {_LONGEST_NAME}: shorten it"
    elif len(path.encode("utf-8", "replace")) > _LONGEST_PATH:
        yield f"`{key}` has {len(path)} characters; a path may have {_LONGEST_PATH}: shorten it"


def _cohort(experiment: Experiment) -> Iterator[str]:
    inputs = experiment.cohort.inputs
    if not inputs or len(set(inputs)) < len(inputs):
        yield f"`cohort.inputs` must name one to three different inputs, but is {list(inputs)}"


def _network(experiment: Experiment) -> Iterator[str]:
    network, size = experiment.network, experiment.images.size
    try:
        encoder = backbone(network.backbone, network.encoder_stages)
    except ExperimentError as error:
        yield from error.problems
        return
    yield from _refusals(lambda: encoder.check_image_size(size))
    if network.weights == "imagenet" and encoder.imagenet is None:
        yield (
            f'`network.weights` = "imagenet" needs a backbone with ImageNet weights, but `network.backbone` is '
            f'"{network.backbone}"; set weights = "random"'
        )


def _refusals(check: Callable[[], None]) -> tuple[str, ...]:
    try:
        check()
    except ExperimentError as error:
        return error.problems
    return ()


def _folds(folds: FoldSettings) -> Iterator[str]:
    if 1 < folds.folds <= 1000 and _MOST_CELLS < folds.folds * folds.repeats <= 1000 * folds.folds:
        yield (
            f"`folds.folds` times `folds.repeats` must be at most {_MOST_CELLS}, but is {folds.folds * folds.repeats}; "
            "ten repeats of five folds are usual"
        )
    if folds.by == "site" and folds.repeats != 1:
        yield (
            f'`folds.by` = "site" holds each site out once, so `folds.repeats` must be 1, but is {folds.repeats}; '
            "set repeats = 1"
        )
    yield from _names_of_persons("folds.stratify", folds.stratify)
    if not 0 < folds.training_share <= 1:
        yield f"`folds.training_share` must be above 0 and at most 1, but is {folds.training_share}"
    # Without the label a fold could hold one class only, and its AUC would not exist.
    if len(set(folds.stratify)) < len(folds.stratify) or "label" not in folds.stratify:
        yield f'`folds.stratify` must hold "label" and name nothing twice, but is {list(folds.stratify)}'


def _flat_search(experiment: Experiment) -> Iterator[str]:
    """What a flat search cannot do: the patients that score its candidates may not stop them, for one."""
    if experiment.search.scheme != "flat":
        return
    given = '`search.scheme` = "flat"'
    if experiment.training.budget != "schedule":
        yield (
            f'{given} trains every candidate to the end, but `training.budget` is "best_epoch", which would stop it by '
            'the patients that score it; set budget = "schedule"'
        )
    if experiment.folds.by == "site":
        yield f'{given} leaves out two folds at a time, but `folds.by` = "site"; set scheme = "nested"'
    elif experiment.folds.folds < _FEWEST_FLAT_FOLDS:
        yield (
            f"{given} leaves out two folds at a time and needs `folds.folds` of at least {_FEWEST_FLAT_FOLDS}, but it "
            f"is {experiment.folds.folds}; five are usual"
        )
    if experiment.folds.training_share != 1:
        yield f'{given} trains on all patients, but `folds.training_share` is below 1; set scheme = "nested"'


def _statistics(statistics: StatisticsSettings) -> Iterator[str]:
    yield from _between("statistics.level", statistics.level, 0.5, HIGHEST_LEVEL)
    yield from _between("statistics.equivalence", statistics.equivalence, 0.0, 0.5)
    yield from _between("statistics.specificity", statistics.specificity, 0.0, 1.0)
    yield from _names_of_persons("statistics.subgroups", statistics.subgroups)
    for column in statistics.subgroups:
        if (reason := _NO_SUBGROUPS.get(column.strip().casefold())) is not None:
            yield f"`statistics.subgroups` names {column!r}: {reason}; take it out"
    if len(set(statistics.subgroups)) < len(statistics.subgroups):
        yield f"`statistics.subgroups` must name nothing twice, but is {list(statistics.subgroups)}"
    if statistics.prevalence is not None:
        yield from _between("statistics.prevalence", statistics.prevalence, 0.0, 1.0)
    for tracer in sorted(set(statistics.endpoints) - set(TRACERS)):
        yield f"`statistics.endpoints` names the unknown tracer {tracer!r}; known: {', '.join(TRACERS)}"
    for tracer, text in statistics.endpoints.items():
        if not 0 < len(text.strip()) <= _LONGEST_ENDPOINT:
            yield (
                f"`statistics.endpoints` must say in 1 to {_LONGEST_ENDPOINT} characters what label 1 means, but has "
                f"{len(text)} for {tracer}"
            )


def _hypotheses(experiment: Experiment) -> Iterator[str]:
    statistics, inputs = experiment.statistics, experiment.cohort.inputs
    primary = statistics.noninferiority
    if primary is not None:
        yield from _between("statistics.noninferiority.margin", primary.margin, 0.0, 0.5)
    declared = {} if primary is None else {"noninferiority.pair": primary.pair}
    declared |= {f"comparisons[{place}]": pair for place, pair in enumerate(statistics.comparisons)}
    for key, pair in declared.items():
        sides = pair.split("-")
        if len(sides) != 2 or sides[0] == sides[1] or not set(sides) <= set(inputs):
            yield (
                f"`statistics.{key}` must be two different entries of `cohort.inputs`, joined by a dash, such as "
                f'"stress-dual", but is {pair!r}; the inputs are {", ".join(inputs)}'
            )


def _resources(resources: ResourceSettings) -> Iterator[str]:
    gpus = resources.gpus_per_cell
    # Ray gives whole GPUs or a share of one, nothing between.
    if gpus != "auto" and (not 0 <= gpus <= _MOST_SHARE or (gpus > 1 and gpus != int(gpus))):
        yield f'`resources.gpus_per_cell` must be "auto", a fraction of one, or a whole number, but is {gpus}'
    deadline, wait, longest = resources.candidate_deadline, resources.wait_for_nodes, _LONGEST_DEADLINE
    if deadline != "auto" and not 1 <= deadline <= longest:
        yield f'`resources.candidate_deadline` must be "auto" or 1 to {longest:.0f} seconds, but is {deadline}'
    if not 0 <= wait <= longest:
        yield f"`resources.wait_for_nodes` must be 0 to {longest:.0f} seconds, but is {wait}"
    # NaN fails this comparison, too.
    if not 0 < resources.cpus_per_cell <= _MOST_SHARE:
        yield (
            f"`resources.cpus_per_cell` must be above 0 and at most {_MOST_SHARE:g}, but is {resources.cpus_per_cell}"
        )


def _storage(experiment: Experiment) -> Iterator[str]:
    runs = experiment.storage.runs
    # One slash, because a URL that went through `Path` has lost the other.
    if ":/" in runs and not BUCKET.fullmatch(runs):
        yield f"`storage.runs` must be a folder or s3://bucket/prefix, but is {runs!r}"
    if runs.startswith("~"):
        yield f"`storage.runs` is {runs!r}, and `~` would be the name of a folder; write the whole path"


def _names_of_persons(key: str, columns: tuple[str, ...]) -> Iterator[str]:
    """Columns that name one exam each: as strata they balance nothing, as subgroups they would be printed."""
    for column in columns:
        if not column.strip():
            yield f"`{key}` names an empty column; take it out"
        elif column.strip().casefold() in NAMING_COLUMNS:
            yield f"`{key}` names {column!r}, which names single exams and is no group; take it out"


def _between(key: str, value: float, low: float, high: float) -> Iterator[str]:
    # NaN fails this comparison, too.
    if not low < value < high:
        yield f"`{key}` must lie between {low} and {high}, but is {value}"
