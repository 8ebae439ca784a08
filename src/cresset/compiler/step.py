"""What a lowering gets and gives: arrays behind pointers, and code to emit."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from cresset.compiler.code import Code
from cresset.compiler.elements import converted
from cresset.compiler.vectormath.lanes import Lanes
from cresset.core.call import Call
from cresset.core.spec import Spec
from cresset.core.spec import spec as make_spec


class Array(NamedTuple):
    """An operand or output inside a kernel: where it lies and how it is laid out."""

    pointer: str
    spec: Spec
    #: What made an operand, where a step of the plan did.
    maker: Call | None = None

    def viewed(self, shape: tuple[int, ...], stride: tuple[int, ...]) -> Array:
        """The same memory in another geometry."""
        own = self.spec
        return self._replace(spec=make_spec(own.dtype, shape, stride, own.offset, own.device))

    def flat(self) -> Array:
        """A row-major array as one dimension."""
        return self.viewed((self.spec.numel,), (1,))

    def base(self, c: Code, kind: str = "float") -> str:
        """Where the first element lies."""
        return c.at(kind, self.pointer, self.spec.offset)

    def number(self, c: Code, kind: str) -> str:
        """The value of a number operand (numbers travel as doubles), in a float type."""
        value = c.load("double", self.pointer)
        return value if kind == "double" else c.let(f"fptrunc double {value} to {kind}")

    def whole(self, c: Code, kind: str) -> str:
        """The value of a number operand that travels as an int64, as an integer dtype has it."""
        value = Lanes(c, "i64", 0, c.load("i64", self.pointer))
        return converted(value, "int64", kind).register


class Lowering(NamedTuple):
    """How a step becomes code."""

    emit: Callable[[Code], None]
    #: Bytes of scratch memory per piece; their pointer is ``%scratch``.
    scratch: int = 0
    #: (output, operand) pairs whose memory may be one.
    pairs: tuple[tuple[int, int], ...] = ()
    #: Into how many pieces the work can be cut that touch different outputs (``Code.share``).
    pieces: int = 1
    #: Floating point operations (0: what moves in memory decides how long the step takes).
    flops: int = 0
    #: What is done before any piece begins (in as many pieces), and the bytes that it leaves for
    #: all of them behind ``%shared``.
    prepare: Callable[[Code], None] | None = None
    shared: int = 0
    #: The code may refuse values though its op does not say so.
    fails: bool = False
    #: Refuses what the code would refuse, by a look at these operands alone. Where no step of the
    #: plan makes them, that is done before anything else, and the step itself cannot fail.
    inspect: Callable[[Code], None] | None = None
    inspected: tuple[int, ...] = ()
    #: Which operands are numbers that are read as whole ones (``Array.whole``).
    whole: tuple[int, ...] = ()
    #: More of what is done one after the other, each cut into pieces: in front of ``prepare``, and
    #: behind ``emit``. Like those two, each is a function of its own name.
    first: tuple[Callable[[Code], None], ...] = ()
    last: tuple[Callable[[Code], None], ...] = ()
    #: Where an output lies over its operand: the bytes in front of what the code writes. Its
    #: pointer is moved by them, so that writes into one tensor are one kernel.
    start: int = 0

    def stages(self) -> list[Callable[[Code], None]]:
        """All of it in order."""
        prepare = () if self.prepare is None else (self.prepare,)
        return [*self.first, *prepare, self.emit, *self.last]
