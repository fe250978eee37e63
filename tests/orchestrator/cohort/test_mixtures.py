"""Cohorts of several kinds of files and colour scales are told apart."""

import matplotlib
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mpi_model.maps import FULL_SCALE
from orchestrator.cohort.colour_scales import colour_scales
from orchestrator.cohort.encodings import encodings
from orchestrator.phantom.colours import coloured

SIZE = 32


def perfusion(number: int, *, defect: float) -> np.ndarray:
    """A map of 0 to 1 with some noise, and a defect below."""
    random = np.random.default_rng(number)
    up, right = np.mgrid[1 : -1 : SIZE * 1j, -1 : 1 : SIZE * 1j]
    inside = np.hypot(up, right) < 1
    values = 0.75 + 0.15 * np.cos(3 * np.arctan2(up, right)) + random.normal(0, 0.03, size=(SIZE, SIZE))
    values = values * np.where((up < -0.3) & (np.abs(right) < 0.5), 1 - defect, 1)
    return np.where(inside, values, 0).clip(0, 1)


def in_scale(values: np.ndarray, name: str) -> np.ndarray:
    """`[3, size, size]` in a colour scale: the phantom's own or one of matplotlib's."""
    levels = coloured(values * 1000) if name == "clinic" else matplotlib.colormaps[name](values, bytes=True)[:, :, :3]
    return np.moveaxis(levels.astype(np.uint32) * FULL_SCALE // 255, -1, 0).astype(np.uint16)


@pytest.mark.parametrize("other", ["jet", "hot", "viridis"])
def test_two_colour_scales_are_two_groups(other):
    """Whatever the defects, maps of one scale are one group; the more frequent one comes first."""
    names = ["clinic" if number % 3 else other for number in range(24)]
    maps = np.stack([in_scale(perfusion(number, defect=number / 24), name) for number, name in enumerate(names)])
    assert colour_scales(maps).tolist() == [0 if name == "clinic" else 1 for name in names]


def test_one_scale_is_one_group_and_grey_maps_have_none():
    """Normal maps show the hot end alone, severe defects the cold end too: still one scale."""
    maps = [in_scale(perfusion(number, defect=number / 12), "clinic") for number in range(12)]
    grey = np.repeat((perfusion(99, defect=0.5) * FULL_SCALE).astype(np.uint16)[np.newaxis], 3, axis=0)
    assert colour_scales(np.stack([*maps, grey])).tolist() == [0] * 12 + [-1]
    assert colour_scales(grey[np.newaxis]).tolist() == [-1]


def test_files_are_told_apart_by_their_headers(tmp_path):
    """Depth, colour and size of PNG and NPY files, as they were written."""
    grey = (perfusion(0, defect=0) * 255).astype(np.uint8)
    Image.fromarray(grey).save(tmp_path / "a.png")
    Image.fromarray(np.repeat(grey[:, :, np.newaxis], 3, axis=2)).save(tmp_path / "b.png")
    Image.fromarray(grey.astype(np.uint16) * 100).save(tmp_path / "c.png")
    np.save(tmp_path / "d.npy", grey.astype(np.float32)[:20, :20])
    np.savez(tmp_path / "e.npz", grey)
    rows = [
        {"patient_id": f"p{name}", "tracer": "Tc-99m", "label": 0, "stress": name}
        for name in ("a.png", "b.png", "c.png", "d.npy", "e.npz")
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "manifest.csv", index=False)

    assert encodings(tmp_path / "manifest.csv")["stored_as"].tolist() == [
        "8-bit grey, 32 × 32 pixels",
        "8-bit colour, 32 × 32 pixels",
        "counts, 32 × 32 pixels",
        "array of float32, 20 × 20 pixels",
        "array of uint8, 32 × 32 pixels",
    ]
