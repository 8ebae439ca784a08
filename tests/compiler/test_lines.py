"""Running sums, running extremes and first extremes along a dimension, against their kernels."""

from __future__ import annotations

import pytest

import cresset as torch
from cresset.core.modes import PROCESS

from .both import agree

pytestmark = pytest.mark.skipif(PROCESS.eager, reason="eager mode compiles nothing")

DTYPES = [torch.bool, torch.uint8, torch.int8, torch.int64, torch.float16, torch.bfloat16,
          torch.float32, torch.float64]  # fmt: skip
SHAPES = [(2, 4, 19), (130, 1)]


def _values(shape, kind):
    x = (torch.rand(shape) * 5 - 2).to(kind)
    if kind.is_floating_point and x.numel() > 100:
        x.view(-1)[[40, 77]] = float("nan")
    return x


@pytest.mark.parametrize("kind", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_first_extremes(kind, shape):
    x = _values(shape, kind)

    def program():
        found = [part for d in range(x.ndim) for part in (*x.max(d), *x.min(d, keepdim=True))]
        if kind is not torch.bool:
            found += [x.argmax(), x.argmin()]
            found += [y for d in range(x.ndim) for y in (x.argmax(d), x.argmin(d, keepdim=True))]
        return found + [*x.t().max(0)] if x.ndim == 2 else found

    agree(program)


@pytest.mark.parametrize("kind", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_running_results(kind, shape):
    x = _values(shape, kind)

    def program():
        found = []
        for d in range(x.ndim):
            found += [x.cumsum(d), x.cumprod(d), *x.cummax(d), *x.cummin(d)]
        return found + ([x.t().cumsum(1)] if x.ndim == 2 else [])

    agree(program)


@pytest.mark.usefixtures("pieces")
def test_lines_are_divided_among_threads():
    x = torch.randn(3, 70, 5)

    def program():
        found = [*x.max(1), *x.max(2), x.argmin(0), x.cumsum(0), x.cumsum(1), x.cumsum(2)]
        return found + [*x.cummin(1), *x.cummax(0), x.argmax()]

    agree(program)


def test_the_first_of_equals_and_the_first_nan_win():
    x = torch.zeros(3, 100)
    x[0, [70, 5, 33]], x[1, [90, 12]] = 2.0, float("nan")
    x[2] = -float("inf")
    largest, smallest, *_ = agree(lambda: [x.argmax(1), x.argmin(1), x.max(1).values])
    assert largest.tolist() == [5, 12, 0] and smallest.tolist() == [0, 12, 0]


def test_the_sign_of_a_zero_stays():
    x = torch.tensor([[-0.0, 0.0, -1.0], [0.0, -0.0, -1.0]])
    value, place = agree(lambda: [*x.max(1)])
    assert value.signbit().tolist() == [True, False] and place.tolist() == [0, 0]


def test_gradients_go_through():
    def program():
        x = torch.randn(6, 20, requires_grad=True)
        (x.cumsum(1) * x.detach()).sum().backward()
        return [x.grad]

    agree(program, 2e-6, 2e-6)


def test_a_running_sum_of_halves_is_rounded_where_it_is_written():
    x = torch.full((2, 4097), 1.0, dtype=torch.float16)
    (found,) = agree(lambda: [x.cumsum(1)[0, ::2048]])
    assert found.tolist() == [1.0, 2048.0, 4096.0]
