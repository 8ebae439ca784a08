"""What comes after a kernel and is done by it, while the values are in registers.

*relu and convolution.* A convolution whose result only a relu reads writes the relu of it. On the
way back, the gradient of a convolution's input is written cut where the relu in front was zero, and
the kernel of the weights' gradient sums up the bias's.

*Max pooling.* Where windows lie side by side and nobody but the gradient's way back reads where
their largest values were, the place within the window is kept: a byte instead of an int64. A relu
behind the pool is done with it, and a window where it is zero keeps a byte that says so, so that
its gradient needs no cutting first.

These are ops of their own, so that every plan can be run on reference kernels.
"""

from __future__ import annotations

import functools
from typing import Any

from cresset import dtypes
from cresset.compiler.convolution import takes_cut, takes_relu, takes_sum
from cresset.compiler.pooling import CUT, side_by_side
from cresset.compiler.steps import call_of, makers, plain, readers
from cresset.core.call import Call, Op
from cresset.core.plan import Step
from cresset.core.spec import Spec, contiguous_stride
from cresset.core.spec import spec as make_spec


def fold(steps: list[Step], live: set[int]) -> list[Step]:
    steps = _bytes(_relu_inside(steps, live), live)
    return _sum_inside(_cut_inside(steps, live))


def _relu_inside(steps: list[Step], live: set[int]) -> list[Step]:
    """``convolution_relu(x, w)`` instead of ``relu(convolution(x, w))``."""
    made_by, read_by = makers(steps), readers(steps)
    result = list(steps)
    done = set()
    for at, relu in enumerate(steps):
        if relu.call.op.name != "relu" or not plain(relu):
            continue
        y = relu.operands[0][0]
        place = made_by.get(y, at)
        conv = steps[place]
        if y in live or len(read_by[y]) > 1 or not (takes_relu(conv.call) and plain(conv)):
            continue
        call = call_of(_with_relu(conv.call.op, relu.call.op), conv.call.params, conv.call.specs)
        if call.outs == (relu.outs[0][1],):
            result[place] = conv._replace(call=call, outs=relu.outs)
            done.add(at)
    return [step for at, step in enumerate(result) if at not in done]


@functools.cache
def _with_relu(conv: Op, relu: Op) -> Op:
    """The op that is both; its reference kernel is theirs in turn."""
    first, then = conv.kernel, relu.kernel
    assert first is not None and then is not None
    return Op(
        "convolution_relu", conv.infer, lambda xp, *args: then(xp, first(xp, *args)), family="conv"
    )


def _cut_inside(steps: list[Step], live: set[int]) -> list[Step]:
    """``convolution_input_relu(g, w, y)`` instead of ``relu_backward(convolution_input(g, w), y)``:
    ``y`` was there when the gradient came."""
    made_by, read_by = makers(steps), readers(steps)
    result = list(steps)
    done = set()
    for at, cut in enumerate(steps):
        if cut.call.op.name != "relu_backward" or not plain(cut):
            continue
        (g, spec, _), (y, y_spec, _) = cut.operands
        place = made_by.get(g, at)
        back = steps[place]
        if g in live or len(read_by[g]) > 1 or made_by.get(y, -1) >= place:
            continue
        if y_spec != spec or not (plain(back) and takes_cut(back.call)):
            continue
        op = _with_cut(back.call.op, cut.call.op)
        call = call_of(op, back.call.params, (*back.call.specs, y_spec))
        if call.outs == (cut.outs[0][1],):
            result[place] = back._replace(
                call=call, operands=(*back.operands, (y, y_spec, None)), outs=cut.outs
            )
            done.add(at)
    return [step for at, step in enumerate(result) if at not in done]


@functools.cache
def _with_cut(back: Op, cut: Op) -> Op:
    """The op that is both; its reference kernel is theirs in turn."""
    first, then = back.kernel, cut.kernel
    assert first is not None and then is not None
    return Op(
        "convolution_input_relu", lambda g, w, y, *params: back.infer(g, w, *params),
        lambda xp, g, w, y, *params: then(xp, first(xp, g, w, *params), y), family="conv",
    )  # fmt: skip


def _sum_inside(steps: list[Step]) -> list[Step]:
    """``convolution_weight_sum(g, x)`` for the gradients of weights and bias."""
    read_by = readers(steps)
    result = list(steps)
    sums = {step.operands[0][0]: at for at, step in enumerate(steps) if _is_bias(step)}
    done = set()
    for at, step in enumerate(steps):
        other = sums.get(step.operands[0][0], -1) if step.operands else -1
        if other < 0 or not (plain(step) and takes_sum(step.call)):
            continue
        total = steps[other]
        if other < at and min(read_by.get(total.outs[0][0], [len(steps)])) < at:
            continue
        op = _with_sum(step.call.op, total.call.op, total.call.params)
        call = call_of(op, step.call.params, step.call.specs)
        result[at] = step._replace(call=call, outs=(*step.outs, *total.outs))
        done.add(other)
        del sums[step.operands[0][0]]
    return [step for at, step in enumerate(result) if at not in done]


def _is_bias(step: Step) -> bool:
    """Whether a step sums up all but the second dimension."""
    if step.call.op.name != "sum" or len(step.call.params) != 3 or not plain(step):
        return False
    (dims, keep, dtype), spec = step.call.params, step.operands[0][1]
    wanted = (0, *range(2, len(spec.shape)))
    return not keep and dtype is spec.dtype and tuple(dims) == wanted and len(wanted) > 1


