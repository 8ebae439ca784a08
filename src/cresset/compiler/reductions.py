"""Sums and means over dimensions."""

from __future__ import annotations

from cresset.compiler.code import Code
from cresset.compiler.step import Array, Lowering
from cresset.core.call import Call


def _float(*arrays: Array) -> bool:
    return all(a.spec.dtype.name == "float32" and a.spec.numel for a in arrays)


def lower_sum(call: Call, operands: list[Array], outs: list[Array], lanes: int) -> Lowering | None:
    """Partial sums per lane where the summed dimension is the last, else one sum per output."""
    return _lower_total(call, operands, outs, lanes, 1)


def lower_mean(call: Call, operands: list[Array], outs: list[Array], lanes: int) -> Lowering | None:
    """The sum, divided by the count."""
    count = operands[0].spec.numel // max(outs[0].spec.numel, 1)
    return _lower_total(call, operands, outs, lanes, count)


def _lower_total(
    call: Call, operands: list[Array], outs: list[Array], lanes: int, divisor: int
) -> Lowering | None:
    x, out = operands[0], outs[0]
    dims = call.params[0]
    if not _float(x, out) or not x.spec.contiguous or not out.spec.compact:
        return None
    shape = tuple(x.spec.shape)
    summed = {d % len(shape) for d in dims}
    # Neighbouring dimensions of one kind are one: (kind, count).
    groups: list[tuple[bool, int]] = []
    for d, n in enumerate(shape):
        if n == 1:
            continue
        if groups and groups[-1][0] == (d in summed):
            groups[-1] = (groups[-1][0], groups[-1][1] * n)
        else:
            groups.append((d in summed, n))
    if groups and not groups[0][0]:
        groups.insert(0, (True, 1))
    pattern = [g[0] for g in groups]
    outer = 1
    if pattern == [True]:
        before, kept, after = 1, 1, groups[0][1]
    elif pattern == [True, False]:
        before, kept, after = groups[0][1], groups[1][1], 1
    elif pattern == [True, False, True]:
        before, kept, after = groups[0][1], groups[1][1], groups[2][1]
    elif pattern == [True, False, True, False] and groups[0][1] == 1:
        outer, before, kept = groups[1][1], groups[2][1], groups[3][1]
        after = 1
    else:
        return None

    def emit(c: Code) -> None:
        source = c.at("float", x.pointer, x.spec.offset)
        if after == 1:
            with c.loop(outer) as i:
                _rows(
                    c, c.at("float", source, c.times(i, before * kept)),
                    c.at("float", out.pointer, c.times(i, kept)), before, kept,
                )  # fmt: skip
        else:
            _lines(c, source, out.pointer, before, kept, after, lanes)
        if divisor != 1:
            with c.loop(outer * kept) as j:
                total = c.load("float", out.pointer, j)
                c.store("float", c.let(f"fdiv float {total}, {float(divisor)}"), out.pointer, j)

    return Lowering(emit)


def _rows(c: Code, source: str, target: str, before: int, kept: int) -> None:
    """Add whole rows to the output."""
    with c.loop(kept) as j:
        c.store("float", "0.0", target, j)
    with c.loop(before) as i, c.loop(kept) as j:
        value = c.load("float", source, c.plus(c.times(i, kept), j))
        have = c.load("float", target, j)
        c.store("float", c.let(f"fadd float {have}, {value}"), target, j)


def _lines(
    c: Code, source: str, target: str, before: int, kept: int, after: int, lanes: int
) -> None:
    """Sum runs of ``after`` neighbours in vector lanes."""
    vector = f"<{lanes} x float>"
    whole, rest = divmod(after, lanes)
    with c.loop(kept) as j:
        total = c.slot(vector, "zeroinitializer")
        with c.loop(before) as i:
            run = c.at("float", source, c.plus(c.times(i, kept * after), c.times(j, after)))
            if whole:
                with c.loop(whole * lanes, lanes) as k:
                    part = c.load(vector, run, k, align=4)
                    c.set(vector, total, c.let(f"fadd {vector} {c.get(vector, total)}, {part}"))
            if rest:
                part = c.masked_load("float", lanes, rest, c.at("float", run, whole * lanes))
                c.set(vector, total, c.let(f"fadd {vector} {c.get(vector, total)}, {part}"))
        value = c.reduce_add("float", lanes, c.get(vector, total))
        c.store("float", value, target, j)
