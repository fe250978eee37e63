"""cluster/private.yaml on three hosts made of namespaces: a whole study from a laptop, watched by an outsider.

The first fixture tells the story once, in the order of docs/cluster_private.md; each test asks one thing of it. Who may
answer whom is asked from a host of the same network that has neither token nor key.
"""

import re
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import pytest
from hosts import PATIENCE, ROOT, USER, Host, Network, network, unavailable, until
from nodes import counted
from outsider import Port, break_in, look_at_ports, scan

REASON = unavailable()
pytestmark = [pytest.mark.slow, pytest.mark.cluster, pytest.mark.skipif(REASON is not None, reason=str(REASON))]

ADDRESSES = {f"host{number}": f"10.77.0.{number}" for number in (11, 12, 13)} | {
    "client": "10.77.0.250",
    "outsider": "10.77.0.66",
}
HEAD, CUT, OTHER = "host11", "host12", "host13"
SSH = "ssh -i ~/.ssh/polarmap -o BatchMode=yes -o StrictHostKeyChecking=accept-new"
STUDY = "/srv/polarmap/study"
EXPERIMENT = """
name = "private"
[cohort]
manifest = "cohort/manifest.csv"
[images]
size = 32
[network]
backbone = "compact"
weights = "random"
[folds]
repeats = 2
[search]
space = "learning_rates"
candidates = 4
inner_folds = 1
[training]
epochs = 15
patience = 5
[resources]
gpus_per_cell = 0
"""


@dataclass(frozen=True, kw_only=True)
class Story:
    """What was seen of one study on three hosts."""

    came_up: str
    ports: Mapping[str, tuple[Port, ...]]
    intruders: Mapping[str, int]
    behind_firewall: Mapping[str, list[int]]
    nodes: list[int]
    """How many were alive, from the start of the run until the worker was back."""
    code: int
    tables: Mapping[str, str]
    local_tables: Mapping[str, str]
    computed_on: set[str]
    told: str
    """What Ray's files on all hosts say, before they are removed."""
    patients: tuple[str, ...]
    doors: list[str]
    """On each host: the mode of Ray's folder, the mode of the key on the head, what lies in the open."""
    down: str
    left: list[str]


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """Three hosts with sshd, a laptop and an outsider; each host gives Ray one processor."""
    profile = "export POLARMAP_HOST=--num-cpus=1 POLARMAP_OBJECT_STORE=100000000"
    with network(tmp_path_factory.mktemp("hosts"), ADDRESSES, [HEAD, CUT, OTHER], profile) as made:
        yield made


