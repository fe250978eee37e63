"""The watcher of rented workers: what AWS announces reaches Ray, and an orphan ends itself."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import ray
from ray.cluster_utils import Cluster
from ray.core.generated.common_pb2 import NodeDeathInfo

from orchestrator.clusters.spot_notice import _MARGIN_SECONDS, _Interruption, _interruption

TOKEN = "token-of-the-metadata-service"


class MetadataService(ThreadingHTTPServer):
    """Version 2 of EC2's metadata service on loopback: no token, no answer; no notice, a 404."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), MetadataAnswers)
        self.notice: dict[str, str] | None = None
        self.asked = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class MetadataAnswers(BaseHTTPRequestHandler):
    """What the service says."""

    server: MetadataService

    def do_PUT(self) -> None:
        wanted = self.path == "/latest/api/token" and "X-aws-ec2-metadata-token-ttl-seconds" in self.headers
        self._answer(200 if wanted else 400, TOKEN)

    def do_GET(self) -> None:
        self.server.asked += 1
        if self.headers.get("X-aws-ec2-metadata-token") != TOKEN:
            self._answer(401, "")
        elif self.path != "/latest/meta-data/spot/instance-action" or self.server.notice is None:
            self._answer(404, "")
        else:
            self._answer(200, json.dumps(self.server.notice))

    def _answer(self, code: int, text: str) -> None:
        self.send_response(code)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def metadata_service() -> Iterator[MetadataService]:
    """A metadata service that has nothing to announce yet."""
    with MetadataService() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@ray.remote(num_cpus=1)
class Cell:
    """Keeps one node busy."""

    def ready(self) -> None:
        """Answers as soon as the node has given it room."""


def in_format_of_aws(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def watcher(*words: str) -> subprocess.Popen[str]:
    """The watcher as a worker starts it."""
    command = [sys.executable, "-m", "orchestrator.clusters.spot_notice", "--poll-seconds=0.2", *words]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ | {"RAY_AUTH_MODE": "disabled"})


def until(fact: Callable[[], object], seconds: float = 120) -> None:
    """Wait for a fact."""
    end = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < end, "it did not become true in time"
        time.sleep(0.05)


def test_a_notice_is_read_with_a_token_and_silence_is_no_notice(metadata_service):
    """AWS's version-2 protocol is followed: a token first, 404 means that all is well, the time is in UTC."""
    assert _interruption(metadata_service.url) is None
    metadata_service.notice = {"action": "terminate", "time": "2026-11-22T08:22:00Z"}

    found = _interruption(metadata_service.url)

    assert found == _Interruption(action="terminate", at=datetime(2026, 11, 22, 8, 22, tzinfo=UTC))
    # Ray calls it a preemption only after its own deadline: that has to lie well before the two minutes are over.
    assert 60 <= found.deadline_seconds(datetime(2026, 11, 22, 8, 20, tzinfo=UTC)) <= 100
    assert found.deadline_seconds(datetime(2026, 11, 22, 8, 30, tzinfo=UTC)) == 1


def test_an_answer_that_is_no_notice_is_an_error_and_not_a_drain(metadata_service):
    """A service that says something unexpected does not drain the node."""
    metadata_service.notice = {"message": "hello"}

    with pytest.raises(ValueError, match="no action and time"):
        _interruption(metadata_service.url)


def test_a_worker_without_a_head_ends_itself(metadata_service, tmp_path):
    """A worker whose head is gone runs its last command, even while no notice came; with a head it does not."""
    last = tmp_path / "ended"
    with socket.create_server(("127.0.0.1", 0)) as head:
        address = f"127.0.0.1:{head.getsockname()[1]}"
        words = (f"--address={address}", f"--metadata-service={metadata_service.url}")
        watching = watcher(*words, "--orphan-seconds=1", f"--orphan-command=touch '{last}'")
        try:
            until(lambda: metadata_service.asked > 15)  # three seconds of polling, three times the patience
            assert watching.poll() is None
            assert not last.exists()
            head.close()
            watching.communicate(timeout=120)
        finally:
            watching.kill()

    assert watching.returncode == 0
    assert last.exists()


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.filterwarnings("ignore")
def test_the_loss_of_an_announced_node_is_a_preemption_to_ray(metadata_service, monkeypatch):
    """A notice drains the real node, and when it is then killed Ray calls it a preemption; without one, it does not."""
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    try:
        announced, unannounced = cluster.add_node(num_cpus=1), cluster.add_node(num_cpus=1)
        ray.init(address=cluster.address, log_to_driver=False)
        cluster.wait_for_nodes()
        cells = [Cell.remote() for _ in (announced, unannounced)]
        ray.get([cell.ready.remote() for cell in cells], timeout=60)
        words = (f"--address={cluster.address}", f"--metadata-service={metadata_service.url}")
        watching = watcher(*words, f"--node-id={announced.node_id}")
        try:
            until(lambda: metadata_service.asked > 1)
            assert watching.poll() is None
            soon = datetime.now(UTC) + timedelta(seconds=_MARGIN_SECONDS)  # cells get the shortest time: a second
            metadata_service.notice = {"action": "terminate", "time": in_format_of_aws(soon)}
            _, said = watching.communicate(timeout=120)
        finally:
            watching.kill()
        assert watching.returncode == 0, said
        drained = datetime.now(UTC)
        until(lambda: datetime.now(UTC) > drained + timedelta(seconds=3))
        assert {node["Alive"] for node in ray.nodes()} == {True}  # a running cell keeps its time

        for node in (announced, unannounced):
            cluster.remove_node(node, allow_graceful=False)
        until(lambda: sum(node["Alive"] for node in ray.nodes()) == 1)
        reasons = {node["NodeID"]: node["DeathReason"] for node in ray.nodes()}
    finally:
        ray.shutdown()
        cluster.shutdown()

    preempted = NodeDeathInfo.Reason.Value("AUTOSCALER_DRAIN_PREEMPTED")
    assert reasons[announced.node_id] == preempted
    assert reasons[unannounced.node_id] != preempted
