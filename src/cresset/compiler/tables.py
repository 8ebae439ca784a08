"""Rows of a table by their numbers, and the gradient of the table. A number out of range fails."""

from __future__ import annotations

from cresset.compiler.code import TYPES, Code
from cresset.compiler.elements import FLOATS
from cresset.compiler.step import Array, Lowering
from cresset.core.call import Call

#: A row is moved as whole numbers of the element's width.
_WIDTHS = {2: "i16", 4: "i32", 8: "i64", 16: "i128"}


def _row(c: Code, indices: Array, i: str, rows: int) -> str:
    """The number at place ``i``, which must be below ``rows``."""
    kind = "i64" if indices.spec.dtype.name == "int64" else "i32"
    value = c.load(kind, indices.pointer, c.plus(i, indices.spec.offset))
    if kind == "i32":
        value = c.let(f"sext i32 {value} to i64")
    c.fail_if(c.let(f"icmp uge i64 {value}, {rows}"))
    return value


def _fits(indices: Array, *others: Array) -> bool:
    return indices.spec.dtype.name in ("int64", "int32") and all(
        a.spec.contiguous and a.spec.numel for a in (indices, *others)
    )


def lower_embedding(
    call: Call, operands: list[Array], outs: list[Array], lanes: int
) -> Lowering | None:
    """One row after the other."""
    table, indices = operands
    if not _fits(indices, table, *outs):
        return None
    rows, width = table.spec.shape
    kind = _WIDTHS[table.spec.dtype.itemsize]

    def emit(c: Code) -> None:
        with c.share(indices.spec.numel) as i:
            row = _row(c, indices, i, rows)
            source = c.plus(c.times(row, width), table.spec.offset)
            line = c.at(kind, table.pointer, source)
            target = c.at(kind, outs[0].pointer, c.times(i, width))
            with c.loop(width) as j:
                c.store(kind, c.load(kind, line, j), target, j)

    return Lowering(emit, pieces=indices.spec.numel)


def lower_embedding_backward(
    call: Call, operands: list[Array], outs: list[Array], lanes: int
) -> Lowering | None:
    """Every gradient is added to the row that was read, but for the row of padding."""
    g, indices = operands
    rows, padding, by_frequency = call.params
    if by_frequency or not _fits(indices, g, *outs) or g.spec.dtype.name not in FLOATS:
        return None
    kind = TYPES[g.spec.dtype.name]
    width = g.spec.shape[-1]

    def clear(c: Code) -> None:
        with c.share(rows) as row, c.loop(width) as j:
            c.store(kind, "0.0", outs[0].pointer, c.plus(c.times(row, width), j))

    def emit(c: Code) -> None:
        # Each piece has some of the columns, so that rows named twice are added up in order.
        low, high = ("0", str(width)) if c.pieces == 1 else c.bounds(width)
        with c.loop(indices.spec.numel) as i:
            row = _row(c, indices, i, rows)
            line = c.at(kind, g.pointer, c.plus(c.times(i, width), g.spec.offset))
            target = c.at(kind, outs[0].pointer, c.times(row, width))
            with c.when(c.let(f"icmp ne i64 {row}, {padding}")), c.span(low, high) as j:
                total = c.let(f"fadd {kind} {c.load(kind, target, j)}, {c.load(kind, line, j)}")
                c.store(kind, total, target, j)

    return Lowering(emit, prepare=clear, pieces=width)
