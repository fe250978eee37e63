"""Segment tables, folders of maps, result pages and merged imports become the cohort they describe."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import polarmap
from mpi_model.errors import ExperimentError
from orchestrator.cli import main
from orchestrator.cohort.loading import load_cohort
from orchestrator.cohort.segments import SEGMENTS_17, SEGMENTS_20
from orchestrator.importers.label_rules import label_rules
from orchestrator.importers.page_colours import _cielab, read_colours
from orchestrator.importers.page_layout import read_layout
from orchestrator.importers.painting import painting_basis
from validation.pages import COLUMNS, ROWS, draw_page, smooth_map

ROOT = Path(__file__).resolve().parents[3]
LAYOUTS = {"columns": COLUMNS, "rows": ROWS}


def _scores(path: Path, rows: list[str], segments: int = 17) -> None:
    names = [f"{phase}_{number}" for phase in ("stress", "rest") for number in range(1, segments + 1)]
    path.write_text("\n".join([",".join(["patient_id", "tracer", "sex", *names]), *rows]) + "\n")


def _manifest(folder: Path) -> list[dict[str, str]]:
    header, *rows = [line.split(",") for line in (folder / "manifest.csv").read_text().splitlines()]
    return [dict(zip(header, row, strict=True)) for row in rows]


def test_summed_scores_and_labels_by_rule_travel_with_the_cohort(tmp_path: Path) -> None:
    """SSS, SRS and SDS are the sums; the rule that made a label stands in import.json, word for word."""
    stress, rest = [0] * 17, [0] * 17
    stress[:4], rest[0] = [3, 2, 4, 1], 2
    none, normal = ",".join([""] * 17), ",".join(["0"] * 17)
    _scores(
        tmp_path / "scores.csv",
        [
            f"a,Tc-99m,F,{','.join(map(str, stress))},{','.join(map(str, rest))}",
            f"b,Tc-99m,M,{normal},{normal}",
            f"c,Tl-201,,{','.join(map(str, stress))},{none}",
        ],
    )
    words = ["--values", "scores", "--keep-ids", "--label", "SSS >= 4 and SDS >= 2", "--label", "Tl-201: SSS > 10"]
    assert main(["import", "segments", str(tmp_path / "scores.csv"), str(tmp_path / "out"), *words]) == 0
    rows = _manifest(tmp_path / "out")
    assert [(row["SSS"], row["SRS"], row["SDS"], row["label"]) for row in rows] == [
        ("10", "2", "8", "1"),
        ("0", "0", "0", "0"),
        ("10", "", "", "0"),
    ]
    record = json.loads((tmp_path / "out" / "import.json").read_text())
    assert record["label_rules"] == ["SSS >= 4 and SDS >= 2", "Tl-201: SSS > 10"]
    cohort = load_cohort(tmp_path / "out" / "manifest.csv", size=32)
    assert cohort.exams["label"].tolist() == [1, 0, 0]


@pytest.mark.parametrize(
    ("rule", "columns", "label"),
    [
        ("SSS >= 4", {"SSS": "4"}, "1"),
        ("SSS > 4", {"SSS": "4"}, "0"),
        ("SSS >= 9 or SDS >= 2", {"SSS": "3", "SDS": "2"}, "1"),
        ("SSS >= 9 or SDS >= 2", {"SSS": "9"}, "1"),
        ("SSS >= 9 or SDS >= 2", {"SSS": "3"}, ""),
        ("SSS >= 9 and SDS >= 2", {"SSS": "3"}, "0"),
        ("SSS >= 4 and SDS >= 2 or SRS == 0", {"SSS": "4", "SDS": "1", "SRS": "0"}, "1"),
    ],
)
def test_a_rule_is_read_as_it_is_written(rule: str, columns: dict[str, str], label: str) -> None:
    """`and` binds closer than `or`; a column that is missing and decides leaves the label open."""
    assert label_rules([rule])[0].label(columns) == label


@pytest.mark.parametrize("rule", ["SSS", "SSS >= four", "SSS => 4", "F-18: SSS >= 4", "__import__('os')", "4 <= SSS"])
def test_another_form_of_rule_is_refused(rule: str) -> None:
    """Nothing is evaluated that is not a comparison of a column with a number."""
    with pytest.raises(ExperimentError, match="--label takes a rule"):
        label_rules([rule])


@pytest.mark.parametrize(("segments", "model"), [(17, SEGMENTS_17), (20, SEGMENTS_20)])
def test_a_cold_segment_is_cold_in_its_place(segments: int, model: tuple, tmp_path: Path, capsys) -> None:
    """The mean over each segment of a written map, found again by its radius and angle, is the table's percent."""
    percent = np.random.default_rng(segments).integers(30, 80, segments)
    values = ",".join(map(str, percent))
    _scores(tmp_path / "percent.csv", [f"a,Tc,,{values},{','.join([''] * segments)}"], segments)
    words = ["--values", "percent", "--size", "128"]
    assert main(["import", "segments", str(tmp_path / "percent.csv"), str(tmp_path / "out"), *words]) == 0
    assert ("was not checked against a publication" in capsys.readouterr().out) == (segments == 20)
    image = np.asarray(Image.open(tmp_path / "out" / "maps" / "P0001-Tc_stress.png")).astype(float) / 2.55
    along = (np.arange(128) + 0.5) / 64 - 1
    right, up = np.meshgrid(along, -along)
    radius, angle = np.hypot(right, up), np.degrees(np.arctan2(up, right)) % 360
    for value, segment in zip(percent, model, strict=True):
        inside = (segment.inner <= radius) & (radius < segment.outer)
        inside &= (angle - segment.start) % 360 < segment.extent
        assert image[inside].mean() == pytest.approx(value, abs=2.0), segment.name


