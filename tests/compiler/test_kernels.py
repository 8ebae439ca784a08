"""Kernels that plans share."""

from __future__ import annotations

import gc

import pytest

import cresset as torch
from cresset.compiler import kernels, native
from cresset.core import graph
from cresset.core.modes import PROCESS

pytestmark = pytest.mark.skipif(
    PROCESS.eager or not PROCESS.compile, reason="nothing is compiled in this mode"
)


def _plan(function):
    """The native plan of what the function records."""
    found = torch.explain(function).plans
    return found[-1][1]


def _names(plan):
    return {kernel.name for kernel in plan.built.kernels}


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    monkeypatch.setattr(PROCESS, "_threads", 1)


X, W = torch.full((37, 11), 0.5), torch.full((11, 5), 0.25)


def test_plans_of_the_same_steps_share_their_kernels():
    first = _plan(lambda: torch.softmax(X @ W, 1).cumsum(1).flip(0))
    second = _plan(lambda: torch.softmax(X @ W, 1).cumsum(1).sum(0))
    shared = set(first.built.kernels) & set(second.built.kernels)
    assert len(shared) == 3
    assert {kernel.name.split("_")[0] for kernel in shared} == {"mm", "softmax", "cumsum"}
    assert all(kernel.address for kernel in (*first.built.kernels, *second.built.kernels))


def test_another_shape_is_another_kernel():
    assert not _names(_plan(lambda: torch.softmax(X, 1))) & _names(_plan(lambda: X.softmax(0)))


def test_steps_that_are_alike_are_one_kernel_of_a_plan():
    plan = _plan(lambda: X.cumsum(1).flip(1).cumsum(1).flip(1).cumsum(1))
    assert len(plan.built.steps) == 5
    assert len(plan.built.kernels) == 2


def test_machine_code_goes_with_the_last_plan_that_runs_it():
    plan = _plan(lambda: torch.full((3, 41), 0.5).cumprod(1).flip(1))
    texts = [kernel.ir for kernel in plan.built.kernels]
    assert all(text in kernels._KNOWN for text in texts)
    graph.RECORDER.cache.clear()
    native.LAST.plan = plan = None
    gc.collect()
    assert not any(text in kernels._KNOWN for text in texts)


def test_what_changed_in_a_program_is_all_that_is_compiled(tmp_path, monkeypatch):
    monkeypatch.setenv("CRESSET_CACHE_DIR", str(tmp_path))

    def compiled(function):
        """How many kernels the disk did not have."""
        graph.RECORDER.cache.clear()
        native.LAST.plan = None
        gc.collect()
        before = len(list(tmp_path.iterdir()))
        _plan(function)
        return len(list(tmp_path.iterdir())) - before

    x = torch.full((6, 43), 0.5)
    compiled(lambda: x.cumsum(1).flip(1))
    assert compiled(lambda: x.cumsum(1).flip(1)) == 0
    assert compiled(lambda: x.cumsum(1).flip(1).cumsum(0)) == 1


def test_slices_of_a_tensor_are_read_by_one_kernel():
    x = torch.arange(60.0).reshape(5, 12)
    plan = _plan(lambda: [x[i, 2:9].cumsum(0) for i in range(5)])
    assert len(plan.built.steps) == 5
    assert len(plan.built.kernels) == 1
    expected = [sum(range(12 * i + 2, 12 * i + 9)) for i in range(5)]
    assert [x[i, 2:9].cumsum(0)[-1].item() for i in range(5)] == expected


def test_writes_into_one_tensor_are_one_kernel():
    def fill():
        whole = torch.zeros(4, 9)
        for i in range(4):
            whole[i, 1:8] = X[i, 2:9] + i
        return whole

    plan = _plan(fill)
    steps = [step.call.op.name for step in plan.built.steps]
    names = [kernel.name.split("_")[0] for kernel in plan.built.kernels]
    assert steps.count("write") == 4
    assert names.count("write") == 2  # the last takes the rows before it along
    rows = [[0.0] + [0.5 + i] * 7 + [0.0] for i in range(4)]
    assert fill().tolist() == rows
    compiled = torch.compile(fill)
    assert compiled().tolist() == rows
