"""How elements of each dtype lie in memory and in registers, and how one becomes another.

In a register an element has the form that is computed with: a bool is an ``i1``, half types are
float32 (rounded to what they can hold), and uint8 is the 16-bit number that it stands for, so that
signed comparisons and divisions are right. Conversions are those of the reference kernels, which
are C's: whole numbers wrap, and a float out of range becomes what this processor makes of it.
"""

from __future__ import annotations

from typing import NamedTuple

from cresset.compiler.code import Code, mangle
from cresset.compiler.host import is_arm, processor
from cresset.compiler.vectormath.lanes import FORMATS, Lanes, select
from cresset.core.call import Call
from cresset.core.spec import Spec


class Element(NamedTuple):
    """The LLVM types of a dtype's elements, and the bytes of one in memory."""

    memory: str
    register: str
    size: int


_TABLE = {
    "bool": Element("i8", "i1", 1),
    "uint8": Element("i8", "i16", 1),
    "int8": Element("i8", "i8", 1),
    "int16": Element("i16", "i16", 2),
    "int32": Element("i32", "i32", 4),
    "int64": Element("i64", "i64", 8),
    "float16": Element("i16", "float", 2),
    "bfloat16": Element("i16", "float", 2),
    "float32": Element("float", "float", 4),
    "float64": Element("double", "double", 8),
}


def _supported() -> dict[str, Element]:
    """Without instructions for it, LLVM calls a library for float16."""
    halves = is_arm() or "+f16c" in processor()[1].split(",")
    return {name: e for name, e in _TABLE.items() if halves or name != "float16"}


#: By the dtype's name. Complex numbers have no place here.
ELEMENTS = _supported()
FLOATS = ("float32", "float64")


def taken_as(call: Call, spec: Spec) -> str:
    """The dtype that an operand is converted to before its kernel sees it, by name."""
    d = call.compute
    if d is None:
        d = call.outs[0].dtype if spec.number is not None else spec.dtype
    return d.compute.name


def width(lanes: int, names: set[str]) -> int:
    """How many elements a vector of values of these dtypes has; ``lanes`` are 32-bit numbers.

    Wider elements fill several registers, so the most frequent width counts, which is 32 bits.
    """
    sizes = {_BITS[ELEMENTS[name].register] for name in names} - {1}
    if 32 in sizes or not sizes:
        return lanes
    return lanes * 32 // max(sizes)


_BITS = {"i1": 1, "i8": 8, "i16": 16, "i32": 32, "i64": 64, "float": 32, "double": 64}


# -- memory ----------------------------------------------------------------------------------------


def raised(x: Lanes, name: str) -> Lanes:
    """From an element as it lies in memory to what is computed with."""
    if name == "bool":
        return ~x.equals(0)
    if name == "uint8":
        return x._convert("zext", "i16")
    if name == "float16":
        return x._convert("bitcast", "half")._convert("fpext", "float")
    if name == "bfloat16":
        return (x._convert("zext", "i32") << 16).floats()
    return x


def lowered(x: Lanes, name: str) -> Lanes:
    """From what is computed with to the element in memory."""
    if name == "bool":
        return x._convert("zext", "i8")
    if name == "uint8":
        return x._convert("trunc", "i8")
    if name == "float16":
        return x._convert("fptrunc", "half")._convert("bitcast", "i16")
    if name == "bfloat16":
        return (x.bits() >> 16)._convert("trunc", "i16")
    return x


def load(c: Code, name: str, lanes: int, used: int, place: str, step: int = 1) -> Lanes:
    """The elements at a place, ``step`` apart; one alone where ``lanes`` is 0."""
    kind = ELEMENTS[name].memory
    if not lanes:
        register = c.load(kind, place)
    elif step == 1:
        register = c.masked_load(kind, lanes, used, place)
    else:
        register = c.gather(kind, lanes, used, step, place)
    return raised(Lanes(c, kind, lanes, register), name)


def store(x: Lanes, name: str, used: int, place: str) -> None:
    """The first ``used`` lanes (or the one value) to a place."""
    kind, value = ELEMENTS[name].memory, lowered(x, name)
    if x.count:
        x.code.masked_store(kind, x.count, used, value.register, place)
    else:
        x.code.store(kind, value.register, place)


# -- conversion ------------------------------------------------------------------------------------


def truth(x: Lanes) -> Lanes:
    """Where a condition holds, or a number is not 0 (NaN is not)."""
    return x if x.element == "i1" else ~x.equals(0)


def converted(x: Lanes, source: str, target: str) -> Lanes:
    """Values of one dtype as another."""
    if source == target:
        return x
    register = ELEMENTS[target].register
    if target == "bool":
        return truth(x)
    if target in ("float16", "bfloat16", *FLOATS):
        return _to_float(x, source, target)
    if x.element in FORMATS:
        x = _whole(x, "i64" if target in ("uint8", "int64") else "i32")
    return _fitted(_resized(x, register), target)


def settled(x: Lanes, name: str) -> Lanes:
    """What arithmetic left in a register as a value of its dtype: bits beyond a uint8 go."""
    return _fitted(x, name) if x.element == "i16" else x


def _fitted(x: Lanes, name: str) -> Lanes:
    return x & 255 if name == "uint8" else x


def _to_float(x: Lanes, source: str, target: str) -> Lanes:
    if x.element in FORMATS:
        register = ELEMENTS[target].register
        if x.element != register:
            x = x._convert("fpext" if register == "double" else "fptrunc", register)
    else:
        register = ELEMENTS[target].register
        x = x._convert("uitofp" if x.element == "i1" else "sitofp", register)
    if target == "float16":
        return x._convert("fptrunc", "half")._convert("fpext", "float")
    if target == "bfloat16":
        bits = x.bits()
        near = (bits + 0x7FFF + ((bits >> 16) & 1)) & -0x10000
        return select(x.unordered(x), 0x7FC00000, near).floats()
    return x


def _whole(x: Lanes, element: str) -> Lanes:
    """A float cut towards zero; what does not fit as the processor has it."""
    if is_arm():
        wide = x.like(element, "").kind
        name = f"llvm.fptosi.sat.{mangle(wide)}.{mangle(x.kind)}"
        x.code.declare(f"{wide} @{name}({x.kind})")
        return x.like(element, x.code.let(f"call {wide} @{name}({x.kind} {x.register})"))
    lowest = -(1 << _BITS[element] - 1)
    fits = (x > lowest - 1.0) & (x < -float(lowest))
    return select(fits, x._convert("fptosi", element), lowest)


def _resized(x: Lanes, register: str) -> Lanes:
    have, want = _BITS[x.element], _BITS[register]
    if have == want:
        return x
    if have > want:
        return x._convert("trunc", register)
    return x._convert("zext" if x.element == "i1" else "sext", register)
