"""Patches as columns and back, and gated halves, against their reference kernels."""

from __future__ import annotations

import pytest

import cresset as torch
import cresset.nn.functional as F
from cresset.core.modes import PROCESS

from .both import agree

pytestmark = [
    pytest.mark.skipif(PROCESS.eager, reason="eager mode compiles nothing"),
    pytest.mark.usefixtures("pieces"),
]

#: size, kernel, dilation, padding, stride
WINDOWS = [
    ((7, 9), 3, 1, 0, 1),
    ((8, 40), (2, 3), 1, 1, 1),
    ((9, 11), 3, 2, (2, 3), 2),
    ((20, 20), 5, 1, 0, 5),
    ((4, 3), (1, 4), 1, (0, 3), (1, 3)),
    ((6, 5), 2, (3, 1), 4, (2, 1)),
]


@pytest.mark.parametrize("case", WINDOWS)
def test_patches_and_their_sums(case):
    size, *window = case

    def program():
        x = torch.randn(2, 3, *size)
        columns = F.unfold(x, *window)
        whole = (x * 5).to(torch.int64).to(torch.float64)
        wide = F.unfold(whole, *window)
        return [columns, wide, F.fold(columns, size, *window), F.fold(wide, size, *window)]

    agree(program)


def test_patches_of_half_numbers_are_moved():
    agree(
        lambda: [F.unfold(torch.randn(1, 2, 5, 6).to(d), 2) for d in (torch.half, torch.bfloat16)]
    )


def test_a_sum_of_patches_counts_how_often_a_pixel_is_seen():
    seen = torch.compile(lambda x: F.fold(F.unfold(x, 2), (3, 3), 2))
    assert seen(torch.ones(1, 1, 3, 3)).tolist() == [[[[1, 2, 1], [2, 4, 2], [1, 2, 1]]]]


@pytest.mark.parametrize("shape, dim", [((6,), 0), ((3, 40), 1), ((4, 3, 5), 0), ((2, 6, 9), 1)])
def test_gated_halves(shape, dim):
    def program():
        x = torch.randn(shape) * 4
        x[0] = float("-inf")
        kinds = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
        return [F.glu(x.to(d), dim) for d in kinds]

    def gradient():
        x = torch.randn(shape, requires_grad=True)
        F.glu(x, dim).square().sum().backward()
        return [x.grad]

    agree(program, 1e-2, 1e-6)
    agree(gradient, 1e-6, 1e-6)
