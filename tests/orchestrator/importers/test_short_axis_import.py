"""Short-axis volumes: what is known of a heart comes back from its map, however the heart was stored."""

import hashlib
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("pydicom")

import polarmap
from orchestrator.cli import main
from orchestrator.cohort.loading import load_cohort
from orchestrator.importers.limits import proposed_limits
from orchestrator.importers.short_axis import Limits, Sampling, Volume, disc_image, polar_samples
from validation.shells import Defect, Shell, apex_of, defect_extent, measured_defect, shell_volume
from validation.short_axis import SHELLS, angle_error
from validation.short_axis_dicom import Storage, short_axis_file

HEART = Shell(defect=Defect(angle=300, width=90, inner=0.3, outer=0.9, depth=0.7))


@pytest.fixture(scope="module")
def heart() -> Volume:
    """One heart with an inferolateral defect."""
    return shell_volume(HEART)


def _import(source: Path, folder: Path, *words: str) -> int:
    return main(["import", "dicom-sa", str(source), str(folder), *words])


def _written(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("name", SHELLS)
def test_a_known_defect_is_found_in_its_place_and_size(name: str) -> None:
    """Angle within 10 degrees and extent within 5 points, with limits that nobody corrected."""
    shell = SHELLS[name]
    volume = shell_volume(shell)
    limits = proposed_limits(volume)
    found = measured_defect(disc_image(polar_samples(volume, limits, Sampling()), 64))
    apex = apex_of(shell)[0]
    assert angle_error(found.angle, shell.defect.angle) < 10
    assert found.extent == pytest.approx(defect_extent(shell.defect), abs=5)
    # A wall thinner than the resolution: the defect is filled by its surroundings, never deepened.
    assert found.depth < shell.defect.depth + 0.1
    assert limits.apex == pytest.approx(apex, abs=7)
    assert limits.base == pytest.approx(apex + shell.length, abs=7)


@pytest.mark.parametrize(
    ("angle", "row", "column"), [(90, 12, 32), (270, 51, 32), (180, 32, 12), (0, 32, 51)]
)  # fmt: skip
def test_the_walls_lie_where_a_reader_looks_for_them(angle: float, row: int, column: int) -> None:
    """Anterior up, inferior down, septum left, lateral right: stated by the file's geometry, seen in the map."""
    shell = replace(HEART, peak=0, defect=Defect(angle=angle, width=60, inner=0.3, outer=0.9, depth=0.8))
    volume = shell_volume(shell)
    middle = volume.counts[12]  # a slice: row 0 is anterior, column 0 septal
    cold = {90: middle[:20], 270: middle[20:], 180: middle[:, :20], 0: middle[:, 20:]}[int(angle)]
    assert cold.sum() < 0.48 * middle.sum()
    image = disc_image(polar_samples(volume, proposed_limits(volume), Sampling()), 64)
    others = {(12, 32), (51, 32), (32, 12), (32, 51)} - {(row, column)}
    assert image[row, column] < 0.6 * min(image[place] for place in others)


STORED = {
    "negative spacing": Storage(spacing_sign=-1),
    "base first": Storage(base_first=True),
    "base first, negative spacing": Storage(base_first=True, spacing_sign=-1),
    "frames shuffled": Storage(shuffled=True),
    "gated": Storage(slots=8),
    "gated, base first, shuffled": Storage(slots=16, base_first=True, shuffled=True),
    "implicit": Storage(syntax="implicit"),
    "big endian": Storage(syntax="big endian", shuffled=True),
    "signed": Storage(signed=True),
    "32 bits": Storage(bits=32),
}


@pytest.mark.parametrize("name", STORED)
def test_one_heart_stored_differently_is_one_map_to_the_byte(heart: Volume, tmp_path: Path, name: str) -> None:
    """Nothing of how a file was written shows in the map or in the limits."""
    for folder, storage in (("plain", Storage()), ("other", STORED[name])):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.dcm").write_bytes(short_axis_file(heart, storage))
        assert _import(tmp_path / folder, tmp_path / f"{folder}-out") == 0
    plain, other = (_written(tmp_path / f"{folder}-out") for folder in ("plain", "other"))
    plain.pop("import.json")  # holds the digest of the source
    other.pop("import.json")
    assert plain == other
    assert "maps/P0001-Tc_stress.png" in plain


def test_a_heart_shown_mirrored_is_turned_by_the_users_word_only(heart: Volume, tmp_path: Path, capsys) -> None:
    """An orientation that contradicts the usual view is refused; said to be mirrored it gives the same map."""
    from pydicom.dataset import Dataset  # noqa: PLC0415
    from pydicom.sequence import Sequence  # noqa: PLC0415

    detector = Dataset()
    detector.ImageOrientationPatient = [-0.7, 0.7, 0, 0, 0, -1]
    mirrored = Volume(counts=heart.counts[:, :, ::-1], spacing=heart.spacing)
    for name, content in (
        ("plain", short_axis_file(heart)),
        ("mirror", short_axis_file(mirrored, more={"DetectorInformationSequence": Sequence([detector])})),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.dcm").write_bytes(content)
    assert _import(tmp_path / "plain", tmp_path / "one") == 0
    assert _import(tmp_path / "mirror", tmp_path / "two") == 3
    assert "file 1: Image Orientation says" in capsys.readouterr().err
    (tmp_path / "files.csv").write_text("file,orientation\na.dcm,mirrored\n")
    assert _import(tmp_path / "mirror", tmp_path / "two", "--files", str(tmp_path / "files.csv")) == 0
    maps = [(tmp_path / folder / "maps" / "P0001-Tc_stress.png").read_bytes() for folder in ("one", "two")]
    assert maps[0] == maps[1]


def test_two_runs_write_the_same_bytes_and_a_zip_the_same_maps(heart: Volume, tmp_path: Path) -> None:
    """Repeatable to the byte, from the command and from Python; archives in archives are read as folders."""
    import zipfile  # noqa: PLC0415

    (tmp_path / "in").mkdir()
    content = short_axis_file(heart)
    (tmp_path / "in" / "a.dcm").write_bytes(content)
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("deep/er/a.dcm", content)
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        archive.writestr("inner.zip", inner.getvalue())
    for source, folder in (("in", "one"), ("in", "two"), ("in.zip", "three")):
        assert _import(tmp_path / source, tmp_path / folder) == 0
    polarmap.import_short_axis(tmp_path / "in", tmp_path / "library")
    assert _written(tmp_path / "one") == _written(tmp_path / "two") == _written(tmp_path / "library")
    one, three = _written(tmp_path / "one"), _written(tmp_path / "three")
    assert one["maps/P0001-Tc_stress.png"] == three["maps/P0001-Tc_stress.png"]


def test_exams_are_put_together_and_dates_become_days(heart: Volume, tmp_path: Path, capsys) -> None:
    """A two-day protocol is one exam, the follow-up another; only days since the first exam are written."""
    scans = [
        ("stress", "20230401", "Tc-99m"),
        ("rest", "20230403", "Tc-99m"),
        ("stress", "20240402", "Tc-99m"),
        ("rest", "20230410", "Tl-201"),
    ]
    for number, (phase, date, tracer) in enumerate(scans):
        scaled = Volume(counts=heart.counts + number, spacing=heart.spacing)
        content = short_axis_file(scaled, phase=phase, date=date, tracer=tracer)
        (tmp_path / f"{number}.dcm").write_bytes(content)
    assert _import(tmp_path, tmp_path / "out") == 0
    manifest = (tmp_path / "out" / "manifest.csv").read_text()
    rows = [line.split(",") for line in manifest.splitlines()[1:]]
    assert [(row[1], bool(row[4]), bool(row[5]), row[6]) for row in rows] == [
        ("P0001-Tc-1", True, True, "day 0"),
        ("P0001-Tc-2", True, False, "day 367"),
        ("P0001-Tl", False, True, "day 9"),
    ]
    assert "202" not in manifest
    labelled = manifest.replace("Tc-99m,,", "Tc-99m,1,").replace("Tl-201,,", "Tl-201,0,")
    (tmp_path / "out" / "manifest.csv").write_text(labelled)
    assert len(load_cohort(tmp_path / "out" / "manifest.csv", size=32)) == 3


def test_limits_a_person_said_are_used_and_written_down(heart: Volume, tmp_path: Path) -> None:
    """Overridden limits decide the map; the import says whose they are and that they were confirmed."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.dcm").write_bytes(short_axis_file(heart))
    apex = apex_of(HEART)
    said = f"file,apex_mm,base_mm,confirmed\n1,{apex[0]},{apex[0] + HEART.length},yes\n"
    (tmp_path / "files.csv").write_text(said)
    assert _import(tmp_path / "in", tmp_path / "out", "--files", str(tmp_path / "files.csv")) == 0
    record = json.loads((tmp_path / "out" / "import.json").read_text())["exams"][0]["stress"]
    assert record["apex_mm"] == pytest.approx(apex[0], abs=0.06)
    assert record["base_mm"] == pytest.approx(apex[0] + HEART.length, abs=0.06)
    assert (record["limits"], record["confirmed"]) == ("said", True)
    image = np.asarray(Image.open(tmp_path / "out" / "maps" / "P0001-Tc_stress.png"))
    assert (image.dtype, image.shape, image.max()) == (np.uint16, (64, 64), 65535)


def test_no_sample_is_higher_than_what_a_ray_meets() -> None:
    """Where counts rise to the end of a ray, as beside a hot gut, no crest is invented beyond the ray's last."""
    ramp = np.broadcast_to(np.arange(40.0) * 10, (24, 40, 40)).copy()
    limits = Limits(
        apex=40, base=110, apex_row=125, apex_column=125, base_row=125, base_column=125, radius=26, search=38
    )  # fmt: skip
    samples = polar_samples(Volume(counts=ramp, spacing=(6.4, 6.4, 6.4)), limits, Sampling())
    ends = (125 + 40 * np.cos(np.radians(6.0 * np.arange(60)))) / 6.4 * 10
    starts = (125 + 0.3 * 26 * np.cos(np.radians(6.0 * np.arange(60)))) / 6.4 * 10
    np.testing.assert_allclose(samples[-1], np.maximum(starts, ends), rtol=0.02)


def test_without_pydicom_the_command_says_what_to_install(tmp_path: Path, monkeypatch, capsys) -> None:
    """DICOM is an optional part: who has not installed it gets one line and code 2, no traceback."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert _import(tmp_path, tmp_path / "out") == 2
    assert 'pip install "polarmap-tune[dicom]"' in capsys.readouterr().err


@pytest.mark.slow
def test_the_phantom_reads_as_well_through_dicom() -> None:
    """The AUC of a segment reader through volumes, files and the importer is within .02 of the direct maps'."""
    from validation.phantom_through_dicom import compare  # noqa: PLC0415

    for exams, direct, imported in compare(300).values():
        assert exams > 60
        assert direct > 0.7
        assert imported == pytest.approx(direct, abs=0.02)


def test_of_two_volumes_of_a_phase_the_one_asked_for_is_used(heart: Volume, tmp_path: Path, capsys) -> None:
    """Ungated before gated by itself; attenuation correction only by the user's choice, or the import is refused."""
    (tmp_path / "in").mkdir()
    other = Volume(counts=np.rint(heart.counts * 0.9), spacing=heart.spacing)
    (tmp_path / "in" / "a.dcm").write_bytes(short_axis_file(heart))
    (tmp_path / "in" / "b.dcm").write_bytes(short_axis_file(heart, Storage(slots=8)))
    (tmp_path / "in" / "c.dcm").write_bytes(short_axis_file(other, more={"CorrectedImage": ["ATTN", "SCAT"]}))
    assert _import(tmp_path / "in", tmp_path / "out") == 3
    assert "files 1, 3 are all the stress map of one exam" in capsys.readouterr().err
    for choice, file in (("corrected", 3), ("uncorrected", 1)):
        assert _import(tmp_path / "in", tmp_path / choice, "--attenuation", choice) == 0
        record = json.loads((tmp_path / choice / "import.json").read_text())
        assert record["exams"][0]["stress"]["file"] == file
    assert record["decisions"]["gated volumes beside ungated ones"] == 1
