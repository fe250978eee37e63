"""A process's memory on its GPU: bounded, measured, given back; and which errors leave the GPU unusable."""

from dataclasses import dataclass
from typing import Literal

import torch

from mpi_model.bounded_cache import process_cache


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuUse:
    """What a process used of its GPU."""

    peak: int
    """Most bytes that torch reserved, unused parts of its blocks included."""
    total: int
    """Bytes of the GPU."""


def total_memory(device: str) -> int:
    """Bytes of the GPU that this process computes on; 0 where it computes on processors."""
    # Ray shows each worker its own GPU only, so that number 0 is the worker's.
    return torch.cuda.get_device_properties(0).total_memory if device == "cuda" else 0


def bound_memory(device: str, fraction: float) -> None:
    """Limit torch to a fraction of the GPU: a cell that needs more fails, not its neighbours."""
    if device == "cuda":
        torch.cuda.set_per_process_memory_fraction(fraction)


def memory_use(device: str) -> GpuUse | None:
    """What this process used of its GPU so far; None where it computes on processors."""
    if device != "cuda":
        return None
    # Reserved, not allocated: what torch's allocator holds is not available to a neighbour process.
    return GpuUse(peak=torch.cuda.max_memory_reserved(), total=total_memory(device))


def give_back_memory(device: str) -> None:
    """Empty the process's caches after a cell ran out of memory; the next cell starts as in a fresh process."""
    process_cache(device).clear()
    if device == "cuda":
        # Cached tensors first: only memory that no tensor holds can be returned to the driver.
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def gpu_fault(error: Exception) -> Literal["gpu_memory", "gpu_fault", ""]:
    """What an error says about the GPU.

    Returns:
        `gpu_memory` where a tensor did not fit, `gpu_fault` where the process's CUDA context is broken and everything
        after it would fail, too; empty for any other error.
    """
    if isinstance(error, torch.OutOfMemoryError):
        return "gpu_memory"
    # Some operators still raise a plain RuntimeError, which only its text tells apart.
    is_broken = isinstance(error, torch.AcceleratorError) or (
        isinstance(error, RuntimeError) and "CUDA error" in str(error)
    )
    return "gpu_fault" if is_broken else ""
