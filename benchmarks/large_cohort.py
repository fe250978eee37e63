"""Time and memory of `polarmap check` at four sizes, each in a process of its own: `python -m benchmarks.large_cohort`.

Maps are simulated: a common pattern, 14 % of difference between patients in 36 regions, noise, as 16-bit PNG of 64
pixels, stress and rest. Every hundredth patient is another one's map exported again, so that the search for nearly
equal maps has something to find.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

SIZES = (1_000, 4_000, 15_000, 100_000)
_SIDE = 64
_EXPERIMENT = """name = "large"
[cohort]
manifest = "manifest.csv"
[images]
size = 64
[network]
weights = "random"
[resources]
gpus_per_cell = 0
"""


def write_cohort(folder: Path, exams: int) -> None:
    """One exam a patient, two tracers in turn."""
    (folder / "maps").mkdir()
    (folder / "experiment.toml").write_text(_EXPERIMENT, encoding="utf-8")
    with (folder / "manifest.csv").open("w", encoding="utf-8") as manifest:
        manifest.write("patient_id,tracer,label,sex,stress,rest\n")
        for number in range(exams):
            tracer, label, sex = ("Tc-99m", "Tl-201")[number % 2], number // 2 % 2, "FM"[number // 4 % 2]
            names = [f"maps/{number}-{phase}.png" for phase in ("stress", "rest")]
            for place, name in enumerate(names):
                # Every hundredth repeats the patient before, a level brighter here and there.
                of = number - 1 if number % 100 == 99 else number
                Image.fromarray(_map(2 * of + place, number if of != number else 0)).save(
                    folder / name, compress_level=1
                )
            manifest.write(f"P{number},{tracer},{label},{sex},{names[0]},{names[1]}\n")


def _map(seed: int, again: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    regions = np.kron(random.normal(1, 0.14, (6, 6)), np.ones((11, 11)))[:_SIDE, :_SIDE]
    counts = 30_000 * regions * random.uniform(0.97, 1.03, (_SIDE, _SIDE))
    if again:
        counts *= np.random.default_rng(again).uniform(0.998, 1.002, counts.shape)
    return counts.clip(1, 65_535).astype(np.uint16)


def measure(exams: int) -> str:
    """A line of the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_cohort(folder, exams)
        begun = time.perf_counter()
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "orchestrator", "check", str(folder / "experiment.toml")],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        _, status, used = os.wait4(child.pid, 0)
        wall = time.perf_counter() - begun
    cpu, peak = used.ru_utime + used.ru_stime, used.ru_maxrss / 2**20
    return f"| {exams:,} | {os.waitstatus_to_exitcode(status)} | {wall:.0f} s | {cpu:.0f} s | {peak:.2f} GiB |"


def main() -> None:
    """Print the table."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--exams", type=int, nargs="+", default=SIZES)
    print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")
    print("| exams | exit code | wall | CPU | peak |\n|---|---|---|---|---|")
    for exams in words.parse_args().exams:
        print(measure(exams), flush=True)


if __name__ == "__main__":
    main()
