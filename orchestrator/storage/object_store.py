"""Blobs as objects of an S3 bucket; the only module that knows obstore.

Credentials come from the environment or the machine's role, as obstore finds them: `AWS_ACCESS_KEY_ID`,
`AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, `AWS_REGION`, `AWS_ENDPOINT_URL`, a container's or an instance's role. A
request is tried again while the storage is away, up to a bound. Each try asks first whether this driver may still
write. So a driver that lost its lock stops between two tries, too.
"""

import datetime
import logging
import re
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import IO, Final, TypeVar
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    GenericError,
    JoinError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import S3Store

from mpi_model.errors import RunDirectoryError
from orchestrator.storage.aws_environment import checked_endpoint
from orchestrator.storage.base import MOST_BYTES, READERS, Version
from orchestrator.storage.holder import Holder, has_died, holder_in
from orchestrator.storage.lease import hold_lease
from orchestrator.storage.log_files import UploadedLog

_LOG = logging.getLogger("polarmap.storage")
_Answer = TypeVar("_Answer")

_LOCK: Final = ".lock"
_TIMEOUT_SECONDS: Final = 100.0
"""Seconds that a storage which answered before may be away; with a last request and the end of a run less than 150."""
_FIRST_TIMEOUT_SECONDS: Final = 15.0
"""Seconds until a storage that never answered is given up: a wrong address should not cost two minutes."""
_REQUEST_SECONDS: Final = 30
"""The longest request for a small blob; `lease._CONFIRMED` counts on it."""
_LOCK_SECONDS: Final = 10
"""The longest request for the lock: what waits for it should learn soon that the storage is away."""
_LARGE: Final = 8 * 2**20
_LARGE_REQUEST_SECONDS: Final = 900
_MULTIPART: Final = 64 * 2**20
"""Larger blobs are sent in parts, which S3 joins at once or not at all."""
_ASKED_FOR: Final = re.compile(r"Error performing \w+ \S+ in \S+ - ")


