"""Verbs that apply a run's final networks to other exams: predict, validate."""

import argparse
from pathlib import Path

import pandas as pd

from mpi_model.errors import ExperimentError
from orchestrator.driver.predict import predict_exams
from orchestrator.driver.validate import validate_cohorts
from orchestrator.ledger.files import parquet_bytes
from orchestrator.ledger.reading import open_run
from orchestrator.output_files import write_named_file
from orchestrator.report.validation import predictions_of, validation_report
from orchestrator.terminal.progress import progress_for
from orchestrator.terminal.tables import print_report


def predict(arguments: argparse.Namespace) -> int:
    """`polarmap predict RUN MANIFEST --out FILE`, and `--explain FILE`."""
    out: Path = arguments.out
    explained: Path | None = arguments.explain
    check_new_table(out)
    if explained is not None:
        check_new_table(explained, "--explain")
    run = open_run(arguments.run)
    found = predict_exams(run, arguments.manifest, progress_for())
    if explained is not None:
        from orchestrator.driver.explain_new import explain_new_exams  # noqa: PLC0415 - captum, an extra

        # Before anything is written: a refusal leaves no half of what was asked for.
        table = explain_new_exams(run, arguments.manifest, progress_for())
        # A new file, made under the command's mask: only its user can read it (0600).
        write_table(explained, table)
        print(f"{explained} written: identifying, attributions of single patients' maps")
    write_table(out, found)
    print(f"{out} written: {len(found)} predictions of {found['exam_id'].nunique()} exams")
    return 0


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


def check_new_table(out: Path, option: str = "--out") -> None:
    """Refuse a file that is there already or of another kind, before anything is predicted.

    Raises:
        ExperimentError: It is.
    """
    if out.exists() or out.suffix not in (".csv", ".parquet"):
        raise ExperimentError(f"{option} takes a new .csv or .parquet file, but got {out.name}")


def write_table(out: Path, found: pd.DataFrame) -> None:
    """Write predictions as CSV or Parquet, as the file's name says."""
    text = found.to_csv(index=False).encode("utf-8")
    write_named_file(out, text if out.suffix == ".csv" else parquet_bytes(found))
