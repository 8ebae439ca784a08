"""What sums and their kin do: from many elements to one, in partial results that are joined.

A fold's partial results may be taken in any order; only sums, products and norms of floats depend
on it, by rounding.
"""

from __future__ import annotations

import math

from cresset.compiler.activations import larger as _larger
from cresset.compiler.activations import smaller as _smaller
from cresset.compiler.code import Code, mangle, mask
from cresset.compiler.elements import ELEMENTS, FLOATS, converted, taken_as, truth
from cresset.compiler.vectormath.lanes import FORMATS, Lanes, select
from cresset.core.call import Call

#: Per op the name that LLVM has for joining the lanes of a vector of floats, and of whole numbers.
_JOIN = {
    "sum": ("fadd", "add"),
    "mean": ("fadd", "add"),
    "nansum": ("fadd", "add"),
    "linalg_vector_norm": ("fadd", "add"),
    "prod": ("fmul", "mul"),
    "amax": ("fmaximum", "smax"),
    "max": ("fmaximum", "smax"),
    "amin": ("fminimum", "smin"),
    "min": ("fminimum", "smin"),
    "all": ("and", "and"),
    "any": ("or", "or"),
}
FOLDS = tuple(_JOIN)
#: What the norms of an order other than 2 fold the sizes of elements with.
_NORMS = {1: "sum", 0: "sum", math.inf: "amax", -math.inf: "amin"}
#: Their result does not depend on the order at all.
_EXACT = ("amax", "max", "amin", "min", "all", "any")


class Fold:
    """The fold that a Call is, over ``count`` elements each."""

    def __init__(self, call: Call, count: int) -> None:
        self.name, self.count = call.op.name, count
        #: The order of a norm that is not the usual one: then it is a fold by another name.
        self.order = call.params[0] if self.name == "linalg_vector_norm" else None
        if self.order in _NORMS:
            self.name = _NORMS[self.order]
        self.source, self.target = call.specs[0].dtype.name, call.outs[0].dtype.name
        self.kind = "bool" if self.name in ("all", "any") else taken_as(call, call.specs[0])
        if self.kind == "bool" and self.name not in ("all", "any"):
            self.kind = "int8"
        #: The LLVM type of partial results.
        self.element = ELEMENTS[self.kind].register

    @property
    def exact(self) -> bool:
        """Whether rounding never depends on how many elements there are."""
        return self.name in _EXACT or self.element not in FORMATS

    def start(self) -> float | int:
        """What changes nothing."""
        if self.name in ("amax", "max", "amin", "min"):
            low: float | int = -float("inf")
            high = float("inf")
            if self.element not in FORMATS:
                low = -(1 << int(self.element[1:]) - 1)
                high = -1 - low
            return low if self.name in ("amax", "max") else high
        return 1 if self.name in ("prod", "all") else 0

    def term(self, x: Lanes) -> Lanes:
        """An element (of the operand's dtype) as it enters."""
        x = truth(x) if self.kind == "bool" else converted(x, self.source, self.kind)
        if self.order == 0:
            return select(x.equals(0.0), x.constant(0.0), 1.0)
        if self.order in _NORMS:
            return abs(x)
        if self.name == "nansum":
            return select(x.unordered(x), 0.0, x)
        return x * x if self.name == "linalg_vector_norm" else x

    def join(self, a: Lanes, b: Lanes) -> Lanes:
        if self.name == "all":
            return a & b
        if self.name == "any":
            return a | b
        if self.name == "prod":
            return a * b
        if self.name in ("amax", "max"):
            return _larger(a, b) if self.element in FORMATS else a.intrinsic("smax", b)
        if self.name in ("amin", "min"):
            return _smaller(a, b) if self.element in FORMATS else a.intrinsic("smin", b)
        return a + b

    def total(self, c: Code, parts: list[Lanes]) -> Lanes:
        """One value from vectors of partial results."""
        while len(parts) > 1:
            pairs = zip(parts[0::2], parts[1::2], strict=True)
            parts = [self.join(a, b) for a, b in pairs]
        (whole,) = parts
        if not whole.count:
            return whole
        kind, name = whole.kind, _JOIN[self.name][self.element not in FORMATS]
        one = Lanes(c, self.element, 0, "")
        if name == "fadd":
            one.register = c.reduce_add(self.element, whole.count, whole.register)
            return one
        name = f"llvm.vector.reduce.{name}"
        given = f"{kind} {whole.register}"
        if name.endswith("fmul"):
            given, kind = f"{self.element} 1.0, {given}", f"{self.element}, {kind}"
        suffix = mangle(whole.kind)
        c.declare(f"{self.element} @{name}.{suffix}({kind})")
        flags = "reassoc " if name.endswith("fmul") else ""
        one.register = c.let(f"call {flags}{self.element} @{name}.{suffix}({given})")
        return one

    def finish(self, total: Lanes) -> Lanes:
        """The result, in the output's dtype; of one value or of many side by side."""
        if self.name == "mean":
            total = total / float(self.count)
        elif self.name == "linalg_vector_norm":
            total = total.sqrt()
        return converted(total, self.kind, self.target)


class Total:
    """A vector of partial results as it grows."""

    def __init__(self, c: Code, fold: Fold, lanes: int) -> None:
        self.c, self.fold = c, fold
        self.vector = Lanes(c, fold.element, lanes, "").constant(fold.start())
        self.slot = c.slot(self.vector.kind, self.vector.register)

    def value(self) -> Lanes:
        return self.vector.like(self.fold.element, self.c.get(self.vector.kind, self.slot))

    def add(self, x: Lanes, used: int) -> None:
        term, lanes = self.fold.term(x), self.vector.count
        if used < lanes:
            term = select(Lanes(self.c, "i1", lanes, mask(lanes, used)), term, self.fold.start())
        self.c.set(term.kind, self.slot, self.fold.join(self.value(), term).register)


def fold_of(call: Call) -> bool:
    """Whether there is a fold for an op at these dtypes."""
    name = call.op.name
    if name not in FOLDS or len(call.outs) != 1:
        return False
    if any(s.dtype.name not in ELEMENTS for s in (call.specs[0], call.outs[0])):
        return False
    if name in ("mean", "nansum", "linalg_vector_norm"):
        return taken_as(call, call.specs[0]) in FLOATS
    return True


def folded_dims(call: Call) -> tuple[int, ...] | None:
    """The dimensions a fold goes over, in order; None if it is none that is known."""
    shape, params = call.specs[0].shape, call.params
    if call.op.name == "linalg_vector_norm":
        if params[0] != 2 and params[0] not in _NORMS:
            return None
        params = params[1:]
    if isinstance(params[0], int):
        return None
    return tuple(sorted(d % len(shape) for d in params[0])) if len(shape) else ()
