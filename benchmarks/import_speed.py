"""What `polarmap import dicom-sa` takes for a whole archive: seconds and peak memory of n / 2 exams, then n.

    python -m benchmarks.import_speed [EXAMS]

Every exam (1000 by default) has a stress and a rest volume of 20 slices of 40 × 40 voxels. The volumes are twenty
analytic ventricles with whole-number noise of their own, in one folder. Each size is imported by a process of its own;
memory is flat where the second peak is not far above the first.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import numpy as np

from orchestrator.importers.dicom_sa import import_dicom_sa
from orchestrator.importers.import_request import ImportRequest
from orchestrator.importers.short_axis import Sampling, Volume
from validation.shells import Defect, Shell, shell_volume
from validation.short_axis_dicom import short_axis_file

HEARTS: Final = 20


def main() -> None:
    """Write the archives and import each in a fresh process."""
    if len(sys.argv) == 3:
        measure(Path(sys.argv[1]), Path(sys.argv[2]))
        return
    exams = int(sys.argv[1]) if len(sys.argv) == 2 else 1000
    random = np.random.default_rng(0)
    hearts = [
        shell_volume(Shell(defect=Defect(angle=18 * seed, width=80, depth=0.04 * seed), shape=(20, 40, 40), seed=seed))
        for seed in range(HEARTS)
    ]
    with tempfile.TemporaryDirectory() as work:
        for count in (exams // 2, exams):
            source = Path(work) / f"archive-{count}"
            source.mkdir()
            for exam in range(count):
                for phase in ("stress", "rest"):
                    heart = hearts[exam % HEARTS]
                    counts = heart.counts + random.integers(0, 5, heart.counts.shape)
                    content = short_axis_file(
                        Volume(counts=counts, spacing=heart.spacing), phase=phase, patient=f"MRN-{exam}"
                    )
                    (source / f"{exam:05d}-{phase}.dcm").write_bytes(content)
            command = [sys.executable, "-m", "benchmarks.import_speed", str(source), str(Path(work) / f"out-{count}")]
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            print(f"{count} exams: {subprocess.check_output(command, text=True, env=environment).strip()}", flush=True)


def measure(source: Path, folder: Path) -> None:
    """Import one archive and print what it took."""
    begun, used = time.perf_counter(), time.process_time()
    written = import_dicom_sa(ImportRequest(source=source, folder=folder), sampling=Sampling())
    seconds, processor = time.perf_counter() - begun, time.process_time() - used
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**20
    print(
        f"{seconds:.0f} s ({processor:.0f} s of a processor), {written.maps} maps, peak {peak:.0f} MiB, "
        f"written {size:.0f} MiB"
    )


if __name__ == "__main__":
    main()
