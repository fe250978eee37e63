"""Manifests and images that nobody should have: each with its exit code and its message."""

import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

Spoil = Callable[[Path], None]


def _row(number: int, **cells: str) -> Spoil:
    """A cell of a data row, 1 for the first, replaced."""

    def spoil(folder: Path) -> None:
        lines = (folder / "manifest.csv").read_text(encoding="utf-8").splitlines()
        header, values = lines[0].split(","), lines[number].split(",")
        for name, value in cells.items():
            values[header.index(name)] = value
        lines[number] = ",".join(values)
        (folder / "manifest.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")

    return spoil


def _column(name: str, values: Callable[[int], str]) -> Spoil:
    """A new last column."""

    def spoil(folder: Path) -> None:
        header, *lines = (folder / "manifest.csv").read_text(encoding="utf-8").splitlines()
        rows = [f"{line},{values(number)}" for number, line in enumerate(lines)]
        (folder / "manifest.csv").write_text("\n".join([f"{header},{name}", *rows]), encoding="utf-8")

    return spoil


def _text(content: str | bytes) -> Spoil:
    data = content.encode() if isinstance(content, str) else content
    return lambda folder: (folder / "manifest.csv").write_bytes(data) and None


def _instead(make: Callable[[Path], object]) -> Spoil:
    def spoil(folder: Path) -> None:
        (folder / "manifest.csv").unlink()
        make(folder / "manifest.csv")

    return spoil


def _both(*spoils: Spoil) -> Spoil:
    def spoil(folder: Path) -> None:
        for one in spoils:
            one(folder)

    return spoil


INVISIBLE = {
    "zero-width space": "\u200b",
    "zero-width joiner": "\u200d",
    "soft hyphen": "\u00ad",
    "right-to-left override": "\u202e",
    "left-to-right mark": "\u200e",
    "word joiner": "\u2060",
    "byte-order mark": "\ufeff",
    "Hangul filler": "\u3164",
    "combining grapheme joiner": "\u034f",
    "variation selector": "\ufe0f",
    "tag letter": "\U000e0041",
    "private use": "\ue000",
    "line separator": "\u2028",
}

