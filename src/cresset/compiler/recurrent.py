"""The elementwise part of LSTM and GRU cells, gates side by side in a row, in vector lanes."""

from __future__ import annotations

from cresset.compiler.code import TYPES, Code
from cresset.compiler.rows import Rows, vector_lanes
from cresset.compiler.step import Array, Lowering
from cresset.compiler.vectormath.exponential import sigmoid, tanh
from cresset.core.call import Call

#: Rough operations per element of a state.
_COST = 200


def _takes(*arrays: Array) -> bool:
    kind = arrays[0].spec.dtype
    return kind.name in ("float32", "float64") and all(
        a.spec.dtype is kind and a.spec.numel and a.spec.stride[-1] == 1 and a.spec.ndim in (1, 2)
        for a in arrays
    )


def _line(c: Code, kind: str, a: Array, row: str) -> str:
    """Where a row begins; a state without a batch is one row."""
    start = c.times(row, a.spec.stride[0]) if a.spec.ndim == 2 else "0"
    return c.at(kind, a.pointer, c.plus(start, a.spec.offset))


def lower_lstm_cell(
    call: Call, operands: list[Array], outs: list[Array], lanes: int
) -> Lowering | None:
    """Hidden state, cell and the four activated gates, from the gates' sums and the old cell."""
    if not _takes(*operands, *outs):
        return None
    gates, old = operands
    hidden, cell, active = outs
    size = old.spec.shape[-1]
    count = old.spec.numel // size
    kind = TYPES[old.spec.dtype.name]

    def emit(c: Code) -> None:
        rows = Rows(c, kind, size, vector_lanes(old, lanes))
        with c.share(count) as row:
            sums, before, new, state, kept = (
                _line(c, kind, a, row) for a in (gates, old, hidden, cell, active)
            )
            for i, used in rows.spans():
                at = [c.plus(i, gate * size) for gate in range(4)]
                acts = (sigmoid, sigmoid, tanh, sigmoid)
                gate_in, forget, fresh, out = values = [
                    act(rows.load(sums, place, used)) for act, place in zip(acts, at, strict=True)
                ]
                for value, place in zip(values, at, strict=True):
                    rows.store(value, kept, place, used)
                total = forget * rows.load(before, i, used) + gate_in * fresh
                rows.store(total, state, i, used)
                rows.store(out * tanh(total), new, i, used)

    return Lowering(emit, pieces=count, flops=_COST * old.spec.numel)


def lower_gru_cell(
    call: Call, operands: list[Array], outs: list[Array], lanes: int
) -> Lowering | None:
    """The new state and the three activated gates, from both gates' sums and the old state."""
    if not _takes(*operands, *outs):
        return None
    from_input, from_state, old = operands
    hidden, active = outs
    size = old.spec.shape[-1]
    count = old.spec.numel // size
    kind = TYPES[old.spec.dtype.name]

    def emit(c: Code) -> None:
        rows = Rows(c, kind, size, vector_lanes(old, lanes))
        with c.share(count) as row:
            a, b, before, new, kept = (
                _line(c, kind, x, row) for x in (from_input, from_state, old, hidden, active)
            )
            for i, used in rows.spans():
                at = [c.plus(i, gate * size) for gate in range(3)]
                left = [rows.load(a, place, used) for place in at]
                right = [rows.load(b, place, used) for place in at]
                reset = sigmoid(left[0] + right[0])
                update = sigmoid(left[1] + right[1])
                fresh = tanh(left[2] + reset * right[2])
                for value, place in zip((reset, update, fresh), at, strict=True):
                    rows.store(value, kept, place, used)
                state = (1.0 - update) * fresh + update * rows.load(before, i, used)
                rows.store(state, new, i, used)

    return Lowering(emit, pieces=count, flops=_COST * old.spec.numel)
