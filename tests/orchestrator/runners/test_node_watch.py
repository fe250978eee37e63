"""What is said while no node of a cluster can do a cell, with a clock and nodes of the test's own; no Ray runs."""

import pytest

from mpi_model.errors import ExperimentError
from orchestrator.cells.records import Worker
from orchestrator.runners import ray_nodes
from orchestrator.runners.ray_nodes import NodeWatch
from orchestrator.runners.runner import Unfit

CELL = {"CPU": 1.0, "GPU": 0.5}
HEAD, WORKER = ("head", {"CPU": 0.0}), ("worker", {"CPU": 4.0, "GPU": 1.0})


class Clock:
    """Time goes on when the test says so."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def cluster(monkeypatch) -> dict[str, object]:
    """The nodes that Ray would list, and what its autoscaler would tell."""
    found: dict[str, object] = {"nodes": [HEAD], "starting": "2 nodes starting"}
    monkeypatch.setattr(ray_nodes, "_nodes", lambda: found["nodes"])
    monkeypatch.setattr(ray_nodes, "_starting", lambda: found["starting"])
    return found


def looks(watch: NodeWatch, clock: Clock, seconds: int, cells: int = 8) -> None:
    """A look a second."""
    for _ in range(seconds):
        clock.now += 1.0
        watch.look(CELL, cells)


def test_waiting_is_said_once_for_each_change_and_its_end_too(cluster, collected):
    """Eight cells of half a GPU wait for four GPUs: a person reads for what, how much is starting, and since when."""
    clock = Clock()
    watch = NodeWatch(collected, 3600.0, clock)
    looks(watch, clock, 60)
    (said,) = collected.waits
    assert said.startswith("waiting for 4 GPUs, 2 nodes starting, since 20")
    assert said.endswith(" UTC")
    assert watch.is_waiting

    cluster["starting"] = "1 node starting, gpu_spot refused (MaxSpotInstanceCountExceeded)"
    looks(watch, clock, 60)
    assert "MaxSpotInstanceCountExceeded" in collected.waits[1]
    assert len(collected.waits) == 2
    cluster["nodes"] = [HEAD, WORKER]
    looks(watch, clock, 60)
    assert collected.waits[2:] == [""]
    assert not watch.is_waiting


def test_a_wait_without_news_is_said_again_every_ten_minutes(cluster, collected):
    """Whoever looks at the last lines in the morning sees that it waits, and not a page of the same."""
    clock = Clock()
    looks(NodeWatch(collected, 1e6, clock), clock, 3000)
    assert len(collected.waits) == 5


def test_a_run_ends_when_no_node_came_for_too_long_and_says_what_to_look_at(cluster, collected):
    """After the patience, counted from when the last node went, the message names quotas and the setting."""
    clock = Clock()
    watch = NodeWatch(collected, 600.0, clock)
    looks(watch, clock, 500)
    cluster["nodes"] = [WORKER]
    looks(watch, clock, 10)
    cluster["nodes"] = [HEAD]
    looks(watch, clock, 500)
    with pytest.raises(ExperimentError, match=r"quotas.*`resources\.wait_for_nodes`.*same command goes on"):
        looks(watch, clock, 200)


def test_a_ray_of_ones_own_is_not_waited_for(cluster, collected):
    """What this machine does not have will not come: refused at once, with the settings that would help."""
    with pytest.raises(ExperimentError, match=r"at most 0 and 0\); lower `resources.cpus_per_cell`"):
        NodeWatch(collected, 0.0).wait(CELL)
    assert collected.waits == []


def test_a_node_whose_gpu_does_not_compute_counts_as_none(cluster, collected, monkeypatch):
    """It is drained once, told once, and what is left of the cluster is waited for like an empty one."""
    drained: list[str] = []
    monkeypatch.setattr(ray_nodes, "_drain", lambda address, node: drained.append(node) is None)

    class Context:
        gcs_address = "head:6379"

        @staticmethod
        def get_node_id() -> str:
            return "head"

    monkeypatch.setattr(ray_nodes.ray, "get_runtime_context", Context)
    clock = Clock()
    cluster["nodes"] = [HEAD, WORKER]
    watch = NodeWatch(collected, 600.0, clock)
    looks(watch, clock, 10)
    assert collected.waits == []

    unfit = Unfit(worker=Worker(host="h", process=1, processor="", node="worker"), line="CUDA does not work on h (…)")
    watch.refuse(unfit)
    watch.refuse(unfit)
    assert drained == ["worker"]
    assert collected.unfit_nodes == [unfit]
    looks(watch, clock, 10)
    assert collected.waits[0].startswith("waiting for 4 GPUs")
    with pytest.raises(ExperimentError, match="CUDA does not work on h"):
        looks(watch, clock, 700)

    mine = Unfit(worker=Worker(host="h", process=1, processor="", node="head"), line="CUDA does not work on head")
    with pytest.raises(ExperimentError, match="CUDA does not work on head"):
        watch.refuse(mine)  # the driver's own node would take the driver with it
    assert drained == ["worker"]
