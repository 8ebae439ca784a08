"""Max pooling over images without padding: values and flat positions, and the way back."""

from __future__ import annotations

from cresset.compiler.code import Code
from cresset.compiler.step import Array, Lowering
from cresset.core.call import Call


def lower_max(call: Call, operands: list[Array], outs: list[Array], lanes: int) -> Lowering | None:
    """A later value wins if it is larger, or NaN, as in the reference kernel."""
    x, (values, positions) = operands[0], outs
    kernel, stride, padding, dilation, _ = call.params
    if x.spec.dtype.name != "float32" or not x.spec.contiguous or not x.spec.numel:
        return None
    n, ch, h, w = x.spec.shape
    oh, ow = values.spec.shape[2:]
    reach = [
        (m - 1) * s + d * (k - 1)
        for m, s, d, k in zip((oh, ow), stride, dilation, kernel, strict=True)
    ]
    if any(padding) or reach[0] >= h or reach[1] >= w:
        return None

    def emit(c: Code) -> None:
        with c.loop(n * ch) as plane, c.loop(oh) as row:
            line = c.plus(c.times(plane, h * w), c.times(row, stride[0] * w), x.spec.offset)
            target = c.plus(c.times(plane, oh * ow), c.times(row, ow))
            top = c.times(row, stride[0] * w)
            with c.loop(ow) as column:
                left = c.times(column, stride[1])
                best = where = ""
                for ky in range(kernel[0]):
                    for kx in range(kernel[1]):
                        shift = ky * dilation[0] * w + kx * dilation[1]
                        value = c.load("float", x.pointer, c.plus(line, left, shift))
                        place = c.plus(top, left, shift)
                        if not best:
                            best, where = value, place
                            continue
                        better = c.let(f"fcmp ugt float {value}, {best}")
                        # Unordered is true also where the best so far is NaN, which must stay.
                        kept = c.let(f"fcmp ord float {best}, 0.0")
                        nan = c.let(f"fcmp uno float {value}, 0.0")
                        better = c.let(f"and i1 {better}, {kept}")
                        better = c.let(f"or i1 {better}, {nan}")
                        best = c.let(f"select i1 {better}, float {value}, float {best}")
                        where = c.let(f"select i1 {better}, i64 {place}, i64 {where}")
                c.store("float", best, values.pointer, c.plus(target, column))
                c.store("i64", where, positions.pointer, c.plus(target, column))

    return Lowering(emit)


def lower_backward(
    call: Call, operands: list[Array], outs: list[Array], lanes: int
) -> Lowering | None:
    """Each gradient is added where its value came from."""
    g, positions = operands
    out = outs[0]
    if g.spec.dtype.name != "float32" or not (g.spec.contiguous and positions.spec.contiguous):
        return None
    if not (g.spec.numel and out.spec.numel):
        return None
    planes = out.spec.shape[0] * out.spec.shape[1]
    size, count = out.spec.numel // planes, g.spec.numel // planes

    def emit(c: Code) -> None:
        with c.loop(planes) as plane:
            target = c.at("float", out.pointer, c.times(plane, size))
            with c.loop(size) as i:
                c.store("float", "0.0", target, i)
            with c.loop(count) as i:
                k = c.plus(c.times(plane, count), i)
                place = c.load("i64", positions.pointer, c.plus(k, positions.spec.offset))
                value = c.load("float", g.pointer, c.plus(k, g.spec.offset))
                have = c.load("float", target, place)
                c.store("float", c.let(f"fadd float {have}, {value}"), target, place)

    return Lowering(emit)
