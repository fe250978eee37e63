"""Rules on how Ray is started: who may connect to it, and what it sends to others."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from orchestrator.clusters.lint.reading import ClusterFile
from orchestrator.clusters.lint.records import Finding, finding

_START_COMMANDS: Final = ("head_start_ray_commands", "worker_start_ray_commands")
_EVERY_ADDRESS: Final = re.compile(r"--dashboard-host[= ]+['\"]?(0\.0\.0\.0|::|\*)")
_TOKEN_MODE: Final = re.compile(r"RAY_AUTH_MODE[=:]\s*['\"]?token\b")
_NO_STATISTICS: Final = re.compile(r"RAY_USAGE_STATS_ENABLED[=:]\s*['\"]?0\b|--disable-usage-stats")


def _has_start_commands(file: ClusterFile) -> Iterator[Finding]:
    """Ray's default start commands, which set no token and, on AWS, open the dashboard."""
    for key in _START_COMMANDS:
        if not any("ray start" in command for _, command in file.commands(key)):
            problem = f"{key} has no ray start: Ray's default sets no token, and on AWS opens the dashboard"
            yield finding(file, "error", "start-commands", (key,), problem, "add the command; see cluster.yaml")


def _dashboard(file: ClusterFile) -> Iterator[Finding]:
    """A dashboard, and with it the job API, on every address."""
    for place, command in file.commands("head_start_ray_commands"):
        if _EVERY_ADDRESS.search(command):
            problem = "the dashboard and the job API listen on every address; whoever reaches them can run code"
            remedy = "write --dashboard-host=127.0.0.1 and use ray dashboard"
            yield finding(file, "error", "public-dashboard", place, problem, remedy)


def _token(file: ClusterFile) -> Iterator[Finding]:
    """Token authentication: enabled wherever Ray starts, and the token copied to the nodes."""
    problem = "Ray starts without token authentication: whoever reaches its ports can run code"
    yield from _unset(file, _TOKEN_MODE, "no-token", problem, "RAY_AUTH_MODE=token")
    commands = " ".join(command for _, command in file.commands(*_START_COMMANDS))
    mounted = any("auth_token" in str(path) for path in file.mapping("file_mounts"))
    if not mounted and "RAY_AUTH_TOKEN" not in commands:
        problem = "no token file is copied to the nodes"
        remedy = "mount ~/.ray/auth_token: ~/.ray/auth_token (mode 0600)"
        yield finding(file, "warning", "no-token", ("file_mounts",), problem, remedy)


def _usage_statistics(file: ClusterFile) -> Iterator[Finding]:
    """Usage statistics, which Ray sends by default."""
    problem = "Ray sends usage statistics to its developers"
    yield from _unset(file, _NO_STATISTICS, "usage-statistics", problem, "RAY_USAGE_STATS_ENABLED=0")


def _unset(file: ClusterFile, pattern: re.Pattern[str], rule: str, problem: str, setting: str) -> Iterator[Finding]:
    """A finding for each list of start commands without a required setting."""
    for key in _START_COMMANDS:
        if file.at(key) and not _is_set(file, key, pattern):
            yield finding(file, "warning", rule, (key,), problem, f"put export {setting}; before ray start")


def _is_set(file: ClusterFile, key: str, pattern: re.Pattern[str]) -> bool:
    """Whether a setting is in the commands, in a mounted script that they call, or in the container's options."""
    commands = " ; ".join(command for _, command in file.commands(key))
    scripts = [text for (*_, remote), text in file.mounted_texts(".sh") if Path(str(remote)).name in commands]
    options = json.dumps(file.at("docker", "run_options") or [])
    return any(pattern.search(text) for text in (commands, options, *scripts))


def _autoscaling(file: ClusterFile) -> Iterator[Finding]:
    """A head that starts without the cluster file: it starts no worker, and `ray up` still reports success."""
    commands = " ; ".join(command for _, command in file.commands("head_start_ray_commands"))
    if "ray start" in commands and "--autoscaling-config" not in commands:
        problem = "the head starts without the cluster file, so that no worker will ever start"
        remedy = "add --autoscaling-config=~/ray_bootstrap_config.yaml"
        yield finding(file, "error", "no-autoscaling", ("head_start_ray_commands",), problem, remedy)


RULES: Final = (_has_start_commands, _dashboard, _token, _usage_statistics, _autoscaling)