def test_the_models_number_their_segments_as_their_papers_do() -> None:
    """17: basal from anterior counter-clockwise, then mid, then four apical; 20: apical first, the apex in halves."""
    assert [int(segment.name) for segment in SEGMENTS_17] == list(range(1, 18))
    assert [int(segment.name) for segment in SEGMENTS_20] == list(range(1, 21))
    middles = {s.name: (s.start + s.extent / 2) % 360 for s in SEGMENTS_17}
    assert [middles[name] for name in ("1", "2", "4", "6", "13", "14", "16")] == [90, 150, 270, 30, 90, 180, 0]
    twenty = {s.name: ((s.start + s.extent / 2) % 360, s.outer) for s in SEGMENTS_20}
    assert twenty["1"] == (90, 0.467)
    assert twenty["13"] == (90, 1.0)
    assert [twenty[name][0] for name in ("19", "20")] == [90, 270]
    np.testing.assert_allclose(painting_basis(16, SEGMENTS_20).sum(axis=0)[8, 4:12], 1, atol=1e-9)


def test_maps_of_a_folder_are_found_by_their_names(tmp_path: Path) -> None:
    """Pictures and arrays become the maps they are: percent stays percent, counts stay counts."""
    random = np.random.default_rng(1)
    source = tmp_path / "in" / "deep"
    source.mkdir(parents=True)
    grey = random.integers(1, 200, (32, 32)).astype(np.uint8)
    counts = random.uniform(0, 900, (40, 40))
    Image.fromarray(grey).save(source / "a_b_99mTc_Stress.png")
    np.save(source / "a_b_99mTc_rest.npy", counts)
    (source / "notes.txt").write_text("not a map")
    words = ["import", "folder", str(tmp_path / "in"), "--pattern", "{patient}_{tracer}_{phase}.*", "--keep-ids"]
    for format in ("png", "npy"):
        assert main([*words[:3], str(tmp_path / format), *words[3:], "--format", format]) == 0
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "png" / "maps" / "a_b-Tc_stress.png")), grey)
    np.testing.assert_array_equal(np.load(tmp_path / "npy" / "maps" / "a_b-Tc_rest.npy"), counts)
    levels = np.asarray(Image.open(tmp_path / "png" / "maps" / "a_b-Tc_rest.png"))
    np.testing.assert_allclose(levels / 65535, counts / counts.max(), atol=1e-5)
    record = json.loads((tmp_path / "png" / "import.json").read_text())
    assert record["decisions"] == {"files that do not fit the pattern": 1}


