"""Gradients of convolutions' weights whose vectors run along the output channels."""

from __future__ import annotations

import numpy as np
import pytest

import cresset as torch
import cresset.nn.functional as F
from cresset.compiler import build, convolution, convolution_weights, threads
from cresset.core.modes import PROCESS

from .both import assert_close, fallbacks, run_both
from .test_convolution_outputs import CASES

pytestmark = pytest.mark.skipif(PROCESS.eager, reason="eager mode compiles nothing")


@pytest.fixture(autouse=True)
def _blocks(monkeypatch):
    """Every gradient of weights is computed by these kernels, block after block."""
    monkeypatch.setattr(convolution, "_cheapest", lambda cost, groups: "outputs")
    monkeypatch.setattr(convolution_weights._Weights, "few", lambda self: self.once())


def _program(n, ci, co, size, kernel, stride, padding, dilation):
    def program():
        w = torch.randn(co, ci, *kernel, requires_grad=True)
        y = F.conv2d(torch.randn(n, ci, *size), w, None, stride, padding, dilation)
        (y * torch.randn(y.shape)).sum().backward()
        return w.grad.tolist()

    return program


@pytest.mark.parametrize("case", CASES[:1] + CASES[2:8] + CASES[9:13])
def test_many_weights_are_summed_block_after_block(case, monkeypatch):
    if threads.available():
        monkeypatch.setattr(build, "_WORTH_CUTTING", 0)
        monkeypatch.setattr(build, "_WORTH_WAKING", 0)
        monkeypatch.setattr(PROCESS, "_threads", 3)
    seen = run_both(_program(*case))
    assert_close(seen, rtol=1e-4, atol=5e-4)
    assert not [name for name in fallbacks(seen) if name.startswith("convolution")]


def test_a_small_gradient_by_hand():
    def program():
        w = torch.zeros(16, 2, 1, 2, requires_grad=True)
        x = torch.tensor([[[[1.0, 2.0, 4.0]], [[8.0, 16.0, 32.0]]]])
        (F.conv2d(x, w) * torch.tensor([1.0, 10.0])).sum().backward()
        return w.grad.tolist()

    found = [c for _, pairs in run_both(program) for _, c in pairs if c.size == 64 and c.any()]
    assert found
    for gradient in found:
        expected = [[[21.0, 42.0], [168.0, 336.0]]] * 16
        np.testing.assert_array_equal(gradient.reshape(16, 2, 2), expected)
