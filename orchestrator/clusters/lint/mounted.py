"""The small text files that a cluster file mounts: pins and environments that its commands rely on."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from orchestrator.clusters.lint.reading import ClusterFile, Place

_MOST_BYTES: Final = 1_000_000


def mounted_texts(file: ClusterFile, suffix: str) -> Iterator[tuple[Place, str]]:
    """The text of every mounted file with that suffix that lies here.

    Ray takes relative paths from where it is called; this looks there, beside the file, and one folder up.
    """
    for remote, local in file.mapping("file_mounts").items():
        named = Path(str(local)).expanduser()
        for folder in (Path.cwd(), file.path.parent, file.path.parent.parent):
            path = folder / named
            if path.suffix == suffix and path.is_file() and path.stat().st_size <= _MOST_BYTES:
                yield ("file_mounts", str(remote)), path.read_text(encoding="utf-8", errors="replace")
                break
