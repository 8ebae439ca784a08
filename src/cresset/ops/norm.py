"""Normalisation: batch, layer, group, instance, local response, and vector normalisation.

Each of the first three is one composite node with one composite backward node; their bodies are the
formulas. With x' = (x - mean) * rstd over the normalised dimensions D (m elements), y = x' w + b:

    dx = rstd * (gw - mean_D(gw) - x' * mean_D(gw * x')),   gw = g * w
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from cresset import dtypes
from cresset.core.call import OUT
from cresset.core.modes import THREAD
from cresset.core.tape import derived
from cresset.ops.elementwise import not_a_tensor
from cresset.ops.inplace import assign, scalar_name
from cresset.ops.pointwise import add, div, mul, pow, sub
from cresset.ops.reduce import mean
from cresset.ops.reduce import sum as sum_
from cresset.ops.registry import Op, Tensor, apply
from cresset.ops.view import reshape

_BOTH = "running_mean and running_var must either both be None or neither be None"


def not_differentiable(op: str, argument: str) -> RuntimeError:
    """The error about an operand that has no derivative but requires one."""
    return RuntimeError(
        f"The function '{op}' is not differentiable with respect to argument '{argument}'. This "
        "input cannot have requires_grad True."
    )


def rsqrt(x: Tensor) -> Tensor:
    return pow(x, -0.5)


# -- dtypes ----------------------------------------------------------------------------------------


def _wide(x: Tensor, kernel: str, parameters: Sequence[Tensor]) -> Tensor:
    """The input in the parameters' dtype: half types may have float32 parameters.

    Raises in PyTorch's words for other mixtures. Called where bodies are traced: once per shape.
    """
    d = x._spec.dtype
    if d.category != dtypes.FLOAT:
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{scalar_name(d)}'")
    if all(p._spec.dtype is d for p in parameters):
        return x
    if any(p._spec.dtype is not dtypes.float32 for p in parameters):
        raise RuntimeError("mixed dtype (CPU): expect parameter to have scalar type of Float")
    if d.itemsize != 2:
        raise RuntimeError("mixed dtype (CPU): all inputs must share same datatype.")
    return x.to(dtypes.float32)  # type: ignore[attr-defined]


def _like(y: Tensor, x: Tensor) -> Tensor:
    """``y`` in the dtype of ``x``."""
    d = x._spec.dtype
    return y if y._spec.dtype is d else y.to(d)  # type: ignore[attr-defined]


# -- batch -----------------------------------------------------------------------------------------


def _per_channel(v: Tensor, ndim: int) -> Tensor:
    """A vector of channels, shaped to broadcast over (n, c, ...)."""
    return reshape(v, (1, -1) + (1,) * (ndim - 2))


def _batch_norm_body(x: Tensor, *rest: Any) -> tuple:
    """Operands: x, [weight, bias], eps. Outputs: y, batch mean, reciprocal deviation."""
    *affine, eps, _ = rest
    given = x
    x = _wide(x, "batch_norm", affine)
    ndim = len(x._spec.shape)
    dims = (0, *range(2, ndim))
    centre = mean(x, dims, True)
    centred = sub(x, centre)
    rstd = rsqrt(add(mean(mul(centred, centred), dims, True), eps))
    y = mul(centred, rstd)
    if affine:
        y = add(mul(y, _per_channel(affine[0], ndim)), _per_channel(affine[1], ndim))
    return _like(y, given), reshape(centre, (-1,)), reshape(rstd, (-1,))


def _batch_norm_grad(n: Any, g: Tensor, gm: Any, gr: Any, x: Tensor, *saved: Any) -> tuple:
    *weights, centre, rstd = saved
    needs = n.needs
    if g is None:
        return (None,) * len(needs)
    given = x
    if centre._spec.dtype is not x._spec.dtype:
        g, x = (v.to(centre._spec.dtype) for v in (g, x))
    if THREAD.grad:
        # Differentiable in x: the statistics are recomputed from it.
        ndim = len(x._spec.shape)
        dims = (0, *range(2, ndim))
        centre = mean(x, dims, True)
        moved = sub(x, centre)
        eps = n.numbers[-1]
        rstd = rsqrt(add(mean(mul(moved, moved), dims, True), eps))
        parts = _norm_grad_body(
            g, x, reshape(centre, (-1,)), reshape(rstd, (-1,)), *weights, (True,) * 3
        )
    else:
        parts = apply(BATCH_NORM_GRAD, (g, x, centre, rstd, *weights), ((True,) * 3,))
    if len(needs) == 2:
        return _like(parts[0], given), None
    return _like(parts[0], given), parts[1], parts[2], None


def _norm_grad_body(g: Tensor, x: Tensor, centre: Tensor, rstd: Tensor, *rest: Any) -> tuple:
    *weight, _ = rest
    ndim = len(x._spec.shape)
    dims = (0, *range(2, ndim))
    rstd = _per_channel(rstd, ndim)
    normal = mul(sub(x, _per_channel(centre, ndim)), rstd)
    gw = mul(g, _per_channel(weight[0], ndim)) if weight else g
    inner = sub(sub(gw, mean(gw, dims, True)), mul(normal, mean(mul(gw, normal), dims, True)))
    dx = mul(inner, rstd)
    if not weight:
        return (dx,)
    return dx, sum_(mul(g, normal), dims), sum_(g, dims)


BATCH_NORM_GRAD = Op("native_batch_norm_backward", None, body=_norm_grad_body, multi=True)
BATCH_NORM = Op("native_batch_norm", None, body=_batch_norm_body, vjp=_batch_norm_grad,
                save=(0, OUT - 1, OUT - 2), multi=True)  # fmt: skip
BATCH_NORM_AFFINE = Op("native_batch_norm", None, body=_batch_norm_body, vjp=_batch_norm_grad,
                       save=(0, 1, OUT - 1, OUT - 2), multi=True)  # fmt: skip


def _eval_norm_body(x: Tensor, centre: Tensor, variance: Tensor, *rest: Any) -> Tensor:
    *affine, eps = rest
    given = x
    x = _wide(x, "batch_norm", (centre, variance, *affine))
    ndim = len(x._spec.shape)
    y = mul(sub(x, _per_channel(centre, ndim)), rsqrt(add(_per_channel(variance, ndim), eps)))
    if affine:
        y = add(mul(y, _per_channel(affine[0], ndim)), _per_channel(affine[1], ndim))
    return _like(y, given)


#: Normalisation by given statistics, by how many operands there are.
BATCH_NORM_EVAL = {
    n: Op("batch_norm_eval", None, body=_eval_norm_body, vjp=derived, save=tuple(range(n)),
          grad_name="NativeBatchNormBackward0")
    for n in (4, 6)
}  # fmt: skip


def batch_norm(
    input: Tensor, running_mean: Tensor | None, running_var: Tensor | None,
    weight: Tensor | None = None, bias: Tensor | None = None, training: bool = False,
    momentum: float = 0.1, eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    """Normalise each channel by the batch's statistics (training) or the running ones.

    ``y = (x - mean) / sqrt(var + eps) * weight + bias``; the running statistics move by
    ``momentum`` towards the batch's mean and unbiased variance (Ioffe and Szegedy, 2015).

    Shapes: input (n, c, ...); the others (c).
    """
    try:
        shape = input._spec.shape
    except AttributeError:
        raise not_a_tensor("batch_norm", input) from None
    if training and math.prod(shape[:1] + shape[2:]) == 1:
        raise ValueError(
            f"Expected more than 1 value per channel when training, got input size {input.shape}"
        )
    if training and (running_mean is None) != (running_var is None):
        raise ValueError(_BOTH)
    for v, name in ((running_mean, "running_mean"), (running_var, "running_var"),
                    (weight, "weight"), (bias, "bias")):  # fmt: skip
        if v is None:
            if not training and name.startswith("running"):
                raise RuntimeError(f"{name} must be defined in evaluation mode")
        elif v._spec.numel != shape[1]:
            raise RuntimeError(f"{name} should contain {shape[1]} elements not {v._spec.numel}")
        elif v._requires_grad and THREAD.grad and name.startswith("running"):
            raise not_differentiable("native_batch_norm", name)
    if (weight is None) != (bias is None):
        like = weight if weight is not None else bias
        assert like is not None
        weight = like.new_ones(like.shape) if weight is None else weight  # type: ignore[attr-defined]
        bias = like.new_zeros(like.shape) if bias is None else bias  # type: ignore[attr-defined]
    affine = () if weight is None else (weight, bias)
    if not training:
        operands = (input, running_mean, running_var, *affine, eps)
        return apply(BATCH_NORM_EVAL[len(operands)], operands)
    op = BATCH_NORM_AFFINE if affine else BATCH_NORM
    y, centre, rstd = apply(op, (input, *affine, eps), ("batch",))
    if running_mean is not None and running_var is not None:
        count = math.prod(shape) // shape[1]
        grad, THREAD.grad = THREAD.grad, False
        try:
            moved = apply(RUNNING, (running_mean, running_var, centre.detach(), rstd.detach(), eps,
                                    momentum, count / max(count - 1, 1)))  # fmt: skip
            assign(running_mean, moved[0])
            assign(running_var, moved[1])
        finally:
            THREAD.grad = grad
    return y


def _running_body(
    old_mean: Tensor, old_var: Tensor, centre: Tensor, rstd: Tensor, eps: Any, momentum: Any,
    unbias: Any,
) -> tuple:  # fmt: skip
    variance = mul(sub(div(1.0, mul(rstd, rstd)), eps), unbias)
    new_mean = add(old_mean, mul(sub(centre, old_mean), momentum))
    return new_mean, add(old_var, mul(sub(variance, old_var), momentum))


RUNNING = Op("batch_norm_running", None, body=_running_body, multi=True)


# -- layer -----------------------------------------------------------------------------------------


def _layer_norm_body(x: Tensor, *rest: Any) -> tuple:
    """Operands: x, [weight, [bias]], eps; param: how many trailing dimensions."""
    *affine, eps, count = rest
    given = x
    x = _wide(x, "LayerNormKernelImpl", affine)
    dims = tuple(range(-count, 0))
    centre = mean(x, dims, True)
    centred = sub(x, centre)
    rstd = rsqrt(add(mean(mul(centred, centred), dims, True), eps))
    y = mul(centred, rstd)
    if affine:
        y = mul(y, affine[0])
    if len(affine) > 1:
        y = add(y, affine[1])
    return _like(y, given), centre, rstd


def _layer_norm_grad(n: Any, g: Tensor, gm: Any, gr: Any, x: Tensor, *saved: Any) -> tuple:
    *weights, centre, rstd = saved
    count = n.call.params[0]
    affine = len(n.needs) - 2
    if g is None:
        return (None,) * len(n.needs)
    given = x
    if centre._spec.dtype is not x._spec.dtype:
        g, x = (v.to(centre._spec.dtype) for v in (g, x))
    if THREAD.grad:
        dims = tuple(range(-count, 0))
        centre = mean(x, dims, True)
        moved = sub(x, centre)
        rstd = rsqrt(add(mean(mul(moved, moved), dims, True), n.numbers[-1]))
        parts = _layer_norm_grad_body(g, x, centre, rstd, *weights, count, affine)
    else:
        parts = apply(LAYER_NORM_GRAD, (g, x, centre, rstd, *weights), (count, affine))
    return (_like(parts[0], given), *parts[1:], None)


def _layer_norm_grad_body(g: Tensor, x: Tensor, centre: Tensor, rstd: Tensor, *rest: Any) -> tuple:
    *weight, count, affine = rest
    dims = tuple(range(-count, 0))
    normal = mul(sub(x, centre), rstd)
    gw = mul(g, weight[0]) if weight else g
    inner = sub(sub(gw, mean(gw, dims, True)), mul(normal, mean(mul(gw, normal), dims, True)))
    parts = [mul(inner, rstd)]
    outer = tuple(range(len(x._spec.shape) - count))
    if affine:
        gx = mul(g, normal)
        parts.append(sum_(gx, outer) if outer else gx)
    if affine > 1:
        parts.append(sum_(g, outer) if outer else mul(g, 1.0))
    return tuple(parts)


LAYER_NORM_GRAD = Op("native_layer_norm_backward", None, body=_layer_norm_grad_body, multi=True)
LAYER_NORM = {
    affine: Op(
        "native_layer_norm", None, body=_layer_norm_body, vjp=_layer_norm_grad, multi=True,
        save=(0, OUT - 1, OUT - 2) if affine == 0 else (0, 1, OUT - 1, OUT - 2),
    )
    for affine in (0, 1, 2)
}  # fmt: skip


def layer_norm(
    input: Tensor, normalized_shape: Any, weight: Tensor | None = None, bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    """Normalise over the trailing dimensions ``normalized_shape`` (Ba, Kiros and Hinton, 2016).

    >>> import cresset as torch
    >>> torch.nn.functional.layer_norm(torch.tensor([[1., 3.]]), (2,))
    tensor([[-1.0000,  1.0000]])
    """
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    try:
        have = tuple(input._spec.shape)
    except AttributeError:
        raise not_a_tensor("layer_norm", input) from None
    if have[len(have) - len(shape) :] != shape or not shape:
        raise _wrong_rows(shape, have, ", ")
    for v, name in ((weight, "weight"), (bias, "bias")):
        if v is not None and tuple(v._spec.shape) != shape:
            raise RuntimeError(
                f"Expected {name} to be of same shape as normalized_shape, but got {name} of shape "
                f"{list(v.shape)} and normalized_shape = {list(shape)}"
            )
    if weight is None and bias is not None:
        weight = bias.new_ones(bias.shape)  # type: ignore[attr-defined]
    affine = tuple(v for v in (weight, bias) if v is not None)
    return apply(LAYER_NORM[len(affine)], (input, *affine, eps), (len(shape),))[0]


def _wrong_rows(shape: tuple, have: tuple, before: str) -> RuntimeError:
    if not shape:
        return RuntimeError(
            "Expected normalized_shape to be at least 1-dimensional, i.e., containing at least one "
            "element, but got normalized_shape = []"
        )
    inner = before + ", ".join(map(str, shape))
    return RuntimeError(
        f"Given normalized_shape={list(shape)}, expected input with shape [*{inner}], but got "
        f"input of size{list(have)}"
    )


def rms_norm(
    input: Tensor, normalized_shape: Any, weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """``x / sqrt(mean(x ** 2) + eps) * weight`` over the trailing dimensions."""
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    have = tuple(input._spec.shape)
    if have[len(have) - len(shape) :] != shape or not shape:
        raise _wrong_rows(shape, have, "")
    if weight is not None and tuple(weight._spec.shape) != shape:
        raise RuntimeError(
            "Expected weight to be of same shape as normalized_shape, but got weight of shape "
            f"{list(weight.shape)} and normalized_shape = {list(shape)}"
        )
    if input._spec.dtype.category < dtypes.FLOAT:
        name = scalar_name(input._spec.dtype)
        raise NotImplementedError(f"\"rms_norm\" not implemented for '{name}'")
    dims = tuple(range(-len(shape), 0))
    tiny = dtypes.finfo(input.dtype).eps if eps is None else eps
    y = mul(input, rsqrt(add(mean(mul(input, input), dims, True), tiny)))
    return y if weight is None else _like(mul(y, weight), input)


# -- group and instance ----------------------------------------------------------------------------


def group_norm(
    input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    """Normalise each sample over groups of channels (Wu and He, 2018): input (n, c, ...)."""
    shape = input._spec.shape
    if len(shape) < 2:
        raise RuntimeError(
            f"Expected at least 2 dimensions for input tensor but received {len(shape)}"
        )
    n, c = shape[:2]
    # What PyTorch counts here, for 0 groups too.
    sizes = [n * c // num_groups, num_groups, *shape[2:]]
    if math.prod((sizes[0], *shape[2:])) == 1:
        raise ValueError(
            f"Expected more than 1 value per channel when training, got input size {sizes}"
        )
    if num_groups < 0:
        raise RuntimeError(f"Expected num groups to be greater than 0, got {num_groups}")
    if c % num_groups:
        raise RuntimeError(
            f"Expected number of channels in input to be divisible by num_groups, but got input of "
            f"shape {list(shape)} and num_groups={num_groups}"
        )
    for v, name in ((weight, "weight"), (bias, "bias")):
        if v is not None and tuple(v._spec.shape) != (c,):
            shown = [0] if weight is None else list(weight.shape)
            raise RuntimeError(
                f"Expected {name} to be a vector of size equal to the number of channels in input, "
                f"but got {name} of shape {shown} and input of shape {list(shape)}"
            )
    operands = tuple(v for v in (input, weight, bias) if v is not None)
    given = (weight is not None, bias is not None)
    return apply(GROUP_NORM[len(operands)], (*operands, eps), (num_groups, *given))


def _group_norm_body(x: Tensor, *rest: Any) -> Tensor:
    """Operands: x, [weight], [bias], eps; params: groups, which of the two are given."""
    *affine, eps, groups, weighted, biased = rest
    shape = x._spec.shape
    wide = _wide(x, "GroupNormKernelImpl", affine)
    flat = reshape(wide, (shape[0], groups, math.prod(shape[1:]) // groups))
    y = reshape(apply(LAYER_NORM[0], (flat, eps), (1,))[0], shape)
    if weighted:
        y = mul(y, _per_channel(affine[0], len(shape)))
    if biased:
        y = add(y, _per_channel(affine[-1], len(shape)))
    return _like(y, x)


GROUP_NORM = {
    n: Op("native_group_norm", None, body=_group_norm_body, vjp=derived, save=tuple(range(n + 1)))
    for n in (1, 2, 3)
}


def instance_norm(
    input: Tensor, running_mean: Tensor | None = None, running_var: Tensor | None = None,
    weight: Tensor | None = None, bias: Tensor | None = None, use_input_stats: bool = True,
    momentum: float = 0.1, eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    """Normalise each channel of each sample by its own statistics: input (n, c, ...).

    It is batch normalisation of one sample with n * c channels.
    """
    shape = input._spec.shape
    n, c = shape[:2]
    if use_input_stats:
        if math.prod(shape[2:]) == 1:
            raise ValueError(
                f"Expected more than 1 spatial element when training, got input size {input.shape}"
            )
        if (running_mean is None) != (running_var is None):
            raise ValueError(_BOTH)
    elif running_mean is None or running_var is None:
        raise RuntimeError(
            "Expected running_mean and running_var to be defined when use_input_stats is false"
        )
    means, variances, weights, biases = (
        None if v is None else v.repeat(n)  # type: ignore[attr-defined]
        for v in (running_mean, running_var, weight, bias)
    )
    flat = reshape(input, (1, n * c, *shape[2:]))
    y = reshape(
        batch_norm(flat, means, variances, weights, biases, use_input_stats, momentum, eps), shape
    )
    if use_input_stats and running_mean is not None and running_var is not None:
        grad, THREAD.grad = THREAD.grad, False
        try:
            for kept, moved in ((running_mean, means), (running_var, variances)):
                assert moved is not None
                assign(kept, mean(reshape(moved, (n, c)), 0))
        finally:
            THREAD.grad = grad
    return y


def local_response_norm(
    input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """``x / (k + alpha * mean of squares over size neighbouring channels) ** beta``."""
    from cresset.ops.avg_pool import avg_pool2d
    from cresset.ops.padding import pad

    shape = input._spec.shape
    if len(shape) < 3:
        raise ValueError(
            "Expected 3D or higher dimensionality                          input (got "
            f"{len(shape)} dimensions)"
        )
    squares = reshape(mul(input, input), (shape[0], 1, shape[1], -1))
    squares = pad(squares, (0, 0, size // 2, (size - 1) // 2))
    means = reshape(avg_pool2d(squares, (size, 1), 1), shape)
    return div(input, pow(add(mul(means, alpha), k), beta))


TORCH = ("batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm")
