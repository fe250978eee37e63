"""The files of a source: a folder, a ZIP archive, archives inside either, or one file.

Nothing is extracted to disk under a name of the source, no link is followed, and every read is bounded. A file is
known by its number, its place in the order of paths; its path may name a patient and is used for matching only,
never for a message.
"""

import os
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Final

from mpi_model.errors import CohortError, ExperimentError
from mpi_model.regular_files import is_regular
from orchestrator.cohort.problems import Problem

_LARGEST_FILE: Final = 512 * 2**20
"""Bytes of one file, unpacked."""
_LARGEST_RATIO: Final = 200
"""Unpacked bytes over packed bytes of an archive, above `_RATIO_FROM` bytes."""
_RATIO_FROM: Final = 256 * 2**20
_DEEPEST: Final = 4
"""Archives inside archives."""
_MOST_FILES: Final = 1_000_000

_NOT_DATA: Final = frozenset({"dicomdir", "thumbs.db", "desktop.ini", "__macosx"})


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """One file of a source."""

    number: int
    """1-based place in the order of paths: what messages, the sheet and `import.json` call it."""
    path: str
    """Inside the source, `/` between the parts, an archive counting as a folder. It may name a patient."""
    member: zipfile.ZipInfo | None
    """Where it lies in its archive."""


class Source:
    """An opened source; a context manager, because archives stay open while their files are read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problems: list[Problem] = []
        self.files: tuple[SourceFile, ...] = ()
        self._archives: dict[str, zipfile.ZipFile] = {}
        self._open = ExitStack()

    def __enter__(self) -> "Source":
        if not os.path.isdir(self.path) and not is_regular(self.path):
            raise ExperimentError(
                f"there is no folder and no file {str(self.path)[:200]}; name a folder, a ZIP archive or a file"
            )
        # By the parts of a path, so that numbers do not depend on the operating system or the file system.
        found = sorted(self._found(), key=lambda item: item[0].split("/"))
        files = [
            SourceFile(number=number, path=name, member=member) for number, (name, member, _) in enumerate(found, 1)
        ]
        wrong = [(file.number, why) for file, (_, _, why) in zip(files, found, strict=True) if why]
        self.problems = [file_problem(number, "unsafe or unreadable file", why) for number, why in wrong]
        refused = {number for number, _ in wrong}
        self.files = tuple(file for file in files if file.number not in refused)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._open.close()

    def read(self, file: SourceFile) -> bytes:
        """The bytes of a file.

        Raises:
            CohortError: It cannot be read or is larger than `_LARGEST_FILE`; the message does not name it.
        """
        try:
            with self._stream(file) as stream:
                # One byte more than allowed: a size in an archive's directory may be false.
                content = stream.read(_LARGEST_FILE + 1)
        except MemoryError:
            raise
        except Exception as error:  # a damaged archive raises nearly anything
            raise CohortError(f"the file cannot be read ({type(error).__name__}); copy it again") from error
        if len(content) > _LARGEST_FILE:
            raise CohortError(_TOO_LARGE)
        return content

    def _stream(self, file: SourceFile) -> IO[bytes]:
        if file.member is None:
            return (self.path if self.path.is_file() else self.path / file.path).open("rb")
        return self._archives[_archive_of(file.path, self._archives)].open(file.member)

    def _found(self) -> Iterator[tuple[str, zipfile.ZipInfo | None, str]]:
        """Every file's path, its place in an archive, and what is wrong with it, if anything."""
        if self.path.is_file():
            # Where a link leads: the source itself may be one.
            yield from self._one(Path(os.path.realpath(self.path)), self.path.name)
            return
        count = 0
        for folder, folders, names in os.walk(self.path, onerror=_unreadable, followlinks=False):
            # In place: this is how `os.walk` is kept from entering a folder.
            folders[:] = [name for name in folders if _is_data(name)]
            links = [name for name in folders if (Path(folder) / name).is_symlink()]
            for name in [*filter(_is_data, names), *links]:
                count += 1
                if count > _MOST_FILES:
                    raise CohortError(f"the source has more than {_MOST_FILES} files; import it in parts")
                full = Path(folder) / name
                yield from self._one(full, full.relative_to(self.path).as_posix())

    def _one(self, full: Path, name: str) -> Iterator[tuple[str, zipfile.ZipInfo | None, str]]:
        status = full.lstat()
        if stat.S_ISLNK(status.st_mode):
            # A link inside the tree shows a file that is found anyway.
            if not os.path.exists(full):
                yield name, None, "a link that leads nowhere; put the file in its place"
            elif not Path(os.path.realpath(full)).is_relative_to(os.path.realpath(self.path)):
                yield name, None, "a link out of the source; put a copy of the file in its place"
        elif not stat.S_ISREG(status.st_mode):
            yield name, None, "neither a file nor a folder; take it out of the source"
        elif status.st_size > _LARGEST_FILE and not name.lower().endswith(".zip"):
            yield name, None, _TOO_LARGE
        elif name.lower().endswith(".zip"):
            with full.open("rb") as stream:
                yield from self._members(self._kept(stream, full), name, depth=1)
        else:
            yield name, None, ""

    def _kept(self, stream: IO[bytes], full: Path | None) -> IO[bytes]:
        """An archive as a file that stays open: itself, or a nameless copy of one that lies in another."""
        if full is not None:
            return self._open.enter_context(full.open("rb"))
        copy = self._open.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - the stack closes it
        while block := stream.read(2**20):
            copy.write(block)
            if copy.tell() > _LARGEST_FILE:
                raise CohortError(_TOO_LARGE)
        return copy

    def _members(self, stream: IO[bytes], prefix: str, depth: int) -> Iterator[tuple[str, zipfile.ZipInfo | None, str]]:
        try:
            archive = self._open.enter_context(zipfile.ZipFile(stream))
        except MemoryError:
            raise
        except Exception as error:  # zipfile raises nearly anything on a damaged directory
            yield prefix, None, f"the archive cannot be read ({type(error).__name__}); make it again"
            return
        self._archives[prefix] = archive
        members = [member for member in archive.infolist() if not member.is_dir()]
        packed = max(stream.seek(0, os.SEEK_END), 1)
        total = sum(member.file_size for member in members)
        if len(members) > _MOST_FILES or (total > _RATIO_FROM and total > _LARGEST_RATIO * packed):
            yield prefix, None, f"the archive unpacks to more than {_LARGEST_RATIO} times its size; unpack it yourself"
            return
        for member in members:
            name = f"{prefix}/{member.filename}"
            if not all(map(_is_data, member.filename.split("/"))):
                continue
            if why := _member_problem(member):
                yield name, member, why
            elif not name.lower().endswith(".zip"):
                yield name, member, ""
            elif depth >= _DEEPEST:
                yield name, member, f"more than {_DEEPEST} archives inside one another; unpack them"
            else:
                try:
                    with archive.open(member) as inner:
                        copy = self._kept(inner, None)
                except CohortError as error:
                    yield name, member, str(error)
                except MemoryError:
                    raise
                except Exception as error:  # zipfile raises nearly anything on damaged data
                    yield name, member, f"the archive cannot be read ({type(error).__name__}); make it again"
                else:
                    yield from self._members(copy, name, depth + 1)


