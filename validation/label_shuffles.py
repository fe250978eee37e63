"""Is there a leak? Under shuffled labels the cross-validated AUCs must scatter about one half.

Runs `polarmap permute` on the 80 development patients of the SPECTF data (one repeat, four candidates, plans
redrawn, the test never opened) and prints each permutation's AUC with its interval:

    python validation/label_shuffles.py SPECTF.train SPECTF.test [--times 12] [--runner inline]
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd

from polarmap import open_run

EXPERIMENT = Path(__file__).parents[1] / "examples" / "spectf" / "experiment.toml"


def main() -> None:
    """Import, permute, count."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as folder:
        rows = pd.concat(_permuted(arguments, Path(folder)))
    print(rows.to_string(index=False, float_format=lambda number: f"{number:.3f}"))
    covered = rows["low"].le(0.5) & rows["high"].ge(0.5)
    for inputs, mine in rows.groupby("inputs", sort=False):
        estimates = mine["estimate"]
        print(f"{inputs}: mean {estimates.mean():.3f}, SD {estimates.std():.3f}")
    print(f"intervals that hold .5: {covered.sum()} of {len(rows)}")


def _permuted(arguments: argparse.Namespace, folder: Path) -> list[pd.DataFrame]:
    polarmap = [sys.executable, "-m", "orchestrator"]
    cohort = folder / "cohort"
    everyone = ["--all-development"] if arguments.all else []
    subprocess.run([*polarmap, "import", "spectf", *arguments.sources, str(cohort), *everyone], check=True)
    settings = [
        f"cohort.manifest={cohort / 'manifest.csv'}",
        f"storage.runs={folder / 'runs'}",
        "folds.repeats=1",
        "search.candidates=4",
    ]
    overrides = [word for setting in settings for word in ("--set", setting)]
    command = [*polarmap, "permute", str(EXPERIMENT), "--times", str(arguments.times), "--runner", arguments.runner]
    subprocess.run([*command, *overrides], check=True)
    return [_leading(path) for path in sorted((folder / "runs").glob("*-permutation-*"))]


def _leading(path: Path) -> pd.DataFrame:
    summary = open_run(path).summary.query("model == 'network'")
    leading = summary[(summary["metric"] == "auc") & summary["primary"] & (summary["subgroup"] == "all")]
    rows = leading[["inputs", "estimate", "low", "high"]].copy()
    rows.insert(0, "permutation", int(path.name.rsplit("-", 1)[1]))
    return rows


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs=2, metavar=("SPECTF.train", "SPECTF.test"))
    parser.add_argument("--times", type=int, default=12)
    parser.add_argument("--all", action="store_true", help="all 267 patients instead of the 80 development patients")
    parser.add_argument("--runner", choices=("ray", "inline"), default="ray")
    return parser.parse_args()


if __name__ == "__main__":
    main()
