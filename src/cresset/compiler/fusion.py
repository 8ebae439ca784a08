"""Which neighbouring steps become one kernel.

A *group* goes over one shape, its *space*. Its members are elementwise steps whose result has that
shape, sums and other folds over the space's last dimensions (its *rows*), and elementwise steps on
one value per row. Their dtypes may differ. What only members read stays in registers, or in a row's
worth of memory; layer norm and the activation behind it are one group. ``loops.py`` writes a
group's code.

Results that lie in memory in another order of dimensions (as operands did that were transposed) are
seen in that order, so that loops always go along memory.

A step that does not fit, and that nothing behind it in the group depends on, is passed over: what
comes after it may move in front of it, never the other way.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import NamedTuple

from cresset.compiler.elements import ELEMENTS, FLOATS, taken_as
from cresset.compiler.folds import FOLDS, Fold, fold_of, folded_dims
from cresset.compiler.formulas import takes
from cresset.compiler.layout import broadcast_stride, collapse
from cresset.core.call import Call, Op
from cresset.core.plan import Step
from cresset.core.spec import Spec, contiguous_stride
from cresset.core.spec import spec as make_spec
from cresset.device import CPU

#: What the kernels of groups are called.
FUSED = Op("fused", None)
#: How many steps a group may pass over, and how many members it may have.
_REACH, _MOST = 12, 64
#: Rows shorter than this are not worth a loop of their own; longer ones lose too much to rounding.
_SHORTEST, _LONGEST = 4, 65_536


class Member(NamedTuple):
    """A step of a group: its operands are values of the group by number, seen through specs."""

    call: Call
    operands: tuple[int, ...]
    specs: tuple[Spec, ...]
    #: The result, in the order of its memory.
    out: Spec
    #: How it goes over the space: "each" element, "fold" a row, or on "row" values.
    role: str


class Group:
    """Stands for a Call where a step is a group. Values: the operands, then the members' results.

    Equal groups share their code.
    """

    op = FUSED
    params = ()

    def __init__(
        self, members: tuple[Member, ...], specs: tuple[Spec, ...], escapes: tuple[int, ...],
        space: tuple[int, ...], depth: int, whole: tuple[int, ...],
    ) -> None:  # fmt: skip
        self.members = members
        self.specs = specs
        #: The members whose results are read outside, in the order of the outputs.
        self.escapes = escapes
        self.space = space
        #: How many of the space's last dimensions are a row (0: no member knows rows).
        self.depth = depth
        #: Which operands are numbers that are wanted as whole ones.
        self.whole = whole
        self._key = (members, specs, escapes, space, depth, whole)

    @cached_property
    def outs(self) -> tuple[Spec, ...]:
        return tuple(self.members[m].call.outs[0] for m in self.escapes)

    @cached_property
    def nbytes(self) -> int:
        return sum(spec.nbytes for spec in self.outs)

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Group) and self._key == other._key

    def __repr__(self) -> str:
        return f"fused({', '.join(m.call.op.name for m in self.members)}) over {self.space}"


def fuse(steps: list[Step], live: Iterable[int]) -> list[Step]:
    """The steps with groups in the place of what they are made of."""
    users: dict[int, set[int]] = {}
    for i, step in enumerate(steps):
        for slot, _, _ in step.operands:
            users.setdefault(slot, set()).add(i)
    kept = set(live)
    result: list[Step] = []
    done: set[int] = set()
    for i, step in enumerate(steps):
        if i in done:
            continue
        draft = _Draft.begin(step)
        if draft is None:
            result.append(step)
            continue
        taken = [i] + _gather(draft, steps, i, done)
        done.update(taken)
        inside = set(taken)
        result.append(
            draft.step([s for s in draft.slots if s in kept or users.get(s, set()) - inside])
        )
    return _with_frees(result, kept)


def _gather(draft: _Draft, steps: list[Step], start: int, done: set[int]) -> list[int]:
    """Take in the steps behind ``start`` that fit; returns which."""
    taken: list[int] = []
    waiting: set[int] = set()  # slots that steps passed over will fill
    passed = 0
    for j in range(start + 1, len(steps)):
        if j in done:
            continue
        step = steps[j]
        ready = not any(slot in waiting for slot, _, _ in step.operands)
        if ready and len(draft.members) < _MOST and draft.take(step):
            taken.append(j)
            continue
        waiting.update(slot for slot, _ in step.outs)
        passed += 1
        if passed > _REACH:
            break
    return taken


def _with_frees(steps: list[Step], live: set[int]) -> list[Step]:
    """The steps with the frees where each slot is used for the last time now."""
    seen = set(live)
    frees: list[tuple[int, ...]] = []
    for step in reversed(steps):
        used = [slot for slot, _ in step.outs] + [slot for slot, _, _ in step.operands]
        frees.append(tuple(slot for slot in dict.fromkeys(used) if slot not in seen))
        seen.update(used)
    return [step._replace(frees=f) for step, f in zip(steps, frees[::-1], strict=True)]


class _Draft:
    """A group as it grows."""

    def __init__(self, space: tuple[int, ...]) -> None:
        self.space = space
        self.depth = 0
        #: The float types that its members compute in, as registers have them.
        self.floats: set[str] = set()
        #: An operand is read with gaps: its loops suit nobody else.
        self.odd = False
        self.members: list[Member] = []
        #: Results of members: slot -> position.
        self.slots: dict[int, int] = {}
        #: Operands from outside: (slot, spec, whether it is wanted as a whole number) -> position.
        self.outside: dict[tuple[int, Spec, bool], int] = {}
        self.node = 0

    @classmethod
    def begin(cls, step: Step) -> _Draft | None:
        role = _role(step)
        if role is None:
            return None
        source = step.operands[0][1] if role == "fold" else _in_order(step)[1]
        draft = cls(tuple(source.shape))
        draft.node = step.node
        return draft if draft.take(step) else None

    def take(self, step: Step) -> bool:
        """Add a step if it fits."""
        kind = _role(step)
        if kind is None:
            return False
        seen, out = _in_order(step)
        depth = self.depth
        if kind == "fold":
            depth = _folded(step)
            if tuple(seen[0].shape) != self.space:
                return False
            exact = Fold(step.call, 1).exact
            if depth != self.depth and (self.depth or not self._rows_fit(depth, exact)):
                return False
        elif tuple(out.shape) == self.space:
            kind = "each"
        elif depth and tuple(out.shape) == _row_shape(self.space, depth):
            kind = "row"
        else:
            return False
        slots = [slot for slot, _, _ in step.operands]
        pairs = list(zip(slots, seen, strict=True))
        if not all(self._readable(slot, spec, kind, depth) for slot, spec in pairs):
            return False
        odd = any(
            spec.number is None and slot not in self.slots and _odd(spec, self.space)
            for slot, spec in pairs
        )
        if self.members and (odd or self.odd):
            return False
        floats = self.floats | _floats(step)
        if len(floats) > 1 and self.members and not any(slot in self.slots for slot in slots):
            return False  # unrelated, and each would be slower for the other's width
        self.depth, self.odd, self.floats = depth, odd, floats
        operands = []
        for (slot, spec), given in zip(pairs, step.call.specs, strict=True):
            if slot in self.slots:
                operands.append(-1 - self.slots[slot])
            else:
                whole = spec.number is not None and taken_as(step.call, given) not in FLOATS
                key = (slot, spec, whole)
                operands.append(self.outside.setdefault(key, len(self.outside)))
        self.slots[step.outs[0][0]] = len(self.members)
        self.members.append(Member(step.call, tuple(operands), tuple(seen), out, kind))
        return True

    def _rows_fit(self, depth: int, exact: bool) -> bool:
        """Whether what was taken so far can go row by row."""
        space, shape = self.space, _row_shape(self.space, depth)
        count = 1
        for n in space[len(space) - depth :]:
            count *= n
        if count < _SHORTEST or (count > _LONGEST and not exact):
            return False
        return all(
            _along(spec, space, depth) for _, spec, _ in self.outside if spec.number is None
        ) and not any(tuple(m.out.shape) == shape != space for m in self.members)

    def _readable(self, slot: int, spec: Spec, kind: str, depth: int) -> bool:
        """Whether a member of that kind can read the value where the group goes."""
        if spec.number is not None:
            return kind != "fold"
        if slot in self.slots:
            made = self.members[self.slots[slot]]
            if spec.dtype is not made.out.dtype:
                return False  # a view of other elements
            if made.role == "each":
                return kind != "row" and tuple(spec.shape) == self.space and spec.compact
            # One value per row, seen with ones or repeated along the row.
            seen = broadcast_stride(spec, self.space)
            return kind != "fold" and spec.offset == 0 and seen == _row_stride(self.space, depth)
        if kind == "row":
            inner = broadcast_stride(spec, self.space)[len(self.space) - depth :]
            return not any(inner)
        return not depth or _along(spec, self.space, depth)

    def step(self, escaping: list[int]) -> Step:
        """The group as a step; ``escaping`` are the slots that others read."""
        count = len(self.outside)
        members = tuple(
            m._replace(operands=tuple(o if o >= 0 else count - 1 - o for o in m.operands))
            for m in self.members
        )
        escapes = tuple(self.slots[slot] for slot in escaping)
        group = Group(
            members, tuple(spec for _, spec, _ in self.outside), escapes, self.space, self.depth,
            tuple(i for i, (_, _, whole) in enumerate(self.outside) if whole),
        )  # fmt: skip
        return Step(
            group,  # type: ignore[arg-type]
            tuple((slot, spec, None) for slot, spec, _ in self.outside),
            tuple((slot, self.members[self.slots[slot]].call.outs[0]) for slot in escaping),
            (), False, self.node,
        )  # fmt: skip


def _in_order(step: Step) -> tuple[list[Spec], Spec]:
    """How an elementwise step's operands and result look in the order of the result's memory."""
    out = step.outs[0][1]
    specs = [spec for _, spec, _ in step.operands]
    order = out.memory_order()
    if out.contiguous or order is None:
        return specs, out

    def turned(old: Spec) -> Spec:
        if old.number is not None:
            return old
        lead = (0,) * (len(out.shape) - len(old.shape))
        shape, stride = (*(1 for _ in lead), *old.shape), (*lead, *old.stride)
        return make_spec(
            old.dtype, tuple(shape[d] for d in order), tuple(stride[d] for d in order), old.offset,
            old.device,
        )  # fmt: skip

    return [turned(spec) for spec in specs], turned(out)


def _role(step: Step) -> str | None:
    """Either "each" or "fold" for a step that may be a member of a group."""
    if len(step.outs) != 1:
        return None
    call, out = step.call, step.outs[0][1]
    dense = out.offset == 0 and (out.contiguous or out.memory_order() is not None)
    if not out.numel or not dense or out.device is not CPU:
        return None
    if call.op.name in FOLDS:
        return "fold" if fold_of(call) and out.contiguous and _folded(step) else None
    return "each" if takes(call) else None


def _floats(step: Step) -> set[str]:
    specs = [spec for _, spec in step.outs] + [s for _, s, _ in step.operands if s.number is None]
    return {ELEMENTS[s.dtype.name].register for s in specs} & {"float", "double"}


def _folded(step: Step) -> int:
    """Over how many last dimensions a fold goes; 0 if it is no such fold."""
    dims, ndim = folded_dims(step.call), len(step.operands[0][1].shape)
    return len(dims) if dims and dims == tuple(range(ndim - len(dims), ndim)) else 0


def _row_shape(space: tuple[int, ...], depth: int) -> tuple[int, ...]:
    return space[: len(space) - depth] + (1,) * depth


def _row_stride(space: tuple[int, ...], depth: int) -> tuple[int, ...]:
    lead = space[: len(space) - depth]
    strides = contiguous_stride(lead)
    return tuple(0 if n == 1 else s for n, s in zip(lead, strides, strict=True)) + (0,) * depth


def _odd(spec: Spec, space: tuple[int, ...]) -> bool:
    """Whether neighbours along the last dimension lie apart."""
    strides = broadcast_stride(spec, space)
    return next((s for s, n in zip(strides[::-1], space[::-1], strict=True) if n > 1), 0) > 1


def _along(spec: Spec, space: tuple[int, ...], depth: int) -> bool:
    """Whether a value lies along the rows: its elements side by side, or one for all."""
    inner = broadcast_stride(spec, space)[len(space) - depth :]
    full = contiguous_stride(space[len(space) - depth :])
    dims = collapse(space[len(space) - depth :], [full, inner])
    return len(dims) <= 1 and all(steps[1] in (0, 1) for _, steps in dims)
