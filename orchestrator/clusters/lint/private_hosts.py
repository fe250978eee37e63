"""Traps of Ray's `local` provider, for hosts that are there already."""

from collections.abc import Iterator

from orchestrator.clusters.lint.reading import ClusterFile
from orchestrator.clusters.lint.records import Finding, finding
from orchestrator.clusters.lint.sizes import whole


def hosts(file: ClusterFile) -> Iterator[Finding]:
    """Hosts that are missing, twice there, or head and worker at once."""
    if not _manual(file):
        return
    for key in ("head_ip", "worker_ips"):
        if file.at("provider", key) is None:
            problem = f"{key} is missing, and Ray stops"
            yield finding(file, "error", "hosts", ("provider",), problem, f"add {key}, or a coordinator_address")
    head, seen = file.at("provider", "head_ip"), set[str]()
    for number, worker in enumerate(_workers(file)):
        place = ("provider", "worker_ips", number)
        if worker == head:
            yield finding(file, "error", "hosts", place, "the head is a worker, too", "take it out of worker_ips")
        elif str(worker) in seen:
            yield finding(file, "error", "hosts", place, "this host is listed twice", "list it once")
        seen.add(str(worker))


def host_numbers(file: ClusterFile) -> Iterator[Finding]:
    """Numbers of workers that do not fit the list of hosts."""
    if not _manual(file):
        return
    listed = len(_workers(file))
    for key in ("min_workers", "max_workers"):
        asked = whole(file.at(key))
        if asked is not None and asked > listed:
            problem = f"{key} {asked}, but {listed} hosts are listed; Ray takes {listed}"
            yield finding(file, "warning", "worker-numbers", (key,), problem, f"write {listed}, or add hosts")
        elif asked is not None and key == "max_workers" and asked < listed:
            problem = f"only {asked} of {listed} hosts will be used"
            yield finding(file, "warning", "worker-numbers", (key,), problem, f"write {listed}, or take hosts out")
    low, high = whole(file.at("min_workers")), whole(file.at("max_workers"))
    if low is not None and high is not None and low > high:
        problem = f"min_workers {low} is over max_workers {high}"
        yield finding(file, "error", "worker-numbers", ("min_workers",), problem, "lower it")


def node_types_forbidden(file: ClusterFile) -> Iterator[Finding]:
    """Keys of rented clusters."""
    for key in ("available_node_types", "head_node", "worker_nodes") if file.provider == "local" else ():
        if file.at(key):
            problem = f"Ray refuses {key} with the local provider"
            yield finding(file, "error", "node-types", (key,), problem, "take it out; resources go to ray start")


def user(file: ClusterFile) -> Iterator[Finding]:
    """Nobody to log in as."""
    if file.provider == "local" and not file.at("auth", "ssh_user"):
        yield finding(file, "error", "hosts", ("auth",), "no ssh_user: Ray stops with a traceback", "add ssh_user")


def autoscaler(file: ClusterFile) -> Iterator[Finding]:
    """Ray's newer autoscaler loses hosts; its `down` forgets them."""
    if _manual(file) and _workers(file):
        problem = "with Ray's autoscaler v2, its default, not all of these hosts join"
        remedy = "call RAY_UP_enable_autoscaler_v2=0 ray up …, and count the nodes that are alive"
        yield finding(file, "note", "autoscaler-v2", ("provider", "type"), problem, remedy)
        problem = "ray down stops Ray on the head only"
        yield finding(file, "note", "down-head-only", ("provider", "worker_ips"), problem, "run ray stop on the others")


def _manual(file: ClusterFile) -> bool:
    return file.provider == "local" and file.at("provider", "coordinator_address") is None


def _workers(file: ClusterFile) -> list[object]:
    listed = file.at("provider", "worker_ips")
    return listed if isinstance(listed, list) else []
