"""Convolutions whose vectors run along the output channels."""

from __future__ import annotations

import numpy as np
import pytest

import cresset as torch
import cresset.nn.functional as F
from cresset.compiler import (
    build,
    convolution,
    convolution_outputs,
    convolution_rows,
    convolution_weights,
    threads,
)
from cresset.compiler.channels import Sizes
from cresset.core.modes import PROCESS

from .both import assert_close, fallbacks, run_both

pytestmark = pytest.mark.skipif(PROCESS.eager, reason="eager mode compiles nothing")


@pytest.fixture
def _outputs(monkeypatch):
    """Every convolution is computed by these kernels."""
    monkeypatch.setattr(convolution, "_cheapest", lambda cost, groups: "outputs")


def _narrow(monkeypatch):
    """Vectors of eight floats, sixteen of them: AVX2."""
    monkeypatch.setattr(build, "vector_bytes", lambda: 32)
    monkeypatch.setattr(convolution_rows, "vector_registers", lambda: 16)


def _program(n, ci, co, size, kernel, stride, padding, dilation, bias=True):
    def program():
        x = torch.randn(n, ci, *size, requires_grad=True)
        w = torch.randn(co, ci, *kernel, requires_grad=True)
        b = torch.randn(co, requires_grad=True) if bias else None
        y = F.conv2d(x, w, b, stride=stride, padding=padding, dilation=dilation)
        (y * torch.randn(y.shape)).sum().backward()
        return [y.tolist(), x.grad.tolist(), w.grad.tolist()]

    return program


#: images, channels in, channels out, (height, width), kernel, stride, padding, dilation
CASES = [
    (4, 6, 16, (14, 14), (5, 5), 1, 0, 1),
    (3, 1, 16, (28, 28), (3, 3), 2, 1, 1),
    (2, 5, 7, (4, 4), (3, 3), 1, 1, 1),
    (5, 4, 16, (14, 14), (3, 3), 2, 1, 1),
    (1, 3, 32, (9, 9), (3, 3), 2, 1, 2),
    (9, 3, 17, (7, 7), (3, 3), 1, 1, 1),
    (2, 6, 40, (6, 6), (5, 5), 3, 2, 1),
    (33, 3, 10, (6, 5), (3, 2), (2, 1), (1, 0), 1),
    (2, 5, 16, (1, 1), (1, 1), 1, 0, 1),
    (2, 12, 9, (8, 8), (2, 2), 3, 1, 1),
    (2, 4, 16, (2, 75), (1, 3), 1, (0, 1), 1),
    (1, 2, 33, (40, 37), (4, 3), (1, 2), (3, 1), (1, 2)),
    (2, 3, 16, (13, 31), (3, 11), (1, 2), (2, 3), (2, 1)),
    (129, 1, 16, (3, 3), (2, 2), 1, 0, 1),
    (2, 20, 64, (8, 8), (1, 1), 2, 0, 1),
]


@pytest.fixture
def _cut(monkeypatch):
    """Each kernel is cut for three threads."""
    if threads.available():
        monkeypatch.setattr(build, "_WORTH_CUTTING", 0)
        monkeypatch.setattr(build, "_WORTH_WAKING", 0)
        monkeypatch.setattr(PROCESS, "_threads", 3)


@pytest.mark.parametrize("case", CASES)
def test_convolution_and_its_gradients(case, _cut, _outputs):
    seen = run_both(_program(*case))
    assert_close(seen, rtol=1e-4, atol=5e-4)
    assert not [name for name in fallbacks(seen) if name.startswith("convolution")]


@pytest.mark.parametrize("case", CASES[1:8])
def test_convolution_and_its_gradients_on_narrow_vectors(case, monkeypatch, _outputs):
    _narrow(monkeypatch)
    seen = run_both(_program(*case, bias=False))
    assert_close(seen, rtol=1e-4, atol=5e-4)
    assert not [name for name in fallbacks(seen) if name.startswith("convolution")]


@pytest.mark.parametrize("case", CASES[:2])
def test_results_do_not_depend_on_the_number_of_threads(case, monkeypatch, _cut, _outputs):
    found = []
    for count in (1, 3):
        monkeypatch.setattr(PROCESS, "_threads", count)
        found.append([pair[1] for _, pairs in run_both(_program(*case)) for pair in pairs])
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_small_convolution_by_hand(_outputs):
    def program():
        x = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])  # their sum is 10
        w = torch.arange(16.0).reshape(16, 1, 1, 1) * torch.ones(1, 1, 2, 2)
        return F.conv2d(x, w, torch.full((16,), 0.5)).flatten().tolist()

    found = [c for _, pairs in run_both(program) for _, c in pairs if c.size == 16]
    assert found
    for compiled in found:
        np.testing.assert_array_equal(compiled.reshape(-1), np.arange(16) * 10 + 0.5)


def _sizes(n, inputs, size, outputs, kernel, stride=1, padding=0):
    out = (size + 2 * padding - kernel) // stride + 1
    return Sizes(n, inputs, size, size, outputs, (kernel,) * 2, (stride,) * 2, (padding,) * 2,
                 (1, 1), (out, out))  # fmt: skip


ESTIMATES = [
    convolution_outputs.forward_cycles,
    convolution_outputs.input_cycles,
    convolution_weights.weight_cycles,
]


@pytest.mark.parametrize("cycles", ESTIMATES)
def test_lanes_without_an_output_channel_cost_as_much(cycles):
    full, partial = (cycles(_sizes(4, 6, 14, o, 5), 16) for o in (16, 10))
    assert partial == pytest.approx(full, rel=0.05)
    assert 3.5 * full < cycles(_sizes(4, 6, 14, 64, 5), 16) < 4.5 * full


@pytest.mark.parametrize("cycles", ESTIMATES)
def test_sixteen_output_channels_over_short_rows_are_computed_by_these_kernels(cycles):
    sizes = _sizes(4, 6, 14, 16, 5)
    found = cycles(sizes, 16)
    assert found < convolution_rows.cycles(sizes.flops(), 10, 1.0, False, 16)
    assert found > sizes.products() / 32, "two fused multiply-adds a cycle are the peak"
