"""Steps on half types by the code for float32, against their reference kernels."""

from __future__ import annotations

import numpy as np
import pytest

import cresset as torch
import cresset.nn.functional as F
from cresset.core.modes import PROCESS
from cresset.core.plan import from_bfloat16

from .both import fallbacks, run_both

pytestmark = [
    pytest.mark.skipif(PROCESS.eager, reason="eager mode compiles nothing"),
    pytest.mark.usefixtures("pieces"),
]

HALVES = [torch.float16, torch.bfloat16]


def _agree(program, dtype, units=1.0):
    """Results alike but for the last bit, here and there, where float32 sums differ a little."""
    held = []

    def run():
        held[:] = program()

    seen = run_both(run)
    assert not fallbacks(seen)
    compared = 0
    for _, pairs in seen:
        for wanted, found in pairs:
            if wanted.dtype == np.uint16:
                wanted, found = from_bfloat16(wanted), from_bfloat16(found)
            eps = units * 2.0 ** (-8 if dtype is torch.bfloat16 else -10)
            np.testing.assert_allclose(
                found.astype(np.float64), wanted.astype(np.float64), eps, eps
            )
            compared += 1
    assert compared


@pytest.mark.parametrize("dtype", HALVES)
def test_products(dtype):
    def program():
        a, b = torch.randn(9, 33).to(dtype), torch.randn(33, 20).to(dtype)
        x, y = torch.randn(3, 5, 7).to(dtype), torch.randn(3, 7, 4).to(dtype)
        layer = F.linear(x, torch.randn(6, 7).to(dtype), torch.randn(6).to(dtype))
        return [a @ b, b.t() @ a.t(), a[::2, 1:] @ b[1:], x @ y, x.mT @ x, layer]

    _agree(program, dtype)


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("n", [1, 2, 3])
def test_convolutions_and_their_gradients(n, dtype):
    conv = (F.conv1d, F.conv2d, F.conv3d)[n - 1]

    def program():
        x = torch.randn(2, 3, *(6, 7, 9)[-n:]).to(dtype).requires_grad_()
        w = torch.randn(4, 3, *(2, 3, 3)[-n:]).to(dtype).requires_grad_()
        b = torch.randn(4).to(dtype).requires_grad_()
        y = conv(x, w, b, padding=1)
        (y * torch.randn(y.shape).to(dtype)).sum().backward()
        return [y, x.grad, w.grad, b.grad]

    _agree(program, dtype, 4)


@pytest.mark.parametrize("dtype", HALVES)
def test_a_training_step(dtype):
    def program():
        torch.manual_seed(1)
        net = torch.nn.Sequential(
            torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.MaxPool2d(2),
            torch.nn.Flatten(), torch.nn.Linear(36, 5),
        ).to(dtype)  # fmt: skip
        x = torch.randn(6, 1, 8, 8).to(dtype)
        F.cross_entropy(net(x), torch.tensor([0, 1, 2, 3, 4, 0])).backward()
        return [p.grad for p in net.parameters()]

    _agree(program, dtype, 4)


@pytest.mark.parametrize("dtype", HALVES)
def test_rows_and_places(dtype):
    def program():
        x = torch.randn(5, 40).to(dtype)
        at = torch.randint(0, 5, (9,))
        table = torch.randn(7, 6).to(dtype).requires_grad_()
        F.embedding(at, table).square().sum().backward()
        return [
            F.softmax(x, -1), F.log_softmax(x, 0), table.grad, torch.logsumexp(x, 1),
            x.index_add(0, at, torch.randn(9, 40).to(dtype)), F.avg_pool1d(x, 3),
            x.scatter_add(0, at[:, None], x[:1].expand(9, 40)),
        ]  # fmt: skip

    _agree(program, dtype, 2)


def test_sums_are_rounded_once():
    product = torch.compile(lambda a, b: a @ b)
    a = torch.ones(1, 513, dtype=torch.bfloat16)
    # Adding up in bfloat16 would stop at 256.
    assert product(a, torch.ones(513, 2, dtype=torch.bfloat16)).tolist() == [[512, 512]]


def test_a_gradient_that_is_one_number_for_all_is_copied():
    def program():
        x = torch.randn(2, 3, 8, 8, requires_grad=True)
        w = torch.randn(4, 3, 3, 3, requires_grad=True)
        F.max_pool2d(F.conv2d(x, w), 2).sum().backward()
        y = torch.randn(2, 4, 6, requires_grad=True)
        F.avg_pool1d(y, 3).mean().backward()
        return [x.grad, w.grad, y.grad]

    _agree(program, torch.float16)
