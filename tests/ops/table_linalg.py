"""The op table's rows for linear algebra: solving, factorising, determinants, powers."""

from __future__ import annotations

import numpy as np

from .harness import COMPLEX, OpRow

EXACT = ("float32", "float64", *COMPLEX)
BOTH = ("float64", "complex128")
SQUARE = (((3, 3),), ((2, 3, 3),))
SHAPES = (((4, 3),), ((3, 4),), ((2, 3, 3),))


def _well(rng, shape):
    """Matrices far from singular, with distinct singular values."""
    x = rng.normal(size=shape)
    n = min(shape[-2:])
    x[..., range(n), range(n)] += 3 * (1 + np.arange(n))
    return x


def _row(name: str, call: object = None, **options: object) -> OpRow:
    options.setdefault("strides", False)
    options.setdefault("shapes", SQUARE)
    options.setdefault("dtypes", EXACT)
    options.setdefault("values", (_well,))
    options.setdefault("layouts", ("transposed",))
    options.setdefault("slack", 20)
    return OpRow(name, call, **options)


def _positive(t, x):
    return x @ x.mH + t.eye(x.shape[-1], dtype=x.dtype)


def _symmetric(x):
    return (x + x.mH) / 2


def _wrong(name: str) -> tuple:
    """A vector, and integers."""
    return (
        lambda t: getattr(t.linalg, name)(t.ones(2)),
        lambda t: getattr(t.linalg, name)(t.ones(2, 2).long()),
        lambda t: getattr(t.linalg, name)(t.ones(2, 2).half()),
    )


def _oblong(name: str) -> tuple:
    return (*_wrong(name), lambda t: getattr(t.linalg, name)(t.ones(2, 3)))


