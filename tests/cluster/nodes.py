"""How many nodes of a Ray cluster are alive, counted all the time by a process on its head."""

import re
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hosts import Host

COUNT = """
import time
import ray

ray.init(address="auto", log_to_driver=False, logging_level="ERROR")
while True:
    print("alive", sum(node["Alive"] for node in ray.nodes()), flush=True)
    time.sleep(0.5)
"""


@contextmanager
def counted(head: Host, file: Path, environment: str = "true") -> Iterator[Callable[[], list[int]]]:
    """Count alive nodes, twice a second, until the end of the block; gives what gives the counts so far."""
    with file.open("w") as output:
        counting = head.start(f"{environment}; exec python -c {shlex.quote(COUNT)}", stdout=output)
    try:
        yield lambda: [int(count) for count in re.findall(r"^alive (\d+)$", file.read_text(), flags=re.M)]
    finally:
        counting.kill()
        counting.wait()
