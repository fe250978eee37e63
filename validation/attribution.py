"""Do attributions find the phantom's defects? An explained run of a simulated cohort against the cohort's truth.

    python validation/attribution.py RUN TRUTH.csv

An exam counts where it has a true defect in the maps that are explained: a segment with a true score of 1 or more.
Of its attribution: does the segment with the largest share lie in the defect, and what share of it lies there, beside
the share of the area. The same for random weights, and for no network: where the map differs from its reference.
Intervals are patient bootstraps.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from mpi_model.vocabulary import PHASES
from orchestrator.cohort.segments import SEGMENTS_17, points_in_pixels
from orchestrator.ledger.reading import open_run
from orchestrator.ledger.schemas import SEGMENT_COLUMNS
from orchestrator.statistics.patient_bootstrap import bootstrap_intervals

_KEY = ["inputs", "partition", "repeat", "network", "tracer", "patient_id", "exam_id", "label"]


def exam_rows(exams: pd.DataFrame, truth: pd.DataFrame, size: int) -> pd.DataFrame:
    """One row an exam with a defect, its attributions of all phases side by side."""
    area = points_in_pixels(size).sum(axis=1)
    found = []
    for key, rows in exams.groupby(_KEY, sort=False, dropna=False):
        about = dict(zip(_KEY, key, strict=True))
        phases = [str(phase) for phase in PHASES if (rows["phase"] == phase).any()]
        parts = rows.set_index("phase").loc[phases, list(SEGMENT_COLUMNS)].to_numpy(np.float64)
        columns = [f"{phase}_{segment.name}" for phase in phases for segment in SEGMENTS_17]
        scores = truth.loc[[str(about["exam_id"])], columns].to_numpy(np.float64)
        defect = scores.reshape(len(phases), -1) >= 1
        if not defect.any():
            continue
        size_of = np.abs(parts)
        raised = np.maximum(parts, 0)
        found.append(
            {
                **about,
                "top": float(defect.ravel()[size_of.argmax()]),
                "share": size_of[defect].sum() / max(size_of.sum(), 1e-30),
                "raising_top": float(defect.ravel()[parts.argmax()]),
                "raising_share": raised[defect].sum() / max(raised.sum(), 1e-30),
                "area": (defect * area).sum() / (area.sum() * len(phases)),
                "segments": defect.sum(),
            }
        )
    return pd.DataFrame(found)


def main() -> None:
    """Print a table by tracer, input configuration, partition and network."""
    location, truth_file = sys.argv[1:3]
    run = open_run(location)
    truth = pd.read_csv(Path(truth_file)).set_index("exam_id")
    rows = exam_rows(run.exam_attributions, truth, run.description.settings.images.size)
    rows["excess"] = rows["share"] - rows["area"]
    rows["raising_excess"] = rows["raising_share"] - rows["area"]
    shown = ["top", "share", "area", "excess", "raising_top", "raising_share", "raising_excess"]
    for among, chosen in (("all exams with a defect", rows), ("of them with label 1", rows[rows["label"] == 1])):
        print(f"\n{among}\n| partition | tracer | inputs | network | patients | exams | {' | '.join(shown)} |")
        for key, mine in chosen.groupby(["partition", "tracer", "inputs", "network"], sort=False):
            low, high = bootstrap_intervals(mine[shown].to_numpy(np.float64), pd.factorize(mine["patient_id"])[0], 0.95)
            texts = [
                f"{mean:.2f} [{one:.2f}, {other:.2f}]"
                for mean, one, other in zip(mine[shown].mean(), low, high, strict=True)
            ]
            counts = f"{mine['patient_id'].nunique()} | {mine['exam_id'].nunique()}"
            print(f"| {' | '.join(map(str, key))} | {counts} | {' | '.join(texts)} |")


if __name__ == "__main__":
    main()
