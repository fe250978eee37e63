"""Everything that can be known before training: cohort, eligible exams, fold plan. No torch, no Ray."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from mpi_model.errors import CohortError, WeightsError
from mpi_model.imagenet import MOST_WEIGHT_BYTES, check_download, checkpoint_path
from mpi_model.regular_files import open_regular
from mpi_model.stages import backbone
from mpi_model.vocabulary import Inputs
from orchestrator.cells.tasks import purposes_of
from orchestrator.cohort.eligibility import eligible_exams
from orchestrator.cohort.loading import load_cohort
from orchestrator.cohort.permutation import with_permuted_labels
from orchestrator.cohort.records import Cohort, Exclusion
from orchestrator.experiment.file import space_of
from orchestrator.experiment.processor import device_for, precision_notices
from orchestrator.experiment.settings import DEFAULT_SUBGROUPS, MOST_SUBGROUPS, Experiment, LoadedExperiment
from orchestrator.folds.draws import FoldPlan
from orchestrator.folds.plan import plan_folds
from orchestrator.monitoring.progress import Progress, shown
from search_spaces.space import SearchSpace

if TYPE_CHECKING:
    from mpi_model.weights import State

_FLAT_SEARCH: Final = (
    "flat search, bias-reduced: candidates are drawn beforehand and trained once a part. Each cell chooses without the "
    "patients it is judged on, by the folds next to theirs. Only `polarmap permute` says whether an AUC is above chance"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """An experiment with its cohort and plan."""

    loaded: LoadedExperiment
    cohort: Cohort
    eligible: Mapping[Inputs, NDArray[np.bool_]]
    """`[N]` for each input configuration: the exams it uses, of both partitions."""
    exclusions: tuple[Exclusion, ...]
    plan: FoldPlan
    space: SearchSpace
    notices: tuple[str, ...]


def prepare(loaded: LoadedExperiment, progress: Progress, permutation: int | None = None) -> Prepared:
    """Read the cohort and draw the plan.

    Args:
        loaded: The experiment.
        progress: Shows how many maps are read.
        permutation: The number of a label permutation; None for the labels as they are.

    Raises:
        WeightsError: The weights' file or package is not there, or ImageNet's are other ones.
        CohortError: Anything wrong with the cohort, all problems together.
        FoldsError: The folds asked for cannot be had from it.
    """
    experiment = loaded.experiment
    weights = weights_of(loaded)
    if weights is not None and loaded.experiment.network.weights == "imagenet":
        check_download(backbone(loaded.experiment.network.backbone), weights)
    # After the weights, whose absence is known at once; reading a cohort can take minutes.
    cohort = _read_cohort(loaded, progress)
    if permutation is not None:
        # Before the plan is drawn, because folds are stratified by label.
        cohort = with_permuted_labels(cohort, permutation)
    eligible, exclusions = eligible_exams(
        cohort.exams, experiment.cohort.inputs, experiment.cohort.patients, experiment.cohort.exams
    )
    _check_subgroups(cohort, experiment.statistics.subgroups)
    purposes = purposes_of(experiment.decision.calibration != "none")
    plan = plan_folds(cohort.exams, eligible, experiment.folds, experiment.search.inner_folds, purposes)
    if experiment.folds.by == "site":  # from here on the number of sites is the number of folds
        experiment = replace(experiment, folds=replace(experiment.folds, folds=plan.count))
    return Prepared(
        loaded=replace(loaded, experiment=experiment),
        cohort=cohort,
        eligible=eligible,
        exclusions=exclusions,
        plan=plan,
        space=space_of(loaded),
        notices=(*cohort.notices, *_left_out_by_common(experiment, cohort, eligible), *plan.notices, *_advice(loaded)),
    )


def _read_cohort(loaded: LoadedExperiment, progress: Progress) -> Cohort:
    """Read the experiment's cohort, with progress."""
    with shown(progress, "reading the cohort"):
        return load_cohort(
            loaded.manifest,
            size=loaded.experiment.images.size,
            progress=lambda done, total: progress.advance(done, f"{done} of {total} maps"),
        )


