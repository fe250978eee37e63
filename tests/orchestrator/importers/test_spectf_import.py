"""SPECTF: real counts become maps in which the right wall is in the right place and little is lost."""

import csv
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mpi_model.errors import CohortError, ExperimentError
from orchestrator.cohort.loading import load_cohort
from orchestrator.cohort.segments import SEGMENTS_15
from orchestrator.importers.painting import painted, painting_basis
from orchestrator.importers.spectf import _read_spectf, import_spectf
from orchestrator.importers.spectf_painting import _segment_operator, segment_values

# The 17 AHA segments by number: ring radii, then degrees counter-clockwise from lateral.
BASAL, MID, APICAL, APEX = (0.733, 1.0), (0.467, 0.733), (0.2, 0.467), (0.0, 0.2)
AHA = {
    1: (BASAL, 60, 120),
    2: (BASAL, 120, 180),
    3: (BASAL, 180, 240),
    4: (BASAL, 240, 300),
    5: (BASAL, 300, 360),
    6: (BASAL, 0, 60),
    7: (MID, 60, 120),
    8: (MID, 120, 180),
    9: (MID, 180, 240),
    10: (MID, 240, 300),
    11: (MID, 300, 360),
    12: (MID, 0, 60),
    13: (APICAL, 45, 135),
    14: (APICAL, 135, 225),
    15: (APICAL, 225, 315),
    16: (APICAL, 315, 405),
    17: (APEX, 0, 360),
}


def _segment_mean(image: np.ndarray, numbers: list[int]) -> float:
    """Mean over AHA segments, pixel by pixel, row 0 on top."""
    side = len(image)
    values = []
    for row in range(side):
        for column in range(side):
            right, up = (column + 0.5) * 2 / side - 1, 1 - (row + 0.5) * 2 / side
            radius, angle = np.hypot(right, up), np.degrees(np.arctan2(up, right)) % 360
            for number in numbers:
                (inner, outer), start, end = AHA[number]
                if inner <= radius < outer and (angle - start) % 360 < end - start:
                    values.append(image[row, column])
    return float(np.mean(values))


@pytest.fixture
def spectf(tmp_path: Path) -> tuple[Path, Path]:
    """Three made-up patients in the format of the data, spaces as in the real test file."""
    counts = np.random.default_rng(4).integers(40, 90, (3, 44))
    (tmp_path / "SPECTF.train").write_text(
        "\n".join(f"{label}," + ",".join(map(str, row)) for label, row in zip((1, 0), counts, strict=False))
    )
    (tmp_path / "SPECTF.test").write_text("1, " + ", ".join(map(str, counts[2])) + "\n\n")
    return tmp_path / "SPECTF.train", tmp_path / "SPECTF.test"


def test_painted_means_recover_the_segments_in_their_aha_places() -> None:
    """The mean over each AHA segment, found by another reading of the geometry, is the segment's value."""
    values = np.random.default_rng(0).uniform(30, 90, len(SEGMENTS_15))
    image = np.tensordot(values, painting_basis(128, SEGMENTS_15), axes=1)
    for segment, value in zip(SEGMENTS_15, values, strict=True):
        numbers = [int(number) for number in segment.name.split("+")]
        assert _segment_mean(image, numbers) == pytest.approx(value, abs=2.0), segment.name


@pytest.mark.parametrize(
    ("regions", "row", "column"),
    [
        ((5, 10, 19), 4, 15),  # anterior: top
        ((8, 13, 21, 22), 27, 15),  # inferior: bottom
        ((9, 14, 18), 15, 4),  # septal: left
        ((6, 11, 7, 12, 16, 17), 15, 27),  # lateral: right
        ((15, 20), 15, 15),  # apex: centre
    ],
)
def test_a_cold_wall_is_cold_where_a_reader_looks_for_it(regions: tuple[int, ...], row: int, column: int) -> None:
    """Anterior up, septum left, apex in the middle: the darkest place is the cold wall's."""
    counts = np.full(22, 80.0)
    counts[np.array(regions) - 1] = 30
    image = painted(segment_values(counts), painting_basis(32, SEGMENTS_15)).astype(int)
    places = {(4, 15), (27, 15), (15, 4), (15, 27), (15, 15)}
    others = [image[place] for place in places - {(row, column)}]
    assert image[row, column] < 130
    assert min(others) > 150