class ObjectStorage:
    """A prefix of a bucket. See `Storage` for what the methods do."""

    seconds_that_wait = 30.0

    def __init__(self, url: str, timeout: float = _TIMEOUT_SECONDS, request: int | None = None) -> None:
        """Nothing is asked yet.

        Args:
            url: `s3://bucket/prefix`.
            timeout: Seconds that the storage may be away.
            request: Seconds for a small request.

        Raises:
            RunDirectoryError: Data would travel unencrypted to another machine.
        """
        self.location = url.rstrip("/")
        self.timeout = timeout
        self._answered = False
        self._away_since: float | None = None
        """When the first request failed, of whichever thread; None while the storage answers."""
        self._may_write: Callable[[], None] = _always
        # Two clients, because a client has one timeout: a small write must end before the lock can be taken over.
        self._small = _store(url, request or _REQUEST_SECONDS)
        self._large = _store(url, _LARGE_REQUEST_SECONDS)

    def describe(self, name: str) -> str:
        """The URL of an object."""
        return f"{self.location}/{name}"

    def exists(self, name: str) -> bool:
        """Whether the object is there."""
        return self._asked(name, lambda: _absent(lambda: obstore.head(self._small, name))) is not None

    def read(self, name: str) -> bytes:
        """An object that has to be there."""
        found = self.find(name)
        if found is None:
            raise RunDirectoryError(f"cannot read {self.describe(name)} (no such object); restore it")
        return found.content

    def find(self, name: str) -> Version | None:
        """An object with its ETag, or None where there is none."""
        return self._asked(name, lambda: _absent(lambda: self._get(name)))

    def _get(self, name: str) -> Version:
        found = obstore.get(self._large, name)
        if found.meta["size"] > MOST_BYTES:
            raise RunDirectoryError(
                f"{self.describe(name)} has {found.meta['size']} bytes, more than the {MOST_BYTES} that are read; "
                "restore it"
            )
        content = bytes(found.bytes())
        return Version(content=content, tag=str(found.meta["e_tag"]), modified=found.meta["last_modified"])

    def names(self, folder: str) -> Mapping[str, int]:
        """Every object below a prefix, a thousand in one answer."""
        return self._asked(folder, lambda: dict(sorted(self._list(folder))))

    def _list(self, folder: str) -> Iterator[tuple[str, int]]:
        for chunk in obstore.list(self._small, folder or None, chunk_size=1000):
            yield from ((str(item["path"]), int(item["size"])) for item in chunk)

    def write(self, name: str, content: bytes) -> None:
        """One PUT."""
        store = self._small if len(content) < _LARGE else self._large
        self._asked(name, lambda: self._put(store, name, content), writes=True)

    def _put(self, store: S3Store, name: str, content: bytes) -> str:
        return str(obstore.put(store, name, content, use_multipart=len(content) > _MULTIPART)["e_tag"])

    @contextmanager
    def writing(self, name: str) -> Iterator[IO[bytes]]:
        """A nameless local file, sent when the block ends."""
        with tempfile.TemporaryFile() as file:
            yield file
            # Known only after the block has filled the file.
            size = file.tell()
            self._asked(name, lambda: self._send(name, file, size), writes=True)

    def _send(self, name: str, file: IO[bytes], size: int) -> str:
        # Again for each try: the try before may have read to the end.
        file.seek(0)
        return str(obstore.put(self._large, name, file, use_multipart=size > _MULTIPART)["e_tag"])

    def create(self, name: str, content: bytes) -> str | None:
        """PUT with `If-None-Match: *`."""
        return self._conditional(name, content, lambda: obstore.put(self._small, name, content, mode="create")["e_tag"])

    def replace(self, name: str, content: bytes, tag: str) -> str | None:
        """PUT with `If-Match`."""
        return self._conditional(
            name, content, lambda: obstore.put(self._small, name, content, mode={"e_tag": tag})["e_tag"]
        )

    def _conditional(self, name: str, content: bytes, put: Callable[[], str | None]) -> str | None:
        """A refused condition may be our own earlier try, whose answer was lost: then the content is ours."""
        try:
            return str(self._asked(name, put, writes=True))
        except (AlreadyExistsError, PreconditionError):
            found = self.find(name)
            return found.tag if found and found.content == content else None

    def delete(self, *names: str) -> None:
        """Delete objects, a thousand in one request; they may be missing."""
        if names:
            self._asked(names[0], lambda: _absent(lambda: obstore.delete(self._small, names)), writes=True)

    def move(self, name: str, target: str) -> None:
        """Copy, then delete: objects have no names to change. A marker goes first, so that no half is taken for all."""
        pairs = [(old, target + old.removeprefix(name)) for old in self.names(name)] or [(name, target)]
        with ThreadPoolExecutor(READERS) as pool:
            list(pool.map(lambda pair: self._copy(*pair), pairs))
        # COMMIT.json goes first: without it the rest counts as unfinished, never as a whole cell.
        self.delete(*(old for old, _ in pairs if old.endswith(".json")))
        self.delete(*(old for old, _ in pairs if not old.endswith(".json")))

    def _copy(self, old: str, new: str) -> None:
        self._asked(old, lambda: obstore.copy(self._large, old, new), writes=True)

    def sweep(self) -> None:
        """An object is never half there."""

    def now(self) -> datetime.datetime:
        """The clock of the storage: the time it records for a blob written just now."""
        name = f".clock-{uuid.uuid4().hex}"
        self.write(name, b"")
        found = self.find(name)
        self.delete(name)
        return found.modified if found else datetime.datetime.now(datetime.UTC)

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Hold the prefix by a lock object with a heartbeat; from now on every write asks whether it is still held."""
        brief = ObjectStorage(self.location, _FIRST_TIMEOUT_SECONDS, min(_LOCK_SECONDS, _REQUEST_SECONDS))
        with hold_lease(brief, _LOCK, self.timeout) as lease:
            self._may_write = lease.check
            try:
                yield
            finally:
                self._may_write = _always

    def holder(self) -> Holder | None:
        """Who wrote the lock object, unless its holder is known to be gone; this machine's clock is not asked."""
        found = self.find(_LOCK)
        holder = holder_in(found.content) if found else None
        return None if holder is None or has_died(holder) else holder

    def free(self) -> int | None:
        """A bucket has no end."""

    def log_handler(self, name: str) -> logging.Handler:
        """Objects cannot be appended to: the log is kept and sent whole."""
        earlier, brief = self.find(name), ObjectStorage(self.location, _FIRST_TIMEOUT_SECONDS)
        brief._may_write = self._may_write
        return UploadedLog(lambda content: brief.write(name, content), earlier.content if earlier else b"")

    def _asked(self, name: str, request: Callable[[], _Answer], *, writes: bool = False) -> _Answer:
        """The answer to a request, waiting while the storage is away."""
        pause = 0.25
        begun: float | None = None
        while True:
            # Before each try, not once: the lock may be lost while the storage is away.
            if writes:
                self._may_write()
            try:
                answer = request()
            except (GenericError, JoinError) as error:
                timeout = self.timeout if self._answered else min(self.timeout, _FIRST_TIMEOUT_SECONDS)
                now = time.monotonic()
                # One outage, one patience: many requests one after the other would wait many times. And one request,
                # one patience: others may be answered meanwhile, such as a heartbeat beside a file that is too large.
                begun = begun or now
                since = self._away_since = min(begun, self._away_since or now)
                if now - since + pause > timeout:
                    raise self._away(now - since, _first_line(error)) from error
                _LOG.warning("storage is away, trying again: %s", _first_line(error))
                time.sleep(pause)
                # Doubled up to ten seconds, so that many drivers do not keep a recovering storage busy.
                pause = min(2 * pause, 10.0)
            except (AlreadyExistsError, PreconditionError):
                self._away_since = None
                raise
            except (BaseError, OSError) as error:
                raise self._refused(name, error) from error
            else:
                self._answered, self._away_since = True, None
                return answer

    def _away(self, seconds: float, why: str) -> RunDirectoryError:
        # The place, not the object: which one was asked for last says nothing of the cause.
        return RunDirectoryError(
            f"{self.location} could not be reached for {seconds:.0f} s ({why}); what was "
            "finished before is kept: check network, credentials, AWS_REGION and AWS_ENDPOINT_URL, "
            "then run the same command again"
        )

    def _refused(self, name: str, error: Exception) -> RunDirectoryError:
        if isinstance(error, PermissionDeniedError | UnauthenticatedError):
            remedy = "give these credentials s3:GetObject, PutObject, DeleteObject and ListBucket on the prefix"
        elif isinstance(error, FileNotFoundError):
            remedy = "there is no such bucket or object; make the bucket, or correct `storage.runs`"
        else:
            remedy = "check bucket, region and credentials"
        return RunDirectoryError(f"{self.describe(name)} was refused ({type(error).__name__}); {remedy}")


def _store(url: str, seconds: int) -> S3Store:
    bucket, prefix = urlsplit(url).netloc, urlsplit(url).path.strip("/")
    endpoint = checked_endpoint()
    return S3Store(
        bucket,
        prefix=prefix or None,
        client_options={
            "allow_http": endpoint.scheme == "http",
            "timeout": datetime.timedelta(seconds=seconds),
            # Shorter than a request's limit: a wrong address should be reported soon.
            "connect_timeout": datetime.timedelta(seconds=5),
        },
        # Retries are made by `_asked`, which checks the lock before each; the client's own would not.
        retry_config={"max_retries": 0},
    )


def _absent(request: Callable[[], _Answer]) -> _Answer | None:
    try:
        return request()
    except FileNotFoundError:
        return None


def _always() -> None:
    """Without a lock every write passes: the log of openings is written under a condition of its own."""


def _first_line(error: Exception) -> str:
    # Without the object that was asked for when the patience ended: it is not the cause.
    return _ASKED_FOR.sub("", str(error).splitlines()[0])[:160]
