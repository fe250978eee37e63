"""Ray, started privately on this machine, or a cluster joined."""

import logging
import os
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Final

import ray
import ray.exceptions
from ray._private import ray_constants
from ray._raylet import AuthenticationTokenLoader, Config  # type: ignore[attr-defined] # of a compiled module
from ray.job_config import JobConfig

from mpi_model.errors import ExperimentError
from orchestrator.cells.records import WorkerContext
from orchestrator.runners.environment import changed_environment, prepare_for_ray
from orchestrator.runners.private_folder import private_folder

_TRIED_RAY: Final = "2.60"
"""The minor version of Ray whose private attributes and error texts are known here; `pyproject.toml` pins it."""
_SMALLEST_STORE: Final = 256 * 2**20
_LARGEST_STORE: Final = 8 * 2**30
_REFUSED: Final = (ray.exceptions.AuthenticationError, ConnectionError)
_LATE: Final = ("The current node timed out during startup", "Failed to start GCS")
"""How Ray 2.60 says that its own processes were not there in time."""


def store_bytes(context: WorkerContext) -> int:
    """Bytes of the object store: twice what every worker reads, within bounds.

    Ray's default is a third of the machine's memory. The store holds the context once, jobs of a few kilobytes and, for
    a moment, the final networks, each about the size of the pretrained weights.
    """
    weights = sum(array.nbytes for array in context.state.values()) if context.state else 0
    return min(
        _LARGEST_STORE, max(_SMALLEST_STORE, 2 * (context.maps.stress.nbytes + context.maps.rest.nbytes + weights))
    )


def cluster_address(address: str | None) -> str | None:
    """The cluster to join: the one asked for, or that of `RAY_ADDRESS`; None for a Ray of one's own."""
    return address or os.environ.get("RAY_ADDRESS")


@contextmanager
def ray_session(address: str | None, store: int = _SMALLEST_STORE) -> Iterator[Path]:
    """Ray, started quietly if it does not run yet; yields a private folder for Tune's own files.

    Ray makes its session folder open to every user of the machine: it lies inside one that is not.

    Args:
        address: A cluster to join; None for the one of `RAY_ADDRESS`, as Ray's jobs have it, or a Ray of one's own.
        store: Bytes of the object store of a Ray of one's own.

    Raises:
        ExperimentError: Ray is of a version that was not tried, there is no such cluster, or it refuses the token.
    """
    _check_version(ray.__version__)
    prepare_for_ray()
    # A Ray that the caller started is the caller's to stop.
    mine = not ray.is_initialized()
    _check_authentication()
    joined = cluster_address(address)
    with private_folder() as folder, _own_token() if mine and joined is None else nullcontext():
        try:
            if mine:
                _start(joined, folder, store)
            yield folder
        finally:
            if mine:
                ray.shutdown()


def _check_authentication() -> None:
    """Refuse to work where the environment switches Ray's token off: whoever reaches a port could run programs.

    Raises:
        ExperimentError: `RAY_AUTH_MODE` is set, and not to `token`.
    """
    mode = os.environ.get("RAY_AUTH_MODE")
    if mode is not None and mode.lower() != "token":
        raise ExperimentError(
            f"RAY_AUTH_MODE={mode[:20]!r} in the environment switches off the token that protects Ray's ports; unset "
            "it, or set RAY_AUTH_MODE=token with the cluster's RAY_AUTH_TOKEN"
        )


@contextmanager
def _own_token() -> Iterator[None]:
    """A token for one Ray of one's own, new at every start, known to this process and those it starts.

    A token of the user's, for a cluster, is neither used nor changed; it is in force again afterwards.
    """
    try:
        with changed_environment({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}):
            _read_again()
            yield
    finally:
        _read_again()


def _read_again() -> None:
    """Let Ray's core see mode and token: it read them when it was imported."""
    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()


