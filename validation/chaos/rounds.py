"""Rounds of chaos: a run is struck until it is done, and held against an undisturbed one."""

import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import boto3

from validation.chaos.cohort import write_experiment
from validation.chaos.faults import LOCAL, REMOTE, Fault, Victim, fill_disk, trial_workers
from validation.chaos.stage import BUCKET, Relay, Stage, may_mount, small_disk

MOST_STARTS: Final = 12
LONGEST_START: Final = 1500.0
"""Seconds. A worker that is stopped before its first report is given up after 15 minutes (docs/faults.md)."""
DECIDED: Final = ("tables/cells", "tables/candidates", "tables/epochs", "tables/predictions", "models/")
"""What an undisturbed run and a struck one have to have alike; timings differ."""


NamedFault = tuple[str, Fault]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """When strikes fall."""

    early: float = 0.2
    """Share of the strikes that fall before the first worker is up."""
    seconds: float = 0.0
    """Of a run under Ray, within the first half of which those fall."""
    latest: float = 4.0
    """Seconds after the first worker is up within which the others fall."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What became of a round. A strike that came after the run had ended is in neither list."""

    starts: int
    endured: list[str]
    """Faults after which the run that was struck ended well by itself."""
    resumed: list[str]
    """Faults that ended it; the same command went on."""
    problem: str
    """What is not as it should be, or nothing."""


def undisturbed(folder: Path) -> dict[str, bytes]:
    """The deciding files of a run without Ray and without faults."""
    experiment = write_experiment(folder, runs="runs")
    subprocess.run(_command(experiment, "inline"), check=True, env=_environment(folder), capture_output=True)
    return local_result(folder / "runs")


def seconds_under_ray(folder: Path) -> float:
    """How long an undisturbed run takes here and now."""
    experiment, start = write_experiment(folder, runs="runs"), time.monotonic()
    subprocess.run(_command(experiment, "ray"), check=True, env=_environment(folder), capture_output=True)
    return time.monotonic() - start


def drawn(remote: bool, dice: random.Random, disk: bool) -> list[NamedFault]:
    """One to three faults; the disk is filled only where there is a small one."""
    faults = REMOTE if remote else LOCAL
    possible = [(name, fault) for name, fault in faults.items() if disk or fault is not fill_disk]
    return [dice.choice(possible) for _ in range(dice.randint(1, 3))]


def play(
    folder: Path,
    faults: Sequence[NamedFault],
    dice: random.Random,
    server: int | None,
    calm: Mapping[str, bytes],
    moments: Moments,
) -> Played:
    """One round, to its end.

    Args:
        folder: A new folder.
        faults: What strikes, one fault a start.
        dice: Decides the moments.
        server: The port of the S3 server that the run is kept on; None for a local folder.
        calm: The files of an undisturbed run.
        moments: When the faults strike.
    """
    with ExitStack() as stack:
        relay = Relay(server) if server is not None else None
        if relay is not None:
            stack.callback(relay.end)
        disk = stack.enter_context(small_disk(folder / "disk")) if server is None and may_mount() else None
        runs = f"s3://{BUCKET}/{folder.name}" if relay is not None else str(folder / "disk" / "runs")
        stage = Stage(
            experiment=write_experiment(folder / "experiment", runs=runs),
            runs=runs,
            temporary=Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="c-", dir="/tmp"))),
            environment={},
            disk=disk,
            relay=relay,
        )
        stage.environment = _environment(stage.temporary, relay.port if relay is not None else None)
        played = struck_until_done(stage, faults, dice, moments)
        if played.problem:
            return played
        found = local_result(Path(runs)) if server is None else remote_result(server, folder.name)
    return replace(played, problem=difference(calm, found))


