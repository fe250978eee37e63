"""What each convolution of an encoder takes: forward, image gradient and weight gradient, the library's against ours.

Run from the repository: `python -m benchmarks.operators efficientnet_lite0 --stages 10`; with an older processor's
instructions by `ONEDNN_MAX_CPU_ISA=SSE41` before it. The least processor time of some rounds, one
thread; layers of one shape are timed once and counted as often as they occur. "Ours" is the weight gradient by taps of
`mpi_model.cpu_layers`, used where maps are small, and a matrix product for 1 x 1 convolutions, which nothing uses.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mpi_model import cpu_layers
from mpi_model.network import build_network
from mpi_model.settings import NetworkSettings


@dataclass(frozen=True)
class Shape:
    """A convolution as it is called."""

    images: tuple[int, ...]
    is_channels_last: bool
    features: int
    kernel: int
    stride: int
    padding: int
    groups: int

    @property
    def title(self) -> str:
        """As a row begins."""
        kind = "depthwise" if self.groups > 1 else "1 x 1" if self.kernel == 1 else "dense"
        square = f"{self.kernel} x {self.kernel}, stride {self.stride}, {self.images[2]} px"
        return f"{kind} {self.images[1]} to {self.features}, {square}"


def main() -> None:
    """Print a table, and sums by kind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("backbone")
    parser.add_argument("--stages", type=int)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch", type=int, default=29)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    sys.stdout.write("| convolution | layers | forward, ms | image gradient | weight gradient | ours |\n")
    sys.stdout.write("|---" * 6 + "|\n")
    sums: dict[str, list[float]] = {}
    for shape, count in shapes(options.backbone, options.stages or "all", options.size, options.batch).items():
        found = timed(shape, options.rounds)
        sys.stdout.write(f"| {shape.title} | {count} | " + " | ".join(_told(one) for one in found) + " |\n")
        total = sums.setdefault(shape.title.split(" ")[0], [0.0] * 4)
        # Where there is nothing of ours the library's own counts.
        for place, one in enumerate((*found[:3], found[2] if found[3] is None else found[3])):
            total[place] += count * (one or 0.0)
    for kind, total in sums.items():
        sys.stdout.write(f"| all of kind {kind} | | " + " | ".join(_told(one) for one in total) + " |\n")


def _told(milliseconds: float | None) -> str:
    return "–" if milliseconds is None else f"{milliseconds:.2f}"


def shapes(name: str, stages: int | str, size: int, batch: int) -> Counter[Shape]:
    """Every convolution of a forward pass in training mode."""
    settings = NetworkSettings(backbone=name, weights="random", encoder_stages=stages)  # type: ignore[arg-type]
    network = build_network(settings, "stress", image_channels=1, dropout=0.0, seed=0, state=None).train()
    found: Counter[Shape] = Counter()

    def seen(layer: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        assert isinstance(layer, nn.Conv2d)
        # Padded as TensorFlow pads, a layer sees its images before its own padding; its gradient sees them after.
        images = arguments[0]
        found[
            Shape(
                tuple(images.shape),
                images.is_contiguous(memory_format=torch.channels_last),
                layer.out_channels,
                layer.kernel_size[0],
                layer.stride[0],
                int(layer.padding[0]) or (layer.kernel_size[0] // 2 if layer.stride[0] > 1 else 0),
                layer.groups,
            )
        ] += 1

    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_pre_hook(seen)
    network(torch.rand(batch, 1, 1, size, size), torch.zeros(batch, dtype=torch.int64))
    return found


def timed(shape: Shape, rounds: int) -> tuple[float, float, float, float | None]:
    """Milliseconds: the library's forward, image gradient and weight gradient, and the weight gradient of ours."""
    layout = torch.channels_last if shape.is_channels_last else torch.contiguous_format
    images = torch.rand(shape.images).contiguous(memory_format=layout)
    weight = torch.rand(shape.features, shape.images[1] // shape.groups, shape.kernel, shape.kernel)

    def forward() -> Tensor:
        return nn.functional.conv2d(images, weight, stride=shape.stride, padding=shape.padding, groups=shape.groups)

    gradient = torch.rand_like(forward())

    def backward(*wanted: bool) -> object:
        pairs = ([shape.stride] * 2, [shape.padding] * 2, [1, 1], False, [0, 0], shape.groups)
        return torch.ops.aten.convolution_backward(gradient, images, weight, None, *pairs, [*wanted, False])

    def ours() -> object:
        if shape.kernel == 1 and shape.stride == 1:
            left, right = (maps.permute(0, 2, 3, 1).reshape(-1, maps.shape[1]) for maps in (gradient, images))
            return left.t() @ right
        spans = [
            cpu_layers._spans(shape.kernel, into, out, shape.stride, shape.padding)
            for into, out in zip(images.shape[-2:], gradient.shape[-2:], strict=True)
        ]
        by_taps = cpu_layers._depthwise_gradient if shape.groups > 1 else cpu_layers._weight_gradient
        return by_taps(images, gradient, *spans)

    has_ours = shape.kernel == 1 or shape.groups > 1 or max(gradient.shape[-2:]) <= cpu_layers._LARGEST
    return (
        _least(forward, rounds),
        _least(lambda: backward(True, False), rounds),
        _least(lambda: backward(False, True), rounds),
        _least(ours, rounds) if has_ours else None,
    )


@torch.no_grad()
def _least(action: Callable[[], object], rounds: int) -> float:
    action()
    found = []
    for _ in range(rounds):
        begun = time.process_time()
        action()
        found.append(time.process_time() - begun)
    return 1000 * min(found)


if __name__ == "__main__":
    main()
