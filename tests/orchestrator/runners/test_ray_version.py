"""Ray's internals are read, so that the version is checked, and pinned."""

import os
import tomllib
from pathlib import Path

import pytest
import ray

from mpi_model.errors import ExperimentError
from orchestrator.runners.ray_session import _TRIED_RAY, _check_version, _job_config, _own_token, ray_session


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


@pytest.mark.parametrize("mode", ["disabled", "DISABLED", "none", ""])
def test_a_switched_off_token_is_refused_before_ray_starts(mode, monkeypatch):
    """Inherited from another program, RAY_AUTH_MODE=disabled would open every port of Ray to everybody."""
    monkeypatch.setenv("RAY_AUTH_MODE", mode)
    with pytest.raises(ExperimentError, match="RAY_AUTH_TOKEN"), ray_session(None):
        pass
    assert not ray.is_initialized()


def test_a_ray_of_ones_own_has_a_token_of_its_own_and_the_users_is_in_force_again(monkeypatch):
    """Each start has another token of 256 bits; the one for a cluster comes back afterwards."""
    monkeypatch.setenv("RAY_AUTH_TOKEN", "the cluster's")
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    seen = []
    for _ in range(2):
        with _own_token():
            seen.append(os.environ["RAY_AUTH_TOKEN"])
            assert os.environ["RAY_AUTH_MODE"] == "token"
    assert len({*seen, "the cluster's"}) == 3
    assert all(len(token) == 64 for token in seen)
    assert os.environ["RAY_AUTH_TOKEN"] == "the cluster's"
    assert "RAY_AUTH_MODE" not in os.environ


def test_workers_do_not_import_from_a_folder_that_the_driver_does_not(tmp_path, monkeypatch):
    """Ray tells workers to import from the current folder: a `random.py` beside somebody's data ran in every worker."""
    known = str(tmp_path / "known")
    monkeypatch.syspath_prepend(known)
    folders = _job_config()._py_driver_sys_path
    folders.extend([str(tmp_path), known])
    assert folders == [known]


def test_a_ray_that_is_late_is_one_line(monkeypatch):
    """On a busy machine Ray's raylet may take longer than the half minute that Ray gives it: no bug of ours."""

    def late(**_: object) -> None:
        raise Exception("The current node timed out during startup. This could happen because …")

    monkeypatch.setattr(ray, "init", late)
    with pytest.raises(ExperimentError, match="did not start here in time"), ray_session(None):
        pass
