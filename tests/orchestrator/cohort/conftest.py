"""Small cohorts on disk."""

import csv
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

WriteManifest = Callable[..., Path]


def bullseye(seed: int, side: int = 24) -> np.ndarray:
    """A smooth 8-bit disc that is another one for every seed."""
    noise = np.random.default_rng(seed).normal(size=(4, 4))
    up, right = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    waves = sum(noise[i, j] * np.cos(np.pi * (i * up + j * right) / 2) for i in range(4) for j in range(4) if i + j)
    inside = np.hypot(up, right) < 1
    return np.where(inside, np.clip(150 + 25 * waves, 1, 255), 0).astype(np.uint8)


@pytest.fixture
def make_bullseye() -> Callable[..., np.ndarray]:
    """The painter of `bullseye` maps."""
    return bullseye


@pytest.fixture
def write_manifest(tmp_path: Path) -> WriteManifest:
    """Write rows (dicts) as manifest.csv; an image named in a row is painted unless it is there already."""

    def write(rows: Sequence[Mapping[str, str]], name: str = "manifest.csv", delimiter: str = ",") -> Path:
        columns = list(dict.fromkeys(column for row in rows for column in row))
        with (tmp_path / name).open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, columns, restval="", delimiter=delimiter)
            writer.writeheader()
            writer.writerows(rows)
        paths = sorted({row[phase] for row in rows for phase in ("stress", "rest") if row.get(phase)})
        for path in paths:
            if path.endswith(".png") and not (tmp_path / path).exists() and "missing" not in path:
                Image.fromarray(bullseye(zlib.crc32(path.encode()))).save(tmp_path / path)
        return tmp_path / name

    return write


@pytest.fixture
def rows() -> list[dict[str, str]]:
    """Four good exams of three patients; every test that breaks something starts from them."""
    return [
        {
            "patient_id": patient,
            "exam_id": exam,
            "tracer": tracer,
            "label": label,
            "stress": f"{exam}s.png",
            "rest": f"{exam}r.png",
            "partition": partition,
            "exam_date": date,
            "sex": sex,
        }
        for patient, exam, tracer, label, partition, date, sex in (
            ("zoe", "e1", "Tc-99m", "0", "development", "2024-03-01", "F"),
            ("amy", "e2", "Tl-201", "1", "development", "2024-02-01", "F"),
            ("zoe", "e3", "99mTc", "1", "", "2024-01-01", "F"),
            ("bob", "e4", "thallium", "0", "test", "2024-01-15", ""),
        )
    ]
