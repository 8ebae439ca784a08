"""Between PIL images, arrays and tensors; between dtypes; normalisation; frames of videos."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from cresset import dtypes
from cresset.ops.creation import as_tensor, from_numpy
from cresset.ops.ranges import linspace
from cresset.tensor import Tensor, from_array, is_at_hand
from cresset.vision.pil import is_pil_image
from cresset.vision.transforms import functional as v1
from cresset.vision.transforms.functional.convert import has_zero
from cresset.vision.transforms.functional.dimensions import max_value
from cresset.vision.transforms.v2.functional.dispatch import by_kind

_VALUE_BITS = {
    dtypes.uint8: 8, dtypes.int8: 7, dtypes.int16: 15, dtypes.int32: 31, dtypes.int64: 63,
}  # fmt: skip


def value_bits(dtype: Any) -> int:
    """How many bits of an integer dtype tell its value, not its sign."""
    if dtype not in _VALUE_BITS:
        raise TypeError(
            f"Number of value bits is only defined for integer dtypes, but got {dtype}."
        )
    return _VALUE_BITS[dtype]


def to_image(inpt: Any) -> Tensor:
    """A PIL image, an array (H, W, C) or (H, W), or a tensor as a tensor (..., C, H, W) of the same
    numbers.

    >>> from cresset.vision.transforms.v2 import functional as F
    >>> import numpy as np
    >>> F.to_image(np.zeros((4, 5, 3), np.uint8)).shape
    torch.Size([3, 4, 5])
    """
    if isinstance(inpt, np.ndarray):
        planes = np.atleast_3d(inpt).transpose(2, 0, 1)
        return from_numpy(np.ascontiguousarray(planes))
    if is_pil_image(inpt):
        return v1.pil_to_tensor(inpt)
    if not isinstance(inpt, Tensor):
        raise TypeError(
            "Input can either be a pure Tensor, a numpy array, or a PIL image, but got "
            f"{type(inpt)} instead."
        )
    if inpt.ndim < 2:
        raise ValueError
    return inpt.unsqueeze(0) if inpt.ndim == 2 else inpt


def to_tensor(inpt: Any) -> Tensor:
    """As in the first interface; ``to_image``, then ``to_dtype``, is to be preferred."""
    warnings.warn(
        "The function `to_tensor(...)` is deprecated and will be removed in a future release. "
        "Instead, please use `to_image(...)` followed by `to_dtype(..., dtype=torch.float32, "
        "scale=True)`."
    )
    return v1.to_tensor(inpt)


@by_kind(None)
def to_dtype(image: Tensor, dtype: Any = dtypes.float32, scale: bool = False) -> Tensor:
    """An image in another dtype; with ``scale``, full brightness stays full.

    >>> import cresset as torch
    >>> from cresset.vision.transforms.v2 import functional as F
    >>> F.to_dtype(torch.tensor([[[0, 51, 255]]], dtype=torch.uint8), torch.float32, scale=True)
    tensor([[[0.0000, 0.2000, 1.0000]]])
    """
    source = image.dtype
    if source == dtype:
        return image
    if not scale or (source.is_floating_point and dtype.is_floating_point):
        return image.to(dtype)
    if source.is_floating_point:
        wide = dtype == dtypes.int64 or (source == dtypes.float32 and dtype == dtypes.int32)
        if wide and source in (dtypes.float32, dtypes.float64):
            raise RuntimeError(
                f"The conversion from {source} to {dtype} cannot be performed safely."
            )
        # Just under one more than the largest value: each integer gets an interval of equal width.
        return image.mul(float(max_value(dtype)) + 1.0 - 1e-3).to(dtype)
    if dtype.is_floating_point:
        scale = 1.0 / max_value(source)
        if dtype == dtypes.float32 and is_at_hand(image):
            return from_array(image._array().astype(np.float32) * np.float32(scale), dtype)
        return image.to(dtype).mul(scale)
    shift = value_bits(source) - value_bits(dtype)
    if shift > 0:
        return image.bitwise_right_shift(shift).to(dtype)
    return image.to(dtype).bitwise_left_shift(-shift)


def convert_image_dtype(image: Tensor, dtype: Any = dtypes.float32) -> Tensor:
    """``to_dtype`` with ``scale``.

    >>> import cresset as torch
    >>> from cresset.vision.transforms.v2 import functional as F
    >>> F.convert_image_dtype(torch.tensor([0., 0.5, 1.]), torch.uint8)
    tensor([  0, 127, 255], dtype=torch.uint8)
    """
    return to_dtype.image(image, dtype=dtype, scale=True)


@by_kind(None)
def normalize(image: Tensor, mean: Any, std: Any, inplace: bool = False) -> Tensor:
    """``(image[c] - mean[c]) / std[c]`` for each channel c of a float tensor (..., C, H, W).

    >>> import cresset as torch
    >>> from cresset.vision.transforms.v2 import functional as F
    >>> F.normalize(torch.ones(1, 1, 2), mean=[0.5], std=[0.25])
    tensor([[[2., 2.]]])
    """
    if not image.is_floating_point():
        raise TypeError(f"Input tensor should be a float tensor. Got {image.dtype}.")
    if image.ndim < 3:
        raise ValueError(
            f"Expected tensor to be a tensor image of size (..., C, H, W). Got {image.shape}."
        )
    given = std if isinstance(std, (tuple, list)) else [std]
    if any(isinstance(value, (int, float)) and value == 0 for value in given):
        raise ValueError("std evaluated to zero, leading to division by zero.")
    if not has_zero(std, image.dtype):
        return v1.normalize(image, mean, std, inplace)
    columns = []
    for values in (mean, std):
        column = as_tensor(values, dtype=image.dtype, device=image.device)
        columns.append(column.view(-1, 1, 1) if column.ndim == 1 else column)
    if inplace:
        return image.sub_(columns[0]).div_(columns[1])
    return image.sub(columns[0]).div(columns[1])


@by_kind(None)
def uniform_temporal_subsample(video: Tensor, num_samples: int) -> Tensor:
    """``num_samples`` evenly spaced images of a tensor (..., T, C, H, W).

    >>> import cresset as torch
    >>> from cresset.vision.transforms.v2 import functional as F
    >>> F.uniform_temporal_subsample(torch.arange(5.).reshape(5, 1, 1, 1), 3).flatten()
    tensor([0., 2., 4.])
    """
    which = linspace(0, video.shape[-4] - 1, num_samples, device=video.device).long()
    return video.index_select(-4, which)
