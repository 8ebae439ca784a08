"""Convolutions over volumes against their reference kernels."""

from __future__ import annotations

import numpy as np
import pytest

import cresset as torch
import cresset.nn.functional as F
from cresset.compiler import channels
from cresset.core.modes import PROCESS

from .both import assert_close, fallbacks, run_both

pytestmark = [
    pytest.mark.skipif(PROCESS.eager, reason="eager mode compiles nothing"),
    pytest.mark.usefixtures("pieces"),
]


#: images, channels in, channels out, size, kernel, stride, padding, dilation, groups
CASES = [
    (2, 3, 4, (5, 6, 7), (3, 3, 3), 1, 1, 1, 1),
    (1, 4, 6, (4, 5, 20), (2, 3, 3), 1, 0, 1, 2),
    (3, 2, 5, (7, 8, 8), (3, 2, 3), 2, 1, 1, 1),
    (2, 4, 4, (9, 7, 8), (3, 3, 3), (1, 2, 2), (2, 1, 0), (2, 1, 2), 1),
    (2, 6, 6, (6, 5, 5), (3, 3, 3), (3, 1, 1), 1, 1, 6),
    (1, 1, 3, (16, 8, 9), (5, 3, 3), 1, (2, 1, 1), 1, 1),
    (2, 3, 4, (3, 8, 8), (3, 3, 3), 1, (0, 1, 1), 1, 1),
    (2, 3, 4, (7, 4, 4), (3, 1, 1), (2, 1, 1), (1, 0, 0), 1, 1),
    (2, 3, 1, (8, 6, 6), (2, 2, 2), 2, 0, 1, 1),
    (1, 2, 3, (5, 4, 4), (1, 2, 2), (3, 1, 1), 0, 1, 1),
    (2, 2, 3, (16, 3, 3), (2, 2, 2), 1, 1, 1, 1),
]


def _program(n, ci, co, size, kernel, stride, padding, dilation, groups, transposed=False):
    x = torch.randn(n, ci, *size, requires_grad=True)
    if transposed:
        w = torch.randn(ci, co // groups, *kernel, requires_grad=True)
    else:
        w = torch.randn(co, ci // groups, *kernel, requires_grad=True)
    b = torch.randn(co, requires_grad=True)
    if transposed:
        y = F.conv_transpose3d(x, w, b, stride, padding, 0, groups, dilation)
    else:
        y = F.conv3d(x, w, b, stride, padding, dilation, groups)
    (y * torch.randn(y.shape)).sum().backward()
    return [y.tolist(), x.grad.tolist(), w.grad.tolist(), b.grad.tolist()]


def _agree(*case, **options):
    seen = run_both(lambda: _program(*case, **options))
    assert_close(seen, rtol=1e-4, atol=2e-4)
    assert not [name for name in fallbacks(seen) if name.startswith("convolution")]


@pytest.mark.parametrize("case", CASES)
def test_convolution_and_its_gradients(case):
    _agree(*case)


@pytest.mark.parametrize("case", [CASES[2], CASES[4]])
def test_transposed_convolution_and_its_gradients(case):
    _agree(*case, transposed=True)


@pytest.mark.parametrize("stride", [1, 2])
def test_many_channels(stride, monkeypatch):
    monkeypatch.setattr(channels, "_FEWEST", 4)
    _agree(2, 9, 7, (5, 4, 4), (3, 3, 3), stride, 1, 1, 1)


def test_a_volume_behind_an_offset():
    def program():
        x = torch.randn(4, 2, 5, 6, 6)[1:3]
        return F.conv3d(x, torch.randn(6, 2, 3, 3, 3)[2:], torch.randn(8)[4:]).tolist()

    seen = run_both(program)
    assert_close(seen, rtol=1e-4, atol=1e-4)
    assert not fallbacks(seen)


def test_a_sum_over_a_cube():
    cube = torch.compile(lambda x, w: F.conv3d(x, w, padding=1))
    x = torch.ones(1, 1, 3, 3, 3)
    y = np.asarray(cube(x, torch.ones(1, 1, 3, 3, 3)).tolist())
    assert y[0, 0, 1, 1].tolist() == [18, 27, 18]
    assert y[0, 0, 0, 0].tolist() == [8, 12, 8]
