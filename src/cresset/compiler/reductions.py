"""Sums and means over dimensions."""

from __future__ import annotations

from cresset.compiler.code import Code
from cresset.compiler.step import Array, Lowering
from cresset.compiler.vectormath.lanes import Lanes
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
                    c.at("float", out.pointer, c.times(i, kept)), (before, kept), divisor, lanes,
                )  # fmt: skip
        else:
            _lines(c, source, out.pointer, (before, kept, after), divisor, lanes)

    pieces = -(-kept // (_ACROSS * lanes)) if after == 1 else kept
    return Lowering(emit, pieces=pieces)


#: Vectors of neighbouring outputs whose sums are in registers at once.
_ACROSS = 4


def _rows(
    c: Code, source: str, target: str, sizes: tuple[int, int], divisor: int, lanes: int
) -> None:
    """Sum whole rows, some columns at a time."""
    before, kept = sizes
    vector, width = f"<{lanes} x float>", _ACROSS * lanes
    for block, last in c.blocks(kept // width, bool(kept % width)):
        first = c.times(block, width)
        wide = kept % width if last else width
        starts = range(0, wide, lanes)
        totals = [c.slot(vector, "zeroinitializer") for _ in starts]
        with c.loop(before) as i:
            line = c.at("float", source, c.plus(c.times(i, kept), first))
            for total, j in zip(totals, starts, strict=True):
                part = c.masked_load("float", lanes, min(lanes, wide - j), c.at("float", line, j))
                c.set(vector, total, c.let(f"fadd {vector} {c.get(vector, total)}, {part}"))
        for total, j in zip(totals, starts, strict=True):
            value = Lanes(c, "float", lanes, c.get(vector, total))
            if divisor != 1:
                value = value / float(divisor)
            place = c.at("float", target, c.plus(first, j))
            c.masked_store("float", lanes, min(lanes, wide - j), value.register, place)


#: Partial sums of a long run: one alone would wait for itself.
_SUMS = 4


def _lines(
    c: Code, source: str, target: str, sizes: tuple[int, int, int], divisor: int, lanes: int
) -> None:
    """Sum runs of neighbours in vector lanes."""
    before, kept, after = sizes
    vector = f"<{lanes} x float>"
    sums = _SUMS if after >= _SUMS * lanes else 1
    long = after // (sums * lanes) * (sums * lanes)
    with c.share(kept) as j:
        totals = [c.slot(vector, "zeroinitializer") for _ in range(sums)]

        def add(run: str, k: str, used: int, total: str) -> None:
            part = c.masked_load("float", lanes, used, c.at("float", run, k))
            c.set(vector, total, c.let(f"fadd {vector} {c.get(vector, total)}, {part}"))

        with c.loop(before) as i:
            run = c.at("float", source, c.plus(c.times(i, kept * after), c.times(j, after)))
            if long:
                with c.loop(long, sums * lanes) as k:
                    for n, total in enumerate(totals):
                        add(run, c.plus(k, n * lanes), lanes, total)
            for k in range(long, after, lanes):
                add(run, str(k), min(lanes, after - k), totals[0])
        parts = [c.get(vector, total) for total in totals]
        while len(parts) > 1:
            parts = [
                c.let(f"fadd {vector} {a}, {b}")
                for a, b in zip(parts[0::2], parts[1::2], strict=True)
            ]
        value = c.reduce_add("float", lanes, parts[0])
        if divisor != 1:
            value = c.let(f"fdiv float {value}, {float(divisor)}")
        c.store("float", value, target, j)
