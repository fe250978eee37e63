"""How well does the network read real maps, beside a logistic regression on the very counts they are painted from?

All 267 patients of the UCI SPECTF data, the same repeated folds for both. Run it with polarmap installed:

    python validation/spectf.py SPECTF.train SPECTF.test [--runner inline] [--set search.candidates=8 …]

Prints, per inputs, the cross-validated AUC of network and regression and their paired difference with the
Nadeau–Bengio interval. The regression is logistic regression on 22 standardised counts (44 for dual) with
C = 0.01, the hardest to beat of the simple models tried on these data; nothing of it is tuned here.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from orchestrator.statistics.comparisons import corrected_resampled_t
from polarmap import Run, open_run

EXPERIMENT = Path(__file__).parents[1] / "examples" / "spectf" / "experiment.toml"
PHASES = {"stress": "S", "rest": "R", "dual": "RS"}


def main() -> None:
    """Import, run, compare."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as folder:
        run = _run(arguments, Path(folder))
        counts = read_counts(arguments.train, arguments.test)
        print(comparison(run, counts).to_string(index=False, float_format=lambda number: f"{number:.3f}"))


def read_counts(train: Path, test: Path) -> pd.DataFrame:
    """Label and the 44 counts (F1R, F1S … F22S) of each patient, by the ids that the importer gives."""
    rows = np.concatenate([np.loadtxt(path, delimiter=",", dtype=np.int64, ndmin=2) for path in (train, test)])
    names = ["label", *(f"F{region}{phase}" for region in range(1, 23) for phase in "RS")]
    return pd.DataFrame(rows, columns=names, index=[f"P{number:03d}" for number in range(1, len(rows) + 1)])


def comparison(run: Run, patients: pd.DataFrame) -> pd.DataFrame:
    """Mean fold AUC of network and regression and their difference, per inputs."""
    predictions = run.predictions.query("model == 'network' and partition == 'development'")
    rows = []
    for inputs, mine in predictions.groupby("inputs", sort=False):
        columns = [name for name in patients.columns if name[0] == "F" and name[-1] in PHASES[str(inputs)]]
        aucs = [
            [_fold_aucs(cell, patients, columns) for _, cell in repeat.groupby("fold")]
            for _, repeat in mine.groupby("repeat")
        ]
        network, regression = np.moveaxis(np.array(aucs), -1, 0)
        difference = corrected_resampled_t(network - regression, 0.95).interval
        rows.append((inputs, network.mean(), regression.mean(), difference.estimate, difference.low, difference.high))
    return pd.DataFrame(rows, columns=["inputs", "network", "regression", "difference", "low", "high"])


def _fold_aucs(cell: pd.DataFrame, patients: pd.DataFrame, columns: list[str]) -> tuple[float, float]:
    """AUC of network and regression on the patients of one fold."""
    held_out = patients.index.isin(cell["patient_id"])
    scores = regression_scores(patients[columns].to_numpy(np.float64), patients["label"].to_numpy(), held_out)
    network = cell.set_index("patient_id").loc[patients.index[held_out], "score"]
    labels = patients.loc[held_out, "label"]
    return float(roc_auc_score(labels, network)), float(roc_auc_score(labels, scores))


def regression_scores(
    features: NDArray[np.float64], labels: NDArray[np.int64], held_out: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Scores of the held-out patients by a regression on the others."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
    model.fit(features[~held_out], labels[~held_out])
    scores: NDArray[np.float64] = model.decision_function(features[held_out])
    return scores


def _run(arguments: argparse.Namespace, folder: Path) -> Run:
    """Import all patients as development patients and run the example's experiment on them."""
    cohort = folder / "cohort"
    polarmap = [sys.executable, "-m", "orchestrator"]
    sources = [str(arguments.train), str(arguments.test)]
    subprocess.run([*polarmap, "import", "spectf", *sources, str(cohort), "--all-development"], check=True)
    settings = [f"cohort.manifest={cohort / 'manifest.csv'}", f"storage.runs={folder / 'runs'}", *arguments.settings]
    overrides = [word for setting in settings for word in ("--set", setting)]
    command = [*polarmap, "run", str(EXPERIMENT), "--runner", arguments.runner, *overrides]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return open_run(folder / "runs" / "spectf")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", type=Path, metavar="SPECTF.train")
    parser.add_argument("test", type=Path, metavar="SPECTF.test")
    parser.add_argument("--runner", choices=("ray", "inline"), default="ray")
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="a.b=c")
    return parser.parse_args()


if __name__ == "__main__":
    main()
