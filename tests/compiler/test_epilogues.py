"""Kernels that do what comes after them."""

from __future__ import annotations

import numpy as np
import pytest

import cresset as torch
import cresset.nn.functional as F
from cresset.compiler import convolution
from cresset.core.modes import PROCESS

from .both import assert_close, run_both
from .test_simplify import ops

pytestmark = pytest.mark.skipif(
    PROCESS.eager or PROCESS.check,
    reason="eager mode compiles nothing, and checks do every backward pass twice",
)

# -- relu and convolution --------------------------------------------------------------------------


def test_a_convolution_writes_the_relu_of_it():
    x = torch.randn(2, 3, 9, 9)
    w = torch.randn(16, 3, 3, 3, requires_grad=True)

    def program():
        w.grad = None
        y = F.conv2d(x, w).relu()
        y.sum().backward()
        return [y, w.grad]

    names = ops(program)
    assert "convolution_relu" in names and "relu" not in names
    assert "convolution" not in names and "relu_backward" in names


def test_a_convolution_that_is_read_elsewhere_stays():
    x, w = torch.randn(2, 3, 9, 9), torch.randn(16, 3, 3, 3)

    def program():
        y = F.conv2d(x, w)
        return [y.relu() * y.sigmoid()]

    names = ops(program)
    assert "convolution" in names and "convolution_relu" not in names


def test_a_convolution_that_is_held_stays():
    x, w = torch.randn(2, 3, 9, 9), torch.randn(16, 3, 3, 3)

    def program():
        y = F.conv2d(x, w)
        return [y, y.relu()]

    assert "convolution_relu" not in ops(program)


def test_convolutions_of_other_dtypes_and_volumes_keep_their_relu_behind_them():
    x, w = torch.randn(1, 2, 5, 5, 5), torch.randn(3, 2, 3, 3, 3)
    assert "convolution_relu" not in ops(lambda: [F.conv3d(x, w).relu()])
    x, w = torch.randn(1, 2, 5, 5).double(), torch.randn(3, 2, 3, 3).double()
    assert "convolution_relu" not in ops(lambda: [F.conv2d(x, w).relu()])


def _two(outputs, keep=False):
    """Two convolutions with a relu between them."""
    torch.manual_seed(0)
    x = torch.randn(3, 2, 12, 12)
    u = torch.randn(outputs, 2, 3, 3, requires_grad=True)
    v = torch.randn(16, outputs, 3, 3, requires_grad=True)

    def program():
        u.grad = v.grad = None
        y = F.conv2d(x, u, padding=1).relu()
        if keep:
            y.retain_grad()
        z = F.conv2d(y, v, stride=2, padding=1)
        (z * z.detach().cos()).sum().backward()
        return [z, u.grad, v.grad] + ([y.grad] if keep else [])

    return program


@pytest.mark.parametrize("family, outputs", [("inputs", 20), ("inputs", 16), ("outputs", 3)])
def test_the_gradient_of_an_input_is_cut_where_the_relu_in_front_was_zero(
    family, outputs, monkeypatch
):
    monkeypatch.setattr(
        convolution, "_cheapest", lambda cost, groups: family if family in cost else "rows"
    )
    names = ops(_two(outputs), tolerance=1e-3)
    assert "convolution_input_relu" in names
    assert not {"convolution_input", "relu_backward"} & set(names)


def test_gradients_along_rows_are_cut_afterwards(monkeypatch):
    monkeypatch.setattr(convolution, "_cheapest", lambda cost, groups: "rows")
    names = ops(_two(16), tolerance=1e-3)
    assert {"convolution_input", "relu_backward"} <= set(names)


def test_a_gradient_that_is_held_is_cut_afterwards(monkeypatch):
    monkeypatch.setattr(
        convolution, "_cheapest", lambda cost, groups: "inputs" if "inputs" in cost else "rows"
    )
    assert "relu_backward" in ops(_two(16, keep=True), tolerance=1e-3)


def _biased(case, options):
    n, ci, co, size, kernel = case
    torch.manual_seed(0)
    x = torch.randn(n, ci, *size)
    w = (torch.randn(co, ci, *kernel) / 9).requires_grad_()
    b = torch.randn(co, requires_grad=True)

    def program():
        w.grad = b.grad = None
        y = F.conv2d(x, w, b, **options)
        (y * y.detach().cos()).sum().backward()
        return [w.grad, b.grad]

    return program


@pytest.mark.parametrize(
    "case, options",
    [
        ((5, 1, 16, (28, 28), (3, 3)), {"stride": 2, "padding": 1}),
        ((5, 6, 16, (14, 14), (5, 5)), {}),
        ((3, 1, 19, (9, 9), (1, 1)), {}),
        ((33, 4, 37, (5, 7), (3, 3)), {"padding": 1}),
    ],
)
def test_the_gradient_of_a_bias_is_summed_up_by_the_kernel_of_the_weights(
    case, options, monkeypatch
):
    monkeypatch.setattr(convolution, "_cheapest", lambda cost, groups: "outputs")
    names = ops(_biased(case, options), tolerance=1e-3)
    assert "convolution_weight_sum" in names and "sum" not in names


