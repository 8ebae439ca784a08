"""Between PIL images, arrays and tensors; between dtypes; normalisation.

Pixels become floats in NumPy, which costs one pass and no recorded nodes: in a data loader this is
the innermost loop. The numbers are those of ``tensor.to(float).div(255)``, bit for bit.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from cresset import dtypes
from cresset.autograd.grad_mode import inference_mode
from cresset.device import CPU, get_default_device
from cresset.ops.creation import as_tensor, from_numpy
from cresset.ops.host_data import dtype_of
from cresset.tensor import Tensor, from_array, is_at_hand
from cresset.vision.pil import GREY_16, Image, array_of, image_from_array, is_pil_image
from cresset.vision.transforms.functional.dimensions import (
    assert_image_tensor,
    max_value,
)

#: PIL modes whose pixels are not bytes.
_WIDE_MODES = {"I": np.int32, GREY_16: np.int16, "F": np.float32}


def _scaled(planes: np.ndarray) -> Tensor:
    """uint8 (C, H, W) to [0, 1] in the default dtype."""
    dtype = dtypes.get_default_dtype()
    if dtype in (dtypes.float32, dtypes.float64):
        return from_array(np.divide(planes, dtype.np.type(255), dtype=dtype.np, order="C"), dtype)
    return from_numpy(np.ascontiguousarray(planes)).to(dtype).div(255)


def to_tensor(pic: Any) -> Tensor:
    """A PIL image or an array (H, W) or (H, W, C) as a tensor (C, H, W).

    Bytes (PIL modes L, LA, P, RGB, RGBA, YCbCr, CMYK, 1 and uint8 arrays) are scaled from 0..255 to
    0..1 in the default dtype; anything else keeps its numbers and dtype.

    >>> import numpy as np
    >>> from cresset.vision.transforms import functional as F
    >>> F.to_tensor(np.array([[0, 51, 255]], dtype=np.uint8))
    tensor([[[0.0000, 0.2000, 1.0000]]])
    """
    if isinstance(pic, np.ndarray):
        if pic.ndim not in (2, 3):
            raise ValueError(f"pic should be 2/3 dimensional. Got {pic.ndim} dimensions.")
        pixels = pic[:, :, None] if pic.ndim == 2 else pic
    elif is_pil_image(pic):
        pixels = array_of(pic).astype(_WIDE_MODES.get(pic.mode, np.uint8), copy=False)
        if pic.mode == "1":
            pixels = pixels * np.uint8(255)
    else:
        raise TypeError(f"pic should be PIL Image or ndarray. Got {type(pic)}")
    planes = pixels.transpose(2, 0, 1)
    if planes.dtype == np.uint8:
        return _scaled(planes)
    return from_numpy(np.ascontiguousarray(planes))


def pil_to_tensor(pic: Any) -> Tensor:
    """A PIL image as a tensor (C, H, W) of the same numbers, uint8 for most.

    >>> from cresset.vision.transforms import functional as F
    >>> from PIL import Image
    >>> F.pil_to_tensor(Image.new('L', (3, 1), 7))
    tensor([[[7, 7, 7]]], dtype=torch.uint8)
    """
    if not is_pil_image(pic):
        raise TypeError(f"pic should be PIL Image. Got {type(pic)}")
    pixels = array_of(pic)
    if get_default_device() is not CPU:
        return as_tensor(pixels).permute(2, 0, 1)
    return from_array(pixels, dtype_of(pixels)).permute(2, 0, 1)


def convert_image_dtype(image: Tensor, dtype: Any = dtypes.float32) -> Tensor:
    """A tensor image in another dtype, with full brightness kept full.

    Floating point has brightness 0..1, an integer dtype 0 to its largest value. Between integers
    the values are shifted by whole bits.

    Raises:
        RuntimeError: float32 to int32 or int64, float64 to int64: too few digits.

    >>> import cresset as torch
    >>> from cresset.vision.transforms import functional as F
    >>> F.convert_image_dtype(torch.tensor([0., 0.5, 1.]), torch.uint8)
    tensor([  0, 127, 255], dtype=torch.uint8)
    """
    if not isinstance(image, Tensor):
        raise TypeError("Input img should be Tensor Image")
    source = image.dtype
    if source == dtype:
        return image
    if source.is_floating_point and dtype.is_floating_point:
        return image.to(dtype)
    if source.is_floating_point:
        wide = dtype == dtypes.int64 or (source == dtypes.float32 and dtype == dtypes.int32)
        if wide and source in (dtypes.float32, dtypes.float64):
            raise RuntimeError(f"The cast from {source} to {dtype} cannot be performed safely.")
        # Just under one more than the largest value: each integer gets an interval of equal width.
        return image.mul(float(max_value(dtype)) + 1.0 - 1e-3).to(dtype)
    if dtype.is_floating_point:
        if source is dtypes.uint8 and dtype is dtypes.float32 and is_at_hand(image):
            return from_array(image._array().astype(np.float32) / np.float32(255), dtype)
        return image.to(dtype) / float(max_value(source))
    levels_in, levels_out = max_value(source) + 1, max_value(dtype) + 1
    if levels_in > levels_out:
        return image.div(levels_in // levels_out, rounding_mode="floor").to(dtype)
    return image.to(dtype) * (levels_out // levels_in)


#: Modes that a number of channels may have; the first is the default for bytes.
_MODES = {2: ["LA"], 3: ["RGB", "YCbCr", "HSV"], 4: ["RGBA", "CMYK", "RGBX"]}
_GREY_MODES = {"uint8": "L", "int16": GREY_16, "int32": "I", "float32": "F"}


def _grey_mode(dtype: np.dtype, mode: str | None) -> str | None:
    expected = _GREY_MODES.get(dtype.name)
    if mode is not None and mode != expected:
        raise ValueError(
            f"Incorrect mode ({mode}) supplied for input type {np.dtype}. Should be {expected}"
        )
    return expected


def _colour_mode(channels: int, dtype: np.dtype, mode: str | None) -> str | None:
    permitted = _MODES[channels]
    if mode is not None and mode not in permitted:
        raise ValueError(f"Only modes {permitted} are supported for {channels}D inputs")
    return permitted[0] if mode is None and dtype == np.uint8 else mode


def to_pil_image(pic: Any, mode: str | None = None) -> Image.Image:
    """A tensor (C, H, W) or (H, W), or an array (H, W, C) or (H, W), as a PIL image.

    Floats are taken as 0..1 and cut to bytes, unless ``mode`` is ``'F'``. Without ``mode``: L, LA,
    RGB or RGBA by the number of channels; I;16, I or F for one channel of wider numbers.

    >>> import cresset as torch
    >>> from cresset.vision.transforms import functional as F
    >>> image = F.to_pil_image(torch.ones(3, 4, 5))
    >>> image.mode, image.size, image.getpixel((0, 0))
    ('RGB', (5, 4), (255, 255, 255))
    """
    if isinstance(pic, Tensor):
        pic = (pic.permute(1, 2, 0) if pic.ndim == 3 else pic).numpy(force=True)
    elif not isinstance(pic, np.ndarray):
        raise TypeError(f"pic should be Tensor or ndarray. Got {type(pic)}.")
    if pic.ndim == 2:
        pic = pic[:, :, None]
    if pic.ndim != 3:
        raise ValueError(f"pic should be 2/3 dimensional. Got {pic.ndim} dimensions.")
    channels = pic.shape[2]
    if channels > 4:
        raise ValueError(f"pic should not have > 4 channels. Got {channels} channels.")
    if np.issubdtype(pic.dtype, np.floating) and mode != "F":
        pic = (pic * 255).astype(np.uint8)
    if channels == 1:
        mode = _grey_mode(pic.dtype, mode)
    else:
        mode = _colour_mode(channels, pic.dtype, mode)
    if mode is None:
        raise TypeError(f"Input type {pic.dtype} is not supported")
    return image_from_array(pic, mode)


def normalize(tensor: Any, mean: Any, std: Any, inplace: bool = False) -> Tensor:
    """``(tensor[c] - mean[c]) / std[c]`` for each channel c of a float tensor (..., C, H, W).

    >>> import cresset as torch
    >>> from cresset.vision.transforms import functional as F
    >>> F.normalize(torch.ones(1, 1, 2), mean=[0.5], std=[0.25])
    tensor([[[2., 2.]]])
    """
    if not isinstance(tensor, Tensor):
        raise TypeError(f"img should be Tensor Image. Got {type(tensor)}")
    assert_image_tensor(tensor)
    dtype = tensor.dtype
    if not dtype.is_floating_point:
        raise TypeError(f"Input tensor should be a float tensor. Got {dtype}.")
    if tensor.ndim < 3:
        raise ValueError(
            "Expected tensor to be a tensor image of size (..., C, H, W). "
            f"Got tensor.size() = {tensor.size()}"
        )
    if has_zero(std, dtype):
        raise ValueError(
            f"std evaluated to zero after conversion to {dtype}, leading to division by zero."
        )
    mean = _per_channel(mean, dtype, tensor.device)
    std = _per_channel(std, dtype, tensor.device)
    if inplace:
        return tensor.sub_(mean).div_(std)
    if not all(can_be_spread(values.shape, tensor.shape) for values in (mean, std)):
        return tensor.clone().sub_(mean).div_(std)  # which is an error
    if dtype in (dtypes.float32, dtypes.float64) and is_at_hand(tensor):
        if is_at_hand(mean) and is_at_hand(std):
            with np.errstate(all="ignore"):
                array = tensor._host() - mean._host()
                array /= std._host()
            return from_array(array, dtype)
    return tensor.sub(mean).div(std)


def can_be_spread(shape: Any, image: Any) -> bool:
    """Whether numbers of this shape can be spread over the image without enlarging it."""
    extra = len(image) - len(shape)
    return extra >= 0 and all(n in (1, m) for n, m in zip(shape, image[extra:], strict=True))


def _per_channel(values: Any, dtype: Any, device: Any) -> Tensor:
    """(C, 1, 1) of C values; lists and tuples, the same for each image, are converted once."""
    if isinstance(values, (list, tuple)) and all(isinstance(v, (int, float)) for v in values):
        return _constants(tuple(values), dtype, device)
    column = as_tensor(values, dtype=dtype, device=device)
    return column.view(-1, 1, 1) if column.ndim == 1 else column


@lru_cache(maxsize=64)
def _constants(values: tuple[float, ...], dtype: Any, device: Any) -> Tensor:
    with inference_mode(False):  # an inference tensor could not be used in training later
        return as_tensor(values, dtype=dtype, device=device).view(-1, 1, 1)


def has_zero(std: Any, dtype: Any) -> bool:
    """Whether ``std`` has a zero in this dtype. Asks the numbers where they are at hand: looking at
    a tensor would end the recording."""
    if isinstance(std, Tensor):
        return bool((std.to(dtype) == 0).any())
    if isinstance(std, (list, tuple)) and all(type(v) is float and v >= 1e-3 for v in std):
        return False  # not so small that any dtype would round it to zero
    numbers = np.asarray(std, dtype=np.float64)
    if dtype in (dtypes.float32, dtypes.float16):
        numbers = numbers.astype(dtype.np)
    return bool((numbers == 0).any())
