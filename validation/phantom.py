"""Measure the phantom against the real normals, the published ranges and the intended difficulty.

Run from the repository: `python validation/phantom.py [--data FOLDER] [--seeds 5]`. FOLDER holds
`spectf/spectf_all.csv` and `spectf/spectf_roi_stats.csv`; without it the comparison with SPECTF is left out.
The tables it prints are those of `docs/phantom.md`.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mpi_model.vocabulary import TRACERS
from orchestrator.phantom.cohort import Exams, simulate
from orchestrator.phantom.geometry import pixel_positions, segment_at
from orchestrator.phantom.labels import _readings
from orchestrator.phantom.parameters import PhantomParameters

Floats = NDArray[np.float64]

SPECTF_WALLS: tuple[tuple[str, str, tuple[int, ...]], ...] = (
    ("apical", "anterior", (13,)),
    ("apical", "lateral", (16,)),
    ("apical", "inferior", (15,)),
    ("apical", "septal", (14,)),
    ("mid", "anterior", (7,)),
    ("mid", "anterolateral", (12,)),
    ("mid", "inferolateral", (11,)),
    ("mid", "inferior", (10,)),
    ("mid", "septal", (8, 9)),
    ("basal", "anterior", (1,)),
    ("basal", "anterolateral", (6,)),
    ("basal", "inferolateral", (5,)),
    ("basal", "inferior", (4,)),
    ("basal", "septal", (2, 3)),
)
"""SPECTF's short-axis regions F1 to F14 and their AHA segments."""


def gather(chunks: Sequence[Exams], read: Callable[[Exams], NDArray[np.generic]]) -> Floats:
    """One array of all chunks."""
    return np.concatenate([read(chunk) for chunk in chunks]).astype(np.float64)


def segment_means(images: NDArray[np.uint16]) -> Floats:
    """Mean of every AHA segment over the map's maximum, `[n, 17]`, from images `[n, size, size]`."""
    where = segment_at(*pixel_positions(images.shape[1])).ravel()
    flat = images.reshape(len(images), -1).astype(np.float64)
    means = [flat[:, where == segment].mean(axis=1) for segment in range(1, 18)]
    return np.asarray(np.stack(means, axis=1) / flat.max(axis=1, keepdims=True))


def slice_regions(stress: NDArray[np.uint16], rest: NDArray[np.uint16]) -> tuple[Floats, Floats]:
    """SPECTF's regions F1 to F14 in percent of the hottest pixel of the two maps in the slice, `[n, 14]` each."""
    where = segment_at(*pixel_positions(stress.shape[1])).ravel()
    maps = [image.reshape(len(image), -1).astype(np.float64) for image in (stress, rest)]
    regions: tuple[list[Floats], list[Floats]] = ([], [])
    rings = {"basal": range(1, 7), "mid": range(7, 13), "apical": range(13, 17)}
    for name, _, segments in SPECTF_WALLS:
        in_slice = np.isin(where, list(rings[name]))
        peaks = [flat / flat.max(axis=1, keepdims=True) for flat in maps]
        hottest = np.maximum(*(flat[:, in_slice].max(axis=1) for flat in peaks))
        for values, flat in zip(regions, peaks, strict=True):
            values.append(100.0 * flat[:, np.isin(where, segments)].mean(axis=1) / hottest)
    return np.stack(regions[0], axis=1), np.stack(regions[1], axis=1)


def healthy(parameters: PhantomParameters) -> PhantomParameters:
    """The same phantom without disease."""
    return replace(parameters, disease=replace(parameters.disease, prevalence=(1e-9, 1e-9)))


def compare_walls(data: Path) -> pd.DataFrame:
    """Walls of simulated Tl-201 normals beside the 55 real normals."""
    real = pd.read_csv(data / "spectf" / "spectf_all.csv").query("OVERALL_DIAGNOSIS == 0")
    chunks = list(simulate(patients=1024, tracer_mix={"Tl-201": 1.0}, parameters=healthy(PhantomParameters())))
    stress, rest = slice_regions(
        np.concatenate([chunk.stress for chunk in chunks]), np.concatenate([chunk.rest for chunk in chunks])
    )
    names = [f"F{index + 1}" for index in range(len(SPECTF_WALLS))]
    real_stress = real[[name + "S" for name in names]].to_numpy(float)
    real_rest = real[[name + "R" for name in names]].to_numpy(float)
    # SPECTF averages through the wall, a polar map stores the wall's peak: one factor for all regions.
    factor = real_stress.mean() / stress.mean()
    print(f"wall-profile factor {factor:.3f}")
    stress, rest = factor * stress, factor * rest
    return pd.DataFrame(
        {
            "region": [f"{ring} {wall}" for ring, wall, _ in SPECTF_WALLS],
            "mean": stress.mean(axis=0),
            "real_mean": real_stress.mean(axis=0),
            "sd": stress.std(axis=0, ddof=1),
            "real_sd": real_stress.std(axis=0, ddof=1),
            "difference_sd": (stress - rest).std(axis=0, ddof=1),
            "real_difference_sd": (real_stress - real_rest).std(axis=0, ddof=1),
            "r": _column_correlations(stress, rest),
            "real_r": _column_correlations(real_stress, real_rest),
        }
    )


def _column_correlations(left: Floats, right: Floats) -> Floats:
    return np.array([np.corrcoef(left[:, i], right[:, i])[0, 1] for i in range(left.shape[1])])


