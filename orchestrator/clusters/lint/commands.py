"""Rules on the commands of a cluster file: how Ray is started, and which Ray and Python the nodes get."""

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final, Literal

from orchestrator.clusters.lint.reading import ClusterFile, Place
from orchestrator.clusters.lint.records import Finding, finding

_START_COMMANDS: Final = ("head_start_ray_commands", "worker_start_ray_commands")
_EVERY_ADDRESS: Final = re.compile(r"--dashboard-host[= ]+['\"]?(0\.0\.0\.0|::|\*)")
_TOKEN_MODE: Final = re.compile(r"RAY_AUTH_MODE[=:]\s*['\"]?token\b")
_NO_STATISTICS: Final = re.compile(r"RAY_USAGE_STATS_ENABLED[=:]\s*['\"]?0\b|--disable-usage-stats")

_NIGHTLY: Final = re.compile(r"ray-wheels/latest|3\.0\.0\.dev0|rayproject/[\w-]+:nightly")
# How setup commands and image names state Ray's version: pip, `ray --version`, a wheel, an image tag.
_RAY: Final = (
    re.compile(r"\bray(?:\[[^\]]{0,200}\])?==([0-9][\w.]*)"),
    re.compile(r"\bray, version ([0-9][\w.]*)"),
    re.compile(r"\bray-([0-9][\w.]*)-cp3"),
    re.compile(r"\brayproject/[\w-]+:([0-9]+\.[0-9]+\.[0-9]+)"),
)
# How they state Python's: an interpreter, an option of uv, the tag of a wheel or image.
_PYTHON: Final = (
    re.compile(r"\bpython(3\.[0-9]+)\b"),
    re.compile(r"--python[= ](3\.[0-9]+)"),
    re.compile(r"-(?:cp|py)3([0-9]+)\b"),
)
# `pip install ray` without a version; `ray-project`, `ray/` and `ray.txt` are other words.
_PIP: Final = re.compile(r"\bpip3? install\b")
_RAY_ALONE: Final = re.compile(r"\bray\b(?![-/._]|==|\[[^\]]{0,200}\]==)")
_REQUIREMENT: Final = re.compile(r"^ray(?:\[[^\]]{0,200}\])?==([0-9][\w.]*)", flags=re.MULTILINE)
_TOOL: Final = re.compile(r"^(pytest|mypy|ruff|moto|hypothesis|pre-commit|mkdocs)==", flags=re.MULTILINE)
# Tags that registries move to newer images: none (Docker then takes `latest`), and names without a version.
_MOVING_TAG: Final = re.compile(r"$|latest|nightly|master|main|stable|(cpu|gpu)$")
_SETUP: Final = ("initialization_commands", "setup_commands", "head_setup_commands", "worker_setup_commands")
_IMAGES: Final = ("image", "head_image", "worker_image")


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
    # Only scripts that the commands name are read: another one may belong to another host.
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


def _development_tools(file: ClusterFile) -> Iterator[Finding]:
    """Tools of development on rented nodes: minutes of every start, and programs that no cell needs."""
    commands = " ; ".join(command for _, command in file.commands(*_SETUP))
    for place, text in file.mounted_texts(".txt"):
        tools = sorted(set(_TOOL.findall(text)))
        if tools and Path(str(place[-1])).name in commands:
            problem = f"the nodes install tools of development ({', '.join(tools)})"
            remedy = "mount the run-time packages alone: cluster/node_requirements.txt"
            yield finding(file, "warning", "development-tools", place, problem, remedy)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pin:
    """A version and the place that names it."""

    place: Place
    version: str


def _nightly(file: ClusterFile) -> Iterator[Finding]:
    """Nightly wheels, which Ray's default AWS setup also installs."""
    for place, text in _texts(file):
        if _NIGHTLY.search(text):
            problem = "a nightly build of Ray changes every day and differs from this machine's Ray"
            yield finding(file, "error", "nightly", place, problem, f"pin ray=={_local_ray()}")
    if file.provider == "aws" and file.at("setup_commands") is None and not file.mapping("docker"):
        problem = "no setup_commands: Ray's defaults install a nightly build for Python 3.10"
        yield finding(file, "error", "nightly", ("setup_commands",), problem, "add them; see cluster.yaml")


