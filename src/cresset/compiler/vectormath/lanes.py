"""``Lanes``: a value of a kernel, one number or a vector of them, with Python's operators.

Formulas over Lanes read as formulas over numbers and write LLVM IR. Nothing is reassociated or
contracted: ``a * b + c`` rounds twice and ``fma(a, b, c)`` once, and the error terms of the
functions depend on that. Python numbers become constants of the other operand's type.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Union

from cresset.compiler.code import Code, mangle
from cresset.compiler.host import scales_floats

#: Float types with the width of their bits, mantissa (without the leading one) and exponent bias.
FORMATS = {"float": (32, 23, 127), "double": (64, 52, 1023)}

Operand = Union["Lanes", float, int]


class Lanes:
    """``count`` values of an LLVM element type (a plain scalar where ``count`` is 0).

    ``short`` marks a double on the way to a float32 result: half the digits are enough.
    """

    __slots__ = ("code", "element", "count", "register", "short")

    def __init__(
        self, code: Code, element: str, count: int, register: str, short: bool = False
    ) -> None:
        self.code = code
        self.element = element
        self.count = count
        self.register = register
        self.short = short

    @property
    def precision(self) -> str:
        """Which of the polynomials this type needs."""
        return "short" if self.short else self.element

    @property
    def kind(self) -> str:
        """The LLVM type."""
        return f"<{self.count} x {self.element}>" if self.count else self.element

    def like(self, element: str, register: str) -> Lanes:
        """Another value of as many lanes."""
        return Lanes(self.code, element, self.count, register, self.short)

    def constant(self, value: float | int) -> Lanes:
        """``value`` in every lane."""
        one = _literal(self.element, value)
        if not self.count:
            return self.like(self.element, one)
        return self.like(
            self.element, "<" + ", ".join([f"{self.element} {one}"] * self.count) + ">"
        )

    def _as(self, other: Operand) -> Lanes:
        return other if isinstance(other, Lanes) else self.constant(other)

    def _two(self, floating: str, whole: str, other: Operand, swapped: bool = False) -> Lanes:
        a, b = self, self._as(other)
        if swapped:
            a, b = b, a
        name = floating if self.element in FORMATS else whole
        return self.like(
            self.element, self.code.let(f"{name} {self.kind} {a.register}, {b.register}")
        )

    def __add__(self, other: Operand) -> Lanes:
        return self._two("fadd", "add", other)

    __radd__ = __add__

    def __sub__(self, other: Operand) -> Lanes:
        return self._two("fsub", "sub", other)

    def __rsub__(self, other: Operand) -> Lanes:
        return self._two("fsub", "sub", other, swapped=True)

    def __mul__(self, other: Operand) -> Lanes:
        return self._two("fmul", "mul", other)

    __rmul__ = __mul__

    def __truediv__(self, other: Operand) -> Lanes:
        return self._two("fdiv", "sdiv", other)

    def __rtruediv__(self, other: Operand) -> Lanes:
        return self._two("fdiv", "sdiv", other, swapped=True)

    def __neg__(self) -> Lanes:
        if self.element not in FORMATS:
            return 0 - self
        return self.like(self.element, self.code.let(f"fneg {self.kind} {self.register}"))

    # -- whole numbers and conditions --------------------------------------------------------------

    def __and__(self, other: Operand) -> Lanes:
        return self._two("", "and", other)

    def __or__(self, other: Operand) -> Lanes:
        return self._two("", "or", other)

    def __xor__(self, other: Operand) -> Lanes:
        return self._two("", "xor", other)

    def __invert__(self) -> Lanes:
        return self ^ (1 if self.element == "i1" else -1)

    def __lshift__(self, places: int) -> Lanes:
        return self._two("", "shl", places)

    def __rshift__(self, places: int) -> Lanes:
        """The sign is kept."""
        return self._two("", "ashr", places)

    def _compare(self, name: str, other: Operand) -> Lanes:
        b = self._as(other)
        test = f"fcmp {name}" if self.element in FORMATS else f"icmp {name.replace('o', 's', 1)}"
        return self.like("i1", self.code.let(f"{test} {self.kind} {self.register}, {b.register}"))

    def __lt__(self, other: Operand) -> Lanes:
        return self._compare("olt", other)

    def __le__(self, other: Operand) -> Lanes:
        return self._compare("ole", other)

    def __gt__(self, other: Operand) -> Lanes:
        return self._compare("ogt", other)

    def __ge__(self, other: Operand) -> Lanes:
        return self._compare("oge", other)

    def equals(self, other: Operand) -> Lanes:
        """Where two floats, or two whole numbers, are equal."""
        if self.element in FORMATS:
            return self._compare("oeq", other)
        b = self._as(other)
        return self.like("i1", self.code.let(f"icmp eq {self.kind} {self.register}, {b.register}"))

    def unordered(self, other: Operand) -> Lanes:
        """Where one of the two is NaN."""
        return self._compare("uno", other)

    def any(self) -> str:
        """The register of an ``i1``: whether a condition holds in some lane."""
        if not self.count:
            return self.register
        name = f"llvm.vector.reduce.or.v{self.count}i1"
        self.code.declare(f"i1 @{name}({self.kind})")
        return self.code.let(f"call i1 @{name}({self.kind} {self.register})")

    # -- conversions -------------------------------------------------------------------------------

    def _convert(self, name: str, element: str) -> Lanes:
        target = self.like(element, "")
        target.register = self.code.let(f"{name} {self.kind} {self.register} to {target.kind}")
        return target

    def wide(self) -> Lanes:
        """A float as a double."""
        wide = self._convert("fpext", "double")
        wide.short = True
        return wide

    def narrow(self) -> Lanes:
        """A double as a float."""
        narrow = self._convert("fptrunc", "float")
        narrow.short = False
        return narrow

    def bits(self) -> Lanes:
        """The bits of a float as a whole number."""
        return self._convert("bitcast", f"i{FORMATS[self.element][0]}")

    def floats(self) -> Lanes:
        """The float with these bits."""
        return self._convert("bitcast", "float" if self.element == "i32" else "double")

    def number(self) -> Lanes:
        """A whole number as a float of its width."""
        return self._convert("sitofp", "float" if self.element == "i32" else "double")

    def folded(self, lanes: int, join: Callable[[Lanes, Lanes], Lanes]) -> Lanes:
        """As many lanes as given, each what ``join`` makes of those at its distances."""
        total: Lanes | None = None
        for start in range(0, self.count, lanes):
            register = self.code.piece(self.element, self.register, self.count, start, lanes)
            part = Lanes(self.code, self.element, lanes, register, self.short)
            total = part if total is None else join(total, part)
        assert total is not None
        return total

    # -- functions of the processor ----------------------------------------------------------------

    def intrinsic(self, name: str, *others: Operand) -> Lanes:
        """An LLVM intrinsic on values of one type."""
        operands = [self, *[self._as(other) for other in others]]
        name = f"llvm.{name}.{mangle(self.kind)}"
        self.code.declare(f"{self.kind} @{name}({', '.join([self.kind] * len(operands))})")
        given = ", ".join(f"{self.kind} {o.register}" for o in operands)
        return self.like(self.element, self.code.let(f"call {self.kind} @{name}({given})"))

    def sqrt(self) -> Lanes:
        return self.intrinsic("sqrt")

    def with_sign_of(self, other: Lanes) -> Lanes:
        return self.intrinsic("copysign", other)

    def __abs__(self) -> Lanes:
        return self.intrinsic("fabs")

    def scaled(self, n: Lanes) -> Lanes | None:
        """``self * 2**n`` for whole ``n`` that are floats, rounded once; None where the processor
        has no instruction for it."""
        width = min(self.count * FORMATS[self.element][0], 512)
        lanes = width // FORMATS[self.element][0]
        if width not in (128, 256, 512) or self.count % lanes or not scales_floats():
            return None
        c, kind = self.code, f"<{lanes} x {self.element}>"
        bits = f"i{max(lanes, 8)}"
        name = f"llvm.x86.avx512.mask.scalef.p{self.element[0].replace('f', 's')}.{width}"
        rounding = ", i32" if width == 512 else ""
        c.declare(f"{kind} @{name}({kind}, {kind}, {kind}, {bits}{rounding})")
        parts = []
        for start in range(0, self.count, lanes):
            a, b = (c.piece(self.element, x.register, self.count, start, lanes) for x in (self, n))
            parts.append(c.let(
                f"call {kind} @{name}({kind} {a}, {kind} {b}, {kind} {a}, {bits} -1"
                f"{rounding and ', i32 4'})"
            ))  # fmt: skip
        return self.like(self.element, c.join(self.element, parts, lanes))


def _literal(element: str, value: float | int) -> str:
    if element not in FORMATS:
        return str(int(value)) if element != "i1" else ("true" if value else "false")
    if element == "float":
        value = struct.unpack("f", struct.pack("f", value))[0]
    return f"0x{struct.unpack('>Q', struct.pack('>d', value))[0]:016X}"


def fma(a: Lanes, b: Operand, c: Operand) -> Lanes:
    """``a * b + c``, rounded once."""
    return a.intrinsic("fma", b, c)


def select(condition: Lanes, yes: Operand, no: Operand) -> Lanes:
    """``yes`` where the condition holds, else ``no``; one of the two must be Lanes."""
    sample = yes if isinstance(yes, Lanes) else no
    assert isinstance(sample, Lanes)
    a, b = sample._as(yes), sample._as(no)
    return sample.like(
        sample.element,
        sample.code.let(
            f"select {condition.kind} {condition.register}, {a.kind} {a.register}, "
            f"{b.kind} {b.register}"
        ),
    )


def at_least(x: Lanes, low: float) -> Lanes:
    """``max(x, low)``; NaN stays."""
    return select(x < low, low, x)


def at_most(x: Lanes, high: float) -> Lanes:
    """``min(x, high)``; NaN stays."""
    return select(x > high, high, x)


def polynomial(x: Lanes, coefficients: tuple[float, ...]) -> Lanes:
    """``c[0] + c[1] x + ...`` by Horner's rule."""
    total: Operand = coefficients[-1]
    for c in coefficients[-2::-1]:
        total = fma(x, total, c)
    assert isinstance(total, Lanes)
    return total


#: A sum of two values that is not rounded: the larger part first.
Pair = tuple[Lanes, Lanes]


def fast_sum(a: Lanes, b: Lanes) -> Pair:
    """``a + b`` exactly, for ``|a| >= |b|`` or ``a == 0`` (Dekker, 1971)."""
    total = a + b
    return total, (a - total) + b


def exact_sum(a: Lanes, b: Operand) -> Pair:
    """``a + b`` exactly (Knuth, 1969)."""
    total = a + b
    share = total - a
    return total, (a - (total - share)) + (b - share)


def exact_product(a: Lanes, b: Operand) -> Pair:
    """``a * b`` exactly, where nothing under- or overflows."""
    product = a * b
    return product, fma(a, b, -product)


def divide(numerator: Pair, denominator: Pair) -> Pair:
    """The quotient of two pairs, to about twice the precision, with one division."""
    (n, n_low), (d, d_low) = numerator, denominator
    inverse = 1.0 / d
    q = n * inverse
    rest = fma(-q, d, n) + fma(-q, d_low, n_low)
    return q, rest * inverse
