"""The functions of the second interface, against torchvision's."""

from __future__ import annotations

from typing import Any

import pytest
from transform_cases import IMAGES, check, check_error, picture

import cresset
from cresset.vision.transforms.v2 import functional as F

CORNERS = [[0, 0], [30, 0], [30, 22], [0, 22]]
MOVED = [[2, 1], [28, 3], [29, 20], [1, 22]]
COEFFICIENTS = [1.0, 0.1, 2, 0.1, 1.0, 1, 0.001, 0.002]
#: (function, arguments after the image, keyword arguments).
CALLS: list[tuple[str, tuple, dict]] = [
    ("resize", ([10],), {}), ("resize", ([40, 20], "bicubic"), {}),
    ("resize", ([14, 20], "nearest"), {}), ("resize", ([14, 20], "nearest-exact"), {}),
    ("resize", ([14, 20], "lanczos"), {}), ("resize", ([14, 20],), {"antialias": False}),
    ("resize", ([14, 20], 3), {"antialias": False}), ("resize", (None,), {"max_size": 40}),
    ("resize", (9,), {"max_size": 11}), ("resize", ([23, 31],), {}),
    ("resize", ([14, 20], "box"), {}),
    ("affine", (30, [3, 4], 1.2, [10, 5]), {}), ("affine", (45, [0, 0], 1, 3), {"center": [3, 4]}),
    ("affine", (-30.5, [3.0, 4], 0.7, [10.0], "bilinear"), {"fill": [3.0]}),
    ("rotate", (33,), {}), ("rotate", (90,), {}), ("rotate", (450,), {"expand": True}),
    ("rotate", (180,), {}), ("rotate", (-33, "bilinear", True), {"fill": 9}),
    ("rotate", (45,), {"center": [2, 3]}), ("perspective", (CORNERS, MOVED), {}),
    ("perspective", (None, None, "nearest"), {"coefficients": COEFFICIENTS, "fill": 1}),
    ("pad", ([2],), {}), ("pad", ([1, 2],), {"fill": 7}),
    ("pad", ([1, 2, 3, 4],), {"fill": [3, 4, 5]}),
    ("pad", ([1, 2],), {"padding_mode": "edge"}), ("pad", ([1, 2, 3, 0],), {"fill": [3.0]}),
    ("pad", ([1, 2, 3, 4],), {"padding_mode": "reflect"}), ("pad", ([1, 2], [1, 2, 3], "edge"), {}),
    ("pad", ([1, 2, 3, 4],), {"padding_mode": "symmetric"}), ("crop", (-3, -2, 40, 20), {}),
    ("crop", (3, 2, 5, 6), {}), ("crop", (30, 2, 5, 6), {}), ("center_crop", ([40, 10],), {}),
    ("center_crop", (9,), {}), ("resized_crop", (2, 3, 9, 8, [12, 12]), {}),
    ("five_crop", ([9],), {}), ("ten_crop", (9, True), {}), ("five_crop", ([30, 1],), {}),
    ("horizontal_flip", (), {}), ("vflip", (), {}), ("adjust_brightness", (1.3,), {}),
    ("adjust_contrast", (0.45,), {}), ("adjust_contrast", (1.7,), {}),
    ("adjust_saturation", (1.7,), {}), ("adjust_saturation", (0.4,), {}),
    ("adjust_hue", (0.3,), {}),
    ("adjust_hue", (-0.11,), {}), ("adjust_gamma", (0.7,), {}), ("adjust_gamma", (2, 1.2), {}),
    ("adjust_sharpness", (2.0,), {}), ("adjust_sharpness", (0.3,), {}), ("posterize", (3,), {}),
    ("posterize", (8,), {}), ("posterize", (0,), {}), ("solarize", (100,), {}),
    ("solarize", (0.3,), {}), ("solarize", (300,), {}), ("invert", (), {}),
    ("autocontrast", (), {}),
    ("equalize", (), {}), ("rgb_to_grayscale", (), {}), ("to_grayscale", (3,), {}),
    ("grayscale_to_rgb", (), {}), ("permute_channels", ([2, 0, 1],), {}),
    ("gaussian_blur", (5,), {}),
    ("gaussian_blur", ([3, 7], [0.5, 2.0]), {}), ("gaussian_blur", (9, 1.1), {}),
    ("gaussian_noise", (), {}), ("get_dimensions", (), {}), ("get_size", (), {}),
    ("get_num_channels", (), {}), ("get_image_num_channels", (), {}), ("get_image_size", (), {}),
    ("adjust_brightness", (-1,), {}), ("posterize", (9,), {}),
]  # fmt: skip


@pytest.mark.parametrize("image", ["grey picture", "picture", "batch of bytes", "floats"])
@pytest.mark.parametrize(("name", "args", "kwargs"), CALLS)
def test_results_are_torchvisions(name: str, args: tuple, kwargs: dict, image: str) -> None:
    def make(L: Any) -> Any:
        return lambda x: getattr(L, name)(x, *args, **kwargs)

    check(make, IMAGES[image], seeds=1, path="v2.functional")


@pytest.mark.parametrize("source", ["uint8", "int16", "int32", "float32", "float64"])
@pytest.mark.parametrize("target", ["uint8", "int8", "int16", "int64", "float32", "float64"])
@pytest.mark.parametrize("scale", [True, False])
def test_dtypes_are_converted_as_torchvisions(source: str, target: str, scale: bool) -> None:
    image = IMAGES["bytes"].astype(source)
    image = image / 255 if source.startswith("float") else image
    image = image.astype(source)

    def convert(L: Any) -> Any:
        framework = cresset if L is F else pytest.importorskip("torch")
        return lambda x: L.to_dtype(x, getattr(framework, target), scale)

    check(convert, image, 1, "v2.functional", atol=1e-7)


