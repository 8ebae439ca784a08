"""Linear algebra against PyTorch."""

from __future__ import annotations

import pytest

import cresset

from .harness import cases
from .table_linalg import ROWS


@pytest.mark.parametrize(("check", "row"), cases(ROWS))
def test_agrees_with_pytorch(check, row):
    check(row)


SINGULAR = [
    (lambda t: t.linalg.inv(t.ones(2, 2)), "linalg.inv: The diagonal element 2 is zero"),
    (lambda t: t.linalg.inv(t.ones(3, 2, 2)), "linalg.inv: (Batch element 0): The diagonal"),
    (lambda t: t.linalg.solve(t.ones(2, 2), t.ones(2)),
     "torch.linalg.solve: The solver failed because the input matrix is singular."),
    (lambda t: t.linalg.cholesky(-t.eye(2)), "the leading minor of order 1 is not positive-"),
    (lambda t: t.linalg.cholesky(t.stack([t.eye(2), t.tensor([[1.0, 2.0], [2.0, 1.0]])])),
     "linalg.cholesky: (Batch element 1): The factorization could not be completed"),
    (lambda t: t.linalg.svd(t.full((2, 2), float("nan"))),
     "linalg.svd: The algorithm failed to converge because the input matrix contained non-finite"),
    (lambda t: t.linalg.eigh(t.full((3, 3), float("nan"))), "linalg.eigh: The algorithm failed to"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "words"), SINGULAR)
def test_a_matrix_that_cannot_be_factorised_is_named(call, words):
    with pytest.raises(cresset.linalg.LinAlgError) as mine:
        repr(call(cresset))
    assert words in str(mine.value)
    torch = pytest.importorskip("torch")
    with pytest.raises(torch.linalg.LinAlgError) as theirs:
        call(torch)
    assert str(mine.value).split("\n")[0] == str(theirs.value).split("\n")[0]


def test_the_solution_solves_the_system():
    a = cresset.tensor([[2.0, 0.0], [0.0, 4.0]])
    assert cresset.linalg.solve(a, cresset.tensor([2.0, 2.0])).tolist() == [1, 0.5]
    assert cresset.linalg.det(a).item() == 8
    assert cresset.linalg.matrix_power(a, -1).tolist() == [[0.5, 0], [0, 0.25]]


def test_the_gradient_of_a_determinant_is_the_cofactors():
    a = cresset.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=cresset.float64, requires_grad=True)
    cresset.linalg.det(a).backward()
    assert cresset.allclose(a.grad, cresset.tensor([[4, -3], [-2, 1]], dtype=cresset.float64))


def test_a_singular_matrix_has_a_gradient_of_zero():
    a = cresset.ones(2, 2, requires_grad=True)
    cresset.linalg.det(a).backward()
    assert a.grad.tolist() == [[0, 0], [0, 0]]
