"""Where cells run, and whether this machine's processor has bf16 arithmetic; read from the system, without torch.

Without bf16 instructions the library converts every number on its way in and out. bf16 training was then measured 17 to
23 times slower than single precision (ResNet-18, AVX2), and nothing in the results would show it.
"""

import platform
import re
import subprocess
from functools import lru_cache
from pathlib import Path
from typing import Final

from mpi_model.errors import ExperimentError
from mpi_model.settings import Precision
from orchestrator.experiment.settings import ResourceSettings

_NVIDIA_DRIVER: Final = Path("/proc/driver/nvidia/version")
_CPUINFO: Final = Path("/proc/cpuinfo")
_BF16: Final = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
"""As Linux spells them: two extensions of x86 (AVX512_BF16, AMX-BF16) and one of ARM (FEAT_BF16)."""
_VECTORS: Final = re.compile(r"avx|fma$|amx|sve|sme|asimd|neon|bf16")
_WIDEST_FIRST: Final = ("avx512f", "avx2", "avx", "sse4_1", "sve", "asimd", "neon")


def device_for(resources: ResourceSettings) -> str:
    """`cuda` where cells reserve a GPU, `cpu` elsewhere; `auto` looks for an NVIDIA driver on this machine."""
    # The driver's file, not torch: importing torch takes seconds, and `check` must answer at once.
    if resources.gpus_per_cell == "auto":
        return "cuda" if _NVIDIA_DRIVER.exists() else "cpu"
    return "cuda" if resources.gpus_per_cell > 0 else "cpu"


def check_precision(precision: Precision, device: str) -> None:
    """Refuse bf16 on a processor that has no instructions for it; a GPU needs none from its processor.

    Args:
        precision: Of the training.
        device: Where cells run: `cpu` or `cuda`.

    Raises:
        ExperimentError: The cells would run on this processor, which is known to lack native bf16.
    """
    # Unknown features are allowed here; `precision_notices` reports them.
    features = _processor_features()
    if precision != "bf16" or device != "cpu" or features is None or _has_bf16(features):
        return
    widest = next((name for name in _WIDEST_FIRST if name in features), "no vector extension")
    raise ExperimentError(
        '`training.precision` = "bf16" needs a processor with AVX512_BF16 or AMX-BF16 (x86) or the bf16 feature (ARM), '
        f"but {platform.node() or 'this machine'} has {widest}: bf16 is emulated, many times slower than fp32; "
        'set `training.precision` = "fp32", or use a GPU (`resources.gpus_per_cell`)'
    )


def precision_notices(precision: Precision, device: str) -> tuple[str, ...]:
    """Notices about precision: bf16 on a processor whose features cannot be read is allowed, with a notice."""
    if precision != "bf16" or device != "cpu" or _processor_features() is not None:
        return ()
    return (
        '`training.precision` = "bf16" is fast only on a processor with AVX512_BF16 or AMX-BF16 (x86) or the bf16 '
        f"feature (ARM), and the features of this one cannot be read ({platform.system() or 'unknown system'}); "
        'compare the time of an epoch with `training.precision` = "fp32"',
    )


def _has_bf16(features: frozenset[str]) -> bool:
    """Whether one of the processor's features is native bf16 arithmetic."""
    return bool(_BF16 & features)


@lru_cache(maxsize=1)
def _processor_features() -> frozenset[str] | None:
    """The features that every core of this machine has, as Linux spells them; None where they cannot be read."""
    if platform.system() == "Darwin":
        return _features_of_mac(_sysctl("hw.optional.arm.FEAT_BF16"))
    try:
        return _features_in(_CPUINFO.read_text(encoding="utf-8"))
    except OSError:
        return None


def vector_instructions() -> str:
    """The features that decide which kernels compute here, for a log: `avx avx2 fma`."""
    return " ".join(sorted(name for name in _processor_features() or () if _VECTORS.match(name)))


def _features_in(cpuinfo: str) -> frozenset[str] | None:
    """The features common to all cores in the text of `/proc/cpuinfo`; None where it lists none.

    x86 has a line `flags` for each core, ARM a line `Features`; the cores of one ARM chip may differ.
    """
    cores = [
        frozenset(value.split())
        for name, colon, value in (line.partition(":") for line in cpuinfo.splitlines())
        if colon and name.strip() in {"flags", "Features"}
    ]
    # Only what all cores have: the scheduler may move the process to any of them.
    return frozenset.intersection(*cores) if cores else None


def _features_of_mac(answer: str | None) -> frozenset[str] | None:
    """What macOS answers to `sysctl -n hw.optional.arm.FEAT_BF16`: 1, 0, or nothing on an Intel processor."""
    # Apple's processors always have Advanced SIMD.
    known = {"1": frozenset({"asimd", "bf16"}), "0": frozenset({"asimd"})}
    return None if answer is None else known.get(answer.strip())


def _sysctl(name: str) -> str | None:
    try:
        asked = subprocess.run(
            # By its full path: nothing found on PATH is executed.
            ["/usr/sbin/sysctl", "-n", name],
            capture_output=True,
            text=True,
            check=False,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return asked.stdout if asked.returncode == 0 else None