def _check_version(found: str) -> None:
    """Refuse a Ray that was not tried: a cell could be lost in silence, or wait for ever.

    The scheduler reads private attributes of Tune, and the cause of a lost worker is read from Ray's error texts; both
    may change in any minor version.

    Raises:
        ExperimentError: Ray is of another minor version.
    """
    if found.split(".")[:2] != _TRIED_RAY.split("."):
        raise ExperimentError(
            f"Ray {found} is installed, but polarmap was tried with Ray {_TRIED_RAY} and depends on its internals; "
            f'install it (pip install "ray[tune]=={_TRIED_RAY}.*"), or use --runner inline'
        )


def _start(address: str | None, folder: Path, store: int) -> None:
    """Start Ray here or join a cluster; Ray's own handler of SIGTERM, which aborts, is taken off again.

    Between the two, for the second that Ray's core takes to start, a SIGTERM ends the process with Ray's exit code;
    nothing is under way then that could be lost.
    """
    local: dict[str, Any] = {
        "address": "local",
        "_temp_dir": str(folder / "ray"),
        # The dashboard opens a port and takes memory, and nothing here reads it.
        "include_dashboard": False,
        "object_store_memory": store,
    }
    if address is not None:
        _check_reachable(address)
    main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGTERM)
    mask = os.umask(0o077)  # for the files to which Ray gives no mode of its own
    try:
        with nullcontext() if address else _on_loopback():
            ray.init(
                log_to_driver=False,
                logging_level=logging.ERROR,
                job_config=_job_config(),
                **({"address": address} if address else local),
            )
    except _REFUSED as error:
        raise ExperimentError(_refusal(address)) from error
    # Of no kind of its own: Ray 2.60 gives a raylet half a minute to start, and ends with a bare Exception.
    except Exception as error:
        if address is not None or not str(error).startswith(_LATE):
            raise
        raise ExperimentError(
            "Ray did not start here in time: this machine is busy, or short of memory or disk; run the same command "
            "again, or use --runner inline"
        ) from error
    finally:
        os.umask(mask)
        if main:
            signal.signal(signal.SIGTERM, handler)


class _OwnPaths(list[str]):
    """Folders that workers import from, in addition to their own: those of this process, and no other."""

    def extend(self, folders: Iterable[str]) -> None:
        """Take what Ray adds, the current folder above all, only where this process imports from it, too."""
        here = {os.path.abspath(folder) for folder in sys.path}
        super().extend(folder for folder in folders if os.path.abspath(folder) in here)


def _job_config() -> JobConfig:
    """Ray's settings of a job, without its habit of importing from the current folder.

    A `random.py` beside somebody's data would be run by every worker in place of Python's own.
    """
    config = JobConfig()
    config._py_driver_sys_path = _OwnPaths()
    return config


@contextmanager
def _on_loopback() -> Iterator[None]:
    """Let Ray take 127.0.0.1 as this node's address: its servers then listen there alone.

    Ray 2.60 translates a loopback address that it is given (`_node_ip_address`) into one that other machines reach,
    unless the system can have no cluster. So it is told that for as long as it starts.
    """
    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


def _refusal(address: str | None) -> str:
    """What to do where a cluster refuses to be joined."""
    if os.environ.get("RAY_AUTH_MODE") == "token":
        return (
            f"the Ray cluster at {address} does not accept this token; put the cluster's own into ~/.ray/auth_token "
            "or RAY_AUTH_TOKEN"
        )
    return (
        f"the Ray cluster at {address} refuses the connection; if it asks for a token, set RAY_AUTH_MODE=token and put "
        "the token into ~/.ray/auth_token or RAY_AUTH_TOKEN"
    )


def _check_reachable(address: str) -> None:
    """Refuse an address without a listener at once, instead of after a minute of Ray's retries.

    Raises:
        ExperimentError: Nothing answers at `host:port`.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not (host and port.isdigit()):
        return
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    # The other two: a port or a name that none can be.
    except (OSError, OverflowError, UnicodeError) as error:
        raise ExperimentError(
            f"no Ray cluster answers at {address[:200]} ({error}); start it, or leave --address out"
        ) from error
