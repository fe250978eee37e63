"""What every test may rely on: the real data where it is at hand, and an environment without surprises."""

import os
from pathlib import Path

import pytest


def _shared_data_folder() -> Path:
    beside_the_repository = Path(__file__).resolve().parents[2] / "shared" / "data"
    return Path(os.environ.get("POLARMAP_SHARED_DATA", beside_the_repository))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data; a test that needs it is skipped, and says so, where it is absent."""
    folder = _shared_data_folder()
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder} (set POLARMAP_SHARED_DATA)")
    return folder


@pytest.fixture(autouse=True)
def _no_borrowed_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's own weight cache."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch-home"))
