"""Convolutions on tiny feature maps: their weight gradient as matrix products over what the taps read inside the map.

A 3 x 3 kernel on a 2 x 2 map reads padding with 20 of 36 pairs of tap and place. The library's weight gradient
computes them all, and is slow besides where a map has few places and many channels. Without it an epoch that trains
ResNet-18's last stage alone, at 64 pixels, takes three quarters of the time (`docs/training_engine.md`).
"""

from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

LARGEST: Final = 2
"""Places a side of the output; on larger maps nothing is gained."""

Span = tuple[slice, slice]
"""Places of the output along one axis, and the places of the input that one tap reads for them."""


class SmallMapConvolution(nn.Conv2d):
    """A convolution that learns faster on a CPU when its output is at most 2 x 2; elsewhere the ordinary one."""

    def forward(self, images: Tensor) -> Tensor:
        """Convolve: `[B, C, H, W]` to `[B, C', H', W']`, with the bits of the ordinary convolution."""
        if not (torch.is_grad_enabled() and self.weight.requires_grad and images.device.type == "cpu"):
            return super().forward(images)
        stride, padding = self.stride[0], int(self.padding[0])
        if max(_outputs(side, self.kernel_size[0], stride, padding) for side in images.shape[-2:]) > LARGEST:
            return super().forward(images)
        # As autocast would; here, so that what is kept for the gradient is what was multiplied.
        kind = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else self.weight.dtype
        convolved: Tensor = _Convolution.apply(images.to(kind), self.weight.to(kind), stride, padding)
        return convolved


def exchange(source: nn.Module) -> None:
    """Put `SmallMapConvolution` in the place of every square, dense convolution without bias.

    Args:
        source: On the meta device: names and shapes stay, numbers would be lost. Changed in place.
    """
    for name, layer in list(source.named_modules()):
        if type(layer) is nn.Conv2d and _is_supported(layer):
            replacement = SmallMapConvolution(
                layer.in_channels,
                layer.out_channels,
                layer.kernel_size[0],
                stride=layer.stride[0],
                padding=layer.padding[0],
                bias=False,
                device="meta",
            )
            source.set_submodule(name, replacement)


def _is_supported(layer: nn.Conv2d) -> bool:
    square = all(len(set(pair)) == 1 for pair in (layer.kernel_size, layer.stride, layer.padding))
    dense = layer.groups == 1 and layer.dilation == (1, 1) and layer.padding_mode == "zeros"
    return square and dense and layer.bias is None


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:  # noqa: ANN401 - torch's context has no public type
        ctx.save_for_backward(images, weight)
        ctx.stride, ctx.padding = stride, padding
        return nn.functional.conv2d(images, weight, stride=stride, padding=padding)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, None, None]:  # noqa: ANN401 - as above
        images, weight = ctx.saved_tensors
        stride, padding = ctx.stride, ctx.padding
        of_images = _image_gradient(images, weight, gradient, stride, padding) if ctx.needs_input_grad[0] else None
        rows, columns = (
            _spans(weight.shape[-1], into, out, stride, padding)
            for into, out in zip(images.shape[-2:], gradient.shape[-2:], strict=True)
        )
        return of_images, _weight_gradient(images, gradient, rows, columns), None, None


def _outputs(side: int, kernel: int, stride: int, padding: int) -> int:
    return (side + 2 * padding - kernel) // stride + 1


def _spans(kernel: int, into: int, out: int, stride: int, padding: int) -> list[Span]:
    """For every tap along one axis, what it reads inside the map."""
    spans = []
    for tap in range(kernel):
        places = [place for place in range(out) if 0 <= place * stride + tap - padding < into]
        first, count = (places[0], len(places)) if places else (0, 0)
        start = max(0, first * stride + tap - padding)
        spans.append((slice(first, first + count), slice(start, start + count * stride, stride)))
    return spans


def _image_gradient(images: Tensor, weight: Tensor, gradient: Tensor, stride: int, padding: int) -> Tensor:
    """The library's own, which is fast enough: by taps it took as long."""
    of_images: Tensor = torch.ops.aten.convolution_backward(
        gradient, images, weight, None, [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], 1, [True, False, False]
    )[0]
    return of_images


def _weight_gradient(images: Tensor, gradient: Tensor, rows: list[Span], columns: list[Span]) -> Tensor:
    """One matrix product a tap, `[C', places] x [places, C]`, over all exams: `[C', C, k, k]`."""
    seen, told = (maps.permute(2, 3, 0, 1).contiguous() for maps in (images, gradient))
    into, out = images.shape[1], gradient.shape[1]
    found = images.new_zeros(len(rows), len(columns), out, into)
    for row, (down, in_down) in enumerate(rows):
        for column, (across, in_across) in enumerate(columns):
            left, right = told[down, across].reshape(-1, out), seen[in_down, in_across].reshape(-1, into)
            torch.mm(left.t(), right, out=found[row, column])
    return found.permute(2, 3, 0, 1).contiguous()
