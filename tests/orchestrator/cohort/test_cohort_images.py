"""Decoding: what a file means does not depend on its container, its size or the machine."""

import io
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mpi_model.errors import CohortError
from orchestrator.cohort.images import _linear_weights, area_weights, read_map

DISC = np.add.outer(np.arange(16), np.arange(16)).astype(np.uint8) * 7


def _png(path: Path, pixels: np.ndarray, mode: str | None = None) -> Path:
    picture = Image.fromarray(pixels)
    (picture.convert(mode) if mode else picture).save(path)
    return path


def _npy(path: Path, array: np.ndarray) -> Path:
    np.save(path, array)
    return path


def test_eight_bit_pixels_are_divided_by_255_and_not_by_their_maximum(tmp_path: Path) -> None:
    """A display-scaled map keeps its level: a pixel of 210 stays 210/255 though nothing is brighter."""
    stored = read_map(_png(tmp_path / "a.png", DISC), size=16)
    np.testing.assert_array_equal(stored[0], DISC.astype(np.uint16) * 257)


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32, np.float64])
def test_counts_are_percent_of_their_own_peak_in_any_type(tmp_path: Path, dtype: type) -> None:
    """The gain of a camera or of an export does not reach the network."""
    counts: np.ndarray = DISC.astype(dtype)
    one = read_map(_npy(tmp_path / "a.npy", counts), size=16)
    five = read_map(_npy(tmp_path / "b.npy", counts * dtype(5)), size=16)
    np.testing.assert_allclose(one[0], DISC / 210.0 * 65535, atol=0.51)
    np.testing.assert_array_equal(five, one)


WRITERS: dict[str, Callable[[Path], Path]] = {
    "grey PNG": lambda folder: _png(folder / "m.png", DISC),
    "grey TIFF": lambda folder: _png(folder / "m.tif", DISC),
    "grey with alpha": lambda folder: _png(folder / "m.png", DISC, "LA"),
    "grey as colour": lambda folder: _png(folder / "m.png", DISC, "RGB"),
    "colour with alpha": lambda folder: _png(folder / "m.png", DISC, "RGBA"),
    "palette": lambda folder: _png(folder / "m.png", DISC, "P"),
    "8-bit NPY": lambda folder: _npy(folder / "m.npy", DISC),
    "NPY with a channel": lambda folder: _npy(folder / "m.npy", DISC[:, :, np.newaxis]),
    "NPY of three channels": lambda folder: _npy(folder / "m.npy", np.stack([DISC] * 3, axis=2)),
}


@pytest.mark.parametrize("container", WRITERS)
def test_one_map_is_the_same_pixels_in_every_container(tmp_path: Path, container: str) -> None:
    """Identity is judged on decoded pixels, so a PNG and an NPY of one map must be equal."""
    stored = read_map(WRITERS[container](tmp_path), size=16)
    assert stored.shape == (1, 16, 16)
    np.testing.assert_array_equal(stored[0], DISC.astype(np.uint16) * 257)


def test_sixteen_bit_png_tiff_npy_and_npz_hold_the_same_counts(tmp_path: Path) -> None:
    """Sixteen bits are counts wherever they are stored, and none of their bits is lost."""
    counts = (DISC.astype(np.uint16) + 1) * 250 + 3
    np.savez(tmp_path / "a.npz", whatever=counts)
    paths = [
        _png(tmp_path / "a.png", counts),
        _png(tmp_path / "a.tif", counts),
        _npy(tmp_path / "a.npy", counts),
        tmp_path / "a.npz",
    ]
    expected = np.rint(counts / counts.max() * 65535)
    for path in paths:
        np.testing.assert_array_equal(read_map(path, size=16)[0], expected)


