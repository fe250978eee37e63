"""Which Ray and which Python the nodes get, against each other and against this machine."""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from orchestrator.clusters.lint.mounted import mounted_texts
from orchestrator.clusters.lint.reading import ClusterFile, Place
from orchestrator.clusters.lint.records import Finding, Severity, finding
from orchestrator.clusters.lint.start_commands import commands

_NIGHTLY: Final = re.compile(r"ray-wheels/latest|3\.0\.0\.dev0|rayproject/[\w-]+:nightly")
_RAY: Final = (
    re.compile(r"\bray(?:\[[^\]]*\])?==([0-9][\w.]*)"),
    re.compile(r"\bray, version ([0-9][\w.]*)"),
    re.compile(r"\bray-([0-9][\w.]*)-cp3"),
    re.compile(r"\brayproject/[\w-]+:([0-9]+\.[0-9]+\.[0-9]+)"),
)
_PYTHON: Final = (
    re.compile(r"\bpython(3\.[0-9]+)\b"),
    re.compile(r"--python[= ](3\.[0-9]+)"),
    re.compile(r"-(?:cp|py)3([0-9]+)\b"),
)
_INSTALLS_RAY: Final = re.compile(r"\bpip3? install\b[^;&|]*\bray\b(?![-/._]|==|\[[^\]]*\]==)")
_REQUIREMENT: Final = re.compile(r"^ray(?:\[[^\]]*\])?==([0-9][\w.]*)", flags=re.MULTILINE)
_MOVING_TAG: Final = re.compile(r"$|latest|nightly|master|main|stable|(cpu|gpu)$")
"""Tags that are moved to the next image: none at all (Docker takes `latest`), and names without a version."""
_SETUP: Final = ("initialization_commands", "setup_commands", "head_setup_commands", "worker_setup_commands")
_IMAGES: Final = ("image", "head_image", "worker_image")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """One place where a version is said."""

    place: Place
    version: str


def nightly(file: ClusterFile) -> Iterator[Finding]:
    """Wheels that change every night, which is also what Ray's own AWS setup installs."""
    for place, text in _texts(file):
        if _NIGHTLY.search(text):
            problem = "a nightly build of Ray: another one tomorrow, and not this machine's"
            yield finding(file, "error", "nightly", place, problem, f"pin ray=={_local_ray()}")
    if file.provider == "aws" and file.at("setup_commands") is None and not file.mapping("docker"):
        problem = "no setup_commands: Ray's own install a nightly build for Python 3.10"
        yield finding(file, "error", "nightly", ("setup_commands",), problem, "write them out; see cluster.yaml")


def ray_version(file: ClusterFile) -> Iterator[Finding]:
    """One Ray on head, workers and the machine that calls `ray up`; Ray refuses nodes of another one."""
    local, pins = _local_ray(), [*_pins(file, _RAY), *_pins_in_requirements(file)]
    for pin in pins:
        if pin.version != local:
            problem = f"Ray {pin.version} here, but {local} on this machine; Ray refuses to mix them"
            yield finding(
                file, "error", "ray-version", pin.place, problem, f"pin {local}, or install {pin.version} here"
            )
    for place, text in _texts(file):
        if _INSTALLS_RAY.search(text) and not _NIGHTLY.search(text):
            problem = "Ray is installed without its version; new workers may get another one than the head"
            yield finding(file, "warning", "ray-not-pinned", place, problem, f"write ray=={local}")
    if not pins and not file.at("provider", "module"):
        problem = "nothing in the file says which Ray the nodes have"
        remedy = f"install a requirements file that pins it, or end the setup with: ray --version | grep -q {local}"
        # On hosts of one's own Ray was there before the file; Ray still refuses another version, but late.
        severity: Severity = "note" if file.provider == "local" else "warning"
        yield finding(file, severity, "ray-not-pinned", ("setup_commands",), problem, remedy)


def python_version(file: ClusterFile) -> Iterator[Finding]:
    """One Python minor on head and workers; another one on this machine only matters to Ray Client."""
    pins = [_with_dot(pin) for pin in _pins(file, _PYTHON)]
    said = sorted({pin.version for pin in pins})
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    if len(said) > 1:
        problem = f"several Pythons are named: {', '.join(said)}; Ray refuses nodes of another minor than the head's"
        yield finding(file, "error", "python-version", pins[-1].place, problem, "name one")
    elif pins and said != [here]:
        problem = f"Python {said[0]} on the nodes, {here} on this machine; jobs submitted to the head do not mind"
        yield finding(file, "note", "python-version", pins[0].place, problem, "do not connect with ray://")


def image_pinned(file: ClusterFile) -> Iterator[Finding]:
    """Container images that may be another one tomorrow."""
    for key in _IMAGES:
        image = str(file.at("docker", key) or "")
        tag = image.rpartition("/")[2].partition(":")[2]
        if image and "@sha256:" not in image and _MOVING_TAG.match(tag):
            problem = "this image may be another one tomorrow"
            yield finding(
                file, "warning", "image-not-pinned", ("docker", key), problem, "name it by its digest: @sha256:…"
            )


def _texts(file: ClusterFile) -> Iterator[tuple[Place, str]]:
    """Every setup command and container image."""
    yield from commands(file, *_SETUP)
    for key in _IMAGES:
        if file.at("docker", key):
            yield ("docker", key), str(file.at("docker", key))


def _pins(file: ClusterFile, patterns: tuple[re.Pattern[str], ...]) -> list[Pin]:
    return [
        Pin(place=place, version=found)
        for place, text in _texts(file)
        if not _NIGHTLY.search(text)
        for pattern in patterns
        for found in pattern.findall(text)
    ]


def _pins_in_requirements(file: ClusterFile) -> list[Pin]:
    """Ray's pin in requirements files that are mounted and lie here."""
    return [
        Pin(place=place, version=found)
        for place, text in mounted_texts(file, ".txt")
        for found in _REQUIREMENT.findall(text)
    ]


def _with_dot(pin: Pin) -> Pin:
    minor = pin.version.removeprefix("3.")
    return Pin(place=pin.place, version=f"3.{minor}")


def _local_ray() -> str:
    try:
        return version("ray")
    except PackageNotFoundError:
        return "(none)"
