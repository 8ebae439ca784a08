"""The transforms of published weights prepare images as torchvision's do."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import load_torchvision

import cresset
from cresset.vision.transforms import InterpolationMode
from cresset.vision.transforms._presets import ImageClassification

Image = pytest.importorskip("PIL.Image")


def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (50, 40, 3), np.uint8)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("kind", ["image", "tensor"])
def test_an_image_is_prepared_as_torchvision_does(kind: str, mode: str) -> None:
    torch, torchvision = load_torchvision()
    from torchvision.transforms import _presets

    options = {"crop_size": 24, "resize_size": 30}
    theirs = _presets.ImageClassification(
        **options, interpolation=torchvision.transforms.InterpolationMode(mode)
    )
    ours = ImageClassification(**options, interpolation=mode)
    assert repr(ours) == repr(theirs)
    pixels = picture()
    if kind == "image":
        expected, found = theirs(Image.fromarray(pixels)), ours(Image.fromarray(pixels))
    else:
        planes = np.ascontiguousarray(pixels.transpose(2, 0, 1))
        expected, found = theirs(torch.from_numpy(planes)), ours(cresset.from_numpy(planes))
    np.testing.assert_allclose(found.numpy(), expected.numpy(), atol=1e-5)


def test_a_preset_says_what_it_does() -> None:
    preset = ImageClassification(crop_size=224)
    assert preset.interpolation is InterpolationMode.BILINEAR
    assert "resize_size=[256]" in repr(preset) and "[256]" in preset.describe()