@pytest.fixture(scope="module")
def story(net: Network, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """The study, from the copied cluster files to the empty hosts."""
    client, head = net["client"], net[HEAD]
    mark = stopwatch()
    copy_files(client)
    came_up = client.run(f"POLARMAP_WAIT={PATIENCE * 300:.0f} cluster/private.sh up", timeout=420)
    mark("all hosts are there")
    submit(client)
    mark("the cohort is on the head, the run is submitted")
    inline = "cd ~/study && exec polarmap run experiment.toml --runner inline --open-test >~/local 2>&1"
    counts = tmp_path_factory.mktemp("counts") / "alive"
    with client.start(inline) as local, counted(head, counts, ". ~/.ray/environment.sh") as alive:
        until(400, "cells at work", lambda: all(at_work(net[name]) for name in (HEAD, CUT, OTHER)))
        net.link(CUT, "down")
        mark("cells at work; a worker's cable is pulled")
        token = client.run("cat ~/.ray/auth_token").strip()
        ports = {name: tuple(look_at_ports(net[name], net["outsider"], token)) for name in (HEAD, OTHER)}
        intruders = break_in(net["outsider"], f"{ADDRESSES[HEAD]}:6379")
        mark("the outsider has tried every port")
        until(240, "the loss is noticed", lambda: alive()[-1] == 2)
        mark("the loss is noticed")
        behind_firewall = raise_firewall(net)
        mark("the firewall is loaded, the outsider has tried again")
        net.link(CUT, "up")
        until(300, "the host is back", lambda: alive()[-1] == 3)
        mark("the cable was plugged in, the worker is back")
        nodes = alive()
        local.wait(timeout=PATIENCE * 900)
    assert local.returncode == 0, client.run("cat ~/local")
    mark("the inline run on the laptop has ended")
    followed = client.run("cluster/private.sh follow; echo code $?", timeout=600)
    mark("the run has ended")
    client.run(f"rsync -a -e '{SSH}' {USER}@{ADDRESSES[HEAD]}:{STUDY}/runs ~/fetched/")
    mark("the report is fetched")
    hosts = [net[name] for name in (HEAD, CUT, OTHER)]
    doors = [
        host.run("stat -c %a ~/.ray; stat -c %a ~/ray_bootstrap_key.pem; ls -d /tmp/ray || true") for host in hosts
    ]
    told = [host.run("cat ~/.ray/ray/session_*/logs/* ~/.ray/run/* 2>&1 || true") for host in hosts]
    down = client.run("cluster/private.sh down", timeout=300)
    mark("the cluster is down")
    return Story(
        came_up=came_up,
        ports=ports,
        intruders=intruders,
        behind_firewall=behind_firewall,
        nodes=nodes,
        code=int(re.findall(r"^code (\d+)$", followed, flags=re.M)[-1]),
        tables=digests(client, "~/fetched/runs/private/tables"),
        local_tables=digests(client, "~/study/runs/private/tables"),
        computed_on=set(ask_table(client, "set(table['host'])")),
        told="".join(told),
        patients=tuple(client.run("tail -n +2 ~/study/cohort/manifest.csv | cut -d, -f1 | sort -u").split()),
        doors=doors,
        down=down,
        left=[host.run(f"ps -u {USER} -o args=; ls -A ~ ~/.ray /dev/shm", check=False) for host in hosts],
    )


def stopwatch() -> Callable[[str], None]:
    """What prints seconds since now and an event (seen with `pytest -s`)."""
    begin = time.monotonic()
    return lambda event: print(f"{time.monotonic() - begin:6.0f} s  {event}")


def copy_files(client: Host) -> None:
    """The cluster's files on the laptop, with the addresses and nothing else changed."""
    for name in ("environment.sh", "private.sh", "private.yaml", "firewall.nft"):
        client.write(f"cluster/{name}", (ROOT / "cluster" / name).read_text().replace("192.168.77.", "10.77.0."))
    client.run("chmod +x cluster/private.sh")


def submit(client: Host) -> None:
    """Make a cohort, bring it to the head, start the run."""
    client.write("study/experiment.toml", EXPERIMENT)
    client.run("cd ~/study && polarmap synth cohort --patients 150 --size 32")
    client.run(f"rsync -a -e '{SSH}' ~/study/ {USER}@{ADDRESSES[HEAD]}:{STUDY}/")
    client.run(f"cluster/private.sh run {STUDY}/experiment.toml --open-test")


def at_work(host: Host) -> bool:
    """Whether a host computes a cell."""
    return "Func.train" in host.run(f"ps -u {USER} -o args=", check=False)


def raise_firewall(net: Network) -> dict[str, list[int]]:
    """Load cluster/firewall.nft on all hosts, in the middle of the run, and scan again."""
    rules = net["client"].run("cat cluster/firewall.nft")
    for name in (HEAD, CUT, OTHER):
        net[name].run("nft -f -", root=True, stdin=rules)
    return scan(net["outsider"], ADDRESSES[HEAD], ADDRESSES[OTHER])


def digests(client: Host, folder: str) -> dict[str, str]:
    """The SHA-256 of every table that has to be the same wherever it was computed."""
    lines = client.run(f"cd {folder} && sha256sum *.parquet").splitlines()
    found = {name: digest for digest, name in (line.split() for line in lines)}
    del found["timings.parquet"]
    return found


def ask_table(client: Host, question: str) -> list[str]:
    """Something about the run's timings, in words."""
    table = "pandas.read_parquet('fetched/runs/private/tables/timings.parquet')"
    return client.run(f'python -c "import pandas; table = {table}; print(*{question})"').split()


def test_all_hosts_are_there_before_anything_is_submitted(story):
    """`up` counts the hosts that joined, for `ray up` ends well without them."""
    assert "all 3 hosts are there: 10.77.0.11, 10.77.0.12, 10.77.0.13" in story.came_up


def test_the_tables_are_those_of_one_machine(story):
    """Three hosts, one cut off on the way and back again, give the bytes of an inline run on the laptop."""
    assert story.code == 0
    assert {"cells.parquet", "predictions.parquet", "candidates.parquet"} <= story.tables.keys()
    assert story.tables == story.local_tables
    assert story.computed_on >= {HEAD, OTHER}  # the third was seen at work when it was cut off


def test_an_outsider_finds_no_port_that_tells_him_anything(story):
    """Of all 65535 ports each open one refuses who has no token; with the token the same question is answered."""
    for host, ports in story.ports.items():
        assert {port.number for port in ports} >= {22, 6380, 6381, 6384}
        assert any(10002 <= port.number <= 10999 for port in ports), "no worker or driver was scanned"
        for port in ports:
            refused = {"ssh": "Permission denied (publickey)", "http": "401"}.get(
                "ssh" if port.number == 22 else "http" if port.number == 6384 else "grpc", "grpc 16"
            )
            assert port.without_token == refused, (host, port)
            assert port.number == 22 or port.with_token in {"200", "grpc 0"}, (host, port)


def test_the_ports_are_those_the_documents_name(story):
    """Nothing listens that docs/cluster_private.md does not list."""
    page = (ROOT / "docs" / "cluster_private.md").read_text()
    listed = {int(number) for number in re.findall(r"^\| (\d+) \|", page, flags=re.M)}
    for ports in story.ports.values():
        assert {port.number for port in ports if not 10002 <= port.number <= 10999} <= listed


def test_an_outsider_can_neither_compute_nor_lend_a_node(story):
    """Without the right token nobody joins the cluster, as a driver or as a worker."""
    assert all(code not in {0, 124} for code in story.intruders.values()), story.intruders
    assert max(story.nodes) == 3


def test_behind_the_firewall_only_ssh_is_seen(story):
    """With cluster/firewall.nft an outsider sees port 22 and no other; the run went on behind it."""
    assert story.behind_firewall == {ADDRESSES[HEAD]: [22], ADDRESSES[OTHER]: [22]}


def test_no_host_keeps_a_patient_in_rays_files(story):
    """Neither Ray's logs nor what a run prints name a patient; what Ray writes lies behind its user's own door."""
    assert len(story.patients) > 100
    assert len(story.told) > 1000
    assert not [patient for patient in story.patients if patient in story.told]
    assert [door.split()[0] for door in story.doors] == ["700", "700", "700"]
    assert "600" in story.doors[0]
    assert all("cannot access '/tmp/ray'" in door for door in story.doors)


def test_nothing_is_left_when_the_cluster_is_down(story):
    """After `down` no process, no session, no token and no shared memory of the cluster is on any host."""
    assert "nothing is left on 3 hosts" in story.down
    assert all(not re.search(r"ray::|raylet|gcs_server|plasma|auth_token", left) for left in story.left), story.left


def test_down_says_which_host_it_could_not_clean(net, story):
    """A host that does not answer is no clean host: `down` ends with 4, and works again when it is back."""
    net.link(OTHER, "down")
    try:
        said = net["client"].start("cluster/private.sh down", stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        text, _ = said.communicate(timeout=PATIENCE * 300)
    finally:
        net.link(OTHER, "up")
    assert said.returncode == 4, text
    assert "not every host is clean" in text
