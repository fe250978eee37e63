"""Judge exams with the exported model in this folder.

    python predict.py --tracer Tl-201 --stress stress.png --rest rest.png

Give the maps that `config.json` asks for under "phases". Needs numpy and Pillow, and beside them, as the folder holds:
onnxruntime for model.onnx; torch for model.pt2; torch, torchvision and safetensors for model.safetensors.

This file is the reference of how to call the model from other programs. It refuses a folder that was changed, reads an
image without changing a pixel, refuses what the model cannot answer, and prints what the model says.
"""

import argparse
import hashlib
import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Judge = Callable[[NDArray[Any], NDArray[np.int64]], dict[str, NDArray[Any]]]
_FOLDER = Path(__file__).resolve().parent
_OUTPUTS = ("score", "probability", "decision", "distance", "outside")
_SMALLEST, _LARGEST = 8, 4096
"""Pixels a side of a map."""


def _configuration(folder: Path = _FOLDER) -> dict[str, Any]:
    """The folder's `config.json`; it and every file that it names have to be those that were exported."""
    config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    said = {name: value for name, value in config.items() if name != "digest"}
    text = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    for name, digest in {**config["files"], "config.json": config["digest"]}.items():
        there = text.encode("utf-8") if name == "config.json" else (folder / name).read_bytes()
        if hashlib.sha256(there).hexdigest() != digest:
            sys.exit(f"{name} is not what was exported; restore the folder")
    return config


_CONFIG = _configuration() if (_FOLDER / "config.json").exists() else {}


def _read_map(path: Path, channels: int) -> NDArray[Any]:
    """The pixels of one map as they are stored: `[channels, height, width]`.

    PNG, JPEG or TIFF of 8 bits, a picture; of 16 bits, counts; or counts in an NPY file. Scaling and resampling are
    part of the model.
    """
    pixels = np.load(path, allow_pickle=False) if path.suffix.lower() == ".npy" else _image_pixels(path)
    shorter, longer = sorted(pixels.shape[:2])
    if shorter < _SMALLEST or longer > _LARGEST or 4 * longer > 5 * shorter:
        sys.exit(f"{path.name} is no map: it is about square, with {_SMALLEST} to {_LARGEST} pixels a side")
    if pixels.dtype.itemsize > 8:
        sys.exit(f"{path.name} holds numbers of more than 64 bits; save counts as float64")
    if pixels.dtype != np.uint8:
        # Pillow gives 16-bit counts as 32-bit integers on some platforms.
        pixels = pixels.astype(np.uint16 if pixels.dtype.kind in "ui" and pixels.max() < 2**16 else np.float32)
    colours: NDArray[Any] = pixels[np.newaxis] if pixels.ndim == 2 else np.moveaxis(pixels[:, :, :3], 2, 0)
    if colours.shape[0] == channels:
        return colours
    if channels == 3 and colours.shape[0] == 1:
        return np.repeat(colours, 3, axis=0)
    if (colours == colours[:1]).all():
        return colours[:1]
    sys.exit(f"{path.name} is a colour image, but the model was trained on grey maps; export it alike")


def _image_pixels(path: Path) -> NDArray[Any]:
    """An image as grey or RGB: `[height, width]` or `[height, width, 3]`."""
    image_module = importlib.import_module("PIL.Image")
    with image_module.open(path) as image:
        if getattr(image, "n_frames", 1) != 1:
            sys.exit(f"{path.name} has several frames; save one map a file")
        is_tiff, is_count = image.format == "TIFF", image.mode.startswith(("I", "F"))
        # Asked first: reading the other marks of a PNG unpacks it. Pillow makes 8 bits of these without a word.
        if not is_count and any(";16" in str(tile) for tile in image.tile):
            sys.exit(f"{path.name} has 16 bits in colour or with transparency; save counts as plain grey")
        # Tag 262 of TIFF: white is zero. Tag 274 of Exif: shown turned; of TIFF, Pillow has turned it already.
        if (is_tiff and is_count and image.tag_v2.get(262) == 0) or (not is_tiff and image.getexif().get(274, 1) > 1):
            sys.exit(f"{path.name} is shown turned, or with white as zero; save it upright, with black as zero")
        if is_count:
            return np.asarray(image)
        return np.asarray(image.convert("L" if image.mode in ("1", "L", "LA", "La") else "RGB"))