@pytest.mark.parametrize("order", ["row-column", "x-y"])
def test_a_nifti_map_is_turned_as_the_user_says(order: str, tmp_path: Path, capsys) -> None:
    """One map stored in the two ways in which people do gives the same pixels; without a word it is refused."""
    nibabel = pytest.importorskip("nibabel")
    rows = np.random.default_rng(2).uniform(1, 9, (32, 32)).astype(np.float32)
    stored = rows if order == "row-column" else rows[::-1].T
    (tmp_path / "in").mkdir()
    nibabel.save(nibabel.Nifti1Image(stored, np.eye(4)), tmp_path / "in" / "a_Tl201_rest.nii.gz")
    words = ["import", "folder", str(tmp_path / "in"), str(tmp_path / "out"), "--format", "npy"]
    words += ["--pattern", "{patient}_{tracer}_{phase}.nii.gz"]
    assert main(words) == 2
    assert "say --nifti-order" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert main([*words, "--nifti-order", order]) == 0
    np.testing.assert_array_equal(np.load(tmp_path / "out" / "maps" / "P0001-Tl_rest.npy"), rows)


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("lines", [False, True])
def test_percent_comes_back_from_a_jpeg_page(name: str, lines: bool) -> None:
    """JPEG of quality 85, segment lines drawn over the maps or not: the mean error is below 2 percent."""
    style, layout = LAYOUTS[name], read_layout(ROOT / "examples" / "pages" / f"{name}.toml")
    maps = [smooth_map(2 * style.radius, seed) for seed in (3, 4)]
    buffer = io.BytesIO()
    draw_page(style, *maps, lines=lines).save(buffer, "JPEG", quality=85)
    page = np.asarray(Image.open(buffer).convert("RGB"))
    for truth, place in zip(maps, layout.maps, strict=True):
        read = read_colours(page, place, layout.bar)
        error = np.abs(read.percent - truth)[truth > 0]
        assert error.mean() < 2.0
        assert np.percentile(error, 99) < 6.0
        assert read.median_residual < 3.0
        assert not read.percent[truth == 0].any()


def test_cielab_is_the_standards() -> None:
    """White, black and the three primaries of sRGB have the coordinates that CIE and IEC print."""
    pixels = np.array([[255, 255, 255], [0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255]], dtype=np.uint8)
    printed = [[100, 0, 0], [0, 0, 0], [53.24, 80.09, 67.20], [87.73, -86.18, 83.18], [32.30, 79.19, -107.86]]
    np.testing.assert_allclose(_cielab(pixels), printed, atol=0.05)


def test_pages_become_exams_and_a_new_layout_can_be_filled_in(tmp_path: Path, monkeypatch, capsys) -> None:
    """Both maps of a page are one exam; the template that --new-layout writes works once its numbers are filled in."""
    (tmp_path / "in").mkdir()
    page = draw_page(ROWS, *[smooth_map(2 * ROWS.radius, seed) for seed in (5, 6)])
    page.save(tmp_path / "in" / "a_Tc99m.png")
    monkeypatch.chdir(tmp_path)
    assert main(["import", "pages", "--new-layout", "in/a_Tc99m.png"]) == 0
    with Image.open("layout.png") as grid:
        assert grid.size == page.size
    text = Path("layout.toml").read_text()
    for empty, filled in (
        ("box = [0, 0, 0, 0]", "box = [120, 780, 520, 800]"), ('high = "top"', 'high = "right"'),
        ("radius = 0", "radius = 130"),
    ):  # fmt: skip
        text = text.replace(empty, filled)
    text = text.replace("centre = [0, 0]", "centre = [320, 260]", 1).replace("centre = [0, 0]", "centre = [320, 580]")
    Path("layout.toml").write_text(text)
    words = ["import", "pages", "in", "layout.toml", "out", "--pattern", "{patient}_{tracer}.png"]
    assert main(words) == 0
    (row,) = _manifest(tmp_path / "out")
    assert (row["stress"], row["rest"]) == ("maps/P0001-Tc_stress.png", "maps/P0001-Tc_rest.png")
    manifest = polarmap.import_pages("in", "layout.toml", "library", pattern="{patient}_{tracer}.png")
    for name in ("manifest.csv", "import.json", row["stress"], row["rest"]):
        assert (manifest.parent / name).read_bytes() == (tmp_path / "out" / name).read_bytes(), name
    assert main(["import", "pages", "--new-layout", "in/a_Tc99m.png"]) == 2  # nothing is overwritten
    assert main(["import", "pages", "in", "layout.toml"]) == 2
    assert "needs SOURCE, LAYOUT and DIR" in capsys.readouterr().err


