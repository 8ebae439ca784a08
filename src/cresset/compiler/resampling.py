"""Resized images, and the gradients of that: each dimension is a small sparse matrix.

The matrix of a dimension is what the reference kernel makes of unit vectors. Its rows have few
entries (one for the nearest pixel, two for linear interpolation, four for cubic), which become
tables of places and weights beside the code.
"""

from __future__ import annotations

import hashlib
import struct
from itertools import product
from math import prod

import numpy as np

from cresset.compiler.code import TYPES, Code
from cresset.compiler.nests import walk
from cresset.compiler.step import Array, Lowering
from cresset.compiler.vectormath.lanes import Lanes
from cresset.core.call import Call
from cresset.core.spec import contiguous_stride

#: More entries per output than this are left to dense products.
_MOST = 64


def lower_resize(
    call: Call, operands: list[Array], outs: list[Array], lanes: int
) -> Lowering | None:
    """Both ways: the gradient's matrices are transposed."""
    (x,), (out,) = operands, outs
    if x.spec.dtype.name not in ("float32", "float64") or not x.spec.contiguous:
        return None
    if not x.spec.numel or not out.spec.numel:
        return None
    size, given = tuple(out.spec.shape[2:]), tuple(x.spec.shape[2:])
    tables = [_table(call, x, i, n, m) for i, (n, m) in enumerate(zip(given, size, strict=True))]
    taps = [places.shape[1] for places, _ in tables]
    if prod(taps) > _MOST:
        return None
    kind, planes = TYPES[x.spec.dtype.name], x.spec.numel // prod(given)

    def emit(c: Code) -> None:
        names = [(_constant(c, "i64", p), _constant(c, kind, w)) for p, w in tables]
        steps = contiguous_stride(given)
        ndim = len(size)
        units = [tuple(int(a == b) for b in range(ndim)) for a in range(ndim)]
        with c.share(planes) as plane:
            source = c.at(kind, x.base(c, kind), c.times(plane, prod(given)))
            target = c.at(kind, out.pointer, c.times(plane, prod(size)))

            def body(offsets: list[str]) -> None:
                *where, at = offsets
                entries: list[list[tuple[str, Lanes]]] = []
                for o, (places, weights), count, step in zip(
                    where, names, taps, steps, strict=True
                ):
                    row = c.times(o, count)
                    entries.append([
                        (
                            c.times(c.load("i64", places, c.plus(row, k)), step),
                            Lanes(c, kind, 0, c.load(kind, weights, c.plus(row, k))),
                        )
                        for k in range(count)
                    ])  # fmt: skip
                total = Lanes(c, kind, 0, "").constant(0.0)
                for tap in product(*entries):
                    value = Lanes(c, kind, 0, c.load(kind, source, c.plus(*[p for p, _ in tap])))
                    for _, weight in tap:
                        value = value * weight
                    total = total + value
                c.store(kind, total.register, target, at)

            walk(c, size, [*units, contiguous_stride(size)], body)

    return Lowering(emit, pieces=planes, flops=4 * prod(taps) * out.spec.numel)


def _table(call: Call, x: Array, i: int, n: int, m: int) -> tuple[np.ndarray, np.ndarray]:
    """Per output of dimension ``i`` the inputs that count and their weights, as many for all."""
    _, mode, scales, align = call.params
    units = np.eye(n, dtype=x.spec.dtype.np)[:, None, :]
    matrix = call.op.kernel(np, units, (m,), mode, (scales[i],), align)[:, 0, :].T  # type: ignore[misc]
    most = max(int((matrix != 0).sum(1).max()), 1)
    # Unused entries have no weight and stand at a place that counts, so that NaN stays where it is.
    order = np.argsort(matrix == 0, axis=1, kind="stable")[:, :most]
    weights = np.take_along_axis(matrix, order, 1)
    places = np.where(weights != 0, order, order[:, :1])
    return places, weights


def _constant(c: Code, kind: str, values: np.ndarray) -> str:
    """The name of a table beside the code."""
    flat = values.reshape(-1).tolist()
    words = [
        str(int(v)) if kind == "i64" else f"0x{struct.unpack('>Q', struct.pack('>d', v))[0]:016X}"
        for v in flat
    ]
    text = f"[{len(flat)} x {kind}] [" + ", ".join(f"{kind} {word}" for word in words) + "]"
    name = f"@table_{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    c.declared.add(f"{name} = private unnamed_addr constant {text}")
    return name
