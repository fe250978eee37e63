"""What identifies a person does not leave the source: planted everywhere, searched in everything written."""

import hashlib
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

pytest.importorskip("pydicom")

from pydicom.datadict import DicomDictionary, keyword_for_tag
from pydicom.dataset import Dataset

from orchestrator.cli import main
from validation.pages import COLUMNS, draw_page, smooth_map
from validation.shells import Defect, Shell, shell_volume
from validation.short_axis_dicom import dicom_bytes, short_axis_dataset

ROOT = Path(__file__).resolve().parents[3]
PLANTED = "Qwyjibo"
DATE = "19580317"
UID = "1.2.826.0.1.3680043.8.498"
TEXTS = frozenset({"LO", "SH", "PN", "LT", "ST", "UT", "UC", "AE"})
KEPT = frozenset({"PatientID", "SeriesDescription", "ProtocolName", "ImageID", "CodeValue"})


def _written(folder: Path) -> Iterator[bytes]:
    """Names and contents of everything written, packed pixels and their text chunks unpacked."""
    for path in folder.rglob("*"):
        yield path.relative_to(folder).as_posix().encode()
        if path.is_file():
            yield path.read_bytes()
            if path.suffix == ".png":
                with Image.open(path) as image:
                    yield repr(image.info).encode()


def _clean(folder: Path, *more: str) -> None:
    """Nothing planted is in a folder or in what was said."""
    everything = b"\n".join(_written(folder)) + "\n".join(more).encode()
    for planted in (PLANTED, PLANTED.upper(), DATE, f"{DATE[:4]}-{DATE[4:6]}", UID, "20240501", "2024-05"):
        assert planted.encode() not in everything, planted


def _planted_volume(patient: str) -> bytes:
    """A short axis with a name in every text tag of the standard, in private tags, dates of birth and UIDs."""
    data = short_axis_dataset(shell_volume(Shell(defect=Defect(angle=90, width=60), shape=(20, 32, 32))))
    for tag, (kind, *_) in DicomDictionary.items():
        name = keyword_for_tag(tag)
        if kind in TEXTS and name and name not in KEPT and name not in data and tag >> 16 >= 8:
            data.add_new(tag, kind, PLANTED)
    data.PatientID = patient
    data.PatientBirthDate = data.StudyDate = DATE
    data.SeriesDescription, data.ProtocolName = f"{PLANTED} SA STRESS", f"{PLANTED} stress"
    data.PatientComments = f"{PLANTED} has chest pain"
    block = data.private_block(0x0055, PLANTED, create=True)
    block.add_new(1, "LT", f"private {PLANTED}")
    item = Dataset()
    item.PersonName = PLANTED
    data.PersonIdentificationCodeSequence = [item]
    return dicom_bytes(data)


@pytest.mark.parametrize("names", ["numbered", "keyed"])
def test_nothing_of_a_volumes_tags_is_written(names: str, tmp_path: Path, capsys) -> None:
    """Not a text tag, private tag, UID, date, file or folder name: neither in files nor in what is said."""
    (tmp_path / "in" / PLANTED).mkdir(parents=True)
    (tmp_path / "in" / PLANTED / f"{PLANTED}.dcm").write_bytes(_planted_volume(f"{PLANTED}-1"))
    with zipfile.ZipFile(tmp_path / "in" / f"{PLANTED}.zip", "w") as archive:
        archive.writestr(f"{PLANTED}/b.dcm", _planted_volume(f"{PLANTED}-2"))
        archive.writestr(f"{PLANTED}/{PLANTED}.txt", PLANTED)
    (tmp_path / "exams.csv").write_text(f"patient_id,name,label,sex\n{PLANTED}-1,{PLANTED},1,F\n{PLANTED}-3,,0,\n")
    words = ["--exams", str(tmp_path / "exams.csv")]
    if names == "keyed":
        (tmp_path / "key").write_bytes(bytes(range(32)))
        (tmp_path / "key").chmod(0o600)
        words += ["--pseudonymise", str(tmp_path / "key")]
    assert main(["import", "dicom-sa", str(tmp_path / "in"), str(tmp_path / "out"), *words]) == 0
    said = capsys.readouterr()
    _clean(tmp_path / "out", said.out, said.err)
    assert "F" in (tmp_path / "out" / "manifest.csv").read_text()


