"""An exported folder: `config.json` with the digests of the other files, written whole or not at all."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from mpi_model.errors import ExperimentError, RunDirectoryError, WeightsError
from mpi_model.imagenet import weights_digest
from mpi_model.pipeline import BUNDLE_WEIGHTS, WEIGHTS, digest_of, is_as_written
from mpi_model.printable import printable
from mpi_model.regular_files import is_regular, read_regular
from orchestrator.ledger.files import json_object
from orchestrator.ledger.reading import Run
from orchestrator.output_files import make_parents, new_folder

_CONFIG: Final = "config.json"
_MOST_CONFIG: Final = 16 * 2**20
"""Bytes of a configuration; one of three members has 4 kB."""
_FORMAT: Final = 2
"""Version of the configuration."""


_TO_COMPLETE: Final = ("README.md", "LICENSE", "docs/README.md", "configs/metadata.json")
"""Files with slots that only people can fill: no digest, or the finished card would make the folder a damaged one."""


@contextmanager
def export_folder(folder: Path) -> Iterator[Path]:
    """A folder to fill, which gets its name when the block ends.

    Raises:
        ExperimentError: The folder is there already and not empty, or cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ExperimentError(f"{folder} exists already and was not changed; name a new or empty folder")
    make_parents(folder)
    with new_folder(folder) as work:
        yield work


def write_config(folder: Path, config: Mapping[str, Any]) -> None:
    """Write `config.json` last, with the digest of every other file of the folder that is not to be completed."""
    names = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file()]
    digests = {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names if name not in _TO_COMPLETE
    }
    content = {"format": _FORMAT, **config, "files": digests}
    # Of itself, too: another threshold or fusion fits the same weights, and gives other answers.
    content["digest"] = digest_of(content)
    text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    (folder / _CONFIG).write_text(text + "\n", encoding="utf-8")


def is_export(folder: Path) -> bool:
    """Whether a folder was written by `polarmap export`, as far as its names tell."""
    return (folder / _CONFIG).is_file() and not (folder / "experiment.json").exists()


def verify_folder(folder: Path) -> None:
    """Verify `config.json`, and the files that it names.

    Raises:
        ExperimentError: It is damaged, or a file is missing, changed, or not in the folder.
    """
    restore = "restore the folder, or export it again"
    try:
        content = json_object(read_regular(folder / _CONFIG, _MOST_CONFIG))
    except OSError as error:
        raise ExperimentError(f"{folder.name}: {_CONFIG} cannot be read ({error.strerror}); {restore}") from error
    if content is None or content.get("format") != _FORMAT:
        raise ExperimentError(f"{folder.name} is no export of format {_FORMAT}; {restore}")
    digests = content.get("files")
    if not is_as_written(content) or not isinstance(digests, dict):
        raise ExperimentError(f"{folder.name}: {_CONFIG} is not what was exported; {restore}")
    # Weights without a digest would be used unverified.
    used = [name for name in (WEIGHTS, BUNDLE_WEIGHTS) if is_regular(folder / name)]
    for name in sorted({*digests, *used}):
        path = folder / name
        # Names come from the file: an absolute one, one with `..`, or a link, could lead anywhere.
        if not is_regular(path) or os.path.realpath(path) != f"{os.path.realpath(folder)}/{name}":
            raise ExperimentError(f"{folder.name}: a file that config.json names is not in the folder; {restore}")
        if not _is_as_exported(path, digests.get(name)):
            raise ExperimentError(f"{folder.name}: {printable(name)} is not what was exported; {restore}")


def _is_as_exported(path: Path, digest: object) -> bool:
    try:
        return weights_digest(path) == digest
    except WeightsError:  # it cannot be read
        return False


def refuse_links(run: Run) -> None:
    """Refuse a local run directory with a link in it: what it names may lie anywhere.

    Raises:
        RunDirectoryError: There is one.
    """
    root = Path(run.paths.root)
    # On object storage there are no links, and nothing of that name is here.
    for path in root.rglob("*"):
        if path.is_symlink():
            raise RunDirectoryError(
                f"{path.name} of the run directory {root.name} is a link; a run that is exported or predicts holds its "
                "own files: copy it with its content"
            )
