"""One writer a run directory: what is moved, deleted, replaced or linked is noticed, and no foreign file is written."""

import os
import shutil

import pytest

from mpi_model.errors import RunDirectoryError
from orchestrator.storage.lease import hold_lease
from orchestrator.storage.local import LocalStorage


def _moved(run):
    run.rename(run.with_name("elsewhere"))


def _deleted(run):
    shutil.rmtree(run)


def _replaced(run):
    run.rename(run.with_name("elsewhere"))
    run.mkdir()
    (run / ".lock").write_text("another driver's")


def _unlocked(run):
    (run / ".lock").unlink()


def _locked_by_another(run):
    (run / ".lock").unlink()
    (run / ".lock").write_text("another driver's")


@pytest.mark.parametrize("happens", [_moved, _deleted, _replaced, _unlocked, _locked_by_another])
def test_a_driver_whose_directory_is_gone_writes_nothing_anywhere(happens, tmp_path):
    """After mv, rm or a replacement under a live driver its next write ends it; the path is not made again."""
    run = tmp_path / "run"
    storage = LocalStorage(run)
    with storage.hold():
        storage.write("cells/a/part", b"mine")
        happens(run)
        before = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*"))
        for write in (
            lambda: storage.write("cells/a/COMMIT.json", b"{}"),
            lambda: storage.create("cells/b/COMMIT.json", b"{}"),
            lambda: storage.delete("cells/a/part"),
            lambda: storage.move("cells/a", "cells/c"),
            lambda: storage.read("cells/a/part"),
        ):
            with pytest.raises(RunDirectoryError, match="moved, deleted or replaced"):
                write()
        assert sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*")) == before
    if happens in (_replaced, _locked_by_another):
        assert (run / ".lock").read_text() == "another driver's"


def test_a_directory_that_is_replaced_while_a_file_is_filled_keeps_the_old_one_whole(tmp_path):
    """The rename at the end of a long write is refused, too: a table of one run never lands in another."""
    run = tmp_path / "run"
    storage = LocalStorage(run)

    def fill() -> None:
        with storage.writing("tables/t") as file:
            file.write(b"rows")
            _replaced(run)

    with storage.hold(), pytest.raises(RunDirectoryError, match="replaced"):
        fill()
    assert [path.name for path in run.rglob("*")] == [".lock"]
    assert not (tmp_path / "elsewhere" / "tables" / "t").exists()


@pytest.mark.parametrize("place", ["cells/a/part", "cells/a", "cells", ".lock"])
def test_links_inside_a_run_are_followed_neither_to_read_nor_to_write(place, tmp_path):
    """A link in a run's folder ends with one line; its target stays as it is."""
    run, target = tmp_path / "run", tmp_path / "target"
    LocalStorage(run).write("cells/a/part", b"mine")
    shutil.rmtree(run / "cells") if place == "cells" else None
    if place == "cells/a":
        shutil.rmtree(run / place)
    elif place != "cells":
        (run / place).unlink(missing_ok=True)
    target.mkdir() if place in ("cells", "cells/a") else target.write_bytes(b"a person's own")
    (run / place).symlink_to(target)
    storage = LocalStorage(run)

    if place == ".lock":
        with pytest.raises(RunDirectoryError, match="links inside a run are not followed"), storage.hold():
            pass
    else:
        with pytest.raises(RunDirectoryError, match="not followed"):
            storage.read("cells/a/part")
        assert "cells/a/part" not in storage.names("")
    if place != "cells/a/part" and place != ".lock":
        with pytest.raises(RunDirectoryError, match="not followed"):
            storage.write("cells/a/part", b"foreign")
        assert list(target.iterdir()) == []
    elif target.is_file():
        assert target.read_bytes() == b"a person's own"


def test_a_named_pipe_in_a_run_is_not_waited_for(tmp_path):
    """A pipe in the place of a part or of the lock ends with one line."""
    run = tmp_path / "run"
    run.mkdir()
    for name in ("part", ".lock"):
        os.mkfifo(run / name)
    with pytest.raises(RunDirectoryError, match="no regular file"):
        LocalStorage(run).read("part")
    with pytest.raises(RunDirectoryError, match="no regular file"), LocalStorage(run).hold():
        pass


class _Slept:
    """A storage whose lease another driver took while this one slept."""

    location = "s3://bucket/run"

    def __init__(self) -> None:
        self.content = b""
        self.number = 0

    def find(self, name):
        return None

    def create(self, name, content):
        self.content, self.number = content, 1
        return "1"

    def replace(self, name, content, tag):
        if tag != str(self.number):
            return None
        self.number += 1
        return str(self.number)

    def delete(self, name):
        self.number = 0


def test_a_driver_that_slept_asks_before_it_writes(monkeypatch):
    """Seconds of suspend count (CLOCK_BOOTTIME): a woken driver finds its lock taken over before its next write."""
    storage, seconds = _Slept(), [1000.0]
    monkeypatch.setattr("orchestrator.storage.lease._now", lambda: seconds[0])
    with hold_lease(storage, ".lock", 5.0) as lease:
        lease.check()
        storage.number += 7  # another driver's token
        seconds[0] += 3600
        with pytest.raises(RunDirectoryError, match="taken over"):
            lease.check()
    assert storage.number == 8
