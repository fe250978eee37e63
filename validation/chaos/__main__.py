"""`python -m validation.chaos [--rounds 50] [--seed 0]`: runs that are struck at random moments until they are done.

A round is a whole run of a tiny two-tracer experiment under Ray, on a local folder (a small file system in memory
where this user may mount one) or on object storage. It is struck one to three times, by faults drawn with the moments
they strike, and started again with the same command until it ends with exit code 0. Then its compacted tables, models
and test opening are held against those of one undisturbed run without Ray: the same bytes, or the round is lost.
Prints the table of faults; ends with exit code 1 when any round was lost.
"""

import argparse
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import boto3

from validation.chaos.cohort import write_experiment
from validation.chaos.faults import LOCAL, REMOTE, Fault, Victim, trial_workers
from validation.chaos.stage import BUCKET, Relay, Stage, s3_server, small_disk

MOST_STARTS: Final = 12
LONGEST_START: Final = 300.0
EARLY: Final = 0.2
"""Share of the strikes that fall before the first worker is up."""
LATEST: Final = 4.0
"""Seconds after the first worker is up within which the others fall."""
DECIDED: Final = ("tables/cells", "tables/candidates", "tables/epochs", "tables/predictions", "models/")
"""What an undisturbed run and a struck one have to have alike; timings differ."""


@dataclass(slots=True, kw_only=True)
class Tally:
    """What was injected, and what became of it."""

    injected: Counter[str] = field(default_factory=Counter)
    endured: Counter[str] = field(default_factory=Counter)
    """The run that was struck ended well by itself."""
    resumed: Counter[str] = field(default_factory=Counter)
    """It ended, and the same command went on."""
    rounds: int = 0
    starts: int = 0
    lost: list[str] = field(default_factory=list)


def main() -> int:
    """Strike, compare, print."""
    parser = argparse.ArgumentParser(prog="python -m validation.chaos")
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    tally = Tally()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos-")))
        server = stack.enter_context(s3_server())
        _storage(server).create_bucket(Bucket=BUCKET)
        calm = undisturbed(folder / "reference")
        for number in range(options.rounds):
            dice = random.Random(f"{options.seed} {number}")
            play(folder / f"round-{number}", number, dice, server, calm, tally)
    sys.stdout.write(table(tally))
    return 1 if tally.lost else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Calm:
    """What an undisturbed run comes to."""

    files: Mapping[str, bytes]
    seconds: float
    """Of a run under Ray, here and now."""


def undisturbed(folder: Path) -> Calm:
    """A run without Ray and without faults; and one under Ray, for its seconds."""
    experiment = write_experiment(folder / "inline", runs="runs")
    subprocess.run(_command(experiment, "inline"), check=True, env=_environment(folder), capture_output=True)
    start = time.monotonic()
    subprocess.run(
        _command(write_experiment(folder / "ray", runs="runs"), "ray"),
        check=True,
        env=_environment(folder),
        capture_output=True,
    )
    return Calm(files=local_result(folder / "inline" / "runs"), seconds=time.monotonic() - start)


def play(folder: Path, number: int, dice: random.Random, server: int, calm: Calm, tally: Tally) -> None:
    """One round, to its end."""
    remote = number % 2 == 1
    with ExitStack() as stack:
        relay = Relay(server) if remote else None
        if relay is not None:
            stack.callback(relay.end)
        disk = None if remote else stack.enter_context(small_disk(folder / "disk"))
        runs = f"s3://{BUCKET}/round-{number}" if remote else str(folder / "disk" / "runs")
        stage = Stage(
            experiment=write_experiment(folder / "experiment", runs=runs),
            runs=runs,
            temporary=Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="c-", dir="/tmp"))),
            environment={},
            disk=disk,
            relay=relay,
        )
        stage.environment = _environment(stage.temporary, relay.port if relay is not None else None)
        faults = _drawn(REMOTE if remote else LOCAL, dice, disk is not None)
        problem = struck_until_done(stage, faults, dice, calm.seconds, tally)
        found = remote_result(server, f"round-{number}") if remote else local_result(Path(runs))
    problem = problem or difference(calm.files, found)
    names = ", ".join(name for name, _ in faults)
    sys.stderr.write(f"round {number} ({'S3' if remote else 'local'}; {names}): {problem or 'the same bytes'}\n")
    tally.rounds += 1
    if problem:
        tally.lost.append(f"round {number} ({names}): {problem}")


