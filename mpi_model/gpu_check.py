"""Whether this machine's GPU computes: asked before a worker takes cells, each of which would only fail there.

A driver that is too old, is not loaded, or has lost its GPU is seen by torch at the first kernel. The test runs one: a
convolution forwards and backwards, compared with the same on the processor.
"""

import platform
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import torch

_DRIVER: Final = Path("/proc/driver/nvidia/version")
_VERSION: Final = re.compile(r"\b(\d{3}\.\d+(?:\.\d+)?)\b")
_LONGEST_MESSAGE: Final = 160
_TOLERANCE: Final = 1e-2
"""Of values of about one: TF32 keeps ten bits, a wrong result is far off."""
_REMEDIES: Final = (
    (
        re.compile(r"driver.*too old|driver version is insufficient|unsupported display driver|forward compat", re.I),
        "use an image with a newer NVIDIA driver; this torch needs one for CUDA {cuda}",
    ),
    (
        re.compile(r"no NVIDIA driver|no CUDA-capable device|not compiled with CUDA", re.I),
        "use an image with NVIDIA's driver and a machine with a GPU",
    ),
    (re.compile(r"no kernel image", re.I), "use a newer GPU; this torch has no program for this one"),
)
_OTHERWISE: Final = "take another machine, or start this one again; `nvidia-smi` and `dmesg` on it say more"


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuCheck:
    """What a self-test found."""

    is_fit: bool
    line: str
    """One line: what was tested, or what does not work, with host, driver and remedy."""


@lru_cache(maxsize=2)
def check_gpu(device: str) -> GpuCheck:
    """Compute something on the device and compare it with the processor; asked once a process.

    Args:
        device: `cuda`, or `cpu`, where there is nothing to test.
    """
    if device != "cuda":
        return GpuCheck(is_fit=True, line=f"no GPU is asked for on {platform.node()}: nothing to test")
    try:
        difference = _largest_difference()
        # Not `>`: a NaN, too, is a wrong result.
        if not difference <= _TOLERANCE:
            return _unfit(f"a convolution differs from the processor's by {difference:.2g}")
        name = torch.cuda.get_device_name(0)
    # torch raises AssertionError where it was built without CUDA.
    except (RuntimeError, AssertionError) as error:
        return _unfit(str(error))
    return GpuCheck(is_fit=True, line=f"CUDA computes on {platform.node()}: {name}, driver {_driver_version()}")


def _largest_difference() -> float:
    """The largest difference of a small convolution and its gradient between GPU and processor."""
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(2, 3, 16, 16, generator=generator)
    weights = torch.rand(4, 3, 3, 3, generator=generator) / 27
    results = []
    for device in ("cpu", "cuda"):
        mine = weights.detach().to(device).requires_grad_()
        found = torch.nn.functional.conv2d(images.to(device), mine)
        found.mean().backward()  # type: ignore[no-untyped-call] # torch has no type for it
        assert mine.grad is not None, "a leaf of this graph has a gradient"
        results.append((found.detach().cpu(), mine.grad.cpu()))
    return max(float((one - other).abs().max()) for one, other in zip(*results, strict=True))


def _unfit(message: str) -> GpuCheck:
    """A GPU that does not compute, with its driver and a remedy, in one line."""
    said = (message.strip().splitlines() or [""])[0][:_LONGEST_MESSAGE]
    remedy = next((remedy for words, remedy in _REMEDIES if words.search(message)), _OTHERWISE)
    return GpuCheck(
        is_fit=False,
        line=f"CUDA does not work on {platform.node()} (NVIDIA driver {_driver_version()}, torch {torch.__version__}): "
        f"{said}; {remedy.format(cuda=torch.version.cuda or 'a GPU')}",
    )


def _driver_version(file: Path = _DRIVER) -> str:
    """The version of the NVIDIA driver that is loaded; `none` where there is none."""
    try:
        found = _VERSION.search(file.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return "none"
    return found.group(1) if found else "unknown"
