"""How Ray is started on head and workers: who may talk to it, and what it tells others."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from orchestrator.clusters.lint.mounted import mounted_texts
from orchestrator.clusters.lint.reading import ClusterFile, Place
from orchestrator.clusters.lint.records import Finding, finding

START_COMMANDS: Final = ("head_start_ray_commands", "worker_start_ray_commands")
_EVERY_ADDRESS: Final = re.compile(r"--dashboard-host[= ]+['\"]?(0\.0\.0\.0|::|\*)")
_TOKEN_MODE: Final = re.compile(r"RAY_AUTH_MODE[=:]\s*['\"]?token\b")
_NO_STATISTICS: Final = re.compile(r"RAY_USAGE_STATS_ENABLED[=:]\s*['\"]?0\b|--disable-usage-stats")


def commands(file: ClusterFile, *keys: str) -> Iterator[tuple[Place, str]]:
    """Every command of the named lists, with its place."""
    for key in keys:
        listed = file.at(key)
        for number, command in enumerate(listed if isinstance(listed, list) else ()):
            yield (key, number), str(command)


def _said(file: ClusterFile, key: str, pattern: re.Pattern[str]) -> bool:
    """Whether the commands of a list set something: themselves, or in a mounted script that they name."""
    said = " ; ".join(command for _, command in commands(file, key))
    scripts = [text for (*_, remote), text in mounted_texts(file, ".sh") if Path(str(remote)).name in said]
    return any(pattern.search(text) for text in (said, *scripts)) or _said_for_all(file, pattern)


def _said_for_all(file: ClusterFile, pattern: re.Pattern[str]) -> bool:
    """Whether a container's options set it for every command."""
    return bool(pattern.search(json.dumps(file.at("docker", "run_options") or [])))


def start_commands_given(file: ClusterFile) -> Iterator[Finding]:
    """Ray's own start commands open the dashboard on AWS, and set neither token nor anything else."""
    for key in START_COMMANDS:
        if not any("ray start" in command for _, command in commands(file, key)):
            problem = f"{key} has no ray start of yours: Ray's own has no token, and on AWS a public dashboard"
            yield finding(file, "error", "start-commands", (key,), problem, "write it out; see cluster.yaml")


def dashboard(file: ClusterFile) -> Iterator[Finding]:
    """A dashboard, and with it the job API, on every address: whoever reaches it runs code."""
    for place, command in commands(file, "head_start_ray_commands"):
        if _EVERY_ADDRESS.search(command):
            problem = "the dashboard and the job API listen on every address; whoever reaches them runs code"
            remedy = "write --dashboard-host=127.0.0.1 and use ray dashboard"
            yield finding(file, "error", "public-dashboard", place, problem, remedy)


def _unsaid(file: ClusterFile, pattern: re.Pattern[str], rule: str, problem: str, setting: str) -> Iterator[Finding]:
    """The lists that start Ray without a setting that it needs."""
    for key in START_COMMANDS:
        if file.at(key) and not _said(file, key, pattern):
            yield finding(file, "warning", rule, (key,), problem, f"put export {setting}; before ray start")


def token(file: ClusterFile) -> Iterator[Finding]:
    """Token authentication: switched on wherever Ray starts, and the token brought to the nodes."""
    problem = "Ray starts without token authentication: whoever reaches its ports runs code"
    yield from _unsaid(file, _TOKEN_MODE, "no-token", problem, "RAY_AUTH_MODE=token")
    everything = " ".join(command for _, command in commands(file, *START_COMMANDS))
    mounted = any("auth_token" in str(path) for path in file.mapping("file_mounts"))
    if not mounted and "RAY_AUTH_TOKEN" not in everything:
        problem = "no token file is brought to the nodes"
        remedy = "mount ~/.ray/auth_token: ~/.ray/auth_token (mode 0600)"
        yield finding(file, "warning", "no-token", ("file_mounts",), problem, remedy)


def usage_statistics(file: ClusterFile) -> Iterator[Finding]:
    """Ray reports its use to its makers unless it is told not to."""
    problem = "Ray sends usage statistics to its makers"
    yield from _unsaid(file, _NO_STATISTICS, "usage-statistics", problem, "RAY_USAGE_STATS_ENABLED=0")


def autoscaling(file: ClusterFile) -> Iterator[Finding]:
    """A head that is not told of the cluster file starts no worker, and `ray up` reports success."""
    starts = " ; ".join(command for _, command in commands(file, "head_start_ray_commands"))
    if "ray start" in starts and "--autoscaling-config" not in starts:
        problem = "the head is not told of the cluster file, so no worker will ever start"
        remedy = "add --autoscaling-config=~/ray_bootstrap_config.yaml"
        yield finding(file, "error", "no-autoscaling", ("head_start_ray_commands",), problem, remedy)
