"""Resizing with the anti-aliasing filter gives PyTorch's pixels and derivatives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cresset

CASES: dict[str, dict[str, Any]] = {
    "smaller": {"size": (4, 5)},
    "larger": {"size": (13, 9)},
    "one way each": {"size": (3, 16)},
    "by a factor": {"scale_factor": 0.45},
    "by factors": {"scale_factor": (0.6, 1.7)},
    "by a factor computed anew": {"scale_factor": 0.45, "recompute_scale_factor": True},
    "corners aligned": {"size": (4, 5), "align_corners": True},
    "one pixel": {"size": 1},
}


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("name", CASES)
def test_antialiased_pixels_and_gradients_are_pytorchs(name: str, mode: str) -> None:
    torch = pytest.importorskip("torch")
    values = np.random.default_rng(2).standard_normal((2, 3, 9, 8))
    found = []
    for T in (cresset, torch):
        x = T.tensor(values, requires_grad=True)
        y = T.nn.functional.interpolate(x, mode=mode, antialias=True, **CASES[name])
        (y * y).sum().backward()
        found.append((y.detach().numpy(), x.grad.numpy()))
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)


def test_halving_a_row_weighs_neighbours_by_a_triangle() -> None:
    row = cresset.tensor([0.0, 0.0, 8.0, 0.0]).view(1, 1, 1, 4)
    half = cresset.nn.functional.interpolate(row, size=(1, 2), mode="bilinear", antialias=True)
    np.testing.assert_allclose(half.flatten().numpy(), [8 / 7, 24 / 7], rtol=1e-6)


@pytest.mark.parametrize(("mode", "shape"), [("nearest", (1, 1, 4, 4)), ("linear", (1, 1, 4))])
def test_other_modes_refuse_to_antialias(mode: str, shape: tuple[int, ...]) -> None:
    words = "Anti-alias option is restricted to bilinear, bicubic, and lanczos modes and requires a"
    with pytest.raises(ValueError, match=words):
        cresset.nn.functional.interpolate(cresset.ones(shape), 2, mode=mode, antialias=True)
