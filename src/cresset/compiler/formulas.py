"""What elementwise ops do to one element, as formulas over ``Lanes``.

A formula is written as its reference kernel is, operation by operation, so that what is exact there
(sums, products, roots) is the same bits here; functions like exp differ by a unit or two in the
last place. Python numbers among the operands are ``Number``: the same in every lane.

As in the kernels, operands are first converted to the dtype that the op computes in, and its result
is rounded to the dtype of the output. What is in ``WHOLE`` works on whole numbers too; bools are
computed with as 0 and 1, but by the ops that are about truth.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from cresset.compiler import vectormath
from cresset.compiler.activations import LONG, SHORT, gelu, share_of_choice
from cresset.compiler.activations import larger as larger_float
from cresset.compiler.activations import smaller as smaller_float
from cresset.compiler.code import Code
from cresset.compiler.divisions import DIVISIONS
from cresset.compiler.elements import ELEMENTS, FLOATS, converted, settled, taken_as, truth
from cresset.compiler.specials import SHIFTS, SINGLE, SPECIAL, WITH_PARAMS
from cresset.compiler.vectormath.lanes import FORMATS, Lanes, select
from cresset.core.call import Call


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
    if x.element not in FORMATS:
        return _whole_pow(x, y)
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


def _whole_pow(x: Lanes, y: Number) -> Lanes:
    """By repeated squares, a digit of the exponent at a time. 1 and -1 have inverses."""
    c, width = x.code, int(x.element[1:])
    squares, powers, left = c.slot(x.kind), c.slot(x.kind), c.slot(x.element)
    c.set(x.kind, squares, x.register)
    c.set(x.kind, powers, x.constant(1).register)
    c.set(x.element, left, y.scalar)
    exponent = Lanes(c, x.element, 0, y.scalar)
    name = f"llvm.ctlz.{x.element}"
    c.declare(f"{x.element} @{name}({x.element}, i1)")
    empty = c.let(f"call {x.element} @{name}({x.element} {(exponent | 1).register}, i1 false)")
    digits = converted(width - Lanes(c, x.element, 0, empty), f"int{width}", "int64")
    with c.loop(digits.register):
        square, power = (x.like(x.element, c.get(x.kind, slot)) for slot in (squares, powers))
        rest = exponent.like(x.element, c.get(x.element, left))
        odd = (rest & 1).equals(1).register
        grown = (power * square).register
        c.set(
            x.kind, powers, c.let(f"select i1 {odd}, {x.kind} {grown}, {x.kind} {power.register}")
        )
        c.set(x.kind, squares, (square * square).register)
        c.set(x.element, left, (rest >> 1).register)
    power = x.like(x.element, c.get(x.kind, powers))
    inverse = select(x.equals(1) | (x.equals(-1) & (y & 1).equals(0)), x.constant(1), 0)
    inverse = select(x.equals(-1) & (y & 1).equals(1), x.constant(-1), inverse)
    return select(y < 0, inverse, power)


def divides(call: Call) -> bool:
    """Whether an op on whole numbers is refused where its second operand is 0."""
    return call.op.name in DIVISIONS and taken_as(call, call.specs[1]) not in FLOATS


def larger(a: Lanes, b: Lanes) -> Lanes:
    """NaN if one of them is."""
    return larger_float(a, b) if a.element in FORMATS else a.intrinsic("smax", b)


def smaller(a: Lanes, b: Lanes) -> Lanes:
    return smaller_float(a, b) if a.element in FORMATS else a.intrinsic("smin", b)


def sign(x: Lanes) -> Lanes:
    """-1, 0 or 1; 0 for NaN."""
    return select(x > 0, x.constant(1), select(x < 0, x.constant(-1), 0))


def _plain(function: Callable[..., Lanes]) -> Callable[..., Lanes]:
    return lambda params, *x: function(*x)


#: On numbers of every kind.
_NUMBERS: dict[str, Callable[..., Lanes]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "neg": lambda x: -x,
    "abs": lambda x: abs(x) if x.element in FORMATS else larger(x, -x),
    "sign": sign,
    "sgn": sign,
    "fill": lambda x: x,
    "fill_like": lambda x, value: value,
    "clone": lambda x: x,
    "copy": lambda x: x,
    "cast": lambda x: x,
    "pow_2": lambda x: x * x,
    "relu": lambda x: select(x <= 0, 0, x),
    "maximum": larger,
    "minimum": smaller,
    "clamp_min": larger,
    "clamp_max": smaller,
    "clamp": lambda x, low, high: smaller(larger(x, low), high),
    "eq": lambda a, b: a.equals(b),
    "ne": lambda a, b: ~a.equals(b),
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
    "zero_where_zero": lambda c, x: select(c.equals(0), 0, x),
    "addcmul": lambda x, a, b, value: x + value * a * b,
}
_EXACT: dict[str, Callable[..., Lanes]] = {
    "relu_backward": lambda g, y: select(y <= 0.0, 0.0, g),
    "tanh_backward": lambda g, y: g * (1.0 - y * y),
    "sigmoid_backward": lambda g, y: g * ((1.0 - y) * y),
    "isnan": lambda x: x.unordered(x),
    "isinf": lambda x: abs(x).equals(float("inf")),
    "isposinf": lambda x: x.equals(float("inf")),
    "isneginf": lambda x: x.equals(-float("inf")),
    "isfinite": lambda x: abs(x) < float("inf"),
    "signbit": lambda x: x.bits() < 0,
    "mse_loss": lambda x, y: (x - y) * (x - y),
}
_SLOWER: dict[str, Callable[..., Lanes]] = {
    "div": lambda a, b: a / b,
    "sqrt": lambda x: x.sqrt(),
    "rsqrt": lambda x: 1.0 / x.sqrt(),
    "reciprocal": lambda x: 1.0 / x,
}
_FUNCTIONS: dict[str, Callable[..., Lanes]] = {
    name: vectormath.FUNCTIONS[name]
    for name in (
        "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sin", "cos", "tan", "asin",
        "acos", "atan", "atan2", "sinh", "cosh", "tanh", "sigmoid", "erf", "erfc", "silu",
    )
}  # fmt: skip

#: About truth: bools stay what they are.
_ON_BOOLS: dict[str, Callable[..., Lanes]] = {
    "where": select,
    "masked_fill": lambda x, c, value: select(c, value, x),
    "put_where": lambda x, c, value: select(c, value, x),
    "bitwise_and": lambda a, b: a & b,
    "bitwise_or": lambda a, b: a | b,
    "bitwise_xor": lambda a, b: a ^ b,
    "bitwise_not": lambda x: ~x,
    "logical_and": lambda a, b: a & b,
    "logical_or": lambda a, b: a | b,
    "logical_xor": lambda a, b: a ^ b,
    "logical_not": lambda x: ~x,
}
#: Which operand says where.
_CONDITION = {"where": 0, "masked_fill": 1, "put_where": 1}

#: Ops that work on whole numbers and bools.
WHOLE = {*_NUMBERS, *_ON_BOOLS, *DIVISIONS, *SHIFTS, "pow"}
#: Ops whose result is a condition.
_CONDITIONS = {
    "eq", "ne", "lt", "le", "gt", "ge", "isnan", "isinf", "isposinf", "isneginf", "isfinite",
    "signbit", *(name for name in _ON_BOOLS if name.startswith("logical")),
}  # fmt: skip

#: Every op with a formula.
FORMULAS: dict[str, Formula] = {
    **{name: Formula(_plain(row), 1) for name, row in {**_NUMBERS, **_EXACT, **_ON_BOOLS}.items()},
    **{name: Formula(_plain(row), 3) for name, row in SHORT.items()},
    **{name: Formula(_plain(row), 8) for name, row in _SLOWER.items()},
    **{name: Formula(_plain(row), 40) for name, row in _FUNCTIONS.items()},
    **{name: Formula(_plain(row), 60) for name, row in LONG.items()},
    **{name: Formula(_plain(row), 30) for name, row in DIVISIONS.items()},
    **{name: Formula(_plain(row), 1) for name, row in SHIFTS.items()},
    **{name: Formula(_plain(row), 80) for name, row in {**SPECIAL, **SINGLE}.items()},
    **{name: Formula(row, 40) for name, row in WITH_PARAMS.items()},
    "gelu": Formula(gelu, 60),
    "share_of_choice": Formula(share_of_choice, 3),
    "pow": Formula(_pow, 80),
}


def takes(call: Call) -> bool:
    """Whether there is a formula for an op at these dtypes."""
    name = call.op.name
    if name not in FORMULAS or (name == "mse_loss" and call.params != ("none",)):
        return False
    if any(s.number is None and s.dtype.name not in ELEMENTS for s in (*call.specs, call.outs[0])):
        return False
    if name == "cast":
        return True
    kinds = {taken_as(call, s) for i, s in enumerate(call.specs) if i != _CONDITION.get(name)}
    if len(kinds - {"bool"}) > 1:
        return False  # the kernel brings them together itself
    floating = all(kind in FLOATS for kind in kinds)
    if not floating and (name not in WHOLE or kinds & set(FLOATS)):
        return False
    if (name in DIVISIONS or name in SHIFTS) and "bool" in kinds:
        return False
    if (name in SHIFTS and floating) or (name in SINGLE and kinds != {"float32"}):
        return False
    if not floating and name == "pow" and call.specs[1].number is None:
        return False
    most = 2 if floating else 1
    return all(s.number is None or s.number <= most for s in call.specs)


def apply(call: Call, operands: list[Lanes], names: list[str]) -> Lanes:
    """What an op makes of its operands (of these dtypes): values of its output's dtype."""
    name, target = call.op.name, call.outs[0].dtype.name
    if name == "cast":
        return converted(operands[0], names[0], target)
    kinds = [taken_as(call, s) for s in call.specs]
    kind = next((k for i, k in enumerate(kinds) if i != _CONDITION.get(name)), kinds[0])
    if kind == "bool" and name not in _ON_BOOLS:
        kind = "int8"  # as 0 and 1
    given = []
    for i, x in enumerate(operands):
        if name.startswith("logical") or i == _CONDITION.get(name):
            given.append(truth(x))
        else:
            number = isinstance(x, Number)
            same = number and kinds[i] == kind  # and stays a Number
            given.append(x if same else converted(x, kinds[i] if number else names[i], kind))
    result = FORMULAS[name].apply(call.params, *given)
    if name in _CONDITIONS:
        return converted(result, "bool", target)
    return converted(settled(result, kind), kind, target)
