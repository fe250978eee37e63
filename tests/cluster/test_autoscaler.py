"""Ray's autoscaler (version 2) from no worker to some and back, asked by our own experiment.

Its nodes are processes on one host made of namespaces: Ray's `fake_multinode` provider. That provider's defaults are
not in Ray's wheel; they are laid over the host's view of it, and nowhere else.
"""

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from hosts import USER, Host, network, unavailable, until
from nodes import counted

REASON = unavailable()
pytestmark = [pytest.mark.slow, pytest.mark.cluster, pytest.mark.skipif(REASON is not None, reason=str(REASON))]

HEAD_ID = "fffffffffffffffffffffffffffffffffffffffffffffffffff00000"
CLUSTER = f"""
cluster_name: scaled
max_workers: 2
upscaling_speed: 10
idle_timeout_minutes: 0.5
provider:
  type: fake_multinode
  gcs_address: 10.78.0.1:6379
  head_node_id: {HEAD_ID}
  launch_multiple: true
  use_node_id_as_ip: true # all nodes have one address
  disable_node_updaters: true # and need no ssh
  disable_launch_config_check: true
head_node_type: ray.head.default
available_node_types:
  ray.head.default: {{resources: {{CPU: 0}}, node_config: {{}}, min_workers: 0, max_workers: 0}}
  worker: {{resources: {{CPU: 1, object_store_memory: 100000000}}, node_config: {{}}, min_workers: 0, max_workers: 2}}
auth: {{}}
docker: {{}}
initialization_commands: []
setup_commands: []
head_setup_commands: []
worker_setup_commands: []
head_start_ray_commands: []
worker_start_ray_commands: []
file_mounts: {{}}
cluster_synced_files: []
file_mounts_sync_continuously: false
rsync_exclude: []
rsync_filter: []
"""
START = f"""
export RAY_FAKE_CLUSTER=1 RAY_enable_autoscaler_v2=1 RAY_CLOUD_INSTANCE_ID={HEAD_ID}
export RAY_OVERRIDE_NODE_ID_FOR_TESTING={HEAD_ID} AUTOSCALER_UPDATE_INTERVAL_S=1 RAY_USAGE_STATS_ENABLED=0
ray start --head --port=6379 --num-cpus=0 --object-store-memory=100000000 --autoscaling-config=cluster.yaml
"""


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Host]:
    """One host whose Ray has the provider's missing defaults."""
    with network(tmp_path, {"machine": "10.78.0.1"}, []) as made:
        host = made["machine"]
        host.write("cluster.yaml", CLUSTER)
        host.run(
            f"""
            mkdir -p /run/over/upper /run/over/work
            cp ~{USER}/cluster.yaml /run/over/upper/example.yaml
            cd "$(~{USER}/polarmap/bin/python -c 'import ray; print(*ray.__path__)')"/autoscaler/_private
            mount -t overlay overlay -o upperdir=/run/over/upper,workdir=/run/over/work \
              -o lowerdir="$PWD/fake_multi_node" "$PWD/fake_multi_node"
            """,
            root=True,
        )
        yield host


def test_a_cluster_without_workers_grows_for_a_run_and_shrinks_after_it(machine, tmp_path, make_tiny):
    """Cells that wait bring workers, idle workers go, and the tables are those of an inline run."""
    study = tmp_path / "study"
    study.mkdir()
    path = make_tiny(study)
    path.write_text(path.read_text().replace("folds = 2\nrepeats = 1", "folds = 2\nrepeats = 6"))
    for file in study.iterdir():
        machine.run(f"mkdir -p study; base64 -d > study/{file.name}", stdin=encoded(file))
    machine.run(START)
    with counted(machine, tmp_path / "alive") as alive:
        until(120, "the head alone", lambda: alive()[-1:] == [1])
        machine.run("cd study && polarmap run experiment.toml --address auto", timeout=400)
        most = max(alive())
        until(180, "the workers are gone", lambda: alive()[-1] == 1)
    machine.run("cd study && polarmap run experiment.toml --runner inline --set storage.runs=inline", timeout=400)

    assert most == 3
    tables = "cd study && for table in cells candidates epochs predictions; do"
    assert machine.run(f"{tables} cmp {{runs,inline}}/tiny/tables/$table.parquet; done") == ""


def encoded(file: Path) -> str:
    """A file as text that passes through a shell's standard input."""
    return base64.b64encode(file.read_bytes()).decode()
