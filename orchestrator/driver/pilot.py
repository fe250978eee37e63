"""`polarmap plan --pilot`: trains a few candidates of every kind and forecasts what the run will take. Takes torch."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Final

import numpy as np

from mpi_model.determinism import single_threaded
from mpi_model.vocabulary import Inputs
from orchestrator.cells.pilot import drawn_kinds, time_trainings
from orchestrator.cells.records import CellKey, CellTask
from orchestrator.cells.tasks import cell_task
from orchestrator.cells.timed import Kind, TimedTraining
from orchestrator.clusters.lint.prices import worker_types
from orchestrator.clusters.lint.reading import read_cluster_file
from orchestrator.clusters.lint.records import NodeType
from orchestrator.driver.forecast import Forecast, Range, forecast
from orchestrator.driver.prepare import Prepared, weights_of
from orchestrator.driver.simulated_search import Workload
from orchestrator.driver.training import worker_context
from orchestrator.experiment.processor import check_precision, device_for
from orchestrator.experiment.settings import ResourceSettings
from orchestrator.monitoring.progress import Progress, shown

_SECONDS: Final = 75.0
"""When the pilot ends, unless a few epochs of every kind take longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeForecast:
    """What a run takes on as many nodes of one type as a cluster file allows."""

    node: NodeType
    workers: int
    """Cells side by side on all of them; 0 where it is not known."""
    wall_hours: Range | None
    """None where the pilot cannot tell: it ran on another kind of device than these nodes have."""
    dollars: Range | None
    """Nodes and head for that time, on demand; None without a time or a price."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PilotForecast:
    """What `polarmap plan --pilot` found."""

    workers: int
    """Cells side by side on this machine, or as many as were asked for."""
    run: Forecast
    nodes: tuple[NodeForecast, ...]
    """One for each type of worker node of the cluster file."""

    def to_dict(self) -> dict[str, object]:
        """The same for `json.dumps`."""
        return {name: _plain(value) for name, value in asdict(self).items()}


def _plain(value: object) -> object:
    """The same with what JSON lacks as texts: numbers as keys, dates."""
    match value:
        case dict():
            return {str(key): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case date():
            return value.isoformat()
        case _:
            return value


def pilot_forecast(prepared: Prepared, workers: int | None, cluster: Path | None, progress: Progress) -> PilotForecast:
    """Time trainings of the experiment here, and forecast its run.

    Args:
        prepared: The experiment with its cohort and fold plan.
        workers: Cells side by side; None for as many as this machine runs.
        cluster: A Ray cluster file, whose node types are priced.
        progress: Shows how long the pilot has been going.

    Raises:
        PolarmapError: The experiment cannot be trained here, as a run would say, or the file cannot be read.
    """
    experiment, plan = prepared.loaded.experiment, prepared.plan
    resources, device = experiment.resources, device_for(experiment.resources)
    check_precision(experiment.training.precision, device)
    types = tuple(worker_types(read_cluster_file(cluster))) if cluster is not None else ()
    per_type = [node.nodes * _cells_of_node(node, resources, device) for node in types]
    here = workers or max(1, int((os.cpu_count() or 1) / resources.cpus_per_cell))
    tasks = _first_cells(prepared)
    timed, shares = _timed(prepared, tasks, device, progress)
    work = Workload(
        cells=plan.repeats * plan.count,
        exams={name: _exam_counts(task) for name, task in tasks.items()},
        shares=shares,
        calibrated=experiment.decision.calibration != "none",
        search=experiment.search,
        training=experiment.training,
    )
    run = forecast(timed, work, workers=sorted({here, *filter(None, per_type)}), device=device)
    nodes = tuple(_on_nodes(node, count, run) for node, count in zip(types, per_type, strict=True))
    return PilotForecast(workers=here, run=run, nodes=nodes)


def _cells_of_node(node: NodeType, resources: ResourceSettings, device: str) -> int:
    """Cells that one node does at a time; 0 where the pilot's device is not what they would run on there."""
    if device == "cpu":
        # Cells go to the GPUs of a node that has some, whose speed a processor cannot tell.
        return 0 if node.gpus else int(node.cores / resources.cpus_per_cell)
    share = 1.0 if resources.gpus_per_cell == "auto" else resources.gpus_per_cell
    return int(node.gpus / share) if share else 0


def _on_nodes(node: NodeType, workers: int, run: Forecast) -> NodeForecast:
    hours = run.wall_hours.get(workers)
    dollars = None
    if hours is not None and node.dollars is not None and node.head_dollars is not None:
        price = node.head_dollars + node.nodes * node.dollars
        dollars = Range(low=hours.low * price, estimate=hours.estimate * price, high=hours.high * price)
    return NodeForecast(node=node, workers=workers, wall_hours=hours, dollars=dollars)


def _first_cells(prepared: Prepared) -> dict[Inputs, CellTask]:
    """The first cell of each input configuration: all folds are as large as it, to a patient."""
    keys = {
        name: CellKey(inputs=name, partition="development", repeat=0, fold=0)
        for name in prepared.loaded.experiment.cohort.inputs
    }
    inner_folds = prepared.loaded.experiment.search.inner_folds
    return {
        name: cell_task(key, prepared.plan, prepared.cohort.exams, prepared.eligible, inner_folds)
        for name, key in keys.items()
    }


def _timed(
    prepared: Prepared, tasks: Mapping[Inputs, CellTask], device: str, progress: Progress
) -> tuple[tuple[TimedTraining, ...], dict[Kind, float]]:
    kinds = drawn_kinds(prepared.space)
    drawn = sum(map(len, kinds.values()))
    # A pilot stores no network, so none has to say where it comes from.
    context = worker_context(prepared, weights_of(prepared.loaded), device, facts={"versions.torch": ""})
    with shown(progress, "timing trainings", int(_SECONDS)), single_threaded():  # one thread, as in a worker
        timed = time_trainings(
            tasks,
            context,
            kinds,
            _SECONDS,
            lambda seconds: progress.advance(min(int(seconds), int(_SECONDS)), f"{seconds:.0f} s"),
        )
    return timed, {kind: len(values) / drawn for kind, values in kinds.items()}


def _exam_counts(task: CellTask) -> tuple[float, float, float]:
    """Exams of an inner training part, of the cell's, and of the final cell's."""
    inner = float(np.mean([len(split.training) for split in task.inner]))
    return inner, float(len(task.training)), float(len(task.training) + len(task.evaluation))
