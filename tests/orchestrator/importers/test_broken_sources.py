"""Broken sources: one clear line each, exit code 3, no name in it, and nothing half-written."""

import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("pydicom")

from pydicom.config import IGNORE, disable_value_validation
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEGLosslessSV1
from pydicom.valuerep import DSfloat

from orchestrator.cli import main
from orchestrator.importers import source_files
from validation.pages import COLUMNS, COOL, draw_page, smooth_map
from validation.shells import Defect, Shell, shell_volume
from validation.short_axis_dicom import Storage, dicom_bytes, short_axis_dataset, short_axis_file

ROOT = Path(__file__).resolve().parents[3]
HEART = shell_volume(Shell(defect=Defect(angle=90, width=60), shape=(20, 32, 32)))
NAME = "Žižková_名前_Όνομα_حلا"
"""A file name in four scripts, as a patient's might be; no message may hold any of it."""
Build = Callable[[Path], None]


def _dicom(storage: Storage | None = None, change: Callable[[Dataset], None] | None = None, **more: object) -> Build:
    """A folder with one file, changed at one place."""

    def build(folder: Path) -> None:
        data = short_axis_dataset(HEART, storage, more=more)
        (folder / f"{NAME}.dcm").write_bytes(dicom_bytes(data, change=change))

    return build


def _raw(content: Callable[[bytes], bytes]) -> Build:
    return lambda folder: _put(folder / f"{NAME}.dcm", content(short_axis_file(HEART)))


def _put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _compressed(data: Dataset) -> None:
    data.file_meta.TransferSyntaxUID = JPEGLosslessSV1
    data.PixelData = (
        b"\xfe\xff\x00\xe0\x00\x00\x00\x00\xfe\xff\x00\xe0\x02\x00\x00\x00\xff\xd8\xfe\xff\xdd\xe0\x00\x00\x00\x00"
    )
    data["PixelData"].is_undefined_length = True


def _deflated(data: Dataset) -> None:
    """A hundred kilobytes that unpack to sixty-four megabytes."""
    data.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    data.PixelData = bytes(2**26)


def _zip(members: dict[str, bytes], **words: int) -> Build:
    def build(folder: Path) -> None:
        with zipfile.ZipFile(folder / f"{NAME}.zip", "w", zipfile.ZIP_DEFLATED, **words) as archive:
            for name, content in members.items():
                archive.writestr(name, content)

    return build


def _nested(depth: int) -> Build:
    def build(folder: Path) -> None:
        content = short_axis_file(HEART)
        for level in range(depth):
            buffer = io.BytesIO()
            with zipfile.ZipFile(buffer, "w") as archive:
                archive.writestr("a.dcm" if level == 0 else "a.zip", content)
            content = buffer.getvalue()
        (folder / "a.zip").write_bytes(content)

    return build


def _link_in_zip(folder: Path) -> None:
    link = zipfile.ZipInfo("a.dcm")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")


def _damaged_member(folder: Path) -> None:
    _zip({"a.dcm": short_axis_file(HEART)})(folder)
    path = folder / f"{NAME}.zip"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(content))


