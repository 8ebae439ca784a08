"""Optimiser steps: one loop per parameter, written over the old values where nobody reads them."""

from __future__ import annotations

from cresset.compiler.code import Code
from cresset.compiler.step import Array, Lowering
from cresset.core.call import Call


def lower_sgd(call: Call, operands: list[Array], outs: list[Array], lanes: int) -> Lowering | None:
    """Stochastic gradient descent as ``optim.SGD._update`` defines it."""
    rows, fresh, static = call.params
    momentum, nesterov, maximize, decay = static
    width = 2 + len(fresh) - sum(fresh)
    tensors, numbers = operands[: rows * width], operands[rows * width :]
    if any(fresh) or not all(
        a.spec.dtype.name == "float32" and a.spec.compact and a.spec.numel
        for a in (*tensors, *outs)
    ):
        return None

    def emit(c: Code) -> None:
        lr, factor, _, weight = [a.number(c, "float") for a in numbers]
        share = c.let(f"fsub double 1.0, {numbers[2].number(c, 'double')}")
        share = c.let(f"fptrunc double {share} to float")
        per = 1 + len(fresh)
        for row in range(rows):
            own = tensors[row * width : (row + 1) * width]
            new = outs[row * per : (row + 1) * per]
            with c.loop(own[0].spec.numel) as i:
                p = c.load("float", own[0].pointer, i)
                g = c.load("float", own[1].pointer, i)
                if maximize:
                    g = c.let(f"fneg float {g}")
                if decay:
                    g = c.let(f"fadd float {g}, {c.let(f'fmul float {p}, {weight}')}")
                direction = g
                if momentum:
                    old = c.let(f"fmul float {c.load('float', own[2].pointer, i)}, {factor}")
                    buffer = c.let(f"fadd float {old}, {c.let(f'fmul float {g}, {share}')}")
                    c.store("float", buffer, new[1].pointer, i)
                    direction = buffer
                    if nesterov:
                        ahead = c.let(f"fmul float {buffer}, {factor}")
                        direction = c.let(f"fadd float {g}, {ahead}")
                step = c.let(f"fmul float {direction}, {lr}")
                c.store("float", c.let(f"fsub float {p}, {step}"), new[0].pointer, i)

    pairs = []
    for row in range(rows):
        pairs.append((row * (1 + len(fresh)), row * width))
        if momentum:
            pairs.append((row * (1 + len(fresh)) + 1, row * width + 2))
    return Lowering(emit, pairs=tuple(pairs))
