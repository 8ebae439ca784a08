"""Transforms as functions of an image: no chance in them."""

from cresset.vision.transforms.functional.blur import gaussian_blur
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
    pil_modes_mapping,
)
from cresset.vision.transforms.functional.geometry import (
    center_crop,
    crop,
    five_crop,
    hflip,
    pad,
    resize,
    resized_crop,
    ten_crop,
    vflip,
)
from cresset.vision.transforms.functional.tone import (
    adjust_gamma,
    adjust_sharpness,
    autocontrast,
    equalize,
    posterize,
    solarize,
)
from cresset.vision.transforms.functional.warp import (
    affine,
    elastic_transform,
    perspective,
    rotate,
)
