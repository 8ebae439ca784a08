"""Sums and their kin over rows and over other dimensions, in every dtype."""

from __future__ import annotations

import pytest

import cresset as torch
from cresset.core.modes import PROCESS

from .both import agree

pytestmark = pytest.mark.skipif(PROCESS.eager, reason="eager mode compiles nothing")

DTYPES = [torch.bool, torch.uint8, torch.int8, torch.int32, torch.int64, torch.float16,
          torch.bfloat16, torch.float32, torch.float64]  # fmt: skip


#: How far two roundings may be apart; of bfloat16 its bits are compared.
TOLERANCES = {torch.bfloat16: (0, 1), torch.float16: (2e-3, 2e-3)}


@pytest.mark.parametrize("kind", DTYPES)
@pytest.mark.parametrize("shape", [(3, 7), (4, 70), (2, 5, 33)])
def test_over_rows(kind, shape):
    x = (torch.rand(shape) * 3 - 1).to(kind)
    floating = kind.is_floating_point
    if floating:
        x.view(-1)[3] = float("nan")
    some = x > 0

    def program():
        found = [
            x.sum(-1), x.all(-1), x.any(-1), x.amax(-1), x.amin(-1), some.sum(-1),
            some.any(-1, keepdim=True) | some, (x.amax(-1, keepdim=True) == x).sum(-1),
        ]  # fmt: skip
        if kind is not torch.bool:
            found += [x.prod(-1)]
        return found + ([x.mean(-1)] if floating else [])

    agree(program, *TOLERANCES.get(kind, (2e-6, 2e-6)))


@pytest.mark.parametrize("kind", DTYPES)
@pytest.mark.parametrize("dims", [(0,), (1,), (0, 1), (0, 2), (0, 1, 2)])
def test_over_other_dimensions(kind, dims):
    x = (torch.rand(5, 6, 19) * 3 - 1).to(kind)

    def program():
        found = [x.sum(dims), x.all(dims), x.any(dims), x.amax(dims), x.amin(dims)]
        return found + ([x.mean(dims)] if kind.is_floating_point else [])

    agree(program, *TOLERANCES.get(kind, (2e-6, 2e-6)))


@pytest.mark.usefixtures("pieces")
@pytest.mark.parametrize("dims", [(0,), (1,), (2,), (0, 2)])
def test_outputs_are_divided_among_threads(dims):
    x = torch.randn(5, 70, 19)
    agree(lambda: [x.sum(dims), x.mean(dims), x.amax(dims), (x > 2).any(dims)], 2e-6, 2e-6)


def test_over_everything():
    x, y = torch.randint(0, 10, (100_000,)), torch.randint(0, 10, (100_000,))
    count, largest, *_ = agree(
        lambda: [(x == y).sum(), x.max(), y.min(), (x == y).all(), (x < 0).any(), x.sum()]
    )
    assert 9000 < count.item() < 11_000 and largest.item() == 9


def test_values_that_are_not_numbers_win():
    x = torch.tensor([[1.0, float("nan"), 3.0, float("inf"), 0.0] * 4, [-0.0] * 20])
    biggest, smallest, true, none = agree(
        lambda: [x.amax(1), x.amin(1), x.any(1), (x.isnan() | (x > 5)).sum(1)]
    )
    assert biggest[0].isnan() and smallest[0].isnan() and true.tolist() == [True, False]
    assert none.tolist() == [8, 0]


@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.float16])
@pytest.mark.parametrize("dims", [(1,), (0,), (0, 1)])
def test_norms_and_sums_of_what_is_a_number(kind, dims):
    x = (torch.rand(6, 40) * 3 - 1).to(kind)
    x[0, 1] = x[2, 3] = 0
    y = x.clone()
    y[1, 2] = float("nan")

    def program():
        orders = (1, 0, float("inf"), float("-inf"), 2)
        found = [torch.linalg.vector_norm(v, n, dims) for n in orders for v in (x, y)]
        return [*found, y.nansum(dims), y.nanmean(dims), x.norm(1) * x.sign()]

    agree(program, *TOLERANCES.get(kind, (2e-6, 2e-6)))
