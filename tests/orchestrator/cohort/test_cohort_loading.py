"""Loading: a cohort does not depend on how its manifest is written, and every problem shows at once."""

import random
import re
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mpi_model.errors import CohortError
from orchestrator.cohort.duplicates import ReadImage, near_duplicates
from orchestrator.cohort.loading import load_cohort
from orchestrator.cohort.problems import MAX_LISTED

Rows = list[dict[str, str]]
Write = Callable[..., Path]


def test_rows_become_exams_in_canonical_order_with_their_own_maps(write_manifest: Write, rows: Rows) -> None:
    """Every row's label, tracer and pixels stay together through sorting."""
    manifest = write_manifest(rows)
    cohort = load_cohort(manifest, size=24)
    exams = cohort.exams
    assert exams["exam_id"].tolist() == ["e2", "e4", "e1", "e3"]
    assert exams["manifest_row"].tolist() == [2, 4, 1, 3]
    assert exams["label"].tolist() == [1, 0, 0, 1]
    assert exams["tracer"].tolist() == ["Tl-201", "Tl-201", "Tc-99m", "Tc-99m"]
    assert exams["partition"].tolist() == ["development", "test", "development", "development"]
    assert exams["sex"].isna().tolist() == [False, True, False, False]
    assert cohort.maps.tracer.tolist() == [1, 1, 0, 0]
    for place, exam in enumerate(exams["exam_id"]):
        for phase, letter in (("stress", "s"), ("rest", "r")):
            pixels = np.asarray(Image.open(manifest.parent / f"{exam}{letter}.png")).astype(np.uint16)
            np.testing.assert_array_equal(getattr(cohort.maps, phase)[place, 0], pixels * 257)


def test_digest_ignores_row_order_format_and_paths(write_manifest: Write, rows: Rows, tmp_path: Path) -> None:
    """An experiment is recognised although the manifest was sorted, saved as Parquet and the files renamed."""
    original = load_cohort(write_manifest(rows), size=16)
    shuffled = random.Random(1).sample(rows, len(rows))
    for row in shuffled:
        pixels = np.asarray(Image.open(tmp_path / row["stress"]))
        row["stress"] = f"renamed_{row['exam_id']}.npy"
        np.save(tmp_path / row["stress"], pixels)
    pd.DataFrame(shuffled).to_parquet(tmp_path / "again.parquet")
    again = load_cohort(tmp_path / "again.parquet", size=16)
    assert again.digest == original.digest
    columns = [name for name in original.exams.columns if name not in ("manifest_row", "sex")]
    pd.testing.assert_frame_equal(again.exams[columns], original.exams[columns])


CHANGES = {"label": "0", "partition": "test", "tracer": "Tc-99m", "patient_id": "eve", "exam_id": "e9", "rest": ""}


@pytest.mark.parametrize("change", [*CHANGES, "exchanged phases", "e2s.png", "e2r.png"])
def test_digest_sees_everything_the_numbers_depend_on(
    write_manifest: Write, rows: Rows, tmp_path: Path, change: str
) -> None:
    """No change of the data, down to one bit of one pixel of either phase, can resume a run of other data."""
    before = load_cohort(write_manifest(rows), size=16).digest
    if change in CHANGES:
        rows[1][change] = CHANGES[change]
    elif change == "exchanged phases":
        rows[1]["stress"], rows[1]["rest"] = rows[1]["rest"], rows[1]["stress"]
    else:
        pixels = np.array(Image.open(tmp_path / change))
        pixels[12, 12] ^= 1
        Image.fromarray(pixels).save(tmp_path / change)
    assert load_cohort(write_manifest(rows), size=16).digest != before


def test_an_identifier_keeps_its_leading_zeros(write_manifest: Write, rows: Rows) -> None:
    """Patient 007 is not patient 7, and the default exam_id carries the id as written."""
    rows[1] |= {"patient_id": "007", "exam_id": ""}
    rows[3] |= {"patient_id": "7"}
    cohort = load_cohort(write_manifest(rows), size=16)
    assert cohort.exams["patient_id"].tolist()[:2] == ["007", "7"]
    assert "007:Tl-201" in cohort.exams["exam_id"].tolist()
    assert any("leading zeros" in notice and "rows 2 and 4 (lines 3 and 5)" in notice for notice in cohort.notices)


