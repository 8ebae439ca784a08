"""Gradients of convolutions' inputs whose vectors run along the input channels."""

from __future__ import annotations

import numpy as np
import pytest

import cresset as torch
import cresset.nn.functional as F
from cresset.compiler import build, convolution, convolution_inputs, convolution_rows, threads
from cresset.compiler.channels import Sizes
from cresset.core.modes import PROCESS

from .both import assert_close, fallbacks, run_both

pytestmark = pytest.mark.skipif(PROCESS.eager, reason="eager mode compiles nothing")


@pytest.fixture(autouse=True)
def _inputs(monkeypatch):
    """Every gradient of an input is computed by these kernels."""
    monkeypatch.setattr(
        convolution, "_cheapest", lambda cost, groups: "inputs" if "inputs" in cost else "rows"
    )


def _program(n, ci, co, size, kernel, stride, padding, dilation):
    def program():
        x = torch.randn(n, ci, *size, requires_grad=True)
        y = F.conv2d(x, torch.randn(co, ci, *kernel), None, stride, padding, dilation)
        (y * torch.randn(y.shape)).sum().backward()
        return x.grad.tolist()

    return program


#: images, channels in, channels out, (height, width), kernel, stride, padding, dilation
CASES = [
    (4, 16, 16, (14, 14), (3, 3), 2, 1, 1),
    (3, 17, 5, (7, 7), (3, 3), 1, 1, 1),
    (1, 32, 3, (9, 9), (3, 3), 2, 1, 2),
    (2, 40, 6, (6, 6), (5, 5), 3, 2, 1),
    (33, 10, 3, (6, 5), (3, 2), (2, 1), (1, 0), 1),
    (2, 16, 5, (1, 1), (1, 1), 1, 0, 1),
    (2, 9, 12, (8, 8), (2, 2), 3, 1, 1),
    (2, 16, 4, (2, 75), (1, 3), 1, (0, 1), 1),
    (1, 33, 2, (40, 37), (4, 3), (1, 2), (3, 1), (1, 2)),
    (2, 20, 8, (8, 8), (1, 1), 2, 0, 1),
]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("wide", [True, False])
def test_the_gradient_of_the_input(case, wide, monkeypatch):
    if wide and threads.available():
        monkeypatch.setattr(build, "_WORTH_CUTTING", 0)
        monkeypatch.setattr(build, "_WORTH_WAKING", 0)
        monkeypatch.setattr(PROCESS, "_threads", 3)
    elif not wide:  # vectors of eight floats, sixteen of them: AVX2
        monkeypatch.setattr(build, "vector_bytes", lambda: 32)
        monkeypatch.setattr(convolution_rows, "vector_registers", lambda: 16)
    seen = run_both(_program(*case))
    assert_close(seen, rtol=1e-4, atol=5e-4)
    assert not [name for name in fallbacks(seen) if name.startswith("convolution")]


def test_a_small_gradient_by_hand():
    def program():
        x = torch.zeros(1, 16, 1, 2, requires_grad=True)
        w = torch.arange(16.0).reshape(1, 16, 1, 1) * torch.tensor([1.0, 2.0, 3.0])
        (F.conv2d(x, w, padding=(0, 1)) * torch.tensor([1.0, 2.0])).sum().backward()
        return x.grad.tolist()

    found = [c for _, pairs in run_both(program) for _, c in pairs if c.size == 32]
    found = [c for c in found if c.any()]
    assert found
    for gradient in found:
        expected = np.arange(16)[:, None] * [4.0, 7.0]
        np.testing.assert_array_equal(gradient.reshape(16, 2), expected)


def test_full_vectors_of_input_channels_are_cheaper_than_adding_up_lanes():
    sizes = Sizes(64, 16, 14, 14, 16, (3, 3), (2, 2), (1, 1), (1, 1), (7, 7))
    cycles = convolution_inputs.input_cycles(sizes, 16)
    assert sizes.products() / 32 < cycles < convolution.convolution_outputs.input_cycles(sizes, 16)
    few = sizes._replace(inputs=3)
    assert convolution_inputs.input_cycles(few, 16) == pytest.approx(cycles, rel=0.05)
