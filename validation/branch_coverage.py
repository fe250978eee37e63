"""The gate of `make test-coverage`: the share of branches that the tests take, from coverage.py's JSON."""

import argparse
import json
import sys
from pathlib import Path


def main() -> None:
    """Print the shares; end with 1 where fewer branches are taken than asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("measured", type=Path, help="what `coverage json` wrote")
    parser.add_argument("--branches", type=float, required=True, help="per cent that have to be taken")
    options = parser.parse_args()
    totals = json.loads(options.measured.read_text(encoding="utf-8"))["totals"]
    statements, branches = totals["percent_statements_covered"], totals["percent_branches_covered"]
    sys.stdout.write(f"{statements:.1f} % of statements, {branches:.1f} % of branches (gate {options.branches} %)\n")
    sys.exit(branches < options.branches)


if __name__ == "__main__":
    main()
