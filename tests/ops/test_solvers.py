"""Linear algebra made of other linear algebra gives PyTorch's numbers, types and errors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import cresset


class Given:
    """The same matrices for either module."""

    def __init__(self, T: Any) -> None:
        rng = np.random.default_rng(5)
        self.T, self.L = T, T.linalg
        self.a, self.b = (T.tensor(rng.standard_normal(s)) for s in ((4, 4), (4, 3)))
        self.tall, self.y = (T.tensor(rng.standard_normal(s)) for s in ((6, 4), (6, 2)))
        self.s = self.a @ self.a.T + T.eye(4).double()
        self.low = T.linalg.cholesky(self.s)
        self.c = T.complex(self.a, self.b @ self.b.T)


CASES: dict[str, Any] = {
    **{
        f"cond {p}": lambda g, p=p: g.L.cond(g.a, p)
        for p in (None, 2, -2, 1, -1, "fro", "nuc", math.inf)
    },
    "solve_triangular": lambda g: g.L.solve_triangular(g.a, g.b, upper=True),
    "of the lower triangle": lambda g: g.L.solve_triangular(g.a, g.b, upper=False),
    "from the right": lambda g: g.L.solve_triangular(g.a, g.b.T, upper=True, left=False),
    "ones on the diagonal": lambda g: g.L.solve_triangular(
        g.a, g.b, upper=True, unitriangular=True
    ),
    "cholesky_solve": lambda g: g.T.cholesky_solve(g.b, g.low),
    "cholesky_solve upper": lambda g: g.T.cholesky_solve(g.b, g.low.T, upper=True),
    "cholesky_inverse": lambda g: g.T.cholesky_inverse(g.low),
    "lstsq": lambda g: g.L.lstsq(g.tall, g.y),
    "lstsq gelsd": lambda g: g.L.lstsq(g.tall, g.y, driver="gelsd"),
    "lstsq with many answers": lambda g: g.L.lstsq(g.tall.T, g.y[:4]),
    "lstsq square": lambda g: g.L.lstsq(g.a, g.b).solution,
    "multi_dot": lambda g: g.L.multi_dot([g.a, g.b, g.b.T, g.a]),
    "multi_dot of vectors": lambda g: g.L.multi_dot([g.b[:, 0], g.a, g.b[:, 1]]),
    "matrix_exp": lambda g: g.L.matrix_exp(g.T.stack([g.a * 3, g.a * 0])),
    "matrix_exp float32": lambda g: g.T.matrix_exp(g.a.float() * 4).double(),
    "eigvals": lambda g: g.L.eigvals(g.s).real.sort()[0],
    "vecdot": lambda g: g.L.vecdot(g.c, g.c),
    "vander": lambda g: g.L.vander(g.T.tensor([1, 2, 3])),
    "vander N": lambda g: g.L.vander(g.T.tensor([1.0, 2.0]), N=4),
    "diagonal": lambda g: g.L.diagonal(g.a, offset=1),
    "inv_ex": lambda g: g.L.inv_ex(g.a),
    "cholesky_ex": lambda g: g.L.cholesky_ex(g.s),
    "svd": lambda g: g.T.svd(g.a).S,
    "kron": lambda g: g.T.kron(g.a[:2, :2], g.b[:2]),
    "kron of unlike ranks": lambda g: g.T.kron(g.T.ones(2), g.T.eye(2)),
    "cov": lambda g: g.T.cov(g.a),
    "cov of a vector": lambda g: g.T.cov(g.a[0]),
    "cov of integers": lambda g: g.T.cov(g.T.tensor([[1, 2], [3, 5]])),
    "cov complex": lambda g: g.T.cov(g.c),
    "cov uncorrected": lambda g: g.a.cov(correction=0),
    "cov counted": lambda g: g.T.cov(g.a, fweights=g.T.tensor([1, 2, 1, 3])),
    "cov weighted": lambda g: g.T.cov(g.a, aweights=g.T.tensor([0.1, 0.2, 0.3, 0.4]).double()),
    "corrcoef": lambda g: g.T.corrcoef(g.a),
    "corrcoef of a vector": lambda g: g.a[0].corrcoef(),
    "mH": lambda g: g.c.mH,
    "H": lambda g: g.c.H,
    "cumulative_trapezoid": lambda g: g.T.cumulative_trapezoid(g.a, dim=0, dx=0.5),
    "at points": lambda g: g.T.cumulative_trapezoid(
        g.a, g.T.tensor([0.0, 1.0, 3.0, 4.0]).double(), dim=0
    ),
    "tensorsolve": lambda g: g.L.tensorsolve(
        g.T.eye(24).double().reshape(6, 4, 2, 3, 4) + 1, g.T.ones(6, 4).double()
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_results_are_pytorchs(name: str) -> None:
    torch = pytest.importorskip("torch")
    ours, theirs = CASES[name](Given(cresset)), CASES[name](Given(torch))
    if isinstance(theirs, tuple):
        assert type(ours).__name__ == type(theirs).__name__
    else:
        ours, theirs = (ours,), (theirs,)
    for got, want in zip(ours, theirs, strict=True):
        assert str(got.dtype) == str(want.dtype) and got.shape == want.shape
        tolerance = 1e-4 if name == "matrix_exp float32" else 1e-9
        np.testing.assert_allclose(
            got.resolve_conj().numpy(), want.resolve_conj().numpy(), rtol=tolerance, atol=tolerance
        )


ERRORS: dict[str, Any] = {
    "cov of a cube": lambda g: g.T.cov(g.T.ones(2, 2, 2)),
    "H of a cube": lambda g: g.T.ones(2, 2, 2).H,
    "multi_dot of one": lambda g: g.L.multi_dot([g.a]),
    "cond 1 of a tall matrix": lambda g: g.L.cond(g.tall, 1),
    "exp of a tall matrix": lambda g: g.L.matrix_exp(g.tall),
    "eig of a tall matrix": lambda g: g.L.eig(g.tall),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_have_pytorchs_words(name: str) -> None:
    torch = pytest.importorskip("torch")
    words = []
    for T in (cresset, torch):
        with pytest.raises(RuntimeError) as info:
            ERRORS[name](Given(T))
        words.append(str(info.value))
    assert words[0] == words[1]


DIFFERENTIABLE: dict[str, Any] = {
    "matrix_exp": lambda T, x: T.linalg.matrix_exp(x),
    "cond": lambda T, x: T.linalg.cond(x),
    "kron": lambda T, x: T.kron(x, x),
    "solve_triangular": lambda T, x: T.linalg.solve_triangular(x, x, upper=True),
    "cov": lambda T, x: T.cov(x),
    "multi_dot": lambda T, x: T.linalg.multi_dot([x, x, x]),
}


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_derivatives_hold_to_the_second_order(name: str) -> None:
    x = Given(cresset).s.detach()[:3, :3].clone().requires_grad_()
    assert cresset.autograd.gradcheck(lambda x: DIFFERENTIABLE[name](cresset, x), (x,))
    assert cresset.autograd.gradgradcheck(lambda x: DIFFERENTIABLE[name](cresset, x), (x,))


def test_eigenvectors_are_what_they_claim_to_be() -> None:
    g = Given(cresset)
    values, vectors = cresset.linalg.eig(g.a)
    off = g.a.to(vectors.dtype) @ vectors - vectors * values
    assert off.abs().max() < 1e-9


def test_a_line_is_found_through_its_points() -> None:
    line = cresset.tensor([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]])
    found = cresset.linalg.lstsq(line, cresset.tensor([[1.0], [3.0], [5.0]]))
    np.testing.assert_allclose(found.solution.numpy(), [[1.0], [2.0]], rtol=1e-5)


def test_a_singular_matrix_is_reported_by_inv_ex_and_raised_when_asked() -> None:
    singular = cresset.ones(2, 2)
    assert cresset.linalg.inv_ex(singular).info == 1
    with pytest.raises(cresset.linalg.LinAlgError):
        cresset.linalg.inv_ex(singular, check_errors=True)


@pytest.mark.parametrize("shape", [(3, 3), (5, 3), (3, 5), (2, 4, 3)])
@pytest.mark.parametrize("complex_", [False, True])
def test_derivatives_through_singular_vectors_are_pytorchs(
    shape: tuple[int, ...], complex_: bool
) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    values = rng.standard_normal(shape)
    if complex_:
        values = values + 1j * rng.standard_normal(shape)
    found = []
    for T in (cresset, torch):
        x = T.tensor(values, requires_grad=True)
        u, s, vh = T.linalg.svd(x, full_matrices=False)
        loss = (s**3).sum() + (u.abs() ** 4).sum() + (vh.abs() ** 3).sum()
        (g,) = T.autograd.grad(loss, x, create_graph=True)
        (gg,) = T.autograd.grad((g.abs() ** 2).sum(), x)
        found.append([v.detach().resolve_conj().numpy() for v in (g, gg)])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9 * abs(theirs).max())


@pytest.mark.parametrize("shape", [(3, 3), (5, 3), (3, 5)])
def test_derivatives_through_the_pseudo_inverse_hold_to_the_second_order(
    shape: tuple[int, ...],
) -> None:
    x = cresset.tensor(np.random.default_rng(1).standard_normal(shape), requires_grad=True)
    assert cresset.autograd.gradcheck(cresset.linalg.pinv, (x,))
    assert cresset.autograd.gradgradcheck(cresset.linalg.pinv, (x,))
