"""Many images as one, and into files."""

from __future__ import annotations

import math
import os
from typing import IO, Any

from cresset import dtypes
from cresset.autograd.grad_mode import no_grad
from cresset.ops.join import cat, stack
from cresset.tensor import Tensor
from cresset.vision.pil import Image

__all__ = ["make_grid", "save_image"]


def _as_batch(tensor: Any) -> Tensor:
    """(N, C, H, W) of what ``make_grid`` accepts, grey repeated to three channels."""
    items = tensor if isinstance(tensor, list) else []
    for t in items:
        if not isinstance(t, Tensor):
            raise TypeError(f"tensor or list of tensors expected, got a list containing {type(t)}")
    if isinstance(tensor, list):
        tensor = stack(tensor, dim=0)
    if not isinstance(tensor, Tensor):
        raise TypeError(f"tensor or list of tensors expected, got {type(tensor)}")
    if tensor.dim() == 2:
        tensor = tensor.unsqueeze(0)
    if tensor.dim() == 3:
        if tensor.size(0) == 1:
            tensor = cat((tensor, tensor, tensor), 0)
        tensor = tensor.unsqueeze(0)
    if tensor.dim() == 4 and tensor.size(1) == 1:
        tensor = cat((tensor, tensor, tensor), 1)
    return tensor


def _stretch(image: Tensor, value_range: tuple[float, float] | None) -> None:
    """Maps ``value_range``, or else smallest to largest, onto 0..1, in place."""
    low, high = value_range or (float(image.min()), float(image.max()))
    image.clamp_(min=low, max=high)
    image.sub_(low).div_(max(high - low, 1e-5))


@no_grad()
def make_grid(
    tensor: Any,
    nrow: int = 8,
    padding: int = 2,
    normalize: bool = False,
    value_range: tuple[float, float] | None = None,
    scale_each: bool = False,
    pad_value: float = 0.0,
) -> Tensor:
    """Images side by side.

    Args:
        tensor: (N, C, H, W), or a list of images of one size; also (C, H, W) and (H, W).
        nrow: images in each row.
        padding: pixels between them and around.
        normalize: map the values onto 0..1.
        value_range: (low, high) to map from; else smallest and largest value.
        scale_each: find them for each image.
        pad_value: value of the pixels between.

    Returns:
        (C, rows * (H + padding) + padding, columns * (W + padding) + padding); a single image comes
        back without a border.

    >>> import cresset as torch
    >>> torch_grid = make_grid(torch.zeros(10, 1, 8, 8), nrow=5)
    >>> torch_grid.shape
    torch.Size([3, 22, 52])
    """
    images = _as_batch(tensor)
    if normalize is True:
        if value_range is not None and not isinstance(value_range, tuple):
            raise TypeError(
                "value_range has to be a tuple (min, max) if specified. min and max are numbers"
            )
        images = images.clone()
        for part in images if scale_each is True else [images]:
            _stretch(part, value_range)
    if images.size(0) == 1:
        return images.squeeze(0)
    count, channels, height, width = images.shape
    columns = min(nrow, count)
    rows = math.ceil(count / columns)
    step_y, step_x = height + padding, width + padding
    grid = images.new_full(
        (channels, step_y * rows + padding, step_x * columns + padding), pad_value
    )
    for k in range(count):
        top = k // columns * step_y + padding
        left = k % columns * step_x + padding
        grid[:, top : top + height, left : left + width] = images[k]
    return grid


@no_grad()
def save_image(
    tensor: Any, fp: str | os.PathLike[str] | IO[bytes], format: str | None = None, **kwargs: Any
) -> None:
    """Writes an image, or ``make_grid(tensor, **kwargs)`` of many, to a file. Values are 0..1.

    ``format`` is needed where ``fp`` is a file object; else the name's ending decides.
    """
    grid = make_grid(tensor, **kwargs)
    # + 0.5, as the cast to bytes cuts off
    pixels = grid.mul(255).add_(0.5).clamp_(0, 255).permute(1, 2, 0).to("cpu", dtypes.uint8).numpy()
    Image.fromarray(pixels).save(fp, format=format)
