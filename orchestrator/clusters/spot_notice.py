"""Watches a rented worker: drains its Ray node on a spot notice, and ends a worker whose head is gone.

AWS announces the end of a spot instance two minutes ahead, on the instance's own metadata service only, and Ray 2.60
does not read it. A node that is drained for preemption gets no new cell, and its loss counts as a preemption instead
of a failure. A worker whose head is gone would be paid for until somebody notices; after ten minutes it ends itself.

    python -m orchestrator.clusters.spot_notice --address HEAD:6379

Only the standard library is imported, because this process runs beside trainings. `ray drain-node` is a hidden command
of Ray 2.60 and may change; a test runs it against the installed Ray.
"""

import argparse
import http.client
import json
import logging
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

# Ray counts a loss as a preemption only after the drain's deadline, so that the deadline precedes AWS's.
_MARGIN_SECONDS: Final = 30
_METADATA_SERVICE: Final = "http://169.254.169.254"
_POLL_SECONDS: Final = 5.0  # the interval that AWS recommends
_ORPHAN_SECONDS: Final = 600.0  # long enough for a restarted head or a short network failure

# The metadata service is on this machine's own link: a proxy would answer for its own machine.
_NO_PROXY: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))

_LOG: Final = logging.getLogger("polarmap.spot_notice")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Interruption:
    """The announced end of an instance."""

    action: str
    """`terminate`, `stop` or `hibernate`."""
    at: datetime

    def deadline_seconds(self, now: datetime) -> int:
        """Seconds until running cells are stopped, at least one."""
        return max(1, int((self.at - now).total_seconds()) - _MARGIN_SECONDS)


def _interruption(metadata_service: str) -> _Interruption | None:
    """Ask the metadata service for the announced end of this instance; None while there is none.

    Raises:
        OSError: The metadata service does not answer.
        ValueError: Its answer is not a notice.
    """
    # Version 2 of the service requires a token by PUT, which forged requests through a proxy or browser cannot send.
    put = urllib.request.Request(f"{metadata_service}/latest/api/token", method="PUT")
    put.add_header("X-aws-ec2-metadata-token-ttl-seconds", "60")
    with _NO_PROXY.open(put, timeout=2) as answer:
        token = answer.read().decode("ascii")
    get = urllib.request.Request(f"{metadata_service}/latest/meta-data/spot/instance-action")
    get.add_header("X-aws-ec2-metadata-token", token)
    try:
        with _NO_PROXY.open(get, timeout=2) as answer:
            notice = json.load(answer)
    except urllib.error.HTTPError as error:
        if error.code == 404:  # how the service says that there is no notice
            return None
        raise
    try:
        return _Interruption(action=str(notice["action"]), at=datetime.fromisoformat(notice["time"]))
    except (KeyError, TypeError) as error:
        raise ValueError("the metadata service's notice has no action and time") from error


def _drain(notice: _Interruption, address: str, node_id: str | None) -> bool:
    """Ask Ray to schedule nothing more on this node.

    Args:
        notice: The announced end, which sets the deadline.
        address: The head's `HOST:PORT`.
        node_id: The node, hexadecimal; None for the node of this machine.

    Returns:
        Whether Ray accepted.
    """
    command = [
        str(Path(sys.executable).with_name("ray")),
        "drain-node",
        f"--address={address}",
        "--reason=DRAIN_NODE_REASON_PREEMPTION",
        f"--reason-message=spot notice: {notice.action} at {notice.at.isoformat()}",
        f"--deadline-remaining-seconds={notice.deadline_seconds(datetime.now(UTC))}",
    ]
    if node_id is not None:
        command.append(f"--node-id={node_id}")
    # Without a node's id Ray looks up the node of this machine in the cluster that RAY_ADDRESS names.
    environment = os.environ | {"RAY_ADDRESS": address}
    try:
        # Bounded: a head that hangs must not keep this watch from ending an orphan.
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=60)
    except subprocess.TimeoutExpired:
        _LOG.error("ray drain-node did not end within a minute")
        return False
    if done.returncode != 0:
        _LOG.error("ray drain-node failed (%d): %s", done.returncode, done.stderr.strip()[-500:])
    return done.returncode == 0


def _reachable(address: str) -> bool:
    """Whether the cluster's head accepts connections."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=2).close()
    except OSError:
        return False
    return True


def _watch(arguments: argparse.Namespace) -> int:
    """Watch until the node is drained or the head is gone; returns the exit code."""
    last_seen, silent = time.monotonic(), False
    while True:
        try:
            notice, silent = _interruption(arguments.metadata_service), False
        except (OSError, ValueError, http.client.HTTPException) as error:
            if not silent:  # one line for each outage, not one every five seconds
                _LOG.warning("no answer from the metadata service: %s", error)
            notice, silent = None, True
        if notice is not None:
            _LOG.warning("AWS will %s this instance at %s", notice.action, notice.at.isoformat())
            if _drain(notice, arguments.address, arguments.node_id):
                _LOG.warning("drained: this node gets no new cells")
                return 0
        now = time.monotonic()
        last_seen = now if _reachable(arguments.address) else last_seen
        if now - last_seen > arguments.orphan_seconds:
            _LOG.error("no head at %s for %.0f seconds; ending this worker", arguments.address, now - last_seen)
            return _end(arguments.orphan_command)
        time.sleep(arguments.poll_seconds)


def _end(command: str | None) -> int:
    return 0 if command is None else subprocess.run(["/bin/sh", "-c", command], check=False).returncode


def _main(argv: Sequence[str] | None = None) -> int:
    """Run the watcher from the command line."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(message)s")
    parser = argparse.ArgumentParser(
        prog="python -m orchestrator.clusters.spot_notice",
        description="drain the Ray node of this machine on a spot notice",
    )
    parser.add_argument("--address", required=True, metavar="HOST:PORT", help="the head's address")
    parser.add_argument("--node-id", metavar="HEX", help="default: the Ray node of this machine")
    parser.add_argument("--metadata-service", default=_METADATA_SERVICE, metavar="URL", help=argparse.SUPPRESS)
    parser.add_argument("--poll-seconds", type=float, default=_POLL_SECONDS, metavar="S")
    parser.add_argument("--orphan-seconds", type=float, default=_ORPHAN_SECONDS, metavar="S")
    parser.add_argument(
        "--orphan-command", metavar="SHELL", help="command to run when the head has been gone for --orphan-seconds"
    )
    return _watch(parser.parse_args(argv))


if __name__ == "__main__":
    sys.exit(_main())
