"""What somebody on the hosts' network finds out who has neither the cluster's token nor its ssh key."""

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hosts import PATIENCE, USER, Host

GRPC = {
    6379: "NodeInfoGcsService/GetAllNodeInfo",
    6380: "NodeManagerService/GetNodeStats",
    6381: "ObjectManagerService/Pull",
}
"""A method that gives something away, for each of Ray's fixed gRPC ports; workers have another."""


@dataclass(frozen=True, kw_only=True)
class Port:
    """An open port, as the outsider finds it."""

    number: int
    process: str
    without_token: str
    """The HTTP status, or `grpc <status>`, that its most telling door answers."""
    with_token: str


def look_at_ports(host: Host, outsider: Host, token: str) -> Iterator[Port]:
    """Scan a host from outside, and knock at what is open; whose it is, the host itself says."""
    for number in scan(outsider, host.address)[host.address]:
        listening = host.run(f"ss -ltnpH sport = :{number}", root=True)
        if not listening:
            continue  # a worker that has ended since the scan
        process = (re.findall(r'users:\(\("(.*?)"', listening) or ["unknown"])[0]
        knock = [knock_at(outsider, host.address, number, process, header) for header in ("", f"Bearer {token}")]
        yield Port(number=number, process=process, without_token=knock[0], with_token=knock[1])


def scan(outsider: Host, *addresses: str) -> dict[str, list[int]]:
    """Every port of some hosts that accepts a connection of the outsider."""
    script = Path(__file__).with_name("scan.py").read_text()
    found: dict[str, list[int]] = json.loads(outsider.run(f"python - {' '.join(addresses)}", stdin=script))
    return found


def knock_at(outsider: Host, address: str, port: int, process: str, authorization: str) -> str:
    """What a port answers: to a gRPC call where Ray speaks gRPC, else to an HTTP request."""
    if process == "sshd":
        said = outsider.run(
            f"ssh -o BatchMode=yes -o StrictHostKeyChecking=accept-new {USER}@{address} id", check=False
        )
        return "Permission denied (publickey)" if "Permission denied (publickey)" in said else said
    header = f"-H {shlex.quote('authorization: ' + authorization)}" if authorization else ""
    if process.startswith("ray::RuntimeEnv"):
        url = f"http://{address}:{port}/get_runtime_envs_info"
        return outsider.run(f"curl -s -m 20 -o /dev/null -w '%{{http_code}}' -X POST {header} {url}", check=False)
    method = GRPC.get(
        port, "CoreWorkerService/PushTask" if not authorization else "CoreWorkerService/GetCoreWorkerStats"
    )
    said = outsider.run(
        f"printf '\\0\\0\\0\\0\\0' | curl -s -m 20 --http2-prior-knowledge -D - -o /dev/null {header} --data-binary @- "
        f"-H 'content-type: application/grpc' -H 'te: trailers' http://{address}:{port}/ray.rpc.{method}",
        check=False,
    )
    return "grpc " + (re.findall(r"grpc-status: (\d+)", said) or ["none"])[-1]


def break_in(outsider: Host, address: str) -> dict[str, int]:
    """The exit codes of an outsider's attempts to compute on the cluster, or to lend it a node of his."""
    wrong = "mkdir -p ~/.ray; echo 0123456789abcdef >~/.ray/auth_token; export RAY_AUTH_MODE=token;"
    join = f"timeout 600 python -c 'import ray; ray.init(\"{address}\", log_to_driver=False)' >/dev/null 2>&1"
    lend = f"timeout 600 ray start --address={address} --num-cpus=1 >/dev/null 2>&1"
    scripts = {
        "computes without a token": f"export RAY_AUTH_MODE=disabled; {join}",
        "computes with a wrong token": f"{wrong} {join}",
        "lends a node": f"export RAY_AUTH_MODE=disabled; {lend}",
    }
    started = {name: outsider.start(script) for name, script in scripts.items()}
    return {name: process.wait(timeout=PATIENCE * 180) for name, process in started.items()}
