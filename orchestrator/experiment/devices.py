"""Where cells run: decided without importing torch, because it is part of an experiment's identity."""

from pathlib import Path

from orchestrator.experiment.settings import ResourceSettings

_NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")


def device_for(resources: ResourceSettings) -> str:
    """`cuda` where cells reserve a GPU, `cpu` elsewhere; `auto` looks for an NVIDIA driver on this machine."""
    # The driver's file, not torch: importing torch takes seconds, and `check` must answer at once.
    if resources.gpus_per_cell == "auto":
        return "cuda" if _NVIDIA_DRIVER.exists() else "cpu"
    return "cuda" if resources.gpus_per_cell > 0 else "cpu"