def repeatability() -> pd.Series:
    """1.96 standard deviations of the difference between two rest scans of a patient, in points, by tracer."""
    parameters = PhantomParameters()
    scans = [list(simulate(patients=512, acquisition=take, parameters=parameters)) for take in (0, 1)]
    first, second = (segment_means(np.concatenate([chunk.rest for chunk in chunks])) for chunks in scans)
    tracer = gather(scans[0], lambda chunk: chunk.tracer)
    return pd.Series({name: 196.0 * (first - second)[tracer == index].std() for index, name in enumerate(TRACERS)})


def disease_statistics(patients: int = 8192) -> pd.DataFrame:
    """Prevalence, extent, kinds and label noise, by tracer."""
    chunks = list(simulate(patients=patients, size=16, seed=1))
    columns = {
        "tracer": gather(chunks, lambda chunk: chunk.tracer),
        "diseased": gather(chunks, lambda chunk: np.asarray(chunk.disease.present.any(axis=1))),
        "extent": 100.0 * gather(chunks, lambda chunk: chunk.extent),
        "label": gather(chunks, lambda chunk: chunk.scores.label),
        "recorded": gather(chunks, lambda chunk: chunk.recorded_label),
        "sss": gather(chunks, lambda chunk: chunk.scores.summed_stress),
        "sds": gather(chunks, lambda chunk: chunk.scores.summed_difference),
    }
    exams = pd.DataFrame(columns)
    two = _two_readings(chunks)
    rows: dict[str, dict[str, float]] = {}
    for index, name in enumerate(TRACERS):
        mine = exams["tracer"] == index
        part = exams[mine]
        ill, abnormal = part[part["diseased"] == 1], part[part["label"] == 1]
        rows[name] = {
            "diseased": part["diseased"].mean(),
            "abnormal": part["label"].mean(),
            "recorded": part["recorded"].mean(),
            "flipped": (part["label"] != part["recorded"]).mean(),
            "extent_mean": ill["extent"].mean(),
            "extent_sd": ill["extent"].std(),
            "extent_abnormal": abnormal["extent"].mean(),
            "ischaemic": (abnormal["sds"] >= 2).mean(),
            "reader_icc": intraclass_correlation(two[mine.to_numpy()]),
            "reader_icc_abnormal": intraclass_correlation(two[(mine & (exams["label"] == 1)).to_numpy()]),
        }
    rows["both"] = {"reader_icc": intraclass_correlation(two)}
    return pd.DataFrame(rows)


def _two_readings(chunks: Sequence[Exams]) -> Floats:
    """Two readers' summed stress scores of every exam, `[n, 2]`."""
    parameters = PhantomParameters().labels
    generator = np.random.default_rng(0)
    pairs = []
    for chunk in chunks:
        z = generator.standard_normal((len(chunk), 3 * parameters.readers))
        pairs.append(_readings(chunk.scores, z, parameters)[0][:, :2])
    return np.concatenate(pairs)


def intraclass_correlation(scores: Floats) -> float:
    """ICC(1,1) of scores `[n, k]`: between-exam over total variance (Shrout 1979, doi:10.1037/0033-2909.86.2.420)."""
    k = scores.shape[1]
    between = k * scores.mean(axis=1).var(ddof=1)
    within = scores.var(axis=1, ddof=1).mean()
    return float((between - within) / (between + (k - 1) * within))


def difficulty(seeds: int) -> pd.DataFrame:
    """Cross-validated AUC of logistic regression on segment means, and of a reader of the truth, on recorded labels."""
    rows = []
    for seed in range(seeds):
        chunks = list(simulate(seed=seed))
        rows += [_difficulty_of(chunks, index, seed) for index in range(len(TRACERS))]
    return pd.DataFrame(rows)


def _difficulty_of(chunks: Sequence[Exams], tracer: int, seed: int) -> dict[str, object]:
    mine = (gather(chunks, lambda chunk: chunk.tracer) == tracer) & (gather(chunks, lambda c: c.test) == 0)
    label = gather(chunks, lambda chunk: chunk.recorded_label)[mine]
    stress, rest = (
        segment_means(np.concatenate([getattr(chunk, phase) for chunk in chunks]))[mine] for phase in ("stress", "rest")
    )
    truth = gather(chunks, lambda chunk: chunk.stress_deficits.sum(axis=1))[mine]
    return {
        "seed": seed,
        "tracer": TRACERS[tracer],
        "exams": len(label),
        "positive": label.mean(),
        "stress": regression_auc(stress, label),
        "rest": regression_auc(rest, label),
        "dual": regression_auc(np.hstack([stress, rest]), label),
        "true_deficits": roc_auc_score(label, truth),
    }


def regression_auc(features: Floats, label: Floats, repeats: int = 4) -> float:
    """Mean over repeats of the AUC of stratified five-fold out-of-fold scores."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
    aucs = []
    for repeat in range(repeats):
        folds = StratifiedKFold(5, shuffle=True, random_state=repeat)
        scores = np.empty(len(label))
        for training, held_out in folds.split(features, label):
            model.fit(features[training], label[training])
            scores[held_out] = model.decision_function(features[held_out])
        aucs.append(roc_auc_score(label, scores))
    return float(np.mean(aucs))


def main() -> None:
    """Print every table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder that holds spectf/")
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    pd.set_option("display.width", 160, "display.max_columns", 20, "display.precision", 3)
    if options.data:
        walls = compare_walls(options.data)
        print(walls.to_string(index=False), walls.mean(numeric_only=True).to_string(), sep="\n")
    print("\nrepeatability of a segment, 1.96 SD of the difference", repeatability().to_string(), sep="\n")
    print("", disease_statistics().to_string(), sep="\n")
    table = difficulty(options.seeds)
    print("", table.to_string(index=False), sep="\n")
    print(table.groupby("tracer").mean(numeric_only=True).drop(columns="seed").to_string())


if __name__ == "__main__":
    main()
