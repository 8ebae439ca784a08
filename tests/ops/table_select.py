"""The op table's rows for choosing between values, and for the fused formulas."""

from __future__ import annotations

from .harness import ALL, COMPLEX, FLOATS, INTEGERS, REAL, OpRow

THREE = ("real", "real", "real")
BOTH = ("float64", "complex128")

ROWS = [
    OpRow("where", values=("bool:any", "any", "any"), grad=BOTH, out=True, errors=(
        lambda t: t.where(t.ones(2), t.ones(2), t.ones(2)),
        lambda t: t.where(t.ones(2).bool(), t.ones(3), t.ones(3)),
    )),
    OpRow("where_numbers", lambda t, c, x: (t.where(c, x, 0), t.where(c, 1.5, x), t.where(c, 1, 2),
          t.where(c, 1.0, 2), t.where(c, True, 0.5)), values=("bool:any", "any"), grad=()),
    OpRow("where_method", lambda t, c, x, y: x.where(c, y), values=("bool:any", "any", "any")),
    OpRow("where_promotes", lambda t, c, x, y: t.where(c, x, y.double() if y.is_floating_point()
          else y.short()), values=("bool:any", "any", "any"), dtypes=REAL, grad=()),
    OpRow("where_indices", lambda t, x: t.where(x > 0), grad=(), dtypes=("float32",)),
    OpRow("where_uint8", lambda t, c, x: t.where(c.byte(), x, -x), values=("bool:any", "real"),
          dtypes=("float32",), grad=()),
    OpRow("clamp", lambda t, x: t.clamp(x, -1, 2), grad=("float64",), in_place=True, out=True,
          errors=(
              lambda t: t.clamp(t.ones(2)),
              lambda t: t.clamp(t.ones(2, dtype=t.complex64), 0, 1),
          )),
    OpRow("clamp_crossed", lambda t, x: t.clamp(x, 2, -1)),
    OpRow("clamp_nan", lambda t, x: t.clamp(x, float("nan"), 1.0), grad=(), dtypes=FLOATS),
    OpRow("clamp_low", lambda t, x: t.clamp(x, min=0.5), node=False),
    OpRow("clamp_high", lambda t, x: t.clamp(x, max=0.5), node=False),
    OpRow("clamp_tensors", lambda t, x, a, b: t.clamp(x, a, b), values=("any", "any", "any"),
          grad_values=THREE, shapes=(((4, 3), (4, 3), (4, 3)), ((4, 3), (3,), ()),
          ((0, 3), (3,), (1, 1)))),
    OpRow("clamp_ties", lambda t, x, a: t.clamp(x, a, a), values=("real", "same")),
    OpRow("clamp_low_tensor", lambda t, x, a: t.clamp(x, min=a), values=("any", "same")),
    OpRow("clamp_high_tensor", lambda t, x, a: t.clamp(x, max=a), values=("any", "same")),
    OpRow("clip", lambda t, x: t.clip(x, 0, 1), in_place=True, grad=()),
    OpRow("clamp_min", lambda t, x: t.clamp_min(x, 1), in_place=True, out=True),
    OpRow("clamp_max", lambda t, x: t.clamp_max(x, 1), in_place=True, out=True),
    OpRow("clamp_min_tensor", lambda t, x, a: t.clamp_min(x, a), values=("any", "same")),
    OpRow("clamp_max_tensor", lambda t, x, a: t.clamp_max(x, a), values=("any", "same")),
    OpRow("lerp", values=("real", "real", "unit"), dtypes=ALL, in_place=True, out=True, errors=(
        lambda t: t.lerp(t.ones(2), t.ones(2).double(), 0.5),
        lambda t: t.lerp(t.ones(2), t.ones(2), t.ones(2).double()),
    )),
    OpRow("lerp_number", lambda t, x, y: t.lerp(x, y, 0.3), values=("real", "real"), grad=BOTH),
    OpRow("lerp_far", lambda t, x, y: t.lerp(x, y, 0.8), values=("real", "real")),
    OpRow("addcmul", values=THREE, grad=BOTH, in_place=True, out=True),
    OpRow("addcmul_value", lambda t, x, a, b: t.addcmul(x, a, b, value=-2), values=THREE,
          grad=BOTH, errors=(
              lambda t: t.addcmul(t.ones(2), t.ones(3), t.ones(2)),
          )),
    OpRow("addcdiv", values=("real", "real", "nonzero"), grad=BOTH, in_place=True, out=True),
    OpRow("addcdiv_value", lambda t, x, a, b: t.addcdiv(x, a, b, value=0.5), grad=BOTH,
          values=("real", "real", "nonzero")),
    OpRow("masked_fill", lambda t, x, m: t.masked_fill(x, m, 2), values=("any", "bool:any"),
          grad=BOTH, in_place=True, errors=(
              lambda t: t.ones(2).masked_fill(t.ones(2), 1),
              lambda t: t.ones(2).masked_fill(t.ones(2).bool(), t.ones(2)),
              lambda t: t.ones(2).masked_fill(t.ones(2).bool(), 1j),
              lambda t: t.ones(2).masked_fill_(t.ones(3, 2).bool(), 1),
          )),
    OpRow("masked_fill_infinite", lambda t, x, m: x.masked_fill(m, float("-inf")),
          values=("any", "bool:any"), dtypes=(*FLOATS, *COMPLEX)),
    OpRow("masked_fill_tensor", lambda t, x, m, v: x.masked_fill(m, v),
          values=("any", "bool:any", "real"), shapes=(((4, 3), (4, 3), ()), ((4, 3), (3,), ())),
          node=False),
    OpRow("fill_", lambda t, x: x.clone().fill_(3), grad=BOTH, strides=False, errors=(
        lambda t: t.ones(2).fill_(t.ones(2)),
    )),
    OpRow("fill_float", lambda t, x: x.clone().fill_(2.7), grad=(), strides=False),
    OpRow("fill_tensor", lambda t, x, v: x.clone().fill_(v), values=("any", "real"),
          shapes=(((4, 3), ()), ((), ()), ((0, 2), ())), grad=("float64",), strides=False),
    OpRow("fill_function", lambda t, x: t.fill(x, 2), strides=False),
    OpRow("zero_", lambda t, x: x.clone().zero_(), grad=("float64",), strides=False),
    OpRow("threshold", lambda t, x: t.nn.functional.threshold(x, 0.4, 7), dtypes=(*FLOATS,
          *INTEGERS)),
]  # fmt: skip
