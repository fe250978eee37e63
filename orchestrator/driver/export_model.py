"""Exports a run's final networks: one folder that holds one model, in a format that other programs read."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import safetensors.torch

from mpi_model.determinism import single_threaded
from mpi_model.errors import ExperimentError
from mpi_model.pipeline import WEIGHTS
from mpi_model.vocabulary import INPUTS, PHASES_OF, TRACERS, Inputs
from orchestrator.driver.final_model import FinalModel
from orchestrator.export import reference_code
from orchestrator.export.bundle import write_bundle
from orchestrator.export.card import model_card
from orchestrator.export.folder import export_folder, write_config
from orchestrator.export.graphs import Pixels, write_onnx, write_torch
from orchestrator.export.network_code import copy_network_code
from orchestrator.ledger.description import RunDescription
from orchestrator.ledger.reading import Run

Format = Literal["torch", "onnx", "hub", "bundle"]


def export_model(
    run: Run, folder: Path, format: Format, *, inputs: str | None = None, pixels: Pixels = "uint16"
) -> None:
    """Write a run's final networks of one input configuration into a new folder.

    Args:
        run: A run with final networks.
        folder: A new or empty folder.
        format: `torch` and `onnx` are one graph; `hub` and `bundle` are weights beside the network's own code.
        inputs: The input configuration; may be left out where the run has one.
        pixels: What the graph's maps are made of; the other two formats take every kind.

    Raises:
        IncompleteRunError: The run has no final networks.
        RunDirectoryError: A network is not the one that was trained.
        ExperimentError: The folder is in use, the input configuration is unknown, or an extra is missing.
    """
    if format not in get_args(Format) or pixels not in get_args(Pixels):
        known = ", ".join(get_args(Format))
        raise ExperimentError(f"`format` is one of {known}, `pixels` of {', '.join(get_args(Pixels))}; correct them")
    description = run.description
    model = FinalModel.of(run, _chosen_inputs(run, inputs))
    is_graph = format in ("torch", "onnx")
    config = _config(model, description, pixels if is_graph else None)
    with export_folder(folder) as work, single_threaded():
        (work / "README.md").write_text(model_card(run, config), encoding="utf-8")
        (work / "predict.py").write_bytes(Path(str(reference_code.__file__)).read_bytes())
        if format == "torch":
            write_torch(model.pipeline, pixels, work / "model.pt2")
        elif format == "onnx":
            write_onnx(model.pipeline, pixels, work / "model.onnx")
        else:
            copy_network_code(work / "code")
        if format == "hub":
            safetensors.torch.save_file(dict(model.pipeline.state_dict()), work / WEIGHTS)
        if format == "bundle":
            write_bundle(model.pipeline, config, work)
        write_config(work, config)


def _config(model: FinalModel, description: RunDescription, pixels: Pixels | None) -> dict[str, Any]:
    """Everything about the model that is no weight, as JSON values."""
    shape = model.pipeline.config
    return {
        "model_type": "polarmap",
        "inputs": shape.inputs,
        "phases": list(PHASES_OF[shape.inputs]),
        "size": shape.size,
        "channels": shape.channels,
        "scale": "8-bit pictures are divided by 255, counts by each map's own maximum",
        "pixels": pixels,
        "members": shape.to_dict()["members"],
        "tracers": _tracers(model, description.settings.statistics.endpoints),
        "run": {
            "name": description.name,
            "experiment": description.hash,
            "plan": description.plan,
            "begun": description.begun,
            "versions": {
                name.removeprefix("versions."): text
                for name, text in description.facts.items()
                if name.startswith("versions.")
            },
        },
    }


def _tracers(model: FinalModel, endpoints: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for tracer, known in model.known.items():
        number = TRACERS.index(tracer)
        found[tracer] = {
            "number": number,
            "endpoint": endpoints.get(tracer, ""),
            "threshold": float(model.pipeline.threshold[number]),
            "calibration": [
                {"slope": by_tracer[number].slope, "intercept": by_tracer[number].intercept}
                for by_tracer in model.decisions
            ],
            "development_exams": known.exams,
            "development_patients": known.patients,
            "distance_quantiles": known.quantiles,
            "distance_unknown_because": known.reason,
        }
    return found


def _chosen_inputs(run: Run, named: str | None) -> Inputs:
    """The input configuration that was named, or the only one that the run has.

    Raises:
        ExperimentError: The run has no such configuration, or several and none was named.
    """
    here = run.description.settings.cohort.inputs
    if named is None and len(here) == 1:
        return here[0]
    if named not in here or named not in INPUTS:
        raise ExperimentError(f"--inputs takes one of this run's input configurations ({', '.join(here)}), got {named}")
    return named
