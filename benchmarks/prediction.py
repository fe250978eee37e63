"""`polarmap predict` on manifests of three sizes (memory and time), and ONNX beside torch on one exported model.

    python benchmarks/prediction.py RUN FOLDER [EXAMS…]

FOLDER receives simulated exams (about 1 KiB each) and exports; RUN is a run with final networks for dual input on grey
maps. With a number of exams, also `0`, only those sizes are predicted.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from mpi_model.pipeline import load_pipeline
from polarmap.models import export

_SIZES = (1_000, 10_000, 100_000)
_BATCH = 64
_SECONDS = 20.0

_PREDICT = """
import json, sys, time
from orchestrator.cli import main
begun, spent = time.perf_counter(), time.process_time()
code = main(["predict", *sys.argv[1:]])
# Not `ru_maxrss`, which begins with what the parent held when it started this process.
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(json.dumps({"seconds": round(time.perf_counter() - begun, 1), "cpu": round(time.process_time() - spent, 1),
                  "peak_mib": round(int(status["VmHWM"].split()[0]) / 1024)}))
sys.exit(code)
"""


def write_exams(folder: Path, count: int) -> Path:
    """Distinct counts, 16 × 16 pixels, stress and rest; a longer manifest begins with the shorter one's files."""
    draw = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    rows = ["patient_id,tracer,stress,rest"]
    for number in range(count):
        names = [f"{number % 1000:03d}/{number}-{phase}.npy" for phase in ("stress", "rest")]
        for name in names:
            counts = draw.integers(1, 60_000, (16, 16), dtype=np.uint16)
            if not (folder / name).exists():
                (folder / name).parent.mkdir(exist_ok=True)
                np.save(folder / name, counts)
        rows.append(f"p{number},{('Tc-99m', 'Tl-201')[number % 2]},{','.join(names)}")
    manifest = folder / f"{count}.csv"
    manifest.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return manifest


def predicted(run: str, manifest: Path) -> dict[str, float]:
    """Peak memory and time of the command in a process of its own."""
    out = manifest.with_suffix(".parquet")
    out.unlink(missing_ok=True)
    command = [sys.executable, "-c", _PREDICT, run, str(manifest), "--out", str(out)]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    result: dict[str, float] = json.loads(found.stdout.splitlines()[-1])
    return result


def exams_per_second(run: str, folder: Path) -> dict[str, float]:
    """One thread each, batches of 64 exams of 64 × 64 pixels, alternating, so that both meet the same machine."""
    for form in ("onnx", "hub"):
        if not (folder / form).exists():
            export(run, folder / form, form, inputs="dual")
    model = load_pipeline(folder / "hub")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(folder / "onnx" / "model.onnx", options, providers=["CPUExecutionProvider"])
    torch.set_num_threads(1)
    maps = np.random.default_rng(1).integers(1, 60_000, (_BATCH, 2, model.config.channels, 64, 64), dtype=np.uint16)
    tracer = np.arange(_BATCH, dtype=np.int64) % 2
    tensors = torch.from_numpy(maps), torch.from_numpy(tracer)
    seconds, batches, end = {"onnx": 0.0, "torch": 0.0}, 0, time.perf_counter() + _SECONDS
    with torch.inference_mode():
        for warm in (True, False):
            while batches == 0 or time.perf_counter() < end:
                begun = time.perf_counter()
                session.run(None, {"maps": maps, "tracer": tracer})
                between = time.perf_counter()
                model(*tensors)
                if not warm:
                    seconds["onnx"] += between - begun
                    seconds["torch"] += time.perf_counter() - between
                batches += not warm
                if warm:
                    break
    return {name: batches * _BATCH / taken for name, taken in seconds.items()}


def main() -> None:
    """Print one JSON line a measurement."""
    run, folder = sys.argv[1], Path(sys.argv[2])
    features = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else ""
    print(json.dumps({"avx2": " avx2" in features, "avx512f": " avx512f" in features}))
    print(json.dumps({"exams_per_second": exams_per_second(run, folder)}))
    for count in filter(None, map(int, sys.argv[3:])) if sys.argv[3:] else _SIZES:
        print(json.dumps({"exams": count, **predicted(run, write_exams(folder / "exams", count))}), flush=True)


if __name__ == "__main__":
    main()
