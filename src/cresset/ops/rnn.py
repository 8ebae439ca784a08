"""Steps of recurrent networks: each cell's elementwise part is one node each way.

The gate sums come in as matrices: for LSTM (n, 4h) in the order input, forget, cell, output; for
GRU the parts of the input and of the state, (n, 3h) each, in the order reset, update, new.
"""

from __future__ import annotations

from typing import Any

from cresset.core.call import OUT
from cresset.core.modes import THREAD
from cresset.core.spec import Spec, dense
from cresset.core.tape import Node, derived
from cresset.ops.join import cat, stack
from cresset.ops.math import special, tanh
from cresset.ops.matmul import linear, mm
from cresset.ops.parts import select
from cresset.ops.pointwise import add, mul, sub
from cresset.ops.reduce import sum as sum_
from cresset.ops.registry import Op, Result, Tensor, apply
from cresset.ops.view import reshape
from cresset.ops.view import t as transposed


def _lstm_infer(gates: Spec, c: Spec) -> Result:
    s = dense(c.dtype, c.shape, c.device)
    return Result((s, s, dense(gates.dtype, gates.shape, gates.device)))


def _lstm_kernel(xp: Any, gates: Any, c: Any) -> tuple:
    h = c.shape[-1]
    active = special(xp).expit(gates)
    active[..., 2 * h : 3 * h] = xp.tanh(gates[..., 2 * h : 3 * h])
    i, f, g, o = (active[..., k * h : (k + 1) * h] for k in range(4))
    cell = f * c + i * g
    return o * xp.tanh(cell), cell, active


def _lstm_grad(n: Any, gh: Any, gc: Any, ga: Any, c: Tensor, cell: Tensor, active: Tensor) -> tuple:
    zeros = None
    if gh is None or gc is None:
        zeros = cell.detach().new_zeros(cell.shape)  # type: ignore[attr-defined]
    operands = (zeros if gh is None else gh, zeros if gc is None else gc, c, cell, active)
    d_gates, d_c = apply(LSTM_BACKWARD, operands)
    if ga is not None:  # second derivatives also come through the saved activations
        h = c.shape[-1]
        bell = mul(active, sub(1, active))
        flat = sub(1, mul(active, active))
        slope = cat([bell[..., : 2 * h], flat[..., 2 * h : 3 * h], bell[..., 3 * h :]], -1)  # type: ignore[index]
        d_gates = add(d_gates, mul(ga, slope))
    return d_gates, d_c


def _lstm_backward_body(gh: Tensor, gc: Tensor, c: Tensor, cell: Tensor, active: Tensor) -> tuple:
    i, f, g, o = active.chunk(4, -1)  # type: ignore[attr-defined]
    t = tanh(cell)
    d_cell = add(gc, mul(mul(gh, o), sub(1, mul(t, t))))
    parts = (
        mul(mul(d_cell, g), mul(i, sub(1, i))),
        mul(mul(d_cell, c), mul(f, sub(1, f))),
        mul(mul(d_cell, i), sub(1, mul(g, g))),
        mul(mul(gh, t), mul(o, sub(1, o))),
    )
    return cat(list(parts), -1), mul(d_cell, f)


LSTM_BACKWARD = Op("lstm_cell_backward", None, body=_lstm_backward_body, multi=True)
LSTM_CELL = Op(
    "lstm_cell", _lstm_infer, _lstm_kernel, vjp=_lstm_grad, save=(1, OUT - 1, OUT - 2),
    multi=True, family="rnn", grad_name="MulBackward0",
)  # fmt: skip


