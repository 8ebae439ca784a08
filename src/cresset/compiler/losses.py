"""Losses over classes, of probabilities, and of squares. What a kernel refuses fails the plan."""

from __future__ import annotations

from cresset.compiler import vectormath
from cresset.compiler.activations import larger
from cresset.compiler.code import TYPES, Code
from cresset.compiler.elements import ELEMENTS, load, store
from cresset.compiler.layout import broadcast_stride
from cresset.compiler.nests import index_at, walk
from cresset.compiler.rows import Rows, vector_lanes
from cresset.compiler.step import Array, Lowering
from cresset.compiler.vectormath.lanes import Lanes, select
from cresset.core.call import Call

# -- classes ---------------------------------------------------------------------------------------


class _Classes:
    """Reads the class of each sample and what it counts."""

    def __init__(self, scores: Array, targets: Array, weights: list[Array], ignore: int) -> None:
        self.scores, self.targets, self.weights, self.ignore = scores, targets, weights, ignore
        self.dtype = scores.spec.dtype.name
        self.kind = ELEMENTS[self.dtype].register
        self.count = scores.spec.shape[1]
        #: How far samples lie apart in the scores, and classes.
        own = scores.spec.stride
        self.stride, self.step = (own[0], *own[2:]), own[1]

    def _target(self, c: Code, place: str) -> tuple[Lanes, Lanes, Lanes]:
        """The class of a sample, whether it counts, and whether there is no such class."""
        targets = self.targets
        target = index_at(c, targets.spec.dtype.name, targets.pointer, place)
        counts = ~target.equals(self.ignore)
        outside = Lanes(c, "i1", 0, c.let(f"icmp uge i64 {target.register}, {self.count}"))
        return target, counts, counts & outside

    def inspect(self, c: Code) -> None:
        """Refuse the targets if there is a wrong one among them."""
        found = c.slot("i1", "false")

        def body(offsets: list[str]) -> None:
            _, _, wrong = self._target(c, c.plus(offsets[0], self.targets.spec.offset))
            c.set("i1", found, c.let(f"or i1 {c.get('i1', found)}, {wrong.register}"))

        walk(c, tuple(self.targets.spec.shape), [tuple(self.targets.spec.stride)], body)
        c.fail_if(c.get("i1", found))

    def sample(self, c: Code, place: str) -> tuple[Lanes, Lanes]:
        """The class of a sample (0 where it is ignored), and its weight (0 there)."""
        target, counts, wrong = self._target(c, place)
        c.fail_if(wrong.register)
        target = select(counts, target, 0)
        weight = Lanes(c, self.kind, 0, "").constant(1.0)
        for array in self.weights:
            at = c.plus(c.times(target.register, array.spec.stride[0]), array.spec.offset)
            weight = _load(c, array, at)
        return target, select(counts, weight, weight * 0.0)


def _load(c: Code, a: Array, place: str) -> Lanes:
    name = a.spec.dtype.name
    return load(c, name, 0, 0, c.at(ELEMENTS[name].memory, a.pointer, place))


def _store(c: Code, a: Array, value: Lanes, place: str) -> None:
    name = a.spec.dtype.name
    store(value, name, 1, c.at(ELEMENTS[name].memory, a.pointer, place))


def _known(*arrays: Array) -> bool:
    return all(a.spec.dtype.name in ("float32", "float64") and a.spec.numel for a in arrays)


def lower_nll(call: Call, operands: list[Array], outs: list[Array], lanes: int) -> Lowering | None:
    """-weight * score[class] per sample, their sum or weighted mean; and the sum of weights."""
    scores, targets, *weights = operands
    reduction, ignore = call.params
    if not _known(scores, *weights) or targets.spec.dtype.name not in ("int64", "uint8"):
        return None
    classes = _Classes(scores, targets, weights, ignore)
    loss, total = outs

    def emit(c: Code) -> None:
        # The sums of many samples are as exact as the terms.
        sums = [c.slot("double", "0.0") for _ in range(2)]

        def add(slot: str, value: Lanes) -> None:
            wide = value if value.element == "double" else value.wide()
            c.set("double", slot, c.let(f"fadd double {c.get('double', slot)}, {wide.register}"))

        def body(offsets: list[str]) -> None:
            target, weight = classes.sample(c, c.plus(offsets[0], targets.spec.offset))
            at = c.plus(offsets[1], c.times(target.register, classes.step), scores.spec.offset)
            value = select(weight.equals(0.0), 0.0, -_load(c, scores, at) * weight)
            if reduction == "none":
                _store(c, loss, value, offsets[2])
            else:
                add(sums[0], value)
            add(sums[1], weight)

        shape = tuple(targets.spec.shape)
        strides = [tuple(targets.spec.stride), classes.stride]
        if reduction == "none":
            strides.append(tuple(loss.spec.stride))
        walk(c, shape, strides, body)
        whole, count = (Lanes(c, "double", 0, c.get("double", slot)) for slot in sums)
        if classes.kind == "float":
            whole, count = whole.narrow(), count.narrow()
        if reduction != "none":
            _store(c, loss, whole / count if reduction == "mean" else whole, "0")
        _store(c, total, count, "0")

    return Lowering(emit, inspect=classes.inspect, inspected=(1,))