def test_a_wrong_layout_is_refused_with_all_its_problems(tmp_path: Path, capsys) -> None:
    """Every misplaced number at once."""
    (tmp_path / "layout.toml").write_text(
        'page = [900, 640]\ncolor = 1\n[colour_bar]\nbox = [780, 140, 990, 520]\nhigh = "up"\n'
        '[[map]]\nphase = "peak"\ncentre = [20, 330]\nradius = 140\n'
    )
    assert main(["import", "pages", str(tmp_path), str(tmp_path / "layout.toml"), str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    for fragment in ("key 'color'", "colour_bar.box", "colour_bar.high", "phase must be", "centre and radius"):
        assert fragment in said


def _imported(folder: Path, seeds: dict[str, int], *words: str) -> Path:
    source = folder.with_name(f"{folder.name}-in")
    source.mkdir()
    for patient, seed in seeds.items():
        counts = np.random.default_rng(seed).integers(1, 65535, (32, 32)).astype(np.uint16)
        Image.fromarray(counts).save(source / f"{patient}_Tc99m_stress.png")
    pattern = ["--pattern", "{patient}_{tracer}_{phase}.png"]
    assert main(["import", "folder", str(source), str(folder), *pattern, *words]) == 0
    return folder


def test_two_sites_become_one_cohort(tmp_path: Path) -> None:
    """Ids that two sites both use stay two patients; the site is a column; both imports stand in import.json."""
    _imported(tmp_path / "a", {"1": 1, "2": 2})
    _imported(tmp_path / "b", {"1": 3})
    assert main(["merge", str(tmp_path / "all"), f"athens={tmp_path / 'a'}", f"patras={tmp_path / 'b'}"]) == 0
    rows = _manifest(tmp_path / "all")
    assert [(row["patient_id"], row["site"]) for row in rows] == [
        ("athens-P0001", "athens"), ("athens-P0002", "athens"), ("patras-P0001", "patras"),
    ]  # fmt: skip
    for row, name, old in zip(rows, ("a", "a", "b"), ("P0001", "P0002", "P0001"), strict=True):
        before = np.asarray(Image.open(tmp_path / name / "maps" / f"{old}-Tc_stress.png"))
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "all" / row["stress"])), before)
    record = json.loads((tmp_path / "all" / "import.json").read_text())
    assert [part["site"] for part in record["settings"]["parts"]] == ["athens", "patras"]


def test_one_patient_at_two_sites_under_one_key_stays_one(tmp_path: Path) -> None:
    """Pseudonyms of one key are joined, of two keys kept apart: a split by patient must not part a person."""
    for name, key in (("k1", b"1" * 32), ("k2", b"2" * 32)):
        (tmp_path / name).write_bytes(key)
        (tmp_path / name).chmod(0o600)
    for name, seed, key in (("a", 1, "k1"), ("b", 2, "k1"), ("c", 3, "k2")):
        _imported(tmp_path / name, {"7": seed}, "--pseudonymise", str(tmp_path / key))
    assert main(["merge", str(tmp_path / "same"), f"x={tmp_path / 'a'}", f"y={tmp_path / 'b'}"]) == 0
    assert len({row["patient_id"] for row in _manifest(tmp_path / "same")}) == 1
    assert len({row["exam_id"] for row in _manifest(tmp_path / "same")}) == 2
    assert main(["merge", str(tmp_path / "two"), f"x={tmp_path / 'a'}", f"y={tmp_path / 'c'}"]) == 0
    assert len({row["patient_id"] for row in _manifest(tmp_path / "two")}) == 2


def test_one_scan_at_two_sites_is_found_by_its_pixels(tmp_path: Path, capsys) -> None:
    """The same map under two patients of two parts is refused, and nothing is written."""
    _imported(tmp_path / "a", {"1": 1, "2": 2})
    _imported(tmp_path / "b", {"9": 2})
    assert main(["merge", str(tmp_path / "all"), f"x={tmp_path / 'a'}", f"y={tmp_path / 'b'}"]) == 3
    assert "manifest rows 2 and 3 (lines 3 and 4): one image under two patients" in capsys.readouterr().err
    assert not (tmp_path / "all").exists()


def test_an_interrupted_import_leaves_nothing(tmp_path: Path, monkeypatch) -> None:
    """Ctrl-C in the middle of writing: neither the folder nor an unfinished one is left."""
    from orchestrator.importers import written_cohort  # noqa: PLC0415

    def interrupt(*words: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(written_cohort, "_write_manifest", interrupt)
    _scores(tmp_path / "scores.csv", [f"a,Tc,,{','.join(['1'] * 17)},{','.join([''] * 17)}"])
    words = ["import", "segments", str(tmp_path / "scores.csv"), str(tmp_path / "out"), "--values", "scores"]
    assert main(words) == 130
    assert [path.name for path in tmp_path.iterdir()] == ["scores.csv"]


def test_the_list_shows_which_file_has_which_number(tmp_path: Path, capsys) -> None:
    """The one command that shows names, so that a person can find file 2."""
    for name in ("b.dcm", "a/z.dcm", ".DS_Store"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert main(["import", "list", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "1\ta/z.dcm\n2\tb.dcm\n"
