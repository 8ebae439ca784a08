"""Sorted lines and the first few of them, against the kernels."""

from __future__ import annotations

import pytest

import cresset as torch
from cresset.core.modes import PROCESS

from .both import agree

pytestmark = pytest.mark.skipif(PROCESS.eager, reason="eager mode compiles nothing")

DTYPES = [torch.bool, torch.uint8, torch.int64, torch.float16, torch.bfloat16, torch.float32,
          torch.float64]  # fmt: skip


def _values(kind, *shape):
    """With many equals, and some NaN."""
    x = ((torch.rand(shape) * 12 - 4).round() / 2).to(kind)
    if kind.is_floating_point:
        x.view(-1)[[3, 17, 18]] = float("nan")
    return x


@pytest.mark.parametrize("kind", DTYPES)
@pytest.mark.parametrize("shape", [(2, 35), (5, 7, 4)])
def test_sorted(kind, shape):
    x = _values(kind, *shape)

    def program():
        found = [part for d in range(x.ndim) for part in (*x.sort(d), *x.sort(d, True))]
        return [*found, x.t().argsort(0)] if x.ndim == 2 else found

    agree(program)


@pytest.mark.parametrize("kind", [torch.uint8, torch.int64, torch.float16, torch.float32])
@pytest.mark.parametrize("shape", [(3, 40), (5, 7, 4)])
def test_first_few(kind, shape):
    x = _values(kind, *shape)

    def program():
        found = []
        for d in range(x.ndim):
            for k in {1, 2, min(5, x.shape[d]), x.shape[d]} - {40}:
                found += [*x.topk(k, d), *x.topk(k, d, largest=False)]
        return found

    agree(program)


@pytest.mark.usefixtures("pieces")
def test_lines_are_divided_among_threads():
    x = torch.randn(9, 33, 3)
    agree(lambda: [*x.sort(1), *x.sort(2), *x.topk(3, 1), *x.topk(2, 0)])


def test_long_lines_are_merged():
    x = torch.randint(0, 50, (2, 1000)).float()
    agree(lambda: [*x.sort(1), *x.sort(1, descending=True)])


def test_order():
    nan, inf = float("nan"), float("inf")
    x = torch.tensor([3.0, nan, -inf, 1.0, inf, 1.0, nan, -0.0, 0.0])
    up, down, first = agree(lambda: [x.argsort(), x.argsort(descending=True), x.topk(4).indices])
    assert up.tolist() == [2, 7, 8, 3, 5, 0, 4, 1, 6]
    assert down.tolist() == [1, 6, 4, 0, 3, 5, 7, 8, 2]
    assert first.tolist() == [1, 6, 4, 0]


def test_gradients_go_to_the_places_values_came_from():
    def program():
        x = torch.randn(4, 9, requires_grad=True)
        (x.sort(1).values * torch.arange(9.0)).sum().backward()
        y = torch.randn(4, 9, requires_grad=True)
        y.topk(2, 1).values.sum().backward()
        return [x.grad, y.grad]

    agree(program)


@pytest.mark.parametrize("shape", [(1,), (2, 35), (5, 7, 4)])
def test_the_most_frequent(shape):
    def program():
        kinds = [k for k in DTYPES if k is not torch.bool]
        return [
            part for kind in kinds for d in range(len(shape))
            for part in (torch.rand(shape) * 9).round().to(kind).mode(d)
        ]  # fmt: skip

    agree(program)


def test_of_equals_the_last_is_the_mode():
    mode = torch.compile(lambda x: (x * 1 + 0.5 - 0.5 + 0).mode(0))
    assert [part.tolist() for part in mode(torch.tensor([4.0, 1, 4, 1, 2]))] == [1, 3]
