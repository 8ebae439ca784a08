"""The op table's rows for functions of two tensors, comparison, logic and bits."""

from __future__ import annotations

from .harness import ALL, FLOATS, INTEGERS, REAL, OpRow

TWO = ("any", "any")
TIED = ("any", "same")
WHOLE = (*INTEGERS, "bool")


def _pair(name: str, **options: object) -> OpRow:
    options.setdefault("in_place", True)
    options.setdefault("out", True)
    options.setdefault("values", TWO)
    return OpRow(name, **options)


BINARY = [
    _pair("atan2", grad_values=("nonzero", "nonzero"), node=False),
    _pair("arctan2", grad=()),
    _pair("hypot", grad_values=("nonzero", "nonzero")),
    _pair("copysign", grad_values=("nonzero", "nonzero")),
    OpRow("copysign_number", lambda t, x: t.copysign(x, -2.0), grad_values=("nonzero",)),
    _pair("nextafter", grad=(), dtypes=("float32", "float64", "int64", "bfloat16")),
    # Exponents are positive: PyTorch's gradient takes integer powers, 0 for negative ones.
    OpRow("ldexp", values=("real", "int:positive"), in_place=True, out=True, node=False),
    _pair("logaddexp", in_place=False, grad_values=("real", "real"), slack=4),
    _pair("logaddexp2", in_place=False, grad_values=("real", "real"), slack=4),
    _pair("xlogy", values=("any", "any"), grad_values=("real", "positive"), slack=4),
    OpRow("xlogy_number", lambda t, x: t.xlogy(x, 2), grad_values=("real",)),
    OpRow("xlogy_of_number", lambda t, x: t.xlogy(0, x), grad_values=("positive",)),
    OpRow("xlogy_zero", lambda t, x: t.xlogy(x * 0, x), values=("positive",), node=False),
    _pair("heaviside", grad=(), dtypes=ALL),
    _pair("gcd", grad=(), dtypes=(*WHOLE, "float32")),
    _pair("lcm", grad=(), dtypes=(*WHOLE, "float32")),
    _pair("fmax", values=TIED, in_place=False),
    _pair("fmin", values=TIED, in_place=False),
    _pair("maximum", values=TIED, in_place=False),
    _pair("minimum", values=TIED, in_place=False),
    OpRow("polar", lambda t, x, y: t.polar(x, y), values=("positive", "real"),
          dtypes=("float32", "float64", "int64"), node=False),
]  # fmt: skip
COMPARE = [
    *[_pair(name, values=TIED, grad=()) for name in (
        "eq", "ne", "lt", "le", "gt", "ge", "not_equal", "less", "less_equal", "greater",
        "greater_equal")],
    OpRow("eq_operator", lambda t, x, y: x == y, values=TIED, grad=()),
    OpRow("ne_operator", lambda t, x, y: x != y, values=TIED, grad=()),
    OpRow("lt_number", lambda t, x: (x < 1.5, 2 > x, x >= 1, 1.0 == x), dtypes=REAL, grad=()),
    OpRow("eq_number", lambda t, x: (x == 1.0, x != 1, x == 2.5, x.eq(True)), grad=()),
    OpRow("mixed_dtypes", lambda t, x: (x < x.long(), x.to(t.float16) >= x), dtypes=FLOATS,
          values=("real",), grad=()),
    OpRow("not_comparable", lambda t, x: (x == None, x != "a", None == x), grad=()),  # noqa: E711
    *[OpRow(name, grad=(), out=name in ("isposinf", "isneginf")) for name in (
        "isnan", "isinf", "isfinite", "isposinf", "isneginf", "isreal")],
    OpRow("isclose", values=TIED, grad=(), errors=(
        lambda t: t.isclose(t.ones(1), t.ones(1).double()),
        lambda t: t.isclose(t.ones(1), t.ones(1), rtol=-1.0),
        lambda t: t.isclose(t.ones(1), t.ones(1), atol=-1.0),
    )),
    OpRow("isclose_nan", lambda t, x, y: t.isclose(x, y, 0.2, 0.1, equal_nan=True), values=TIED,
          grad=()),
    OpRow("allclose", values=TIED, grad=()),
    OpRow("allclose_same", lambda t, x: (t.allclose(x, x), t.allclose(x, x, equal_nan=True)),
          grad=()),
    OpRow("equal", lambda t, x, y: (t.equal(x, y), t.equal(x, x)), values=TIED, grad=()),
    OpRow("isin", values=TWO, strides=False, layouts=(), grad=(), dtypes=REAL,
          shapes=(((4, 3), (5,)), ((2, 2), (2, 3)), ((3,), (0,)))),
    OpRow("isin_inverted", lambda t, x, y: t.isin(x, y, invert=True), values=TWO, layouts=(),
          grad=(), dtypes=REAL, shapes=(((4, 3), (5,)),)),
    OpRow("isin_number", lambda t, x: (t.isin(x, 1), t.isin(2, x)), grad=(), dtypes=REAL,
          strides=False),
]  # fmt: skip
LOGIC = [
    *[_pair(name, grad=()) for name in ("logical_and", "logical_or", "logical_xor")],
    OpRow("logical_not", in_place=True, out=True, grad=()),
    *[_pair(name, grad=(), dtypes=(*WHOLE, "float32", "complex64"))
      for name in ("bitwise_and", "bitwise_or", "bitwise_xor")],
    OpRow("bitwise_not", in_place=True, out=True, grad=(), dtypes=(*WHOLE, "float32")),
    _pair("bitwise_left_shift", grad=(), dtypes=(*WHOLE, "float32"), values=("any", "positive")),
    _pair("bitwise_right_shift", grad=(), dtypes=(*WHOLE, "float32"), values=("any", "positive")),
    OpRow("bit_operators", lambda t, x, y: (x & y, x | y, x ^ y, ~x), values=TWO, grad=(),
          dtypes=WHOLE),
    OpRow("bit_numbers", lambda t, x: (x & 6, 5 | x, x ^ True, 3 ^ x), grad=(),
          dtypes=WHOLE),
    OpRow("shift_operators", lambda t, x, y: (x << y, x >> y, x << 2, x >> 1, 1 << y),
          values=("any", "positive"), dtypes=INTEGERS, grad=()),
    OpRow("bit_in_place", lambda t, x, y: _bits_in_place(x, y), values=TWO, dtypes=WHOLE, grad=()),
]  # fmt: skip


def _bits_in_place(x, y):
    x &= y
    x |= 5
    x ^= y
    return x


ROWS = [*BINARY, *COMPARE, *LOGIC]
