"""The elementwise part of LSTM and GRU cells, gates side by side in a row, in vector lanes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from cresset.compiler.code import TYPES, Code
from cresset.compiler.rows import Rows, vector_lanes
from cresset.compiler.step import Array, Lowering
from cresset.compiler.vectormath.exponential import sigmoid, tanh
from cresset.core.call import Call

#: Rough operations per element of a state.
_COST = 200
#: How many vectors are gone through together: the operations of one wait for one another.
_TOGETHER = (4, 2)


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


def _vectors(
    c: Code, state: Array, arrays: list[Array], lanes: int
) -> Iterator[tuple[Rows, str, int, list[str]]]:
    """For each vector of a state's row: rows, place, lanes used, where each array's row begins."""
    kind, size = TYPES[state.spec.dtype.name], state.spec.shape[-1]
    wide = vector_lanes(state, lanes)
    together = next((n for n in _TOGETHER if size >= n * wide), 1)
    rows = Rows(c, kind, size, wide * together, unrolled=1)
    with c.share(state.spec.numel // size) as row:
        lines = [_line(c, kind, a, row) for a in arrays]
        for i, used in rows.spans():
            yield rows, i, used, lines


def _lowering(emit: Callable[[Code], None], state: Array) -> Lowering:
    count = state.spec.numel // state.spec.shape[-1]
    return Lowering(emit, pieces=count, flops=_COST * state.spec.numel)


def lower_lstm_cell(
    call: Call, operands: list[Array], outs: list[Array], lanes: int
) -> Lowering | None:
    """Hidden state, cell and the four activated gates, from the gates' sums and the old cell."""
    if not _takes(*operands, *outs):
        return None
    old = operands[1]
    size = old.spec.shape[-1]
    acts = (sigmoid, sigmoid, tanh, sigmoid)

    def emit(c: Code) -> None:
        for rows, i, used, lines in _vectors(c, old, [*operands, *outs], lanes):
            sums, before, new, state, kept = lines
            at = [c.plus(i, gate * size) for gate in range(4)]
            gate_in, forget, fresh, out = values = [
                act(rows.load(sums, place, used)) for act, place in zip(acts, at, strict=True)
            ]
            for value, place in zip(values, at, strict=True):
                rows.store(value, kept, place, used)
            total = forget * rows.load(before, i, used) + gate_in * fresh
            rows.store(total, state, i, used)
            rows.store(out * tanh(total), new, i, used)

    return _lowering(emit, old)


def lower_gru_cell(
    call: Call, operands: list[Array], outs: list[Array], lanes: int
) -> Lowering | None:
    """The new state and the three activated gates, from both gates' sums and the old state."""
    if not _takes(*operands, *outs):
        return None
    old = operands[2]
    size = old.spec.shape[-1]

    def emit(c: Code) -> None:
        for rows, i, used, lines in _vectors(c, old, [*operands, *outs], lanes):
            a, b, before, new, kept = lines
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

    return _lowering(emit, old)
