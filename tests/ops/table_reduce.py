"""The op table's rows for reductions: sums, variances, extremes, medians, truth, norms."""

from __future__ import annotations

from .harness import COMPLEX, FLOATS, INTEGERS, REAL, OpRow

BOTH = ("float64", "complex128")
#: Operands of a reduction: two and three dimensions, an empty one, a number.
SHAPES = (((4, 3),), ((2, 3, 2),), ((0, 3),), ((),))
FULL = (((4, 3),), ((2, 3, 2),), ((),))
MATRIX = (((4, 3),), ((2, 3, 2),))


def _row(name: str, call: object = None, **options: object) -> OpRow:
    options.setdefault("strides", False)
    options.setdefault("shapes", SHAPES)
    options.setdefault("layouts", ("transposed", "sliced"))
    return OpRow(name, call, **options)


def _ties(rng, shape):
    """Few values, so that most occur more than once."""
    return rng.integers(-1, 2, size=shape).astype(float)


def _with_nan(rng, shape):
    x = rng.integers(-2, 3, size=shape).astype(float)
    x[rng.random(shape) < 0.3] = float("nan")
    return x


DIM_ERRORS = (
    lambda t: t.sum(t.ones(2, 3), 2),
    lambda t: t.sum(t.ones(2, 3), (0, 0)),
    lambda t: t.sum(t.ones(2, 3), (0, -2)),
    lambda t: t.sum(t.ones(()), 1),
    lambda t: t.sum(t.ones(()), (0, -1)),
)
SUMS = [
    _row("sum", out=False, grad=BOTH, values=("real",)),
    _row("sum_any", lambda t, x: t.sum(x), grad=()),
    _row("sum_dim", lambda t, x: t.sum(x, 0), grad=BOTH, errors=DIM_ERRORS),
    _row("sum_keepdim", lambda t, x: x.sum(-1, keepdim=True), grad=BOTH),
    _row("sum_dims", lambda t, x: x.sum((0, -1)), shapes=MATRIX, grad=BOTH),
    _row("sum_no_dims", lambda t, x: (x.sum(()), x.sum([], keepdim=True)), grad=BOTH),
    _row("sum_to_double", lambda t, x: x.sum(dtype=t.float64), values=("real",), node=False),
    _row("sum_to_int", lambda t, x: x.sum(0, dtype=t.int32), values=("real",), dtypes=REAL,
         grad=()),
    _row("sum_axis", lambda t, x: x.sum(axis=0, keepdims=True)),
    _row("mean", grad=BOTH, errors=(
        lambda t: t.ones(2, dtype=t.int64).mean(),
        lambda t: t.ones(2, dtype=t.bool).mean(0),
        lambda t: t.ones(2).mean(dtype=t.int64),
        lambda t: t.ones(2).mean(3),
    )),
    _row("mean_dim", lambda t, x: (x.mean(0), x.mean(-1, True)), grad=BOTH),
    _row("mean_dims", lambda t, x: x.mean((0, 1), keepdim=True), shapes=MATRIX),
    _row("mean_dtype", lambda t, x: x.mean(dtype=t.float64), values=("real",), node=False),
    _row("nansum", dtypes=FLOATS, values=(_with_nan,), grad_values=(_with_nan,),
         errors=(lambda t: t.nansum(t.ones(2, dtype=t.complex64)),)),
    _row("nansum_dim", lambda t, x: t.nansum(x, 0, True), grad=(), dtypes=REAL),
    _row("nanmean", dtypes=FLOATS, values=(_with_nan,), grad_values=(_with_nan,),
         errors=(lambda t: t.nanmean(t.ones(2, dtype=t.int64)),)),
    _row("nanmean_dim", lambda t, x: t.nanmean(x, -1, True), grad=(), dtypes=FLOATS),
    _row("var", grad_values=("real",), slack=4, errors=(
        lambda t: t.var(t.ones(2, dtype=t.int64)),
        lambda t: t.std(t.ones(2, dtype=t.bool)),
        lambda t: t.var(t.ones(2), 2),
    ), grad=BOTH, shapes=FULL),
    _row("var_dim", lambda t, x: (x.var(0), x.var(-1, keepdim=True), x.var(0, False)), shapes=FULL,
         grad_values=("real",), slack=4, values=("real",)),
    _row("var_correction", lambda t, x: (t.var(x, 0, correction=0), t.var(x, correction=2),
                                         t.var(x, unbiased=False), x.var(False),
                                         t.var(x, dim=0, correction=0.5)), values=("real",),
         shapes=MATRIX, slack=4),
    _row("std", grad_values=("real",), slack=4, grad=BOTH, shapes=MATRIX),
    _row("std_dim", lambda t, x: (x.std(0), x.std((0, 1), keepdim=True), x.std(-1, False)),
         grad_values=("real",), shapes=MATRIX, slack=4),
    _row("std_equal", lambda t, x: t.std(x * 0 + 1, 0), values=("real",), dtypes=FLOATS,
         shapes=MATRIX, double=False),
    _row("var_mean", lambda t, x: t.var_mean(x, 0), values=("real",), slack=4, node=False,
         errors=(lambda t: t.var_mean(t.ones(2, dtype=t.int64)),)),
    _row("std_mean", lambda t, x: t.std_mean(x, dim=-1, keepdim=True, correction=0), slack=4,
         values=("real",), node=False, shapes=MATRIX,
         errors=(lambda t: t.std_mean(t.ones(2, dtype=t.int64)),)),
    _row("prod", grad=BOTH, grad_values=("nonzero",), double=False),
    _row("prod_dim", lambda t, x: (x.prod(0), x.prod(-1, keepdim=True)), grad=BOTH,
         grad_values=("nonzero",), node=False),
    _row("prod_zeros", lambda t, x: (x.prod(), x.prod(0)), values=(_ties,), grad_values=(_ties,),
         double=False),
    _row("prod_dtype", lambda t, x: x.prod(0, dtype=t.float64), values=("real",), grad=()),
    _row("count_nonzero", lambda t, x: (t.count_nonzero(x), t.count_nonzero(x, 0)), grad=()),
    _row("count_nonzero_dims", lambda t, x: t.count_nonzero(x, dim=(0, 1)), grad=(),
         shapes=MATRIX),
    _row("all", lambda t, x: (t.all(x), x.all(0), x.all(-1, keepdim=True)), grad=(),
         values=(_ties,), errors=(lambda t: t.ones(2).all(1),)),
    _row("any", lambda t, x: (t.any(x), x.any(0), x.any(-1, keepdim=True)), grad=(),
         values=(_ties,)),
    _row("any_dims", lambda t, x: (x.any((0, 1)), x.all((0, 1))), shapes=MATRIX, grad=()),
    _row("logsumexp", lambda t, x: (x.logsumexp(0), t.logsumexp(x, -1, True)),
         grad_values=("real",), slack=4),
    _row("logsumexp_dims", lambda t, x: t.logsumexp(x, (0, 1)), shapes=MATRIX, values=("real",),
         slack=4, grad=BOTH),
]  # fmt: skip

