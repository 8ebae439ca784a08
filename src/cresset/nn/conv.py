"""Convolution layers in one, two and three dimensions, and their transposes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

from cresset.nn import functional as F
from cresset.nn import init
from cresset.nn.module import Module
from cresset.nn.parameter import Parameter
from cresset.ops.creation import empty
from cresset.tensor import Tensor

__all__ = [
    "Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d",
]  # fmt: skip


def each(value: Any, n: int) -> tuple[int, ...]:
    """A number for each of ``n`` dimensions."""
    return tuple(value) if isinstance(value, (tuple, list)) else (value,) * n


class _ConvNd(Module):
    """What all convolutions share: arguments, parameters, initial values, repr.

    Weights start uniform in ±1/sqrt(fan in), fan in = in_channels / groups * kernel elements.
    """

    n: ClassVar[int]
    transposed: ClassVar[bool] = False

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any, padding: Any,
        dilation: Any, output_padding: Any, groups: int, bias: bool, padding_mode: str,
        device: Any, dtype: Any,
    ) -> None:  # fmt: skip
        super().__init__()
        if groups <= 0:
            raise ValueError("groups must be a positive integer")
        if in_channels % groups != 0:
            raise ValueError("in_channels must be divisible by groups")
        if out_channels % groups != 0:
            raise ValueError("out_channels must be divisible by groups")
        if isinstance(padding, str):
            if padding not in ("same", "valid"):
                raise ValueError(
                    f"Invalid padding string '{padding}', should be one of {{'same', 'valid'}}"
                )
            if padding == "same" and any(s != 1 for s in each(stride, self.n)):
                raise ValueError("padding='same' is not supported for strided convolutions")
        modes = ("zeros", "reflect", "replicate", "circular")
        if padding_mode not in modes:
            raise ValueError(
                f"padding_mode must be one of {modes}, but got padding_mode='{padding_mode}'"
            )
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size = each(kernel_size, self.n)
        self.stride = each(stride, self.n)
        self.padding = padding if isinstance(padding, str) else each(padding, self.n)
        self.dilation = each(dilation, self.n)
        self.output_padding = each(output_padding, self.n)
        self.groups, self.padding_mode = groups, padding_mode
        outer, inner = (
            (in_channels, out_channels) if self.transposed else (out_channels, in_channels)
        )
        shape = (outer, inner // groups, *self.kernel_size)
        self.weight = Parameter(empty(shape, device=device, dtype=dtype))
        if bias:
            self.bias = Parameter(empty(out_channels, device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            fan_in = self.weight.size(1) * math.prod(self.kernel_size)
            if fan_in != 0:
                bound = 1 / math.sqrt(fan_in)
                init.uniform_(self.bias, -bound, bound)

    def _padded(self, input: Tensor) -> Tensor:
        """The input padded as ``padding_mode`` says (for modes other than zeros)."""
        if isinstance(self.padding, str):
            total = [d * (k - 1) for d, k in zip(self.dilation, self.kernel_size, strict=True)]
            if self.padding == "valid":
                total = [0] * self.n
            sides = [(t // 2, t - t // 2) for t in total]
        else:
            sides = [(p, p) for p in self.padding]
        widths = [w for side in reversed(sides) for w in side]
        return F.pad(input, widths, mode=self.padding_mode)

    def extra_repr(self) -> str:
        text = (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}"
        )
        zeros = (0,) * self.n
        if self.padding != zeros:
            text += f", padding={self.padding}"
        if self.dilation != (1,) * self.n:
            text += f", dilation={self.dilation}"
        if self.output_padding != zeros:
            text += f", output_padding={self.output_padding}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.bias is None:
            text += ", bias=False"
        if self.padding_mode != "zeros":
            text += f", padding_mode={self.padding_mode}"
        return text


class _Conv(_ConvNd):
    function: ClassVar[Callable[..., Tensor]]

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1,
        padding: Any = 0, dilation: Any = 1, groups: int = 1, bias: bool = True,
        padding_mode: str = "zeros", device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, 0,
                         groups, bias, padding_mode, device, dtype)  # fmt: skip

    def forward(self, input: Tensor) -> Tensor:
        if self.padding_mode != "zeros":
            return type(self).function(self._padded(input), self.weight, self.bias, self.stride, 0,
                                       self.dilation, self.groups)  # fmt: skip
        return type(self).function(input, self.weight, self.bias, self.stride, self.padding,
                                   self.dilation, self.groups)  # fmt: skip


class Conv1d(_Conv):
    """Convolution along one dimension: input (n, c, l) or (c, l), weight (o, c / groups, k).

    >>> import cresset as torch
    >>> torch.nn.Conv1d(16, 33, 3, stride=2)(torch.zeros(20, 16, 50)).shape
    torch.Size([20, 33, 24])
    """

    n = 1
    function = staticmethod(F.conv1d)


class Conv2d(_Conv):
    """Convolution over images: input (n, c, h, w) or (c, h, w), weight (o, c / groups, kh, kw).

    Output size: ``floor((size + 2 padding - dilation (kernel - 1) - 1) / stride) + 1``.

    >>> import cresset as torch
    >>> torch.nn.Conv2d(3, 6, 5)(torch.zeros(4, 3, 32, 32)).shape
    torch.Size([4, 6, 28, 28])
    """

    n = 2
    function = staticmethod(F.conv2d)


class Conv3d(_Conv):
    """Convolution over volumes: input (n, c, d, h, w), weight (o, c / groups, kd, kh, kw)."""

    n = 3
    function = staticmethod(F.conv3d)


class _ConvTranspose(_ConvNd):
    transposed = True
    function: ClassVar[Callable[..., Tensor]]

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1,
        padding: Any = 0, output_padding: Any = 0, groups: int = 1, bias: bool = True,
        dilation: Any = 1, padding_mode: str = "zeros", device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        if padding_mode != "zeros":
            raise ValueError(f'Only "zeros" padding mode is supported for {type(self).__name__}')
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation,
                         output_padding, groups, bias, padding_mode, device, dtype)  # fmt: skip

    def forward(self, input: Tensor, output_size: Any = None) -> Tensor:
        extra = self.output_padding
        if output_size is not None:
            extra = self._extra_for(input, output_size)
        return type(self).function(input, self.weight, self.bias, self.stride, self.padding, extra,
                                   self.groups, self.dilation)  # fmt: skip

    def _extra_for(self, input: Tensor, output_size: Any) -> tuple[int, ...]:
        """The output padding that gives ``output_size``."""
        sizes = tuple(output_size)
        if len(sizes) not in (self.n, self.n + 2):
            raise ValueError(
                f"ConvTranspose{self.n}D: for {input.dim()}D input, output_size must have {self.n} "
                f"or {self.n + 2} elements (got {len(sizes)})"
            )
        wanted = sizes[-self.n :]
        least = [
            (m - 1) * s - 2 * p + d * (k - 1) + 1
            for m, s, p, d, k in zip(
                input.shape[-self.n :], self.stride, self.padding, self.dilation,
                self.kernel_size, strict=True,
            )
        ]  # fmt: skip
        most = [a + s - 1 for a, s in zip(least, self.stride, strict=True)]
        if any(not a <= w <= b for a, w, b in zip(least, wanted, most, strict=True)):
            raise ValueError(
                f"requested an output size of {output_size}, but valid sizes range from "
                f"{least} to {most} (for an input of {input.shape[-self.n :]})"
            )
        return tuple(w - a for w, a in zip(wanted, least, strict=True))


class ConvTranspose1d(_ConvTranspose):
    """The transpose of Conv1d: weight (c, o / groups, k)."""

    n = 1
    function = staticmethod(F.conv_transpose1d)


class ConvTranspose2d(_ConvTranspose):
    """The transpose of Conv2d: weight (c, o / groups, kh, kw).

    >>> import cresset as torch
    >>> torch.nn.ConvTranspose2d(16, 33, 3, stride=2)(torch.zeros(2, 16, 12, 12)).shape
    torch.Size([2, 33, 25, 25])
    """

    n = 2
    function = staticmethod(F.conv_transpose2d)


class ConvTranspose3d(_ConvTranspose):
    """The transpose of Conv3d."""

    n = 3
    function = staticmethod(F.conv_transpose3d)
