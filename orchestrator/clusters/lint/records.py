"""What the linter says: findings with their lines, and a price bound."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Literal

from orchestrator.clusters.lint.reading import ClusterFile, Place

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing to mend or to know."""

    severity: Severity
    """`error`: would not work, or is open to others; `warning`: unsafe or costly; `note`: to know."""
    rule: str
    line: int
    """Counted from 1; 1 also stands for what is missing from the whole file."""
    place: str
    """Dotted keys."""
    problem: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceBound:
    """What the file costs an hour at its largest, by a dated table."""

    dollars: float | None
    """US dollars an hour, every spot node counted at its on-demand price; None where a price is missing."""
    region: str
    priced: date
    """The day of the price table."""
    nodes: tuple[tuple[int, str], ...]
    """How many of which instance type stand in the bound."""
    unknown: tuple[str, ...]
    """Instance types that the table does not hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A checked file."""

    name: str
    findings: tuple[Finding, ...]
    price: PriceBound | None
    """None for hosts that nobody rents."""

    @property
    def clean(self) -> bool:
        """Whether nothing has to be mended: no error, no warning."""
        return all(finding.severity == "note" for finding in self.findings)


Rule = Callable[[ClusterFile], Iterator[Finding]]


def finding(file: ClusterFile, severity: Severity, rule: str, place: Place, problem: str, remedy: str) -> Finding:
    """A finding at the line of its place, or of the nearest enclosing key that is there."""
    return Finding(
        severity=severity,
        rule=rule,
        line=file.line(place),
        place=".".join(str(key) for key in place) or "(file)",
        problem=problem,
        remedy=remedy,
    )