_TOO_LARGE: Final = f"larger than {_LARGEST_FILE // 2**20} MiB; take it out of the source"


def file_problem(number: int, kind: str, line: str) -> Problem:
    """A problem of one file, which is named by its number."""
    return Problem(kind=kind, line=f"file {number}: {line}")


def _unreadable(error: OSError) -> None:
    """A folder that is passed over would take its patients with it, without a word."""
    raise CohortError(
        f"a folder of the source cannot be read ({error.strerror}); give access to it, or take it out of the source"
    ) from error


def _member_problem(member: zipfile.ZipInfo) -> str:
    if stat.S_ISLNK(member.external_attr >> 16):
        return "a link in an archive; put the file in its place"
    if member.flag_bits & 0x1:
        return "encrypted; unpack the archive with its password"
    return _TOO_LARGE if member.file_size > _LARGEST_FILE else ""


def _is_data(name: str) -> bool:
    """Whether a name may be a file of the source, and not something that systems leave behind."""
    hidden = name.startswith(".") and name.strip(".") != ""  # parts such as `..` of an archive's paths are only text
    return not hidden and name.casefold() not in _NOT_DATA


def _archive_of(path: str, archives: dict[str, zipfile.ZipFile]) -> str:
    """The innermost archive that holds a path."""
    # The longest prefix: an archive inside another has the longer name.
    return max((prefix for prefix in archives if path.startswith(f"{prefix}/")), key=len)
