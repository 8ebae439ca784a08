"""Transforms as functions of an image: the second interface.

Each takes a PIL image or a tensor (..., C, H, W). The names ``..._image`` and ``..._video``, such
as ``resize_image``, are the same for tensors alone; a video is a tensor (..., T, C, H, W).
"""

from __future__ import annotations

from cresset.vision.transforms.functional import InterpolationMode, pil_to_tensor, to_pil_image
from cresset.vision.transforms.v2.functional.color import (
    adjust_brightness,
    adjust_contrast,
    adjust_hue,
    adjust_saturation,
    grayscale_to_rgb,
    permute_channels,
    rgb_to_grayscale,
    to_grayscale,
)
from cresset.vision.transforms.v2.functional.convert import (
    convert_image_dtype,
    normalize,
    to_dtype,
    to_image,
    to_tensor,
    uniform_temporal_subsample,
)
from cresset.vision.transforms.v2.functional.dimensions import (
    get_dimensions,
    get_image_num_channels,
    get_image_size,
    get_num_channels,
    get_num_frames,
    get_size,
)
from cresset.vision.transforms.v2.functional.dispatch import is_pure_tensor
from cresset.vision.transforms.v2.functional.erasing import erase, jpeg
from cresset.vision.transforms.v2.functional.geometry import (
    center_crop,
    crop,
    five_crop,
    hflip,
    horizontal_flip,
    pad,
    resize,
    resized_crop,
    ten_crop,
    vertical_flip,
    vflip,
)
from cresset.vision.transforms.v2.functional.tone import (
    adjust_gamma,
    adjust_sharpness,
    autocontrast,
    equalize,
    gaussian_blur,
    gaussian_noise,
    invert,
    posterize,
    solarize,
)
from cresset.vision.transforms.v2.functional.warp import (
    affine,
    elastic,
    elastic_transform,
    perspective,
    rotate,
)

#: Functions without a kernel for one image, or without one for a video.
_NO_IMAGE = {"get_num_frames", "uniform_temporal_subsample"}
_NO_VIDEO = {"rgb_to_grayscale", "grayscale_to_rgb"}

for _function in [f for f in globals().values() if hasattr(f, "image")]:
    _name = _function.__name__
    if _name not in _NO_IMAGE:
        globals()[f"{_name}_image"] = _function.image
    if _name not in _NO_VIDEO:
        globals()[f"{_name}_video"] = _function.image
