"""What elementwise ops do to one element, as formulas over ``Lanes``.

A formula is written as its reference kernel is, operation by operation, so that what is exact there
(sums, products, roots) is the same bits here; functions like exp differ by a unit or two in the
last place. Python numbers among the operands are ``Number``: the same in every lane.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from cresset.compiler import vectormath
from cresset.compiler.code import Code
from cresset.compiler.vectormath.lanes import Lanes, select


class Number(Lanes):
    """A number of the program, known when the plan runs: ``scalar`` is its register."""

    __slots__ = ("scalar",)

    def __init__(self, code: Code, element: str, count: int, register: str, scalar: str) -> None:
        super().__init__(code, element, count, register)
        self.scalar = scalar


class Formula(NamedTuple):
    """``apply(params, *operands)``, and how many operations that is, roughly."""

    apply: Callable[..., Lanes]
    cost: int


def _pow(params: tuple, x: Lanes, y: Lanes) -> Lanes:
    if not isinstance(y, Number):
        return vectormath.FUNCTIONS["pow"](x, y)
    c, one = x.code, y.element
    place = c.slot(x.kind)
    special: list[tuple[float, Callable[[], Lanes]]] = [
        (0.5, x.sqrt), (-0.5, lambda: 1.0 / x.sqrt()), (3.0, lambda: x * x * x),
    ]  # fmt: skip
    other = "true"
    for exponent, root in special:
        hit = c.let(f"fcmp oeq {one} {y.scalar}, {exponent}")
        other = c.let(f"select i1 {hit}, i1 false, i1 {other}")
        with c.when(hit):
            c.set(x.kind, place, root().register)
    with c.when(other):
        c.set(x.kind, place, vectormath.FUNCTIONS["pow"](x, y).register)
    return x.like(x.element, c.get(x.kind, place))


def _relu(params: tuple, x: Lanes) -> Lanes:
    return select(x <= 0.0, 0.0, x)


def _gelu(params: tuple, x: Lanes) -> Lanes:
    """In float32 as the kernel has it. The form that keeps its digits far out works in float64."""
    if x.element == "double":
        return vectormath.gelu_tanh(x) if params[0] == "tanh" else vectormath.gelu(x)
    if params[0] == "tanh":
        inner = (x + x * 0.044715 * x * x) * math.sqrt(2 / math.pi)
        return x * 0.5 * (vectormath.FUNCTIONS["tanh"](inner) + 1.0)
    return x * 0.5 * (vectormath.FUNCTIONS["erf"](x * math.sqrt(0.5)) + 1.0)


def _hardtanh(params: tuple, x: Lanes, low: Lanes, high: Lanes) -> Lanes:
    raised = select(x < low, low, x)
    return select(raised > high, high, raised)


def _hardtanh_backward(params: tuple, g: Lanes, x: Lanes, low: Lanes, high: Lanes) -> Lanes:
    return select((x <= low) | (x >= high), 0.0, g)


def _leaky_relu(params: tuple, x: Lanes, slope: Lanes) -> Lanes:
    return select(x > 0.0, x, x * slope)


def larger(a: Lanes, b: Lanes) -> Lanes:
    """NaN if one of them is."""
    return select((a >= b) | a.unordered(a), a, b)


def smaller(a: Lanes, b: Lanes) -> Lanes:
    return select((a <= b) | a.unordered(a), a, b)


def sign(x: Lanes) -> Lanes:
    """-1, 0 or 1; NaN stays."""
    return select(x > 0.0, 1.0, select(x < 0.0, -1.0, select(x.equals(0.0), 0.0, x)))


def _truth(x: Lanes) -> Lanes:
    """Where a condition holds, or a number is not 0."""
    return x if x.element == "i1" else ~x.equals(0.0)


def _float(x: Lanes, like: str) -> Lanes:
    return x._convert("uitofp", like) if x.element == "i1" else x


def _plain(function: Callable[..., Lanes]) -> Callable[..., Lanes]:
    return lambda params, *x: function(*x)


_EXACT: dict[str, Callable[..., Lanes]] = {
    "add": lambda p, a, b: a + b,
    "sub": lambda p, a, b: a - b,
    "mul": lambda p, a, b: a * b,
    "neg": lambda p, x: -x,
    "abs": lambda p, x: abs(x),
    "fill": lambda p, x: x,
    "fill_like": lambda p, x, value: value,
    "clone": lambda p, x: x,
    "copy": lambda p, x: x,
    "pow_2": lambda p, x: x * x,
    "relu": _relu,
    "relu_backward": lambda p, g, y: select(y <= 0.0, 0.0, g),
    "leaky_relu": _leaky_relu,
    "leaky_relu_backward": lambda p, g, x, slope: select(x > 0.0, g, g * slope),
    "hardtanh": _hardtanh,
    "hardtanh_backward": _hardtanh_backward,
    "tanh_backward": lambda p, g, y: g * (1.0 - y * y),
    "sigmoid_backward": lambda p, g, y: g * ((1.0 - y) * y),
    "maximum": _plain(larger),
    "minimum": _plain(smaller),
    "clamp_min": _plain(larger),
    "clamp_max": _plain(smaller),
    "clamp": lambda p, x, low, high: smaller(larger(x, low), high),
    "eq": lambda p, a, b: a.equals(b),
    "ne": lambda p, a, b: ~a.equals(b),
    "lt": lambda p, a, b: a < b,
    "le": lambda p, a, b: a <= b,
    "gt": lambda p, a, b: a > b,
    "ge": lambda p, a, b: a >= b,
    "isnan": lambda p, x: x.unordered(x),
    "cast": lambda p, x: x,
    "addcmul": lambda p, x, a, b, value: x + value * a * b,
    "zero_where_zero": lambda p, c, x: select(c.equals(0.0), 0.0, x),
}
_SLOWER: dict[str, Callable[..., Lanes]] = {
    "div": lambda p, a, b: a / b,
    "sqrt": lambda p, x: x.sqrt(),
    "rsqrt": lambda p, x: 1.0 / x.sqrt(),
    "reciprocal": lambda p, x: 1.0 / x,
}
_FUNCTIONS: dict[str, Callable[..., Lanes]] = {
    name: _plain(vectormath.FUNCTIONS[name])
    for name in (
        "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sin", "cos", "tan", "asin",
        "acos", "atan", "atan2", "sinh", "cosh", "tanh", "sigmoid", "erf", "erfc", "silu",
    )
}  # fmt: skip

#: Ops that take bools as they are; to the others they are 0.0 and 1.0.
_ON_BOOLS: dict[str, Callable[..., Lanes]] = {
    "where": lambda p, c, a, b: select(_truth(c), a, b),
    "masked_fill": lambda p, x, c, value: select(_truth(c), value, x),
    "bitwise_and": lambda p, a, b: a & b,
    "bitwise_or": lambda p, a, b: a | b,
    "bitwise_xor": lambda p, a, b: a ^ b,
    "bitwise_not": lambda p, x: ~x,
    "logical_and": lambda p, a, b: _truth(a) & _truth(b),
    "logical_or": lambda p, a, b: _truth(a) | _truth(b),
    "logical_xor": lambda p, a, b: _truth(a) ^ _truth(b),
    "logical_not": lambda p, x: ~_truth(x),
}


def apply(name: str, params: tuple, operands: list[Lanes], kind: str, truth: bool) -> Lanes:
    """What an op makes of its operands: a float of type ``kind``, or (``truth``) a condition."""
    if name == "cast":
        return _truth(operands[0]) if truth else _float(operands[0], kind)
    if name not in _ON_BOOLS:
        operands = [_float(x, kind) for x in operands]
    elif name in ("where", "masked_fill") and not truth:
        operands = [x if i == _CONDITION[name] else _float(x, kind) for i, x in enumerate(operands)]
    return FORMULAS[name].apply(params, *operands)


#: Ops whose result may be a bool.
CONDITIONS = {"eq", "ne", "lt", "le", "gt", "ge", "isnan", "cast", *_ON_BOOLS}

#: Which operand says where.
_CONDITION = {"where": 0, "masked_fill": 1}

#: Every op with a formula.
FORMULAS: dict[str, Formula] = {
    **{name: Formula(row, 1) for name, row in {**_EXACT, **_ON_BOOLS}.items()},
    **{name: Formula(row, 8) for name, row in _SLOWER.items()},
    **{name: Formula(row, 40) for name, row in _FUNCTIONS.items()},
    "gelu": Formula(_gelu, 60),
    "pow": Formula(_pow, 80),
}
