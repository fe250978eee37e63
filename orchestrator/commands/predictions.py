"""Verbs that apply a run's final networks to other exams: predict, validate."""

import argparse
import os
from pathlib import Path

import pandas as pd

from mpi_model.errors import ExperimentError
from mpi_model.vocabulary import PHASES, TRACERS, Phase
from orchestrator.cohort.manifest import ManifestExam
from orchestrator.cohort.spellings import tracer_of
from orchestrator.driver.ensembles import ensembles_of
from orchestrator.driver.predict import predict_exams, predict_images
from orchestrator.driver.validate import validate_cohorts
from orchestrator.export.prediction_file import write_predictions
from orchestrator.ledger.files import table_bytes
from orchestrator.ledger.reading import open_run
from orchestrator.output_files import new_named_file
from orchestrator.report.validation import predictions_of, validation_report
from orchestrator.terminal.progress import progress_for
from orchestrator.terminal.tables import print_report


def predict(arguments: argparse.Namespace) -> int:
    """`polarmap predict RUN… MANIFEST --out FILE`, or `polarmap predict RUN… --stress IMAGE --tracer TRACER`."""
    out: Path | None = arguments.out
    if out is not None:
        check_new_table(out)
    explained: Path | None = arguments.explain
    if explained is not None:
        check_new_table(explained, "--explain")
        if out is not None and os.path.realpath(explained) == os.path.realpath(out):
            raise ExperimentError("`--out` and `--explain` name one file; name two")
    if arguments.tracer is not None and arguments.stress is None and arguments.rest is None:
        raise ExperimentError(
            "`--tracer` belongs to `--stress` and `--rest`; leave it out, a manifest names its own tracers"
        )
    images = {phase: path for phase in PHASES if (path := getattr(arguments, phase)) is not None}
    *sources, last = arguments.sources
    if explained is not None and (images or len(sources) != 1):
        raise ExperimentError(
            "`--explain` takes one run and a manifest: polarmap predict RUN MANIFEST --out … --explain …"
        )
    if images:
        exam = _exam_of(images, arguments.tracer)
        found = predict_images(ensembles_of([*sources, last]), exam, progress_for())
        print(_answers_text(found))
        if out is not None:
            write_table(out, found.drop(columns=["patient_id", "exam_id"]))
        return 0
    if not sources or out is None:
        raise ExperimentError(
            "`polarmap predict` needs RUN… MANIFEST --out FILE, or RUN… --stress IMAGE --tracer TRACER"
        )
    if explained is not None:
        # Before anything is written: a refusal leaves no half of what was asked for.
        _write_explanations(explained, sources[0], Path(last))
    predictions, exams = write_predictions(out, predict_exams(ensembles_of(sources), Path(last), progress_for()))
    print(f"{out} written: {predictions} predictions of {exams} exams")
    return 0


def _exam_of(images: dict[Phase, Path], tracer: str | None) -> ManifestExam:
    """One exam that was named by its images."""
    known = tracer_of(tracer or "")
    if known is None:
        raise ExperimentError(f"--tracer takes {' or '.join(TRACERS)}; a network answers by the exam's tracer")
    return ManifestExam(
        row=0,
        patient_id="",
        exam_id="",
        tracer=known,
        label=None,
        partition="test",
        exam_date="",
        images=images,
        carried={},
    )


def _answers_text(found: pd.DataFrame) -> str:
    """One line an input configuration."""
    lines = []
    for row in found.to_dict(orient="records"):
        said = "positive" if row["positive"] else "negative"
        where = "not known whether outside" if pd.isna(row["outside"]) else "OUTSIDE" if row["outside"] else "inside"
        lines.append(
            f"{row['inputs']}: probability {row['probability']:.4f}, threshold {row['threshold']:.4f}: {said}; "
            f"{where} the development maps ({row['model']})"
        )
    return "\n".join(lines)


def validate(arguments: argparse.Namespace) -> int:
    """`polarmap validate RUN MANIFEST…`."""
    out: Path | None = arguments.out
    if out is not None:
        check_new_table(out)
    run = open_run(arguments.run)
    found = validate_cohorts(run, arguments.manifests, progress_for())
    if out is not None:
        write_table(out, predictions_of(found))
    print_report(validation_report(run, found), arguments.format, full=arguments.full)
    return 0


def _write_explanations(out: Path, run: str, manifest: Path) -> None:
    """Where the scores of new exams come from, in a new file that only its user can read (the command's mask)."""
    from orchestrator.driver.explain_new import explain_new_exams  # noqa: PLC0415 - captum, an extra

    write_table(out, explain_new_exams(open_run(run), manifest, progress_for()))
    print(f"{out} written: identifying, attributions of single patients' maps")


def check_new_table(out: Path, option: str = "--out") -> None:
    """Refuse a file that is there already or of another kind, before anything is predicted.

    Raises:
        ExperimentError: It is.
    """
    if out.exists() or out.suffix not in (".csv", ".parquet"):
        raise ExperimentError(f"{option} takes a new .csv or .parquet file, but got {out.name}")


def write_table(out: Path, found: pd.DataFrame) -> None:
    """Write predictions as CSV or Parquet, as the file's name says."""
    content = found.to_csv(index=False).encode("utf-8") if out.suffix == ".csv" else table_bytes(found)
    # Refused where the name was taken meanwhile: predicting takes a while.
    new_named_file(out, content)
