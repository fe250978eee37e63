"""Which run an experiment is, and whether anything of it is left to do. No torch, no Ray."""

import datetime
import os
import platform
import subprocess
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from mpi_model.errors import CohortError, ExperimentError, RunDirectoryError
from mpi_model.imagenet import weights_digest
from mpi_model.regular_files import is_regular
from orchestrator.cells.records import CellKey, cell_keys
from orchestrator.driver.map_facts import facts_of_maps
from orchestrator.driver.prepare import Prepared, prepare, weights_of
from orchestrator.experiment.processor import device_for
from orchestrator.experiment.settings import LoadedExperiment
from orchestrator.hashing import digest
from orchestrator.ledger.description import RunDescription
from orchestrator.ledger.directory import RunRecord, begin_run
from orchestrator.ledger.identity import Facts, experiment_hash, identity
from orchestrator.ledger.paths import RunPaths, run_paths
from orchestrator.ledger.state import RunState
from orchestrator.monitoring.progress import Progress
from orchestrator.runners.runner import RunnerName
from search_spaces.stored import stored_space


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What the command line adds to an experiment."""

    open_test: bool = False
    retry_failed: bool = False
    permutation: int | None = None
    """Permute the patients' labels, and leave the final networks out."""
    runner: RunnerName = "ray"
    """Who runs the cells: Ray Tune, or this process."""
    address: str | None = None
    """A running Ray cluster; None starts Ray on this machine."""
    tensorboard: Path | None = None
    """A folder for TensorBoard's event files; None writes none."""

    def __post_init__(self) -> None:
        if self.runner not in get_args(RunnerName):
            raise ExperimentError(f"`runner` must be ray or inline, but is {self.runner!r}")
        if self.address is not None and self.runner == "inline":
            raise ExperimentError(
                "`--address` names a Ray cluster, but `--runner inline` uses none; leave one of them out"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOutcome:
    """How a run ended."""

    paths: RunPaths
    cells: int
    """Cells of the experiment."""
    done_now: int
    """Cells that this call finished."""
    opened_now: bool
    """Whether this call judged the test partition."""
    failed: tuple[CellKey, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedRun:
    """An experiment whose identity is known, with its run directory."""

    options: RunOptions
    prepared: Prepared
    weights: Path | None
    """The file of pretrained weights; None for random ones."""
    device: str
    facts: Facts
    keys: list[CellKey]
    paths: RunPaths

    @property
    def hash(self) -> str:
        """The experiment's hash."""
        return experiment_hash(self.facts)


def resolve_run(loaded: LoadedExperiment, options: RunOptions, progress: Progress) -> ResolvedRun:
    """Read everything that decides an experiment's identity.

    Args:
        loaded: The experiment.
        options: What is asked for.
        progress: Shows what the driver is doing.

    Raises:
        PolarmapError: What `prepare` raises; CohortError where a test is to be opened and is not there.
    """
    prepared = prepare(loaded, progress, options.permutation)
    weights = _weights_file(loaded, progress)
    device = device_for(loaded.experiment.resources)
    # Refused now: after the training it would cost hours to learn that there is no test partition.
    if options.open_test:
        _check_test_exams(prepared)
    return ResolvedRun(
        options=options,
        prepared=prepared,
        weights=weights,
        device=device,
        facts=_facts_of(prepared, weights, device),
        keys=cell_keys(prepared.loaded.experiment, final=options.permutation is None),
        paths=run_paths(loaded.run_directory),
    )


def resume_summary(prepared: Prepared) -> str | None:
    """What a run of this experiment would go on from, as a sentence; None where there is nothing yet.

    Raises:
        RunDirectoryError: The directory holds another experiment (its differing keys are named), or cannot be made.
    """
    loaded, paths = prepared.loaded, run_paths(prepared.loaded.run_directory)
    if not paths.experiment.exists():
        _check_place(paths.root)
        return None
    weights = weights_of(loaded)
    # `check` downloads nothing, and the weights' digest is part of the identity.
    if weights is not None and not is_regular(weights):
        return f"run directory: {paths.root} holds a run; it is compared once the pretrained weights are downloaded"
    facts = _facts_of(prepared, weights, device_for(loaded.experiment.resources))
    # Verifies the directory of this name; it writes only files that are missing.
    begin_run(paths, record_of(prepared, facts, final=True))
    keys, state = cell_keys(loaded.experiment), RunState.read(paths)
    states = Counter(state.state_of(key) for key in keys)
    failed = f", {states['failed']} of them failed" if states["failed"] else ""
    done = states["complete"] + states["failed"]
    return f"run directory: resumes {paths.root}, a run with {done} of {len(keys)} cells done{failed}"


def _check_place(location: str) -> None:
    """Refuse a place where no folder can be made, such as one below a file."""
    for place in [] if "://" in location else [Path(location), *Path(location).parents]:
        if os.path.isdir(place):
            return
        if os.path.lexists(place):
            raise RunDirectoryError(
                f"`storage.runs` leads to {place.name[:80]}, which is not a folder; name another place"
            )


def quarantine_failed(state: RunState, keys: Sequence[CellKey]) -> None:
    """Put failed cells into quarantine, so that they are done again; only on request, because a failure is a result."""
    for key in keys:
        if state.state_of(key) == "failed":
            state.quarantine(key.name, "failed")


def _weights_file(loaded: LoadedExperiment, progress: Progress) -> Path | None:
    """The file of pretrained weights, downloaded if it must be; None for random weights.

    Raises:
        WeightsError: There is no such file and it cannot be downloaded.
    """
    path = weights_of(loaded)
    if path is None or is_regular(path):
        return path
    from mpi_model.weights import fetch_imagenet  # noqa: PLC0415 - torch; not needed where the file is there

    backbone = loaded.experiment.network.backbone
    progress.say(f"downloading the ImageNet weights of {backbone}, once")
    return fetch_imagenet(backbone, progress=True)


def _facts_of(prepared: Prepared, weights: Path | None, device: str) -> Facts:
    """The experiment's identity."""
    return identity(
        prepared.loaded.experiment,
        prepared.space,
        data=prepared.cohort.digest,
        used=_used_digest(prepared),
        plan=prepared.plan.digest,
        # The content, not the path: a file that was moved is the same experiment, an edited one is not.
        weights="random" if weights is None else weights_digest(weights),
        device=device,
    )


def record_of(prepared: Prepared, facts: Facts, *, final: bool) -> RunRecord:
    """What is written down when a run begins.

    Args:
        prepared: The experiment with its cohort and plan.
        facts: The experiment's identity.
        final: Whether final networks are trained.
    """
    description = RunDescription(
        name=prepared.loaded.experiment.name,
        settings=prepared.loaded.experiment,
        facts=facts,
        hash=experiment_hash(facts),
        plan=prepared.plan.digest,
        begun=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        revision=_git_revision(Path(__file__).parent),
        hardware=_hardware(),
        final=final,
        space=stored_space(prepared.space),
        notices=prepared.notices,
        exclusions=prepared.exclusions,
    )
    maps = facts_of_maps(prepared.cohort.maps)
    return RunRecord(description=description, plan=prepared.plan, exams=prepared.cohort.exams, maps=maps)


def _git_revision(folder: Path) -> str | None:
    """The revision of the code, where it is a git checkout."""
    try:
        found = subprocess.run(
            ["git", "-C", str(folder), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None


def _hardware() -> dict[str, str]:
    """The machine the driver runs on."""
    return {"machine": platform.machine(), "system": platform.system(), "processor": _processor()}


def _processor() -> str:
    """The processor's model, where the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")),
        platform.processor(),
    )


def _check_test_exams(prepared: Prepared) -> None:
    """Refuse to open a test that is not there, before anything is trained for it.

    Raises:
        CohortError: The cohort has no test exams.
    """
    if not (prepared.cohort.exams["partition"] == "test").any():
        raise CohortError("`--open-test` needs exams with `partition` = test, but the manifest has none; leave it out")


def _used_digest(prepared: Prepared) -> str:
    """Digest of what else in the manifest decides numbers: the exams of each input configuration, and the subgroups."""
    exams = prepared.cohort.exams
    columns = [column for column in prepared.loaded.experiment.statistics.subgroups if column in exams]
    return digest(
        {
            "eligible": {name: exams.loc[mask, "exam_id"].tolist() for name, mask in prepared.eligible.items()},
            "subgroups": {column: exams[column].fillna("").astype(str).tolist() for column in columns},
        }
    )
