"""The written cohort and its picture."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mpi_model.errors import ExperimentError
from orchestrator.phantom.cohort import simulate
from orchestrator.phantom.colours import _colour_table
from orchestrator.phantom.preview import preview
from orchestrator.phantom.writer import Format, write_cohort

PATIENTS = 24


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small cohort with missing phases, as 16-bit PNG."""
    folder = tmp_path_factory.mktemp("cohort") / "new"
    write_cohort(folder, patients=PATIENTS, seed=5, size=32, tracer_mix={"Tl-201": 0.5})
    return folder


def test_the_manifest_keeps_the_contract(written: Path) -> None:
    """Protects the columns every other part reads, and that the files they name exist."""
    manifest = pd.read_csv(written / "manifest.csv", keep_default_na=False)
    expected = ["patient_id", "exam_id", "tracer", "label", "stress", "rest", "partition", "sex", "age"]
    assert list(manifest.columns) == expected
    assert manifest["exam_id"].is_unique
    assert manifest["patient_id"].nunique() == PATIENTS
    assert set(manifest["tracer"]) == {"Tc-99m", "Tl-201"}
    assert set(manifest["label"]) == {0, 1}
    assert set(manifest["partition"]) == {"development", "test"}
    named = {name for phase in ("stress", "rest") for name in manifest[phase] if name}
    assert named == {name for name in contents(written) if name.startswith("maps/")}


@pytest.mark.parametrize("form", ["png", "npy"])
def test_counts_come_back_as_they_were_simulated(tmp_path: Path, form: Format) -> None:
    """Protects the stored counts: 16 bits, nothing scaled, the right phase of the right exam."""
    write_cohort(tmp_path / "new", patients=9, seed=5, size=32, format=form)
    exams = next(simulate(patients=9, seed=5, size=32))
    manifest = pd.read_csv(tmp_path / "new" / "manifest.csv", keep_default_na=False)
    for row, record in manifest.iterrows():
        for phase, counts in (("stress", exams.stress), ("rest", exams.rest)):
            if record[phase]:
                file = tmp_path / "new" / record[phase]
                stored = np.load(file) if form == "npy" else np.asarray(Image.open(file))
                assert np.array_equal(stored, counts[int(str(row))])


def test_missing_phases_are_blank(tmp_path: Path) -> None:
    """Protects exams without a phase: a blank path and no file, exactly where the simulation says so."""
    write_cohort(tmp_path / "new", patients=120, seed=5, size=16)
    exams = next(simulate(patients=120, seed=5, size=16))
    manifest = pd.read_csv(tmp_path / "new" / "manifest.csv", keep_default_na=False)
    assert (manifest["stress"] != "").tolist() == exams.has_stress.tolist()
    assert (manifest["rest"] != "").tolist() == exams.has_rest.tolist()
    assert not exams.has_rest.all()


def test_truth_agrees_with_itself_and_the_manifest(written: Path) -> None:
    """Protects the truth table: sums of its scores, the recorded label, and readable defect lists."""
    truth, manifest = pd.read_csv(written / "truth.csv"), pd.read_csv(written / "manifest.csv")
    stress = truth[[f"stress_{segment}" for segment in range(1, 18)]].sum(axis=1)
    rest = truth[[f"rest_{segment}" for segment in range(1, 18)]].sum(axis=1)
    assert (truth["sss"] == stress).all()
    assert (truth["srs"] == rest).all()
    assert (truth["sds"] == stress - rest).all()
    assert truth["exam_id"].tolist() == manifest["exam_id"].tolist()
    assert truth["recorded_label"].tolist() == manifest["label"].tolist()
    defects = truth["defects"].map(json.loads)
    assert (defects[truth["sss"] > 0].map(len) > 0).all()
    assert {defect["vessel"] for found in defects for defect in found} <= {"LAD", "LCX", "RCA"}


def test_same_seed_same_bytes_and_more_patients_only_add(tmp_path: Path, written: Path) -> None:
    """Protects reproducibility of the files: all of a small cohort's maps are files of a larger one."""
    for name, patients in (("again", PATIENTS), ("more", PATIENTS + 6)):
        write_cohort(tmp_path / name, patients=patients, seed=5, size=32, tracer_mix={"Tl-201": 0.5})
    first = contents(written)
    assert contents(tmp_path / "again") == first
    more = contents(tmp_path / "more")
    assert all(more[name] == data for name, data in first.items() if name.startswith("maps/"))
    assert more["truth.csv"].startswith(first["truth.csv"])


