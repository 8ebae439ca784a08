"""Transforms as functions of an image: no chance in them."""

from cresset.vision.transforms.functional.color import (
    adjust_brightness,
    adjust_contrast,
    adjust_hue,
    adjust_saturation,
    erase,
    invert,
    rgb_to_grayscale,
    to_grayscale,
)
from cresset.vision.transforms.functional.convert import (
    convert_image_dtype,
    normalize,
    pil_to_tensor,
    to_pil_image,
    to_tensor,
)
from cresset.vision.transforms.functional.dimensions import (
    InterpolationMode,
    get_dimensions,
    get_image_num_channels,
    get_image_size,
)
from cresset.vision.transforms.functional.geometry import (
    affine,
    center_crop,
    crop,
    five_crop,
    hflip,
    pad,
    resize,
    resized_crop,
    rotate,
    ten_crop,
    vflip,
)
