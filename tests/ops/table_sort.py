"""The op table's rows for running sums, sorting, searching and counting."""

from __future__ import annotations

import numpy as np

from .harness import COMPLEX, FLOATS, INTEGERS, REAL, OpRow

NUMBERS = (*FLOATS, *INTEGERS, *COMPLEX)
BOTH = ("float64", "complex128")
SHAPES = (((4, 3),), ((2, 3, 2),), ((0, 3),), ((),))
FULL = (((4, 3),), ((2, 3, 2),), ((),))
MATRIX = (((4, 3),), ((2, 3, 2),))
LINE = (((9,),), ((0,),))


def _row(name: str, call: object = None, **options: object) -> OpRow:
    options.setdefault("strides", False)
    options.setdefault("shapes", SHAPES)
    options.setdefault("layouts", ("transposed", "sliced"))
    return OpRow(name, call, **options)


def _ties(rng, shape):
    return rng.integers(-1, 2, size=shape).astype(float)


def _whole(rng, shape):
    return rng.integers(0, 5, size=shape)


def _sorted(rng, shape):
    return np.sort(rng.normal(size=shape) * 2, axis=-1)


SCANS = [
    _row("cumsum", lambda t, x: (t.cumsum(x, 0), x.cumsum(-1)), grad=BOTH, errors=(
        lambda t: t.cumsum(t.ones(2), 1),
        lambda t: t.ones(2, dtype=t.int64).cumsum_(0).add_(0.5),
    )),
    _row("cumsum_dtype", lambda t, x: x.cumsum(0, dtype=t.float64), values=("real",), node=False),
    _row("cumsum_in_place", lambda t, x: x.clone().cumsum_(0), node=False, dtypes=NUMBERS),
    _row("cumprod", lambda t, x: (t.cumprod(x, 0), x.cumprod(-1)), grad_values=("nonzero",),
         grad=BOTH, errors=(lambda t: t.cumprod(t.ones(2), 1),)),
    _row("cumprod_zeros", lambda t, x: t.cumprod(x, 0), values=(_ties,), grad_values=(_ties,),
         double=False, shapes=MATRIX),
    _row("cummax", lambda t, x: (*t.cummax(x, 0), *x.cummax(-1)), grad_values=("real",),
         errors=(lambda t: t.cummax(t.ones(2), 1),
                 lambda t: t.cummax(t.ones(2, dtype=t.complex64), 0))),
    _row("cummin", lambda t, x: (*t.cummin(x, 0), *x.cummin(-1)), grad_values=(_ties,)),
    _row("cummax_ties", lambda t, x: (t.cummax(x, 0), t.cummin(x, 0)), values=(_ties,),
         dtypes=REAL, grad=()),
    _row("logcumsumexp", lambda t, x: (t.logcumsumexp(x, 0), x.logcumsumexp(-1)),
         dtypes=(*FLOATS, "int64", "bool"), grad_values=("real",), slack=4,
         errors=(lambda t: t.logcumsumexp(t.ones(2), 3),)),
    _row("diff", lambda t, x: (t.diff(x), x.diff(2, 0), t.diff(x, 5)), node=False,
         shapes=MATRIX, grad=BOTH, errors=(
             lambda t: t.diff(t.ones(())),
             lambda t: t.diff(t.ones(2), -1),
             lambda t: t.diff(t.ones(2), 1, 3),
             lambda t: t.diff(t.ones(2, 2), prepend=t.ones(2)),
             lambda t: t.diff(t.ones(2, 2), prepend=t.ones(3, 2)),
         )),
    _row("diff_empty", lambda t, x: (t.diff(x), t.diff(x, dim=0), t.diff(x, 0)), grad=(),
         shapes=(((0, 3),), ((1,),))),
    _row("diff_prepend", lambda t, x: t.diff(x, prepend=x[:, :1], append=x), node=False,
         shapes=(((4, 3),),)),
    _row("trapezoid", lambda t, x: (t.trapezoid(x), t.trapz(x, dx=0.5), t.trapezoid(x, dim=0)),
         shapes=MATRIX, node=False, values=("real",), grad=BOTH, dtypes=(*FLOATS, *COMPLEX)),
    _row("trapezoid_x", lambda t, x: (t.trapezoid(x, t.arange(3.).to(x.dtype)), t.trapz(x, x)),
         shapes=(((4, 3),),), node=False, values=("real",), dtypes=("float32", "float64"),
         errors=(lambda t: t.trapezoid(t.ones(())), lambda t: t.trapezoid(t.ones(3), t.ones(4)))),
    _row("cumulative_trapezoid", lambda t, x: (t.cumulative_trapezoid(x, dx=0.5),
                                               t.cumulative_trapezoid(x, x, dim=0)),
         shapes=MATRIX, node=False, values=("real",), dtypes=("float32", "float64")),
]  # fmt: skip