def test_screenshots_are_colour_and_hot_is_white(tmp_path: Path) -> None:
    """Protects the colour format: 8-bit RGB, every pixel a colour of the table, its hottest the count's hottest."""
    write_cohort(tmp_path / "new", patients=4, seed=5, size=64, format="colour")
    exams = next(simulate(patients=4, seed=5, size=64))
    manifest = pd.read_csv(tmp_path / "new" / "manifest.csv")
    picture = np.asarray(Image.open(tmp_path / "new" / manifest["stress"][0]))
    assert picture.dtype == np.uint8
    assert picture.shape == (64, 64, 3)
    row, column = np.unravel_index(exams.stress[0].argmax(), (64, 64))
    assert picture[row, column].tolist() == [255, 255, 255]
    assert picture[0, 0].tolist() == [0, 0, 0]
    table = {tuple(colour) for colour in _colour_table().tolist()}
    assert {tuple(colour) for colour in picture.reshape(-1, 3).tolist()} <= table
    assert len(table) == 256, "no two counts share a colour"


def test_a_folder_with_anything_in_it_is_left_alone(tmp_path: Path) -> None:
    """Protects what is there: a clear refusal, nothing overwritten and nothing added."""
    (tmp_path / "maps").mkdir()
    (tmp_path / "manifest.csv").write_text("mine")
    with pytest.raises(ExperimentError, match=r"new or empty.*name another"):
        write_cohort(tmp_path, patients=2)
    assert contents(tmp_path) == {"manifest.csv": b"mine"}
    with pytest.raises(ExperimentError, match="is a file"):
        write_cohort(tmp_path / "manifest.csv", patients=2)


@pytest.mark.parametrize("wrong", [{"format": "gif"}, {"size": -1}, {"patients": 0}, {"tracer_mix": {"Tl-201": 2.0}}])
def test_a_refused_call_leaves_no_folder(tmp_path: Path, wrong: dict[str, object]) -> None:
    """Protects the next attempt: bad arguments are found before the folder is made."""
    with pytest.raises(ExperimentError):
        write_cohort(tmp_path / "new", **wrong)  # type: ignore[arg-type]
    assert not (tmp_path / "new").exists()


def test_progress_reaches_the_whole(tmp_path: Path) -> None:
    """Protects progress bars: after each chunk, ending with all patients of all."""
    seen: list[tuple[int, int]] = []
    write_cohort(tmp_path / "new", patients=150, size=16, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(128, 150), (150, 150)]


@pytest.mark.parametrize("form", ["png", "npy", "colour"])
def test_the_preview_shows_what_a_folder_holds(tmp_path: Path, form: Format) -> None:
    """Protects the panel: drawn from every format, and colourful where the maps are."""
    write_cohort(tmp_path / "new", patients=12, seed=5, size=32, format=form)
    file = preview(tmp_path / "new", tmp_path / "pictures" / "panel.png", exams=4)
    picture = np.asarray(Image.open(file).convert("RGB")).astype(int)
    colourful = (picture.max(axis=2) - picture.min(axis=2)) > 80
    assert colourful.mean() > 0.2


def test_the_panel_has_stress_left_and_rest_right(tmp_path: Path) -> None:
    """Protects the phases against being swapped: with rest maps without counts, only the left half has colours."""
    write_cohort(tmp_path / "new", patients=3, seed=5, size=32, format="npy")
    for file in (tmp_path / "new" / "maps").glob("*_rest.npy"):
        np.save(file, np.zeros((32, 32), np.uint16))
    panel = preview(tmp_path / "new", tmp_path / "panel.png", exams=1)
    picture = np.asarray(Image.open(panel).convert("RGB")).astype(int)
    colourful = (picture.max(axis=2) - picture.min(axis=2)) > 80
    middle = colourful.shape[1] // 2
    assert colourful[:, :middle].mean() > 0.2
    assert colourful[:, middle:].mean() < 0.01


def test_folder_and_memory_give_the_same_panel(tmp_path: Path, written: Path) -> None:
    """Protects the two ways to a panel against telling different truths."""
    exams = next(simulate(patients=PATIENTS, seed=5, size=32, tracer_mix={"Tl-201": 0.5}))
    panels = [preview(source, tmp_path / f"{n}.png", exams=3) for n, source in enumerate((written, exams))]
    left, right = (np.asarray(Image.open(panel)) for panel in panels)
    assert np.array_equal(left, right)


def test_the_preview_refuses_clearly(tmp_path: Path, written: Path) -> None:
    """Protects existing pictures and points at folders that are no synthetic cohort."""
    (tmp_path / "mine.png").write_text("mine")
    with pytest.raises(ExperimentError, match="name another"):
        preview(written, tmp_path / "mine.png")
    with pytest.raises(ExperimentError, match=r"holds no manifest\.csv"):
        preview(tmp_path, tmp_path / "new.png")
    assert (tmp_path / "mine.png").read_text() == "mine"
