"""Tracing a composite's body: it may only record ops, and leaves no trace outside."""

from __future__ import annotations

import pytest

import cresset as torch
from cresset.core import graph
from cresset.core.call import Op
from cresset.core.modes import PROCESS, THREAD
from cresset.ops.registry import apply


def test_a_body_that_looks_at_a_value_is_refused_and_what_was_pending_stays():
    before = torch.ones(3) + 1
    outer = graph.RECORDER.graph
    op = Op("curious", None, body=lambda x: x * 2 if x.sum().item() else x)
    with pytest.raises(RuntimeError, match="may only record ops"):
        apply(op, (torch.ones(3),))
    assert graph.RECORDER.graph is outer or PROCESS.eager
    assert THREAD.grad
    assert before.tolist() == [2, 2, 2]


def test_a_body_that_fails_raises_its_own_error_and_is_tried_again():
    tries = []

    def body(x):
        tries.append(1)
        raise ValueError("bad shape")

    op = Op("failing", None, body=body)
    for _ in range(2):
        with pytest.raises(ValueError, match="bad shape"):
            apply(op, (torch.ones(3),))
    assert len(tries) == 2
    assert (torch.ones(2) + 1).tolist() == [2, 2]


def test_a_body_is_traced_once_per_shape():
    tries = []

    def body(x, k):
        tries.append(1)
        return (x * k).relu()

    op = Op("traced", None, body=body)
    for k in (2.0, -1.0, 3.0):
        apply(op, (torch.ones(3), k)).tolist()
    assert len(tries) == 1
    apply(op, (torch.ones(4), 2.0))
    assert len(tries) == 2


def test_a_number_is_an_operand_of_the_body_not_part_of_it():
    op = Op("scaled", None, body=lambda x, k: x * k + k)
    x = torch.arange(3.0)
    assert apply(op, (x, 2.0)).tolist() == [2, 4, 6]
    assert apply(op, (x, 5.0)).tolist() == [5, 10, 15]


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (lambda x: x, [[0, 1], [2, 3]]),  # its operand itself
        (lambda x: x.t(), [[0, 2], [1, 3]]),  # a view of its operand
        (lambda x: (x + 1)[1], [3, 4]),  # part of a value
        (lambda x: (x + 1).expand(2, 2, 2), [[[1, 2], [3, 4]]] * 2),
    ],
)
def test_an_output_that_is_a_view_becomes_a_value_of_its_own(body, wanted):
    x = torch.arange(4.0).view(2, 2)
    y = apply(Op("viewing", None, body=body), (x,))
    assert y.tolist() == wanted
    y.add_(1)
    assert x.tolist() == [[0, 1], [2, 3]]


def test_one_value_returned_twice_is_two_values():
    def body(x):
        y = x + 1
        return y, y

    a, b = apply(Op("twice", None, body=body), (torch.zeros(2),))
    a.add_(5)
    assert (a.tolist(), b.tolist()) == ([6, 6], [1, 1])


def test_composites_within_composites_keep_their_values_apart():
    inner = Op("inner", None, body=lambda x: x * x + x)
    outer = Op("outer", None, body=lambda x: apply(inner, (x,)) + apply(inner, (x + 1,)))
    x = torch.arange(3.0, requires_grad=True)
    y = apply(outer, (x,))
    assert y.tolist() == [2, 8, 18]
    y.sum().backward()
    assert x.grad.tolist() == [4, 8, 12]
