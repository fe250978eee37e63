"""Two layers that are faster on a CPU than torch's own; on other devices torch's layers run.

They are worth their lines as long as trainings on a CPU are a target.

Weight gradient of convolutions on tiny feature maps. A 3 x 3 kernel on a 2 x 2 map reads padding with 20 of 36 pairs
of tap and place. The library computes them all, and is slow where a map has few places and many channels. Without it
an epoch that trains ResNet-18's last stage alone, at 64 pixels, takes three quarters of the time. Of
depthwise kernels the library's gradient takes six to twenty times as long where the map is smaller than the kernel.

Maximum pooling with the channels side by side in memory, so that the library's inner loop runs over vectors. Result and
gradient have the same bits as the library's, ties included; NaN stays NaN. ResNet's stem at 64 pixels takes a third of
the time, including both changes of layout. `docs/training_engine.md` has the numbers.
"""

from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

_LARGEST: Final = 2
"""Places a side of the output; on larger maps nothing is gained."""
_WIDE: Final = 5
"""Taps a side of a depthwise kernel from which on `_LARGEST_WIDE` holds."""
_LARGEST_WIDE: Final = 8
"""Places a side of the output of a wide depthwise kernel; on larger maps nothing is gained."""

_Span = tuple[slice, slice]
"""Places of the output along one axis, and the places of the input that one tap reads for them."""


def replace_cpu_layers(source: nn.Module) -> None:
    """Replace every convolution and maximum pooling that a layer of this module can stand for.

    Args:
        source: A source network on the meta device: names and shapes stay, numbers would be lost. Changed in place.
    """
    _replace_convolutions(source)
    _replace_pooling(source)


class _SmallMapConvolution(nn.Conv2d):
    """A convolution that learns faster on a CPU when its output is small enough; elsewhere the ordinary one."""

    def forward(self, images: Tensor) -> Tensor:
        """Convolve: `[B, C, H, W]` to `[B, C', H', W']`, with the bits of the ordinary convolution."""
        if not (torch.is_grad_enabled() and self.weight.requires_grad and images.device.type == "cpu"):
            return super().forward(images)
        stride, padding = self.stride[0], int(self.padding[0])
        largest = _LARGEST_WIDE if self.groups > 1 and self.kernel_size[0] >= _WIDE else _LARGEST
        if max(_outputs(side, self.kernel_size[0], stride, padding) for side in images.shape[-2:]) > largest:
            return super().forward(images)
        # As autocast would; here, so that what is kept for the gradient is what was multiplied.
        kind = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else self.weight.dtype
        convolved: Tensor = _Convolution.apply(images.to(kind), self.weight.to(kind), stride, padding, self.groups)
        return convolved


def _replace_convolutions(source: nn.Module) -> None:
    """Put `_SmallMapConvolution` in the place of every square convolution without bias that it has a gradient for.

    Args:
        source: On the meta device: names and shapes stay, numbers would be lost. Changed in place.
    """
    for name, layer in list(source.named_modules()):
        if type(layer) is nn.Conv2d and _is_replaceable(layer):
            replacement = _SmallMapConvolution(
                layer.in_channels,
                layer.out_channels,
                layer.kernel_size[0],
                stride=layer.stride[0],
                padding=layer.padding[0],
                groups=layer.groups,
                bias=False,
                device="meta",
            )
            # Same parameter names and shapes, so that published state dicts still load.
            source.set_submodule(name, replacement)


def _is_replaceable(layer: nn.Conv2d) -> bool:
    square = all(len(set(pair)) == 1 for pair in (layer.kernel_size, layer.stride, layer.padding))
    plain = layer.dilation == (1, 1) and layer.padding_mode == "zeros" and layer.bias is None
    depthwise = layer.groups == layer.in_channels == layer.out_channels
    return square and plain and (layer.groups == 1 or depthwise)


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, stride: int, padding: int, groups: int) -> Tensor:  # noqa: ANN401 - torch's context has no public type
        ctx.save_for_backward(images, weight)
        ctx.stride, ctx.padding, ctx.groups = stride, padding, groups
        return nn.functional.conv2d(images, weight, stride=stride, padding=padding, groups=groups)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, None, None, None]:  # noqa: ANN401 - as above
        images, weight = ctx.saved_tensors
        stride, padding, groups = ctx.stride, ctx.padding, ctx.groups
        needed = ctx.needs_input_grad[0]
        of_images = _image_gradient(images, weight, gradient, stride, padding, groups) if needed else None
        rows, columns = (
            _spans(weight.shape[-1], into, out, stride, padding)
            for into, out in zip(images.shape[-2:], gradient.shape[-2:], strict=True)
        )
        of_weight = _weight_gradient if groups == 1 else _depthwise_gradient
        return of_images, of_weight(images, gradient, rows, columns), None, None, None


def _outputs(side: int, kernel: int, stride: int, padding: int) -> int:
    return (side + 2 * padding - kernel) // stride + 1


def _spans(kernel: int, into: int, out: int, stride: int, padding: int) -> list[_Span]:
    """For every tap along one axis, what it reads inside the map."""
    spans = []
    for tap in range(kernel):
        places = [place for place in range(out) if 0 <= place * stride + tap - padding < into]
        first, count = (places[0], len(places)) if places else (0, 0)
        start = max(0, first * stride + tap - padding)
        # Only these places read inside the map; what a tap reads in the padding is zero and adds nothing.
        spans.append((slice(first, first + count), slice(start, start + count * stride, stride)))
    return spans