def test_a_refusal_names_no_one(tmp_path: Path, capsys) -> None:
    """The same planted file, broken: the message holds a number."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / f"{PLANTED}.dcm").write_bytes(_planted_volume(f"{PLANTED}-1")[:-3000])
    assert main(["import", "dicom-sa", str(tmp_path / "in"), str(tmp_path / "out")]) == 3
    said = capsys.readouterr().err
    assert "file 1: " in said
    assert PLANTED not in said


def _page(name: str) -> bytes:
    maps = [smooth_map(2 * COLUMNS.radius, seed) for seed in (1, 2)]
    buffer = io.BytesIO()
    chunks = PngInfo()
    chunks.add_text("Comment", name)
    draw_page(COLUMNS, *maps, name=name).save(buffer, "PNG", pnginfo=chunks)
    return buffer.getvalue()


def test_what_is_burned_into_a_page_outside_the_maps_leaves_no_trace(tmp_path: Path, capsys) -> None:
    """Two pages that differ in the burned-in name alone become the same bytes, sheet included."""
    layout = str(ROOT / "examples" / "pages" / "columns.toml")
    for number, name in enumerate((PLANTED, "A^B")):
        (tmp_path / f"in{number}").mkdir()
        (tmp_path / f"in{number}" / f"{PLANTED}.png").write_bytes(_page(name))
        words = ["--pattern", "{patient}.png", "--tracer", "Tl-201"]
        assert (
            main(["import", "pages", str(tmp_path / f"in{number}"), layout, str(tmp_path / f"out{number}"), *words])
            == 0
        )
        said = capsys.readouterr()
        _clean(tmp_path / f"out{number}", said.out, said.err)
    digests = [
        {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in (tmp_path / f"out{number}").rglob("*")
            if path.is_file() and path.name != "import.json"  # its digest is of the source
        }
        for number in (0, 1)
    ]
    assert digests[0] == digests[1]


def test_maps_of_a_folder_lose_names_and_what_pictures_carry(tmp_path: Path, capsys) -> None:
    """A picture's text chunks stay behind, the pattern's names become numbers; a free-text column is refused."""
    grey = np.random.default_rng(0).integers(1, 255, (32, 32)).astype(np.uint8)
    chunks = PngInfo()
    chunks.add_text("Patient", PLANTED)
    (tmp_path / "in").mkdir()
    Image.fromarray(grey).save(tmp_path / "in" / f"{PLANTED}_Tc99m_stress.png", pnginfo=chunks)
    words = ["import", "folder", str(tmp_path / "in"), str(tmp_path / "out"), "--pattern"]
    assert main([*words, "{patient}_{tracer}_{phase}.png"]) == 0
    said = capsys.readouterr()
    _clean(tmp_path / "out", said.out, said.err)
    (tmp_path / "exams.csv").write_text(f"patient_id,label,site\n{PLANTED},1,{PLANTED} of the third floor\n")
    words[3] = str(tmp_path / "again")
    assert main([*words, "{patient}_{tracer}_{phase}.png", "--exams", str(tmp_path / "exams.csv")]) == 3
    said = capsys.readouterr()
    assert "row 1 of the exams table: site is not understood" in said.err
    assert PLANTED not in said.err


def test_pseudonyms_are_those_of_the_other_commands(tmp_path: Path) -> None:
    """HMAC-SHA256 of the source's id, its first 80 bits in base32, computed here with the standard library alone."""
    import base64  # noqa: PLC0415
    import hmac  # noqa: PLC0415

    (tmp_path / "key").write_bytes(b"0123456789abcdef")
    (tmp_path / "key").chmod(0o600)
    table = "patient_id,tracer," + ",".join(f"stress_{number}" for number in range(1, 18))
    (tmp_path / "scores.csv").write_text(f"{table}\n{PLANTED},Tc,{','.join(['1'] * 17)}\n")
    words = ["--values", "scores", "--pseudonymise", str(tmp_path / "key")]
    assert main(["import", "segments", str(tmp_path / "scores.csv"), str(tmp_path / "out"), *words]) == 0
    digest = hmac.new(b"0123456789abcdef", PLANTED.encode(), hashlib.sha256).digest()
    expected = base64.b32encode(digest[:10]).decode()
    assert (tmp_path / "out" / "manifest.csv").read_text().splitlines()[1].startswith(f"{expected},{expected}-Tc,")
    _clean(tmp_path / "out")
