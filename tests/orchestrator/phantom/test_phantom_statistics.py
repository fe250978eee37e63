"""The phantom against real normals, published ranges and the intended difficulty."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mpi_model.vocabulary import TRACERS
from orchestrator.phantom.cohort import Exams, simulate
from orchestrator.phantom.geometry import pixel_positions, segment_at
from orchestrator.phantom.parameters import PhantomParameters

DEFAULT = PhantomParameters()
HEALTHY = replace(DEFAULT, disease=replace(DEFAULT.disease, prevalence=(1e-9, 1e-9)))
# SPECTF's short-axis regions F1 to F14 as AHA segments, and the segments of each region's slice.
WALLS = [(13,), (16,), (15,), (14,), (7,), (12,), (11,), (10,), (8, 9), (1,), (6,), (5,), (4,), (2, 3)]
SLICES = [range(13, 17)] * 4 + [range(7, 13)] * 5 + [range(1, 7)] * 5


def joined(chunks: list[Exams], name: str) -> np.ndarray:
    """An array of all chunks."""
    return np.concatenate([getattr(chunk, name) for chunk in chunks])


def segment_means(images: np.ndarray) -> np.ndarray:
    """Means of the 17 segments over the map's maximum."""
    where = segment_at(*pixel_positions(images.shape[1])).ravel()
    flat = images.reshape(len(images), -1).astype(float)
    return np.stack([flat[:, where == s].mean(axis=1) for s in range(1, 18)], axis=1) / flat.max(axis=1)[:, None]


