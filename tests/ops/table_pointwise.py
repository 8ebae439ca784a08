"""The op table's rows for arithmetic, powers and functions of one tensor."""

from __future__ import annotations

from .harness import ALL, FLOATS, INTEGERS, REAL, OpRow

BOTH = ("float64", "complex128")
TWO = ("any", "any")
SMOOTH = ("real", "real")

ARITHMETIC = [
    OpRow("add", values=TWO, in_place=True, out=True, grad=BOTH, errors=(
        lambda t: t.add(t.ones(2), t.ones(3)),
        lambda t: t.add(t.ones(2, dtype=t.int64), 1, alpha=0.5),
        lambda t: t.add(t.ones(2), 1, alpha=True),
        lambda t: t.ones(2, dtype=t.int64).add_(1.5),
        lambda t: t.ones(2).add_(t.ones(3, 2)),
        lambda t: t.add(t.ones(2), "x"),
    )),
    OpRow("add_number", lambda t, x: x + 2, out=False, grad=BOTH),
    OpRow("add_float", lambda t, x: 2.5 + x, grad=BOTH),
    OpRow("add_complex", lambda t, x: x + 2.5j, grad=("complex128",),
          dtypes=("float32", "float64", "int64", "complex64")),
    OpRow("add_bool", lambda t, x: x + True),
    OpRow("add_alpha", lambda t, x, y: t.add(x, y, alpha=2), values=TWO),
    OpRow("sub", values=TWO, in_place=True, out=True, grad=BOTH, errors=(
        lambda t: t.ones(2, dtype=t.bool) - t.ones(2),
        lambda t: t.ones(2) - True,
        lambda t: t.ones(2, dtype=t.bool) - t.ones(2, dtype=t.bool),
    )),
    OpRow("sub_alpha", lambda t, x, y: t.sub(x, y, alpha=3), values=TWO),
    OpRow("rsub", values=TWO, grad=BOTH, node=False),
    OpRow("rsub_number", lambda t, x: 1.5 - x, grad=BOTH),
    OpRow("mul", values=TWO, in_place=True, out=True, grad=BOTH, grad_values=SMOOTH),
    OpRow("mul_number", lambda t, x: 3 * x, grad=BOTH),
    OpRow("div", values=TWO, in_place=True, out=True, grad=BOTH, grad_values=("real", "nonzero")),
    OpRow("div_number", lambda t, x: x / 4, grad=BOTH),
    OpRow("div_by_zero", lambda t, x: x / 0, grad=()),
    OpRow("rdiv_number", lambda t, x: 2 / x, grad=BOTH, grad_values=("nonzero",), node=False),
    OpRow("floor_divide", values=TWO, in_place=True, out=True, node=False,
          grad=(), dtypes=ALL),
    OpRow("floordiv_nonzero", lambda t, x, y: x // y, values=("any", "nonzero"), grad=(),
          dtypes=REAL),
    OpRow("floordiv_number", lambda t, x: x // 3, grad=(), dtypes=REAL),
    OpRow("rfloordiv_number", lambda t, x: 7 // x, grad=(), values=("nonzero",), dtypes=REAL),
    OpRow("div_floor", lambda t, x, y: t.div(x, y, rounding_mode="floor"), dtypes=REAL,
          values=("any", "nonzero"), grad_values=("real", "nonzero"), double=False),
    OpRow("div_trunc", lambda t, x, y: t.div(x, y, rounding_mode="trunc"), dtypes=REAL,
          values=("any", "nonzero"), grad_values=("real", "nonzero"), double=False,
          errors=(lambda t: t.div(t.ones(1), 2, rounding_mode="up"),)),
    OpRow("remainder", values=TWO, in_place=True, out=True, grad_values=("real", "nonzero")),
    OpRow("remainder_nonzero", lambda t, x, y: x % y, values=("any", "nonzero"),
          grad_values=("real", "nonzero")),
    OpRow("remainder_number", lambda t, x: x % 3),
    OpRow("rmod_number", lambda t, x: 7 % x, values=("nonzero",), grad=()),
    OpRow("fmod", values=TWO, in_place=True, out=True, grad_values=("real", "nonzero")),
    OpRow("fmod_nonzero", lambda t, x, y: t.fmod(x, y), values=("any", "nonzero"),
          grad_values=("real", "nonzero")),
    OpRow("fmod_number", lambda t, x: t.fmod(x, -2.5)),
    OpRow("neg", in_place=True, out=True, grad=BOTH,
          errors=(lambda t: -t.ones(2, dtype=t.bool),)),
    OpRow("positive", node=False, double=False,
          errors=(lambda t: +t.ones(2, dtype=t.bool),)),
    OpRow("pow", values=TWO, in_place=True, out=True, grad=BOTH,
          grad_values=("positive", "real"), dtypes=ALL, slack=4),
    OpRow("pow_integers", lambda t, x, y: x ** y, values=("real", "positive"),
          dtypes=(*INTEGERS, "bool"), grad=()),
    *[OpRow(f"pow_{n}", lambda t, x, n=n: x ** n, grad=BOTH if n == int(n) else ("float64",),
            grad_values=("positive",), slack=4,
            # PyTorch takes powf for half and the root for bfloat16: they differ at -0 and -inf.
            values=("positive",) if abs(n) == 0.5 else ("any",), errors=(
                (lambda t: t.ones(1, dtype=t.int64) ** -1,) if n == -1 else ()))
      for n in (0, 1, 2, 3, 4, 0.5, -0.5, -1, -2, 1.7)],
    OpRow("rpow", lambda t, x: 2 ** x, slack=4, strides=False, grad=BOTH, grad_values=("real",)),
    OpRow("rpow_float", lambda t, x: 2.5 ** x, slack=4, strides=False, grad_values=("real",)),
    OpRow("rpow_zero", lambda t, x: 0 ** x, grad_values=("positive",), strides=False, double=False),
    OpRow("square", in_place=True, out=True, grad=BOTH, grad_values=("real",)),
    OpRow("float_power", values=("positive", "real"), in_place=True, out=True, slack=4,
          node=False),
    OpRow("float_power_2", lambda t, x: t.float_power(x, 2), values=("real",), slack=4, node=False),
    OpRow("multiply", values=TWO, in_place=True, grad=()),
    OpRow("subtract", values=TWO, in_place=True, grad=()),
    OpRow("divide", values=TWO, in_place=True, grad=()),
    OpRow("true_divide", values=TWO, in_place=True, grad=()),
    OpRow("negative", in_place=True, grad=()),
]  # fmt: skip


def _function(name: str, grad_values: str | None = "real", **options: object) -> OpRow:
    """A function of one tensor with ``out=`` and an in-place method."""
    options.setdefault("in_place", True)
    options.setdefault("out", True)
    return OpRow(name, grad_values=None if grad_values is None else (grad_values,), **options)


SPECIAL = ("erfcx", "ndtr", "log_ndtr", "i0e", "i1", "i1e", "entr")


def _acosh_domain(rng, shape):
    return 1.2 + abs(rng.normal(size=shape))


FUNCTIONS = [
    _function("exp", grad=BOTH),
    _function("exp2", grad=BOTH),
    _function("expm1", grad=BOTH),
    _function("log", "positive", grad=BOTH),
    _function("log2", "positive", grad=BOTH),
    _function("log10", "positive", grad=BOTH),
    _function("log1p", "positive", grad=BOTH),
    _function("sqrt", "positive", grad=BOTH),
    _function("rsqrt", "positive", grad=BOTH),
    _function("sin", grad=BOTH),
    _function("cos", grad=BOTH),
    _function("tan", "unit", grad=BOTH, slack=4),
    _function("asin", "unit", grad=BOTH, slack=10),
    _function("acos", "unit", grad=BOTH, slack=10),
    _function("atan", grad=BOTH),
    _function("sinh", grad=BOTH),
    _function("cosh", grad=BOTH),
    _function("tanh", grad=BOTH),
    _function("asinh", grad=BOTH),
    OpRow("acosh", grad_values=(_acosh_domain,), in_place=True, out=True, slack=10),
    _function("atanh", "unit", grad=BOTH, slack=10),
    _function("arcsin", grad=()), _function("arccos", grad=()), _function("arctan", grad=()),
    _function("arcsinh", grad=()), _function("arccosh", grad=()), _function("arctanh", grad=()),
    _function("sigmoid", grad=BOTH),
    _function("erf"), _function("erfc"), _function("erfinv", "unit", slack=10),
    _function("lgamma", "positive", slack=20), _function("digamma", "positive", slack=20),
    OpRow("polygamma", lambda t, x: t.polygamma(2, x), values=("positive",), slack=20,
          errors=(lambda t: t.polygamma(-1, t.ones(1)),)),
    OpRow("polygamma_method", lambda t, x: x.polygamma(1), values=("positive",), slack=20,
          # PyTorch's float64 trigamma is good to 1e-10 only.
          dtypes=("float32", "float16", "bfloat16", "int64")),
    OpRow("mvlgamma", lambda t, x: t.mvlgamma(x + 3, 2), values=("positive",), slack=20,
          node=False, strides=False),
    _function("sinc", slack=4), _function("i0", slack=4),
    _function("reciprocal", "nonzero", grad=BOTH),
    OpRow("logit", values=(lambda rng, shape: rng.random(shape),), in_place=True, out=True,
          dtypes=FLOATS, slack=4),
    OpRow("logit_any", lambda t, x: t.logit(x), grad=()),
    OpRow("logit_eps", lambda t, x: t.logit(x, 0.1), dtypes=(*FLOATS, "int64"),
          grad_values=(lambda rng, shape: rng.random(shape),), slack=4),
    _function("abs", "nonzero", grad=BOTH), _function("absolute", grad=()),
    _function("sign", "nonzero", double=False), _function("sgn", "nonzero", grad=BOTH),
    OpRow("signbit", grad=(), out=True),
    _function("floor", double=False), _function("ceil", double=False),
    _function("trunc", double=False), _function("fix", double=False, node=False),
    _function("round", double=False), _function("frac"),
    OpRow("round_decimals", lambda t, x: t.round(x * 10, decimals=1), grad=(), dtypes=ALL),
    OpRow("round_tens", lambda t, x: t.round(x * 10, decimals=-1), grad=(), dtypes=FLOATS),
    _function("nan_to_num", None),
    OpRow("nan_to_num_numbers", lambda t, x: t.nan_to_num(x, 1.5, posinf=2.0, neginf=-3.0)),
    _function("deg2rad", None, node=False), _function("rad2deg", None, node=False),
    OpRow("angle", grad=BOTH, grad_values=("nonzero",), node=False, out=True),
    OpRow("real", node=False, grad=("complex128",)),
    OpRow("imag", node=False, dtypes=("complex64", "complex128"), grad=("complex128",),
          errors=(lambda t: t.imag(t.ones(1)),)),
    OpRow("conj", grad=("complex128",), strides=False, node=False),
    OpRow("conj_physical", out=True, grad=("complex128",), node=False),
    OpRow("frexp", grad=(), dtypes=(*FLOATS, "int64"), values=("real",)),
    OpRow("builtin_abs", lambda t, x: abs(x), grad=()),
    OpRow("special", lambda t, x: [getattr(t.special, n)(x) for n in SPECIAL], node=False, slack=20,
          grad_values=("positive",), dtypes=("float32", "float64", "int64")),
    OpRow("ndtri", lambda t, x: t.special.ndtri(x), node=False, slack=20,
          grad_values=(lambda rng, shape: rng.random(shape),), dtypes=("float32", "float64")),
    OpRow("bessel", lambda t, x: (t.special.bessel_j0(x), t.special.bessel_j1(x)), grad=(),
          slack=20, dtypes=("float32", "int64")),
    OpRow("gammainc", lambda t, a, x: (t.special.gammainc(a, x), t.special.gammaincc(a, x)),
          values=("positive", "positive"), grad=(), slack=20, dtypes=("float32", "float64")),
    OpRow("xlog1py", lambda t, x, y: t.special.xlog1py(x, y), values=("any", "positive"),
          grad_values=("real", "positive"), dtypes=(*FLOATS, "int64")),
]  # fmt: skip

ROWS = [*ARITHMETIC, *FUNCTIONS]
