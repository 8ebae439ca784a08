"""Transforms that crop, pad, flip and resize samples."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from cresset.ops.creation import empty
from cresset.ops.random import rand
from cresset.vision.transforms import draws
from cresset.vision.transforms import geometry as v1
from cresset.vision.transforms.v2 import functional as F
from cresset.vision.transforms.v2.functional.geometry import borders
from cresset.vision.transforms.v2.inputs import (
    check_fill,
    check_padding,
    check_padding_mode,
    fill_for,
    query_size,
)
from cresset.vision.transforms.v2.transform import RandomApplyTransform, Transform, params_of
from cresset.vision.transforms.warp import check_length


class RandomHorizontalFlip(RandomApplyTransform):
    """Left becomes right with probability ``p``.

    >>> import cresset as torch
    >>> from cresset.vision.transforms import v2
    >>> v2.RandomHorizontalFlip(p=1.0)((torch.tensor([[[1., 2.]]]), 7))
    (tensor([[[2., 1.]]]), 7)
    """

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self._call_kernel(F.horizontal_flip, inpt)


class RandomVerticalFlip(RandomApplyTransform):
    """Top becomes bottom with probability ``p``.

    >>> import cresset as torch
    >>> from cresset.vision.transforms import v2
    >>> v2.RandomVerticalFlip(p=1.0)(torch.tensor([[[1.], [2.]]]))
    tensor([[[2.],
             [1.]]])
    """

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self._call_kernel(F.vertical_flip, inpt)


# -- resize ----------------------------------------------------------------------------------------


class _Resizing(Transform):
    """Base of the transforms whose parameters tell the new size."""

    interpolation: Any
    antialias: bool | None

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self._call_kernel(
            F.resize, inpt, params["size"], interpolation=self.interpolation,
            max_size=params.get("max_size"), antialias=self.antialias,
        )  # fmt: skip


class Resize(_Resizing):
    """Images of another size: see ``functional.resize``.

    >>> import cresset as torch
    >>> from cresset.vision.transforms import v2
    >>> v2.Resize(4)(torch.zeros(3, 8, 16)).shape
    torch.Size([3, 4, 8])
    """

    def __init__(
        self,
        size: Any,
        interpolation: Any = "bilinear",
        max_size: int | None = None,
        antialias: bool | None = True,
    ) -> None:
        super().__init__()
        if isinstance(size, int):
            size = [size]
        elif isinstance(size, Sequence) and len(size) in (1, 2):
            size = list(size)
        elif size is not None:
            raise ValueError(
                "size can be an integer, a sequence of one or two integers, or None, but got "
                f"{size} instead."
            )
        elif not isinstance(max_size, int):
            raise ValueError(
                f"max_size must be an integer when size is None, but got {max_size} instead."
            )
        self.size = size
        self.interpolation = interpolation
        self.max_size = max_size
        self.antialias = antialias

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        return {"size": self.size, "max_size": self.max_size}


class ScaleJitter(_Resizing):
    """Images fitted into ``target_size``, times a random factor (Ghiasi et al., 2021, "Simple
    Copy-Paste is a Strong Data Augmentation Method for Instance Segmentation").

    >>> import cresset as torch
    >>> from cresset.vision.transforms import v2
    >>> v2.ScaleJitter((8, 8), (1.0, 1.0))(torch.zeros(3, 16, 32)).shape
    torch.Size([3, 4, 8])
    """

    def __init__(
        self,
        target_size: tuple[int, int],
        scale_range: tuple[float, float] = (0.1, 2.0),
        interpolation: Any = "bilinear",
        antialias: bool | None = True,
    ) -> None:
        super().__init__()
        self.target_size = target_size
        self.scale_range = scale_range
        self.interpolation = interpolation
        self.antialias = antialias

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        height, width = query_size(flat_inputs)
        low, high = self.scale_range
        # A tensor of one float32: rounding decides the size.
        scale = low + rand(1) * (high - low)
        factor = min(self.target_size[1] / height, self.target_size[0] / width) * scale
        return {"size": (int(height * factor), int(width * factor))}


class RandomShortestSize(_Resizing):
    """The shorter edge as long as one of ``min_size``, the longer one at most ``max_size``.

    >>> import cresset as torch
    >>> from cresset.vision.transforms import v2
    >>> v2.RandomShortestSize([4], max_size=6)(torch.zeros(3, 8, 16)).shape
    torch.Size([3, 3, 6])
    """

    def __init__(
        self,
        min_size: Any,
        max_size: int | None = None,
        interpolation: Any = "bilinear",
        antialias: bool | None = True,
    ) -> None:
        super().__init__()
        self.min_size = [min_size] if isinstance(min_size, int) else list(min_size)
        self.max_size = max_size
        self.interpolation = interpolation
        self.antialias = antialias

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        height, width = query_size(flat_inputs)
        factor = self.min_size[draws.integer(0, len(self.min_size))] / min(height, width)
        if self.max_size is not None:
            factor = min(factor, self.max_size / max(height, width))
        return {"size": (int(height * factor), int(width * factor))}


class RandomResize(_Resizing):
    """The shorter edge of a length from ``min_size`` to ``max_size - 1``.

    >>> import cresset as torch
    >>> from cresset.vision.transforms import v2
    >>> v2.RandomResize(4, 5)(torch.zeros(3, 8, 16)).shape
    torch.Size([3, 4, 8])
    """

    def __init__(
        self,
        min_size: int,
        max_size: int,
        interpolation: Any = "bilinear",
        antialias: bool | None = True,
    ) -> None:
        super().__init__()
        self.min_size = min_size
        self.max_size = max_size
        self.interpolation = interpolation
        self.antialias = antialias

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        return {"size": [draws.integer(self.min_size, self.max_size)]}


class RandomResizedCrop(Transform):
    """A part of random area and aspect ratio, resized: the usual training image of ImageNet.

    >>> import cresset as torch
    >>> from cresset.vision.transforms import v2
    >>> v2.RandomResizedCrop(8)(torch.zeros(3, 20, 30)).shape
    torch.Size([3, 8, 8])
    """

    get_params = params_of(v1.RandomResizedCrop)

    def __init__(
        self,
        size: Any,
        scale: Sequence[float] = (0.08, 1.0),
        ratio: Sequence[float] = (3.0 / 4.0, 4.0 / 3.0),
        interpolation: Any = "bilinear",
        antialias: bool | None = True,
    ) -> None:
        super().__init__()
        self.size = v1.size_pair(size)
        if not isinstance(scale, Sequence) or len(scale) != 2:
            raise TypeError("Scale should be a sequence of two floats.")
        if not isinstance(ratio, Sequence) or len(ratio) != 2:
            raise TypeError("Ratio should be a sequence of two floats.")
        if scale[0] > scale[1] or ratio[0] > ratio[1]:
            warnings.warn("Scale and ratio should be of kind (min, max)")
        self.scale = scale
        self.ratio = ratio
        self.interpolation = interpolation
        self.antialias = antialias

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        height, width = query_size(flat_inputs)
        image = empty(1, height, width)  # only its size counts
        top, left, h, w = v1.RandomResizedCrop.get_params(image, self.scale, self.ratio)
        return {"top": top, "left": left, "height": h, "width": w}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self._call_kernel(
            F.resized_crop, inpt, **params, size=self.size, interpolation=self.interpolation,
            antialias=self.antialias,
        )  # fmt: skip


# -- crop and pad ----------------------------------------------------------------------------------


class CenterCrop(Transform):
    """The middle of an image, padded with 0 where the image is smaller.

    >>> import cresset as torch
    >>> from cresset.vision.transforms import v2
    >>> v2.CenterCrop(2)(torch.zeros(3, 8, 16)).shape
    torch.Size([3, 2, 2])
    """

    def __init__(self, size: Any) -> None:
        super().__init__()
        self.size = v1.size_pair(size)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self._call_kernel(F.center_crop, inpt, output_size=self.size)


class FiveCrop(Transform):
    """A tuple of the four corners and the centre.

    >>> import cresset as torch
    >>> from cresset.vision.transforms import v2
    >>> len(v2.FiveCrop(2)(torch.zeros(3, 4, 4)))
    5
    """

    def __init__(self, size: Any) -> None:
        super().__init__()
        self.size = v1.size_pair(size)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self._call_kernel(F.five_crop, inpt, self.size)


class TenCrop(Transform):
    """``FiveCrop`` of the image and of its mirror image.

    >>> import cresset as torch
    >>> from cresset.vision.transforms import v2
    >>> len(v2.TenCrop(2)(torch.zeros(3, 4, 4)))
    10
    """

    def __init__(self, size: Any, vertical_flip: bool = False) -> None:
        super().__init__()
        self.size = v1.size_pair(size)
        self.vertical_flip = vertical_flip

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self._call_kernel(F.ten_crop, inpt, self.size, vertical_flip=self.vertical_flip)


class Pad(Transform):
    """Pixels added at the borders: see ``functional.pad``.

    >>> import cresset as torch
    >>> from cresset.vision.transforms import v2
    >>> v2.Pad(1, fill=[5, 6])(torch.zeros(2, 1, 1)).sum((1, 2))
    tensor([40., 48.])
    """

    def __init__(self, padding: Any, fill: Any = 0, padding_mode: str = "constant") -> None:
        super().__init__()
        check_padding(padding)
        check_padding_mode(padding_mode)
        check_fill(fill)
        self.padding = padding if isinstance(padding, int) else list(padding)
        self.fill = fill
        self.padding_mode = padding_mode

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        fill = fill_for(self.fill, type(inpt))
        return self._call_kernel(
            F.pad, inpt, padding=self.padding, fill=fill, padding_mode=self.padding_mode
        )


class RandomZoomOut(RandomApplyTransform):
    """The image somewhere on a larger canvas, with probability ``p`` (Liu et al., 2016, "SSD").

    >>> import cresset as torch
    >>> from cresset.vision.transforms import v2
    >>> v2.RandomZoomOut(side_range=(2.0, 2.0), p=1.0)(torch.zeros(3, 8, 8)).shape
    torch.Size([3, 16, 16])
    """

    def __init__(
        self, fill: Any = 0, side_range: Sequence[float] = (1.0, 4.0), p: float = 0.5
    ) -> None:
        super().__init__(p=p)
        check_fill(fill)
        self.fill = fill
        check_length(side_range, "side_range", (2,))
        self.side_range = side_range
        if side_range[0] < 1.0 or side_range[0] > side_range[1]:
            raise ValueError(f"Invalid side range provided {side_range}.")

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        height, width = query_size(flat_inputs)
        low, high = self.side_range
        factor = low + rand(1) * (high - low)  # in float32, as rounding decides
        extra_width, extra_height = int(width * factor) - width, int(height * factor) - height
        across, down = rand(2).unbind()
        left, top = int(extra_width * across), int(extra_height * down)
        return {"padding": [left, top, extra_width - left, extra_height - top]}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self._call_kernel(F.pad, inpt, **params, fill=fill_for(self.fill, type(inpt)))


class RandomCrop(Transform):
    """A part of this size, each place equally likely.

    Args:
        size: (height, width) or one number.
        padding, fill, padding_mode: borders added first, see ``functional.pad``.
        pad_if_needed: add borders, on both sides, where the image is smaller than ``size``.

    >>> import cresset as torch
    >>> from cresset.vision.transforms import v2
    >>> v2.RandomCrop(32, padding=4)(torch.zeros(3, 32, 32)).shape
    torch.Size([3, 32, 32])
    """

    get_params = params_of(v1.RandomCrop)

    def __init__(
        self,
        size: Any,
        padding: Any = None,
        pad_if_needed: bool = False,
        fill: Any = 0,
        padding_mode: str = "constant",
    ) -> None:
        super().__init__()
        self.size = v1.size_pair(size)
        if padding is not None:
            check_padding(padding)
        if pad_if_needed or padding is not None:
            check_padding_mode(padding_mode)
        check_fill(fill)
        self.padding = borders(padding) if padding else None
        self.pad_if_needed = pad_if_needed
        self.fill = fill
        self.padding_mode = padding_mode

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        height, width = query_size(flat_inputs)
        left, right, top, bottom = self.padding or (0, 0, 0, 0)
        height, width = height + top + bottom, width + left + right
        want_height, want_width = self.size
        if self.pad_if_needed and height < want_height:
            short = want_height - height
            top, bottom, height = top + short, bottom + short, height + 2 * short
        if self.pad_if_needed and width < want_width:
            short = want_width - width
            left, right, width = left + short, right + short, width + 2 * short
        if height < want_height or width < want_width:
            padded = "" if self.padding is None else "padded "
            raise ValueError(
                f"Required crop size {(want_height, want_width)} is larger than {padded}input "
                f"image size {(height, width)}."
            )
        # Where there is nothing to choose, nothing is drawn.
        row = draws.offset(height - want_height) if height > want_height else 0
        column = draws.offset(width - want_width) if width > want_width else 0
        return {
            "padding": [left, top, right, bottom],
            "needs_crop": height > want_height or width > want_width,
            "box": {"top": row, "left": column, "height": want_height, "width": want_width},
        }

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if any(params["padding"]):
            inpt = self._call_kernel(
                F.pad, inpt, padding=params["padding"], fill=fill_for(self.fill, type(inpt)),
                padding_mode=self.padding_mode,
            )  # fmt: skip
        if params["needs_crop"]:
            inpt = self._call_kernel(F.crop, inpt, **params["box"])
        return inpt
