"""Patients under keyed pseudonyms, from the key file to the manifest."""

import base64
import hashlib
import hmac
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mpi_model.errors import ExperimentError
from orchestrator.cli import main
from orchestrator.cohort.pseudonyms import pseudonyms


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """A key file as the message says to make one."""
    path = tmp_path / "key"
    path.write_bytes(os.urandom(32))
    path.chmod(0o600)
    return path


def test_a_pseudonym_is_the_hmac_that_others_would_compute(key):
    """Whoever has the key can find a patient again: HMAC-SHA256, ten bytes, base32."""
    expected = base64.b32encode(hmac.digest(key.read_bytes(), b"P017", hashlib.sha256)[:10]).decode()
    assert pseudonyms(key)("P017") == expected
    assert len(expected) == 16


def test_without_the_key_a_pseudonym_says_nothing(key, tmp_path):
    """Another key gives other pseudonyms, and no two of many patients share one."""
    other = tmp_path / "other"
    other.write_bytes(b"another key, of sixteen bytes and more")
    other.chmod(0o600)
    mine = {pseudonyms(key)(f"P{number}") for number in range(2000)}
    assert len(mine) == 2000
    assert not mine & {pseudonyms(other)(f"P{number}") for number in range(2000)}


@pytest.mark.parametrize(
    ("content", "mode", "rule"),
    [(None, 0, "head -c 32 /dev/urandom"), (b"short", 0o600, "16 bytes or more"), (bytes(32), 0o644, "chmod 600")],
)
def test_a_missing_short_or_readable_key_is_refused_with_the_remedy(tmp_path, capsys, content, mode, rule):
    """A key that protects nobody is not used, and the message holds the command that makes a good one."""
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
        path.chmod(mode)
    with pytest.raises(ExperimentError, match=rule):
        pseudonyms(path)
    assert main(["synth", str(tmp_path / "cohort"), "--patients", "4", "--pseudonymise", str(path)]) == 2
    assert rule in capsys.readouterr().err
    assert not (tmp_path / "cohort").exists()


def names_below(folder: Path) -> set[str]:
    """Every file name and every text of the CSV files of a folder."""
    texts = {path.name for path in folder.rglob("*")}
    return texts | {line for path in folder.glob("*.csv") for line in path.read_text().splitlines()}


def test_a_simulated_cohort_carries_pseudonyms_in_ids_file_names_and_order(tmp_path, key):
    """The same patients under other names: ids, exam ids, images and truth, none of them in the original order."""
    sizes = ["--patients", "24", "--size", "32"]
    assert main(["synth", str(tmp_path / "plain"), *sizes]) == 0
    assert main(["synth", str(tmp_path / "hidden"), *sizes, "--pseudonymise", str(key)]) == 0
    plain, hidden = (pd.read_csv(tmp_path / name / "manifest.csv", dtype=str) for name in ("plain", "hidden"))
    truth = pd.read_csv(tmp_path / "hidden" / "truth.csv", dtype=str)

    assert set(hidden["patient_id"]) == set(map(pseudonyms(key), plain["patient_id"]))
    assert hidden["patient_id"].is_monotonic_increasing
    assert truth["exam_id"].tolist() == hidden["exam_id"].tolist()
    for patient in plain["patient_id"]:
        assert not any(patient in text for text in names_below(tmp_path / "hidden"))
    renamed = plain.assign(patient_id=plain["patient_id"].map(pseudonyms(key))).sort_values(["patient_id", "tracer"])
    pd.testing.assert_series_equal(
        renamed["label"], hidden.sort_values(["patient_id", "tracer"])["label"], check_index=False
    )
    first = hidden.iloc[0]
    original = plain[plain["patient_id"].map(pseudonyms(key)) == first["patient_id"]]
    original = original[original["tracer"] == first["tracer"]].iloc[0]
    for phase in ("stress", "rest"):
        if isinstance(first[phase], str):
            stored = (tmp_path / "hidden" / first[phase]).read_bytes()
            assert stored == (tmp_path / "plain" / original[phase]).read_bytes()


def test_imported_patients_carry_pseudonyms_too(tmp_path, key):
    """SPECTF's patients are numbered by line; under a key neither number nor place is left."""
    counts = np.random.default_rng(0).integers(40, 100, size=(8, 44))
    lines = [",".join(map(str, (number % 2, *row))) for number, row in enumerate(counts)]
    (tmp_path / "train").write_text("\n".join(lines[:5]))
    (tmp_path / "test").write_text("\n".join(lines[5:]))
    command = ["import", "spectf", str(tmp_path / "train"), str(tmp_path / "test"), str(tmp_path / "out")]
    assert main([*command, "--size", "16", "--pseudonymise", str(key)]) == 0
    manifest = pd.read_csv(tmp_path / "out" / "manifest.csv")

    expected = sorted(pseudonyms(key)(f"P{number:03d}") for number in range(1, 9))
    assert manifest["patient_id"].tolist() == expected
    assert not any(f"P{number:03d}" in text for number in range(1, 9) for text in names_below(tmp_path / "out"))
    assert all((tmp_path / "out" / name).is_file() for phase in ("stress", "rest") for name in manifest[phase])