NORMS = [
    _row("norm", grad_values=("real",), node=False, slack=4, errors=(
        lambda t: t.norm(t.ones(2, dtype=t.int64)),
        lambda t: t.linalg.vector_norm(t.ones(2, dtype=t.int64)),
        lambda t: t.linalg.vector_norm(t.ones(0), float("inf")),
        lambda t: t.linalg.vector_norm(t.ones(0), -1),
        lambda t: t.linalg.vector_norm(t.ones(0, 2), -1, dim=0),
        lambda t: t.norm(t.ones(2), "bad"),
        lambda t: t.norm(t.ones(2), 2, 1),
    )),
    *[_row(f"norm_{p}", lambda t, x, p=p: (t.norm(x, p), t.norm(x, p, 0), x.norm(p, -1, True)),
           grad_values=("real",), node=False, slack=10, shapes=MATRIX, values=("real",),
           dtypes=(*FLOATS, *COMPLEX), grad=BOTH)
      for p in (2, 1, 3, 0.5, 1.5, float("inf"), -float("inf"), -1)],
    _row("norm_0", lambda t, x: t.norm(x, 0, 0), values=(_ties,), grad=(), dtypes=FLOATS),
    _row("norm_fro", lambda t, x: (t.norm(x, "fro"), t.norm(x, "fro", (0, 1)), t.norm(x, dim=0)),
         shapes=MATRIX, values=("real",), node=False, dtypes=(*FLOATS, *COMPLEX), grad=BOTH),
    _row("norm_nuc", lambda t, x: (t.norm(x, "nuc", (0, 1)), t.norm(x, "nuc", (-2, -1), True)),
         shapes=MATRIX, values=("real",), node=False, dtypes=("float32", "float64"), slack=4,
         double=False, grad=("float64",)),
    _row("norm_names", lambda t, x: (t.frobenius_norm(x, (0, 1)), t.nuclear_norm(x)),
         shapes=MATRIX[:1], values=("real",), node=False, dtypes=("float32", "float64"), slack=4,
         double=False),
    _row("norm_dtype", lambda t, x: t.norm(x, dtype=t.float64), values=("real",), node=False,
         dtypes=("float32", "float64", "float16"), grad=()),
    _row("norm_at_zero", lambda t, x: [t.norm(x * 0, p) for p in (1, 2, 3, 1.5, 0.5)],
         values=("real",), shapes=MATRIX, node=False, double=False, dtypes=("float32", "float64")),
    _row("vector_norm", lambda t, x: (t.linalg.vector_norm(x), t.linalg.vector_norm(x, 3, (0, 1)),
                                      t.linalg.vector_norm(x, 1, -1, True)),
         shapes=MATRIX, values=("real",), node=False, dtypes=(*FLOATS, *COMPLEX), slack=4),
    _row("linalg_norm", lambda t, x: (t.linalg.norm(x), t.linalg.norm(x, 2, 0)),
         shapes=MATRIX, values=("real",), node=False, dtypes=("float32", "float64"), slack=4),
    *[_row(f"matrix_norm_{p}", lambda t, x, p=p: (t.linalg.matrix_norm(x, p),
                                                  t.linalg.matrix_norm(x, p, keepdim=True)),
           shapes=MATRIX, values=("real",), node=False, dtypes=("float32", "float64"), slack=10,
           double=False)
      for p in ("fro", "nuc", 2, -2, 1, -1, float("inf"), -float("inf"))],
    _row("matrix_norm_dims", lambda t, x: [t.linalg.matrix_norm(x, p, (0, 2)) for p in
                                           ("fro", "nuc", 1, 2)],
         shapes=(((2, 3, 4),),), values=("real",), node=False, dtypes=("float64",), grad=(),
         errors=(
             lambda t: t.linalg.matrix_norm(t.ones(2)),
             lambda t: t.linalg.matrix_norm(t.ones(2, 2), "bad"),
             lambda t: t.linalg.matrix_norm(t.ones(2, 2), 3),
             lambda t: t.linalg.matrix_norm(t.ones(2, 2), dim=(0, 0)),
             lambda t: t.linalg.matrix_norm(t.ones(2, 2), dim=(0,)),
             lambda t: t.linalg.norm(t.ones(2, 2, 2), 3),
             lambda t: t.linalg.norm(t.ones(2, 2, 2), "fro"),
             lambda t: t.linalg.norm(t.ones(2, dtype=t.int32)),
         )),
    OpRow("dist", values=("real", "real"), shapes=(((4, 3), (4, 3)), ((4, 3), (3,)), ((0,), (0,))),
          layouts=(), strides=False, node=False, dtypes=("float32", "float64")),
    OpRow("dist_p", lambda t, x, y: [t.dist(x, y, p) for p in (1, 3, float("inf"), 0.5)],
          values=("real", "real"), shapes=(((4, 3), (4, 3)),), layouts=(), strides=False,
          node=False, dtypes=("float32", "float64"), slack=4),
    _row("renorm", lambda t, x: (t.renorm(x, 2, 0, 1.0), t.renorm(x, 1, -1, 0.5)), shapes=MATRIX,
         values=("real",), dtypes=("float32", "float64", "complex64"), node=False, slack=4,
         double=False, errors=(
             lambda t: t.renorm(t.ones(2), 2, 0, 1.0),
             lambda t: t.renorm(t.ones(2, 2), -1, 0, 1.0),
             lambda t: t.renorm(t.ones(2, 2), 2, 0, -1.0),
             lambda t: t.renorm(t.ones(2, 2), 2, 5, 1.0),
         )),
]  # fmt: skip