def test_a_map_is_zero_outside_the_disc_and_smooth_inside() -> None:
    """A convolution sees a map: no tile edges, no corner, and a uniform heart is uniform."""
    basis = painting_basis(64, SEGMENTS_15)
    uniform = np.tensordot(np.full(15, 70.0), basis, axes=1)
    up, right = np.mgrid[-63:64:2, -63:64:2] / 64
    np.testing.assert_allclose(uniform[np.hypot(up, right) < 0.97], 70, rtol=1e-9)
    assert not uniform[np.hypot(up, right) > 1.03].any()
    values = np.full(15, 70.0)
    values[3] = 35.0
    inside = np.hypot(up, right) < 0.97
    step = np.abs(np.diff(np.tensordot(values, basis, axes=1), axis=1))
    assert step[inside[:, 1:] & inside[:, :-1]].max() < 0.2 * 35


def test_reconciliation_is_the_ridge_estimate_written_out_again() -> None:
    """Segment values minimise the documented sum of squares, set up here from the AHA numbers of each region."""
    table = "13|16|15|14|7|12|11|10|8+9|1|6|5|4|2+3|17|16 12 11|6 5|14 8+9|13 7 1|17|15 10|4"
    regions = table.split("|")
    slices = [4, 5, 5, 4, 4]
    names = sorted({name for region in regions for name in region.split()})
    equations, right = [], []
    counts = np.random.default_rng(8).uniform(20, 90, 22)
    for index, region in enumerate(regions):  # unknowns: level, deviation of each segment, scale of each slice
        slice_number = int(np.searchsorted(np.cumsum(slices), index, side="right"))
        covered = region.split()
        deviations = [covered.count(name) / len(covered) for name in names]
        equations.append([1.0, *deviations, *np.eye(5)[slice_number]])
        right.append(np.log(counts[index]))
    for unknown in range(1, 21):
        sd = 0.15 if unknown <= 15 else 0.10
        equations.append(list(np.eye(21)[unknown] * 0.05 / sd))
        right.append(0.0)
    solution = np.linalg.lstsq(np.array(equations), np.array(right), rcond=None)[0]
    expected = dict(zip(names, np.exp(solution[0] + solution[1:16]), strict=True))
    for segment, value in zip(SEGMENTS_15, segment_values(counts), strict=True):
        assert value == pytest.approx(expected[segment.name], rel=1e-9)


def test_reconciliation_lifts_a_slice_whose_own_maximum_was_higher() -> None:
    """Counts that double double the map, and most of a basal slice's lower scale is recognised as scale."""
    np.testing.assert_allclose(_segment_operator().sum(axis=1), 1, rtol=1e-12)
    counts = np.full(22, 70.0)
    np.testing.assert_allclose(segment_values(counts), 70.0, rtol=1e-12)
    counts[9:14] *= 0.85
    basal = np.array([segment.outer == 1.0 for segment in SEGMENTS_15])
    values = segment_values(counts)
    assert values[basal].mean() / values[~basal].mean() > (1 + 0.85) / 2


def test_only_the_stress_counts_can_change_a_stress_image(spectf: tuple[Path, Path], tmp_path: Path) -> None:
    """Nothing of rest enters a stress map: other rest counts, the same bytes of every stress image."""
    train, test = spectf
    first = import_spectf(train, test, tmp_path / "first").parent
    for path in spectf:
        lines = [line.split(",") for line in path.read_text().split("\n")]
        changed = [
            [str(99 - int(cell)) if place % 2 == 1 else cell for place, cell in enumerate(line)] for line in lines
        ]
        path.write_text("\n".join(",".join(line) for line in changed))
    second = import_spectf(train, test, tmp_path / "second").parent
    for number in (1, 2, 3):
        stress, rest = (f"images/P00{number}_{phase}.png" for phase in ("stress", "rest"))
        assert (first / stress).read_bytes() == (second / stress).read_bytes()
        assert (first / rest).read_bytes() != (second / rest).read_bytes()


@pytest.mark.parametrize("all_development", [False, True])
def test_the_manifest_is_a_cohort_in_file_order(
    spectf: tuple[Path, Path], tmp_path: Path, all_development: bool
) -> None:
    """Patients are numbered by line, keep their label, and the test file is the closed partition unless asked."""
    calls: list[tuple[int, int]] = []
    manifest = import_spectf(
        *spectf,
        tmp_path / "out",
        size=16,
        all_development=all_development,
        progress=lambda done, total: calls.append((done, total)),
    )
    cohort = load_cohort(manifest, size=16)
    assert cohort.exams["patient_id"].tolist() == ["P001", "P002", "P003"]
    assert cohort.exams["label"].tolist() == [1, 0, 1]
    assert set(cohort.exams["tracer"]) == {"Tl-201"}
    last = "development" if all_development else "test"
    assert cohort.exams["partition"].tolist() == ["development", "development", last]
    assert calls == [(1, 3), (2, 3), (3, 3)]