def rows_of_test_exams(prepared: Prepared, inputs: Inputs) -> NDArray[np.int64]:
    """`[n]`, rows of the test exams that an input configuration can use."""
    return np.flatnonzero(prepared.eligible[inputs] & (prepared.cohort.exams["partition"] == "test").to_numpy())


def weights_of(loaded: LoadedExperiment) -> Path | None:
    """The file of pretrained weights; None for random ones. ImageNet's may still have to be downloaded.

    Raises:
        WeightsError: The experiment names a file, or needs a package, that is not there.
    """
    network = loaded.experiment.network
    if network.weights == "random":
        return None
    if network.weights == "imagenet":
        return checkpoint_path(backbone(network.backbone))
    path = loaded.folder / network.weights
    try:
        # Opened, not only looked for: a named pipe or a device would be read for ever when its digest is made.
        open_regular(path, MOST_WEIGHT_BYTES).close()
    except OSError as error:
        raise WeightsError(
            f'`network.weights` must be "imagenet", "random" or a file, but {network.weights} cannot be read '
            f"({error.strerror})"
        ) from error
    return path


def pretrained_state(prepared: Prepared, weights: Path | None) -> "State | None":
    """The pretrained weights as arrays; None for random ones.

    Args:
        prepared: The experiment with its cohort, whose maps' channels some networks depend on.
        weights: The file, from `weights_of`.

    Raises:
        WeightsError: The file is damaged, or belongs to another network.
    """
    if weights is None:
        return None
    from mpi_model.weights import load_state  # noqa: PLC0415 - torch; only reading the numbers needs it

    channels = prepared.cohort.maps.stress.shape[1]
    return load_state(weights, prepared.loaded.experiment.network.backbone, image_channels=channels)


def _check_subgroups(cohort: Cohort, subgroups: tuple[str, ...]) -> None:
    missing = [column for column in subgroups if column not in cohort.exams]
    # The default names `sex`, which not every manifest has; a column named by the user must be there.
    if missing and subgroups != DEFAULT_SUBGROUPS:
        raise CohortError(
            f"`statistics.subgroups` names {missing}, which the manifest does not have; "
            "add the columns or drop the names"
        )
    for column in subgroups:
        count = cohort.exams[column].nunique() if column in cohort.exams else 0
        # A column of ids under another name, or of free text: its values would be printed in the report.
        if count > MOST_SUBGROUPS:
            raise CohortError(
                f"`statistics.subgroups` names {column!r}, which has {count} different values; a column of at most "
                f"{MOST_SUBGROUPS} groups can be reported apart"
            )


def _left_out_by_common(
    experiment: Experiment, cohort: Cohort, eligible: Mapping[Inputs, NDArray[np.bool_]]
) -> list[str]:
    """A notice where some input configuration could use exams that `patients = "common"` leaves out."""
    if experiment.cohort.patients != "common":
        return []
    wider = eligible_exams(cohort.exams, experiment.cohort.inputs, "available", experiment.cohort.exams)[0]
    used, usable = (np.logical_or.reduce(list(masks.values())) for masks in (eligible, wider))
    count = int(usable.sum() - used.sum())
    if not count:
        return []
    return [
        f'`cohort.patients` = "common" leaves out {count} exam{"s" * (count > 1)} that some input configuration could '
        'use; "available" keeps them, and then input configurations are not compared'
    ]


def _advice(loaded: LoadedExperiment) -> list[str]:
    """What is allowed and probably not meant."""
    experiment = loaded.experiment
    advice = [*precision_notices(experiment.training.precision, device_for(experiment.resources))]
    if experiment.search.scheme == "flat":
        advice.append(_FLAT_SEARCH)
    frozen = [parameter for parameter in space_of(loaded).parameters if parameter.name == "freeze_depth"]
    if experiment.network.weights == "random" and frozen:
        advice.append(
            'the search may freeze stages of a network with random weights; `space = "learning_rates"` freezes none'
        )
    return advice
