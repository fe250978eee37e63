"""A pipeline as one graph with a batch of any size: `torch.export`, and from it ONNX."""

import importlib.util
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

import torch

from mpi_model.errors import ExperimentError
from mpi_model.pipeline import Pipeline

Pixels = Literal["uint8", "uint16", "float32"]
_OPSET: Final = 20
"""The version of ONNX's operators; fixed, so that a runtime that reads one export reads all."""
_OUTPUTS: Final = ("score", "probability", "decision", "distance", "outside")


def write_torch(pipeline: Pipeline, pixels: Pixels, file: Path) -> None:
    """Write `model.pt2`, which `torch.export.load` reads without any of polarmap's code."""
    with _quiet():
        torch.export.save(_exported(pipeline, pixels), file)


def write_onnx(pipeline: Pipeline, pixels: Pixels, file: Path) -> None:
    """Write an ONNX model.

    Raises:
        ExperimentError: The packages of the extra `onnx` are not installed.
    """
    if any(importlib.util.find_spec(name) is None for name in ("onnx", "onnxscript")):
        raise ExperimentError('--format onnx needs the extra onnx: pip install "polarmap-tune[onnx]"')
    with _quiet():
        program = torch.onnx.export(
            _exported(pipeline, pixels),
            input_names=["maps", "tracer"],
            output_names=list(_OUTPUTS),
            opset_version=_OPSET,
            dynamo=True,
            verbose=False,
        )
        assert program is not None  # only the older exporter returns nothing
        program.save(str(file))


def _exported(pipeline: Pipeline, pixels: Pixels) -> torch.export.ExportedProgram:
    """The graph of a pipeline; exams, height and width are free, the type of the pixels is not."""
    config = pipeline.config
    # Three exams, not square: lengths of 1, and equal ones, would be taken for constants.
    shape = (3, config.phases, config.channels, config.size + 5, config.size + 3)
    maps = torch.arange(torch.Size(shape).numel()).remainder(251).reshape(shape).to(getattr(torch, pixels))
    free = torch.export.Dim.DYNAMIC
    dynamic = {"maps": {0: free, 3: free, 4: free}, "tracer": {0: free}}
    with torch.no_grad():
        return torch.export.export(pipeline, (maps, torch.zeros(3, dtype=torch.int64)), dynamic_shapes=dynamic)


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporters' remarks are about their own inside."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
