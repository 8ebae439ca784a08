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
            with c.share(own[0].spec.numel) as i:
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

    return Lowering(emit, pairs=_pairs(rows, width, len(fresh)), pieces=_pieces(tensors))


def _pairs(rows: int, width: int, states: int) -> tuple[tuple[int, int], ...]:
    """New parameters and state lie where the old ones lay."""
    pairs = []
    for row in range(rows):
        pairs.append((row * (1 + states), row * width))
        pairs += [(row * (1 + states) + 1 + i, row * width + 2 + i) for i in range(states)]
    return tuple(pairs)


def _pieces(tensors: list[Array]) -> int:
    """Every piece takes its part of every parameter, in whole cache lines of the largest."""
    return max(1, max(a.spec.numel for a in tensors) // 1024)


def lower_adam(call: Call, operands: list[Array], outs: list[Array], lanes: int) -> Lowering | None:
    """Adam and AdamW as ``optim.Adam._update`` defines them, without amsgrad."""
    rows, fresh, static = call.params
    maximize, has_decay, decoupled = static
    width = 2 + len(fresh)
    tensors, numbers = operands[: rows * width], operands[rows * width :]
    if any(fresh) or len(fresh) != 2 or not all(
        a.spec.dtype.name == "float32" and a.spec.compact and a.spec.numel
        for a in (*tensors, *outs)
    ):  # fmt: skip
        return None

    def single(c: Code, value: str) -> str:
        return c.let(f"fptrunc double {value} to float")

    def emit(c: Code) -> None:
        lr, b1, b2, eps, decay, step_size, root = [a.number(c, "double") for a in numbers]
        keep = single(c, c.let(f"fsub double 1.0, {c.let(f'fmul double {lr}, {decay}')}"))
        share1 = single(c, c.let(f"fsub double 1.0, {b1}"))
        share2 = single(c, c.let(f"fsub double 1.0, {b2}"))
        factor2, small, weight = single(c, b2), single(c, eps), single(c, decay)
        rate, scale = single(c, step_size), single(c, root)
        c.declare("float @llvm.sqrt.f32(float)")
        for row in range(rows):
            own = tensors[row * width : (row + 1) * width]
            new = outs[row * 3 : row * 3 + 3]
            with c.share(own[0].spec.numel) as i:
                p, g, m, v = (c.load("float", a.pointer, i) for a in own)
                if maximize:
                    g = c.let(f"fneg float {g}")
                if has_decay and decoupled:
                    p = c.let(f"fmul float {p}, {keep}")
                elif has_decay:
                    g = c.let(f"fadd float {g}, {c.let(f'fmul float {p}, {weight}')}")
                ahead = c.let(f"fsub float {g}, {m}")
                m = c.let(f"fadd float {m}, {c.let(f'fmul float {ahead}, {share1}')}")
                square = c.let(f"fmul float {c.let(f'fmul float {g}, {g}')}, {share2}")
                v = c.let(f"fadd float {c.let(f'fmul float {v}, {factor2}')}, {square}")
                size = c.let(f"call float @llvm.sqrt.f32(float {v})")
                size = c.let(f"fadd float {c.let(f'fdiv float {size}, {scale}')}, {small}")
                step = c.let(f"fmul float {c.let(f'fdiv float {m}, {size}')}, {rate}")
                c.store("float", c.let(f"fsub float {p}, {step}"), new[0].pointer, i)
                c.store("float", m, new[1].pointer, i)
                c.store("float", v, new[2].pointer, i)

    return Lowering(emit, pairs=_pairs(rows, width, 2), pieces=_pieces(tensors))
