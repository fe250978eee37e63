"""Results of the check: findings with their lines, and an upper bound of the price."""

from dataclasses import dataclass
from datetime import date
from typing import Literal

from orchestrator.clusters.lint.reading import ClusterFile, Place

Severity = Literal["error", "warning", "note"]
"""An error would fail, or is open to others; a warning is unsafe or costly; a note informs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One problem of a cluster file."""

    severity: Severity
    rule: str
    line: int
    """Counted from 1; also 1 for a setting that is missing from the whole file."""
    place: str
    """Keys joined by dots."""
    problem: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceBound:
    """The hourly price of the largest cluster that the file allows, from a dated table."""

    dollars: float | None
    """US dollars an hour, spot nodes at their on-demand price; None if a price or the size is unknown."""
    region: str
    priced: date
    """The date of the price table."""
    nodes: tuple[tuple[int, str], ...]
    """Number and instance type of the nodes in the bound."""
    unknown: tuple[str, ...]
    """Instance types that the table lacks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeType:
    """One type of the nodes that run cells."""

    name: str
    """As the cluster file calls it."""
    instance_type: str
    nodes: int
    """The most there can be of it."""
    cores: int
    """Virtual cores of a node; 0 where neither the file nor the instance type's name tells."""
    gpus: int
    dollars: float | None
    """US dollars an hour on demand; None where the table has no price."""
    head_dollars: float | None
    """The same of the head, which runs as long."""
    priced: date
    """The date of the price table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """Virtual processors of one family and market that AWS has to allow."""

    name: str
    """The family and the market, such as `G and VT, spot`."""
    code: str
    """The quota's code at AWS; empty for a family that is not known here."""
    cores: int | None
    """vCPUs of the largest cluster that the file allows; None where an instance type's size is not known."""
    region: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """The findings of one file."""

    name: str
    findings: tuple[Finding, ...]
    price: PriceBound | None
    """None for hosts that are not rented."""
    quotas: tuple[Quota, ...]
    """Empty for hosts that are not rented from AWS."""

    @property
    def clean(self) -> bool:
        """Whether there is neither an error nor a warning."""
        return all(finding.severity == "note" for finding in self.findings)


def finding(file: ClusterFile, severity: Severity, rule: str, place: Place, problem: str, remedy: str) -> Finding:
    """A finding at the line of its place, or of the nearest enclosing key."""
    return Finding(
        severity=severity,
        rule=rule,
        line=file.line(place),
        place=".".join(str(key) for key in place) or "(file)",
        problem=problem,
        remedy=remedy,
    )