def test_the_gradient_of_a_bias_is_summed_up_apart_where_the_weights_are_along_rows(monkeypatch):
    monkeypatch.setattr(convolution, "_cheapest", lambda cost, groups: "rows")
    names = ops(_biased((2, 3, 6, (12, 12), (3, 3)), {}), tolerance=1e-3)
    assert {"convolution_weight", "sum"} <= set(names)


# -- max pooling -----------------------------------------------------------------------------------


#: (height, width), kernel
POOLS = [
    ((8, 8), (2, 2)), ((7, 9), (2, 2)), ((24, 24), (2, 2)), ((6, 40), (3, 4)), ((5, 6), (1, 2)),
    ((9, 5), (3, 1)), ((4, 4), (4, 4)), ((10, 10), (2, 2)), ((2, 2), (2, 2)), ((14, 70), (2, 2)),
]  # fmt: skip


def _values(*shape):
    """With ties, zeros of both signs, infinities, NaN, and windows that relu cuts whole."""
    values = np.random.default_rng(0).integers(-3, 3, shape).astype(np.float32)
    values[0, 0, 0, :2] = [-0.0, 0.0]
    values[0, 1] = -1.0
    values[1, 0, 1, 1] = np.nan
    values[1, 1, 0, 0] = np.inf
    values[1, 2] = -np.inf
    return values


def _step(size, kernel, relu, between=False):
    """A pool with or without a relu behind it, and its gradient."""
    x = torch.tensor(_values(2, 3, *size), requires_grad=True)

    def program():
        x.grad = None
        p = F.max_pool2d(x * 2, kernel)
        y = p.relu() if relu else p
        (y * torch.arange(float(y.numel())).view(y.shape)).nansum().backward()
        return [y, x.grad] + ([p] if between else [])

    return program


@pytest.mark.parametrize("size, kernel", POOLS)
@pytest.mark.parametrize("relu", [False, True])
def test_a_pool_keeps_bytes_for_its_gradient(size, kernel, relu):
    names = ops(_step(size, kernel, relu))
    assert ("max_pool2d_relu_bytes" if relu else "max_pool2d_bytes") in names
    assert "max_pool_bytes_backward" in names
    assert not {"max_pool2d", "max_pool_backward", "relu", "relu_backward"} & set(names)


@pytest.mark.usefixtures("pieces")
def test_pools_are_cut_for_threads():
    for relu in (False, True):
        assert_close(run_both(_step((8, 8), (2, 2), relu)), rtol=0, atol=0)


def test_relu_in_front_of_a_pool_is_done_by_the_pool():
    x = torch.tensor(_values(2, 3, 8, 8), requires_grad=True)

    def program():
        x.grad = None
        y = F.max_pool2d((x * 2).relu(), 2)
        (y * 3).sum().backward()
        return [y, x.grad]

    assert {"max_pool2d_relu_bytes", "max_pool_bytes_backward"} <= set(ops(program))


def test_pooled_values_that_are_held_are_not_cut():
    names = ops(_step((8, 8), (2, 2), True, between=True))
    assert "max_pool2d_bytes" in names and "relu" in names


@pytest.mark.parametrize(
    "options", [{"stride": 1}, {"padding": 1}, {"dilation": 2}, {"ceil_mode": True}]
)
def test_other_windows_keep_their_positions(options):
    x = torch.randn(2, 3, 9, 9, requires_grad=True)

    def program():
        x.grad = None
        y = F.max_pool2d(x * 2, 2, **options)
        (y * 3).sum().backward()
        return [y, x.grad]

    assert "max_pool2d" in ops(program)


def test_positions_that_are_read_stay():
    x = torch.randn(2, 3, 8, 8, requires_grad=True)

    def program():
        x.grad = None
        y, i = F.max_pool2d(x * 2, 2, return_indices=True)
        (y * 3).sum().backward()
        return [y, i, x.grad]

    assert {"max_pool2d", "max_pool_backward"} <= set(ops(program))


def test_a_pool_by_hand():
    x = torch.tensor([[[[1.0, 4.0, -1.0, -2.0], [3.0, 4.0, -5.0, -1.0]]]], requires_grad=True)

    def program():
        x.grad = None
        (F.max_pool2d(x * 1, 2).relu() * torch.tensor([5.0, 7.0])).sum().backward()
        return [x.grad]

    assert "max_pool2d_relu_bytes" in ops(program)
    assert x.grad.tolist() == [[[[0, 5, 0, 0], [0, 0, 0, 0]]]]


def test_a_pool_between_convolutions_does_the_cutting_rather_than_the_convolution(monkeypatch):
    monkeypatch.setattr(
        convolution, "_cheapest", lambda cost, groups: "inputs" if "inputs" in cost else "rows"
    )
    torch.manual_seed(0)
    x, w = torch.randn(2, 3, 12, 12), torch.randn(5, 16, 3, 3) / 12
    u = torch.randn(16, 3, 3, 3, requires_grad=True)

    def program():
        u.grad = None
        z = F.conv2d(F.max_pool2d(F.conv2d(x, u).relu(), 2), w)
        (z * z.detach().cos()).sum().backward()
        return [z, u.grad]

    names = ops(program, tolerance=1e-3)
    assert "max_pool2d_relu_bytes" in names and "convolution_input" in names
    assert not {"relu", "relu_backward", "convolution_input_relu"} & set(names)
