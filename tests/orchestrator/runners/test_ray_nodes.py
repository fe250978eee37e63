"""A cluster whose second node comes late and dies: the work moves, and nothing tells afterwards."""

import hashlib
import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import ray
from ray.cluster_utils import Cluster
from ray.core.generated.common_pb2 import NodeDeathInfo

from mpi_model.errors import ExperimentError
from mpi_model.gpu_check import GpuCheck
from orchestrator.cells.guard import run_guarded
from orchestrator.clusters.spot_notice import _MARGIN_SECONDS, _drain, _Interruption
from orchestrator.driver.ledger_events import LedgerEvents
from orchestrator.driver.resume import RunOptions
from orchestrator.driver.run import run_experiment
from orchestrator.experiment.file import load_experiment
from orchestrator.monitoring.progress import NullProgress
from orchestrator.runners.environment import prepare_for_ray
from orchestrator.runners.inline import InlineRunner
from orchestrator.runners.ray_runner import RayRunner
from orchestrator.runners.ray_tune import run_on_tune

pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,  # minutes: nodes start and end; `make test-nodes`, and CI
    pytest.mark.filterwarnings("ignore"),  # Ray 2.60's own
]
TABLES = ("cells", "candidates", "epochs", "predictions")
NODE = {"num_cpus": 1, "object_store_memory": 100 * 2**20, "include_dashboard": False}
SOON = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 500,
    "health_check_failure_threshold": 4,
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A head with one processor and, as far as Ray knows, one GPU; it notices dead nodes soon."""
    prepare_for_ray()
    cluster = Cluster(initialize_head=True, head_node_args={**NODE, "num_gpus": 1, "_system_config": SOON})
    ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def marking(folder: Path):
    """Real work that leaves a file for each candidate; the head's goes on when another node has left one, which waits.

    What runs on the other node does not go on by itself: there is a cell under way when it dies.
    """
    head = ray.get_runtime_context().get_node_id()

    def nodes() -> set[str]:
        return {path.name.split()[2] for path in folder.iterdir()}

    def work(task, context, finished, on_candidate):
        def marked(candidate):
            node, deadline = ray.get_runtime_context().get_node_id(), time.monotonic() + 120
            (folder / f"{task.key.name} {candidate.number} {node}").touch()
            on_candidate(candidate)
            while (len(nodes()) < 2 or node != head) and time.monotonic() < deadline:
                time.sleep(0.05)

        return run_guarded(task, context, finished, marked)

    return work


class SecondNode:
    """Adds a node after the first candidate of a run, and kills it when the first candidate came from it.

    If it is announced, the node is drained first, as the watcher of rented workers does, and goes after the deadline.
    """

    def __init__(self, cluster: Cluster, marks: Path, announced: bool) -> None:
        self.cluster, self.marks, self.announced = cluster, marks, announced
        self.node = None
        self.dead = False

    def after_candidate(self, key, candidate) -> None:
        if self.node is None:
            self.node = self.cluster.add_node(**NODE)
        # Its own candidate has arrived: one on the way would rightly be trained again.
        elif not self.dead and (self.marks / f"{key.name} {candidate.number} {self.node.node_id}").exists():
            self.dead = True
            if self.announced:
                self.announce()
            self.cluster.remove_node(self.node, allow_graceful=False)

    def announce(self) -> None:
        """AWS's notice, two minutes shorter than AWS's; Ray lets cells go on until its own deadline, a second away."""
        notice = _Interruption(action="terminate", at=datetime.now(UTC) + timedelta(seconds=_MARGIN_SECONDS))
        assert _drain(notice, self.cluster.address, self.node.node_id)
        past = datetime.now(UTC) + timedelta(seconds=3)
        while datetime.now(UTC) < past:
            assert self.alive(), "the node went before its deadline"

    def alive(self) -> bool:
        """What Ray says of the node."""
        return self.node.node_id in {node["NodeID"] for node in ray.nodes() if node["Alive"]}

    def preempted(self) -> bool:
        """Whether Ray calls the loss a preemption."""
        (reason,) = [node["DeathReason"] for node in ray.nodes() if node["NodeID"] == self.node.node_id]
        return reason == NodeDeathInfo.Reason.Value("AUTOSCALER_DRAIN_PREEMPTED")


@pytest.mark.parametrize("announced", [False, True], ids=["lost", "preempted"])
def test_a_second_node_joins_works_and_dies_and_the_tables_are_those_of_one_process(
    tmp_path, make_tiny, cluster, monkeypatch, announced
):
    """Byte for byte, with one attempt a cell: the loss of a node, announced by AWS or not, costs none of them.

    Nor is any candidate trained twice.
    """
    marks = tmp_path / "marks"
    marks.mkdir()
    second = SecondNode(cluster, marks, announced)
    kept = LedgerEvents.candidate

    def candidate(self, key, result):
        kept(self, key, result)
        second.after_candidate(key, result)

    digests = []
    for runner in (InlineRunner(), RayRunner(work=marking(marks))):
        experiment = make_tiny(tmp_path / type(runner).__name__)
        loaded = load_experiment(experiment, ["resources.attempts=1"])
        with monkeypatch.context() as patched:
            if isinstance(runner, RayRunner):
                patched.setattr(LedgerEvents, "candidate", candidate)
            outcome = run_experiment(loaded, RunOptions(), NullProgress(), runner)
        assert outcome.failed == ()
        digests.append({name: hashlib.sha256(outcome.paths.table(name).read_bytes()).hexdigest() for name in TABLES})

    assert second.dead
    assert second.preempted() is announced
    assert digests[0] == digests[1]
    trained = [tuple(path.name.split()[:2]) for path in marks.iterdir()]
    assert len(trained) == len(set(trained)) == 18
    assert set(pq.read_table(BytesIO(outcome.paths.table("timings").read_bytes()))["attempt"].to_pylist()) == {1}
    assert "its node was lost" in outcome.paths.log.read_bytes().decode()


def test_a_cell_without_room_on_its_gpu_is_given_twice_as_much(
    tiny, cluster, work_of, collected, cheap_work, troubles, tmp_path
):
    """A quarter of a GPU is too small, a half is enough: no attempt is spent, and Ray reserves what is said."""
    jobs, context, resources = work_of(tiny, "resources.gpus_per_cell=0.25", "resources.attempts=1")

    def trouble(key, number):
        share = ray.get_runtime_context().get_assigned_resources()["GPU"]
        (tmp_path / f"{key.name} {share:g} {number}").touch()
        return troubles.cell_of(key, state="failed", reason="no room", fault="gpu_memory") if share < 0.5 else None

    work = cheap_work(tmp_path / "trained", trouble)
    run_on_tune(jobs[-1:], context, resources, collected, tmp_path / "share", work)

    ((result, attempt),) = collected.cells
    assert (result.state, attempt) == ("complete", 1)
    assert [(cause, number) for _, cause, number in collected.retries] == [("its share of a GPU was too small", 1)]
    assert sorted({path.name.split()[1] for path in tmp_path.glob("*-final *")}) == ["0.25", "0.5"]
    assert [number for _, number in work.trained()] == [0, 1, 2]


def of_node(bad: str):
    """A self-test that one node does not pass, as `check_gpu` would say it."""

    def test(device: str) -> GpuCheck:
        is_fit = ray.get_runtime_context().get_node_id() != bad
        return GpuCheck(is_fit=is_fit, line="fine" if is_fit else "CUDA does not work on worker-7 (driver 470)")

    return test


def test_a_node_whose_gpu_does_not_compute_gets_no_cell_and_fails_none(
    cluster, tiny, work_of, collected, cheap_work, tmp_path
):
    """Its first cell goes to another node without counting as an attempt; the node itself ends, told in one line."""
    bad = cluster.add_node(**NODE)
    jobs, context, resources = work_of(tiny, "resources.gpus_per_cell=0", "resources.attempts=1")
    work = cheap_work(tmp_path / "trained", lambda key, number: time.sleep(0.5))
    run_on_tune(
        jobs, context, resources, collected, tmp_path / "tune", work, timeout=600.0, self_test=of_node(bad.node_id)
    )

    assert {result.state for result, _ in collected.cells} == {"complete"}
    assert {attempt for _, attempt in collected.cells} == {1}
    (unfit,) = {unfit.line for unfit in collected.unfit_nodes}
    assert unfit == "CUDA does not work on worker-7 (driver 470)"
    assert bad.node_id not in {worker.node for worker in collected.workers}
    deadline = time.monotonic() + 60
    while bad.node_id in {node["NodeID"] for node in ray.nodes() if node["Alive"]}:
        assert time.monotonic() < deadline, "a drained node does not end"
        time.sleep(0.2)
    cluster.remove_node(bad, allow_graceful=False)


class Wanderer:
    """Events that add a node when the run waits for the first time, and take it away after its first candidate."""

    def __init__(self, cluster: Cluster, collected) -> None:
        self.cluster, self.collected = cluster, collected
        self.node = None

    def waiting(self, message: str) -> None:
        self.collected.waiting(message)
        if self.node is None:
            self.node = self.cluster.add_node(**{**NODE, "num_cpus": 2})

    def candidate(self, key, candidate) -> None:
        self.collected.candidate(key, candidate)
        if len(self.collected.candidates) == 1:
            self.cluster.remove_node(self.node, allow_graceful=False)

    def __getattr__(self, name: str):
        return getattr(self.collected, name)

    def __getstate__(self) -> dict[str, object]:
        """Nothing: Tune pickles its callbacks into a snapshot that nobody reads."""
        return {}


def test_a_run_says_that_it_waits_and_ends_when_the_last_node_is_gone_for_too_long(
    cluster, tiny, work_of, collected, cheap_work, tmp_path
):
    """Before the first node and after the last one is lost it says for what it waits; then it ends with the remedy."""
    jobs, context, resources = work_of(tiny, "resources.gpus_per_cell=0", "resources.cpus_per_cell=1.5")
    work = cheap_work(tmp_path / "trained", lambda key, number: time.sleep(0.5 if number < 0 else 60))
    events = Wanderer(cluster, collected)
    with pytest.raises(ExperimentError, match=r"a cell reserves 1.5 CPUs.*in \d+ s none came \(0 nodes starting\)"):
        run_on_tune(jobs[:2], context, resources, events, tmp_path / "tune", work, timeout=20.0)

    first, there, again = collected.waits[:3]
    assert first.startswith("waiting for 1.5 CPUs, 0 nodes starting, since ")
    assert there == ""
    assert again.startswith("waiting for 3 CPUs")