def test_the_first_count_of_a_region_is_rest_and_the_second_stress(spectf: tuple[Path, Path]) -> None:
    """F1R, F1S, F2R, …: the order of the data's own description."""
    cells = [int(cell) for cell in spectf[1].read_text().split(",")]
    patients = _read_spectf(spectf[1])
    assert patients.rest[0].tolist() == cells[1::2]
    assert patients.stress[0].tolist() == cells[2::2]


def test_an_output_folder_with_anything_in_it_is_refused(spectf: tuple[Path, Path], tmp_path: Path) -> None:
    """Nothing of a person is overwritten."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    with pytest.raises(ExperimentError, match="nothing is overwritten"):
        import_spectf(*spectf, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["notes.txt"]


GOOD = ",".join(["1", *["50"] * 44])
BAD_FILES = {
    "too few": (GOOD + "\n1,2,3\n", "SPECTF.train line 2: 3 columns, not 45"),
    "too many": (GOOD + ",7\n", "SPECTF.train line 1: 46 columns"),
    "above 100": (GOOD.replace("1,50", "1,101", 1), "line 1: column 2 is not a whole number from 0 to 100"),
    "fraction": (GOOD[:-2] + "50.5", "line 1: column 45 is not a whole number"),
    "negative": (GOOD[:-2] + "-5", "line 1: column 45 is not a whole number"),
    "header": ("a" + GOOD[1:] + "\n", "line 1: column 1 is not a whole number"),
    "label": ("2" + GOOD[1:], "line 1: the label in column 1 is not 0 or 1"),
    "empty": ("\n", "SPECTF.train holds no patients"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_file_of_another_format_is_refused_by_line(spectf: tuple[Path, Path], tmp_path: Path, case: str) -> None:
    """Strict reading: a wrong file cannot become a plausible cohort, and nothing is written."""
    text, fragment = BAD_FILES[case]
    spectf[0].write_text(text)
    with pytest.raises(CohortError) as caught:
        import_spectf(*spectf, tmp_path / "out")
    assert fragment in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_missing_file_is_refused(spectf: tuple[Path, Path], tmp_path: Path) -> None:
    """The person learns which file."""
    with pytest.raises(CohortError, match=r"cannot read the file .*nothing\.train"):
        import_spectf(tmp_path / "nothing.train", spectf[1], tmp_path / "out")


def _cross_validated_auc(features: np.ndarray, labels: np.ndarray) -> float:
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01))
    folds = StratifiedKFold(10, shuffle=True, random_state=0)
    return float(
        roc_auc_score(labels, cross_val_predict(model, features, labels, cv=folds, method="decision_function"))
    )


def test_the_real_patients_keep_what_their_counts_say(shared_data: Path, tmp_path: Path) -> None:
    """All 267 patients load, no two look alike, and maps read the label nearly as well as the raw counts."""
    files = (shared_data / "spectf" / "SPECTF.train", shared_data / "spectf" / "SPECTF.test")
    cohort = load_cohort(import_spectf(*files, tmp_path / "out"), size=32)
    assert cohort.notices == ()
    labels = cohort.exams["label"].to_numpy()
    assert cohort.exams.groupby(["partition", "label"]).size().to_dict() == {
        ("development", 0): 40,
        ("development", 1): 40,
        ("test", 0): 15,
        ("test", 1): 172,
    }
    raw = np.concatenate([np.loadtxt(path, delimiter=",") for path in files])
    np.testing.assert_array_equal(raw[:, 0], labels)
    for maps, counts in ((cohort.maps.stress, raw[:, 2::2]), (cohort.maps.rest, raw[:, 1::2])):
        pooled = maps.reshape(267, 8, 4, 8, 4).mean((2, 4)).reshape(267, 64)
        kept, whole = _cross_validated_auc(pooled, labels), _cross_validated_auc(counts, labels)
        assert kept > whole - 0.015
    assert _cross_validated_auc(raw[:, 2::2], labels) == pytest.approx(0.860, abs=0.01)


def test_the_imported_manifest_names_relative_paths_only(spectf: tuple[Path, Path], tmp_path: Path) -> None:
    """An imported folder can be moved to another machine."""
    manifest = import_spectf(*spectf, tmp_path / "out")
    with manifest.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["stress"] for row in rows] == [f"images/P00{number}_stress.png" for number in (1, 2, 3)]
    moved = tmp_path / "moved"
    manifest.parent.rename(moved)
    assert len(load_cohort(moved / "manifest.csv", size=16)) == 3
