"""The negative log likelihood of classes, and its gradient. A class out of range fails the plan."""

from __future__ import annotations

from cresset.compiler.code import Code
from cresset.compiler.step import Array, Lowering
from cresset.core.call import Call


def _class(c: Code, targets: Array, i: str, classes: int, ignore: int) -> tuple[str, str]:
    """The class of sample ``i`` (0 if ignored) and whether it counts."""
    target = c.load("i64", targets.pointer, c.plus(i, targets.spec.offset))
    counts = c.let(f"icmp ne i64 {target}, {ignore}")
    outside = c.let(f"icmp uge i64 {target}, {classes}")
    c.fail_if(c.let(f"and i1 {counts}, {outside}"))
    return c.let(f"select i1 {counts}, i64 {target}, i64 0"), counts


def _fits(scores: Array, targets: Array) -> bool:
    return (
        scores.spec.dtype.name == "float32"
        and len(scores.spec.shape) == 2
        and scores.spec.contiguous
        and targets.spec.dtype.name == "int64"
        and targets.spec.contiguous
        and scores.spec.numel > 0
    )


def lower_nll(call: Call, operands: list[Array], outs: list[Array], lanes: int) -> Lowering | None:
    """Sum or mean of -score[class] over the samples that count; and how many those are."""
    reduction, ignore = call.params
    if len(operands) != 2 or reduction == "none" or not _fits(*operands):
        return None
    scores, targets = operands
    n, classes = scores.spec.shape

    def emit(c: Code) -> None:
        total, count = c.slot("float", "0.0"), c.slot("float", "0.0")
        with c.loop(n) as i:
            target, counts = _class(c, targets, i, classes, ignore)
            place = c.plus(c.times(i, classes), target, scores.spec.offset)
            score = c.load("float", scores.pointer, place)
            loss = c.let(f"select i1 {counts}, float {score}, float 0.0")
            c.set("float", total, c.let(f"fsub float {c.get('float', total)}, {loss}"))
            one = c.let(f"uitofp i1 {counts} to float")
            c.set("float", count, c.let(f"fadd float {c.get('float', count)}, {one}"))
        result = c.get("float", total)
        if reduction == "mean":
            result = c.let(f"fdiv float {result}, {c.get('float', count)}")
        c.store("float", result, outs[0].pointer)
        c.store("float", c.get("float", count), outs[1].pointer)

    return Lowering(emit)


def lower_nll_backward(
    call: Call, operands: list[Array], outs: list[Array], lanes: int
) -> Lowering | None:
    """-g (divided by the count for a mean) at each sample's class, zero elsewhere."""
    classes, reduction, ignore = call.params
    if len(operands) != 3 or reduction == "none" or not _fits(outs[0], operands[1]):
        return None
    g, targets, total = operands
    if g.spec.dtype.name != "float32" or g.spec.numel != 1:
        return None
    n = outs[0].spec.shape[0]

    def emit(c: Code) -> None:
        value = c.load("float", g.pointer, g.spec.offset)
        if reduction == "mean":
            value = c.let(
                f"fdiv float {value}, {c.load('float', total.pointer, total.spec.offset)}"
            )
        value = c.let(f"fneg float {value}")
        with c.loop(n * classes) as i:
            c.store("float", "0.0", outs[0].pointer, i)
        with c.loop(n) as i:
            target, counts = _class(c, targets, i, classes, ignore)
            share = c.let(f"select i1 {counts}, float {value}, float 0.0")
            c.store("float", share, outs[0].pointer, c.plus(c.times(i, classes), target))

    return Lowering(emit)