def _two_series(data: Dataset) -> None:
    data.SliceVector = [1 + place // 2 for place in range(len(HEART.counts))]


def _mixed_pointer(data: Dataset) -> None:
    data.FrameIncrementPointer = [0x00540010, 0x00540080]


def _contradicting_windows(data: Dataset) -> None:
    window = data.EnergyWindowInformationSequence[0].EnergyWindowRangeSequence[0]
    window.EnergyWindowLowerLimit, window.EnergyWindowUpperLimit = 59, 87


def _detector(*cosines: float) -> Sequence:
    item = Dataset()
    item.ImageOrientationPatient = list(cosines)
    return Sequence([item])


def _nan_spacing(data: Dataset) -> None:
    with disable_value_validation():
        data.SpacingBetweenSlices = DSfloat("nan", validation_mode=IGNORE)


def _no_view(data: Dataset) -> None:
    del data.ViewCodeSequence
    del data.SliceProgressionDirection


DICOM: dict[str, tuple[Build, str]] = {
    "empty folder": (lambda folder: None, "no map that this import can use"),
    "text": (_raw(lambda content: b"hello"), "not DICOM: 1"),
    "empty file": (_raw(lambda content: b""), "not DICOM: 1"),
    "cut in the header": (_raw(lambda content: content[:400]), "file 1: the header has no Modality"),
    "cut in the pixels": (_raw(lambda content: content[:-5000]), "file 1: "),
    "compressed": (_dicom(change=_compressed), "file 1: the pixels are compressed"),
    "deflated": (_dicom(change=_deflated), "file 1: the file is deflated as a whole"),
    "computed tomography": (_dicom(Modality="CT"), "not a reconstructed emission volume: 1"),
    "projections": (_dicom(ImageType=["ORIGINAL", "PRIMARY", "TOMO", "EMISSION"]), "not a reconstructed emission"),
    "transmission": (_dicom(ImageType=["DERIVED", "PRIMARY", "RECON TOMO", "TRANSMISSION"]), "not a reconstructed"),
    "no pixel data": (_dicom(PixelData=None), "file 1: there are no pixel data"),
    "short pixel data": (_dicom(PixelData=b"\0" * 1000), "file 1: the pixel data have 1000 bytes"),
    "long pixel data": (_dicom(PixelData=b"\0" * 10**6), "file 1: the pixel data have 1000000 bytes"),
    "no counts": (_dicom(PixelData=b"\0" * (2 * HEART.counts.size)), "file 1: the volume has no counts"),
    "pixel bomb": (_dicom(Rows=65000, Columns=65000), "file 1: the header claims"),
    "frame bomb": (_dicom(NumberOfFrames=2**31 - 1), "file 1: "),
    "no rows": (_dicom(Rows=0), "file 1: "),
    "colour": (_dicom(SamplesPerPixel=3), "file 1: the pixels are not counts"),
    "12 bits packed": (_dicom(BitsAllocated=12), "file 1: the pixels are not counts"),
    "two series in one": (_dicom(change=_two_series), "file 1: slices are missing or there twice"),
    "energy windows as frames": (_dicom(change=_mixed_pointer), "file 1: the frames are not slices"),
    "no slice vector": (_dicom(SliceVector=None), "file 1: a frame vector is missing"),
    "short slice vector": (_dicom(SliceVector=[1, 2, 3]), "file 1: a frame vector is missing or of another length"),
    "slice numbers from 0": (_dicom(SliceVector=list(range(20))), "file 1: slices are missing or there twice"),
    "gated without slots": (_dicom(Storage(slots=8), TimeSlotVector=None), "file 1: a frame vector is missing"),
    "NaN spacing": (_dicom(change=_nan_spacing), "file 1: Pixel Spacing and Spacing Between Slices must be"),
    "no spacing": (_dicom(SpacingBetweenSlices=None), "file 1: Pixel Spacing and Spacing"),
    "no pixel spacing": (_dicom(PixelSpacing=None), "file 1: Pixel Spacing and Spacing"),
    "spacing of a metre": (_dicom(PixelSpacing=[1000, 1000]), "file 1: Pixel Spacing and Spacing"),
    "a view of a thumb": (_dicom(PixelSpacing=[1.5, 1.5]), "file 1: the slices show less than 80 mm"),
    "no direction": (_dicom(SliceProgressionDirection=None), "file 1: Slice Progression Direction is not there"),
    "unknown view": (_dicom(change=_no_view), "file 1: no tag says which view"),
    "long axis": (
        _dicom(change=lambda data: setattr(data.ViewCodeSequence[0], "CodeValue", "G-A18A")),
        "another view than the short axis: 1",
    ),
    "no patient": (_dicom(PatientID=""), "file 1: Patient ID is blank"),
    "no state": (_dicom(AcquisitionContextSequence=None), "file 1: the tags do not say stress or rest"),
    "contradicting state": (_dicom(SeriesDescription="SA REST"), "file 1: the tags contradict one another on stress"),
    "contradicting tracer": (_dicom(change=_contradicting_windows), "contradict one another on the tracer"),
    "no tracer": (
        _dicom(RadiopharmaceuticalInformationSequence=None, EnergyWindowInformationSequence=None),
        "file 1: the tags do not say the tracer",
    ),
    "mirrored": (_dicom(DetectorInformationSequence=_detector(-1, 0, 0, 0, 0, -1)), "file 1: Image Orientation says"),
    "a flat volume": (
        lambda folder: _put(
            folder / "a.dcm", short_axis_file(type(HEART)(counts=np.ones((20, 32, 32)), spacing=HEART.spacing))
        ),
        "file 1: no left ventricle was found",
    ),
    "damaged archive": (lambda folder: _put(folder / "a.zip", b"PK\x03\x04 and no more"), "file 1: the archive cannot"),
    "damaged member": (_damaged_member, "file 1: the file cannot be read"),
    "archives five deep": (_nested(5), "file 1: more than 4 archives inside one another"),
    "link in an archive": (_link_in_zip, "file 1: a link in an archive"),
    "link out of the tree": (lambda folder: (folder / "a.dcm").symlink_to("/etc/hostname"), "file 1: a link out of"),
    "folder linked in": (lambda folder: (folder / "a").symlink_to("/etc"), "file 1: a link out of the source"),
    "a pipe": (lambda folder: os.mkfifo(folder / "a.dcm"), "file 1: neither a file nor a folder"),
    "a path upwards in an archive": (_zip({"../../up.dcm": b"text"}), "not DICOM: 1"),
    "one volume twice": (
        lambda folder: [_put(folder / name, short_axis_file(HEART)) for name in ("a", "b")] and None,
        "files 1, 2 are all the stress map of one exam",
    ),
}  # fmt: skip


def _refused(words: list[str], folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    code = main([*words, str(folder)])
    said = capsys.readouterr()
    assert code == 3, said
    assert said.out == ""
    lines = [line for line in said.err.splitlines() if line.startswith("polarmap: ")]
    assert lines, said.err
    assert "a bug" not in said.err
    assert not any(part in said.err for part in NAME.split("_"))
    assert list(folder.parent.glob(f"*{folder.name}*")) == []  # neither the folder nor an unfinished one
    return said.err


@pytest.mark.parametrize("case", DICOM)
def test_a_broken_dicom_source_is_refused(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is wrong is said in one line by file number, with exit code 3, and nothing is left behind."""
    build, fragment = DICOM[case]
    (tmp_path / "in").mkdir()
    build(tmp_path / "in")
    assert fragment in _refused(["import", "dicom-sa", str(tmp_path / "in")], tmp_path / "out", capsys)
    assert not (tmp_path / "up.dcm").exists()


def test_archives_that_unpack_to_too_much_are_refused(tmp_path: Path, capsys, monkeypatch) -> None:
    """A small archive cannot fill the memory or the disk: its ratio, and a file's size, are bounded before reading."""
    monkeypatch.setattr(source_files, "_RATIO_FROM", 2**20)
    (tmp_path / "in").mkdir()
    _zip({f"{number}.dcm": b"\0" * 2**20 for number in range(8)}, compresslevel=9)(tmp_path / "in")
    words = ["import", "dicom-sa", str(tmp_path / "in")]
    assert "file 1: the archive unpacks to more than 200 times its size" in _refused(words, tmp_path / "out", capsys)
    monkeypatch.setattr(source_files, "_RATIO_FROM", 2**40)
    monkeypatch.setattr(source_files, "_LARGEST_FILE", 2**19)
    assert "file 1: larger than" in _refused(words, tmp_path / "out", capsys)


def test_every_problem_is_said_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Three broken files among good ones: three lines, by the files' numbers."""
    good = short_axis_file(HEART, patient="good")
    for name, content in (
        ("1", good),
        ("2", good[:-999]),
        ("3", short_axis_file(HEART, patient="x", more={"SliceProgressionDirection": None})),
        ("4", short_axis_file(HEART, patient="y", more={"PixelSpacing": [99, 99]})),
    ):
        _put(tmp_path / "in" / name, content)
    said = _refused(["import", "dicom-sa", str(tmp_path / "in")], tmp_path / "out", capsys)
    assert [f"file {number}: " in said for number in (1, 2, 3, 4)] == [False, True, True, True]


def _picture(pixels: np.ndarray, kind: str = "PNG", **words: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **words)
    return buffer.getvalue()


def _array(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, pixels, allow_pickle=pixels.dtype == object)
    return buffer.getvalue()


GREY = np.random.default_rng(0).integers(0, 200, (32, 32)).astype(np.uint8)
MAPS: dict[str, tuple[str, bytes, str]] = {
    "truncated picture": ("p_Tc99m_stress.png", _picture(GREY)[:-200], "the image cannot be read"),
    "a picture that is text": ("p_Tc99m_stress.png", b"hello", "the image cannot be read"),
    "pixel bomb": ("p_Tc99m_stress.png", _picture(np.zeros((20000, 20000), np.uint8)), "the image cannot be read"),
    "objects": ("p_Tc99m_stress.npy", _array(np.array([{}], dtype=object)), "height × width"),
    "claims more than it holds": (
        "p_Tc99m_stress.npy", _array(np.zeros((9, 9))).replace(b"(9, 9)", b"(9999999, 9999999)"), "8 to 4096 pixels"
    ),
    "NaN": ("p_Tc99m_stress.npy", _array(np.full((32, 32), np.nan)), "NaN or infinite"),
    "negative": ("p_Tc99m_stress.npy", _array(GREY - 300.0), "negative counts"),
    "a volume": ("p_Tc99m_stress.npy", _array(np.ones((9, 9, 9))), "a map is height × width"),
    "a page": ("p_Tc99m_stress.png", _picture(np.tile(GREY, (1, 3))), "a map is about square"),
    "unknown tracer": ("p_FDG_stress.png", _picture(GREY), "the name does not say tracer"),
    "another kind of file": ("p_Tc99m_stress.txt", b"", "a map file ends in"),
    "nothing fits": ("p.png", _picture(GREY), "files that do not fit the pattern: 1"),
}  # fmt: skip


@pytest.mark.parametrize("case", MAPS)
def test_a_broken_map_file_is_refused(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The folder import's own ways to go wrong."""
    name, content, fragment = MAPS[case]
    _put(tmp_path / "in" / NAME / name, content)
    words = ["import", "folder", str(tmp_path / "in"), "--pattern", "{patient}_{tracer}_{phase}.*"]
    assert fragment in _refused(words, tmp_path / "out", capsys)


def _page(colours: object = None, quality: int = 95) -> bytes:
    maps = [smooth_map(2 * COLUMNS.radius, seed) for seed in (1, 2)]
    return _picture(np.asarray(draw_page(COLUMNS, *maps, colours=colours)), "JPEG", quality=quality)


PAGES = {
    "another palette": (lambda: _page(COOL), "the colours do not fit the page's colour bar"),
    "another size": (lambda: _picture(np.zeros((700, 900, 3), np.uint8)), "the page is 900 × 700 pixels"),
    "a blank page": (lambda: _picture(np.zeros((640, 900, 3), np.uint8)), "hardly any colours"),
    "16 bits": (lambda: _picture(np.zeros((640, 900), np.uint16)), "a page has 8 bits"),
    "truncated": (lambda: _page()[:4000], "the image cannot be read"),
}


@pytest.mark.parametrize("case", PAGES)
def test_a_page_that_does_not_fit_its_layout_is_refused(case: str, tmp_path: Path, capsys) -> None:
    """Colours that are not the bar's, or another page, cannot become plausible maps."""
    build, fragment = PAGES[case]
    _put(tmp_path / "in" / f"{NAME}.jpg", build())
    words = ["import", "pages", str(tmp_path / "in"), str(ROOT / "examples" / "pages" / "columns.toml")]
    more = ["--pattern", "{patient}.jpg", "--tracer", "Tc-99m"]
    code = main([*words, str(tmp_path / "out"), *more])
    said = capsys.readouterr().err
    assert code == 3
    assert fragment in said
    assert not any(part in said for part in NAME.split("_"))
    assert not (tmp_path / "out").exists()


SEGMENTS = {
    "a gap": ("patient_id,tracer,stress_1,stress_3\na,Tc,1,1\n", "needs columns stress_1 … stress_17"),
    "no tracer": ("patient_id,stress_1\na,1\n", "no column 'tracer'"),
    "a score of 5": ("HEAD\na,Tc,{}5\n", "row 1 of the segments table: stress_17 is not a score"),
    "a blank": ("HEAD\na,Tc,{}\n", "row 1 of the segments table: stress_17 is not a score"),
    "no values": ("HEAD\na,Tc,EMPTY\n", "row 1 of the segments table has no values"),
    "an unknown tracer": ("HEAD\na,F-18,{}1\n", "row 1 of the segments table: tracer is not understood"),
    "no patient": ("HEAD\n,Tc,{}1\n", "row 1 of the segments table: patient_id (blank)"),
    "empty": ("", "has no exams"),
}


@pytest.mark.parametrize("case", SEGMENTS)
def test_a_wrong_table_of_segments_is_refused(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Cells are judged by row and column, and a plausible wrong table is not painted."""
    text, fragment = SEGMENTS[case]
    head = "patient_id,tracer," + ",".join(f"stress_{number}" for number in range(1, 18))
    text = text.replace("HEAD", head).replace("EMPTY", "," * 16).replace("{}", "1," * 16)
    (tmp_path / "scores.csv").write_text(text)
    code = main(["import", "segments", str(tmp_path / "scores.csv"), str(tmp_path / "out"), "--values", "scores"])
    assert code == 3
    assert fragment in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