ORDER = [
    _row("sort", lambda t, x: (t.sort(x)[0], x.sort(0, True)[0]), dtypes=REAL,
         grad_values=("real",), errors=(
             lambda t: t.sort(t.ones(2, dtype=t.complex64)),
             lambda t: t.sort(t.ones(2), 1),
         )),
    _row("sort_stable", lambda t, x: (t.sort(x, stable=True),
                                      x.sort(stable=True, dim=-1, descending=True),
                                      t.sort(x, stable=True, dim=0, descending=True)),
         values=("any",), dtypes=REAL, grad_values=(_ties,), node=False),
    _row("argsort", lambda t, x: (t.argsort(x, stable=True),
                                  x.argsort(stable=True, dim=0, descending=True)), grad=(),
         values=(_ties,), dtypes=REAL),
    _row("msort", lambda t, x: t.msort(x), dtypes=REAL, node=False, grad_values=("real",),
         shapes=MATRIX),
    _row("topk", lambda t, x: (*t.topk(x, 2), *x.topk(1, 0, False)), values=("real",),
         dtypes=FLOATS, shapes=(((4, 3),), ((2, 3, 2),)), errors=(
             lambda t: t.topk(t.ones(2), 3),
             lambda t: t.topk(t.ones(2), -1),
             lambda t: t.topk(t.ones(2), 1, 2),
             lambda t: t.topk(t.ones(2, dtype=t.complex64), 1),
             lambda t: t.topk(t.ones(2, dtype=t.bool), 1),
         )),
    _row("topk_values", lambda t, x: (t.topk(x, 3, 1)[0], t.topk(x, 0, 0)), shapes=MATRIX[:1],
         values=("any",), dtypes=(*FLOATS, *INTEGERS), grad=()),
    _row("topk_number", lambda t, x: (t.topk(x, 1), t.kthvalue(x, 1), x.sort()), shapes=(((),),)),
    _row("topk_unsorted", lambda t, x: t.topk(x, 2, sorted=False)[0].sum(), values=("real",),
         shapes=MATRIX, node=False, dtypes=("float64",)),
    _row("kthvalue", lambda t, x: (*t.kthvalue(x, 2), *x.kthvalue(1, 0, True)), values=("real",),
         dtypes=("float32", "float64"), shapes=MATRIX, errors=(
             lambda t: t.kthvalue(t.ones(2), 3),
             lambda t: t.kthvalue(t.ones(2), 0),
             lambda t: t.kthvalue(t.ones(2), 1, 2),
             lambda t: t.kthvalue(t.ones(2, 0), 1, 1),
             lambda t: t.kthvalue(t.ones(2, dtype=t.complex64), 1),
         )),
    _row("kthvalue_values", lambda t, x: t.kthvalue(x, 2)[0], shapes=MATRIX,
         dtypes=(*FLOATS, *INTEGERS), grad=()),
]  # fmt: skip

