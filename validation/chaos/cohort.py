"""A tiny experiment on two tracers: fourteen cells of about a second."""

from pathlib import Path

import numpy as np
import pandas as pd

EXPERIMENT = """
name = "chaos"
[cohort]
manifest = "manifest.csv"
inputs = ["stress", "dual"]
[images]
size = 16
[network]
backbone = "compact"
weights = "random"
[folds]
folds = 3
repeats = 2
[search]
space = "learning_rates"
candidates = 4
inner_folds = 2
[training]
epochs = 5
[resources]
gpus_per_cell = 0
candidate_deadline = 20
[storage]
runs = "{runs}"
"""


def write_experiment(folder: Path, *, runs: str) -> Path:
    """Write the cohort and the experiment file; the same bytes every time but for the place of the runs.

    Args:
        folder: A new folder.
        runs: `storage.runs`.

    Returns:
        The experiment file.
    """
    random = np.random.default_rng(0)
    folder.mkdir(parents=True)
    rows = []
    for number in range(60):
        label = (number // 2) % 2
        row = {"patient_id": f"patient-{number:03d}", "tracer": ("Tc-99m", "Tl-201")[number % 2], "label": label}
        row["partition"] = "development" if number < 48 else "test"
        for phase, depth in (("stress", 0.8), ("rest", 0.3)):
            counts = random.normal(100, 12, size=(16, 16)).clip(1)
            counts[10:, 4:12] *= 1 - depth * label * random.uniform(0.5, 1)
            file = f"{number:03d}-{phase}.npy"
            row[phase] = file
            np.save(folder / file, counts.astype(np.float32))
        rows.append(row)
    pd.DataFrame(rows).to_csv(folder / "manifest.csv", index=False)
    path = folder / "experiment.toml"
    path.write_text(EXPERIMENT.replace("{runs}", runs))
    return path
