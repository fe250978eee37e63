"""Rules for Ray's `local` provider: hosts that exist already."""

from collections.abc import Iterator
from typing import Final

from orchestrator.clusters.lint.reading import ClusterFile
from orchestrator.clusters.lint.records import Finding, finding


def _hosts(file: ClusterFile) -> Iterator[Finding]:
    """Hosts that are missing, listed twice, or head and worker at once."""
    if not _lists_hosts(file):
        return
    for key in ("head_ip", "worker_ips"):
        if file.at("provider", key) is None:
            problem = f"{key} is missing, and Ray stops"
            yield finding(file, "error", "hosts", ("provider",), problem, f"add {key}, or a coordinator_address")
    head, earlier = file.at("provider", "head_ip"), set[str]()
    for number, worker in enumerate(file.items("provider", "worker_ips")):
        place = ("provider", "worker_ips", number)
        if worker == head:
            yield finding(file, "error", "hosts", place, "the head is also a worker", "remove it from worker_ips")
        elif str(worker) in earlier:
            yield finding(file, "error", "hosts", place, "this host is listed twice", "list it once")
        earlier.add(str(worker))


def _host_numbers(file: ClusterFile) -> Iterator[Finding]:
    """Numbers of workers that differ from the number of listed hosts."""
    if not _lists_hosts(file):
        return
    listed = len(file.items("provider", "worker_ips"))
    low, high = file.integer("min_workers"), file.integer("max_workers")
    # Too many is only a warning: Ray uses the hosts that are listed.
    for key, number in (("min_workers", low), ("max_workers", high)):
        if number is not None and number > listed:
            problem = f"{key} is {number}, but {listed} hosts are listed; Ray uses {listed}"
            yield finding(file, "warning", "worker-numbers", (key,), problem, f"write {listed}, or add hosts")
        elif number is not None and key == "max_workers" and number < listed:
            problem = f"only {number} of {listed} hosts will be used"
            yield finding(file, "warning", "worker-numbers", (key,), problem, f"write {listed}, or remove hosts")
    if low is not None and high is not None and low > high:
        problem = f"min_workers {low} exceeds max_workers {high}"
        yield finding(file, "error", "worker-numbers", ("min_workers",), problem, "lower it")


def _node_types(file: ClusterFile) -> Iterator[Finding]:
    """Node types, which only rented clusters have."""
    if file.provider == "local" and file.at("available_node_types"):
        problem = "Ray refuses available_node_types with the local provider"
        remedy = "remove it; give resources to ray start"
        yield finding(file, "error", "node-types", ("available_node_types",), problem, remedy)


def _user(file: ClusterFile) -> Iterator[Finding]:
    """A missing user name."""
    if file.provider == "local" and not file.at("auth", "ssh_user"):
        problem = "ssh_user is missing, and Ray stops with a traceback"
        yield finding(file, "error", "hosts", ("auth",), problem, "add ssh_user")


def _autoscaler(file: ClusterFile) -> Iterator[Finding]:
    """Known limits of Ray's autoscaler v2 and of `ray down` on private hosts."""
    if _lists_hosts(file) and file.items("provider", "worker_ips"):
        # Seen with Ray 2.60: one worker of two joined (docs/cluster_private.md).
        problem = "with Ray's autoscaler v2, its default, some of these hosts do not join"
        remedy = "call RAY_UP_enable_autoscaler_v2=0 ray up …, and count the nodes that are alive"
        yield finding(file, "note", "autoscaler-v2", ("provider", "type"), problem, remedy)
        problem = "ray down stops Ray on the head only"
        yield finding(file, "note", "down-head-only", ("provider", "worker_ips"), problem, "run ray stop on the others")


def _lists_hosts(file: ClusterFile) -> bool:
    """Whether the file lists its hosts; with a `coordinator_address` a server assigns them."""
    return file.provider == "local" and file.at("provider", "coordinator_address") is None


RULES: Final = (_hosts, _host_numbers, _node_types, _user, _autoscaler)