def _image_gradient(images: Tensor, weight: Tensor, gradient: Tensor, stride: int, padding: int, groups: int) -> Tensor:
    """The library's own, which is fast enough: by taps it took as long."""
    of_images: Tensor = torch.ops.aten.convolution_backward(
        gradient, images, weight, None, [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], groups, [True, False, False]
    )[0]
    return of_images


def _weight_gradient(images: Tensor, gradient: Tensor, rows: list[_Span], columns: list[_Span]) -> Tensor:
    """One matrix product a tap, `[C', places] x [places, C]`, over all exams: `[C', C, k, k]`."""
    # Channels last: each place's channels become one contiguous row of the matrix products.
    inputs, grad_output = (maps.permute(2, 3, 0, 1).contiguous() for maps in (images, gradient))
    into, out = images.shape[1], gradient.shape[1]
    # Zeros, not empty: a tap that only reads padding has no product and its gradient is zero.
    found = images.new_zeros(len(rows), len(columns), out, into)
    for row, (down, in_down) in enumerate(rows):
        for column, (across, in_across) in enumerate(columns):
            left, right = grad_output[down, across].reshape(-1, out), inputs[in_down, in_across].reshape(-1, into)
            # Written in place: one product per tap, without a sum over taps and without a copy.
            torch.mm(left.t(), right, out=found[row, column])
    return found.permute(2, 3, 0, 1).contiguous()


def _depthwise_gradient(images: Tensor, gradient: Tensor, rows: list[_Span], columns: list[_Span]) -> Tensor:
    """For every tap the sum over places and exams of what it read times the gradient: `[C, 1, k, k]`."""
    # At least single precision: rounded to bf16, products would lose what their sum keeps.
    kind = torch.promote_types(images.dtype, torch.float32)
    inputs, grad_output = (maps.permute(2, 3, 0, 1).to(kind).contiguous() for maps in (images, gradient))
    found = inputs.new_zeros(len(rows), len(columns), images.shape[1])
    for row, (down, in_down) in enumerate(rows):
        for column, (across, in_across) in enumerate(columns):
            torch.sum(inputs[in_down, in_across] * grad_output[down, across], (0, 1, 2), out=found[row, column])
    return found.permute(2, 0, 1).unsqueeze(1).to(images.dtype).contiguous()


_Geometry = tuple[int, int, int]
"""Kernel, stride and padding, in pixels."""


class _ChannelwiseMaxPool(nn.MaxPool2d):
    """Maximum pooling, faster on a CPU for maps in the ordinary layout; elsewhere the ordinary one."""

    def forward(self, images: Tensor) -> Tensor:
        """Pool: `[B, C, H, W]` to `[B, C, H', W']`, in the same layout."""
        # An exported graph has the ordinary layer: the turning below goes map by map, and a graph cannot.
        if images.device.type != "cpu" or torch.compiler.is_exporting() or not images.is_contiguous():
            return super().forward(images)  # type: ignore[no-any-return]
        geometry = (int(self.kernel_size), int(self.stride), int(self.padding))  # type: ignore[arg-type]
        # Without a gradient the places of the maxima are not needed.
        if not (torch.is_grad_enabled() and images.requires_grad):
            return nn.functional.max_pool2d(_channels_last(images), *geometry).contiguous()
        pooled: Tensor = _Pooling.apply(images, geometry)
        return pooled


def _replace_pooling(source: nn.Module) -> None:
    """Put `_ChannelwiseMaxPool` in the place of every plain, square maximum pooling, in place."""
    for name, layer in list(source.named_modules()):
        if type(layer) is nn.MaxPool2d and _is_plain_pooling(layer):
            source.set_submodule(name, _ChannelwiseMaxPool(layer.kernel_size, layer.stride, layer.padding))


def _is_plain_pooling(layer: nn.MaxPool2d) -> bool:
    square = all(isinstance(size, int) for size in (layer.kernel_size, layer.stride, layer.padding))
    return square and layer.dilation == 1 and not layer.ceil_mode and not layer.return_indices


class _Pooling(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, geometry: _Geometry) -> Tensor:  # noqa: ANN401 - torch's context has no public type
        pooled, places = nn.functional.max_pool2d(_channels_last(images), *geometry, return_indices=True)
        # The backward operator asks for the images; they are the caller's tensor, so this costs no memory.
        ctx.save_for_backward(images, places.contiguous())
        ctx.geometry = geometry
        return pooled.contiguous()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401 - as above
        images, places = ctx.saved_tensors
        kernel, stride, padding = ([size, size] for size in ctx.geometry)
        of_images: Tensor = torch.ops.aten.max_pool2d_with_indices_backward(
            gradient.contiguous(), images, kernel, stride, padding, [1, 1], False, places
        )
        return of_images, None


def _channels_last(images: Tensor) -> Tensor:
    """The maps with the channels side by side, turned one map at a time: three times as fast as all at once."""
    maps, channels, height, width = images.shape
    turned = images.new_empty(maps, height * width, channels)
    for source, target in zip(images.view(maps, channels, -1), turned, strict=True):
        target.copy_(source.t())
    return turned.view(maps, height, width, channels).permute(0, 3, 1, 2)
