"""The second interface's transforms of a whole batch at once; see ``whole.py`` of the first one.

Crops draw only along an edge that leaves a choice, and bytes are scaled by multiplying with 1 / 255
in float32, where the first interface divides.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cresset import dtypes
from cresset.vision.transforms import draws, whole
from cresset.vision.transforms import functional as v1
from cresset.vision.transforms.v2 import combine, convert, geometry
from cresset.vision.transforms.v2 import functional as F
from cresset.vision.transforms.v2.transform import RandomApplyTransform, Transform
from cresset.vision.transforms.whole import Run, need


def _to_dtype(run: Run, t: Any) -> None:
    need(not run.pil and isinstance(t.dtype, dtypes.dtype))
    if whole.keeps_dtype(run, t.dtype):
        return
    run.floating = True
    scaled = getattr(t, "scale", True)
    need(type(scaled) is bool)
    factor = np.float32(1.0 / 255) if scaled else np.float32(1)
    run.add(lambda images, _: np.multiply(images, factor, dtype=np.float32))


def _pad(run: Run, t: geometry.Pad) -> None:
    whole.pad(run, t.padding, 0 if t.fill is None else t.fill, t.padding_mode)


def _random_crop(run: Run, t: geometry.RandomCrop) -> None:
    height, width = whole.size_of(t)
    left, right, top, bottom = t.padding or (0, 0, 0, 0)
    if t.pad_if_needed and run.height + top + bottom < height:
        short = height - (run.height + top + bottom)
        top, bottom = top + short, bottom + short
    if t.pad_if_needed and run.width + left + right < width:
        short = width - (run.width + left + right)
        left, right = left + short, right + short
    if left or right or top or bottom:
        fill = 0 if t.fill is None else t.fill
        whole.pad(run, [left, top, right, bottom], fill, t.padding_mode)
    if (run.height, run.width) != (height, width):
        whole.crop(run, height, width, run.height > height, run.width > width)


def _add() -> None:
    base = [
        (Transform, name)
        for name in ("check_inputs", "_transformed", "_needs_transform_list", "_call_kernel")
    ]
    for build, kind, *places in (
        (whole.compose, combine.Compose),
        (whole.pil_to_tensor, convert.ToImage, (F, "to_image")),
        (whole.pil_to_tensor, convert.PILToTensor, (F, "pil_to_tensor")),
        (whole.to_tensor, convert.ToTensor, (v1, "to_tensor")),
        (_to_dtype, convert.ToDtype, (F, "to_dtype")),
        (_to_dtype, convert.ConvertImageDtype, (F, "to_dtype")),
        (whole.normalize, convert.Normalize, (F, "normalize"), (convert.Normalize, "check_inputs")),
        (_pad, geometry.Pad, (F, "pad")),
        (whole.center_crop, geometry.CenterCrop, (F, "center_crop")),
        (
            _random_crop, geometry.RandomCrop, (geometry.RandomCrop, "make_params"), (F, "pad"),
            (F, "crop"), (draws, "offset"),
        ),
        (
            whole.flip(3), geometry.RandomHorizontalFlip, (F, "horizontal_flip"),
            (RandomApplyTransform, "forward"), (draws, "happens"),
        ),
        (
            whole.flip(2), geometry.RandomVerticalFlip, (F, "vertical_flip"),
            (RandomApplyTransform, "forward"), (draws, "happens"),
        ),
    ):  # fmt: skip
        row = whole.stage(build, kind, (kind, "transform"), *base, *places)  # type: ignore[arg-type]
        whole.STAGES.update([row])


_add()
