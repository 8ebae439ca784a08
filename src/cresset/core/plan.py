"""Plans of the first tier: a flushed graph as a list of reference-kernel calls.

Building a plan expands composites into primitives, drops nodes whose results nobody can read, notes
after which step each value dies (its buffer is freed there), and decides per operand how it must be
converted for the kernel. Running it is a loop. A compiled plan offers the same ``run``.

What must stay true: a kernel's result never shares memory with its operands or with another result
(``_own`` copies where a kernel returned a view); a written value is changed in place only when this
write is its last reader and nobody outside holds it; an error poisons only what depends on it.
Inputs may overlap in memory (a window into a buffer, and the buffer): steps run in program order,
and a plan that reorders must not move a read behind a write in place that was recorded later.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from cresset import dtypes
from cresset.core.call import Call
from cresset.core.place import Place, line_of
from cresset.core.spec import Spec
from cresset.core.storage import owner_of
from cresset.runtime import backend


class Program(NamedTuple):
    """The structure of a flushed graph: equal programs can share one plan."""

    calls: tuple[Call, ...]
    #: Per node: the slot of its first output, then the slots of its operands.
    operands: tuple[tuple[int, ...], ...]
    #: Slots of outputs that are bound to living storages.
    live: tuple[int, ...]
    #: Input slots whose memory may be overwritten.
    dead_inputs: tuple[int, ...]


class Step(NamedTuple):
    """One kernel call. ``operands``: (slot, spec, conversion); ``outs``: (slot, spec)."""

    call: Call
    operands: tuple[tuple[int, Spec, Any], ...]
    outs: tuple[tuple[int, Spec], ...]
    frees: tuple[int, ...]
    in_place: bool
    node: int


#: Heavy plans are compiled at the third sight, light ones only when they go on and on.
EARLY, LATE = 3, 30
#: About half a millisecond of reference kernels.
HEAVY = 500
_HALVES = (dtypes.float16, dtypes.bfloat16)


def _work(steps: list[Step]) -> int:
    """A rough count of the microseconds that the reference kernels take, from shapes alone."""
    total = 0
    for step in steps:
        moved = step.call.nbytes + sum(spec.nbytes for _, spec, _ in step.operands)
        total += 5 + moved // 2_000
        family = step.call.op.family
        if family in ("conv", "pool"):
            total += 50
        if family in ("conv", "matmul") and step.call.outs[0].dtype in _HALVES:
            total += HEAVY  # NumPy has no fast products of these
    return total


class Plan:
    """A runnable program on the reference tier."""

    __slots__ = ("steps", "slots", "constants", "seen", "tier", "compile_at", "heavy")

    def __init__(
        self, steps: list[Step], slots: int, constants: tuple[tuple[int, Any], ...] = ()
    ) -> None:
        self.steps = steps
        self.slots = slots
        #: Values that composites brought with them, by slot.
        self.constants = constants
        self.seen = 1
        self.tier = "reference"
        #: Compiled when met for this time: a count, so that the same program gives the same bits.
        self.heavy = _work(steps) >= HEAVY
        self.compile_at = EARLY if self.heavy else LATE

    def run(self, values: list[Any], places: dict[int, Place]) -> BaseException | None:
        """Fill ``values`` in place. Returns the first error; failed values hold their exception."""
        for slot, value in self.constants:
            values[slot] = value
        at = 0
        with np.errstate(all="ignore"):
            try:
                for at, step in enumerate(self.steps):  # noqa: B007
                    try:
                        run_step(step, values)
                    except Exception as error:
                        return self._poison(step, error, values, places)
            except KeyboardInterrupt as stop:
                return self._finish(at, stop, values, places)
        return None

    # A compiled plan may go on beside Python once it is begun; these have to do with that.

    def start(self, values: list[Any]) -> bool:
        """Begin, put the arrays of the results into ``values``, and come back when nothing can fail
        any more. False if it has to ``run`` instead; then nothing has happened."""
        return False

    def wait(self, slot: int) -> None:
        """Have this value there."""

    def finish(self) -> None:
        """Have all values there."""

    def _finish(
        self, at: int, stop: BaseException, values: list[Any], places: dict[int, Place]
    ) -> BaseException:
        """Run what is left after Ctrl-C, so that what was recorded has happened in full.

        The interrupted step runs again, which does no harm: kernels return fresh arrays, and a
        write in place puts down the same elements. If its operands are being dropped already, it
        was through. A second Ctrl-C ends this too.
        """
        for step in self.steps[at:]:
            if step is self.steps[at] and any(values[slot] is None for slot, _, _ in step.operands):
                continue
            try:
                run_step(step, values)
            except Exception as error:
                self._poison(step, error, values, places)
                break
        return stop

    def verify(self, values: list[Any]) -> None:
        """Compare each step with its reference kernel: nothing to do on the first tier."""

    def _poison(
        self, failed: Step, error: Exception, values: list[Any], places: dict[int, Place]
    ) -> BaseException:
        """Finish the steps that do not depend on the failed one; mark those that do."""
        place = places.get(failed.node)
        if hasattr(error, "add_note"):
            where = f" recorded at {line_of(place)}" if place else ""
            error.add_note(f"raised by '{failed.call.op.name}'{where}")
        for slot, _ in failed.outs:
            values[slot] = error
        first = error
        for step in self.steps[self.steps.index(failed) + 1 :]:
            bad = next(
                (values[s] for s, _, _ in step.operands if isinstance(values[s], BaseException)),
                None,
            )
            if bad is None:
                try:  # nothing in place, so that the inputs are there for another try
                    run_step(step._replace(in_place=False), values)
                    continue
                except Exception as another:
                    bad = another
            for slot, _ in step.outs:
                values[slot] = bad
        return first


def run_step(step: Step, values: list[Any]) -> None:
    """Run one kernel: operands viewed and converted, results bound, dead values dropped."""
    call = step.call
    arrays = []
    first_device = None
    for slot, spec, convert in step.operands:
        value = values[slot]
        if spec.number is None:
            device_backend = backend(spec.device)
            first_device = first_device or device_backend
            value = device_backend.view(value, spec)
        if convert is not None:
            value = convert(value)
        arrays.append(value)
    home = backend(call.outs[0].device) if call.outs else first_device
    assert home is not None
    if step.in_place:
        result = call.op.kernel(home.xp, *arrays, *call.params, in_place=True)  # type: ignore[misc]
    else:
        result = call.op.kernel(home.xp, *arrays, *call.params)  # type: ignore[misc]
    outs = step.outs
    if len(outs) == 1 and not isinstance(result, tuple):
        slot, spec = outs[0]
        if step.in_place:
            values[slot] = values[step.operands[0][0]]
        else:
            values[slot] = _own(result, spec, home.xp, step, values)
    else:
        for (slot, spec), part in zip(outs, result, strict=True):
            values[slot] = None
            values[slot] = _own(part, spec, home.xp, step, values)
    for slot in step.frees:
        values[slot] = None


def _own(result: Any, spec: Spec, xp: Any, step: Step, values: list[Any]) -> Any:
    """A kernel's result as a buffer of its own, in the output's dtype and memory order."""
    storage = spec.dtype.np
    if not isinstance(result, xp.ndarray):
        result = xp.asarray(result)
    if result.dtype != storage:
        if spec.dtype is dtypes.bfloat16:
            result = to_bfloat16(xp, result)
        else:
            result = result.astype(storage)
    if result.shape != spec.shape:
        raise RuntimeError(
            f"internal error: kernel of {step.call.op.name} returned shape {result.shape}, "
            f"the shape rule said {tuple(spec.shape)}"
        )
    if not spec.contiguous:
        order = spec.memory_order()
        if order is not None:
            result = result.transpose(order)
    buffer = xp.ascontiguousarray(result).reshape(-1)
    owner = owner_of(buffer)
    for slot, operand, _ in step.operands:
        if operand.number is None and values[slot] is not None and owner_of(values[slot]) is owner:
            return buffer.copy()
    if len(step.outs) > 1:
        for slot, _ in step.outs:
            if values[slot] is not None and owner_of(values[slot]) is owner:
                return buffer.copy()
    return buffer


def to_bfloat16(xp: Any, x: Any) -> Any:
    """Round to the nearest bfloat16 (ties to even), returned as its 16 bits; NaN stays NaN."""
    bits = x.astype(xp.float32).view(xp.uint32)
    rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(xp.uint16)
    return xp.where(xp.isnan(x), xp.uint16(0x7FC0), rounded)


def from_bfloat16(bits: Any) -> Any:
    """The float32 values of bfloat16 bits."""
    return (bits.astype("uint32") << 16).view("float32")


def _conversion(spec: Spec, call: Call) -> Any:
    """How an operand is prepared for the kernel, or None."""
    target = None if call.compute is None else call.compute.compute
    if spec.number is not None:
        return None if target is None else _number_converter(target)
    if call.op.raw and call.compute is None:
        return None
    if target is None:
        target = spec.dtype.compute
    if spec.dtype is dtypes.bfloat16:
        if target == np.float32:
            return from_bfloat16
        return lambda a: from_bfloat16(a).astype(target)
    if spec.dtype.np == target:
        return None
    return lambda a: a.astype(target)


def _number_converter(target: np.dtype) -> Any:
    """A Python number as the kernel wants it; integers wrap around as C casts do."""
    kind = target.kind
    if kind == "f":
        return lambda v: float(v)
    if kind == "c":
        return lambda v: complex(v)
    if kind == "b":
        return lambda v: bool(v)
    info = np.iinfo(target)
    low, high, span = int(info.min), int(info.max), 1 << info.bits

    def wrap(v: Any) -> int:
        v = int(v)
        return v if low <= v <= high else (v - low) % span + low

    return wrap


def reference_plan(program: Program, slots: int) -> Plan:
    """Expand, drop dead nodes, place the frees."""
    flat: list[tuple[Call, tuple[int, ...], tuple[int, ...], int]] = []
    constants: list[tuple[int, Any]] = []
    extra = [slots]
    for node, (call, (first, *operands)) in enumerate(
        zip(program.calls, program.operands, strict=True)
    ):
        outs = tuple(range(first, first + len(call.outs)))
        _expand(call, tuple(operands), outs, node, flat, constants, extra)
    needed = set(program.live)
    kept = []
    for entry in reversed(flat):
        # What may refuse its values runs though nobody reads its result: PyTorch would have raised.
        if entry[0].op.checks_values or any(slot in needed for slot in entry[2]):
            needed.update(entry[1])
            kept.append(entry)
    kept.reverse()
    last_use: dict[int, int] = {}
    for i, (_, operands, outs, _) in enumerate(kept):
        for slot in (*outs, *operands):
            last_use[slot] = i
    keep = set(program.live)
    may_overwrite = set(program.dead_inputs)
    for _, _, outs, _ in kept:
        may_overwrite.update(outs)
    frees: dict[int, list[int]] = {}
    for slot, i in last_use.items():
        if slot not in keep:
            frees.setdefault(i, []).append(slot)
    # What an input held must survive a step that may still refuse its values.
    settled = max((i for i, entry in enumerate(kept) if entry[0].op.checks_values), default=-1)
    steps = []
    for i, (call, operands, outs, node) in enumerate(kept):
        in_place = (
            call.op.writes
            and i > settled
            and last_use[operands[0]] == i
            and operands[0] not in keep
            and operands[0] in may_overwrite
            and operands.count(operands[0]) == 1
        )
        steps.append(
            Step(
                call,
                tuple(
                    (s, spec, _conversion(spec, call))
                    for s, spec in zip(operands, call.specs, strict=True)
                ),
                tuple(zip(outs, call.outs, strict=True)),
                tuple(frees.get(i, ())),
                in_place,
                node,
            )
        )
    return Plan(steps, extra[0], tuple(constants))


def _expand(
    call: Call,
    operands: tuple[int, ...],
    outs: tuple[int, ...],
    node: int,
    flat: list,
    constants: list[tuple[int, Any]],
    extra: list[int],
) -> None:
    """Append a node's primitives, giving fresh slots to what lies inside a composite."""
    if call.op.kernel is not None:
        flat.append((call, operands, outs, node))
        return
    body = call.body
    assert body is not None
    names = dict(zip(body.inputs, operands, strict=True))
    names.update(zip(body.outputs, outs, strict=True))

    def slot(local: int) -> int:
        found = names.get(local)
        if found is None:
            found = names[local] = extra[0]
            extra[0] += 1
        return found

    for local, value in body.constants:
        constants.append((slot(local), value))
    for inner, inner_operands, inner_outs in body.steps:
        _expand(
            inner,
            tuple(slot(s) for s in inner_operands),
            tuple(slot(s) for s in inner_outs),
            node,
            flat,
            constants,
            extra,
        )
