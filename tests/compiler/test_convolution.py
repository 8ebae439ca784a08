"""Which kernels compute a convolution, and what all of them do."""

from __future__ import annotations

import numpy as np
import pytest

import cresset as torch
import cresset.nn.functional as F
from cresset.compiler import convolution
from cresset.core.modes import PROCESS

from .both import assert_close, run_both

pytestmark = pytest.mark.skipif(
    PROCESS.eager or PROCESS.check,
    reason="eager mode compiles nothing, and checks run every step by itself",
)


@pytest.mark.parametrize("family", ["rows", "batches", "outputs", "channels"])
@pytest.mark.parametrize("size", [(6, 6), (5, 21)])
def test_relu_of_a_convolution_keeps_nan_and_drops_what_is_below_zero(family, size, monkeypatch):
    monkeypatch.setattr(convolution, "_cheapest", lambda cost, groups: family)
    x = torch.randn(32, 3, *size)
    x[0, 0, 2, 2] = float("nan")
    w, b = torch.randn(17, 3, 3, 3), torch.randn(17)

    held = []

    def program():
        held[:] = [F.conv2d(x, w, b, padding=1).relu()]

    seen = run_both(program)
    assert_close(seen, rtol=1e-4, atol=1e-4)
    assert "convolution_relu" in {
        step.call.op.name for plan, _ in seen for step in plan.built.steps
    }
    value = seen[-1][1][-1][1]
    assert np.isnan(value).sum() == 17 * 9, "what the NaN is a factor of"
    assert np.nanmin(value) == 0.0


def test_groups_write_the_relu_too():
    x, w = torch.randn(2, 4, 7, 9), torch.randn(6, 2, 3, 3)
    held = []

    def program():
        held[:] = [F.conv2d(x, w, groups=2).relu()]

    assert_close(run_both(program), rtol=1e-4, atol=1e-4)


def test_the_cheapest_family_is_taken_but_groups_run_along_rows():
    cost = {"rows": 3.0, "outputs": 2.0}
    assert convolution._cheapest(cost, 1) == "outputs"
    assert convolution._cheapest(cost, 2) == "rows"