def _ray_version(file: ClusterFile) -> Iterator[Finding]:
    """Ray's version, which has to be the same on head, workers and the machine that calls `ray up`."""
    local, pins = _local_ray(), [*_pins(file, _RAY), *_pins_in_requirements(file)]
    for pin in pins:
        if pin.version != local:
            problem = f"Ray {pin.version} here, but {local} on this machine; Ray refuses to mix them"
            remedy = f"pin {local}, or install {pin.version} on this machine"
            yield finding(file, "error", "ray-version", pin.place, problem, remedy)
    for place, text in _texts(file):
        if _installs_any_ray(text) and not _NIGHTLY.search(text):
            problem = "Ray is installed without a version, so that new workers may get another one than the head"
            yield finding(file, "warning", "ray-not-pinned", place, problem, f"write ray=={local}")
    if not pins and not file.at("provider", "module"):
        problem = "the file does not fix the nodes' version of Ray"
        remedy = f"install a requirements file that pins it, or end the setup with: ray --version | grep -q {local}"
        # Private hosts usually have Ray installed beforehand; a wrong version is then refused when they join.
        severity: Literal["note", "warning"] = "note" if file.provider == "local" else "warning"
        yield finding(file, severity, "ray-not-pinned", ("setup_commands",), problem, remedy)


def _installs_any_ray(text: str) -> bool:
    # One search after the other: a pattern of both would try every pair of places in a long command.
    parts = [(part, _PIP.search(part)) for part in re.split(r"[;&|]", text)]
    return any(begin is not None and _RAY_ALONE.search(part, begin.end()) is not None for part, begin in parts)


def _python_version(file: ClusterFile) -> Iterator[Finding]:
    """Python's minor version, the same on head and workers; on this machine it matters to Ray Client only."""
    pins = [_with_dot(pin) for pin in _pins(file, _PYTHON)]
    named = sorted({pin.version for pin in pins})
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    if len(named) > 1:
        problem = (
            f"the file names Python {' and '.join(named)}; Ray refuses workers of another minor version than the head's"
        )
        yield finding(file, "error", "python-version", pins[-1].place, problem, "name one")
    elif pins and named != [here]:
        problem = f"Python {named[0]} on the nodes, {here} on this machine; jobs submitted to the head still work"
        yield finding(file, "note", "python-version", pins[0].place, problem, "do not connect with ray://")


def _image_pinned(file: ClusterFile) -> Iterator[Finding]:
    """Container images whose name may be moved to another image."""
    for key in _IMAGES:
        image = str(file.at("docker", key) or "")
        tag = image.rpartition("/")[2].partition(":")[2]
        if image and "@sha256:" not in image and _MOVING_TAG.match(tag):
            problem = "the tag of this image may be moved to another image"
            remedy = "name it by its digest: @sha256:…"
            yield finding(file, "warning", "image-not-pinned", ("docker", key), problem, remedy)


def _texts(file: ClusterFile) -> Iterator[tuple[Place, str]]:
    """Every setup command and container image."""
    yield from file.commands(*_SETUP)
    for key in _IMAGES:
        if file.at("docker", key):
            yield ("docker", key), str(file.at("docker", key))


# A nightly build has its own finding, and its version is no pin.
def _pins(file: ClusterFile, patterns: tuple[re.Pattern[str], ...]) -> list[_Pin]:
    return [
        _Pin(place=place, version=found)
        for place, text in _texts(file)
        if not _NIGHTLY.search(text)
        for pattern in patterns
        for found in pattern.findall(text)
    ]


def _pins_in_requirements(file: ClusterFile) -> list[_Pin]:
    """Pins of Ray in mounted requirements files."""
    return [
        _Pin(place=place, version=found)
        for place, text in file.mounted_texts(".txt")
        for found in _REQUIREMENT.findall(text)
    ]


def _with_dot(pin: _Pin) -> _Pin:
    # Tags of wheels write 311 for 3.11.
    minor = pin.version.removeprefix("3.")
    return _Pin(place=pin.place, version=f"3.{minor}")


def _local_ray() -> str:
    try:
        return version("ray")
    except PackageNotFoundError:
        return "(none)"


RULES: Final = (
    _has_start_commands,
    _dashboard,
    _token,
    _usage_statistics,
    _autoscaling,
    _development_tools,
    _nightly,
    _ray_version,
    _python_version,
    _image_pinned,
)
