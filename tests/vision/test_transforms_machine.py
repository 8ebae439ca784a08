"""Images through machine code have the bits that NumPy's code gives them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import cresset
from cresset.core.modes import PROCESS
from cresset.vision.transforms import functional as F
from cresset.vision.transforms.functional import blur, filters, machine, resampling, sampling
from cresset.vision.transforms.v2 import functional as F2

RNG = np.random.default_rng(0)
SIZES = [(32, 32), (17, 40), (100, 70)]


@pytest.fixture
def same(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], np.ndarray]], None]:
    """A check that a function's result is the same with machine code and without."""
    monkeypatch.setattr(machine, "_WORTH_IT", 0)

    def check(function: Callable[[], np.ndarray]) -> None:
        found = []
        for compiled in (True, False):
            monkeypatch.setattr(PROCESS, "compile", compiled)
            found.append(function())
        ours, plain = found
        assert ours.dtype == plain.dtype and ours.shape == plain.shape
        assert ours.tobytes() == plain.tobytes()

    return check


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
@pytest.mark.parametrize("fill", [None, [0.0], [1.0, 255.0, 7.0]])
@pytest.mark.parametrize("mix", sampling.MIXES)
def test_positions_are_looked_up_the_same(same, size, mode, fill, mix):
    image = RNG.random((2, 3, *size), np.float32) * 255
    grid = RNG.random((19, 23, 2), np.float32) * np.float32(2.6) - np.float32(1.3)
    grid[0, :4] = [[-1, -1], [1, 1], [0, 0], [-1, 1]]
    for dtype in (cresset.float32, cresset.uint8, cresset.int16):
        img = cresset.from_numpy(image).to(dtype)
        same(lambda img=img: sampling._sample_image(img, grid, mode, fill, mix))


def test_positions_that_are_no_numbers_give_what_lies_outside(same):
    img = cresset.ones(1, 20, 20)
    grid = np.full((4, 4, 2), np.nan, np.float32)
    same(lambda: sampling._sample_image(img, grid, "nearest", [3.0], sampling.weighted))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("out", [(24, 24), (48, 100), (16, 33), (130, 17)])
@pytest.mark.parametrize(
    "mode, antialias", [("bilinear", True), ("bicubic", True), ("bilinear", False)]
)
def test_axes_are_resampled_the_same(same, size, out, mode, antialias):
    pixels = RNG.random((3, *size), np.float32)
    same(lambda: resampling.resize_array(pixels, *out, mode, antialias))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("out", [(24, 24), (48, 100), (16, 33), (130, 17)])
@pytest.mark.parametrize(
    "mode, antialias",
    [("bilinear", True), ("bicubic", True), ("lanczos", True), ("bilinear", False)],
)
def test_bytes_are_resampled_in_whole_numbers_the_same(same, size, out, mode, antialias):
    image = cresset.from_numpy(RNG.integers(0, 256, (2, 3, *size)).astype(np.uint8))
    same(lambda: F2.resize(image, list(out), mode, antialias=antialias).numpy())


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("weights", [(3, 3), (5, 3), (1, 7)])
def test_neighbourhoods_are_summed_the_same(same, size, weights):
    pixels, kernel = RNG.random((3, *size), np.float32), RNG.random(weights, np.float32)
    same(lambda: filters.convolve_array(pixels, kernel))


@pytest.mark.parametrize("dtype", ["uint8", "int8", "bool", "float32", "int32", "float64", "int16"])
@pytest.mark.parametrize("width", [15, 16, 17, 40])
def test_lines_are_mirrored_the_same(same, dtype, width):
    image = RNG.integers(0, 100, (2, 3, 5, width)).astype(dtype)
    same(lambda: F.hflip(cresset.from_numpy(image)).numpy())
    flipped = F.hflip(cresset.from_numpy(image)[..., 1:])
    assert flipped.tolist() == image[..., :0:-1].tolist()


@pytest.mark.parametrize("dtype", [cresset.float32, cresset.uint8])
def test_blurred_images_are_the_same(same, dtype):
    img = cresset.from_numpy(RNG.random((3, 33, 40)) * 255).to(dtype)
    same(lambda: blur.gaussian_blur(img, [5, 3], [1.5, 0.7]).numpy())


def test_code_is_made_when_enough_pixels_were(monkeypatch):
    monkeypatch.setattr(PROCESS, "compile", True)
    monkeypatch.setattr(machine, "_WORTH_IT", 100)
    monkeypatch.setattr(machine, "_made", machine.Counter())
    assert machine._function("rows", 15, 1000) is None, "a line shorter than a vector"
    made = [machine._function("rows", 16, 60) is not None for _ in range(3)]
    assert made == [False, False, True]


def test_without_a_compiler_numpy_goes_on(monkeypatch):
    def refuse(text):
        raise OSError("no compiler here")

    monkeypatch.setattr(PROCESS, "compile", True)
    monkeypatch.setattr(machine, "_WORTH_IT", 0)
    monkeypatch.setattr("cresset.compiler.host.Module", refuse)
    machine._compiled.cache_clear()
    try:
        with pytest.warns(RuntimeWarning, match="by NumPy, as no machine code .* here"):
            flipped = F.hflip(cresset.from_numpy(np.arange(20, dtype=np.int32)[None]))
    finally:
        machine._compiled.cache_clear()
    assert flipped.tolist() == [[*range(19, -1, -1)]]


CASES: dict[str, Callable[[Any], Any]] = {
    "resize": lambda x: F.resize(x, [20, 31]),
    "resize, bicubic": lambda x: F.resize(x, [50, 31], F.InterpolationMode.BICUBIC),
    "resize, no antialias": lambda x: F.resize(x, [90, 61], antialias=False),
    "blur": lambda x: F.gaussian_blur(x, [5, 3], [1.5, 0.7]),
}


@pytest.mark.parametrize("name", CASES)
def test_float_images_whose_gradient_is_wanted_have_one(name):
    img = cresset.rand(3, 40, 40, requires_grad=True)
    CASES[name](img).sum().backward()
    assert img.grad is not None and float(img.grad.abs().sum()) > 0
    assert cresset.allclose(CASES[name](img), CASES[name](img.detach()), atol=1e-6)
