"""How often a method covered or rejected: the counting under the simulation gate."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mpi_model.errors import StatisticsError

LEVEL = 0.95
Range = tuple[float, float]
ANY: Range = (0.0, 1.0)
"""For a method that stands beside the leading one, measured but not gated."""
CHUNK = 200
"""Simulations made at once; bounds memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """How often a method covered or rejected in one setting."""

    world: str
    setting: str
    method: str
    quantity: str
    """`coverage` or `rejections`."""
    rate: float
    above: float
    """Share of intervals wholly above the truth."""
    width: float
    undefined: float
    truth: float
    accepted: tuple[float, float]
    """The range the rate must lie in; a control's lies where a broken method belongs."""
    control: bool
    simulations: int

    def verdict(self, slack: float) -> bool:
        """Whether the rate is in its range, give or take the Monte Carlo error of a smaller run."""
        low, high = self.accepted
        return low - slack <= self.rate <= high + slack


@dataclass(slots=True)
class Tally:
    """Counts of one method while simulations run."""

    covered: int = 0
    above: int = 0
    undefined: int = 0
    rejected: int = 0
    width: float = 0.0
    total: int = 0

    def interval(self, compute: Callable[[], tuple[float, float]], truth: float) -> None:
        """Count an interval."""
        self.total += 1
        try:
            low, high = compute()
        except StatisticsError:
            self.undefined += 1
            return
        self.covered += low <= truth <= high
        self.above += low > truth
        self.width += high - low

    def test(self, compute: Callable[[], float]) -> None:
        """Count a p-value; an undefined one rejects nothing."""
        self.total += 1
        try:
            self.rejected += compute() < 1 - LEVEL
        except StatisticsError:
            self.undefined += 1

    def measured(
        self,
        world: str,
        setting: str,
        method: str,
        quantity: str,
        truth: float,
        accepted: Range,
        *,
        control: bool = False,
    ) -> Measured:
        """The counts as rates."""
        defined = max(1, self.total - self.undefined)
        counted = self.covered if quantity == "coverage" else self.rejected
        return Measured(
            world=world,
            setting=setting,
            method=method,
            quantity=quantity,
            rate=counted / defined if quantity == "coverage" else counted / self.total,
            above=self.above / defined,
            width=self.width / defined if quantity == "coverage" else float("nan"),
            undefined=self.undefined / self.total,
            truth=truth,
            accepted=accepted,
            control=control,
            simulations=self.total,
        )


def monte_carlo_slack(simulations: int) -> float:
    """Three standard errors of .95; none for what is enumerated (0) or for many, whose ranges allow for it."""
    return 0.0 if simulations == 0 or simulations >= 1500 else 3 * float(np.sqrt(0.95 * 0.05 / simulations))
