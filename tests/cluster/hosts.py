"""Hosts made of namespaces on this machine: their own network, processes, files, user and sshd; root makes them.

A host sees this machine's programs and the virtual environment read-only, and nothing of its files; everything it
writes lies in its own memory and is gone with it. Closing a network kills the first process of each host, and with it
all others: nothing has to be found and killed by name.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
HOST_SCRIPT: Final = Path(__file__).with_name("host.sh")
IDLE: Final = ["sh", "-c", "echo ready; exec sleep infinity"]
PATIENCE: Final = 6.0
"""Times as long as a calm machine needs: beside other work every step takes several times as long, and only a failure
waits to the end."""
NAMESPACES: Final = ("--mount", "--uts", "--ipc", "--net", "--pid")
USER: Final = "polarmap"
USER_ID: Final = "1500"
HOME: Final = f"/home/{USER}"
TOOLS: Final = {
    "ip": "iproute2", "ss": "iproute2", "unshare": "util-linux", "nsenter": "util-linux", "setpriv": "util-linux",
    "ps": "procps", "sshd": "openssh-server", "ssh": "openssh-client", "ssh-keygen": "openssh-client", "rsync": "rsync",
    "curl": "curl", "nft": "nftables",
}  # fmt: skip


def until(deadline: float, what: str, ready: Callable[[], object]) -> None:
    """Wait for something, at most some seconds of a calm machine's."""
    end = time.monotonic() + PATIENCE * deadline
    while not ready():
        assert time.monotonic() < end, f"not within {PATIENCE * deadline:g} s: {what}"
        time.sleep(0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """One host."""

    name: str
    address: str
    process: int
    """Its process 1, as this machine counts."""

    def command(self, words: Sequence[str | Path], *, root: bool = False) -> list[str]:
        """What runs a command on the host, as its user or as root."""
        home, user, number = ("/root", "root", "0") if root else (HOME, USER, USER_ID)
        return [
            *("nsenter", "--target", str(self.process), *NAMESPACES),
            *("--setgid", number, "--setuid", number, f"--wdns={home}"),
            *("setpriv", "--pdeathsig", "KILL"),
            *("env", "-i", f"HOME={home}", f"USER={user}", "TERM=dumb", "LANG=C.UTF-8"),
            "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
            *map(str, words),
        ]  # fmt: skip

    def start(self, script: str, *, root: bool = False, **options: object) -> "subprocess.Popen[str]":
        """Start a script of the login shell."""
        words = self.command(["bash", "--login", "-c", script], root=root)
        return subprocess.Popen(words, text=True, **options)  # type: ignore[call-overload]

    def run(self, script: str, *, root: bool = False, check: bool = True, timeout: float = 300, stdin: str = "") -> str:
        """Run a script of the login shell to its end; its output, errors included; at most a calm machine's seconds."""
        words = self.command(["bash", "--login", "-c", script], root=root)
        done = subprocess.run(
            words,
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE * timeout,
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(f"{self.name}: `{script}` ended with {done.returncode}:\n{done.stdout[-4000:]}")
        return done.stdout

    def write(self, path: str, text: str) -> None:
        """Write a file of the host's user."""
        self.run(f'mkdir -p "$(dirname {path})" && cat > {path}', stdin=text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """Hosts on one switch."""

    hosts: dict[str, Host]
    switch: int

    def __getitem__(self, name: str) -> Host:
        return self.hosts[name]

    def link(self, name: str, state: str) -> None:
        """Pull a host's cable (`down`) or plug it in again (`up`)."""
        inside(self.switch, "ip", "link", "set", f"to-{name}", state)


def unavailable() -> str | None:
    """Why hosts cannot be made here; None where they can."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        return "hosts of namespaces need root on Linux"
    lacking = sorted({package for tool, package in TOOLS.items() if shutil.which(tool) is None})
    if lacking:
        return f"hosts of namespaces need: apt-get install --no-install-recommends {' '.join(lacking)}"
    probe = subprocess.run(
        ["unshare", *NAMESPACES, "--fork", "sh", "-c", "mount -t tmpfs probe /mnt"],
        capture_output=True,
        text=True,
        check=False,
    )
    return f"no namespaces here: {probe.stderr.strip()}" if probe.returncode else None


def inside(process: int, *words: str) -> None:
    """Run a command in the network of a process."""
    subprocess.run(["nsenter", "--target", str(process), "--net", *words], check=True)


@contextmanager
def network(folder: Path, addresses: dict[str, str], with_sshd: Sequence[str], profile: str = "") -> Iterator[Network]:
    """Hosts on one switch, none of which reaches anything else.

    Args:
        folder: A new folder for keys, logs and mount points.
        addresses: Each host's address, of one /24 net; the host `client` holds the key to the others.
        with_sshd: The hosts that can be logged into.
        profile: More lines for the user's ~/.profile.
    """
    folder.chmod(0o700)
    make_keys(folder / "keys", addresses)
    with ExitStack() as stack:
        switch = stack.enter_context(_first_process(folder, "switch", IDLE, {}))
        inside(switch, "ip", "link", "add", "bridge", "type", "bridge")
        inside(switch, "ip", "link", "set", "bridge", "up")
        hosts = {}
        for name, address in addresses.items():
            settings = _settings(folder, name, addresses, sshd=name in with_sshd, profile=profile)
            process = stack.enter_context(_first_process(folder, name, ["bash", str(HOST_SCRIPT)], settings))
            _plug_in(switch, process, name, address)
            hosts[name] = Host(name=name, address=address, process=process)
        yield Network(hosts=hosts, switch=switch)


def _plug_in(switch: int, process: int, name: str, address: str) -> None:
    inside(switch, "ip", "link", "add", f"to-{name}", "type", "veth", "peer", "name", "eth0", "netns", str(process))
    inside(switch, "ip", "link", "set", f"to-{name}", "master", "bridge", "up")
    inside(process, "ip", "address", "add", f"{address}/24", "dev", "eth0")
    inside(process, "ip", "link", "set", "eth0", "up")


def make_keys(folder: Path, names: dict[str, str]) -> None:
    """One key for the user, one for each host."""
    folder.mkdir(mode=0o700)
    for file in ("id", *(f"host-{name}" for name in names)):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", folder / file], check=True)


def _settings(folder: Path, name: str, addresses: dict[str, str], *, sshd: bool, profile: str) -> dict[str, str]:
    """What host.sh is told."""
    mount_point = folder / f"root-{name}"
    mount_point.mkdir()
    installed = "POLARMAP_TEST_INSTALLED" in os.environ  # the wheel is in the environment; else this clone comes first
    lines = ["umask 022", 'export PATH="$HOME/polarmap/bin:$PATH"', profile]
    return {
        "HOST_NAME": name,
        "HOST_ROOT": str(mount_point),
        "HOST_FOLDERS": "\n".join([sys.prefix, sys.base_prefix, *([] if installed else [str(ROOT)])]),
        "HOST_KEYS": str(folder / "keys"),
        "HOST_USER": USER,
        "HOST_TABLE": "\n".join(["127.0.0.1 localhost", *(f"{address} {host}" for host, address in addresses.items())]),
        "HOST_SSHD": "yes" if sshd else "no",
        "HOST_ENVIRONMENT": sys.prefix,
        "HOST_PROFILE": "\n".join(lines if installed else [*lines, f"export PYTHONPATH={ROOT}"]),
        "PATH": os.environ["PATH"],
    }


@contextmanager
def _first_process(folder: Path, name: str, words: list[str], settings: dict[str, str]) -> Iterator[int]:
    """Process 1 of new namespaces, which says `ready`; it dies with this process, and all inside dies with it."""
    with (folder / f"{name}.log").open("w") as log:
        outer = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", *NAMESPACES, "--fork", "--kill-child", *words],
            env=settings or None,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    try:
        assert outer.stdout is not None
        said = outer.stdout.readline().strip()
        assert said == "ready", (folder / f"{name}.log").read_text()
        children = Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text().split()
        yield int(children[0])
    finally:
        outer.kill()
        outer.wait()
        outer.stdout.close()