EXTREMES = [
    _row("amax", shapes=FULL, grad_values=(_ties,), out=True, double=False, errors=(
        lambda t: t.amax(t.ones(0)),
        lambda t: t.amax(t.ones(2, 0), 1),
        lambda t: t.amin(t.ones(2, dtype=t.complex64)),
        lambda t: t.amax(t.ones(2, 2), (0, 0)),
        lambda t: t.amax(t.ones(2), 3),
    )),
    _row("amin", lambda t, x: (t.amin(x, 0), x.amin((0, -1), True)), shapes=MATRIX, values=("any",),
         grad_values=(_ties,), double=False),
    _row("amax_empty", lambda t, x: t.amax(x, 1), shapes=(((0, 3),),), grad=()),
    _row("aminmax", lambda t, x: t.aminmax(x), shapes=FULL, node=False, grad_values=(_ties,),
         double=False, errors=(
             lambda t: t.aminmax(t.ones(0)),
             lambda t: t.aminmax(t.ones(2, 0), dim=1),
             lambda t: t.aminmax(t.ones(2, dtype=t.complex64)),
         )),
    _row("aminmax_dim", lambda t, x: t.aminmax(x, dim=0, keepdim=True), shapes=SHAPES[:2],
         node=False, double=False, grad=()),
    _row("max", shapes=FULL, grad_values=(_ties,), double=False, errors=(
        lambda t: t.max(t.ones(0)),
        lambda t: t.max(t.ones(2, 0), 1),
        lambda t: t.max(t.ones(2, dtype=t.complex64)),
        lambda t: t.max(t.ones(2, dtype=t.complex64), 0),
        lambda t: t.max(t.ones(2), 1),
        lambda t: t.min(t.ones(0, 2), 0),
    )),
    _row("min", shapes=FULL, grad_values=(_ties,), double=False),
    _row("max_dim", lambda t, x: (*t.max(x, 0), *x.max(-1, True)), shapes=FULL, values=("any",),
         grad_values=("real",)),
    _row("min_dim", lambda t, x: (*t.min(x, 0), *x.min(-1, keepdim=True)), shapes=FULL,
         grad_values=("real",)),
    _row("max_ties", lambda t, x: (t.max(x, 0), t.min(x, -1)), values=(_ties,),
         grad_values=(_ties,), shapes=FULL),
    _row("max_empty", lambda t, x: t.max(x, 1), shapes=(((0, 3),),), grad=()),
    _row("max_pair", lambda t, x: (t.max(x, x * 2), x.min(x - 1)), dtypes=REAL[:-1],
         grad_values=("nonzero",), node=False, strides=False),
    _row("argmax", shapes=FULL, grad=(), errors=(
        lambda t: t.argmax(t.ones(0)),
        lambda t: t.argmax(t.ones(2, 0), 1),
        lambda t: t.argmin(t.ones(2, 0)),
        lambda t: t.argmax(t.ones(2, dtype=t.bool)),
        lambda t: t.argmax(t.ones(2, dtype=t.complex64)),
        lambda t: t.argmax(t.ones(2), 2),
    )),
    _row("argmax_dim", lambda t, x: (x.argmax(0), x.argmin(-1, True), x.argmax(keepdim=True)),
         shapes=FULL, values=(_ties,), grad=()),
    _row("argmin", shapes=FULL, grad=()),
    _row("median", grad_values=("real",), shapes=FULL, errors=(
        lambda t: t.median(t.ones(2, 0), 1),
        lambda t: t.median(t.ones(2, dtype=t.complex64)),
        lambda t: t.median(t.ones(2, dtype=t.bool)),
        lambda t: t.median(t.ones(2), 4),
    ), dtypes=(*FLOATS, *INTEGERS)),
    _row("median_dim", lambda t, x: (t.median(x, 0)[0], x.median(-1, True)[0]), shapes=FULL,
         grad_values=("real",), dtypes=(*FLOATS, *INTEGERS)),
    _row("median_place", lambda t, x: (t.median(x, 0), x.median(-1, True)), shapes=FULL,
         values=("real",), dtypes=("float32", "float64")),
    _row("nanmedian", values=(_with_nan,), grad=(), dtypes=FLOATS),
    _row("nanmedian_dim", lambda t, x: (t.nanmedian(x, 0)[0], x.nanmedian(-1, True)[0]),
         values=(_with_nan,), grad=(), dtypes=FLOATS, shapes=FULL),
    _row("mode", lambda t, x: (t.mode(x), x.mode(0, True)), values=(_ties,), shapes=FULL,
         dtypes=REAL, grad_values=(_ties,), errors=(
             lambda t: t.mode(t.ones(2, 0)),
             lambda t: t.mode(t.ones(2, dtype=t.complex64)),
             lambda t: t.mode(t.ones(2), 4),
         )),
]  # fmt: skip

ROWS = [*SUMS, *NORMS]
