"""Terms that every module shares: tracers, phases and input configurations.

MPI in this project is myocardial perfusion imaging, never message passing.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

Tracer = Literal["Tc-99m", "Tl-201"]
Phase = Literal["stress", "rest"]
Inputs = Literal["stress", "rest", "dual"]

TRACERS: Final[tuple[Tracer, ...]] = ("Tc-99m", "Tl-201")
PHASES: Final[tuple[Phase, ...]] = ("stress", "rest")
INPUTS: Final[tuple[Inputs, ...]] = ("stress", "rest", "dual")

PHASES_OF: Final[Mapping[Inputs, tuple[Phase, ...]]] = MappingProxyType(
    {"stress": ("stress",), "rest": ("rest",), "dual": ("stress", "rest")}
)
"""The phases an input configuration shows to the network, in the order of its tensor's axis."""
