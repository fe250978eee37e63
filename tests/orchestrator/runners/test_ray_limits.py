"""A host that runs out of memory, and a cluster that asks for a token: each with a Ray of its own."""

import os
import subprocess
import sys
import time

import pytest
import ray

from orchestrator.runners.ray_session import ray_session
from orchestrator.runners.ray_tune import run_on_tune

pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # Ray 2.60's own
]

HEAD = """
import sys
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 10**8})
print(cluster.address, flush=True)
sys.stdin.read()
cluster.shutdown()
"""


def test_a_host_out_of_memory_fails_the_cell_after_its_attempts_and_says_what_to_raise(
    tiny, work_of, collected, cheap_work, monkeypatch
):
    """Ray ends workers on a host that is over its bound; the run neither crashes nor goes on for ever."""
    monkeypatch.setenv("RAY_memory_usage_threshold", "0.01")
    monkeypatch.setenv("RAY_memory_monitor_refresh_ms", "3000")
    jobs, context, resources = work_of(tiny, "resources.attempts=2")
    work = cheap_work(tiny.parent / "trained", lambda key, number: time.sleep(60))
    assert not ray.is_initialized()
    with ray_session(None) as folder:
        run_on_tune(jobs[:1], context, resources, collected, folder / "memory", work)

    ((result, attempt),) = collected.cells
    assert (result.state, attempt) == ("failed", 2)
    assert "host ran out of memory" in result.reason
    assert "resources.cpus_per_cell" in result.reason


@pytest.mark.parametrize("mode", ["token", "disabled"])
def test_a_cluster_that_refuses_us_is_one_line_with_the_remedy(tiny, mode):
    """Another token, or none, ends `polarmap run --address` with exit code 2 and without a traceback."""
    common = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
    head = subprocess.Popen(
        [sys.executable, "-c", HEAD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**common, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "a" * 64},
    )
    assert head.stdout is not None
    address = head.stdout.readline().strip()
    try:
        command = [sys.executable, "-P", "-m", "orchestrator", "run", str(tiny), "--address", address]
        found = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            env={**common, "RAY_AUTH_MODE": mode, "RAY_AUTH_TOKEN": "b" * 64},
        )
    finally:
        head.communicate(timeout=60)

    assert found.returncode == 2, found.stderr
    assert "RAY_AUTH_TOKEN" in found.stderr.splitlines()[-1]
    assert "Traceback" not in found.stderr