@functools.cache
def _with_sum(weight: Op, total: Op, params: tuple) -> Op:
    """The op with both results; its reference kernel is theirs."""
    first, then = weight.kernel, total.kernel
    assert first is not None and then is not None
    return Op(
        "convolution_weight_sum",
        lambda g, x, *own: (
            call_of(weight, own, (g, x)).outs[0], call_of(total, params, (g,)).outs[0],
        ),
        lambda xp, g, x, *own: (first(xp, g, x, *own), then(xp, g, *params)), family="conv",
    )  # fmt: skip


# -- max pooling -----------------------------------------------------------------------------------


def _bytes(steps: list[Step], live: set[int]) -> list[Step]:
    made_by, read_by = makers(steps), readers(steps)
    result: list[Step | None] = list(steps)
    for at, pool in enumerate(steps):
        if not side_by_side(pool.call) or not plain(pool):
            continue
        (p, p_spec), (indices, _) = pool.outs
        spreads = read_by.get(indices, [])
        if indices in live or not all(_is_spread(steps[i], pool) for i in spreads):
            continue
        relu, cuts = _relu_behind(steps, read_by, made_by, live, p, spreads)
        call = call_of(_pool_op(pool.call.op, relu is not None), pool.call.params, pool.call.specs)
        result[at] = pool._replace(
            call=call, outs=((p, p_spec), (indices, call.outs[1])), in_place=False
        )
        if relu is not None:
            result[at] = result[at]._replace(outs=(steps[relu].outs[0], (indices, call.outs[1])))
            result[relu] = None
        for i in spreads:
            spread = steps[i]
            g = spread.operands[0]
            if relu is not None:
                g = steps[cuts[i]].operands[0]
                result[cuts[i]] = None
            params = (tuple(spread.outs[0][1].shape), tuple(pool.call.params[0]))
            back = call_of(_BACK, params, (g[1], call.outs[1]))
            result[i] = spread._replace(
                call=back, operands=(g, (indices, call.outs[1], None)), in_place=False
            )
    return [step for step in result if step is not None]


def _is_spread(step: Step, pool: Step) -> bool:
    """Whether a step is the way back of a pool's gradient, which lies as its values do."""
    return (
        step.call.op.name == "max_pool_backward"
        and plain(step)
        and step.operands[0][1] == pool.outs[0][1]
        and step.outs[0][1] == pool.operands[0][1]
    )


def _relu_behind(
    steps: list[Step], read_by: dict[int, list[int]], made_by: dict[int, int], live: set[int],
    p: int, spreads: list[int],
) -> tuple[int | None, dict[int, int]]:  # fmt: skip
    """The step that is the only one to read the pooled values ``p``, if it is a relu and cuts all
    gradients: it, and per spreading step the one that cuts."""
    behind = read_by.get(p, [])
    if p in live or len(behind) != 1 or steps[behind[0]].call.op.name != "relu":
        return None, {}
    relu = steps[behind[0]]
    cuts: dict[int, int] = {}
    for i in spreads:
        g = steps[i].operands[0][0]
        cut = made_by.get(g, -1)
        if (
            cut < 0
            or steps[cut].call.op.name != "relu_backward"
            or not plain(steps[cut])
            or steps[cut].operands[1][0] != relu.outs[0][0]
            or steps[cut].operands[0][1] != steps[i].operands[0][1]
            or g in live
            or len(read_by[g]) > 1
        ):
            return None, {}
        cuts[i] = cut
    alike = plain(relu) and relu.outs[0][1] == relu.operands[0][1]
    return (behind[0], cuts) if alike else (None, {})


@functools.cache
def _pool_op(pool: Op, relu: bool) -> Op:
    """A pool, or the relu of one, whose second output is each window's place as a byte."""

    def infer(x: Spec, *params: Any) -> tuple[Spec, Spec]:
        values, _ = Call(pool, params, (x,), pool.infer(x, *params)).outs
        shape = values.shape
        return values, make_spec(dtypes.uint8, shape, contiguous_stride(shape), 0, values.device)

    def kernel(xp: Any, x: Any, *params: Any) -> tuple:
        assert pool.kernel is not None
        values, flat = pool.kernel(xp, x, *params)
        (high, wide), width = params[0], x.shape[-1]
        place = (flat // width % high * wide + flat % width % wide).astype(xp.uint8)
        if not relu:
            return values, place
        below = values <= 0
        return xp.where(below, values.dtype.type(0), values), xp.where(below, xp.uint8(CUT), place)

    name = "max_pool2d_relu_bytes" if relu else "max_pool2d_bytes"
    return Op(name, infer, kernel, family="pool")


def _back_kernel(xp: Any, g: Any, places: Any, shape: Any, kernel: Any) -> Any:
    result = xp.zeros(shape, g.dtype)
    (high, wide), (rows, columns) = kernel, g.shape[-2:]
    for y in range(high):
        for x in range(wide):
            own = result[..., y : rows * high : high, x : columns * wide : wide]
            xp.copyto(own, g, where=places == y * wide + x)
    return result


_BACK = Op(
    "max_pool_bytes_backward",
    lambda g, places, shape, kernel: make_spec(
        g.dtype, shape, contiguous_stride(shape), 0, g.device
    ),
    _back_kernel,
)
