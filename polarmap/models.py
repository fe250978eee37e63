"""Trained models outside their run: exported, and predicting new exams."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pandas as pd

from orchestrator.commands.predictions import check_new_table
from orchestrator.driver.ensembles import ensembles_of
from orchestrator.driver.export_model import Format, export_model
from orchestrator.driver.predict import COLUMNS, predict_exams
from orchestrator.export.prediction_file import write_predictions
from orchestrator.ledger import reading
from orchestrator.output_files import private_files
from orchestrator.terminal.progress import progress_for


def export(
    run: reading.Run | str | Path,
    folder: str | Path,
    format: Format,
    *,
    inputs: Literal["stress", "rest", "dual"] | None = None,
    pixels: Literal["uint8", "uint16", "float32"] = "uint16",
) -> Path:
    """Write a run's final networks of one input configuration for other programs, as `polarmap export` does.

    Args:
        run: A run with final networks, or its directory.
        folder: A new or empty folder.
        format: `torch` or `onnx`, one graph; `hub` or `bundle`, weights beside the network's own code.
        inputs: The input configuration; may be left out where the run has only one.
        pixels: The type of the pixels that a graph takes.

    Returns:
        The folder; its `README.md` is the model card.

    Raises:
        IncompleteRunError: The run has no final networks.
        RunDirectoryError: A network is not the one that was trained.
        ExperimentError: The folder is in use, or an extra is missing.
    """
    opened = run if isinstance(run, reading.Run) else reading.open_run(run)
    with private_files():
        export_model(opened, Path(folder), format, inputs=inputs, pixels=pixels)
    return Path(folder)


def predict(
    models: reading.Run | str | Path | Sequence[reading.Run | str | Path],
    manifest: str | Path,
    *,
    out: str | Path | None = None,
) -> pd.DataFrame:
    """Predict new exams with frozen networks, as `polarmap predict` does; labels are not read.

    Args:
        models: A run or an exported folder, or several, which make one ensemble.
        manifest: New exams, as in a cohort's manifest; `label` may be missing.
        out: A new `.csv` or `.parquet` file to write a part at a time; the frame returned is then empty.

    Returns:
        `patient_id, exam_id, tracer, inputs, model, score, probability, threshold, positive, relative_distance,
        outside`.

    Raises:
        IncompleteRunError: A run has no final networks.
        CohortError: The manifest or an image is unusable.
    """
    sources = [models] if isinstance(models, reading.Run | str | Path) else models
    if out is not None:
        check_new_table(Path(out))
    parts = predict_exams(ensembles_of(sources), Path(manifest), progress_for("none"))
    if out is None:
        return pd.concat(parts, ignore_index=True)
    with private_files():
        write_predictions(Path(out), parts)
    return pd.DataFrame(columns=list(COLUMNS))
