"""Which ops have a lowering, and what a step must look like for one to be asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cresset.compiler import (
    columns,
    convolution,
    copies,
    gathers,
    lines,
    losses,
    pooling,
    products,
    recurrent,
    reductions,
    remaps,
    resampling,
    rows,
    scatters,
    selection,
    sorting,
    spreads,
    tables,
    unfolding,
    unpooling,
    updates,
    vectors,
    volumes,
    windows,
)
from cresset.compiler.folds import FOLDS
from cresset.compiler.fusion import Group
from cresset.compiler.loops import lower_group
from cresset.compiler.step import Array, Lowering
from cresset.compiler.widened import lower_widened
from cresset.core.call import Call
from cresset.core.plan import Step
from cresset.device import CPU


def _max(call: Call, *rest: Any) -> Lowering | None:
    """Of all elements, or along a dimension with places."""
    return (lines.lower_pick if len(call.outs) == 2 else reductions.lower_fold)(call, *rest)


def _first_of(*rows: Callable[..., Lowering | None]) -> Callable[..., Lowering | None]:
    """Asked in turn until one does not decline."""
    return lambda *step: next((low for row in rows if (low := row(*step)) is not None), None)


_MIRRORS = ("reflection", "replication", "circular")

#: What turns a step into code, by op; None from a row means: not these dtypes or shapes.
LOWERINGS: dict[str, Callable[..., Lowering | None]] = {
    "convolution": _first_of(convolution.lower_forward, volumes.lower_forward),
    "convolution_relu": convolution.lower_forward,
    "convolution_input_relu": convolution.lower_input,
    "convolution_weight_sum": convolution.lower_weight,
    "convolution_input": _first_of(convolution.lower_input, volumes.lower_input),
    "convolution_weight": _first_of(convolution.lower_weight, volumes.lower_weight),
    "bmm": products.lower_bmm,
    "cat": copies.lower_cat,
    "stack": copies.lower_stack,
    "contiguous": copies.lower_copy,
    "dense_copy": copies.lower_copy,
    "clone": copies.lower_copy,
    "copy": copies.lower_copy,
    "write": copies.lower_write,
    "flip": remaps.lower_flip,
    "roll": remaps.lower_roll,
    "constant_pad_nd": remaps.lower_pad,
    **{f"{mode}_pad{n}d": remaps.lower_mirror for mode in _MIRRORS for n in (1, 2, 3)},
    "tril": remaps.lower_triangle,
    "triu": remaps.lower_triangle,
    "repeat": remaps.lower_repeat,
    "pixel_shuffle": remaps.lower_pixels,
    "pixel_unshuffle": remaps.lower_pixels,
    "native_channel_shuffle": remaps.lower_pixels,
    "gather": gathers.lower_gather,
    "scatter": gathers.lower_scatter,
    "scatter_add": gathers.lower_scatter,
    "scatter_reduce": scatters.lower_scatter_reduce,
    "take": scatters.lower_take,
    "put": scatters.lower_put,
    "index_select": gathers.lower_index_select,
    "index_add": gathers.lower_index_write,
    "index_copy": gathers.lower_index_write,
    "index_fill": gathers.lower_index_write,
    "index": gathers.lower_index,
    "index_put": gathers.lower_index_put,
    "embedding": tables.lower_embedding,
    "embedding_dense_backward": tables.lower_embedding_backward,
    "max_pool2d": _first_of(pooling.lower_max, windows.lower_max),
    "max_pool1d": windows.lower_max,
    "max_pool3d": windows.lower_max,
    **{f"avg_pool{n}d": windows.lower_average for n in (1, 2, 3)},
    "avg_pool_backward": _first_of(
        unpooling.lower_average_backward, windows.lower_average_backward
    ),
    "adaptive_avg_pool": windows.lower_adaptive,
    "adaptive_avg_pool_backward": _first_of(
        unpooling.lower_average_backward, windows.lower_adaptive_backward
    ),
    "max_pool_backward": pooling.lower_backward,
    "max_pool2d_bytes": pooling.lower_max,
    "max_pool2d_relu_bytes": pooling.lower_max,
    "max_pool_bytes_backward": pooling.lower_backward,
    "adaptive_max_pool": unpooling.lower_adaptive_max,
    "max_unpool": unpooling.lower_unpool,
    "max_pool_take": unpooling.lower_take,
    "im2col": unfolding.lower_unfold,
    "col2im": unfolding.lower_fold,
    "glu": unfolding.lower_glu,
    "lstm_cell": recurrent.lower_lstm_cell,
    "gru_cell": recurrent.lower_gru_cell,
    "mm": products.lower_mm,
    "mv": vectors.lower_mv,
    "dot": vectors.lower_dot,
    "linear": products.lower_linear,
    **dict.fromkeys(FOLDS, reductions.lower_fold),
    "upsample": resampling.lower_resize,
    "upsample_backward": resampling.lower_resize,
    "logsumexp": columns.lower_logsumexp,
    "sort": sorting.lower_sort,
    "topk": sorting.lower_topk,
    "mode": sorting.lower_mode,
    **dict.fromkeys(("median", "nanmedian", "kthvalue"), selection.lower_middle),
    "var": spreads.lower_spread,
    "std": spreads.lower_spread,
    **dict.fromkeys(("argmax", "argmin"), lines.lower_pick),
    "max": _max,
    "min": _max,
    **dict.fromkeys(("cumsum", "cumprod"), lines.lower_running),
    **dict.fromkeys(("cummax", "cummin"), lines.lower_running_extreme),
    "nll_loss": losses.lower_nll,
    "nll_loss2d": losses.lower_nll,
    "nll_loss_backward": losses.lower_nll_backward,
    "binary_cross_entropy_terms": losses.lower_binary_terms,
    "mse_loss": losses.lower_squares,
    "softmax": _first_of(rows.lower_softmax, columns.lower_softmax),
    "log_softmax": _first_of(rows.lower_log_softmax, columns.lower_log_softmax),
    "log_softmax_backward": _first_of(
        rows.lower_log_softmax_backward, columns.lower_log_softmax_backward
    ),
    **dict.fromkeys(updates.FORMULAS, updates.lower_update),
}


#: Ops whose code converts operands itself.
CONVERT = (
    *FOLDS, "var", "std", "sort", "topk", "argmax", "argmin", "cumsum", "cumprod", "cummax",
    "cummin", "scatter", "index_copy", "index_fill", "index_put", "constant_pad_nd",
    "im2col", "glu", "max_unpool", "max_pool_take", "median", "nanmedian", "mode", "kthvalue",
)  # fmt: skip
#: Ops whose code depends on what made their operands.
LOOK_BACK = ("max_pool_backward",)


def lower(step: Step, lanes: int, makers: Mapping[int, Call]) -> Lowering | None:
    """How a step becomes code; ``makers`` has the Calls of the plan by the slots they fill.

    The code begins at an operand's first element, wherever that lies in its storage: slices of one
    tensor are read by one kernel. Only an operand that is all of a storage can be written over.
    """
    low = _lower(step, lanes, makers)
    if low is None or not low.pairs:
        return low
    pairs = [(o, n) for o, n in low.pairs if not step.operands[n][1].offset]
    return low._replace(pairs=tuple(pairs))


def _lower(step: Step, lanes: int, makers: Mapping[int, Call]) -> Lowering | None:
    row: Callable[..., Lowering | None] | None = lower_group
    if not isinstance(step.call, Group):
        row = LOWERINGS.get(step.call.op.name)
    if row is None:
        return None
    if any(spec.device is not CPU for _, spec in step.outs):
        return None
    converted = any(c is not None and spec.number is None for _, spec, c in step.operands)
    operands = [
        Array(f"%a{n}", spec if spec.offset == 0 else spec.at_zero(), makers.get(slot))
        for n, (slot, spec, _) in enumerate(step.operands)
    ]
    outs = [Array(f"%o{n}", spec) for n, (_, spec) in enumerate(step.outs)]
    if not isinstance(step.call, Group) and not all(a.spec.compact for a in outs):
        return None
    if isinstance(step.call, Group):
        return row(step.call, operands, outs, lanes)
    low = None
    if not converted or step.call.op.name in CONVERT:
        low = row(step.call, operands, outs, lanes)
    if not converted and all(a.spec.number is not None or a.spec.contiguous for a in operands):
        return low
    return low or lower_widened(row, step.call, operands, outs, lanes)
