"""Locations: the path of a local folder, or `s3://bucket/prefix`; and the storage behind each."""

import os
import re
from pathlib import Path
from typing import Final

from mpi_model.errors import RunDirectoryError
from orchestrator.experiment.bounds import BUCKET
from orchestrator.storage.base import Storage
from orchestrator.storage.local import LocalStorage
from orchestrator.storage.object_store import ObjectStorage

# One slash or more: `Path("s3://bucket")` keeps only one.
_S3: Final = re.compile(r"s3:/+")


def open_storage(location: str | Path) -> Storage:
    """The storage at a location; nothing is made or asked yet.

    Args:
        location: A folder, or a URL; one that went through `Path` and lost a slash is understood, too.

    Raises:
        RunDirectoryError: It begins as a URL and is no name of a bucket with a prefix.
    """
    text = str(location)
    if _S3.match(text):
        url = _S3.sub("s3://", text, count=1)
        # A storage that was never there would be asked again for seconds.
        if not BUCKET.fullmatch(url):
            raise RunDirectoryError(f"{url[:200]!r} is no s3://bucket/prefix; correct the name")
        return ObjectStorage(url)
    return LocalStorage(Path(text))


def beside(location: str, name: str) -> str:
    """The location of that name in the same folder."""
    if _S3.match(location):
        return f"{location.rstrip('/').rpartition('/')[0]}/{name}"
    return str(Path(os.path.abspath(location)).parent / name)


def resolved(location: str) -> str:
    """The same text for the same place."""
    # Links of a local path are followed; a bucket has none.
    return location.rstrip("/") if _S3.match(location) else os.path.realpath(location)
