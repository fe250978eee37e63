"""A MONAI bundle: the directory form of its specification, `metadata.json` by its schema of 2024-07-25.

Weights are `models/model.pt`, a state dict that `torch.load(weights_only=True)` reads, as the specification wants it.
"""

import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import torch

from mpi_model.pipeline import BUNDLE_WEIGHTS, Pipeline

_SCHEMA: Final = (
    "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
)
_MONAI: Final = "1.6.1"
"""The version that the bundle was tried with."""
_YOURS: Final = "to be written by you"


def write_bundle(pipeline: Pipeline, config: Mapping[str, Any], folder: Path) -> None:
    """Write weights, `configs/` and `docs/`; the network's code and the reference code are there already.

    Args:
        pipeline: The model.
        config: Its `config.json`.
        folder: The bundle; it holds `README.md`, which becomes `docs/README.md`.
    """
    for name in ("configs", "models", "docs"):
        (folder / name).mkdir()
    torch.save(dict(pipeline.state_dict()), folder / BUNDLE_WEIGHTS)
    (folder / "README.md").rename(folder / "docs" / "README.md")
    (folder / "LICENSE").write_text(f"{_YOURS}: the licence of these weights\n", encoding="utf-8")
    _write_json(folder / "configs" / "metadata.json", _metadata(config))
    _write_json(folder / "configs" / "inference.json", _INFERENCE)


_INFERENCE: Final = {
    "imports": ["$import sys", "$sys.path.insert(0, @bundle_root)", "$import predict"],
    "bundle_root": ".",
    "exams": "$@bundle_root + '/exams.json'",
    "output_file": "$@bundle_root + '/predictions.json'",
    "network_def": {"_target_": "predict.network", "folder": "@bundle_root"},
    "run": ["$predict.judge_list(@network_def, @exams, @output_file)"],
}
"""`predict.py` reads maps and calls the network; what MONAI's transforms would do is inside the network."""


def _metadata(config: Mapping[str, Any]) -> dict[str, Any]:
    tracers: Mapping[str, Any] = config["tracers"]
    endpoints = "; ".join(f"{tracer}: {known['endpoint']}" for tracer, known in tracers.items())
    return {
        "schema": _SCHEMA,
        "version": "0.1.0",
        "changelog": {"0.1.0": "exported by polarmap"},
        "monai_version": _MONAI,
        "pytorch_version": torch.__version__.partition("+")[0],
        "numpy_version": version("numpy"),
        "required_packages_version": {name: version(name) for name in ("torchvision", "safetensors", "pillow")},
        "name": f"polarmap {config['inputs']}",
        "task": f"Classification of SPECT myocardial perfusion polar maps ({endpoints})",
        "description": f"Reads {' and '.join(config['phases'])} polar maps and the tracer; gives a score, a "
        "probability and a decision. Scaling, resampling, the mean of members, calibration, thresholds are inside.",
        "authors": _YOURS,
        "copyright": _YOURS,
        "data_source": _YOURS,
        "intended_use": "Research; not a medical device. See docs/README.md",
        "pred_classes": f"decision: 1 positive, 0 negative, -1 refused ({endpoints})",
        "network_data_format": {
            "inputs": {
                "maps": {
                    "type": "image",
                    "format": "magnitude",
                    "modality": "NM",
                    "num_channels": config["channels"],
                    "spatial_shape": ["*", "*"],
                    "dtype": "uint8, uint16 or float32",
                    "value_range": [],
                    "is_patch_data": False,
                    "channel_def": {str(number): phase for number, phase in enumerate(config["phases"])},
                },
                "tracer": _numbers("int64", {str(known["number"]): tracer for tracer, known in tracers.items()}),
            },
            "outputs": {
                "score": _numbers("float64", {"0": "log odds, mean over members"}),
                "probability": _numbers("float64", {"0": "of a positive exam"}, [0, 1]),
                "decision": _numbers("int64", {"0": "1 positive, 0 negative, -1 refused"}, [-1, 1]),
                "distance": _numbers("float64", {"0": "from the development maps; above 1 is outside"}),
                "outside": _numbers("int64", {"0": "1 outside, 0 inside, -1 not known"}, [-1, 1]),
            },
        },
    }


def _numbers(dtype: str, meaning: dict[str, str], values: list[int] | None = None) -> dict[str, Any]:
    """One number an exam."""
    return {
        "type": "tuples",
        "format": "classes",
        "num_channels": 1,
        "spatial_shape": [],
        "dtype": dtype,
        "value_range": values or [],
        "is_patch_data": False,
        "channel_def": meaning,
    }


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
