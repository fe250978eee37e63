"""Applies every rule to one cluster file."""

from pathlib import Path
from typing import Final

from orchestrator.clusters.lint import aws, commands, private_hosts, ray_schema, secrets, sizes
from orchestrator.clusters.lint.prices import price_bound
from orchestrator.clusters.lint.quotas import quotas_of
from orchestrator.clusters.lint.reading import read_cluster_file
from orchestrator.clusters.lint.records import CheckResult

_RULES: Final = (
    *ray_schema.RULES,
    *sizes.RULES,
    *aws.RULES,
    *commands.RULES,
    *secrets.RULES,
    *private_hosts.RULES,
)


def check_cluster_file(path: Path) -> CheckResult:
    """Check a Ray cluster file without starting Ray, without network and without an account.

    Args:
        path: The file.

    Returns:
        The findings in the order of their lines, the largest hourly price, and the quotas that the file needs.

    Raises:
        ExperimentError: The file cannot be read as YAML.
    """
    file = read_cluster_file(path)
    # Two rules may report the same finding; a dict drops the repetition and keeps the order.
    findings = dict.fromkeys(found for rule in _RULES for found in rule(file))
    return CheckResult(
        name=path.name,
        findings=tuple(sorted(findings, key=lambda found: (found.line, found.rule, found.place))),
        price=price_bound(file),
        quotas=quotas_of(file),
    )
