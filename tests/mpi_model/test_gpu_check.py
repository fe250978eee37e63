"""The self-test of a GPU: what it says where CUDA does not work, and that it is nothing where none is asked for."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mpi_model import gpu_check
from mpi_model.gpu_check import _driver_version, check_gpu

ROOT = Path(__file__).resolve().parents[2]
# As NVIDIA's module for driver 535 writes it into /proc.
VERSION = (
    "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12 19:39:15 UTC 2024\n"
    "GCC version:  gcc version 13.2.0 (Ubuntu 13.2.0-23ubuntu4)\n"
)


@pytest.fixture(autouse=True)
def _asked_anew():
    """The answer is remembered in a process; these tests ask again."""
    check_gpu.cache_clear()
    yield
    check_gpu.cache_clear()


def test_where_no_gpu_is_asked_for_nothing_is_tested_and_the_reason_is_said():
    """On hosts without a GPU the test is nothing, and says so."""
    found = check_gpu("cpu")

    assert found.is_fit
    assert "no GPU is asked for" in found.line


@pytest.mark.parametrize(
    ("raised", "remedy"),
    [
        (
            "The NVIDIA driver on your system is too old (found version 12020). Please update your GPU driver by "
            "downloading and installing a new version",
            "use an image with a newer NVIDIA driver",
        ),
        (
            "Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU",
            "use an image with NVIDIA's",
        ),
        ("CUDA error: no kernel image is available for execution on the device\nCompile with …", "use a newer GPU"),
        ("CUDA error: uncorrectable ECC error encountered", "take another machine"),
    ],
)
def test_a_driver_that_does_not_work_is_one_line_with_its_version_and_a_remedy(raised, remedy, monkeypatch, tmp_path):
    """Whoever reads the line knows the host, the driver, what happened and what to do."""
    (tmp_path / "version").write_text(VERSION)
    monkeypatch.setattr(gpu_check, "_driver_version", lambda: _driver_version(tmp_path / "version"))

    def to(self, device, *args, **kwargs):
        if device == "cuda":
            raise RuntimeError(raised)
        return self

    monkeypatch.setattr(torch.Tensor, "to", to)
    found = check_gpu("cuda")

    assert not found.is_fit
    assert len(found.line.splitlines()) == 1
    assert "NVIDIA driver 535.183.01" in found.line
    assert remedy in found.line


def test_a_gpu_that_computes_wrongly_is_refused(monkeypatch):
    """A result that differs from the processor's, or is no number, is no result."""
    for wrong in (0.5, float("nan")):
        check_gpu.cache_clear()
        monkeypatch.setattr(gpu_check, "_largest_difference", lambda wrong=wrong: wrong)
        assert not check_gpu("cuda").is_fit


@pytest.mark.thorough
@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_the_command_fails_the_start_of_a_node_without_a_gpu():
    """As cluster.yaml runs it, really: one line on standard error and code 1 where CUDA is not there; 0 for `cpu`."""
    command = [sys.executable, "-m", "orchestrator.clusters.gpu_check"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    failed = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    passed = subprocess.run([*command, "cpu"], capture_output=True, text=True, check=False, env=environment)

    assert failed.returncode == 1
    (line,) = failed.stderr.splitlines()
    assert line.startswith("CUDA does not work on ")
    assert passed.returncode == 0
