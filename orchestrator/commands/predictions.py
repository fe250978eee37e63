"""`polarmap predict`: the final networks on new exams."""

import argparse
from pathlib import Path

from mpi_model.errors import ExperimentError
from orchestrator.driver.predict import predict_exams
from orchestrator.ledger.files import parquet_bytes
from orchestrator.ledger.reading import open_run
from orchestrator.output_files import write_named_file
from orchestrator.terminal.progress import progress_for


def predict(arguments: argparse.Namespace) -> int:
    """`polarmap predict RUN MANIFEST --out FILE`."""
    out: Path = arguments.out
    if out.exists() or out.suffix not in (".csv", ".parquet"):
        raise ExperimentError(f"--out takes a new .csv or .parquet file, but got {out.name}")
    found = predict_exams(open_run(arguments.run), arguments.manifest, progress_for())
    text = found.to_csv(index=False).encode("utf-8")
    write_named_file(out, text if out.suffix == ".csv" else parquet_bytes(found))
    print(f"{out} written: {len(found)} predictions of {found['exam_id'].nunique()} exams")
    return 0
