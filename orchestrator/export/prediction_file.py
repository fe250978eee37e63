"""Predictions written a part at a time into a new CSV or Parquet file, which appears when it is whole."""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from mpi_model.errors import ExperimentError
from orchestrator.ledger.files import COMPRESSION
from orchestrator.ledger.schemas import NUMBER, TEXT, WHOLE

_KINDS: Final = {"positive": WHOLE, "outside": WHOLE}
_NUMBERS: Final = frozenset({"score", "probability", "threshold", "relative_distance"})


def write_predictions(out: Path, parts: Iterable[pd.DataFrame]) -> tuple[int, int]:
    """Write predictions as they come.

    Args:
        out: A `.csv` or `.parquet` file that is not there yet.
        parts: Frames of equal columns; the file appears after the last of them.

    Returns:
        How many predictions, and of how many exams.

    Raises:
        ExperimentError: The file cannot be written.
    """
    work = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    write = _write_csv if out.suffix == ".csv" else _write_parquet
    try:
        counts = write(work, parts)
        # A link fails where the name was taken meanwhile; a rename would replace what is there.
        os.link(work, out)
    except OSError as error:
        raise ExperimentError(
            f"cannot write {out} ({error.strerror}); name a new file in a folder you can write"
        ) from error
    finally:
        with suppress(OSError):
            work.unlink()
    return counts


def _write_csv(work: Path, parts: Iterable[pd.DataFrame]) -> tuple[int, int]:
    rows = exams = 0
    with work.open("w", encoding="utf-8", newline="") as file:
        for part in parts:
            part.to_csv(file, index=False, header=rows == 0)
            rows, exams = rows + len(part), exams + part["exam_id"].nunique()
    return rows, exams


def _write_parquet(work: Path, parts: Iterable[pd.DataFrame]) -> tuple[int, int]:
    rows = exams = 0
    writer: pq.ParquetWriter | None = None
    try:
        for part in parts:
            if writer is None:
                writer = pq.ParquetWriter(work, _schema(part), compression=COMPRESSION)
            # No metadata of pandas: the same rows give the same bytes with every version of it.
            writer.write_table(pa.Table.from_pandas(part, schema=_schema(part), preserve_index=False))
            rows, exams = rows + len(part), exams + part["exam_id"].nunique()
    finally:
        if writer is not None:
            writer.close()
    return rows, exams


def _schema(part: pd.DataFrame) -> pa.Schema:
    return pa.schema([(name, NUMBER if name in _NUMBERS else _KINDS.get(str(name), TEXT)) for name in part.columns])