def exam(maps: dict[str, Path], tracer: str) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """One exam as the model's two inputs: `[1, phases, channels, height, width]` and `[1]`."""
    missing = [phase for phase in _CONFIG["phases"] if phase not in maps]
    if missing:
        sys.exit(f"the model reads {' and '.join(_CONFIG['phases'])}; the {missing[0]} map is missing")
    if tracer not in _CONFIG["tracers"]:
        sys.exit(f"the model knows {' and '.join(_CONFIG['tracers'])}, not {tracer}")
    found = [_read_map(maps[phase], _CONFIG["channels"]) for phase in _CONFIG["phases"]]
    if len({(one.shape, one.dtype) for one in found}) > 1:
        sys.exit("stress and rest differ in size or kind of pixels; export them alike")
    return np.stack(found)[np.newaxis], np.array([_CONFIG["tracers"][tracer]["number"]], dtype=np.int64)


def load(folder: Path = _FOLDER) -> Judge:
    """The folder's model as a function of `maps` and `tracer` that returns arrays by the names of `_OUTPUTS`."""
    if (folder / "model.onnx").exists():
        runtime = importlib.import_module("onnxruntime")
        session = runtime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
        return lambda maps, tracer: dict(
            zip(_OUTPUTS, session.run(_OUTPUTS, {"maps": maps, "tracer": tracer}), strict=True)
        )
    return _judging(network(folder))


def _judging(model: Any) -> Judge:  # noqa: ANN401 - a torch module, where torch is there
    """A torch module as a function of arrays."""
    torch = importlib.import_module("torch")

    def judge(maps: NDArray[Any], tracer: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        with torch.inference_mode():
            answers = model(torch.from_numpy(maps), torch.from_numpy(tracer))
        return {name: answer.numpy() for name, answer in zip(_OUTPUTS, answers, strict=True)}

    return judge


def network(folder: str | Path = _FOLDER) -> Any:  # noqa: ANN401 - a torch module, where torch is there
    """The folder's model as a torch module; its answer is a tuple in the order of `_OUTPUTS`."""
    if (Path(folder) / "model.pt2").exists():
        return importlib.import_module("torch").export.load(Path(folder) / "model.pt2").module()
    # The network's own modules, as they are in polarmap.
    sys.path.insert(0, str(Path(folder) / "code"))
    return importlib.import_module("mpi_model.pipeline").load_pipeline(folder)


def _judge_one(judge: Judge, maps: dict[str, Path], tracer: str) -> dict[str, object]:
    """What the model says of one exam."""
    pixels, number = exam(maps, tracer)
    due = _CONFIG.get("pixels")
    if due and pixels.dtype != due:
        sys.exit(f"this model takes {due} pixels, the images have {pixels.dtype}; export with --pixels {pixels.dtype}")
    found = {name: values[0].item() for name, values in judge(pixels, number).items()}
    if found["decision"] < 0:
        sys.exit("the model refuses this exam: a map is empty, or holds values that are no counts")
    known = _CONFIG["tracers"][tracer]
    return {
        "endpoint": known["endpoint"],
        "probability": found["probability"],
        "threshold": known["threshold"],
        "positive": bool(found["decision"]),
        # A warning, not a verdict: the maps are unlike those that the networks were trained on.
        "outside": None if found["outside"] < 0 else bool(found["outside"]),
        "relative_distance": None if found["outside"] < 0 else found["distance"],
        "score": found["score"],
    }


def judge_list(model: Any, exams: str | Path, out: str | Path) -> None:  # noqa: ANN401 - a torch module
    """Judge the exams of a JSON list, `[{"tracer": "Tl-201", "stress": "stress.png"}]`; paths are relative to it."""
    listed = json.loads(Path(exams).read_text(encoding="utf-8"))
    folder = Path(exams).resolve().parent
    found = [
        _judge_one(
            _judging(model), {phase: folder / one[phase] for phase in ("stress", "rest") if phase in one}, one["tracer"]
        )
        for one in listed
    ]
    Path(out).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def _main() -> None:
    """Read the arguments, judge one exam, print one JSON object."""
    arguments = argparse.ArgumentParser(description="Judge one exam with the model in this folder.")
    arguments.add_argument("--tracer", required=True, help="Tc-99m or Tl-201")
    for phase in ("stress", "rest"):
        arguments.add_argument(f"--{phase}", type=Path, help=f"the {phase} map")
    given = arguments.parse_args()
    maps = {phase: path for phase, path in (("stress", given.stress), ("rest", given.rest)) if path is not None}
    print(json.dumps(_judge_one(load(), maps, given.tracer)))


if __name__ == "__main__":
    _main()
