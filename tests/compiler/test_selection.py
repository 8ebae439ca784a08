"""Medians and other single values of an order, against the kernels."""

from __future__ import annotations

import math

import pytest

import cresset as torch
from cresset.core.modes import PROCESS

from .both import agree

pytestmark = [
    pytest.mark.skipif(PROCESS.eager, reason="eager mode compiles nothing"),
    pytest.mark.usefixtures("pieces"),
]

KINDS = [torch.uint8, torch.int64, torch.int32, torch.float16, torch.bfloat16, torch.float32,
         torch.float64]  # fmt: skip
ENDS = [math.inf, -math.inf, 0.0, -0.0, 1e-45, -1e-45, 3e38, -3e38]


@pytest.mark.parametrize("shape", [(1,), (2, 35), (5, 7, 4)])
def test_along_each_dimension(shape):
    def program():
        found = []
        for kind in KINDS:
            calm = (torch.rand(shape) * 9 - (0 if kind is torch.uint8 else 4)).round().to(kind)
            x = calm.clone()
            if kind.is_floating_point and x.numel() > 9:
                x.view(-1)[[3, 7, 8]] = math.nan
            for d in range(len(shape)):
                found += [*x.median(d), *calm.median(d, True), *x.nanmedian(d)]
                found += [*x.kthvalue(1 + x.shape[d] // 3, d)]
            found += [x.median(), calm.median(), x.nanmedian()]
        return found

    agree(program)


@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.int64, torch.int8])
def test_every_place_of_an_order(kind):
    low = torch.iinfo(kind) if not kind.is_floating_point else None
    ends = ENDS if low is None else [low.min, low.max, 0, -1, 1, low.min + 1, low.max // 2]
    x = torch.tensor([*ends, *ends[:2]], dtype=kind).repeat(2, 1).t().contiguous()

    def program():
        return [part for k in range(len(x)) for part in (x + 0).kthvalue(k + 1, 0)]

    agree(program)


def test_all_nan():
    x = torch.full((3, 5), math.nan)
    agree(lambda: [*(x + 1).median(1), *(x * 2).nanmedian(1), *(x - 1).kthvalue(2, 0)])


def test_the_lower_of_two_middle_values():
    median = torch.compile(lambda x: (x * 2 / 2 + 1 - 1).median(0))
    assert [part.tolist() for part in median(torch.tensor([4.0, 1, 3, 2]))] == [2, 3]
    assert math.isnan(median(torch.tensor([4.0, math.nan, 3, 2])).values.item())
