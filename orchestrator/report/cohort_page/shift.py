"""Development and test partition beside each other, without a label of the test partition."""

import numpy as np
import pandas as pd

from mpi_model.errors import StatisticsError
from mpi_model.maps import Maps
from mpi_model.vocabulary import PHASES
from orchestrator.cohort.segments import segment_means
from orchestrator.report.layout import Table, TablesWithWarnings
from orchestrator.statistics.map_distances import QUANTILE, map_distances
from orchestrator.statistics.patient_means import PatientMean
from orchestrator.statistics.proportions import wilson_interval


def shift(exams: pd.DataFrame, maps: Maps, level: float) -> TablesWithWarnings | None:
    """Distances of the test partition's maps from those of development; None without a test partition.

    Args:
        exams: N exams, as in `Cohort.exams`; labels are not read.
        maps: Theirs.
        level: Confidence level.
    """
    if not (exams["partition"] == "test").any():
        return None
    rows, warnings = [], []
    for tracer in sorted(exams["tracer"].unique()):
        for phase in PHASES:
            here = (exams["tracer"] == tracer).to_numpy() & getattr(maps, f"has_{phase}")
            development, test = (
                np.flatnonzero(here & (exams["partition"] == side)) for side in ("development", "test")
            )
            if not len(test):
                continue
            counts = (str(tracer), phase, str(len(development)), str(len(test)))
            try:
                ratio, beyond, warning = _distances(exams, getattr(maps, phase), development, test, level)
            except StatisticsError as error:
                rows.append((*counts, "; ".join(error.problems), ""))
                continue
            rows.append((*counts, ratio, beyond))
            if warning:
                warnings.append(
                    f"{tracer}, {phase}: more test maps are unlike the development maps than chance explains"
                )
    columns = (
        "tracer",
        "phase",
        "development exams",
        "test exams",
        "distance (development: 1)",
        f"beyond the {QUANTILE:.1%} quantile",
    )
    note = (
        "Median Mahalanobis distance of the 17 segment means from the development maps, which are measured in held-out "
        "tenths. Beside it: the share of test maps beyond that quantile of the development maps, with a Wilson "
        "interval."
    )
    return TablesWithWarnings(
        tables=(Table(title="Maps of the test partition", columns=columns, rows=tuple(rows), note=note),),
        warnings=tuple(warnings),
    )


def _distances(
    exams: pd.DataFrame,
    pixels: "np.ndarray[tuple[int, ...], np.dtype[np.uint16]]",
    development: "np.ndarray[tuple[int], np.dtype[np.int64]]",
    test: "np.ndarray[tuple[int], np.dtype[np.int64]]",
    level: float,
) -> tuple[str, str, bool]:
    """Ratio of the medians, share beyond the limit, and whether that share is above chance."""
    training, new = (segment_means(pixels[rows]).mean(axis=1) for rows in (development, test))
    patients = [
        pd.factorize(exams["patient_id"].iloc[rows], sort=True)[0].astype(np.int64) for rows in (development, test)
    ]
    found = map_distances(training, patients[0], new)
    beyond = (found.new > found.limit).astype(np.float64)
    share = wilson_interval(
        PatientMean(
            sums=np.bincount(patients[1], beyond).astype(np.float64),
            counts=np.bincount(patients[1]).astype(np.float64),
        ),
        level,
    )
    told = f"{share.estimate:.0%} ({share.low:.0%} to {share.high:.0%})"
    return f"{found.ratio:.2f}", told, share.low > 1 - QUANTILE