COUNTS = [
    _row("unique", lambda t, x: (t.unique(x), *x.unique(return_inverse=True, return_counts=True)),
         values=(_ties,), dtypes=REAL, grad=(),
         errors=(lambda t: t.unique(t.ones(2, dtype=t.complex64)),
                 lambda t: t.unique(t.ones(2), dim=3))),
    _row("unique_nan", lambda t, x: x.unique(return_counts=True), grad=(), dtypes=FLOATS),
    _row("unique_dim", lambda t, x: (t.unique(x, dim=0),
                                     *x.unique(dim=1, return_inverse=True, return_counts=True)),
         values=(_ties,), shapes=MATRIX, dtypes=REAL, grad=()),
    _row("unique_consecutive",
         lambda t, x: (t.unique_consecutive(x),
                       *x.unique_consecutive(return_inverse=True, return_counts=True)),
         values=(_ties,), dtypes=REAL, grad=()),
    _row("unique_consecutive_dim",
         lambda t, x: t.unique_consecutive(x, True, True, dim=0),
         values=(_ties,), shapes=(((6, 1),), ((2, 3, 2),)), dtypes=REAL, grad=()),
    _row("bincount", lambda t, x: (t.bincount(x), x.bincount(minlength=9)), values=(_whole,),
         shapes=LINE, grad=(), dtypes=("float32",), errors=(
             lambda t: t.bincount(t.ones(2)),
             lambda t: t.bincount(t.ones(2, 2, dtype=t.int64)),
             lambda t: t.bincount(t.tensor([-1])),
             lambda t: t.bincount(t.tensor([1]), t.ones(2)),
             lambda t: t.bincount(t.tensor([1]), minlength=-1),
         )),
    OpRow("bincount_weights", lambda t, x, w: t.bincount(x, w), values=(_whole, "real"),
          shapes=(((9,), (9,)),), layouts=(), dtypes=("float32", "float64", "float16", "int64"),
          grad=()),
    _row("histc", lambda t, x: (t.histc(x, 4), t.histc(x, 5, -1, 1), x.histc(3, 0, 0)),
         values=("real",), shapes=(((4, 3),), ((),)), dtypes=("float32", "float64"), grad=(),
         errors=(
             lambda t: t.histc(t.ones(2), 0),
             lambda t: t.histc(t.ones(2), 4, 2, 1),
             lambda t: t.histc(t.tensor([float("nan")])),
             lambda t: t.histc(t.ones(2, dtype=t.int64)),
             lambda t: t.histc(t.ones(2), 4, 0, float("inf")),
         )),
    _row("histc_integers", lambda t, x: t.histc(t.arange(5.), 5, 0, 4), shapes=(((),),), grad=()),
    _row("histogram", lambda t, x: (*t.histogram(x, 4), *t.histogram(x, 4, range=(-1., 1.),
                                                                     density=True)),
         values=("real",), shapes=(((4, 3),),), dtypes=("float32", "float64"), grad=()),
    _row("histogram_edges", lambda t, x: t.histogram(x, t.tensor([-1., 0., 2.], dtype=x.dtype),
                                                     weight=x),
         values=("real",), shapes=(((4, 3),),), dtypes=("float32", "float64"), grad=()),
    OpRow("searchsorted", lambda t, e, x: (t.searchsorted(e, x), t.searchsorted(e, x, right=True)),
          values=(_sorted, "any"), shapes=(((5,), (4, 3)), ((4, 5), (4, 2)), ((0,), (3,)),
                                           ((5,), ())),
          layouts=(), strides=False, dtypes=(*FLOATS, "int64"), grad=(), errors=(
              lambda t: t.searchsorted(t.ones(2, 2), t.ones(3, 2)),
              lambda t: t.searchsorted(t.ones(2), t.ones(2), out=t.ones(2)),
              lambda t: t.searchsorted(t.ones(2), t.ones(2), side="middle"),
              lambda t: t.searchsorted(t.ones(2), t.ones(2), side="left", right=True),
              lambda t: t.searchsorted(t.ones(()), t.ones(2)),
              lambda t: t.searchsorted(t.ones(2, 2), 1.0),
              lambda t: t.searchsorted(t.ones(2), t.ones(2), sorter=t.ones(2)),
              lambda t: t.bucketize(t.ones(2), t.ones(2, 2)),
          )),
    OpRow("searchsorted_forms", lambda t, e, x: (
        t.searchsorted(e, x, side="right"), t.searchsorted(e, x, out_int32=True),
        t.searchsorted(e, 0.5), t.searchsorted(t.tensor([1, 2, 3]), 1.5),
        t.searchsorted(e, x.double()),
        t.searchsorted(e.flip(0), x, sorter=t.tensor([4, 3, 2, 1, 0]))),
          values=(_sorted, "real"), shapes=(((5,), (4, 3)),), layouts=(), strides=False,
          dtypes=("float32",), grad=()),
    OpRow("bucketize", lambda t, e, x: (t.bucketize(x, e), t.bucketize(x, e, right=True),
                                        t.bucketize(0.5, e), t.bucketize(x, e, out_int32=True)),
          values=(_sorted, "any"), shapes=(((5,), (4, 3)), ((5,), ())), layouts=(), strides=False,
          dtypes=(*FLOATS, "int64"), grad=()),
    _row("quantile", lambda t, x: (t.quantile(x, 0.3), x.quantile(0.5, 0),
                                   t.quantile(x, t.tensor([0, 0.25, 1], dtype=x.dtype), -1, True)),
         values=("real",), shapes=FULL, dtypes=("float32", "float64"), node=False, errors=(
             lambda t: t.quantile(t.ones(2), 1.5),
             lambda t: t.quantile(t.ones(2), -0.1),
             lambda t: t.quantile(t.ones(2, dtype=t.int64), 0.5),
             lambda t: t.quantile(t.ones(0), 0.5),
             lambda t: t.quantile(t.ones(2), t.ones(2, 2)),
             lambda t: t.quantile(t.ones(2), t.ones(2).double()),
             lambda t: t.quantile(t.ones(2), 0.5, interpolation="odd"),
             lambda t: t.quantile(t.ones(2), t.tensor([2.0])),
             lambda t: t.quantile(t.ones(2), 0.5, 3),
         )),
    _row("quantile_nan", lambda t, x: (t.quantile(x, 0.3), t.quantile(x, 0.5, 0)), shapes=FULL,
         dtypes=("float32", "float64"), grad=()),
    _row("nanquantile", lambda t, x: (t.nanquantile(x, 0.3), x.nanquantile(0.5, 0, True)),
         shapes=FULL, dtypes=("float32", "float64"), grad=()),
    *[_row(f"quantile_{kind}", lambda t, x, kind=kind: (
        t.quantile(x, 0.3, interpolation=kind), x.quantile(0.5, 0, interpolation=kind)),
           values=("real",), shapes=MATRIX, dtypes=("float32", "float64"), node=False)
      for kind in ("lower", "higher", "nearest", "midpoint")],
]  # fmt: skip

ROWS = [*ORDER, *COUNTS]
