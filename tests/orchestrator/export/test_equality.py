"""An exported model says what `polarmap predict` says: 200 simulated exams, batches of 1, 7 and 64."""

import itertools
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import torch
from PIL import Image

from mpi_model.determinism import single_threaded
from mpi_model.pipeline import load_pipeline
from orchestrator.driver.export_model import export_model
from polarmap.models import predict

OUTPUTS = ("score", "probability", "decision", "distance", "outside")

KINDS = tuple(itertools.product(("tracer", "shared", "separate"), ("stress", "rest", "dual")))
BATCHES = (1, 7, 64)
WITHIN = 1e-5
GRAPHS = [("torch", "separate", "dual"), ("onnx", "separate", "dual")]


def exams_of(phantoms: Path, inputs: str) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """The new exams as anybody reads them: 16-bit pixels and a tracer's number."""
    rows = pd.read_csv(phantoms / "new" / "exams.csv", dtype=str)
    phases = ("stress", "rest") if inputs == "dual" else (inputs,)
    maps = np.stack(
        [
            np.stack([np.asarray(Image.open(phantoms / "new" / row[phase]))[None] for phase in phases])
            for _, row in rows.iterrows()
        ]
    )
    assert maps.dtype == np.uint16
    return rows, maps, (rows["tracer"] == "Tl-201").to_numpy(np.int64)


def answers_of(folder: Path, form: str, maps: np.ndarray, tracer: np.ndarray, batch: int) -> dict[str, np.ndarray]:
    """What the exported folder says, `batch` exams at a time."""
    parts = [(maps[first : first + batch], tracer[first : first + batch]) for first in range(0, len(maps), batch)]
    if form == "onnx":
        session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
        found = [session.run(list(OUTPUTS), {"maps": one, "tracer": number}) for one, number in parts]
    else:
        model = torch.export.load(folder / "model.pt2").module() if form == "torch" else load_pipeline(folder)
        with single_threaded(), torch.inference_mode():
            found = [
                [answer.numpy() for answer in model(torch.from_numpy(one), torch.from_numpy(number))]
                for one, number in parts
            ]
    return {name: np.concatenate([part[place] for part in found]) for place, name in enumerate(OUTPUTS)}


def check(phantoms: Path, folder: Path, form: str, run, inputs: str) -> float:
    """Compare an exported folder with `predict`; the largest difference of two probabilities."""
    rows, maps, tracer = exams_of(phantoms, inputs)
    predicted = predict(run, phantoms / "new" / "exams.csv")
    mine = predicted[predicted["inputs"] == inputs].set_index("exam_id").loc[rows["exam_id"]]
    largest = 0.0
    for batch in BATCHES:
        found = answers_of(folder, form, maps, tracer, batch)
        differences = np.abs(found["probability"] - mine["probability"].to_numpy())
        largest = max(largest, float(differences.max()))
        np.testing.assert_array_equal(found["decision"], mine["positive"].to_numpy())
        np.testing.assert_allclose(found["score"], mine["score"].to_numpy(), atol=WITHIN)
        np.testing.assert_allclose(found["distance"], mine["relative_distance"].to_numpy(), atol=WITHIN)
        np.testing.assert_array_equal(found["outside"], mine["outside"].to_numpy())
    assert largest <= WITHIN
    # A model that says the same of everybody would pass everything above.
    assert predicted["positive"].nunique() == 2
    assert np.ptp(mine["probability"]) > 100 * WITHIN
    return largest


@pytest.mark.thorough
@pytest.mark.parametrize(("heads", "inputs"), KINDS)
def test_the_hub_model_says_what_predict_says(phantoms, run_with, tmp_path, heads, inputs):
    """Every kind of head and input configuration: scaling, members, calibration, threshold and limits are inside."""
    export_model(run_with(heads), tmp_path / "out", "hub", inputs=inputs)
    check(phantoms, tmp_path / "out", "hub", run_with(heads), inputs)


@pytest.mark.thorough
@pytest.mark.parametrize(("form", "heads", "inputs"), GRAPHS)
def test_a_graph_says_what_predict_says(phantoms, run_with, tmp_path, form, heads, inputs):
    """The hardest kind, separate encoders and both phases, as one graph with a free batch."""
    export_model(run_with(heads), tmp_path / "out", form, inputs=inputs)
    check(phantoms, tmp_path / "out", form, run_with(heads), inputs)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["torch", "onnx", "bundle"])
@pytest.mark.parametrize(("heads", "inputs"), KINDS)
def test_every_format_says_what_predict_says(phantoms, run_with, tmp_path, form, heads, inputs):
    """The whole table of docs/exporting.md."""
    export_model(run_with(heads), tmp_path / "out", form, inputs=inputs)
    print(form, heads, inputs, check(phantoms, tmp_path / "out", form, run_with(heads), inputs))