MANIFESTS: dict[str, tuple[Spoil, str]] = {
    **{
        f"{name} in a patient's id": (
            _row(1, patient_id=f"P{letter}1"),
            "row 1 (line 2): patient_id holds the invisible",
        )
        for name, letter in INVISIBLE.items()
        if name not in ("right-to-left override", "line separator")
    },
    **{
        f"{name} in any cell": (_row(1, sex=f"F{letter}"), "control character U+")
        for name, letter in {
            "right-to-left override": "\u202e",
            "escape": "\x1b[31m",
            "null": "\x00",
            "bell": "\a",
        }.items()
    },
    **{
        f"an id that begins with {begin}": (_row(1, patient_id=f"{begin}HYPERLINK(1)"), "formula")
        for begin in ("=", "@", "+", "-")
    },
    "an id of 300 letters": (_row(1, patient_id="P" * 300), "300 characters"),
    "a composed and a decomposed id": (
        _both(_row(1, patient_id="caf\u00e9"), _row(3, patient_id="cafe\u0301")),
        "rows 1 and 3 (lines 2 and 4) have one exam_id",
    ),
    "a full-width id": (_both(_row(1, patient_id="Ｐ１"), _row(3, patient_id="P1")), "have one exam_id"),
    "a ligature": (_both(_row(1, patient_id="ﬁ1"), _row(3, patient_id="fi1")), "have one exam_id"),
    "no-break space before an id": (
        _both(_row(1, patient_id="\u00a0P1"), _row(3, patient_id="P1")),
        "have one exam_id",
    ),
    **{
        f"label {value!r}": (_row(1, label=value), fragment)
        for value, fragment in {
            "2": "label must be 0 or 1, found '2'",
            "yes": "label must be 0 or 1, found 'yes'",
            "NaN": "found 'NaN'",
            "": "found a blank cell",
            "1.0": "label must be 0 or 1",
            "01": "label must be 0 or 1",
            "１": "label must be 0 or 1",
            "true": "found 'true'",
            "-1": "label must be 0 or 1",
            "inf": "label must be 0 or 1",
            "1e0": "label must be 0 or 1",
            "Papadopoulos": "found another text of 12 characters",
        }.items()
    },
    **{
        f"tracer {value!r}": (_row(1, tracer=value), "tracer must be")
        for value in ("", "F-18", "tc" * 5000, "Tc-99m Tl-201", "NaN", "99", "x" * 1000)
    },
    **{
        f"partition {value!r}": (_row(1, partition=value), "partition must be")
        for value in ("train", "both", "tests", "0", "развитие")
    },
    **{
        f"date {value!r}": (_column("exam_date", lambda row, value=value: value), "exam_date must be")
        for value in ("31.12.2020", "2020-13-01", "2020-02-30", "day -1", "day 1000000", "yesterday", "20201")
    },
    "an empty file": (_text(""), "no exams"),
    "a header alone": (_text("patient_id,tracer,label,stress\n"), "no exams"),
    "blank lines alone": (_text("\n\n\n"), "no exams"),
    "commas alone": (_text(",,,\n,,,\n"), "no exams"),
    "no header": (_text("P1,Tc-99m,1,000-stress.npy\nP2,Tc-99m,0,000-rest.npy\n"), "missing"),
    "an unclosed quote": (_text('patient_id,tracer,label,stress\n"P1,Tc-99m,1,x\nP2,Tc-99m,0,y\n'), "line 2"),
    "a quote inside": (_text('patient_id,tracer,label,stress\nP"1"x,Tc-99m,"1"0,x\n'), "line 2"),
    "a column twice": (_text("patient_id,tracer,label,label,stress\nP1,Tc-99m,1,1,x\n"), "one name"),
    "a long row": (_text("patient_id,tracer,label,stress\nP1,Tc-99m,1,x,y\n"), "row 1 (line 2) has 5 cells"),
    "a short row": (_text("patient_id,tracer,label,stress\nP1,Tc-99m\n"), "row 1 (line 2) has 2 cells"),
    "Latin-1": (_text("patient_id,tracer,label,stress\nMüller,Tc-99m,1,x\n".encode("latin-1")), "line 2"),
    "half of UTF-16": (_text("patient_id,tracer,label,stress\nP,Tc-99m,1,x\n".encode("utf-16")[:-1]), "not UTF-8"),
    "a cell of 200,000 letters": (_text(f"patient_id,tracer,label,stress\n{'P' * 200_000},Tc-99m,1,x\n"), "line 2"),
    "5,000 columns": (_text(",".join(f"c{n}" for n in range(5000)) + "\n" + "x," * 4999 + "x\n"), "columns"),
    "an escape in a column's name": (_text("patient_id,tracer,label,\x1b[31m\nP1,Tc-99m,1,x\n"), "column 4"),
    "a column's name of 300 letters": (_text(f"patient_id,tracer,label,{'x' * 300}\nP1,Tc-99m,1,x\n"), "column 4"),
    "a nameless column": (_text("patient_id,tracer,label,\nP1,Tc-99m,1,x\n"), "without a name"),
    "UTF-16 without its mark": (
        _text("patient_id,tracer,label,stress\nP,Tc-99m,1,x\n".encode("utf-16-be")),
        "not UTF-8",
    ),
    "UTF-32": (_text("patient_id,tracer,label,stress\nP,Tc-99m,1,x\n".encode("utf-32")), "not UTF-8"),
    "a separator after every row": (
        _text("patient_id,tracer,label,stress\n" + "P1,Tc-99m,1,x,\n" * 50),
        "and 30 more (row 1 is line 2) have 5 cells, the header 4",
    ),
    "test exams alone": (
        lambda folder: _text((folder / "manifest.csv").read_text().replace(",development,", ",test,"))(folder),
        "no development exam: every `partition` is test",
    ),
    "links to web pages": (_row(1, stress="https://example.org/a.png"), "no such file"),
    "one patient alone": (
        _both(*[_row(row, patient_id="P") for row in range(1, 37)]),
        "have one exam_id",
    ),
    "null bytes": (_text(b"patient_id,tracer,label,stress\nP\x00,Tc-99m,1,x\n"), "control character"),
    "random bytes": (_text(bytes(range(256)) * 10), "manifest"),
    "a Parquet file called CSV": (_text(b"PAR1" + bytes(range(200)) + b"PAR1"), "manifest"),
    "a named pipe": (_instead(os.mkfifo), "a named pipe"),
    "a folder": (_instead(Path.mkdir), "a folder"),
    "a device": (_instead(lambda path: path.symlink_to("/dev/zero")), "a device"),
    "a link to itself": (_instead(lambda path: path.symlink_to(path)), "symbolic links"),
    "a patient on both sides": (_both(_row(1, patient_id="P"), _row(34, patient_id="P")), "development and in test"),
    "one image of two patients": (_row(1, stress="002-stress.npy"), "one image under two patients"),
    "one image as stress and rest": (_row(1, stress="000-rest.npy"), "one image as stress and rest"),
    "no image": (_row(1, stress="", rest=""), "an exam needs"),
    "an image that is not there": (_row(1, stress="nowhere.npy"), "no such file"),
    "an image name of 300 letters": (_row(1, stress="x" * 300 + ".npy"), "too long"),
    "an image path of 5,000 letters": (_row(1, stress="x/" * 2500 + "x.npy"), "too long"),
    "an image that is a folder": (_row(1, stress="."), "a folder"),
    "an image that is a device": (_row(1, stress="/dev/zero"), "a device"),
    "an image that is /proc/self/mem": (_row(1, stress="/proc/self/mem"), "stress image"),
    "an image that is the manifest": (_row(1, stress="manifest.csv"), "cannot be read"),
    "an image with a null": (_row(1, stress="a\x00.npy"), "control character"),
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_that_is_wrong_is_refused(name, sound, refused):
    """Each ends with code 3, names the line and the rule, and prints nothing that could be an id."""
    spoil, fragment = MANIFESTS[name]
    spoil(sound)
    errors = refused(["check", "experiment.toml"], 3, fragment)
    assert "Papadopoulos" not in errors


ALIKE = {
    "case": ("p-001", "P-001"),
    "leading zeros": ("01", "1"),
    "a decimal": ("1.0", "1"),
    "a Cyrillic letter": ("\u0420-7", "P-7"),
    "a Greek letter": ("\u03a1-7", "P-7"),
    "an accent": ("Jose\u0301 1", "Jose 1"),
    "a space": ("P 7", "P7"),
    "a dash": ("P\u20137", "P-7"),
    "a letter for a figure": ("P1O", "P10"),
}


@pytest.mark.parametrize("name", ALIKE)
def test_ids_that_look_alike_are_reported(name, sound, refused, capsys):
    """Two spellings that may be one patient are a notice with both rows; they are not refused."""
    first, second = ALIKE[name]
    _both(_row(1, patient_id=first), _row(3, patient_id=second))(sound)
    from asking import ask  # noqa: PLC0415 - beside this file

    assert ask(["check", "experiment.toml"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "rows 1 and 3 (lines 2 and 4) have patient ids that look alike" in said


def test_spellings_of_sex_are_one_stratum(sound, capsys, monkeypatch):
    """`m`, `Male` and `M` are one sex, and a person is told."""
    from asking import ask  # noqa: PLC0415 - beside this file

    text = (sound / "manifest.csv").read_text()
    (sound / "manifest.csv").write_text(text.replace(",M,", ",male,", 3).replace(",F,", ",f,", 2))
    monkeypatch.chdir(sound)

    assert ask(["check", "experiment.toml"]) == 0
    assert "sex is spelled in 4 ways, read as F, M" in " ".join(capsys.readouterr().out.split())


def test_a_column_of_ids_under_another_name_is_no_subgroup(sound, refused):
    """A column with a value for every patient is refused as a subgroup: the report would print it."""
    text = (sound / "manifest.csv").read_text().splitlines()
    lines = [f"{text[0]},number", *(f"{line},MRN{row}" for row, line in enumerate(text[1:]))]
    many = [*lines, *(f"more-{row},Tc-99m,{row % 2},F,development,more-{row}.npy,,M{row}" for row in range(30))]
    for row in range(30):
        np.save(sound / f"more-{row}.npy", np.random.default_rng(row).uniform(1, 100, (16, 16)))
    (sound / "manifest.csv").write_text("\n".join(many))
    refused(["check", "experiment.toml", "--set", 'statistics.subgroups=["number"]'], 3, "66 different values")


def _header_of(shape: str, kind: str = "<f8") -> bytes:
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


def _bytes(name: str, content: bytes) -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        (folder / name).write_bytes(content)
        return name

    return make


def _array(values: object, name: str = "bad.npy") -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        np.save(folder / name, np.asarray(values), allow_pickle=True)
        return name

    return make


def _sparse(folder: Path) -> str:
    """Four gigabytes that take no room."""
    with (folder / "bad.npy").open("wb") as file:
        file.write(_header_of("(23170, 23170)"))
        file.truncate(23170 * 23170 * 8)
    return "bad.npy"


def _packed(folder: Path) -> str:
    """Two gigabytes of zeros in two megabytes."""
    with (
        zipfile.ZipFile(folder / "bad.npz", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("a.npy", "w", force_zip64=True) as file,
    ):
        file.write(_header_of("(16384, 16384)"))
        for _ in range(8):
            file.write(bytes(2**20))
    return "bad.npz"


def _png(width: int, height: int, *, kind: int = 0, depth: int = 8, data: bytes | None = None) -> bytes:
    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    body = zlib.compress(bytes(1000)) if data is None else data
    head = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def _saved(name: str, size: tuple[int, int], mode: str = "L", **options: object) -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        Image.new(mode, size, 7 if mode in ("L", "I;16", "F") else None).save(folder / name, **options)
        return name

    return make


def _frames(folder: Path) -> str:
    pages = [Image.fromarray(np.random.default_rng(n).integers(0, 255, (16, 16)).astype(np.uint8)) for n in range(5)]
    pages[0].save(folder / "bad.tif", save_all=True, append_images=pages[1:])
    return "bad.tif"


def _pipe(folder: Path) -> str:
    os.mkfifo(folder / "bad.png")
    return "bad.png"


def _zip_of(*members: tuple[str, bytes]) -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        with zipfile.ZipFile(folder / "bad.npz", "w") as archive:
            for name, content in members:
                archive.writestr(name, content)
        return "bad.npz"

    return make


GOOD = np.random.default_rng(0).uniform(1, 100, (16, 16))
IMAGES: dict[str, tuple[Callable[[Path], str], str]] = {
    "a named pipe": (_pipe, "a named pipe"),
    "an empty PNG": (_bytes("bad.png", b""), "cannot be read"),
    "an empty NPY": (_bytes("bad.npy", b""), "cannot be read"),
    "a text": (_bytes("bad.png", b"hello"), "cannot be read"),
    "a cut PNG": (lambda folder: _bytes("bad.png", _png(32, 32)[:60])(folder), "cannot be read"),
    "a PNG without its data": (_bytes("bad.png", _png(32, 32, data=b"")), "cannot be read"),
    "a PNG with other data": (_bytes("bad.png", _png(32, 32, data=b"\x00" * 50)), "cannot be read"),
    "a PNG of 100,000 × 100,000": (_bytes("bad.png", _png(100_000, 100_000)), "DecompressionBombError"),
    "a PNG of 2³¹ − 1": (_bytes("bad.png", _png(2**31 - 1, 2**31 - 1)), "stress image"),
    "a PNG of 16-bit colours": (
        _bytes("bad.png", _png(16, 16, kind=2, depth=16, data=zlib.compress(bytes(16 * 97)))),
        "half its depth",
    ),
    "a PNG of 16-bit grey with transparency": (
        _bytes("bad.png", _png(16, 16, kind=4, depth=16, data=zlib.compress(bytes(16 * 65)))),
        "half its depth",
    ),
    "a PNG of 0 × 0": (_bytes("bad.png", _png(0, 0)), "stress image"),
    "a PNG of 5,000 × 5,000": (_bytes("bad.png", _png(5000, 5000)), "8 to 4096 pixels"),
    "a PNG of 4 × 4": (_saved("bad.png", (4, 4)), "8 to 4096 pixels"),
    "a PNG of 64 × 16": (_saved("bad.png", (64, 16)), "about square"),
    "a PNG of one grey": (_saved("bad.png", (32, 32)), "every pixel has one value"),
    "a GIF": (_saved("bad.gif", (32, 32)), "cannot be read"),
    "a BMP": (_saved("bad.bmp", (32, 32)), "cannot be read"),
    "a TIFF of five pages": (_frames, "5 frames"),
    "a PDF": (_bytes("bad.png", b"%PDF-1.4\n" + bytes(100)), "cannot be read"),
    "an SVG": (_bytes("bad.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>"), "cannot be read"),
    "NaN": (_array(np.full((16, 16), np.nan)), "NaN"),
    "one NaN": (_array(np.where(np.eye(16) > 0, np.nan, GOOD)), "NaN"),
    "infinity": (_array(np.where(np.eye(16) > 0, np.inf, GOOD)), "infinite"),
    "negative counts": (_array(GOOD - 50), "negative"),
    "zeros": (_array(np.zeros((16, 16))), "every pixel has one value"),
    "complex numbers": (_array(GOOD.astype(complex)), "real numbers"),
    "dates": (_array(np.zeros((16, 16), dtype="datetime64[s]")), "real numbers"),
    "texts": (_array(np.full((16, 16), "a")), "real numbers"),
    "objects": (_array(np.full((16, 16), None, dtype=object)), "real numbers"),
    "records": (_array(np.zeros((16, 16), dtype=[("a", "f4"), ("b", "f4")])), "real numbers"),
    "raw bytes": (_array(np.zeros((16, 16), dtype="V4")), "real numbers"),
    "a number": (_array(5.0), "a single number"),
    "a line": (_array(np.ones(256)), "height × width"),
    "four dimensions": (_array(np.ones((2, 2, 16, 16))), "height × width"),
    "thirty dimensions": (_array(np.ones((1,) * 30)), "height × width"),
    "two channels": (_array(np.ones((16, 16, 2))), "height × width"),
    "no rows": (_array(np.ones((0, 16))), "8 to 4096 pixels"),
    "a sparse array of 4 GB": (_sparse, "more than the 268435456"),
    "an NPZ of 2 GB": (_packed, "8 to 4096 pixels"),
    "a header of 10¹⁸ numbers": (_bytes("bad.npy", _header_of("(1000000000, 1000000000)")), "8 to 4096 pixels"),
    "a header of negative sizes": (_bytes("bad.npy", _header_of("(-16, -16)")), "stress image"),
    "a header of a text as size": (_bytes("bad.npy", _header_of("('a', 16)")), "stress image"),
    "a header of a deep list": (_bytes("bad.npy", _header_of("(" * 40 + ")" * 40)), "stress image"),
    "a header of a call": (_bytes("bad.npy", _header_of("__import__('os').abort()")), "cannot be read"),
    "a header without data": (_bytes("bad.npy", _header_of("(64, 64)")), "cannot be read"),
    "a header cut short": (_bytes("bad.npy", _header_of("(64, 64)")[:20]), "cannot be read"),
    "a header of version 9": (_bytes("bad.npy", b"\x93NUMPY\x09\x00" + bytes(100)), "cannot be read"),
    "an NPZ of two arrays": (_zip_of(("a.npy", b""), ("b.npy", b"")), "2 arrays"),
    "an NPZ of nothing": (_zip_of(), "0 arrays"),
    "an NPZ of a text": (_zip_of(("a.txt", b"hello")), "cannot be read"),
    "an NPZ of ../a.npy": (_zip_of(("../a.npy", _header_of("(64, 64)"))), "cannot be read"),
    "a cut NPZ": (_bytes("bad.npz", b"PK\x03\x04" + bytes(30)), "cannot be read"),
    "a PNG called NPY": (_bytes("bad.npy", _png(32, 32)), "cannot be read"),
    "an NPY called PNG": (_bytes("bad.png", _header_of("(8, 8)") + GOOD[:8, :8].tobytes()), "cannot be read"),
    "a pickle called NPY": (_bytes("bad.npy", b"\x80\x04\x95" + bytes(50)), "cannot be read"),
}


@pytest.mark.parametrize("name", IMAGES)
def test_a_file_that_is_no_map_is_refused(name, sound, refused):
    """Each ends with code 3 and the manifest's row; a huge one is refused by its header, without being unpacked."""
    make, fragment = IMAGES[name]
    _row(1, stress=make(sound))(sound)
    refused(["check", "experiment.toml"], 3, "row 1 (line 2), stress image", fragment)


def _parquet(folder: Path, table: pa.Table) -> None:
    pq.write_table(table, folder / "manifest.parquet")


def _nothing(folder: Path) -> None:
    (folder / "manifest.parquet").write_bytes(b"")


PARQUETS: dict[str, tuple[Spoil, str]] = {
    "empty": (_nothing, "cannot be read as Parquet"),
    "a text": (lambda folder: (folder / "manifest.parquet").write_text("a,b") and None, "cannot be read as Parquet"),
    "no rows": (lambda folder: _parquet(folder, pa.table({"patient_id": pa.array([], pa.string())})), "no exams"),
    "no columns": (lambda folder: _parquet(folder, pa.table({})), "no exams"),
    "10 million rows of one value": (
        lambda folder: _parquet(folder, pa.table({"patient_id": pa.array(np.zeros(10_000_000, dtype=np.int8))})),
        "too many to read",
    ),
    "lists": (
        lambda folder: _parquet(
            folder, pa.table({"patient_id": [["a"]], "tracer": [["b"]], "label": [[1]], "stress": [["c"]]})
        ),
        "column 1 of the manifest manifest.parquet holds lists",
    ),
    "a named pipe": (lambda folder: os.mkfifo(folder / "manifest.parquet"), "a named pipe"),
}


@pytest.mark.parametrize("name", PARQUETS)
def test_a_parquet_manifest_that_is_wrong_is_refused(name, sound, refused):
    """Each ends with code 3; what a header declares is looked at before it is unpacked."""
    spoil, fragment = PARQUETS[name]
    spoil(sound)
    refused(["check", "experiment.toml", "--set", "cohort.manifest=manifest.parquet"], 3, fragment)


def test_other_forms_of_a_parquet_manifest_say_the_same(sound, capsys, monkeypatch):
    """Patients in the index, an index without a name, categories and bytes for text are read as plain columns."""
    from asking import ask  # noqa: PLC0415 - beside this file

    monkeypatch.chdir(sound)
    plain = pd.read_csv("manifest.csv")
    texts = ["patient_id", "tracer", "sex", "partition", "stress", "rest"]
    said = []
    for form in (
        plain,
        plain.set_index(["patient_id", "tracer"]),
        plain.set_index(pd.Index(range(100, 136))),
        plain.astype(dict.fromkeys(texts, "category")),
        plain.assign(**{name: [text.encode() for text in plain[name]] for name in texts}),
    ):
        form.to_parquet("manifest.parquet")
        assert ask(["check", "experiment.toml", "--set", "cohort.manifest=manifest.parquet"]) == 0
        said.append(capsys.readouterr().out)
    assert len(set(said)) == 1


def test_common_forms_of_a_manifest_are_read_alike(sound, capsys, monkeypatch):
    """Semicolons, tabs, capitals, a byte-order mark, UTF-16 and Windows line ends say the same cohort."""
    from asking import ask  # noqa: PLC0415 - beside this file

    monkeypatch.chdir(sound)
    plain = (sound / "manifest.csv").read_text()
    header, rest = plain.split("\n", 1)
    forms = [
        plain.encode(),
        plain.replace(",", ";").encode(),
        plain.replace(",", "\t").encode(),
        b"\xef\xbb\xbf" + plain.encode(),
        plain.encode("utf-16"),
        plain.replace("\n", "\r\n").encode(),
        f"{header.upper()}\n{rest}".encode(),
        plain.replace("Tc-99m", "99mTc sestamibi").replace("Tl-201", "thallium").encode(),
    ]
    said = []
    for form in forms:
        (sound / "manifest.csv").write_bytes(form)
        assert ask(["check", "experiment.toml"]) == 0
        said.append(capsys.readouterr().out)
    assert len(set(said)) == 1
