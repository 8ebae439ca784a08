"""Calls: the shape rule of a line in a loop runs once, and shapes that never come back go."""

from __future__ import annotations

import pytest

import cresset as torch
from cresset import dtypes
from cresset.core import call
from cresset.core.call import CALLS, Call, Op, Result
from cresset.core.spec import NUMBERS, dense
from cresset.ops.registry import apply

VECTOR = dense(dtypes.float32, (3,))


def test_the_shape_rule_of_a_line_in_a_loop_runs_once():
    seen = []

    def rule(s, k):
        seen.append(s)
        return s

    op = Op("counted", rule, lambda xp, x, k: x + k)
    x = torch.zeros(3)
    for _ in range(5):
        x = apply(op, (x,), (2,))
    assert (x.tolist(), len(seen)) == ([10, 10, 10], 1)
    apply(op, (x,), (3,))
    apply(op, (x.double(),), (2,))
    assert len(seen) == 3


def test_a_refusal_is_not_remembered():
    answers = [RuntimeError("not today"), VECTOR]

    def rule(s):
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    op = Op("moody", rule, lambda xp, x: x + 1)
    with pytest.raises(RuntimeError, match="not today"):
        apply(op, (torch.zeros(3),))
    assert apply(op, (torch.zeros(3),)).tolist() == [1, 1, 1]


def test_the_table_of_calls_is_bounded_and_results_do_not_depend_on_it(monkeypatch):
    monkeypatch.setattr(call, "_MOST_CALLS", 50)
    x = torch.ones(3, requires_grad=True)
    y = x * 2
    kept = [torch.zeros(n) + 1 for n in range(1, 200)]
    assert len(CALLS) <= 20_000
    before = len(CALLS)
    for n in range(1, 100):
        (torch.zeros(n, 2) * 3).sum()
    assert len(CALLS) <= max(before, 50)
    (y * y).sum().backward()
    assert x.grad.tolist() == [8, 8, 8]
    assert kept[150].sum().item() == 151


def test_a_change_of_the_default_dtype_is_not_missed_by_calls_made_before():
    x = torch.tensor([1, 2])
    assert (x / 2).dtype is torch.float32
    torch.set_default_dtype(torch.float64)
    assert (x / 2).dtype is torch.float64
    torch.set_default_dtype(torch.float32)
    assert (x / 2).dtype is torch.float32


def test_a_call_knows_how_gradients_come_back_to_broadcast_operands():
    matrix, wide = dense(dtypes.float32, (2, 3)), dense(dtypes.float64, (3,))
    op = Op("both", None, lambda xp, a, b: a + b, broadcasts=True)
    made = Call(op, (), (VECTOR, matrix, wide, NUMBERS[2]), Result((matrix,)))
    assert made.grad_fix == ((VECTOR.shape, VECTOR.dtype), None, (wide.shape, wide.dtype), None)
    assert (made.plain, made.nbytes) == (False, 24)


def test_a_call_reads_well_in_an_error():
    made = Call(Op("scale", None), (2,), (VECTOR, NUMBERS[2]), VECTOR)
    assert repr(made) == "scale(<float32[3]>, <number float>) (2,) -> <float32[3]>"
    assert made.op.grad_name == "ScaleBackward0"
