"""Steps that other steps make unnecessary.

*The same once more.* Two steps that do the same with the same values are one, unless somebody holds
both results. The backward pass of a composite without a formula of its own begins with its forward
pass once more; in a plan that has both, it costs nothing.

*Slices of one tensor.* The gradient of a slice is a tensor of zeros with one region written. Where
many slices were taken (the steps of a recurrent net, the heads of attention) autograd adds such
tensors up; where the regions are apart, the sum is one tensor of zeros with all regions written
(which keeps a -0.0 that adding to 0.0 would not).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from cresset.core.plan import Step

#: Larger tensors are left alone: finding out whether regions are apart takes memory.
_LARGEST = 1 << 24


def simplify(steps: list[Step], live: Iterable[int], given: dict[int, Any]) -> list[Step]:
    """Fewer steps with the same results; ``given`` has the plan's constants by slot."""
    kept = set(live)
    return _needed(_join_slices(_merge(steps, kept, given), kept, given), kept)


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


def _needed(steps: list[Step], live: set[int]) -> list[Step]:
    """Without the steps whose results nobody reads."""
    wanted = set(live)
    kept = []
    for step in reversed(steps):
        if step.call.op.checks_values or any(slot in wanted for slot, _ in step.outs):
            wanted.update(slot for slot, _, _ in step.operands)
            kept.append(step)
    return kept[::-1]
