"""The rival of `training_engine.py`: the loop that a good PyTorch user writes first.

A dataset of files, torchvision's v2 transforms, a DataLoader, the whole network forward in every step, frozen
stages by `requires_grad` and evaluation mode, default AdamW. Worker processes are the caller's choice: on one core
they only cost.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torchvision
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

STAGES = (("conv1", "bn1"), ("layer1",), ("layer2",), ("layer3",), ("layer4",))
MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Files(Dataset[tuple[Tensor, int]]):
    """Grey PNG files with labels."""

    def __init__(self, paths: list[Path], labels: NDArray[np.int8], *, augment: bool) -> None:
        changes = [v2.RandomRotation(8), v2.ColorJitter(brightness=0.02), v2.GaussianBlur(3, (0.1, 0.6))]
        self.paths, self.labels = paths, labels
        self.transform = v2.Compose(
            [
                v2.ToImage(),
                v2.Grayscale(3),
                *(changes if augment else []),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(MEAN, SPREAD),
            ]
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, number: int) -> tuple[Tensor, int]:
        with Image.open(self.paths[number]) as image:
            return self.transform(image), int(self.labels[number])


def write_files(folder: Path, maps: NDArray[np.uint16]) -> list[Path]:
    """Maps `[N, 1, H, W]` of 16 bits as 8-bit PNG files."""
    paths = [folder / f"{number:04d}.png" for number in range(len(maps))]
    for path, pixels in zip(paths, maps, strict=True):
        Image.fromarray((pixels[0] >> 8).astype(np.uint8)).save(path)
    return paths


def first_loop(
    paths: list[Path],
    labels: NDArray[np.int8],
    *,
    depth: int,
    batch: int,
    state: dict[str, Tensor] | None = None,
    workers: int = 0,
    autocast: bool = False,
    device: str = "cpu",
    compiled: bool = False,
) -> tuple[nn.Module, Callable[[], None]]:
    """A ResNet-18, and what trains it for one epoch.

    Args:
        paths: The images.
        labels: `[N]`, 0 or 1.
        depth: Stages to freeze, 0 to 5.
        batch: Exams a step.
        state: Pretrained weights by torchvision's names, without the classifier.
        workers: Processes that read images, kept from epoch to epoch.
        autocast: Forward passes in bf16, as torch's documentation writes them.
        device: Where to train.
        compiled: Whether the network is given to `torch.compile`.
    """
    model = torchvision.models.resnet18(num_classes=1)
    if state is not None:
        model.load_state_dict(state, strict=False)
    frozen = [model.get_submodule(name) for stage in STAGES[:depth] for name in stage]
    for module in frozen:
        module.requires_grad_(False)
    model.to(device)
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(learning, lr=3e-4)
    images = Files(paths, labels, augment=True)
    loader = DataLoader(images, batch_size=batch, shuffle=True, num_workers=workers, persistent_workers=workers > 0)
    criterion = nn.BCEWithLogitsLoss()
    network = torch.compile(model) if compiled else model

    def epoch() -> None:
        model.train()
        for module in frozen:
            module.eval()
        for images, targets in loader:
            optimiser.zero_grad()
            with torch.autocast(device, torch.bfloat16, enabled=autocast):
                loss = criterion(network(images.to(device)).squeeze(1), targets.float().to(device))
            loss.backward()
            optimiser.step()

    return model, epoch
