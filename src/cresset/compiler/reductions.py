"""Folds over dimensions (``folds.py``) where they are no part of a group."""

from __future__ import annotations

from cresset.compiler.code import Code
from cresset.compiler.elements import ELEMENTS, load, store, width
from cresset.compiler.folds import Fold, Total, fold_of, folded_dims
from cresset.compiler.step import Array, Lowering
from cresset.core.call import Call


def lower_fold(call: Call, operands: list[Array], outs: list[Array], lanes: int) -> Lowering | None:
    """Partial results per lane where the folded dimension is the last, else one per output."""
    if not fold_of(call):
        return None
    x, out = operands[0], outs[0]
    dims = folded_dims(call)
    if dims is None or not x.spec.numel or not x.spec.contiguous or not out.spec.compact:
        return None
    sizes = pattern(tuple(x.spec.shape), set(dims))
    if sizes is None:
        return None
    outer, before, kept, after = sizes
    fold = Fold(call, x.spec.numel // out.spec.numel)
    lanes = width(lanes, {fold.source, fold.target, fold.kind})
    memory, target = ELEMENTS[fold.source].memory, ELEMENTS[fold.target].memory

    def emit(c: Code) -> None:
        source = c.at(memory, x.pointer, x.spec.offset)
        if after == 1:
            with c.loop(outer) as i:
                _rows(
                    c, fold, c.at(memory, source, c.times(i, before * kept)),
                    c.at(target, out.pointer, c.times(i, kept)), (before, kept), lanes,
                )  # fmt: skip
        else:
            _lines(c, fold, source, out.pointer, (before, kept, after), lanes)

    pieces = -(-kept // (_ACROSS * lanes)) if after == 1 else kept
    return Lowering(emit, pieces=pieces)


def pattern(shape: tuple[int, ...], folded: set[int]) -> tuple[int, int, int, int] | None:
    """Counts of (outer, folded, kept, folded) neighbouring elements; None if it is no such case."""
    # Neighbouring dimensions of one kind are one: (kind, count).
    groups: list[tuple[bool, int]] = []
    for d, n in enumerate(shape):
        if n == 1:
            continue
        if groups and groups[-1][0] == (d in folded):
            groups[-1] = (groups[-1][0], groups[-1][1] * n)
        else:
            groups.append((d in folded, n))
    if groups and not groups[0][0]:
        groups.insert(0, (True, 1))
    kinds, counts = [g[0] for g in groups], [g[1] for g in groups]
    if not kinds:
        return 1, 1, 1, 1
    if kinds == [True]:
        return 1, 1, 1, counts[0]
    if kinds == [True, False]:
        return 1, counts[0], counts[1], 1
    if kinds == [True, False, True]:
        return 1, counts[0], counts[1], counts[2]
    if kinds == [True, False, True, False] and counts[0] == 1:
        return counts[1], counts[2], counts[3], 1
    return None


#: Vectors of neighbouring outputs whose folds are in registers at once.
_ACROSS = 4


def _rows(
    c: Code, fold: Fold, source: str, target: str, sizes: tuple[int, int], lanes: int
) -> None:
    """Fold whole rows, some columns at a time."""
    before, kept = sizes
    wide, memory = _ACROSS * lanes, ELEMENTS[fold.source].memory
    for block, last in c.blocks(kept // wide, bool(kept % wide)):
        first = c.times(block, wide)
        columns = kept % wide if last else wide
        starts = range(0, columns, lanes)
        totals = [Total(c, fold, lanes) for _ in starts]
        with c.loop(before) as i:
            line = c.at(memory, source, c.plus(c.times(i, kept), first))
            for total, j in zip(totals, starts, strict=True):
                used = min(lanes, columns - j)
                total.add(load(c, fold.source, lanes, used, c.at(memory, line, j)), lanes)
        for total, j in zip(totals, starts, strict=True):
            place = c.at(ELEMENTS[fold.target].memory, target, c.plus(first, j))
            value = fold.finish(total.value())
            store(value, fold.target, min(lanes, columns - j), place)


#: Partial results of a long run: one alone would wait for itself.
_SUMS = 4


def _lines(
    c: Code, fold: Fold, source: str, target: str, sizes: tuple[int, int, int], lanes: int
) -> None:
    """Fold runs of neighbours in vector lanes."""
    before, kept, after = sizes
    memory = ELEMENTS[fold.source].memory
    sums = _SUMS if after >= _SUMS * lanes else 1
    long = after // (sums * lanes) * (sums * lanes)
    with c.share(kept) as j:
        totals = [Total(c, fold, lanes) for _ in range(sums)]

        def add(run: str, k: str, used: int, total: Total) -> None:
            total.add(load(c, fold.source, lanes, used, c.at(memory, run, k)), used)

        with c.loop(before) as i:
            run = c.at(memory, source, c.plus(c.times(i, kept * after), c.times(j, after)))
            if long:
                with c.loop(long, sums * lanes) as k:
                    for n, total in enumerate(totals):
                        add(run, c.plus(k, n * lanes), lanes, total)
            for k in range(long, after, lanes):
                add(run, str(k), min(lanes, after - k), totals[0])
        value = fold.finish(fold.total(c, [total.value() for total in totals]))
        place = c.at(ELEMENTS[fold.target].memory, target, j)
        store(value, fold.target, 1, place)
