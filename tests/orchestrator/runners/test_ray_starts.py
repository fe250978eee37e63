"""Workers that hang before their first report, a GPU that does not compute, and where a Ray of one's own listens."""

import os
import socket
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import ray
from ray import cloudpickle

from mpi_model.errors import ExperimentError
from orchestrator.runners import deadline, ray_tune
from orchestrator.runners.ray_tune import run_on_tune

pytestmark = [
    pytest.mark.ray,
    pytest.mark.thorough,
    pytest.mark.filterwarnings("ignore"),  # Ray 2.60's own
]
cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import this file
FIRST_REPORT = 10.0
"""Seconds; the worker of a cheap cell takes five of them to import what it needs, on a calm machine."""


class HangsOnce:
    """Hangs the first worker that receives it, while it is unpickled: before any line of ours has run there."""

    def __init__(self, mark: Path, hang, value: object) -> None:
        self.mark, self.hang, self.value = mark, hang, value
        self.driver = os.getpid()

    def __reduce__(self):
        return unpickled, (self.mark, self.hang, self.value, self.driver)


def unpickled(mark: Path, hang, value: object, driver: int) -> object:
    if os.getpid() == driver:
        return HangsOnce(mark, hang, value)  # Tune looks at what it was given, and pickles it once more
    try:
        mark.touch(exist_ok=False)
    except FileExistsError:
        return value
    hang()
    return value


def test_a_worker_that_hangs_before_its_first_word_is_ended_and_its_cell_begins_again(
    tiny, tune_folder, work_of, collected, cheap_work, troubles, tmp_path, monkeypatch
):
    """Lost while it reads what it is given, a worker has reported nothing: its start has a deadline of its own."""
    monkeypatch.setattr(deadline, "_FIRST_REPORT", FIRST_REPORT)
    jobs, context, resources = work_of(tiny, "resources.attempts=3")
    work = HangsOnce(tmp_path / "hung", troubles.hang, cheap_work(tmp_path / "trained", lambda key, number: None))
    run_on_tune(jobs[:2], context, resources, collected, tune_folder / "first_word", work)

    assert (tmp_path / "hung").exists()
    assert {result.state for result, _ in collected.cells} == {"complete"}
    (_, hang) = collected.hangs[0]
    assert hang.worker is None
    assert hang.seconds > FIRST_REPORT
    assert hang.deadline == FIRST_REPORT


def test_a_worker_that_hangs_while_ray_starts_it_is_ended_and_its_cell_begins_again(
    tiny, tune_folder, work_of, collected, cheap_work, troubles, tmp_path, monkeypatch
):
    """Lost before Ray could call it up, a worker is no trial that runs: its time runs from when it got its place."""
    monkeypatch.setattr(deadline, "_FIRST_REPORT", FIRST_REPORT)
    trial, trap = ray_tune._trial, HangsOnce(tmp_path / "hung", troubles.hang, None)

    def trapped(config, context, work, self_test, trap=trap):
        return trial(config, context, work, self_test)

    monkeypatch.setattr(ray_tune, "_trial", trapped)
    jobs, context, resources = work_of(tiny, "resources.attempts=3")
    work = cheap_work(tmp_path / "trained", lambda key, number: None)
    # One cell: with two, a worker that is done with the other one may take this one over before the deadline.
    run_on_tune(jobs[:1], context, resources, collected, tune_folder / "start", work)

    assert (tmp_path / "hung").exists()
    assert {result.state for result, _ in collected.cells} == {"complete"}
    assert collected.hangs
    assert all(hang.worker is None for _, hang in collected.hangs)


def test_a_machine_whose_gpu_does_not_compute_ends_a_run_of_its_own_with_one_line(
    tiny, tune_folder, work_of, collected, cheap_work, tmp_path
):
    """The real self-test, on a machine without a GPU: no cell fails for it, and nothing was trained."""
    jobs, context, resources = work_of(tiny, "resources.gpus_per_cell=0")
    work = cheap_work(tmp_path / "trained", lambda key, number: None)
    with pytest.raises(ExperimentError, match=r"^CUDA does not work on .*driver.*; ") as refused:
        run_on_tune(jobs, replace(context, device="cuda"), resources, collected, tune_folder / "unfit", work)

    assert len(str(refused.value).splitlines()) == 1
    assert collected.cells == []
    assert work.trained() == []
    assert [unfit.line for unfit in collected.unfit_nodes] == [str(refused.value)]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_ray_of_ones_own_listens_on_loopback_alone(tune_folder):
    """Every port that a process of this Ray has open is reached from this machine only, a worker's included."""
    session = ray.get_runtime_context()
    worker = ray.get(ray.remote(lambda: os.getpid()).remote())
    mine = {os.getpid(), worker} | {number for number in processes() if str(tune_folder) in command(number)}
    assert len(mine) > 3  # the control store, the raylet and their helpers
    listening = {address for number in mine for address in addresses(number)}

    assert len(listening) >= 5
    assert {address for address in listening if not is_loopback(address.partition(":")[0])} == set()
    assert session.gcs_address.startswith("127.0.0.1:")


def processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def command(process: int) -> str:
    try:
        return (Path("/proc") / str(process) / "cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def addresses(process: int) -> set[str]:
    """The local addresses and ports, hexadecimal, of the TCP sockets on which a process listens."""
    sockets = set()
    for entry in (Path("/proc") / str(process) / "fd").iterdir():
        try:
            sockets.add(os.readlink(entry))
        except OSError:
            continue
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{process}/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and f"socket:[{words[9]}]" in sockets:
                found.add(words[1])
    return found


def is_loopback(address: str) -> bool:
    """Of an address as the kernel writes it: words of four bytes, each in the machine's order."""
    raw = b"".join(int(address[at : at + 8], 16).to_bytes(4, sys.byteorder) for at in range(0, len(address), 8))
    text = socket.inet_ntop(socket.AF_INET if len(raw) == 4 else socket.AF_INET6, raw)
    return text.startswith(("127.", "::ffff:127.")) or text == "::1"
