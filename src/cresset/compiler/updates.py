"""Optimiser steps: one loop per parameter, written over the old values where nobody reads them.

A formula is what the optimiser's own ``_update`` says, operation by operation, over ``Lanes``: the
parameter, its gradient, its state, and the run-time numbers. Numbers are scalars in double, as
Python's are, and are rounded to the parameter's dtype where they meet one of its values (``fit``).
"""

from __future__ import annotations

from collections.abc import Callable

from cresset.compiler.code import TYPES, Code
from cresset.compiler.formulas import larger, sign, smaller
from cresset.compiler.step import Array, Lowering
from cresset.compiler.vectormath.lanes import Lanes, select
from cresset.core.call import Call

#: A number as the parameter's dtype has it, in every lane.
Fit = Callable[[Lanes], Lanes]
Values = list[Lanes]


def lower_update(
    call: Call, operands: list[Array], outs: list[Array], lanes: int
) -> Lowering | None:
    """The step of any optimiser in ``FORMULAS``, but not one that makes its state."""
    rows, fresh, static = call.params
    formula = FORMULAS[call.op.name]
    width, per = 2 + len(fresh), 1 + len(fresh)
    tensors, numbers = operands[: rows * width], operands[rows * width :]
    dtype = outs[0].spec.dtype
    if any(fresh) or dtype.name not in ("float32", "float64"):
        return None
    if not all(
        a.spec.dtype is dtype and a.spec.compact and a.spec.numel for a in (*tensors, *outs)
    ):
        return None
    kind = TYPES[dtype.name]
    count = lanes if kind == "float" else lanes // 2

    def emit(c: Code) -> None:
        given = [Lanes(c, "double", 0, a.number(c, "double")) for a in numbers]

        def fit(number: Lanes) -> Lanes:
            one = number if kind == "double" else number.narrow()
            return Lanes(c, kind, count, c.splat(kind, count, one.register))

        for row in range(rows):
            own = tensors[row * width : (row + 1) * width]
            new = outs[row * per : (row + 1) * per]
            size = own[0].spec.numel
            for block, last in c.blocks(size // count, bool(size % count)):
                i, used = c.times(block, count), size % count if last else count
                p, g, *state = (
                    Lanes(
                        c, kind, count, c.masked_load(kind, count, used, c.at(kind, a.pointer, i))
                    )
                    for a in own
                )
                results = formula(fit, p, g, state, given, static)
                for a, value in zip(new, results, strict=True):
                    c.masked_store(kind, count, used, value.register, c.at(kind, a.pointer, i))

    pairs = []
    for row in range(rows):
        pairs.append((row * per, row * width))
        pairs += [(row * per + 1 + i, row * width + 2 + i) for i in range(len(fresh))]
    # Every piece takes its part of every parameter, in whole cache lines of the largest.
    pieces = max(1, max(a.spec.numel for a in tensors) // 1024)
    return Lowering(emit, pairs=tuple(pairs), pieces=pieces)


def _sgd(fit: Fit, p: Lanes, g: Lanes, state: Values, numbers: Values, static: tuple) -> Values:
    lr, momentum, dampening, decay = numbers
    has_momentum, nesterov, maximize, has_decay = static
    g = _with_decay(fit, p, g, decay, (maximize, has_decay))
    if not has_momentum:
        return [p - g * fit(lr)]
    buffer = state[0] * fit(momentum) + g * fit(1.0 - dampening)
    direction = g + buffer * fit(momentum) if nesterov else buffer
    return [p - direction * fit(lr), buffer]


def _with_decay(fit: Fit, p: Lanes, g: Lanes, decay: Lanes, static: tuple) -> Lanes:
    """The gradient with weight decay; ``static`` is (maximize, whether there is decay)."""
    if static[0]:
        g = -g
    return g + p * fit(decay) if static[1] else g


def _decayed(fit: Fit, p: Lanes, g: Lanes, lr: Lanes, decay: Lanes, static: tuple) -> Values:
    """Parameter and gradient with weight decay, which may be apart from the gradient."""
    maximize, has_decay, decoupled = static
    if decoupled and has_decay:
        p = p * fit(1.0 - lr * decay)
    return [p, _with_decay(fit, p, g, decay, (maximize, has_decay and not decoupled))]


def _averaged(fit: Fit, g: Lanes, m: Lanes, v: Lanes, b1: Lanes, b2: Lanes) -> Values:
    return [m + (g - m) * fit(1.0 - b1), v * fit(b2) + (g * g) * fit(1.0 - b2)]


def _adam(fit: Fit, p: Lanes, g: Lanes, state: Values, numbers: Values, static: tuple) -> Values:
    lr, b1, b2, eps, decay, step_size, root_correction = numbers
    p, g = _decayed(fit, p, g, lr, decay, static)
    m, v, *most = state
    m, v = _averaged(fit, g, m, v, b1, b2)
    if most:
        most = [larger(most[0], v)]
    size = (most[0] if most else v).sqrt() / fit(root_correction) + fit(eps)
    return [p - fit(step_size) * (m / size), m, v, *most]


def _adamax(fit: Fit, p: Lanes, g: Lanes, state: Values, numbers: Values, static: tuple) -> Values:
    b1, b2, eps, decay, step_size = numbers
    g = _with_decay(fit, p, g, decay, static)
    m, u = state
    m = m + (g - m) * fit(1.0 - b1)
    u = larger(u * fit(b2), abs(g) + fit(eps))
    return [p - fit(step_size) * (m / u), m, u]


def _nadam(fit: Fit, p: Lanes, g: Lanes, state: Values, numbers: Values, static: tuple) -> Values:
    lr, b1, b2, eps, decay, correction, for_gradient, for_average = numbers
    p, g = _decayed(fit, p, g, lr, decay, static)
    m, v = _averaged(fit, g, state[0], state[1], b1, b2)
    size = (v / fit(correction)).sqrt() + fit(eps)
    return [p - fit(for_gradient) * (g / size) - fit(for_average) * (m / size), m, v]


def _radam(fit: Fit, p: Lanes, g: Lanes, state: Values, numbers: Values, static: tuple) -> Values:
    lr, b1, b2, eps, decay, correction, scale = numbers
    p, g = _decayed(fit, p, g, lr, decay, static)
    m, v = _averaged(fit, g, state[0], state[1], b1, b2)
    move = m / fit(correction) * fit(lr)
    adapted = move * (fit(scale) / (v.sqrt() + fit(eps)))
    return [p - select(fit(scale) > 0.0, adapted, move), m, v]


def _adagrad(fit: Fit, p: Lanes, g: Lanes, state: Values, numbers: Values, static: tuple) -> Values:
    rate, eps, decay = numbers
    g = _with_decay(fit, p, g, decay, static)
    total = state[0] + g * g
    return [p - fit(rate) * (g / (total.sqrt() + fit(eps))), total]


def _adadelta(
    fit: Fit, p: Lanes, g: Lanes, state: Values, numbers: Values, static: tuple
) -> Values:
    lr, rho, eps, decay = numbers
    g = _with_decay(fit, p, g, decay, static)
    s, a = state
    s = s * fit(rho) + (g * g) * fit(1.0 - rho)
    d = (a + fit(eps)).sqrt() / (s + fit(eps)).sqrt() * g
    a = a * fit(rho) + (d * d) * fit(1.0 - rho)
    return [p - d * fit(lr), s, a]


def _rmsprop(fit: Fit, p: Lanes, g: Lanes, state: Values, numbers: Values, static: tuple) -> Values:
    lr, alpha, eps, decay, momentum = numbers
    *both, has_momentum, centered = static
    g = _with_decay(fit, p, g, decay, tuple(both))
    rest = list(state)
    s = rest.pop(0) * fit(alpha) + (g * g) * fit(1.0 - alpha)
    buffer = rest.pop(0) if has_momentum else None
    spread, new = s, [s]
    if centered:
        average = rest.pop(0)
        average = average + (g - average) * fit(1.0 - alpha)
        spread = s - average * average
    size = spread.sqrt() + fit(eps)
    if buffer is not None:
        buffer = buffer * fit(momentum) + g / size
        p = p - buffer * fit(lr)
        new.append(buffer)
    else:
        p = p - fit(lr) * (g / size)
    return [p, *new, average] if centered else [p, *new]


def _rprop(fit: Fit, p: Lanes, g: Lanes, state: Values, numbers: Values, static: tuple) -> Values:
    shrink, grow, least, most = numbers
    if static[0]:
        g = -g
    before, size = state
    turn = g * before
    factor = select(turn > 0.0, fit(grow), select(turn < 0.0, fit(shrink), turn.constant(1.0)))
    size = smaller(larger(size * factor, fit(least)), fit(most))
    g = select(turn < 0.0, 0.0, g)
    return [p - sign(g) * size, g, size]


def _asgd(fit: Fit, p: Lanes, g: Lanes, state: Values, numbers: Values, static: tuple) -> Values:
    eta, mu, lambd, decay = numbers
    g = _with_decay(fit, p, g, decay, static)
    (average,) = state
    p = p * fit(1.0 - lambd * eta) - fit(eta) * g
    moved = average + (p - average) * fit(mu)
    return [p, select(_all(p, mu.equals(1.0)), p, moved)]


def _all(like: Lanes, condition: Lanes) -> Lanes:
    """A scalar condition in every lane."""
    c = like.code
    return Lanes(c, "i1", like.count, c.splat("i1", like.count, condition.register))


FORMULAS: dict[str, Callable[[Fit, Lanes, Lanes, Values, Values, tuple], Values]] = {
    "sgd_step": _sgd,
    "adam_step": _adam,
    "adamw_step": _adam,
    "adamax_step": _adamax,
    "nadam_step": _nadam,
    "radam_step": _radam,
    "adagrad_step": _adagrad,
    "adadelta_step": _adadelta,
    "rmsprop_step": _rmsprop,
    "rprop_step": _rprop,
    "asgd_step": _asgd,
}
