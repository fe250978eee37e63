"""A watchman on a rented worker: turns a spot notice into a drained Ray node, and ends a worker nobody owns any more.

AWS announces two minutes ahead that it takes a spot instance, on the instance's own metadata service and nowhere
else. Ray 2.60 does not listen. Drained for preemption, the node gets no new cell, and its loss counts as a preemption
instead of a failure. And a worker whose head is gone is paid for until somebody notices; here it ends itself.

    python -m orchestrator.clusters.spot_notice --address HEAD:6379

Only the standard library is imported: this process lives beside trainings. `ray drain-node` is a hidden command of
Ray 2.60 without a promise of stability; a test holds it to what is said here.
"""

import argparse
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

METADATA_SERVICE: Final = "http://169.254.169.254"
POLL_SECONDS: Final = 5.0
"""As often as AWS recommends."""
MARGIN_SECONDS: Final = 30
"""Ray calls a loss a preemption only after the drain's deadline, so the deadline lies before AWS's."""
ORPHAN_SECONDS: Final = 600.0
"""A head that is being set up anew, or a network that blinks, is back by then."""

DIRECT: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""The metadata service answers this machine only; a proxy of the environment would be asked about itself."""

LOG: Final = logging.getLogger("polarmap.spot_notice")


@dataclass(frozen=True, slots=True, kw_only=True)
class Interruption:
    """What AWS announced."""

    action: str
    """`terminate`, `stop` or `hibernate`."""
    at: datetime

    def deadline_seconds(self, now: datetime) -> int:
        """Seconds that running cells are given, at least one."""
        return max(1, int((self.at - now).total_seconds()) - MARGIN_SECONDS)


def interruption(metadata_service: str) -> Interruption | None:
    """The announced end of this instance; None while there is none.

    Raises:
        OSError: The metadata service does not answer.
        ValueError: It answers something else.
    """
    # Version 2 of the service: a token by PUT first, which a tricked proxy or browser cannot send.
    put = urllib.request.Request(f"{metadata_service}/latest/api/token", method="PUT")
    put.add_header("X-aws-ec2-metadata-token-ttl-seconds", "60")
    with DIRECT.open(put, timeout=2) as answer:
        token = answer.read().decode("ascii")
    get = urllib.request.Request(f"{metadata_service}/latest/meta-data/spot/instance-action")
    get.add_header("X-aws-ec2-metadata-token", token)
    try:
        with DIRECT.open(get, timeout=2) as answer:
            said = json.load(answer)
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None
        raise
    try:
        return Interruption(action=str(said["action"]), at=datetime.fromisoformat(said["time"]))
    except (KeyError, TypeError) as error:
        raise ValueError("the metadata service's notice has no action and time") from error


def drain(notice: Interruption, address: str, node_id: str | None) -> bool:
    """Ask Ray to give this node no more work; whether it accepted."""
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
    # Without a node's id Ray asks the cluster which node it is called on; this names the cluster it asks.
    environment = os.environ | {"RAY_ADDRESS": address}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode != 0:
        LOG.error("ray drain-node failed (%d): %s", done.returncode, done.stderr.strip()[-500:])
    return done.returncode == 0


def reachable(address: str) -> bool:
    """Whether the cluster's head still listens."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=2).close()
    except OSError:
        return False
    return True


def watch(arguments: argparse.Namespace) -> int:
    """Watch until the node is drained, or its cluster gone; returns the exit code."""
    last_seen, silent = time.monotonic(), False
    while True:
        try:
            notice, silent = interruption(arguments.metadata_service), False
        except (OSError, ValueError) as error:
            if not silent:
                LOG.warning("no answer from the metadata service: %s", error)
            notice, silent = None, True
        if notice is not None:
            LOG.warning("AWS will %s this instance at %s", notice.action, notice.at.isoformat())
            if drain(notice, arguments.address, arguments.node_id):
                LOG.warning("drained: no new cells come here")
                return 0
        now = time.monotonic()
        last_seen = now if reachable(arguments.address) else last_seen
        if now - last_seen > arguments.orphan_seconds:
            LOG.error("no head at %s for %.0f seconds; ending this worker", arguments.address, now - last_seen)
            return _end(arguments.orphan_command)
        time.sleep(arguments.poll_seconds)


def _end(command: str | None) -> int:
    return 0 if command is None else subprocess.run(["/bin/sh", "-c", command], check=False).returncode


def main(argv: Sequence[str] | None = None) -> int:
    """Run the watchman from the command line."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(message)s")
    parser = argparse.ArgumentParser(
        prog="python -m orchestrator.clusters.spot_notice", description="spot notices become drained Ray nodes"
    )
    parser.add_argument("--address", required=True, metavar="HOST:PORT", help="the head's address")
    parser.add_argument("--node-id", metavar="HEX", help="default: the Ray node of this machine")
    parser.add_argument("--metadata-service", default=METADATA_SERVICE, metavar="URL", help=argparse.SUPPRESS)
    parser.add_argument("--poll-seconds", type=float, default=POLL_SECONDS, metavar="S")
    parser.add_argument("--orphan-seconds", type=float, default=ORPHAN_SECONDS, metavar="S")
    parser.add_argument("--orphan-command", metavar="SHELL", help="run when the head has been gone for so long")
    return watch(parser.parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
