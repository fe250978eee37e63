"""`python -m validation.chaos [--rounds 50] [--seed 0] [--only 9 14]`: runs that are struck until they are done.

A round is a whole run of a tiny two-tracer experiment under Ray, on a local folder (a small file system in memory
where this user may mount one) or on object storage. It is struck one to three times, by faults drawn with the moments
they strike, and started again with the same command until it ends with exit code 0. Then its compacted tables, models
and test opening are held against those of one undisturbed run without Ray: the same bytes, or the round is lost.
Prints the table of faults; ends with exit code 1 when any round was lost.
"""

import argparse
import random
import sys
import tempfile
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from validation.chaos.rounds import Moments, Played, drawn, make_bucket, play, seconds_under_ray, undisturbed
from validation.chaos.stage import may_mount, s3_server


def main() -> int:
    """Strike, compare, print."""
    parser = argparse.ArgumentParser(prog="python -m validation.chaos")
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, nargs="+", help="these rounds of the seed, instead of the first ones")
    options = parser.parse_args()
    played: list[Played] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos-")))
        server = stack.enter_context(s3_server())
        make_bucket(server)
        calm, moments = undisturbed(folder / "calm"), Moments(seconds=seconds_under_ray(folder / "calm-ray"))
        for number in options.only or range(options.rounds):
            dice, remote = random.Random(f"{options.seed} {number}"), number % 2 == 1
            faults = drawn(remote, dice, disk=may_mount())
            played.append(play(folder / f"round-{number}", faults, dice, server if remote else None, calm, moments))
            names = ", ".join(name for name, _ in faults)
            place, verdict = "S3" if remote else "local", played[-1].problem or "the same bytes"
            became = f"endured {played[-1].endured}, gone on after {played[-1].resumed}"
            sys.stderr.write(f"round {number} ({place}; {names}): {verdict}; {became}\n")
    sys.stdout.write(table(played))
    return 1 if any(round.problem for round in played) else 0


def table(played: list[Played]) -> str:
    """The table of faults, and the verdict."""
    endured = Counter(name for round in played for name in round.endured)
    resumed = Counter(name for round in played for name in round.resumed)
    lines = ["| fault | injected | the run ended well itself | the same command went on |", "|---|---|---|---|"]
    for name in sorted(endured | resumed):
        lines.append(f"| {name} | {endured[name] + resumed[name]} | {endured[name]} | {resumed[name]} |")
    starts, same = sum(round.starts for round in played), sum(not round.problem for round in played)
    lines += ["", f"{len(played)} rounds, {starts} starts, {same} with the bytes of the undisturbed run.", ""]
    return "\n".join([*lines, *(f"LOST: {round.problem}" for round in played if round.problem)])


if __name__ == "__main__":
    sys.exit(main())
