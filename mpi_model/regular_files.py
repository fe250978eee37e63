"""Opens files that a person names: regular ones only, of bounded size, without waiting for anybody.

A named pipe would wait for ever, a device never ends, and a folder has no content. What is refused here is an
`OSError` whose `strerror` says why, so that a caller words it like a file that is not there.
"""

import errno
import io
import os
import stat
from pathlib import Path

_KINDS = (
    (stat.S_ISDIR, "it is a folder, not a file"),
    (stat.S_ISFIFO, "it is a named pipe, not a file"),
    (stat.S_ISSOCK, "it is a socket, not a file"),
    (stat.S_ISCHR, "it is a device, not a file"),
    (stat.S_ISBLK, "it is a device, not a file"),
)


def open_regular(path: Path, most: int) -> io.BufferedReader:
    """Open a regular file for reading.

    Args:
        path: Links are followed: a person may keep data elsewhere.
        most: The largest file that is opened, in bytes.

    Raises:
        OSError: It is not there, not a regular file, or larger.
    """
    try:
        # Without O_NONBLOCK the open itself would wait for the writer of a named pipe.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except ValueError as error:  # a null character, which no name can hold
        raise OSError(errno.EINVAL, "its name holds a null character") from error
    try:
        # Of what was opened, not of the path, which may name something else by now.
        status = os.fstat(handle)
        for is_kind, words in _KINDS:
            if is_kind(status.st_mode):
                raise OSError(errno.EINVAL, words)
        if status.st_size > most:
            raise OSError(errno.EFBIG, f"it has {status.st_size} bytes, more than the {most} that are read")
        return open(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def read_regular(path: Path, most: int) -> bytes:
    """The content of a regular file.

    Raises:
        OSError: As `open_regular`; also where it grows beyond `most` while it is read.
    """
    with open_regular(path, most) as file:
        # One more than allowed: files of /proc say that they have no bytes, and have.
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"it has more than the {most} bytes that are read")
    return content


def is_regular(path: Path) -> bool:
    """Whether a regular file of that name is there; False for names that no file can have."""
    try:
        return path.is_file()
    except OSError:  # a name longer than the file system allows
        return False