def test_a_coloured_map_keeps_its_channels_in_order(tmp_path: Path) -> None:
    """Red stays the first channel of three."""
    colour = np.stack([DISC, DISC // 2, DISC * 0], axis=2)
    stored = read_map(_png(tmp_path / "a.png", colour), size=16)
    np.testing.assert_array_equal(stored, np.moveaxis(colour, 2, 0).astype(np.uint16) * 257)


@pytest.mark.parametrize(("source", "target"), [(16, 16), (16, 8), (20, 8), (17, 12)])
def test_shrinking_is_the_exact_area_average(tmp_path: Path, source: int, target: int) -> None:
    """Every new pixel is the exact mean over its area, worked out here in fractions, pixel by pixel."""
    pixels = np.random.default_rng(3).integers(0, 256, (source, source)).astype(np.uint8)
    stored = read_map(_npy(tmp_path / "a.npy", pixels), size=target)[0]
    step = Fraction(source, target)

    def covered(new: int, old: int) -> Fraction:
        return max(Fraction(0), min((new + 1) * step, Fraction(old + 1)) - max(new * step, Fraction(old)))

    for row, column in [(0, 0), (1, target - 1), (target // 2, 3), (target - 1, target - 1)]:
        total = sum(
            covered(row, i) * covered(column, j) * int(pixels[i, j])
            for i in range(source)
            for j in range(source)
            if covered(row, i) and covered(column, j)
        )
        assert abs(int(stored[row, column]) - float(total / step**2) * 257) <= 0.51


def test_growing_interpolates_between_centres_and_keeps_a_ramp(tmp_path: Path) -> None:
    """A linear ramp stays linear where it is interpolated, and edges repeat the outermost pixel."""
    ramp = np.broadcast_to(np.arange(10, dtype=np.uint8) * 20, (10, 10)).copy()
    stored = read_map(_npy(tmp_path / "a.npy", ramp), size=40)[0, 0]
    centres = (np.arange(40) + 0.5) / 4 - 0.5
    np.testing.assert_allclose(stored, np.interp(centres, np.arange(10), ramp[0]) * 257, atol=0.51)


@pytest.mark.parametrize(("source", "target"), [(8, 8), (9, 8), (4096, 224), (8, 1024), (24, 32)])
def test_resampling_weights_are_whole_numbers_of_one_total(source: int, target: int) -> None:
    """Sums stay exact in float64, the reason why stored pixels cannot depend on the machine."""
    weights = (area_weights if target <= source else _linear_weights)(source, target)
    assert weights.shape == (target, source)
    assert (weights == np.rint(weights)).all()
    assert set(weights.sum(axis=1)) == {source if target <= source else 2 * target}
    assert weights[0].sum() ** 2 * 2**24 < 2**53


def test_a_map_that_is_not_quite_square_is_centred_on_zeros(tmp_path: Path) -> None:
    """Padding, not stretching: a ring stays round."""
    stored = read_map(_npy(tmp_path / "a.npy", DISC[:, 1:15]), size=16)[0]
    np.testing.assert_array_equal(stored[:, 1:15], DISC[:, 1:15].astype(np.uint16) * 257)
    assert not stored[:, [0, 15]].any()


def _several_frames(folder: Path) -> Path:
    Image.fromarray(DISC).save(folder / "m.tif", save_all=True, append_images=[Image.fromarray(DISC)])
    return folder / "m.tif"


def _two_arrays(folder: Path) -> Path:
    np.savez(folder / "m.npz", a=DISC, b=DISC)
    return folder / "m.npz"


def _pickled(folder: Path) -> Path:
    np.save(folder / "m.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    return folder / "m.npy"


def _text(folder: Path, name: str = "m.png") -> Path:
    (folder / name).write_text("hello")
    return folder / name


def _truncated(folder: Path) -> Path:
    stream = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (64, 64)).astype(np.uint8)
    Image.fromarray(noise).save(stream, "png")
    (folder / "m.png").write_bytes(stream.getvalue()[:-1500])
    return folder / "m.png"


def _damaged_archive(folder: Path) -> Path:
    np.savez_compressed(folder / "m.npz", a=np.random.default_rng(0).normal(size=(64, 64)))
    content = bytearray((folder / "m.npz").read_bytes())
    content[200:260] = b"x" * 60
    (folder / "m.npz").write_bytes(content)
    return folder / "m.npz"


def _grey_with_alpha_16(folder: Path) -> Path:
    """A 16-bit grey + alpha PNG, which Pillow cannot write: header and rows by hand."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    rows = b"".join(b"\0" + b"".join(struct.pack(">HH", 257 * i + j, 65535) for j in range(8)) for i in range(8))
    head = struct.pack(">IIBBBBB", 8, 8, 16, 4, 0, 0, 0)
    parts = [chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    (folder / "m.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    return folder / "m.png"


BAD: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing": (lambda folder: folder / "m.png", "no such file"),
    "a folder": (lambda folder: folder, "it is a folder, not a file"),
    "not an image": (_text, "cannot be read as PNG, JPEG or TIFF"),
    "not an array": (lambda folder: _text(folder, "m.npy"), "array cannot be read"),
    "truncated": (_truncated, "cannot be read as PNG"),
    "damaged archive": (_damaged_archive, "array cannot be read"),
    "pickle": (_pickled, "this array is 1"),
    "two arrays": (_two_arrays, "holds 2 arrays, not one"),
    "two frames": (_several_frames, "has 2 frames, not one"),
    "half the depth lost": (_grey_with_alpha_16, "would lose half its depth; save counts as plain grey"),
    "four channels": (lambda f: _npy(f / "m.npy", np.ones((9, 9, 4))), "this array is 9 × 9 × 4"),
    "one number": (lambda f: _npy(f / "m.npy", np.array(3.0)), "a single number"),
    "complex": (lambda f: _npy(f / "m.npy", DISC * 1j), "holds real numbers"),
    "text array": (lambda f: _npy(f / "m.npy", DISC.astype(str)), "holds real numbers"),
    "montage": (lambda f: _npy(f / "m.npy", np.hstack([DISC, DISC])), "32 × 16; cut out one map"),
    "tiny": (lambda f: _npy(f / "m.npy", DISC[:4, :4]), "a side must be 8 to 4096 pixels"),
    "NaN": (lambda f: _npy(f / "m.npy", np.where(DISC == 7, np.nan, DISC)), "NaN or infinite"),
    "infinite": (lambda f: _npy(f / "m.npy", np.where(DISC == 7, np.inf, DISC)), "NaN or infinite"),
    "negative": (lambda f: _npy(f / "m.npy", DISC.astype(int) - 1), "negative counts"),
    "all zero": (lambda f: _png(f / "m.png", DISC * 0), "empty: every pixel has one value"),
    "one colour": (lambda f: _png(f / "m.png", np.full((9, 9, 3), (9, 5, 1), np.uint8)), "one value"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_file_that_is_not_one_map_is_refused_without_naming_it(tmp_path: Path, case: str) -> None:
    """Every refusal says what is wrong in one line and keeps the patient's file path to itself."""
    make, fragment = BAD[case]
    path = make(tmp_path)
    with pytest.raises(CohortError) as caught:
        read_map(path, size=16)
    assert type(caught.value) is CohortError
    assert fragment in str(caught.value)
    assert len(caught.value.problems) == 1
    assert path.name not in str(caught.value)


SHORT_OF_MEMORY = """
import resource, sys
from pathlib import Path
import numpy as np
from orchestrator.cohort.images import read_map

pages = int(Path("/proc/self/statm").read_text().split()[0])
most = pages * resource.getpagesize() + 8 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (most, most))
try:
    read_map(Path(sys.argv[1]), size=16)
except MemoryError:
    raise SystemExit(9)
"""


@pytest.mark.parametrize("write", [_png, _npy])
def test_a_lack_of_memory_is_not_taken_for_a_damaged_map(tmp_path: Path, write: Callable[..., Path]) -> None:
    """A person is not told to export a sound map again where 8 MiB are left and the map takes 32."""
    path = write(tmp_path / f"map.{write.__name__[1:]}", np.full((4096, 4096), 7, dtype=np.uint16))
    found = subprocess.run(
        [sys.executable, "-c", SHORT_OF_MEMORY, str(path)], capture_output=True, text=True, check=False, timeout=120
    )
    assert found.returncode == 9, found.stderr
