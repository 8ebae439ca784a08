"""Resizing bytes: whole numbers from end to end, so that every level is PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest

import cresset

interpolate = cresset.nn.functional.interpolate


def levels(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def test_rows_and_then_columns_are_rounded() -> None:
    x = cresset.tensor([[[[0, 255], [255, 10]]]], dtype=cresset.uint8)
    assert interpolate(x, size=(1, 1), mode="bilinear").tolist() == [[[[131]]]]
    assert interpolate(x, size=(2, 3), mode="bilinear").tolist() == [
        [[[0, 128, 255], [255, 133, 10]]]
    ]


def test_sharp_filters_are_cut_to_bytes() -> None:
    x = cresset.tensor([[[[0, 0, 255, 255]]]], dtype=cresset.uint8)
    assert interpolate(x, size=(1, 8), mode="bicubic").flatten().tolist() == [
        0, 0, 0, 58, 197, 255, 255, 255,
    ]  # fmt: skip


@pytest.mark.parametrize("size", [(14, 20), (40, 33), (9, 31), (23, 11), (64, 65)])
@pytest.mark.parametrize("mode", ["bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize("antialias", [True, False])
def test_levels_are_pytorchs(size: tuple[int, int], mode: str, antialias: bool) -> None:
    torch = pytest.importorskip("torch")
    if torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"):
        pytest.skip("this PyTorch resizes bytes as floats")
    if mode == "lanczos" and not antialias:
        pytest.skip("PyTorch has no such filter")
    for channels in (1, 3, 5):
        x = levels(2, channels, 23, 31)
        settings = {"size": size, "mode": mode, "antialias": antialias}
        got = interpolate(cresset.from_numpy(x), **settings).numpy()
        want = torch.nn.functional.interpolate(torch.from_numpy(x), **settings).numpy()
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("antialias", [True, False])
def test_scale_factors_and_aligned_corners_are_pytorchs(antialias: bool) -> None:
    torch = pytest.importorskip("torch")
    x = levels(1, 3, 12, 9)
    for settings in ({"scale_factor": 1.7}, {"size": (5, 20), "align_corners": True}):
        for mode in ("bilinear", "bicubic"):
            kwargs = {**settings, "mode": mode, "antialias": antialias}
            got = interpolate(cresset.from_numpy(x), **kwargs).numpy()
            want = torch.nn.functional.interpolate(torch.from_numpy(x), **kwargs).numpy()
            np.testing.assert_array_equal(got, want)
