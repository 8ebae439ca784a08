"""Steps that other steps make unnecessary.

*The same once more.* Two steps that do the same with the same values are one, unless somebody holds
both results. The backward pass of a composite without a formula of its own begins with its forward
pass once more; in a plan that has both, it costs nothing.

*Slices of one tensor.* The gradient of a slice is a tensor of zeros with one region written. Where
many slices were taken (the steps of a recurrent net, the heads of attention) autograd adds such
tensors up; where the regions are apart, the sum is one tensor of zeros with all regions written
(which keeps a -0.0 that adding to 0.0 would not).

*relu and pooling.* The largest of some values, cut at zero, is the largest of the values cut at
zero; so relu goes behind a max pool, where there are few values left. And where a pooled value is
not above zero nothing of its gradient passes the relu, so that can be cut before it is spread.

Then ``epilogues.py`` has kernels do what comes after them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from cresset.compiler.epilogues import fold
from cresset.compiler.steps import call_of, makers, plain, readers
from cresset.core.plan import Step

#: Larger tensors are left alone: finding out whether regions are apart takes memory.
_LARGEST = 1 << 24


def simplify(steps: list[Step], live: Iterable[int], given: dict[int, Any]) -> list[Step]:
    """Fewer steps with the same results; ``given`` has the plan's constants by slot."""
    kept = set(live)
    steps = _join_slices(_merge(steps, kept, given), kept, given)
    return fold(_needed(_pool_first(_cut_first(steps, kept), kept), kept), kept)


def _merge(steps: list[Step], live: set[int], given: dict[int, Any]) -> list[Step]:
    """Without steps that were done before."""
    names: dict[int, int] = {}
    seen: dict[tuple, Step] = {}
    result: list[Step] = []
    for step in steps:
        if any(slot in names for slot, _, _ in step.operands):
            step = step._replace(
                operands=tuple(
                    (names.get(s, s), spec, convert) for s, spec, convert in step.operands
                )
            )
        key = (step.call, *[_identity(slot, given) for slot, _, _ in step.operands])
        first = seen.setdefault(key, step)
        if first is step or any(slot in live for slot, _ in step.outs):
            result.append(step)
            continue
        for (old, _), (new, _) in zip(step.outs, first.outs, strict=True):
            names[old] = new
    return _not_over_what_is_needed(result) if names else result


def _identity(slot: int, given: dict[int, Any]) -> Any:
    """What tells an operand from others: constant numbers are their values."""
    value = given.get(slot)
    return (type(value), repr(value)) if isinstance(value, (bool, int, float)) else slot


def _not_over_what_is_needed(steps: list[Step]) -> list[Step]:
    """Values that are read for longer now are not written over."""
    last = {slot: i for i, step in enumerate(steps) for slot, _, _ in step.operands}
    return [
        step._replace(in_place=False)
        if step.in_place and last[step.operands[0][0]] > i else step
        for i, step in enumerate(steps)
    ]  # fmt: skip


def _join_slices(steps: list[Step], live: set[int], given: dict[int, Any]) -> list[Step]:
    users: dict[int, int] = {}
    for step in steps:
        for slot, _, _ in step.operands:
            users[slot] = users.get(slot, 0) + 1
    zeros: set[int] = set()
    #: Zeros with one region written: by which step. With several: a mask of the regions.
    written: dict[int, Step] = {}
    masks: dict[int, np.ndarray] = {}
    result = []
    for step in steps:
        name = step.call.op.name
        out, spec = step.outs[0]
        if name in ("fill", "fill_like") and spec.numel <= _LARGEST and _is_zero(step, given):
            zeros.add(out)
        elif name == "write" and step.operands[0][0] in zeros:
            written[out] = step
        elif name == "add" and _alike(step):
            for (base, _, _), (other, _, _) in (step.operands, step.operands[::-1]):
                free = users[base] == 1 and base not in live and base != other
                if not free or other not in written or not (base in masks or base in written):
                    continue
                mask = masks.get(base)
                if mask is None:
                    mask = np.zeros(spec.numel, bool)
                    mask[_window(written[base])] = True
                window = _window(written[other])
                if not mask[window].any():
                    mask[window] = True
                    masks[out] = mask
                    step = _write_into(written[other], base, step)
                    break
        result.append(step)
    return result


def _alike(add: Step) -> bool:
    """Whether both operands and the sum are whole tensors of one layout and dtype."""
    spec = add.outs[0][1]
    return all(
        s.number is None and s.compact and s.numel == spec.numel and s.dtype is spec.dtype
        for _, s, _ in add.operands
    )


def _write_into(write: Step, base: int, add: Step) -> Step:
    """``add``, done as ``write`` into ``base``."""
    (_, flat, convert), source = write.operands
    return write._replace(
        operands=((base, flat, convert), source),
        outs=((add.outs[0][0], write.outs[0][1]),),
        in_place=True,
        node=add.node,
    )