@pytest.mark.parametrize("spelling", ["semicolons, BOM, CRLF", "tabs", "blank lines and spaces", "capitals"])
def test_csv_dialects_give_the_same_cohort(write_manifest: Write, rows: Rows, spelling: str) -> None:
    """What Excel in Europe writes is the same cohort."""
    manifest = write_manifest(rows)
    expected = load_cohort(manifest, size=16).digest
    text = manifest.read_text()
    if spelling.startswith("semicolons"):
        manifest.write_bytes(b"\xef\xbb\xbf" + text.replace(",", ";").replace("\n", "\r\n").encode())
    elif spelling == "tabs":
        manifest.write_text(text.replace(",", "\t"))
    elif spelling == "capitals":
        manifest.write_text(text.replace("patient_id", "Patient_ID").replace("label", "Label"))
    else:
        manifest.write_text(text.replace(",", " , ") + "\n,,,,,,,,\n\n")
    assert load_cohort(manifest, size=16).digest == expected


def test_parquet_numbers_and_missing_cells_read_as_their_text(write_manifest: Write, rows: Rows) -> None:
    """A Parquet label of 1.0 beside integer ids is 1, and a null path is a phase not acquired."""
    manifest = write_manifest(rows)
    frame = pd.DataFrame(rows)
    frame["label"] = frame["label"].astype(float)
    frame["patient_id"] = [12, 7, 12, 9]
    frame["exam_date"] = pd.to_datetime(frame["exam_date"])
    frame.loc[1, "rest"] = None
    frame.to_parquet(manifest.with_suffix(".parquet"))
    cohort = load_cohort(manifest.with_suffix(".parquet"), size=16)
    assert cohort.exams["patient_id"].tolist() == ["12", "12", "7", "9"]
    assert cohort.exams["exam_date"].tolist() == ["2024-03-01", "2024-01-01", "2024-02-01", "2024-01-15"]
    assert cohort.maps.has_rest.tolist() == [True, True, False, True]
    assert not cohort.maps.rest[2].any()
    assert not any("without a rest map" in notice for notice in cohort.notices)  # the exclusions say it


def test_one_coloured_map_makes_the_cohort_coloured(write_manifest: Write, rows: Rows, tmp_path: Path) -> None:
    """Grey maps are repeated over three channels next to a coloured one."""
    manifest = write_manifest(rows)
    colour = np.random.default_rng(0).integers(0, 255, (24, 24, 3)).astype(np.uint8)
    Image.fromarray(colour).save(tmp_path / "e4r.png")
    maps = load_cohort(manifest, size=24).maps
    assert maps.stress.shape == (4, 3, 24, 24)
    assert (maps.stress[0] == maps.stress[0, :1]).all()
    np.testing.assert_array_equal(maps.rest[1], np.moveaxis(colour, 2, 0).astype(np.uint16) * 257)


def test_paths_written_on_windows_are_found(write_manifest: Write, rows: Rows, tmp_path: Path) -> None:
    r"""A manifest with `images\a.png` loads on every system."""
    before = load_cohort(write_manifest(rows), size=16).digest
    (tmp_path / "images").mkdir()
    (tmp_path / "e1s.png").rename(tmp_path / "images" / "e1s.png")
    text = (tmp_path / "manifest.csv").read_text().replace("e1s.png", "images\\e1s.png")
    (tmp_path / "manifest.csv").write_text(text)
    assert load_cohort(tmp_path / "manifest.csv", size=16).digest == before


def test_progress_counts_every_image_once(write_manifest: Write, rows: Rows) -> None:
    """A progress bar ends at its end."""
    calls: list[tuple[int, int]] = []
    load_cohort(write_manifest(rows), size=16, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(done, 8) for done in range(1, 9)]


def test_unknown_columns_are_carried_and_reported(write_manifest: Write, rows: Rows) -> None:
    """A column nobody asked for reaches the exams, and a person is told so."""
    for row in rows:
        row["camera"] = "CZT"
        row["has_rest"] = "yes"
    cohort = load_cohort(write_manifest(rows), size=16)
    assert cohort.exams["camera"].tolist() == ["CZT"] * 4
    assert "columns carried through unread: camera" in cohort.notices
    assert cohort.exams["has_rest"].tolist() == [True] * 4


def _break(row: int, **cells: str) -> Callable[[Rows, Path], None]:
    return lambda rows, folder: rows[row].update(cells)


