"""What Ray writes lies in a folder that ends with its driver."""

import fcntl
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from orchestrator.runners.private_folder import _sweep, private_folder

HOLDER = """
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from orchestrator.runners import private_folder
private_folder._short_folder = lambda: Path(sys.argv[1])
with private_folder.private_folder() as folder:
    (folder / "worker.log").write_text("what a worker said")
    print(folder, flush=True)
    sys.stdin.read()
"""


def test_a_killed_drivers_folder_goes_and_a_living_ones_stays(tmp_path):
    """After kill -9 the logs of its workers lie about until the next run; a run that goes on keeps its own."""
    drivers = [
        subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    folders = [Path(driver.stdout.readline().strip()) for driver in drivers]
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in folders} == {0o700}
    drivers[0].kill()
    drivers[0].communicate()
    _sweep(tmp_path)
    assert [folder.exists() for folder in folders] == [False, True]
    drivers[1].communicate("")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_gone_when_its_run_ends(tmp_path, monkeypatch):
    """Nothing of Ray's is left by a run that ends by itself."""
    monkeypatch.setattr("orchestrator.runners.private_folder._short_folder", lambda: tmp_path)
    with private_folder() as folder:
        assert folder.parent == tmp_path
    assert not folder.exists()


def test_the_sweep_deletes_only_what_it_can_prove_its_own(tmp_path):
    """A folder of that name with another mode, another proof, a copied one, or a link stays as it is."""
    with private_folder_in(tmp_path) as folder:
        proof = (folder / "alive").read_bytes()
    others = {"polarmap-open": (0o755, None), "polarmap-mine": (0o700, b""), "polarmap-copy": (0o700, proof)}
    for name, (mode, content) in others.items():
        (tmp_path / name).mkdir(mode=0o700)
        text = f"a private folder of polarmap: {name}\n".encode() if content is None else content
        (tmp_path / name / "alive").write_bytes(text)
        (tmp_path / name / "work").write_text("a person's own")
        (tmp_path / name).chmod(mode)
    (tmp_path / "polarmap-link").mkdir()
    (tmp_path / "polarmap-link" / "alive").symlink_to(tmp_path / "polarmap-open" / "alive")
    _sweep(tmp_path)

    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*others, "polarmap-link"])
    assert all((tmp_path / name / "work").exists() for name in others)


@contextmanager
def private_folder_in(parent: Path) -> Iterator[Path]:
    """A private folder of this process below a folder of the test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("orchestrator.runners.private_folder._short_folder", lambda: parent)
        with private_folder() as folder:
            yield folder


def test_a_folder_that_another_driver_sweeps_at_the_same_moment_ends_nobody(tmp_path, monkeypatch):
    """Between opening and locking, another driver may have deleted what a killed one left."""
    with private_folder_in(tmp_path) as folder:
        pass
    folder.mkdir(mode=0o700)
    (folder / "alive").write_text("")
    lock = fcntl.flock

    def swept(handle: int, operation: int) -> None:
        shutil.rmtree(folder)
        lock(handle, operation)

    monkeypatch.setattr("orchestrator.runners.private_folder.fcntl.flock", swept)
    _sweep(tmp_path)
    assert list(tmp_path.iterdir()) == []