def lstm_step(gates: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """The new hidden and cell state from the gate sums and the old cell state."""
    h, cell, _ = apply(LSTM_CELL, (gates, c))
    return h, cell


def gru_step(from_input: Tensor, from_state: Tensor, h: Tensor) -> Tensor:
    """The new hidden state from both parts of the gate sums and the old state."""
    return apply(GRU_CELL, (from_input, from_state, h))[0]


def _gru_infer(a: Spec, b: Spec, h: Spec) -> Result:
    s = dense(h.dtype, h.shape, h.device)
    return Result((s, dense(a.dtype, a.shape, a.device)))


def _gru_kernel(xp: Any, a: Any, b: Any, h: Any) -> tuple:
    n = h.shape[-1]
    expit = special(xp).expit
    r = expit(a[..., :n] + b[..., :n])
    z = expit(a[..., n : 2 * n] + b[..., n : 2 * n])
    new = xp.tanh(a[..., 2 * n :] + r * b[..., 2 * n :])
    return (1 - z) * new + z * h, xp.concatenate([r, z, new], -1)


def _gru_grad(n: Any, g: Any, ga: Any, b: Tensor, h: Tensor, active: Tensor) -> tuple:
    if g is None:
        g = h.detach().new_zeros(h.shape)  # type: ignore[attr-defined]
    d_a, d_b, d_h = apply(GRU_BACKWARD, (g, b, h, active))
    if ga is not None:  # second derivatives also come through the saved activations
        r, z, new = active.chunk(3, -1)  # type: ignore[attr-defined]
        g_r, g_z, g_new = ga.chunk(3, -1)
        b_new = b.chunk(3, -1)[2]  # type: ignore[attr-defined]
        d_new = mul(g_new, sub(1, mul(new, new)))
        d_r = mul(add(g_r, mul(d_new, b_new)), mul(r, sub(1, r)))
        d_z = mul(g_z, mul(z, sub(1, z)))
        d_a = add(d_a, cat([d_r, d_z, d_new], -1))
        d_b = add(d_b, cat([d_r, d_z, mul(d_new, r)], -1))
    return d_a, d_b, d_h


def _gru_backward_body(g: Tensor, b: Tensor, h: Tensor, active: Tensor) -> tuple:
    r, z, new = active.chunk(3, -1)  # type: ignore[attr-defined]
    b_new = b.chunk(3, -1)[2]  # type: ignore[attr-defined]
    d_new = mul(mul(g, sub(1, z)), sub(1, mul(new, new)))
    d_z = mul(mul(g, sub(h, new)), mul(z, sub(1, z)))
    d_r = mul(mul(d_new, b_new), mul(r, sub(1, r)))
    return (
        cat([d_r, d_z, d_new], -1),
        cat([d_r, d_z, mul(d_new, r)], -1),
        mul(g, z),
    )


GRU_BACKWARD = Op("gru_cell_backward", None, body=_gru_backward_body, multi=True)
GRU_CELL = Op("gru_cell", _gru_infer, _gru_kernel, vjp=_gru_grad, save=(1, 2, OUT - 1), multi=True,
              family="rnn", grad_name="AddBackward0")  # fmt: skip


def rnn_step(total: Tensor, nonlinearity: str) -> Tensor:
    """``tanh`` or ``relu`` of the gate sums."""
    from cresset.ops.activation import relu

    return tanh(total) if nonlinearity == "tanh" else relu(total)


# -- a layer's whole run over time -----------------------------------------------------------------


def _cell(mode: str, part: Tensor, given: Tensor, state: tuple) -> tuple:
    """The state after one step, the first entry being what the step gives; then what the
    derivative reads of it."""
    if mode == "LSTM":
        *new, active = apply(LSTM_CELL, (add(part, given), state[1]))
        return (*new,), active
    if mode == "GRU":
        new, active = apply(GRU_CELL, (part, given, state[0]))
        return (new,), active
    new = rnn_step(add(part, given), mode[4:].lower())
    return (new,), new


def _operands(mode: str, tensors: tuple) -> tuple[tuple, Tensor, tuple]:
    """First state, weight and bias."""
    held = 2 if mode == "LSTM" else 1
    return tuple(tensors[:held]), tensors[held], tuple(tensors[held + 1 :])


def _order(sums: Tensor, reverse: bool) -> range:
    steps = sums._spec.shape[0]
    return range(steps - 1, -1, -1) if reverse else range(steps)


def _layer_body(sums: Tensor, *rest: Any) -> tuple:
    *tensors, mode, reverse = rest
    state, w_hh, bias = _operands(mode, tuple(tensors))
    outputs: list[Any] = [None] * sums._spec.shape[0]
    for t in _order(sums, reverse):
        state, _ = _cell(mode, select(sums, 0, t), linear(state[0], w_hh, *bias), state)
        outputs[t] = state[0]
    return stack(outputs), *state


def _layer_grad(node: Node, *args: Any) -> tuple:
    """Back through time (Werbos, 1990).

    The weight's gradient is one product over all steps, where going back through the body would
    make one per step and add them up. What the body computed is recorded again; a plan that holds
    both does it once.
    """
    mode, reverse = node.call.params
    if THREAD.grad or mode not in ("LSTM", "GRU"):
        return derived(node, *args)
    (g_out, *g_last), (sums, *tensors) = args[: node.outputs], args[node.outputs :]
    state, w_hh, bias = _operands(mode, tuple(tensors))
    order = _order(sums, reverse)
    #: Per step the state before it, what the state gave to the sums, the state after it, and more.
    steps = []
    for t in order:
        given = linear(state[0], w_hh, *bias)
        new, active = _cell(mode, select(sums, 0, t), given, state)
        steps.append((state, given, new, active))
        state = new
    zeros = w_hh.detach().new_zeros(state[0].shape)  # type: ignore[attr-defined]
    g_h, g_c = [zeros if g is None else g for g in (*g_last, None)[:2]]
    g_parts: list[Any] = [None] * len(order)
    g_given: list[Any] = [None] * len(order)
    before: list[Any] = [None] * len(order)
    for t, ((h, *cells), given, new, active) in zip(reversed(order), reversed(steps), strict=True):
        if g_out is not None:
            g_h = add(g_h, select(g_out, 0, t))
        if mode == "LSTM":
            g_part, g_c = apply(LSTM_BACKWARD, (g_h, g_c, *cells, new[1], active))
            g_parts[t] = g_given[t] = g_part
            g_h = mm(g_part, w_hh)
        else:
            g_parts[t], g_given[t], g_h = apply(GRU_BACKWARD, (g_h, given, h, active))
            g_h = add(g_h, mm(g_given[t], w_hh))
        before[t] = h
    found = [reshape(cat(g_parts), sums.shape), g_h]
    if mode == "LSTM":
        found.append(g_c)
    rows = cat(g_given)
    found.append(mm(transposed(rows), cat(before)))
    if bias:
        found.append(sum_(rows, 0))
    return tuple(x if edge is not None else None for x, edge in zip(found, node.edges, strict=True))


#: By its number of operands: one node, one line of the program.
LAYER = {
    n: Op("recurrent_layer", None, body=_layer_body, vjp=_layer_grad, save=tuple(range(n)),
          multi=True, family="rnn", grad_name="StackBackward0")
    for n in (3, 4, 5)
}  # fmt: skip


def recurrent_layer(
    mode: str, sums: Tensor, state: tuple, w_hh: Tensor, b_hh: Tensor | None, reverse: bool
) -> tuple:
    """The hidden states of all steps, then the last state.

    ``sums`` (t, n, gates) is what the input adds at every step; ``mode`` is LSTM, GRU, RNN_TANH or
    RNN_RELU; ``state`` (h, c) for LSTM, else (h,).
    """
    operands = (sums, *state, w_hh) if b_hh is None else (sums, *state, w_hh, b_hh)
    return apply(LAYER[len(operands)], operands, (mode, reverse))
