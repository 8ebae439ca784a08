"""Transforms of tensors on another device: the same pixels, and they stay there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from transform_cases import planes

import cresset
from cresset.vision import transforms as T
from cresset.vision.transforms import v2

BILINEAR = T.InterpolationMode.BILINEAR
CASES: list[Any] = [
    T.Resize(10), T.Resize(10, T.InterpolationMode.NEAREST), T.RandomCrop(9, 2), T.Pad(2),
    T.Pad(2, padding_mode="symmetric"), T.RandomResizedCrop(8),
    T.RandomRotation(30, BILINEAR, fill=3),
    T.RandomAffine(30, (0.1, 0.1)), T.RandomPerspective(p=1.0), T.ElasticTransform(20.0, 1.0),
    T.ColorJitter(0.4, 0.4, 0.4, 0.1), T.GaussianBlur(5), T.RandomErasing(1.0, value="random"),
    T.RandomSolarize(0.5, 1.0), T.RandomAdjustSharpness(2.0, 1.0), T.RandomAutocontrast(1.0),
    v2.Resize(10), v2.RandomCrop(9, 2), v2.Pad(2, fill=[1, 2, 3]), v2.RandomPerspective(p=1.0),
    v2.RandomRotation(30, "bilinear", fill=3), v2.ElasticTransform(20.0, 1.0), v2.GaussianBlur(5),
    v2.ColorJitter(0.4, 0.4, 0.4, 0.1), v2.RandomPhotometricDistort(p=1.0), v2.RandomEqualize(1.0),
    v2.RandomErasing(1.0, value="random"), v2.RandomAdjustSharpness(2.0, 1.0),
    v2.RandomAutocontrast(1.0), v2.ToDtype(cresset.float32, scale=True),
]  # fmt: skip
BYTES_ONLY = [
    T.RandomEqualize(1.0),
    T.RandomPosterize(3, 1.0),
    T.AugMix(),
    v2.AugMix(),
    v2.JPEG(50),
]


def _check(transform: Any, image: cresset.Tensor) -> None:
    results = []
    for place in ("cpu", "cuda"):
        cresset.manual_seed(0)
        results.append(transform(image.to(place)))
    assert results[1].device.type == "cuda"
    here, there = (result.cpu().numpy().astype(np.float64) for result in results)
    if image.dtype == cresset.uint8:  # sums in another order may round to the next level
        assert np.abs(here - there).max() <= 1
        assert (here != there).mean() < 0.01
    else:
        np.testing.assert_allclose(there, here, atol=1e-4)


@pytest.mark.parametrize("transform", CASES, ids=lambda t: type(t).__name__)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_another_device_gives_the_same_pixels(
    transform: Any, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRESSET_SIMULATE_CUDA", "1")
    _check(transform, cresset.from_numpy(planes(dtype)))


@pytest.mark.parametrize("transform", BYTES_ONLY, ids=lambda t: type(t).__name__)
def test_another_device_gives_the_same_levels(
    transform: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRESSET_SIMULATE_CUDA", "1")
    _check(transform, cresset.from_numpy(planes("uint8")))