def _drawn(faults: Mapping[str, Fault], dice: random.Random, disk: bool) -> list[tuple[str, Fault]]:
    possible = [(name, fault) for name, fault in faults.items() if disk or name != "disk full"]
    return [dice.choice(possible) for _ in range(dice.randint(1, 3))]


def struck_until_done(
    stage: Stage, faults: list[tuple[str, Fault]], dice: random.Random, seconds: float, tally: Tally
) -> str:
    """Start the run until it ends well, with a fault in each start while any are left; what went wrong, or nothing."""
    waiting = list(faults)
    for _ in range(MOST_STARTS):
        tally.starts += 1
        driver = subprocess.Popen(
            _command(stage.experiment, "ray"),
            env=stage.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        struck = waiting.pop(0) if waiting else None
        hit = struck is not None and _strike(Victim(driver=driver, stage=stage, dice=dice), struck[1], seconds)
        try:
            _, said = driver.communicate(timeout=LONGEST_START)
        except subprocess.TimeoutExpired:
            driver.kill()
            return "the run hangs"
        finally:
            stage.free_disk()
        if struck is not None and hit:
            tally.injected[struck[0]] += 1
            (tally.endured if driver.returncode == 0 else tally.resumed)[struck[0]] += 1
        if "Traceback" in said:
            return f"a traceback: {said.strip().splitlines()[-1]}"
        if driver.returncode == 0 and not waiting:
            return ""
    return f"not done after {MOST_STARTS} starts: {said.strip().splitlines()[-1:]}"


def _strike(victim: Victim, fault: Fault, seconds: float) -> bool:
    """Strike at a random moment: mostly while cells are under way, sometimes while the run comes up.

    A fault that finds nothing to hit tries again until it does, or the run is over.
    """
    early = victim.dice.random() < EARLY
    delay = victim.dice.uniform(0.1, 0.5) * seconds if early else victim.dice.uniform(0, LATEST)
    moment = time.monotonic() + delay if early else None
    while victim.driver.poll() is None:
        if moment is None and trial_workers(victim.driver.pid):
            moment = time.monotonic() + delay
        if moment is not None and time.monotonic() >= moment and fault(victim):
            return True
        time.sleep(0.02)
    return False


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


def _storage(port: int) -> Any:  # noqa: ANN401 - boto3 has no types
    return boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name="us-east-1",
        aws_access_key_id="chaos",
        aws_secret_access_key="chaos",
    )


def _command(experiment: Path, runner: str) -> list[str]:
    return [sys.executable, "-m", "orchestrator", "run", str(experiment), "--runner", runner, "--open-test"]


def _environment(temporary: Path, port: int | None = None) -> dict[str, str]:
    storage = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "chaos",
        "AWS_SECRET_ACCESS_KEY": "chaos",
        "AWS_REGION": "us-east-1",
        "AWS_ALLOW_HTTP": "true",
    }
    return os.environ | {"TMPDIR": str(temporary)} | (storage if port is not None else {})


def table(tally: Tally) -> str:
    """The table of faults, and the verdict."""
    lines = ["| fault | injected | the run ended well itself | the same command went on |", "|---|---|---|---|"]
    for name in sorted(tally.injected):
        lines.append(f"| {name} | {tally.injected[name]} | {tally.endured[name]} | {tally.resumed[name]} |")
    same = tally.rounds - len(tally.lost)
    lines += ["", f"{tally.rounds} rounds, {tally.starts} starts, {same} with the bytes of the undisturbed run.", ""]
    return "\n".join([*lines, *(f"LOST: {line}" for line in tally.lost)])


if __name__ == "__main__":
    sys.exit(main())
