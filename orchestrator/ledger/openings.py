"""The test partition's logbook: who opened it, when, with what frozen; shared by a folder's experiments."""

import datetime
import getpass
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from mpi_model.errors import RunDirectoryError
from orchestrator.hashing import digest


def test_exams_hash(exams: pd.DataFrame) -> str:
    """Names a test partition by its patients, exams, tracers and labels."""
    test = exams[exams["partition"] == "test"].sort_values(["patient_id", "exam_id"])
    columns = ["patient_id", "exam_id", "tracer", "label"]
    return digest([[str(value) for value in row] for row in test[columns].itertuples(index=False, name=None)])


def frozen_hash(models: Sequence[Path], facts_hash: str) -> str:
    """What an opening judges: the bytes of models and thresholds, and the experiment with its statistics."""
    contents = [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(models)]
    return digest([*contents, facts_hash])


def read_openings(folder: Path, test: str) -> list[dict[str, str]]:
    """The openings of a test partition, oldest first."""
    path = folder / test
    if not path.exists():
        return []
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    try:
        return [json.loads(line) for line in lines]
    except ValueError as error:
        raise RunDirectoryError(
            f"test_openings/{test[:12]}… holds a line that is not whole; every opening counts, so mend it by hand"
        ) from error


def record_opening(folder: Path, test: str, experiment: str, frozen: str) -> int:
    """Append an opening, unless the very same one is written already (a run that crashed and came back).

    Args:
        folder: `RUNS/test_openings`.
        test: The test partition's hash.
        experiment: The experiment's name.
        frozen: What is judged, as `frozen_hash` gives it.

    Returns:
        How many openings the partition has now.

    Raises:
        RunDirectoryError: The opening cannot be written; the test stays closed.
    """
    openings = read_openings(folder, test)
    if any(opening["frozen"] == frozen for opening in openings):
        return len(openings)
    line = {
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "user": _user(),
        "experiment": experiment,
        "frozen": frozen,
    }
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open(os.open(folder / test, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a", encoding="utf-8") as file:
            file.write(json.dumps(line, sort_keys=True) + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise RunDirectoryError(
            f"cannot write the opening of the test partition ({error.strerror}); it stays closed"
        ) from error
    return len(openings) + 1


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
