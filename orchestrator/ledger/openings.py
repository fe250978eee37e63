"""Who judged what on which labelled exams, and when: openings of a test partition, uses of a validation cohort.

Both logs, `test_openings/` and `validations/`, stand beside the run directories of a folder and are shared by them.
"""

import datetime
import hashlib
import json
from typing import Final

import pandas as pd

from mpi_model.errors import RunDirectoryError
from orchestrator.hashing import digest
from orchestrator.ledger.files import json_object
from orchestrator.ledger.paths import RunPaths
from orchestrator.storage.base import Storage
from orchestrator.storage.holder import user_name

_KEYS: Final = frozenset({"time", "user", "experiment", "frozen"})


def hash_of_test_exams(exams: pd.DataFrame) -> str:
    """Names a test partition by its patients, exams, tracers and labels."""
    return hash_of_exams(exams[exams["partition"] == "test"])


def hash_of_exams(exams: pd.DataFrame) -> str:
    """Names labelled exams by their patients, exams, tracers and labels; their order does not count."""
    columns = ["patient_id", "exam_id", "tracer", "label"]
    # Sorted and as text: the same test partition has one name, whatever manifest it came from.
    rows = exams.sort_values(["patient_id", "exam_id"])[columns].itertuples(index=False, name=None)
    return digest([[str(value) for value in row] for row in rows])


def frozen_hash(paths: RunPaths, facts_hash: str) -> str:
    """What an opening judges: the bytes of models and thresholds, and the experiment with its statistics."""
    # Both files of a network, the weights and the thresholds in its description, and the baseline's.
    models = [name for name in paths.storage.names("models") if name.endswith((".safetensors", ".json"))]
    contents = [hashlib.sha256(paths.storage.read(name)).hexdigest() for name in models]
    return digest([*contents, facts_hash])


def read_openings(folder: Storage, test: str) -> list[dict[str, str]]:
    """The openings of a test partition, oldest first."""
    found = folder.find(test)
    return _lines(found.content, folder, test) if found else []


def _lines(content: bytes, folder: Storage, name: str) -> list[dict[str, str]]:
    # By line feeds alone: `splitlines` would divide at other bytes, too, and a text may hold them.
    lines = [_line(text) for text in content.split(b"\n") if text.strip()]
    whole = [line for line in lines if line is not None]
    if len(whole) < len(lines):
        kind = folder.location.rpartition("/")[2]
        raise RunDirectoryError(
            f"{kind}/{name[:12]}… holds a line that is damaged; every line counts, so repair it by hand"
        )
    return whole


def _line(content: bytes) -> dict[str, str] | None:
    """One line of a log; None where it is not what was written. Lines of earlier versions have no digest."""
    stored = json_object(content) or {}
    line = {key: value for key, value in stored.items() if key != "digest"}
    if set(line) != _KEYS or not all(isinstance(value, str) for value in line.values()):
        return None
    if "digest" in stored and stored["digest"] != digest(line):
        return None
    return {key: str(value) for key, value in line.items()}


def record_opening(folder: Storage, test: str, experiment: str, frozen: str) -> int:
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
    return len(_appended(folder, test, experiment, frozen, once=True))


def record_validation(folder: Storage, cohort: str, experiment: str, frozen: str) -> list[dict[str, str]]:
    """Append a use of a validation cohort; the same networks once more are another use.

    Args:
        folder: `RUNS/validations`.
        cohort: The cohort's hash, as `hash_of_exams` gives it.
        experiment: The experiment's name.
        frozen: What is judged, as `frozen_hash` gives it.

    Returns:
        All uses of the cohort, oldest first; the last is this one.

    Raises:
        RunDirectoryError: The use cannot be written; nothing is predicted.
    """
    return _appended(folder, cohort, experiment, frozen, once=False)


def _appended(folder: Storage, name: str, experiment: str, frozen: str, *, once: bool) -> list[dict[str, str]]:
    """The lines of a log with this one at the end, unless `once` and it is there already.

    Two experiments may write at the same moment: each writes only over the log that it has read.
    """
    line = {
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "user": user_name(),
        "experiment": experiment,
        "frozen": frozen,
    }
    # Compare and swap: where another experiment has written in between, read again and append to what is there now.
    while True:
        found = folder.find(name)
        lines = _lines(found.content, folder, name) if found else []
        # A run that crashed after this line and came back judges the same models: that is the same opening.
        if once and any(known["frozen"] == frozen for known in lines):
            return lines
        content = (found.content if found else b"") + (
            json.dumps(line | {"digest": digest(line)}, sort_keys=True) + "\n"
        ).encode("utf-8")
        if folder.replace(name, content, found.tag) if found else folder.create(name, content):
            return [*lines, line]