def _is_zero(step: Step, given: dict[int, Any]) -> bool:
    """Whether a fill's number is a constant zero."""
    slot = step.operands[-1][0]
    return slot in given and given[slot] == 0 and not np.signbit(given[slot])


def _window(step: Step) -> np.ndarray:
    """The flat positions that a write touches."""
    shape, stride, offset = step.call.params
    places = np.full((), offset, np.int64)
    for n, s in zip(shape, stride, strict=True):
        places = places[..., None] + np.arange(n) * s
    return places.reshape(-1)


def _cut_first(steps: list[Step], live: set[int]) -> list[Step]:
    """``relu_backward`` of a pool's gradient before the gradient is spread.

    For ``r = relu(x)`` and ``p, i = max_pool(r)``: ``relu_backward(max_pool_backward(g, i), r)`` is
    ``max_pool_backward(relu_backward(g, p), i)``, as what lies at ``i`` in r is p.
    """
    steps, made_by, users = list(steps), makers(steps), readers(steps)
    for at, cut in enumerate(steps):
        if cut.call.op.name != "relu_backward" or not plain(cut):
            continue
        (gradient, _, _), (r, _, _) = cut.operands
        place = made_by.get(gradient, at)
        spread = steps[place]
        held = gradient in live or len(users[gradient]) > 1
        if spread.call.op.name != "max_pool_backward" or held:
            continue
        (g, spec, convert), (indices, *_) = spread.operands
        pool = steps[made_by[indices]] if indices in made_by else cut
        if not _is_pool(pool) or pool.operands[0][0] != r or pool.outs[1][0] != indices:
            continue
        p, p_spec = pool.outs[0]
        if convert is None and spec is p_spec and spread.outs[0][1] is cut.outs[0][1]:
            first = _again(cut, ((g, spec, None), (p, spec, None)), gradient)
            if first is not None:
                steps[place] = first._replace(node=cut.node)
                steps[at] = spread._replace(
                    operands=((gradient, spec, None), *spread.operands[1:]), outs=cut.outs
                )
    return steps


def _pool_first(steps: list[Step], live: set[int]) -> list[Step]:
    """``relu(max_pool(x))`` instead of ``max_pool(relu(x))``.

    Where all values are below zero the pool's position is another one then, so nothing may read it
    but the gradient's way back, and only once it is cut where the pooled value is zero.
    """
    made_by, users = makers(steps), readers(steps)
    result = list(steps)
    for at, pool in enumerate(steps):
        if not _is_pool(pool) or not plain(pool):
            continue
        (r, spec, _), (p, p_spec), (indices, _) = pool.operands[0], *pool.outs
        place = made_by.get(r, at)
        relu = steps[place]
        held = r in live or len(users[r]) > 1 or indices in live
        if relu.call.op.name != "relu" or not plain(relu) or held:
            continue
        if relu.operands[0][1] is not spec or not all(
            step.call.op.name == "max_pool_backward" and _is_cut_by(steps, made_by, step, p)
            for step in steps if any(slot == indices for slot, _, _ in step.operands)
        ):  # fmt: skip
            continue
        last = _again(relu, ((r, p_spec, None),), p)
        if last is not None:
            result[place] = pool._replace(
                operands=relu.operands, outs=((r, p_spec), pool.outs[1]), node=pool.node
            )
            result[at] = last
    return result


def _is_cut_by(steps: list[Step], made_by: dict[int, int], spread: Step, p: int) -> bool:
    """Whether the gradient that is spread is zero where ``p`` is."""
    cut = steps[made_by[spread.operands[0][0]]] if spread.operands[0][0] in made_by else spread
    return cut.call.op.name == "relu_backward" and cut.operands[1][0] == p


def _again(step: Step, operands: tuple, out: int) -> Step | None:
    """An op of one output with operands of other sizes; None where the output would not be laid
    out as they are."""
    specs = tuple([spec for _, spec, _ in operands])
    call = call_of(step.call.op, step.call.params, specs)
    if call.outs != (specs[0],):
        return None
    return step._replace(call=call, operands=operands, outs=((out, specs[0]),), in_place=False)


def _is_pool(step: Step) -> bool:
    return step.call.op.name in ("max_pool1d", "max_pool2d", "max_pool3d")


def _needed(steps: list[Step], live: set[int]) -> list[Step]:
    """Without the steps whose results nobody reads."""
    wanted = set(live)
    kept = []
    for step in reversed(steps):
        if step.call.op.checks_values or any(slot in wanted for slot, _ in step.outs):
            wanted.update(slot for slot, _, _ in step.operands)
            kept.append(step)
    return kept[::-1]
