"""The log of the test partition: who opened it, when, and what was judged; shared by the experiments of a folder."""

import datetime
import hashlib
import json

import pandas as pd

from mpi_model.errors import RunDirectoryError
from orchestrator.hashing import digest
from orchestrator.ledger.paths import RunPaths
from orchestrator.storage.base import Storage
from orchestrator.storage.holder import user_name


def hash_of_test_exams(exams: pd.DataFrame) -> str:
    """Names a test partition by its patients, exams, tracers and labels."""
    test = exams[exams["partition"] == "test"].sort_values(["patient_id", "exam_id"])
    columns = ["patient_id", "exam_id", "tracer", "label"]
    return digest([[str(value) for value in row] for row in test[columns].itertuples(index=False, name=None)])


def frozen_hash(paths: RunPaths, facts_hash: str) -> str:
    """What an opening judges: the bytes of models and thresholds, and the experiment with its statistics."""
    models = [name for name in paths.storage.names("models") if name.endswith((".safetensors", ".json"))]
    contents = [hashlib.sha256(paths.storage.read(name)).hexdigest() for name in models]
    return digest([*contents, facts_hash])


def read_openings(folder: Storage, test: str) -> list[dict[str, str]]:
    """The openings of a test partition, oldest first."""
    found = folder.find(test)
    return _openings(found.content, test) if found else []


def _openings(content: bytes, test: str) -> list[dict[str, str]]:
    try:
        return [json.loads(line) for line in content.splitlines() if line.strip()]
    except ValueError as error:
        raise RunDirectoryError(
            f"test_openings/{test[:12]}… holds a line that is damaged; every opening counts, so repair it by hand"
        ) from error


def record_opening(folder: Storage, test: str, experiment: str, frozen: str) -> int:
    """Append an opening, unless the very same one is written already (a run that crashed and came back).

    Two experiments may open a test at the same moment: each writes only over the logbook that it has read.

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
    line = {
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "user": user_name(),
        "experiment": experiment,
        "frozen": frozen,
    }
    # Compare and swap: where another experiment has written in between, read again and append to what is there now.
    written = None
    while written is None:
        found = folder.find(test)
        openings = _openings(found.content, test) if found else []
        # A run that crashed after this line and came back judges the same models: that is the same opening.
        if any(opening["frozen"] == frozen for opening in openings):
            return len(openings)
        content = (found.content if found else b"") + (json.dumps(line, sort_keys=True) + "\n").encode("utf-8")
        written = folder.replace(test, content, found.tag) if found else folder.create(test, content)
    return len(openings) + 1
