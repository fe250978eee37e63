"""Rules on versions: Ray and Python of the nodes, compared with each other and with this machine."""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Final, Literal

from orchestrator.clusters.lint.reading import ClusterFile, Place
from orchestrator.clusters.lint.records import Finding, finding

_NIGHTLY: Final = re.compile(r"ray-wheels/latest|3\.0\.0\.dev0|rayproject/[\w-]+:nightly")
# How setup commands and image names state Ray's version: pip, `ray --version`, a wheel, an image tag.
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
# Tags that registries move to newer images: none (Docker then takes `latest`), and names without a version.
_MOVING_TAG: Final = re.compile(r"$|latest|nightly|master|main|stable|(cpu|gpu)$")
_SETUP: Final = ("initialization_commands", "setup_commands", "head_setup_commands", "worker_setup_commands")
_IMAGES: Final = ("image", "head_image", "worker_image")


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
        if _INSTALLS_RAY.search(text) and not _NIGHTLY.search(text):
            problem = "Ray is installed without a version, so that new workers may get another one than the head"
            yield finding(file, "warning", "ray-not-pinned", place, problem, f"write ray=={local}")
    if not pins and not file.at("provider", "module"):
        problem = "the file does not fix the nodes' version of Ray"
        remedy = f"install a requirements file that pins it, or end the setup with: ray --version | grep -q {local}"
        # Private hosts usually have Ray installed beforehand; a wrong version is then refused when they join.
        severity: Literal["note", "warning"] = "note" if file.provider == "local" else "warning"
        yield finding(file, severity, "ray-not-pinned", ("setup_commands",), problem, remedy)


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
    minor = pin.version.removeprefix("3.")
    return _Pin(place=pin.place, version=f"3.{minor}")


def _local_ray() -> str:
    try:
        return version("ray")
    except PackageNotFoundError:
        return "(none)"


RULES: Final = (_nightly, _ray_version, _python_version, _image_pinned)
