"""A long run on a cluster whose nodes come and go: the driver's memory, what scheduling costs, what is lost.

Run from the repository, alone on a machine: `python -m benchmarks.cluster_scale --cells 2000 --nodes 8`. The nodes are
Ray's own test cluster's: each a raylet with one slot on this machine, a worker of some 0.4 GiB in it. A cell waits and
reports. What loads the driver is cells a second: 64 nodes with cells of ten seconds end as many as 8 with 1.25 s.
"""

import argparse
import random
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

import ray
from ray.cluster_utils import Cluster

from benchmarks.orchestration import Waiting, bench, jobs, resident
from orchestrator.cells.records import CandidateResult, CellKey, CellResult, Worker
from orchestrator.experiment.settings import ResourceSettings
from orchestrator.runners.environment import prepare_for_ray
from orchestrator.runners.runner import Hang, Unfit

_NODE: Final[dict[str, Any]] = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}
_SOON: Final = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 1000, "health_check_failure_threshold": 5}
_MARKS: Final = 10
"""How often memory is printed."""


@dataclass
class Spans:
    """What each worker did, by the driver's clock."""

    cells: int
    ends: Counter[CellKey] = field(default_factory=Counter)
    lost: int = 0
    first: dict[Worker, float] = field(default_factory=dict)
    last: dict[Worker, float] = field(default_factory=dict)
    done: Counter[Worker] = field(default_factory=Counter)
    at: dict[CellKey, Worker] = field(default_factory=dict)

    def started(self, key: CellKey, worker: Worker, attempt: int) -> None:
        """A cell begins."""
        self.at[key] = worker
        self.first.setdefault(worker, time.perf_counter())

    def candidate(self, key: CellKey, result: CandidateResult) -> None:
        """There are none."""

    def retried(self, key: CellKey, cause: str, attempt: int) -> None:
        """A cell's node went; it is done again."""
        self.lost += 1

    def hung(self, key: CellKey, hang: Hang) -> None:
        """None should."""
        sys.stdout.write(f"cell {key.name} hung\n")

    def waiting(self, message: str) -> None:
        """Cells wait while too many nodes are gone."""

    def unfit(self, unfit: Unfit) -> None:
        """No node should be."""
        sys.stdout.write(f"{unfit}\n")

    def cell(self, result: CellResult, attempt: int) -> None:
        """A cell is finished."""
        self.ends[result.key] += 1
        worker = self.at[result.key]
        self.done[worker] += 1
        self.last[worker] = time.perf_counter()
        ended = sum(self.ends.values())
        if ended % max(1, self.cells // _MARKS) == 0:
            sys.stdout.write(f"after {ended:>6} cells: {resident():.0f} MiB in the driver\n")
            sys.stdout.flush()

    def overhead(self, seconds: float) -> float:
        """Time between a worker's first begin and last end that was no work of its finished cells, as a part of it."""
        span = sum(self.last[worker] - self.first[worker] for worker in self.last)
        work = sum(self.done.values()) * seconds
        return span / work - 1


def main() -> int:
    """Run, print; 1 where a cell was lost or done twice."""
    options = _arguments()
    prepare_for_ray()
    # Hooks at exit are signal handlers, which only the main thread may set; nodes are added from another one.
    cluster = Cluster(initialize_head=True, head_node_args={**_NODE, "_system_config": _SOON}, shutdown_at_exit=False)
    try:
        return _measured(cluster, options)
    finally:
        ray.shutdown()
        cluster.shutdown()  # type: ignore[no-untyped-call] # Ray's own


def _measured(cluster: Cluster, options: argparse.Namespace) -> int:
    for _ in range(options.nodes - 1):
        cluster.add_node(**_NODE)
    ray.init(address=cluster.address, log_to_driver=False)
    from orchestrator.runners.ray_runner import RayRunner  # noqa: PLC0415 - after Ray's settings

    spans, ended = Spans(options.cells), threading.Event()
    changes = threading.Thread(target=_change, args=(cluster, options.change, ended), daemon=True)
    changes.start()
    begun = time.perf_counter()
    wanted = jobs(options.cells)
    RayRunner(work=Waiting(options.seconds, time.sleep)).run(
        wanted, bench(), ResourceSettings(gpus_per_cell=0, cpus_per_cell=1), spans
    )
    took = time.perf_counter() - begun
    ended.set()
    changes.join()
    twice = sum(count > 1 for count in spans.ends.values())
    missing = len(wanted) - len(spans.ends)
    sys.stdout.write(
        f"{options.cells} cells of {options.seconds:g} s on {options.nodes} nodes of one slot in {took:.0f} s, "
        f"{options.cells / took:.1f} a second; {len(spans.first)} workers, {spans.lost} cells begun again after their "
        f"node went; {missing} lost, {twice} ended twice; {spans.overhead(options.seconds):.1%} over\n"
    )
    return int(bool(missing or twice))


def _change(cluster: Cluster, every: float, ended: threading.Event) -> None:
    """Every so many seconds one node goes without a word, and another comes; the head stays."""
    chosen = random.Random(0)
    while every and not ended.wait(every):
        others = list(cluster.worker_nodes)
        if others:
            cluster.remove_node(chosen.choice(others), allow_graceful=False)
        cluster.add_node(**_NODE)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=2000)
    parser.add_argument("--nodes", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=1.25, help="of a cell")
    parser.add_argument("--change", type=float, default=30.0, help="seconds until the next node goes; 0 for never")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
