"""Small images changed at once have the bits that the recorded operations give them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cresset
from cresset.vision.transforms import functional as F
from cresset.vision.transforms.functional import arrays
from cresset.vision.transforms.v2 import functional as F2

RNG = np.random.default_rng(1)
CASES: dict[str, Any] = {
    "grey": F.rgb_to_grayscale,
    "three greys": lambda x: F.rgb_to_grayscale(x, 3),
    "dark": lambda x: F.adjust_brightness(x, 0.37),
    "bright": lambda x: F.adjust_brightness(x, 1.63),
    "flat": lambda x: F.adjust_contrast(x, 0.37),
    "steep": lambda x: F.adjust_contrast(x, 1.63),
    "pale": lambda x: F.adjust_saturation(x, 0.37),
    "rich": lambda x: F.adjust_saturation(x, 1.63),
    "turned": lambda x: F.adjust_hue(x, 0.23),
    "turned back": lambda x: F.adjust_hue(x, -0.41),
    "inverted": F.invert,
    "solarized": lambda x: F.solarize(x, 0.4 if x.is_floating_point() else 99.5),
    "smooth": lambda x: F.adjust_sharpness(x, 0.4),
    "sharp": lambda x: F.adjust_sharpness(x, 1.8),
    "autocontrast": F.autocontrast,
    "float": F.convert_image_dtype,
    "mirrored": F.hflip,
    "cropped": lambda x: F.crop(x, 2, 1, 20, 30),
    "erased": lambda x: F.erase(x, 1, 2, 3, 4, cresset.tensor([7.6])[:, None, None]),
    "grey, v2": F2.rgb_to_grayscale,
    "three greys, v2": lambda x: F2.rgb_to_grayscale(x, 3),
    "dark, v2": lambda x: F2.adjust_brightness(x, 0.37),
    "bright, v2": lambda x: F2.adjust_brightness(x, 1.63),
    "flat, v2": lambda x: F2.adjust_contrast(x, 0.37),
    "steep, v2": lambda x: F2.adjust_contrast(x, 1.63),
    "pale, v2": lambda x: F2.adjust_saturation(x, 0.37),
    "rich, v2": lambda x: F2.adjust_saturation(x, 1.63),
    "smooth, v2": lambda x: F2.adjust_sharpness(x, 0.4),
    "sharp, v2": lambda x: F2.adjust_sharpness(x, 1.8),
    "turned, v2": lambda x: F2.adjust_hue(x, 0.23),
    "turned back, v2": lambda x: F2.adjust_hue(x, -0.41),
    "cropped, v2": lambda x: F2.crop(x, -2, 1, 20, 30),
    "centre, v2": lambda x: F2.center_crop(x, [5, 4]),
}
BYTES: dict[str, Any] = {"posterized": lambda x: F.posterize(x, 3)}


def images(dtype: str) -> list[np.ndarray]:
    noise = RNG.integers(0, 256, (2, 3, 17, 24)).astype(np.uint8)
    plain = np.full((3, 20, 20), 80, np.uint8)
    edge = np.zeros((3, 9, 8), np.uint8)
    edge[0, :4], edge[1, 2:] = 255, 128
    ranges = [noise[0] // k + 3 for k in (2, 3, 5, 7)]  # autocontrast divides by the width of each
    found = [noise, noise[0], plain, edge, *ranges]
    return found if dtype == "uint8" else [(x / np.float32(255)).astype(np.float32) for x in found]


EVERY = [(d, n) for d in ("uint8", "float32") for n in CASES] + [("uint8", n) for n in BYTES]


@pytest.mark.parametrize("dtype, name", EVERY)
def test_images_at_hand_become_what_recorded_ones_become(dtype, name, monkeypatch):
    change = {**CASES, **BYTES}[name]
    for image in images(dtype):
        at_once = change(cresset.from_numpy(image.copy()))
        with monkeypatch.context() as patch:
            for module in (arrays, F.color, F.convert, F.geometry):
                patch.setattr(module, "is_at_hand", lambda img: False)
            recorded = change(cresset.from_numpy(image.copy()))
        assert at_once.dtype is recorded.dtype and at_once.shape == recorded.shape
        assert at_once.numpy().tobytes() == recorded.numpy().tobytes()


def test_large_images_are_left_to_plans():
    assert arrays.pixels_at_hand(cresset.from_numpy(np.zeros((3, 80, 80), np.float32))) is None
    small = cresset.from_numpy(np.zeros((3, 8, 8), np.float32))
    assert arrays.pixels_at_hand(small) is not None
    assert arrays.pixels_at_hand(small.requires_grad_()) is None


@pytest.mark.parametrize("change", [F.invert, lambda x: F.adjust_brightness(x, 2.0)])
def test_the_image_given_is_left_alone(change):
    image = cresset.from_numpy(np.full((3, 4, 4), 9, np.uint8))
    change(image).fill_(1)
    assert image.unique().tolist() == [9]
