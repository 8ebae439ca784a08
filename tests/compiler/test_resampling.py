"""Resized images and their gradients against the kernels."""

from __future__ import annotations

import pytest

import cresset as torch
import cresset.nn.functional as F
from cresset.core.modes import PROCESS

from .both import agree

pytestmark = pytest.mark.skipif(PROCESS.eager, reason="eager mode compiles nothing")

CASES = [
    ((7,), {"scale_factor": 2, "mode": "nearest"}),
    ((7,), {"size": 12, "mode": "linear"}),
    ((5, 6), {"scale_factor": 2, "mode": "nearest"}),
    ((5, 6), {"size": (3, 11), "mode": "nearest-exact"}),
    ((5, 6), {"scale_factor": 2, "mode": "bilinear"}),
    ((9, 8), {"size": (4, 13), "mode": "bilinear", "align_corners": True}),
    ((5, 6), {"scale_factor": 1.7, "mode": "bicubic"}),
    ((9, 12), {"size": (5, 6), "mode": "bilinear", "antialias": True}),
    ((3, 4, 5), {"scale_factor": 2, "mode": "trilinear"}),
    ((3, 4, 5), {"scale_factor": (1, 2, 3), "mode": "nearest"}),
]


@pytest.mark.parametrize("size, options", CASES)
def test_both_ways(size, options):
    def program():
        found = []
        for kind in (torch.float32, torch.float64):
            x = torch.randn(2, 3, *size, dtype=kind, requires_grad=True)
            y = F.interpolate(x, **options)
            (y * torch.randn(y.shape, dtype=kind)).sum().backward()
            found += [y.detach(), x.grad]
        return found

    agree(program, 2e-6, 2e-6)


@pytest.mark.usefixtures("pieces")
def test_planes_are_divided_among_threads():
    x = torch.randn(3, 5, 8, 8)
    agree(lambda: [F.interpolate(x, scale_factor=2, mode="bilinear")], 2e-6, 2e-6)


def test_the_nearest_pixel_is_copied():
    x = torch.tensor([[[1.0, 2.0, 3.0]]])
    (found,) = agree(lambda: [F.interpolate(x, scale_factor=2)])
    assert found.tolist() == [[[1, 1, 2, 2, 3, 3]]]