def spectf_regions(stress: np.ndarray, rest: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both maps as SPECTF measures them: a region's mean in percent of its slice's hottest pixel in either map."""
    where = segment_at(*pixel_positions(stress.shape[1])).ravel()
    maps = [image.reshape(len(image), -1) / image.max(axis=(1, 2))[:, None] for image in (stress, rest)]
    columns: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for wall, ring in zip(WALLS, SLICES, strict=True):
        hottest = np.maximum(*(flat[:, np.isin(where, list(ring))].max(axis=1) for flat in maps))
        for column, flat in zip(columns, maps, strict=True):
            column.append(100.0 * flat[:, np.isin(where, wall)].mean(axis=1) / hottest)
    return np.stack(columns[0], axis=1), np.stack(columns[1], axis=1)


@pytest.fixture(scope="module")
def normals() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Regions of Tl-201 normals at stress and rest, and the patients' sex."""
    chunks = list(simulate(patients=384, seed=0, size=48, tracer_mix={"Tl-201": 1.0}, parameters=HEALTHY))
    return *spectf_regions(joined(chunks, "stress"), joined(chunks, "rest")), joined(chunks, "sex")


def test_thallium_normals_look_like_the_real_ones(
    shared_data: Path, normals: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    """Protects the normal pattern: wall means within 4 points, SDs within 2, correlation within .15 on average."""
    real = pd.read_csv(shared_data / "spectf" / "spectf_all.csv").query("OVERALL_DIAGNOSIS == 0")
    real_stress, real_rest = (real[[f"F{n}{phase}" for n in range(1, 15)]].to_numpy(float) for phase in ("S", "R"))
    assert len(real) == 55
    # SPECTF averages through the wall and a polar map keeps its peak: one factor for all walls together.
    factor = real_stress.mean() / normals[0].mean()
    stress, rest = factor * normals[0], factor * normals[1]
    assert stress.mean(axis=0) == pytest.approx(real_stress.mean(axis=0), abs=4.0)
    assert stress.std(axis=0) == pytest.approx(real_stress.std(axis=0), abs=2.1)
    assert stress.std(axis=0).mean() == pytest.approx(real_stress.std(axis=0).mean(), abs=0.8)
    assert ((stress - rest).std(axis=0) > 3.0).all()
    assert ((stress - rest).std(axis=0) < 6.0).all()
    correlations = [
        np.mean([np.corrcoef(left[:, i], right[:, i])[0, 1] for i in range(14)])
        for left, right in ((stress, rest), (real_stress, real_rest))
    ]
    assert correlations[0] == pytest.approx(correlations[1], abs=0.15)


def test_men_lose_inferior_and_women_anterior_counts(normals: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    """Protects the attenuation patterns of the sexes, middle ring."""
    stress, _, sex = normals
    women, men = (stress[sex == index].mean(axis=0) for index in (0, 1))
    assert women[4] < men[4] - 2.0
    assert men[7] < women[7] - 2.0


def test_artefacts_are_the_breast_in_women_and_the_diaphragm_in_men() -> None:
    """Protects the wall that a strong attenuation artefact imitates disease in, by sex."""
    means = []
    for share in (0.0, 1.0):
        imaging = replace(DEFAULT.imaging, artefact_share=(share, share))
        chunk = next(simulate(patients=128, parameters=replace(HEALTHY, imaging=imaging)))
        means.append(segment_means(chunk.stress))
    loss = means[0] - means[1]
    anterior, inferior = loss[:, 6] - loss[:, 9], loss[:, 9] - loss[:, 6]
    assert anterior[chunk.sex == 0].mean() > 0.04
    assert inferior[chunk.sex == 1].mean() > 0.04


def test_attenuation_is_stronger_for_thallium() -> None:
    """Protects the photon energies: men's inferior wall lies lower against the lateral wall with Tl-201."""
    ratios = []
    for tracer in TRACERS:
        chunks = list(simulate(patients=256, size=32, tracer_mix={tracer: 1.0}, parameters=HEALTHY))
        means = segment_means(joined(chunks, "stress"))[joined(chunks, "sex") == 1]
        ratios.append((means[:, 9] / means[:, 10]).mean())
    assert ratios[1] < ratios[0] - 0.01


def test_a_segment_repeats_within_eleven_percent() -> None:
    """Protects the repeatability of a segment between two rest scans: ±11 points published, 9 to 13 allowed."""
    takes = [list(simulate(patients=256, size=32, acquisition=take)) for take in (0, 1)]
    first, second = (segment_means(joined(chunks, "rest")) for chunks in takes)
    tracer = joined(takes[0], "tracer")
    limits = [196.0 * (first - second)[tracer == index].std() for index in (0, 1)]
    assert all(9.0 < limit < 13.0 for limit in limits)


def test_extent_and_mix_of_defects_are_the_published_ones() -> None:
    """Protects the disease: extent 17 ± 15 % of the ventricle, 69 % ischaemic to 31 % fixed, within 3 and 5 points."""
    chunks = list(simulate(patients=1792, seed=1, size=16))
    ill = np.concatenate([chunk.disease.present.any(axis=1) for chunk in chunks])
    extent = 100.0 * joined(chunks, "extent")[ill]
    abnormal = np.concatenate([chunk.scores.label for chunk in chunks]) == 1
    ischaemic = np.concatenate([chunk.scores.summed_difference for chunk in chunks])[abnormal] >= 2
    assert extent.mean() == pytest.approx(17.0, abs=3.0)
    assert extent.std() == pytest.approx(15.0, abs=3.0)
    assert ischaemic.mean() == pytest.approx(0.69, abs=0.05)


def cross_validated_auc(features: np.ndarray, label: np.ndarray) -> float:
    """AUC of logistic regression, five folds."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1))
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    return float(roc_auc_score(label, cross_val_predict(model, features, label, cv=folds, method="decision_function")))


@pytest.fixture(scope="module")
def aucs() -> pd.DataFrame:
    """AUCs on recorded labels of five default cohorts, development partition."""
    rows = []
    for seed in range(5):
        chunks = list(simulate(seed=seed, size=32))
        stress, rest = (segment_means(joined(chunks, phase)) for phase in ("stress", "rest"))
        label, deficits = joined(chunks, "recorded_label"), joined(chunks, "stress_deficits").sum(axis=1)
        for index, tracer in enumerate(TRACERS):
            mine = (joined(chunks, "tracer") == index) & ~joined(chunks, "test")
            features = {"stress": stress[mine], "rest": rest[mine], "dual": np.hstack([stress, rest])[mine]}
            row = {name: cross_validated_auc(values, label[mine]) for name, values in features.items()}
            rows.append({"tracer": tracer, "truth": roc_auc_score(label[mine], deficits[mine]), **row})
    return pd.DataFrame(rows).groupby("tracer").mean()


@pytest.mark.parametrize("tracer", TRACERS)
def test_the_task_is_as_hard_as_the_real_one(aucs: pd.DataFrame, tracer: str) -> None:
    """Protects the difficulty: stress .85 to .92, rest .70 to .80, dual like stress, the truth's reader high."""
    found = aucs.loc[tracer]
    assert 0.85 <= found["stress"] <= 0.92
    assert 0.70 <= found["rest"] <= 0.80
    assert found["dual"] == pytest.approx(found["stress"], abs=0.03)
    assert found["truth"] > 0.95