def lower_nll_backward(
    call: Call, operands: list[Array], outs: list[Array], lanes: int
) -> Lowering | None:
    """-g * weight (divided by the weights' sum for a mean) at each sample's class, else zero."""
    g, targets, total, *weights = operands
    count, reduction, ignore = call.params
    out = outs[0]
    if not _known(g, out, *weights) or targets.spec.dtype.name not in ("int64", "uint8"):
        return None
    classes = _Classes(out, targets, weights, ignore)

    def emit(c: Code) -> None:
        kind = classes.kind
        with c.loop(out.spec.numel) as i:
            c.store(kind, "0.0", out.pointer, i)
        shared: Lanes | None = None
        if reduction != "none":
            shared = _load(c, g, str(g.spec.offset))
        if shared is not None and reduction == "mean":
            shared = shared / _load(c, total, str(total.spec.offset))

        def body(offsets: list[str]) -> None:
            target, weight = classes.sample(c, c.plus(offsets[0], targets.spec.offset))
            slope = shared
            if slope is None:
                slope = _load(c, g, c.plus(offsets[2], g.spec.offset))
            value = select(weight.equals(0.0), 0.0, -weight * slope)
            _store(c, out, value, c.plus(offsets[1], c.times(target.register, classes.step)))

        shape = tuple(targets.spec.shape)
        strides = [tuple(targets.spec.stride), classes.stride]
        if reduction == "none":
            strides.append(broadcast_stride(g.spec, shape))
        walk(c, shape, strides, body)

    return Lowering(emit)


# -- element by element ----------------------------------------------------------------------------


def _alike(*arrays: Array) -> bool:
    first = arrays[0].spec
    return _known(*arrays) and all(
        a.spec.contiguous and a.spec.shape == first.shape and a.spec.dtype is first.dtype
        for a in arrays
    )


def lower_binary_terms(
    call: Call, operands: list[Array], outs: list[Array], lanes: int
) -> Lowering | None:
    """``(t - 1) max(log(1 - p), -100) - t max(log p, -100)`` for p in [0, 1]."""
    p, t = operands
    if not _alike(p, t, outs[0]):
        return None
    kind, count, size = TYPES[p.spec.dtype.name], vector_lanes(p, lanes), p.spec.numel
    log, log1p = vectormath.FUNCTIONS["log"], vectormath.FUNCTIONS["log1p"]

    def emit(c: Code) -> None:
        for block, last in c.blocks(size // count, bool(size % count)):
            i, used = c.times(block, count), size % count if last else count
            places = [c.at(kind, a.base(c, kind), i) for a in operands]
            chance, target = (
                Lanes(c, kind, count, c.masked_load(kind, count, used, place)) for place in places
            )
            c.fail_if((~((chance >= 0.0) & (chance <= 1.0))).any())
            least = chance.constant(-100.0)
            low, high = larger(log(chance), least), larger(log1p(-chance), least)
            terms = (target - 1.0) * high - target * low
            c.masked_store(kind, count, used, terms.register, c.at(kind, outs[0].pointer, i))

    return Lowering(emit, pieces=max(size // count, 1), flops=100 * size)


def lower_squares(
    call: Call, operands: list[Array], outs: list[Array], lanes: int
) -> Lowering | None:
    """The sum or mean of squared differences."""
    x, y = operands
    (reduction,) = call.params
    if reduction == "none" or not _alike(x, y) or x.spec.dtype is not outs[0].spec.dtype:
        return None
    kind, size = TYPES[x.spec.dtype.name], x.spec.numel

    def emit(c: Code) -> None:
        rows = Rows(c, kind, size, vector_lanes(x, lanes))
        lines = [a.base(c, kind) for a in operands]

        def add(i: str, used: int, have: Lanes) -> Lanes:
            difference = rows.load(lines[0], i, used) - rows.load(lines[1], i, used)
            return have + difference * difference

        total = Lanes(c, kind, 0, rows.fold("0.0", add, "fadd", ways=4))
        if reduction == "mean":
            total = total / float(size)
        c.store(kind, total.register, outs[0].pointer)

    return Lowering(emit)
