"""Ray's internals are read, so that the version is checked, and pinned."""

import tomllib
from pathlib import Path

import pytest
import ray

from mpi_model.errors import ExperimentError
from orchestrator.runners.ray_session import _TRIED_RAY, _check_version


def test_another_minor_version_of_ray_is_refused_by_its_number_with_the_remedy():
    """Before anything starts: which version is there, which was tried, and what works without Ray."""
    major, minor = map(int, _TRIED_RAY.split("."))
    _check_version(f"{_TRIED_RAY}.7")
    for other in (f"{major}.{minor + 1}.0", f"{major}.{minor - 1}.3", f"{major + 1}.0.0", f"{_TRIED_RAY}1.0"):
        with pytest.raises(ExperimentError, match=f"Ray {other} is installed, but .* {_TRIED_RAY} .*--runner inline"):
            _check_version(other)


def test_the_version_that_was_tried_is_the_one_that_is_installed_and_declared():
    """The three places that name it agree."""
    declared = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]["dependencies"]
    major, minor = map(int, _TRIED_RAY.split("."))

    assert [line for line in declared if line.startswith("ray")] == [f"ray[tune]>={major}.{minor},<{major}.{minor + 1}"]
    assert ray.__version__.startswith(f"{_TRIED_RAY}.")