def struck_until_done(stage: Stage, faults: Sequence[NamedFault], dice: random.Random, moments: Moments) -> Played:
    """Start the run until it ends well, with a fault in each start while any are left."""
    waiting = list(faults)
    endured: list[str] = []
    resumed: list[str] = []
    for start in range(1, MOST_STARTS + 1):
        driver = subprocess.Popen(
            _command(stage.experiment, "ray"),
            env=stage.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        name, fault = waiting.pop(0) if waiting else ("", None)
        hit = fault is not None and _strike(Victim(driver=driver, stage=stage, dice=dice), fault, moments)
        try:
            told, said = driver.communicate(timeout=LONGEST_START)
        except subprocess.TimeoutExpired:
            driver.kill()
            return Played(starts=start, endured=endured, resumed=resumed, problem="the run hangs")
        finally:
            stage.free_disk()
        if hit:
            (endured if driver.returncode == 0 else resumed).append(name)
        if foreign := foreign_lines(told + said):
            problem = f"not polarmap's words: {foreign[0]}"
            return Played(starts=start, endured=endured, resumed=resumed, problem=problem)
        if driver.returncode == 0 and not waiting:
            return Played(starts=start, endured=endured, resumed=resumed, problem="")
    problem = f"not done after {MOST_STARTS} starts: {said.strip().splitlines()[-1:]}"
    return Played(starts=MOST_STARTS, endured=endured, resumed=resumed, problem=problem)


def _strike(victim: Victim, fault: Fault, moments: Moments) -> bool:
    """Strike at a random moment: mostly while cells are under way, sometimes while the run comes up.

    A fault that finds nothing to hit tries again until it does, or the run is over.
    """
    early = victim.dice.random() < moments.early
    delay = victim.dice.uniform(0.1, 0.5) * moments.seconds if early else victim.dice.uniform(0, moments.latest)
    moment = time.monotonic() + delay if early else None
    while victim.driver.poll() is None:
        if moment is None and trial_workers(victim.driver.pid):
            moment = time.monotonic() + delay
        if moment is not None and time.monotonic() >= moment and fault(victim):
            return True
        time.sleep(0.02)
    return False


def foreign_lines(said: str) -> list[str]:
    """Lines that are no answer to a person: tracebacks, and what Ray says of its processes.

    Where Ray's control store is gone, Ray's core itself ends the driver, with a line of its own that stays: there is
    no other.
    """
    return [line for line in said.splitlines() if re.search(r"Traceback|\(raylet\)|ray::", line)]


def local_result(runs: Path) -> dict[str, bytes]:
    """The deciding files of a run in a local folder, and its number of test openings."""
    root = runs / "chaos"
    files = {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}
    openings = [line for path in (runs / "test_openings").iterdir() for line in path.read_bytes().splitlines()]
    found = {name: path.read_bytes() for name, path in files.items() if name.startswith(DECIDED)}
    return found | {"test openings": str(len(openings)).encode()}


def remote_result(server: int, prefix: str) -> dict[str, bytes]:
    """The same of a run on object storage, read without polarmap."""
    client = _storage(server)
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{prefix}/")
    names = [item["Key"] for page in pages for item in page.get("Contents", [])]
    content = {name: client.get_object(Bucket=BUCKET, Key=name)["Body"].read() for name in names}
    root = f"{prefix}/chaos/"
    found = {name.removeprefix(root): value for name, value in content.items() if name.startswith(root)}
    openings = [line for name, value in content.items() if "/test_openings/" in name for line in value.splitlines()]
    kept = {name: value for name, value in found.items() if name.startswith(DECIDED)}
    return kept | {"test openings": str(len(openings)).encode()}


def difference(reference: Mapping[str, bytes], found: Mapping[str, bytes]) -> str:
    """The files that are not as they should be."""
    names = sorted(set(reference) | set(found))
    return ", ".join(name for name in names if _bytes_of(reference, name) != _bytes_of(found, name))


def _bytes_of(files: Mapping[str, bytes], name: str) -> bytes | None:
    """A saved model says when and by which revision it was made in its description; its weights decide."""
    content = files.get(name)
    return re.sub(rb'"revision": [^,}]*', b"", content) if content and name.endswith(".json") else content


def make_bucket(server: int) -> None:
    """The bucket of all rounds."""
    _storage(server).create_bucket(Bucket=BUCKET)


def _storage(port: int) -> Any:  # noqa: ANN401 - boto3 has no types
    return boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name="us-east-1",
        aws_access_key_id="chaos",
        aws_secret_access_key="chaos",
    )


def _command(experiment: Path, runner: str) -> list[str]:
    """A run of what is installed: `-P` keeps the sources in the working directory out."""
    return [sys.executable, "-P", "-m", "orchestrator", "run", str(experiment), "--runner", runner, "--open-test"]


def _environment(temporary: Path, port: int | None = None) -> dict[str, str]:
    storage = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "chaos",
        "AWS_SECRET_ACCESS_KEY": "chaos",
        "AWS_REGION": "us-east-1",
        "AWS_ALLOW_HTTP": "true",
    }
    return os.environ | {"TMPDIR": str(temporary)} | (storage if port is not None else {})
