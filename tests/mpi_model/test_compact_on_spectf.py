"""The compact network on real patients: 267 Tl-201 exams of the SPECTF collection, painted as polar maps."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mpi_model.maps import FULL_SCALE, LabelledExams, Maps
from mpi_model.training import train

SIZE = 32
SECTORS = {"apical": ((45, 135), (-45, 45), (225, 315), (135, 225))}
SECTORS["mid"] = SECTORS["basal"] = ((60, 120), (0, 60), (300, 360), (240, 300), (120, 240))


def painted(counts: NDArray[np.float64]) -> NDArray[np.uint16]:
    """Maps of 14 short-axis regions and the apex, hard-edged, four sub-pixels a side averaged."""
    axis = (np.arange(4 * SIZE) + 0.5) / (2 * SIZE) - 1
    radius, angle = np.hypot(axis, axis[:, None]), np.degrees(np.arctan2(-axis[:, None], axis))
    regions = [
        (low, high, edges)
        for low, high, ring in ((0.2, 0.467, "apical"), (0.467, 0.733, "mid"), (0.733, 1.0, "basal"))
        for edges in SECTORS[ring]
    ]
    maps = np.zeros((len(counts), *radius.shape), dtype=np.float32)
    maps[:, radius < 0.2] = counts[:, [14, 19]].mean(axis=1, keepdims=True)
    for region, (low, high, (start, end)) in enumerate(regions):
        inside = (radius >= low) & (radius < high) & ((angle - start) % 360 < end - start)
        maps[:, inside] = counts[:, [region]]
    small = maps.reshape(len(counts), 1, SIZE, 4, SIZE, 4).mean(axis=(3, 5))
    return np.round(small / 100 * FULL_SCALE).astype(np.uint16)


@pytest.mark.slow
def test_compact_reads_real_stress_maps_as_well_as_the_best_linear_model(
    shared_data: Path, make_recipe: Callable
) -> None:
    """Five-fold cross-validated AUC within .03 of ridge logistic regression on the 22 counts themselves."""
    table = pd.read_csv(shared_data / "spectf" / "spectf_all.csv")
    counts = table[[f"F{region}S" for region in range(1, 23)]].to_numpy(dtype=np.float64)
    labels = table["OVERALL_DIAGNOSIS"].to_numpy(dtype=np.int8)
    stress, acquired = painted(counts), np.ones(len(labels), dtype=np.bool_)
    maps = Maps(
        stress=stress,
        rest=np.zeros_like(stress),
        has_stress=acquired,
        has_rest=~acquired,
        tracer=acquired.astype(np.int8),
    )
    linear = make_pipeline(StandardScaler(), LogisticRegression(C=0.01))
    of_network, of_linear = [], []
    for training, held_out in StratifiedKFold(5, shuffle=True, random_state=0).split(counts, labels):
        parts = [LabelledExams(rows=rows, labels=labels[rows]) for rows in (training, held_out)]
        recipe = make_recipe(training={"epochs": 30, "batch_size": 32}, seed=int(held_out[0]))
        *_, last = train(maps, *parts, recipe=recipe, device=torch.device("cpu"))
        of_network.append(last.validation_auc)
        linear.fit(counts[training], labels[training])
        of_linear.append(roc_auc_score(labels[held_out], linear.decision_function(counts[held_out])))
    assert np.mean(of_linear) > 0.84
    assert np.mean(of_network) > np.mean(of_linear) - 0.03
