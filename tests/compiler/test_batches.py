"""Convolutions whose vectors run along the batch."""

from __future__ import annotations

import math

import numpy as np
import pytest

import cresset as torch
import cresset.nn.functional as F
from cresset.compiler import batches, convolution
from cresset.compiler.channels import Sizes
from cresset.compiler.code import Code
from cresset.compiler.host import Module
from cresset.core.modes import PROCESS

from .both import assert_close, fallbacks, run_both

pytestmark = pytest.mark.skipif(PROCESS.eager, reason="eager mode compiles nothing")


#: images, channels in, channels out, (height, width), kernel, stride, padding, dilation
CASES = [
    (32, 5, 7, (4, 4), (3, 3), 1, 1, 1),
    (48, 3, 6, (12, 12), (5, 5), 1, 0, 1),
    (32, 20, 40, (7, 7), (1, 1), 2, 0, 1),
    (32, 7, 5, (9, 9), (3, 3), 2, 1, 2),
    (32, 6, 6, (6, 6), (5, 5), 3, 2, 1),
    (32, 3, 10, (6, 5), (3, 2), (2, 1), (1, 0), 1),
    (32, 5, 9, (1, 1), (1, 1), 1, 0, 1),
    (32, 12, 9, (8, 8), (2, 2), 3, 1, 1),
    (32, 4, 8, (2, 12), (1, 3), 1, (0, 1), 1),
    (32, 1, 10, (20, 20), (5, 5), 1, 0, 1),
    (32, 4, 13, (13, 31), (3, 5), (1, 2), (2, 3), (2, 1)),
]


@pytest.mark.parametrize("n, ci, co, size, kernel, stride, padding, dilation", CASES)
def test_convolution_and_its_gradients(
    n, ci, co, size, kernel, stride, padding, dilation, monkeypatch, pieces
):
    kinds = []
    for name in ("lower_forward", "lower_input", "lower_weight"):
        lower = getattr(batches, name)
        monkeypatch.setattr(
            batches, name, lambda *args, lower=lower: kinds.append(lower) or lower(*args)
        )
    monkeypatch.setattr(convolution, "_cheapest", lambda cost, groups: "batches")

    def program():
        x = torch.randn(n, ci, *size, requires_grad=True)
        w = torch.randn(co, ci, *kernel, requires_grad=True)
        b = torch.randn(co, requires_grad=True)
        y = F.conv2d(x, w, b, stride=stride, padding=padding, dilation=dilation)
        (y * torch.randn(y.shape)).sum().backward()
        return [y.tolist(), x.grad.tolist(), w.grad.tolist()]

    seen = run_both(program)
    assert_close(seen, rtol=1e-4, atol=3e-4)
    assert not [name for name in fallbacks(seen) if name.startswith("convolution")]
    assert len(set(kinds)) == 3


@pytest.mark.parametrize("lanes", [4, 8, 16])
def test_a_square_of_vectors_is_transposed(lanes):
    c = Code()
    vector = f"<{lanes} x float>"
    rows = [c.load(vector, "%x", i * lanes, align=4) for i in range(lanes)]
    for i, column in enumerate(c.transpose("float", lanes, rows)):
        c.store(vector, column, "%y", i * lanes, align=4)
    text = c.function("inner", ["ptr %x", "ptr %y"])
    text += (
        "\ndefine i32 @run(ptr %x, ptr %y) #0 {\n"
        "  %f = call i1 @inner(ptr %x, ptr %y)\n  ret i32 0\n}\nattributes #0 = { nounwind }\n"
    )
    import ctypes

    module = Module(text)
    x = np.arange(lanes * lanes, dtype=np.float32).reshape(lanes, lanes)
    y = np.zeros_like(x)
    module.function("run", ctypes.c_void_p, ctypes.c_void_p)(x.ctypes.data, y.ctypes.data)
    np.testing.assert_array_equal(y, x.T)


def _sizes(n, inputs, size, outputs, kernel):
    out = (size - kernel + 1,) * 2
    return Sizes(n, inputs, size, size, outputs, (kernel,) * 2, (1, 1), (0, 0), (1, 1), out)


@pytest.mark.parametrize("sizes", [(60, 6, 14, 16, 5), (16, 6, 14, 16, 5), (64, 16, 128, 16, 5)])
def test_a_batch_must_fill_vectors_and_fit_into_the_cache(sizes):
    assert batches.cycles(_sizes(64, *sizes[1:2], 14, 16, 5), 16) < math.inf
    assert batches.cycles(_sizes(*sizes), 16) == math.inf


def test_values_that_few_products_use_are_not_worth_turning():
    sizes = _sizes(64, 1, 24, 2, 1)
    assert batches.cycles(sizes, 16) > 4 * sizes.products() / 32
    sizes = _sizes(64, 8, 12, 8, 3)
    assert batches.cycles(sizes, 16) < 1.5 * sizes.products() / 32