SOLVING = [
    _row("inv", lambda t, x: t.linalg.inv(x), grad=BOTH, errors=_oblong("inv")),
    _row("inverse", grad=()),
    _row("inv_empty", lambda t, x: t.linalg.inv(x), shapes=(((0, 0),), ((0, 2, 2),)), grad=()),
    OpRow("solve", lambda t, a, b: t.linalg.solve(a, b), values=(_well, "real"), dtypes=EXACT,
          shapes=(((3, 3), (3,)), ((3, 3), (3, 2)), ((2, 3, 3), (2, 3)), ((2, 3, 3), (3, 2)),
                  ((3, 3), (2, 3, 2)), ((0, 0), (0,))), layouts=(), strides=False, slack=20,
          grad=BOTH, node=False, errors=(
              lambda t: t.linalg.solve(t.eye(2), t.ones(3)),
              lambda t: t.linalg.solve(t.eye(2), t.ones(3, 2)),
              lambda t: t.linalg.solve(t.ones(2, 3), t.ones(3, 2)),
              lambda t: t.linalg.solve(t.eye(2), t.ones(2).double()),
              lambda t: t.linalg.solve(t.eye(2).long(), t.ones(2).long()),
              lambda t: t.linalg.solve(t.eye(2), t.ones(())),
              lambda t: t.linalg.solve(t.ones(2), t.ones(2)),
          )),
    OpRow("solve_right", lambda t, a, b: t.linalg.solve(a, b, left=False), values=(_well, "real"),
          shapes=(((3, 3), (2, 3)),), dtypes=EXACT, layouts=(), strides=False, slack=20,
          node=False, grad=BOTH),
    _row("pinv", lambda t, x: t.linalg.pinv(x), shapes=SHAPES, grad=BOTH, slack=100, node=False,
         errors=(lambda t: t.linalg.pinv(t.ones(2)),
                 lambda t: t.linalg.pinv(t.ones(2, 2).long()))),
    _row("pinv_empty", lambda t, x: t.linalg.pinv(x), shapes=(((0, 2),), ((2, 0),)), grad=()),
    _row("pinv_cut", lambda t, x: (t.linalg.pinv(x, rtol=0.6), t.linalg.pinv(x, atol=5.0),
                                   t.linalg.pinv(x, 0.6)), grad=(), layouts=()),
    _row("matrix_rank", lambda t, x: (t.linalg.matrix_rank(x), t.linalg.matrix_rank(x * 0),
                                      t.linalg.matrix_rank(x, atol=5.0),
                                      t.linalg.matrix_rank(x, rtol=0.6),
                                      t.linalg.matrix_rank(x, 5.0)),
         shapes=SHAPES, grad=(), errors=(lambda t: t.linalg.matrix_rank(t.ones(2)),)),
    _row("matrix_rank_empty", lambda t, x: t.linalg.matrix_rank(x), shapes=(((0, 2),),
                                                                            ((3, 2, 0),)), grad=()),
]  # fmt: skip
DETERMINANTS = [
    _row("det", lambda t, x: t.linalg.det(x), grad=BOTH, errors=_oblong("det")),
    _row("det_empty", lambda t, x: (t.det(x), *t.linalg.slogdet(x)), grad=(),
         shapes=(((0, 0),), ((0, 2, 2),))),
    _row("slogdet", lambda t, x: t.linalg.slogdet(x), grad=("float64",), node=False,
         errors=_oblong("slogdet")),
    _row("logdet", lambda t, x: t.logdet(_positive(t, x)), node=False, grad=("float64",),
         dtypes=("float32", "float64"), errors=(lambda t: t.logdet(t.ones(2)),)),
    _row("logdet_negative", lambda t, x: t.logdet(-t.eye(3, dtype=x.dtype)), grad=(), layouts=(),
         dtypes=("float32", "float64")),
    _row("trace", lambda t, x: t.trace(x), values=("real",), shapes=(((3, 3),), ((2, 4),),
                                                                     ((0, 0),)),
         dtypes=("float32", "float64", "float16", "int64", "int32", "uint8", "bool", "complex64"),
         grad=BOTH, slack=4, errors=(lambda t: t.trace(t.ones(2)),
                                     lambda t: t.trace(t.ones(2, 2, 2)))),
]  # fmt: skip
FACTORS = [
    _row("cholesky", lambda t, x: t.linalg.cholesky(_positive(t, x)), grad=BOTH,
         errors=_oblong("cholesky")),
    _row("cholesky_half", lambda t, x: (t.linalg.cholesky(_positive(t, x).tril()),
                                        t.linalg.cholesky(_positive(t, x), upper=True),
                                        t.linalg.cholesky(_positive(t, x).triu(), upper=True)),
         grad=(), layouts=()),
    # The signs of Q and R are LAPACK's choice, the same in both.
    _row("qr", lambda t, x: t.linalg.qr(x), shapes=SHAPES, grad=BOTH, slack=100,
         errors=(*_wrong("qr")[:2], lambda t: t.linalg.qr(t.ones(2, 2), mode="bad"))),
    _row("qr_complete", lambda t, x: t.linalg.qr(x, "complete"), shapes=SHAPES, grad=()),
    _row("qr_r", lambda t, x: t.linalg.qr(x, mode="r"), shapes=SHAPES, grad=()),
    _row("qr_empty", lambda t, x: t.linalg.qr(x), shapes=(((0, 2),), ((2, 0),)), grad=()),
    _row("qr_old", lambda t, x: t.qr(x), shapes=SHAPES, grad=()),
    _row("svdvals", lambda t, x: t.linalg.svdvals(x), shapes=SHAPES, grad=("float64",), node=False,
         slack=100, errors=_wrong("svdvals")[:1]),
    # Singular vectors are unique up to sign: the product of two is.
    _row("svd", lambda t, x: [(p := t.linalg.svd(x, full_matrices=False)).S,
                              p.U @ p.S.diag_embed().to(x.dtype).sin() @ p.Vh],
         shapes=SHAPES, node=False, grad=("float64",), slack=100, errors=_wrong("svd")[:2]),
    _row("svd_full", lambda t, x: [p.shape for p in t.linalg.svd(x)], shapes=SHAPES, grad=(),
         layouts=()),
    _row("svd_empty", lambda t, x: t.linalg.svd(x), shapes=(((0, 2),), ((2, 0),)), grad=()),
    _row("eigh", lambda t, x: [(p := t.linalg.eigh(_symmetric(x))).eigenvalues,
                               p.eigenvectors.abs()], grad=("float64",), node=False, slack=100,
         errors=(*_oblong("eigh")[:1], lambda t: t.linalg.eigh(t.ones(2, 3)),
                 lambda t: t.linalg.eigh(t.eye(2), "X"))),
    _row("eigvalsh", lambda t, x: (t.linalg.eigvalsh(x), t.linalg.eigvalsh(x, UPLO="U")),
         grad=("float64",), slack=100, node=False, double=False),
]  # fmt: skip
POWERS = [
    *[_row(f"matrix_power_{n}", lambda t, x, n=n: t.linalg.matrix_power(x, n), node=False,
           grad=("float64",) if n else (), slack=1000)
      for n in (0, 1, 2, 3, 5, -1, -2)],
    _row("matrix_power", lambda t, x: t.matrix_power(x, 3), values=("real",), grad=(),
         dtypes=("int64", "int32", "uint8", "bool"), layouts=(), errors=(
             lambda t: t.linalg.matrix_power(t.ones(2), 2),
             lambda t: t.linalg.matrix_power(t.ones(2, 3), 2),
             lambda t: t.linalg.matrix_power(t.ones(2, 2).long(), -1),
         )),
    OpRow("cross", lambda t, x, y: t.linalg.cross(x, y), values=("real", "real"),
          shapes=(((3,), (3,)), ((4, 3), (4, 3)), ((4, 3), (1, 3)), ((0, 3), (0, 3))), grad=BOTH,
          slack=4, layouts=("transposed",), strides=False, errors=(
              lambda t: t.linalg.cross(t.ones(2), t.ones(2)),
              lambda t: t.linalg.cross(t.ones(3), t.ones(2, 3)),
              lambda t: t.linalg.cross(t.ones(()), t.ones(())),
              lambda t: t.linalg.cross(t.ones(2, 3), t.ones(2, 3), dim=0),
              lambda t: t.linalg.cross(t.ones(2, 3), t.ones(2, 3), dim=4),
              lambda t: t.cross(t.ones(2, 2), t.ones(2, 2)),
          )),
    OpRow("cross_first", lambda t, x, y: (t.cross(x, y), t.cross(x, y, dim=0), x.cross(y, 0)),
          values=("real", "real"), shapes=(((3, 3), (3, 3)), ((3, 2), (3, 2))), grad=BOTH,
          slack=4, layouts=(), strides=False, dtypes=EXACT),
]  # fmt: skip

ROWS = [*SOLVING, *DETERMINANTS, *FACTORS, *POWERS]