ERRORS = [
    lambda M, L: L.resize(M.zeros(3, 4, 4), [2, 3], max_size=9),
    lambda M, L: L.resize(M.zeros(3, 4, 4), 2, max_size=2),
    lambda M, L: L.resize(M.zeros(3, 4, 4), 2, "lanczos", antialias=False),
    lambda M, L: L.resize(M.zeros(3, 4, 4), 2, 1.5), lambda M, L: L.resize(picture(), 2, "cubic"),
    lambda M, L: L.pad(M.zeros(3, 4, 4), "a"), lambda M, L: L.pad(M.zeros(3, 4, 4), [1, 2, 3]),
    lambda M, L: L.pad(M.zeros(3, 4, 4), 1, padding_mode="wrap"),
    lambda M, L: L.pad(M.zeros(3, 4, 4), 1, fill=[1, 2, 3], padding_mode="edge"),
    lambda M, L: L.five_crop(M.zeros(3, 4, 4), (1, 2, 3)),
    lambda M, L: L.affine(M.zeros(3, 4, 4), "a", [0, 0], 1, 0),
    lambda M, L: L.affine(M.zeros(3, 4, 4), 1, [0, 0], 1, 0, fill="a"),
    lambda M, L: L.rotate(M.zeros(3, 4, 4), 1, "bicubic"),
    lambda M, L: L.rotate(M.zeros(3, 4, 4), 1, fill=[1, 2]),
    lambda M, L: L.perspective(M.zeros(3, 4, 4), None, None),
    lambda M, L: L.perspective(M.zeros(3, 4, 4), None, None, coefficients=[1]),
    lambda M, L: L.perspective(M.zeros(3, 4, 4), CORNERS, MOVED, coefficients=COEFFICIENTS),
    lambda M, L: L.elastic(M.zeros(3, 4, 4), 3),
    lambda M, L: L.elastic(M.zeros(3, 4, 4), M.zeros(1, 4, 5, 2)),
    lambda M, L: L.adjust_hue(M.zeros(3, 4, 4), 0.7), lambda M, L: L.autocontrast(M.zeros(2, 4, 4)),
    lambda M, L: L.adjust_sharpness(M.zeros(2, 4, 4), 1),
    lambda M, L: L.adjust_gamma(M.zeros(3, 4, 4), -1),
    lambda M, L: L.permute_channels(M.zeros(3, 4, 4), [0]),
    lambda M, L: L.rgb_to_grayscale(M.zeros(3, 4, 4), 2), lambda M, L: L.to_image("a"),
    lambda M, L: L.gaussian_blur(M.zeros(3, 4, 4), [1, 2, 3]),
    lambda M, L: L.gaussian_blur(M.zeros(3, 4, 4), 4),
    lambda M, L: L.gaussian_blur(M.zeros(3, 4, 4), 3, "a"),
    lambda M, L: L.gaussian_blur(M.zeros(3, 4, 4), 3, -1.0),
    lambda M, L: L.gaussian_noise(M.zeros(3, 4, 4), sigma=-1),
    lambda M, L: L.gaussian_noise(picture()),
    lambda M, L: L.gaussian_noise(M.zeros(3, 4, 4, dtype=M.int16)),
    lambda M, L: L.to_dtype(M.zeros(3, 4, 4), M.int64, scale=True),
    lambda M, L: L.normalize(M.zeros(4, 4), [1.0], [1.0]),
    lambda M, L: L.normalize(M.zeros(3, 4, 4), [1.0], [0.0]),
    lambda M, L: L.normalize(M.zeros(3, 4, 4, dtype=M.uint8), [1.0], [1.0]),
    lambda M, L: L.get_dimensions(M.zeros(3)), lambda M, L: L.get_size(M.zeros(3)),
    lambda M, L: L.get_num_channels(M.zeros(3)),
]  # fmt: skip


@pytest.mark.parametrize("provoke", ERRORS)
def test_errors_are_torchvisions(provoke: Any) -> None:
    check_error(provoke, path="v2.functional")


def test_a_string_is_no_image() -> None:
    with pytest.raises(TypeError, match=r"Functional F\.resize supports inputs of type dict_keys"):
        F.resize("a", 3)


def test_kernels_have_names_of_their_own() -> None:
    image = cresset.arange(4.0).reshape(1, 2, 2)
    assert F.horizontal_flip_image(image).tolist() == [[[1.0, 0.0], [3.0, 2.0]]]
    assert F.horizontal_flip_video is F.horizontal_flip_image
    assert F.hflip is F.horizontal_flip


def test_quarter_turns_of_tensors_are_exact() -> None:
    image = cresset.arange(6.0).reshape(1, 2, 3)
    assert F.rotate(image, 90, expand=True).tolist() == [[[2.0, 5.0], [1.0, 4.0], [0.0, 3.0]]]
    assert F.rotate(image, 180).tolist() == [[[5.0, 4.0, 3.0], [2.0, 1.0, 0.0]]]


def test_a_border_may_have_a_colour_for_each_channel() -> None:
    image = cresset.zeros(2, 1, 1, dtype=cresset.uint8)
    assert F.pad(image, [0, 1], fill=[7, 9]).tolist() == [[[7], [0], [7]], [[9], [0], [9]]]


def test_posterized_floats_have_few_levels() -> None:
    levels = F.posterize(cresset.linspace(0, 1, 101).reshape(1, 1, -1), 2).unique()
    assert levels.tolist() == [0.0, 0.25, 0.5, 0.75]
