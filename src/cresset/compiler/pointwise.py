"""Elementwise steps as loops over the output, left to LLVM to vectorise.

A row of ``ROWS`` says what an op does to one element, in the dtype it computes in. Exact ops only:
what is here gives the reference kernel's bits.
"""

from __future__ import annotations

from collections.abc import Callable

from cresset.compiler.code import TYPES, Code
from cresset.compiler.step import Array, Lowering
from cresset.core.call import Call

Row = Callable[[Code, str, list[str]], str]


def _binary(name: str) -> Row:
    return lambda c, kind, x: c.let(f"{name} {kind} {x[0]}, {x[1]}")


def _unary(name: str) -> Row:
    def row(c: Code, kind: str, x: list[str]) -> str:
        suffix = {"float": "f32", "double": "f64"}[kind]
        c.declare(f"{kind} @llvm.{name}.{suffix}({kind})")
        return c.let(f"call {kind} @llvm.{name}.{suffix}({kind} {x[0]})")

    return row


def _relu(c: Code, kind: str, x: list[str]) -> str:
    # A NaN stays, and so does -0.0 become 0.0: as numpy.maximum(x, 0).
    above = c.let(f"fcmp ule {kind} {x[0]}, 0.0")
    nan = c.let(f"fcmp uno {kind} {x[0]}, 0.0")
    zero = c.let(f"select i1 {above}, {kind} 0.0, {kind} {x[0]}")
    return c.let(f"select i1 {nan}, {kind} {x[0]}, {kind} {zero}")


def _relu_backward(c: Code, kind: str, x: list[str]) -> str:
    below = c.let(f"fcmp ole {kind} {x[1]}, 0.0")
    return c.let(f"select i1 {below}, {kind} 0.0, {kind} {x[0]}")


def _square(c: Code, kind: str, x: list[str]) -> str:
    return c.let(f"fmul {kind} {x[0]}, {x[0]}")


#: What an op makes of its operands, all of one float type.
ROWS: dict[str, Row] = {
    "add": _binary("fadd"), "sub": _binary("fsub"), "mul": _binary("fmul"), "div": _binary("fdiv"),
    "neg": lambda c, kind, x: c.let(f"fneg {kind} {x[0]}"),
    "relu": _relu, "relu_backward": _relu_backward, "pow_2": _square,
    "sqrt": _unary("sqrt"), "abs": _unary("fabs"),
    "fill": lambda c, kind, x: x[0],
}  # fmt: skip


def lower(call: Call, operands: list[Array], outs: list[Array], lanes: int) -> Lowering | None:
    """One loop nest over the output; None for dtypes that have no row."""
    row = ROWS.get(call.op.name)
    out = outs[0].spec
    if row is None or out.dtype.name not in ("float32", "float64") or out.numel == 0:
        return None
    for operand in operands:
        if operand.spec.number is None and operand.spec.dtype is not out.dtype:
            return None
        if operand.spec.number is not None and operand.spec.number not in (1, 2):
            return None

    def emit(c: Code) -> None:
        kind = TYPES[out.dtype.name]
        loops(c, operands, outs[0], lambda values: row(c, kind, values))

    return Lowering(emit)


def loops(c: Code, operands: list[Array], out: Array, body: Callable[[list[str]], str]) -> None:
    """Loop over the output's elements, in few nested loops; operands are broadcast."""
    shape = tuple(out.spec.shape)
    strides = [broadcast_stride(a, shape) for a in operands]
    dims = collapse(shape, [tuple(out.spec.stride), *[s for s in strides if s is not None]])
    kind = TYPES[out.spec.dtype.name]
    numbers = [
        a.number(c, kind) if s is None else "" for a, s in zip(operands, strides, strict=True)
    ]

    def nest(level: int, offsets: list[str]) -> None:
        if level == len(dims):
            values = []
            k = 1
            for a, s, number in zip(operands, strides, numbers, strict=True):
                if s is None:
                    values.append(number)
                else:
                    values.append(c.load(kind, a.pointer, c.plus(offsets[k], a.spec.offset)))
                    k += 1
            c.store(kind, body(values), out.pointer, c.plus(offsets[0], out.spec.offset))
            return
        count, steps = dims[level]
        with c.loop(count) as i:
            nest(level + 1, [c.plus(o, c.times(i, s)) for o, s in zip(offsets, steps, strict=True)])

    nest(0, ["0"] * (1 + sum(s is not None for s in strides)))


def broadcast_stride(a: Array, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """An operand's strides over ``shape``: 0 where it is broadcast; None for a number."""
    if a.spec.number is not None:
        return None
    own = tuple(a.spec.shape)
    lead = len(shape) - len(own)
    return (0,) * lead + tuple(
        0 if n == 1 and m != 1 else s
        for n, m, s in zip(own, shape[lead:], a.spec.stride, strict=True)
    )


def collapse(
    shape: tuple[int, ...], strides: list[tuple[int, ...]]
) -> list[tuple[int, tuple[int, ...]]]:
    """Loops as (count, step per array): neighbouring dimensions joined where all arrays allow."""
    dims: list[tuple[int, tuple[int, ...]]] = []
    for d, n in enumerate(shape):
        steps = tuple(s[d] for s in strides)
        if n == 1:
            continue
        if dims and all(a == b * n for a, b in zip(dims[-1][1], steps, strict=True)):
            dims[-1] = (dims[-1][0] * n, steps)
        else:
            dims.append((n, steps))
    return dims
