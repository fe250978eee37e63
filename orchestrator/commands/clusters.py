"""`polarmap cluster check`: a Ray cluster file before it costs money. No Ray, no torch, no account."""

import argparse

from orchestrator.clusters.lint.checking import check_cluster_file
from orchestrator.terminal.cluster_findings import print_checked

_UNSAFE = 2
"""The exit code of a file with errors or warnings."""


def check(arguments: argparse.Namespace) -> int:
    """`polarmap cluster check FILE`."""
    checked = check_cluster_file(arguments.file)
    print_checked(checked, arguments.format)
    return 0 if checked.clean else _UNSAFE