def _copy_image(source: str, target: str) -> Callable[[Rows, Path], None]:
    return lambda rows, folder: np.save(folder / target, np.asarray(Image.open(folder / source)))


def _drop(*columns: str) -> Callable[[Rows, Path], None]:
    def drop(rows: Rows, folder: Path) -> None:
        for row in rows:
            for column in columns:
                del row[column]

    return drop


def _same_image(rows: Rows, folder: Path) -> None:
    _copy_image("e2s.png", "copy.npy")(rows, folder)
    rows[3]["rest"] = "copy.npy"


BAD: dict[str, tuple[Callable[[Rows, Path], None], str]] = {
    "no tracer column": (_drop("tracer"), "column 'tracer' is missing"),
    "no phase columns": (_drop("stress", "rest"), "columns 'stress' and 'rest' are both missing"),
    "label text": (
        _break(1, label="yes"),
        "manifest row 2 (line 3): label must be 0 or 1, found 'yes'; the column holds ",
    ),
    "label 1.0": (_break(1, label="1.0"), "found '1.0'"),
    "label 2": (_break(1, label="2"), "found '2'"),
    "label blank": (_break(1, label=""), "label must be 0 or 1, found a blank cell"),
    "label is an id": (_break(1, label="zoe"), "found a patient's id"),
    "tracer": (
        _break(2, tracer="FDG"),
        "manifest row 3 (line 4): tracer must be Tc-99m or Tl-201, found another text of 3 characters",
    ),
    "tracer contradiction": (_break(2, tracer="Tl-201 sestamibi"), "found another text of 16 characters"),
    "partition": (_break(0, partition="train"), "manifest row 1 (line 2): partition must be development or test"),
    "no patient": (_break(0, patient_id=""), "manifest row 1 (line 2): patient_id is blank"),
    "no phase": (_break(0, stress="", rest=""), "manifest row 1 (line 2): an exam needs a stress or a rest image"),
    "date": (_break(0, exam_date="31.12.2023"), "manifest row 1 (line 2): exam_date must be YYYY-MM-DD"),
    "exam_id": (_break(2, exam_id="e1"), "manifest rows 1 and 3 (lines 2 and 4) have one exam_id"),
    "default exam_id": (_drop("exam_id"), "manifest rows 1 and 3 (lines 2 and 4) have one exam_id"),
    "same date": (_break(2, exam_date="2024-03-01"), "manifest rows 1 and 3 (lines 2 and 4) have one patient, tracer"),
    "both partitions": (
        _break(0, partition="test"),
        "manifest rows 1 and 3 (lines 2 and 4) are one patient in development",
    ),
    "missing file": (_break(1, rest="missing.png"), "manifest row 2 (line 3), rest image: there is no such file"),
    "folder": (_break(1, rest="."), "manifest row 2 (line 3), rest image: the file cannot be opened (it is a folder"),
    "same file twice": (_break(1, rest="e2s.png"), "manifest row 2 (line 3): one image as stress and rest"),
    "two patients": (_same_image, "manifest rows 2 and 4 (lines 3 and 5): one image under two patients"),
    "one patient": (
        _break(2, rest="e1r.png"),
        "manifest rows 1 and 3 (lines 2 and 4): one image in two exams of a patient",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_every_bad_manifest_is_refused_in_one_line(write_manifest: Write, rows: Rows, case: str) -> None:
    """The rule, the row and the remedy, never an id of a patient or the name of an image."""
    spoil, fragment = BAD[case]
    folder = write_manifest(rows).parent
    spoil(rows, folder)
    with pytest.raises(CohortError) as caught:
        load_cohort(write_manifest(rows), size=16)
    assert type(caught.value) is CohortError
    assert len(caught.value.problems) == 1
    assert fragment in str(caught.value)
    for secret in ("zoe", "amy", "bob", "e2s.png", ".npy", str(folder)):
        assert secret not in str(caught.value)


def test_all_problems_are_reported_together(write_manifest: Write, rows: Rows) -> None:
    """A person corrects a manifest once, not once a mistake: table, partitions and images in one error."""
    write_manifest(rows)
    rows[0] |= {"label": "x", "partition": "test"}
    rows[1] |= {"tracer": "?", "rest": "missing.png"}
    rows[3] |= {"stress": "e2s.png"}
    with pytest.raises(CohortError) as caught:
        load_cohort(write_manifest(rows), size=16)
    fragments = (
        "row 1 (line 2): label",
        "row 2 (line 3): tracer",
        "rows 1 and 3 (lines 2 and 4) are one",
        "no such file",
        "under two patients",
    )
    for fragment in fragments:
        assert sum(fragment in problem for problem in caught.value.problems) == 1
    assert len(caught.value.problems) == len(fragments)


def test_a_kind_of_problem_is_cut_and_counted(write_manifest: Write) -> None:
    """Five hundred missing files do not bury the one wrong label."""
    rows = [{"patient_id": f"p{i}", "tracer": "Tc", "label": "0", "stress": f"missing{i}.png"} for i in range(50)]
    rows[49]["label"] = "2"
    with pytest.raises(CohortError) as caught:
        load_cohort(write_manifest(rows), size=16)
    assert len(caught.value.problems) == 1 + MAX_LISTED + 1
    assert caught.value.problems[-1] == "… and 30 more of the kind: unusable image"


def test_a_map_exported_again_is_reported_and_a_similar_patient_is_not(
    write_manifest: Write, make_bullseye: Callable[..., np.ndarray], rows: Rows, tmp_path: Path
) -> None:
    """JPEG, another size and another scale are still one patient's map; 4 % of noise is another scan."""
    picture = Image.fromarray((make_bullseye(5, side=96) * 0.8).astype(np.uint8))
    picture.save(tmp_path / "e2s.png")
    picture.resize((75, 75), Image.Resampling.BICUBIC).save(tmp_path / "e4s.png")
    picture.save(tmp_path / "e4r.jpg", quality=75)
    regions = np.kron(np.random.default_rng(0).normal(1, 0.04, (6, 6)), np.ones((16, 16)))
    np.save(tmp_path / "e1s.npy", np.asarray(picture) * regions)
    np.save(tmp_path / "e1r.npy", np.asarray(picture).astype(np.uint16) * 20)
    rows[0] |= {"stress": "e1s.npy", "rest": "e1r.npy"}
    rows[3]["rest"] = "e4r.jpg"
    manifest = write_manifest(rows)
    near = [notice for notice in load_cohort(manifest, size=24).notices if "differ from one to the next" in notice]
    assert len(near) == 1
    assert near[0].startswith("manifest rows 1, 2 and 4 (lines 2, 3 and 5): 4 maps of 3 patients differ")


def _brute_force(images: list[ReadImage]) -> set[frozenset[int]]:
    """Rows of every group of maps that are joined by differences below 1 %, pair by pair."""
    groups = [{place} for place in range(len(images))]
    for first, second in combinations(range(len(images)), 2):
        if np.sqrt(np.mean((images[first].coarse - images[second].coarse) ** 2)) < 0.01:
            mine, theirs = (next(group for group in groups if place in group) for place in (first, second))
            if mine is not theirs:
                groups.remove(theirs)
                mine |= theirs
    joined = [[images[place] for place in group] for group in map(sorted, groups) if len(group) > 1]
    return {
        frozenset(image.row for image in group) for group in joined if len({image.patient_id for image in group}) > 1
    }


@pytest.mark.parametrize("few", [0, 2048])
def test_groups_of_nearly_equal_maps_are_those_of_a_comparison_of_all_pairs(monkeypatch, few):
    """The search among neighbours finds every group that a comparison of every pair finds, and no other."""
    monkeypatch.setattr("orchestrator.cohort.duplicates._FEW", few)
    random = np.random.default_rng(3)
    images: list[ReadImage] = []
    for patient in range(150):
        regions = np.random.default_rng(patient).uniform(60, 250, (4, 4))
        map_ = np.kron(regions, np.ones((8, 8))) * random.uniform(0.5, 1)
        for copy in range(random.integers(1, 5) if patient % 7 == 0 else 1):
            noisy = map_ * random.normal(1, random.choice([0.004, 0.02, 0.2]) if copy else 0, map_.shape)
            pixels = np.rint(noisy.clip(0, 255) / 255 * 65535).astype(np.uint16)[np.newaxis]
            row = len(images) + 1
            images.append(ReadImage.of(pixels, row=row, patient_id=f"{patient}-{row}", phase="stress"))
    due = _brute_force(images)
    found = near_duplicates(images)

    assert 3 < len(due) <= 20
    assert {frozenset(map(int, re.findall(r"\d+", notice.partition("(")[0]))) for notice in found} == due
