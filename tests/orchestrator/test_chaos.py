"""A short form of `make chaos`: real runs under real Ray, struck while cells are under way, held against a calm one."""

import random

import pytest

from validation.chaos.faults import cut_storage, fill_disk, hang_worker, kill_driver, kill_worker, pause_driver
from validation.chaos.rounds import Moments, make_bucket, play, undisturbed
from validation.chaos.stage import may_mount, s3_server

pytestmark = pytest.mark.ray

AT_ONCE = Moments(early=0.0, latest=1.0)
"""Every strike falls while cells are under way."""


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    """An undisturbed run without Ray."""
    return undisturbed(tmp_path_factory.mktemp("calm") / "run")


@pytest.mark.skipif(not may_mount(), reason="filling a disk needs a small one: root, and leave to mount a tmpfs")
@pytest.mark.thorough
def test_a_full_disk_and_a_killed_worker_cost_no_row(calm, tmp_path):
    """The same command goes on after a full disk, and a run outlives its worker, told in polarmap's words alone."""
    faults = [("disk full", fill_disk), ("worker killed", kill_worker)]
    played = play(tmp_path / "local", faults, random.Random(0), None, calm, AT_ONCE)

    assert played.problem == ""
    assert played.resumed == ["disk full"]
    assert played.endured == ["worker killed"]


@pytest.mark.slow  # minutes: a driver starts three times; `make test-nodes`, and CI
def test_on_object_storage_a_killed_driver_and_an_outage_cost_no_row(calm, tmp_path):
    """The lock of a driver that was killed is taken over, and a storage that is away for seconds is waited for."""
    faults = [("driver killed", kill_driver), ("storage away", cut_storage)]
    with s3_server() as server:
        make_bucket(server)
        played = play(tmp_path / "remote", faults, random.Random(1), server, calm, AT_ONCE)

    assert played.problem == ""
    assert played.resumed == ["driver killed"]
    assert played.endured == ["storage away"]


@pytest.mark.slow  # minutes: two runs, and the deadline of a hung worker; `make test-nodes`, and CI
@pytest.mark.parametrize(("name", "fault"), [("worker hung", hang_worker), ("driver paused", pause_driver)])
def test_a_run_outlives_a_hung_worker_and_its_own_pause(name, fault, calm, tmp_path):
    """A stopped worker is ended at its deadline and its cell done again; a driver that was stopped goes on."""
    played = play(tmp_path / "local", [(name, fault)], random.Random(2), None, calm, AT_ONCE)

    assert played.problem == ""
    assert played.endured == [name]
