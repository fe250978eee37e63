"""What `cluster check` prints: findings by line, and the price bound; or the same as JSON."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Final

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mpi_model.printable import printable
from orchestrator.clusters.lint.records import CheckResult, Finding, PriceBound, Quota
from orchestrator.terminal.consoles import standard_output

_MOST_SHOWN: Final = 200
"""Findings of a table."""
_STYLES: Final = {"error": "bold red", "warning": "yellow", "note": "dim"}


def print_checked(checked: CheckResult, format: str, console: Console | None = None) -> None:
    """Print a checked file.

    Args:
        checked: What was found.
        format: `rich` or `json`.
        console: Where to; standard output by default.
    """
    console = console or standard_output()
    if format == "json":
        # Written past rich, which would wrap long lines and break the JSON.
        console.file.write(json.dumps(_record(checked), indent=1, default=str) + "\n")
        return
    if checked.findings:
        console.print(_table(checked))
    if len(checked.findings) > _MOST_SHOWN:
        console.print(f"… and {len(checked.findings) - _MOST_SHOWN} more findings; `--format json` has all of them")
    console.print(printable(f"{checked.name}: {_count(checked.findings)}"))
    if checked.price is not None:
        console.print(printable(_price(checked.price)))
    for line in _quotas(checked.quotas):
        # Not wrapped: a command that is broken over lines cannot be copied.
        console.print(printable(line), soft_wrap=True, highlight=False)


def _record(checked: CheckResult) -> dict[str, object]:
    return {
        "file": checked.name,
        "clean": checked.clean,
        "findings": [asdict(finding) for finding in checked.findings],
        "price": None if checked.price is None else asdict(checked.price),
        "quotas": [asdict(quota) for quota in checked.quotas],
    }


def _table(checked: CheckResult) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("line", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("where", overflow="fold")
    table.add_column("what", overflow="fold")
    table.add_column("remedy", overflow="fold")
    for finding in checked.findings[:_MOST_SHOWN]:
        # Text objects: a YAML path such as `nodes[0]` must not be read as markup.
        severity = Text(finding.severity, style=_STYLES[finding.severity])
        # Keys and names come from the file: they do not command the terminal.
        texts = map(printable, (finding.place, finding.problem, finding.remedy))
        table.add_row(str(finding.line), severity, *texts)
    return table


def _count(findings: tuple[Finding, ...]) -> str:
    numbers = {name: sum(finding.severity == name for finding in findings) for name in _STYLES}
    counts = [f"{number} {name}{'s' * (number != 1)}" for name, number in numbers.items() if number]
    return ", ".join(counts) or "no findings"


def _price(price: PriceBound) -> str:
    nodes = " + ".join(f"{count} {instance_type}" for count, instance_type in price.nodes)
    source = f"price table of {price.priced}, {price.region or 'no region'}; without volumes, traffic and NAT"
    if price.dollars is not None:
        return f"at most {price.dollars:.2f} US dollars an hour: {nodes} at on-demand prices ({source})"
    if price.unknown:
        return f"price unknown: {nodes}; no price of {', '.join(price.unknown)} ({source})"
    return f"price unknown: the file does not bound how many workers there are ({source})"


def _quotas(quotas: tuple[Quota, ...]) -> Iterator[str]:
    """What AWS has to allow, and the commands that ask what it allows."""
    for quota in quotas:
        need = "vCPUs of unknown number" if quota.cores is None else f"{quota.cores} vCPUs"
        named = f" ({quota.code})" if quota.code else ", whose code `aws service-quotas list-service-quotas` tells"
        yield f"needs a quota of {need} in {quota.region or 'its region'}: {quota.name}{named}"
    known = " ".join(quota.code for quota in quotas if quota.code)
    if known:
        region = f" --region {quotas[0].region}" if quotas[0].region else ""
        yield (
            f"ask for what is allowed: for code in {known}; do aws service-quotas get-service-quota{region} "
            '--service-code ec2 --quota-code $code --query "Quota.[QuotaName,Value]" --output text; done'
        )
