"""The contract of both storages: the same calls leave the same blobs, and none is ever half there."""

import pytest

from mpi_model.errors import RunDirectoryError
from orchestrator.ledger.openings import read_openings, record_opening
from orchestrator.storage.locations import beside, open_storage, resolved


@pytest.fixture(params=["folder", "bucket"])
def location(request, tmp_path):
    """A local folder, or a prefix of a bucket."""
    return str(tmp_path / "run") if request.param == "folder" else f"{request.getfixturevalue('bucket')}/some/run"


def test_what_is_written_is_read_and_listed_by_folder(location):
    """Blobs come back byte for byte; a listing names those of its folder alone, with their sizes, sorted."""
    storage = open_storage(location)
    for name, content in {"cells/b/x": b"12", "cells/a/y": b"", "cells-not": b"1", "top": b"123"}.items():
        storage.write(name, content)
        assert storage.read(name) == content

    assert list(storage.names("cells").items()) == [("cells/a/y", 0), ("cells/b/x", 2)]
    assert set(storage.names("")) == {"cells/a/y", "cells/b/x", "cells-not", "top"}
    assert dict(storage.names("nothing")) == {}
    storage.delete("top")
    storage.delete("top")
    assert not storage.exists("top")
    assert storage.find("top") is None
    with pytest.raises(RunDirectoryError, match="top"):
        storage.read("top")


def test_only_one_creates_and_only_the_unchanged_is_replaced(location):
    """Two writers who read the same state cannot both write: the second is told so."""
    storage, other = open_storage(location), open_storage(location)
    tag = storage.create("one", b"first")
    assert tag is not None
    assert other.create("one", b"second") is None
    assert other.find("one").tag == tag

    newer = other.replace("one", b"third", tag)
    assert newer is not None
    assert storage.replace("one", b"fourth", tag) is None
    assert storage.read("one") == b"third"
    storage.delete("one")
    assert storage.replace("one", b"fifth", newer) is None
    assert not storage.exists("one")


def test_a_file_that_fails_half_way_leaves_the_old_blob(location):
    """An error while a blob is filled keeps what was there, and no leftover is listed."""
    storage = open_storage(location)
    storage.write("table", b"old")

    def fail() -> None:
        with storage.writing("table") as file:
            file.write(b"new")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert storage.read("table") == b"old"
    assert set(storage.names("")) == {"table"}
    with storage.writing("table") as file:
        file.write(b"newer")
    assert storage.read("table") == b"newer"


def test_folders_and_blobs_are_moved_with_all_they_hold(location):
    """What is set aside is there under its new name, whole, and gone from the old one."""
    storage = open_storage(location)
    for name in ("cells/a/COMMIT.json", "cells/a/part", "cells/ab/part"):
        storage.write(name, name.encode())
    storage.move("cells/a", "cells/a.damaged-1")
    storage.move("cells/ab/part", "cells/ab/part.damaged-1")

    assert set(storage.names("")) == {
        "cells/a.damaged-1/COMMIT.json",
        "cells/a.damaged-1/part",
        "cells/ab/part.damaged-1",
    }
    assert storage.read("cells/a.damaged-1/part") == b"cells/a/part"


def test_openings_written_at_the_same_time_are_all_counted(location, monkeypatch):
    """Another experiment that opens the test between our reading and our writing is not overwritten."""
    folder, other = open_storage(location), open_storage(location)
    assert record_opening(folder, "t", "first", "a") == 1
    find, visits = type(folder).find, []

    def interrupted(self, name):
        found = find(self, name)
        if self is folder and not visits:
            visits.append(name)
            assert record_opening(other, "t", "second", "b") == 2
        return found

    monkeypatch.setattr(type(folder), "find", interrupted)
    assert record_opening(folder, "t", "third", "c") == 3
    assert record_opening(folder, "t", "third again", "c") == 3
    assert [line["experiment"] for line in read_openings(other, "t")] == ["first", "second", "third"]
    assert set(open_storage(location).names("")) == {"t"}


def test_locations_are_paths_or_urls(tmp_path):
    """Siblings and equality work for both, and a URL survives a trip through a path."""
    assert beside("s3://bucket/runs/one/", "two") == "s3://bucket/runs/two"
    assert beside(str(tmp_path / "one"), "two") == str(tmp_path / "two")
    assert open_storage("s3:/bucket/runs").location == "s3://bucket/runs"
    assert resolved("s3://b/runs/") == resolved("s3://b/runs")
    assert resolved(str(tmp_path / "x" / ".." / "y")) == str(tmp_path / "y")
