"""Sums over dimensions, log-softmax along rows, and the negative log likelihood."""

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
    suffix = f"v{lanes}f32"
    c.declare(f"float @llvm.vector.reduce.fadd.{suffix}(float, {vector})")
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
        value = c.let(
            f"call reassoc float @llvm.vector.reduce.fadd.{suffix}(float -0.0, "
            f"{vector} {c.get(vector, total)})"
        )
        c.store("float", value, target, j)


def _libm(c: Code, name: str, value: str) -> str:
    c.declare(f"float @llvm.{name}.f32(float)")
    return c.let(f"call float @llvm.{name}.f32(float {value})")


def _last(call: Call, a: Array) -> bool:
    return call.params[0] % max(len(a.spec.shape), 1) == len(a.spec.shape) - 1


def lower_log_softmax(
    call: Call, operands: list[Array], outs: list[Array], lanes: int
) -> Lowering | None:
    """x - max - log(sum(exp(x - max))) along the last dimension."""
    x, out = operands[0], outs[0]
    if not _float(x, out) or not x.spec.contiguous or not x.spec.shape or not _last(call, x):
        return None
    size = x.spec.shape[-1]
    rows = x.spec.numel // size

    def emit(c: Code) -> None:
        c.declare("float @llvm.maximum.f32(float, float)")
        with c.loop(rows) as r:
            line = c.at("float", x.pointer, c.plus(c.times(r, size), x.spec.offset))
            target = c.at("float", out.pointer, c.times(r, size))
            top = c.slot("float", "0xFFF0000000000000")
            with c.loop(size) as i:
                value = c.load("float", line, i)
                c.set("float", top, c.let(
                    f"call float @llvm.maximum.f32(float {c.get('float', top)}, float {value})"
                ))  # fmt: skip
            total = c.slot("float", "0.0")
            with c.loop(size) as i:
                shifted = c.let(f"fsub float {c.load('float', line, i)}, {c.get('float', top)}")
                c.store("float", shifted, target, i)
                grown = c.let(f"fadd float {c.get('float', total)}, {_libm(c, 'exp', shifted)}")
                c.set("float", total, grown)
            logarithm = _libm(c, "log", c.get("float", total))
            with c.loop(size) as i:
                value = c.let(f"fsub float {c.load('float', target, i)}, {logarithm}")
                c.store("float", value, target, i)

    return Lowering(emit)


def lower_log_softmax_backward(
    call: Call, operands: list[Array], outs: list[Array], lanes: int
) -> Lowering | None:
    """g - exp(y) * sum(g) along the last dimension."""
    g, y = operands
    out = outs[0]
    if not _float(g, y, out) or not g.spec.shape or not _last(call, g):
        return None
    if not (g.spec.contiguous and y.spec.contiguous and out.spec.compact):
        return None
    size = g.spec.shape[-1]
    rows = g.spec.numel // size

    def emit(c: Code) -> None:
        with c.loop(rows) as r:
            gradients = c.at("float", g.pointer, c.plus(c.times(r, size), g.spec.offset))
            values = c.at("float", y.pointer, c.plus(c.times(r, size), y.spec.offset))
            total = c.slot("float", "0.0")
            with c.loop(size) as i:
                value = c.load("float", gradients, i)
                c.set("float", total, c.let(f"fadd float {c.get('float', total)}, {value}"))
            summed = c.get("float", total)
            with c.loop(size) as i:
                grown = _libm(c, "exp", c.load("float", values, i))
                share = c.let(f"fmul float {grown}, {summed}")
                value = c.let(f"fsub float {c.load('float', gradients, i)}, {share}")
                c.store("float", value, out.pointer, c.plus(c.times(r, size), i))

    return Lowering(emit)
