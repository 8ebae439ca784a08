"""Convolutions whose vectors run along the channels."""

from __future__ import annotations

import pytest

import cresset as torch
import cresset.nn.functional as F
from cresset.compiler import channels, convolution
from cresset.core.modes import PROCESS

from .both import assert_close, fallbacks, run_both

pytestmark = [
    pytest.mark.skipif(PROCESS.eager, reason="eager mode compiles nothing"),
    pytest.mark.usefixtures("pieces"),
]


#: images, channels in, channels out, (height, width), kernel, stride, padding, dilation
CASES = [
    (2, 5, 7, (4, 4), (3, 3), 1, 1, 1),
    (3, 70, 66, (4, 4), (3, 3), 1, 1, 1),
    (2, 64, 50, (8, 8), (3, 3), 2, 1, 1),
    (2, 20, 40, (7, 7), (1, 1), 2, 0, 1),
    (1, 17, 33, (9, 9), (3, 3), 2, 1, 2),
    (2, 16, 16, (6, 6), (5, 5), 3, 2, 1),
    (4, 3, 100, (6, 5), (3, 2), (2, 1), (1, 0), 1),
    (2, 65, 49, (1, 1), (1, 1), 1, 0, 1),
    (2, 12, 9, (8, 8), (2, 2), 3, 1, 1),
    (16, 130, 8, (2, 12), (1, 3), 1, (0, 1), 1),
]


@pytest.mark.parametrize("n, ci, co, size, kernel, stride, padding, dilation", CASES)
def test_convolution_and_its_gradients(
    n, ci, co, size, kernel, stride, padding, dilation, monkeypatch
):
    monkeypatch.setattr(convolution, "_cheapest", lambda cost, groups: "channels")

    def program():
        x = torch.randn(n, ci, *size, requires_grad=True)
        w = torch.randn(co, ci, *kernel, requires_grad=True)
        b = torch.randn(co, requires_grad=True)
        y = F.conv2d(x, w, b, stride=stride, padding=padding, dilation=dilation)
        (y * torch.randn(y.shape)).sum().backward()
        return [y.tolist(), x.grad.tolist(), w.grad.tolist()]

    seen = run_both(program)
    assert_close(seen, rtol=1e-4, atol=2e-4)
    assert not [name for name in fallbacks(seen) if name.startswith("convolution")]


@pytest.mark.parametrize(
    "size, kernel, stride, padding, dilation",
    [(9, 3, 2, 1, 1), (8, 2, 3, 0, 1), (7, 3, 2, 1, 2), (5, 1, 4, 0, 1)],
)
def test_every_pixel_belongs_to_one_remainder(size, kernel, stride, padding, dilation):
    axis = channels.remainders(size, kernel, stride, padding, dilation)
    pixels = [first + stride * i for _, count, first in axis for i in range(count)]
    assert sorted(pixels) == list(range(size))
    for taps, count, first in axis:
        for i in range(taps.number):
            tap = taps.first + i * taps.step
            assert 0 <= tap < kernel
            for q in range(count):
                y = first + stride * q
                assert (taps.start + i * taps.shift + q) * stride == y + padding - tap * dilation
