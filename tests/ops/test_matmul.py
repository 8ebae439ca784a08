"""Matrix products and contractions against PyTorch."""

from __future__ import annotations

import pytest

import cresset

from .harness import cases
from .table_matmul import ROWS


@pytest.mark.parametrize(("check", "row"), cases(ROWS))
def test_agrees_with_pytorch(check, row):
    check(row)


def test_with_beta_zero_a_nan_does_not_count():
    x = cresset.full((2, 2), float("nan"))
    eye = cresset.eye(2)
    assert cresset.addmm(x, eye, eye, beta=0).tolist() == [[1, 0], [0, 1]]
    assert cresset.baddbmm(x, eye[None], eye[None], beta=0, alpha=2).tolist() == [[[2, 0], [0, 2]]]


def test_addmm_is_one_node_with_a_gradient_for_each_operand():
    x = cresset.zeros(2, requires_grad=True)
    a = cresset.tensor([[1.0, 2.0]], requires_grad=True)
    b = cresset.tensor([[3.0, 4.0], [5.0, 6.0]], requires_grad=True)
    y = cresset.addmm(x, a, b, beta=2, alpha=10)
    assert y.tolist() == [[130, 160]] and y.grad_fn.name() == "AddmmBackward0"
    y.sum().backward()
    assert x.grad.tolist() == [2, 2]
    assert a.grad.tolist() == [[70, 110]]
    assert b.grad.tolist() == [[10, 10], [20, 20]]


def test_products_do_not_promote():
    with pytest.raises(RuntimeError, match="m1 and m2 to have the same dtype.*long int != float"):
        cresset.mm(cresset.ones(2, 3).long(), cresset.ones(3, 2))
    with pytest.raises(RuntimeError, match="expected scalar type Float but found Double"):
        cresset.bmm(cresset.ones(1, 2, 2), cresset.ones(1, 2, 2).double())


def test_einsum_takes_an_ellipsis_a_diagonal_and_an_implied_result():
    x = cresset.arange(4.0).reshape(2, 2)
    assert cresset.einsum("ii->i", x).tolist() == [0, 3]
    assert cresset.einsum("ba", x).tolist() == [[0, 2], [1, 3]]
    assert cresset.einsum("...i,i->...", x, cresset.ones(2)).tolist() == [1, 5]
