"""What a backbone's stages know of a cohort before any training: a linear probe after each of them.

Run from the repository: `OMP_NUM_THREADS=1 python -m validation.encoder_ends MANIFEST [--backbone NAME]`. Feature maps
after a stage are averaged to a grid of places; ridge regression on them, its penalty chosen by generalised
cross-validation within the training part, scores the patients left out: five folds by patient, repeated. All features
are divided by one number, so that each keeps its size, as for the network's own heads. Beside the pretrained weights
stand random ones, and the same regression on 12 x 12 pixels. Test exams are left out.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import RidgeCV
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold
from torch.nn.functional import adaptive_avg_pool2d

from mpi_model.backbones import StagedEncoder
from mpi_model.exams import input_tensor
from mpi_model.imagenet import checkpoint_path
from mpi_model.network import build_network
from mpi_model.settings import NetworkSettings
from mpi_model.stages import backbone
from mpi_model.vocabulary import TRACERS, Inputs
from mpi_model.weights import load_state
from orchestrator.cohort.loading import load_cohort
from orchestrator.cohort.records import Cohort

PIXELS = 12
CHUNK = 64
PENALTIES = np.logspace(-2, 6, 17)
TINY = 1e-6
"""For features that are the same in all maps."""
Features = NDArray[np.float32]


def main() -> None:
    """Print a Markdown table for each phase and tracer."""
    options = _arguments()
    torch.set_num_threads(1)
    cohort = load_cohort(options.manifest, size=options.size)
    development = (cohort.exams["partition"] == "development").to_numpy()
    acquired: dict[Inputs, NDArray[np.bool_]] = {"stress": cohort.maps.has_stress, "rest": cohort.maps.has_rest}
    for inputs, here in acquired.items():
        for number, tracer in enumerate(TRACERS):
            rows = np.flatnonzero(here & development & (cohort.maps.tracer == number))
            if len(rows):
                sys.stdout.write(f"\n{tracer} {inputs}, {len(rows)} exams, grids of {options.grids}\n")
                _print_table(options, cohort, inputs, rows)


def _print_table(options: argparse.Namespace, cohort: Cohort, inputs: Inputs, rows: NDArray[np.int64]) -> None:
    """A row a stage; for each grid the AUC with pretrained and with random weights."""
    labels = cohort.exams["label"].to_numpy(np.int8)[rows]
    patients = cohort.exams["patient_id"].to_numpy()[rows]

    def auc(features: Features) -> str:
        found = probe(features, labels, patients, repeats=options.repeats, standardised=options.standardise)
        return f"{found:.3f}"

    images = input_tensor(cohort.maps, rows, inputs)
    pixels = adaptive_avg_pool2d(images[:, 0].mean(1, keepdim=True), PIXELS).flatten(1).numpy()
    sys.stdout.write(f"| {PIXELS} x {PIXELS} pixels | {auc(pixels)} |\n")
    both = zip(*(pooled(options, images, pretrained) for pretrained in (True, False)), strict=True)
    for number, (known, drawn) in enumerate(both, start=1):
        if number in (options.stages or [number]):
            pairs = (f"{auc(one)}/{auc(other)}" for one, other in zip(known, drawn, strict=True))
            name = backbone(options.backbone).stage_names[number - 1]
            sys.stdout.write(f"| {number} {name} | {' | '.join(pairs)} |\n")
            sys.stdout.flush()


def pooled(options: argparse.Namespace, images: torch.Tensor, pretrained: bool) -> Iterator[list[Features]]:
    """After every stage, the feature maps averaged to each grid: `[n, C * grid**2]`."""
    name = options.backbone
    state = load_state(checkpoint_path(backbone(name)), name) if pretrained else None
    settings = NetworkSettings(backbone=name, weights="imagenet" if pretrained else "random")
    network = build_network(settings, "stress", image_channels=images.shape[2], dropout=0.0, seed=0, state=state).eval()
    encoder = network.encoders[0]
    assert isinstance(encoder, StagedEncoder)
    maps = images
    for number, stage in enumerate(encoder.stages):
        with torch.no_grad():
            parts = [network.prefix(part, 1)[:, 0] if number == 0 else stage(part) for part in torch.split(maps, CHUNK)]
        maps = torch.cat(parts)
        yield [adaptive_avg_pool2d(maps, grid).flatten(1).numpy() for grid in options.grids]


def probe(
    features: Features, labels: NDArray[np.int8], patients: NDArray[np.str_], *, repeats: int, standardised: bool
) -> float:
    """Mean AUC over folds."""
    aucs = []
    for repeat in range(repeats):
        folds = StratifiedGroupKFold(5, shuffle=True, random_state=repeat)
        for learn, judge in folds.split(features, labels, patients):
            centred = features - features[learn].mean(axis=0)
            scaled = centred / (features[learn].std(axis=0) + TINY if standardised else centred[learn].std())
            model = RidgeCV(PENALTIES).fit(scaled[learn], 2.0 * labels[learn] - 1)
            aucs.append(roc_auc_score(labels[judge], model.predict(scaled[judge])))
    return float(np.mean(aucs))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--stages", type=int, nargs="*", help="default: every stage")
    parser.add_argument("--grids", type=int, nargs="*", default=[2])
    parser.add_argument("--standardise", action="store_true", help="every feature by itself, not all together")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    main()
