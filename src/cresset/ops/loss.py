"""Losses. Each takes ``reduction`` 'mean', 'sum' or 'none', and the old
``size_average``/``reduce``.

``nll_loss`` and ``mse_loss`` have backward nodes of their own, because every training step ends in
one of them; the others are formulas over ops.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

from cresset import dtypes
from cresset.core.call import OUT
from cresset.core.modes import THREAD
from cresset.core.spec import Spec, dense
from cresset.core.tape import derived
from cresset.ops.activation import log_softmax
from cresset.ops.elementwise import not_a_tensor, pointwise
from cresset.ops.inplace import scalar_name
from cresset.ops.math import abs as abs_
from cresset.ops.norm import not_differentiable
from cresset.ops.pointwise import add, div, mul, neg, pow, sub
from cresset.ops.reduce import mean
from cresset.ops.reduce import sum as sum_
from cresset.ops.registry import Op, Result, Tensor, apply, broadcast_shapes
from cresset.ops.replayed import replayed
from cresset.ops.view import expand, reshape


def reduction_of(
    reduction: str, size_average: bool | None = None, reduce: bool | None = None
) -> str:
    """The reduction meant by the new argument or by the deprecated pair."""
    if size_average is None and reduce is None:
        if reduction not in ("none", "mean", "sum"):
            raise ValueError(f"{reduction} is not a valid value for reduction")
        return reduction
    found = "none" if reduce is False else "sum" if size_average is False else "mean"
    warnings.warn(
        f"size_average and reduce args will be deprecated, please use reduction='{found}' instead.",
        UserWarning,
        stacklevel=3,
    )
    return found


def reduced(values: Tensor, reduction: str) -> Tensor:
    """Elementwise losses, reduced."""
    if reduction == "mean":
        return mean(values)
    return sum_(values) if reduction == "sum" else values


# -- mean squared error ----------------------------------------------------------------------------


def _mse_infer(x: Spec, y: Spec, reduction: str) -> Result:
    from cresset.ops.registry import broadcast_out

    d = dtypes.promote(x.dtype, y.dtype)  # PyTorch expands both first, 0-dim ones too
    if d.category != dtypes.FLOAT:
        raise NotImplementedError(f"\"mse_cpu\" not implemented for '{scalar_name(d)}'")
    out = broadcast_out((x, y), d)
    return Result((out if reduction == "none" else dense(d, (), out.device),), d)


def _mse_kernel(xp: Any, x: Any, y: Any, reduction: str) -> Any:
    difference = x - y
    squares = difference * difference
    if reduction == "none":
        return squares
    total = squares.sum()
    return total / squares.dtype.type(squares.size) if reduction == "mean" else total


def _mse_slope(n: Any, g: Tensor, x: Tensor, y: Tensor, sign: float) -> Tensor:
    reduction = n.call.params[0]
    shape = broadcast_shapes(x._spec.shape, y._spec.shape)
    scale = 2.0 * sign / (math.prod(shape) if reduction == "mean" else 1)
    return mul(mul(sub(x, y), scale), g)


def _mse_grad(n: Any, g: Tensor, x: Tensor, y: Tensor) -> tuple:
    needs = n.needs
    return tuple(
        _mse_slope(n, g, x, y, sign)._reduce_to(spec.shape, spec.dtype) if needed else None
        for needed, sign, spec in zip(needs, (1.0, -1.0), n.call.specs, strict=True)
    )


MSE = Op("mse_loss", _mse_infer, _mse_kernel, vjp=_mse_grad, save=(0, 1), family="loss")


def warn_sizes(input: Tensor, target: Tensor) -> None:
    """Warn, as PyTorch does, where the operands of a loss will be broadcast."""
    if target._spec.shape != input._spec.shape:
        warnings.warn(
            f"Using a target size ({target.shape}) that is different to the input size "
            f"({input.shape}). This will likely lead to incorrect results due to broadcasting. "
            "Please ensure they have the same size.",
            UserWarning,
            stacklevel=3,
        )


def check_weights(input: Tensor, weight: Tensor) -> None:
    """The weights of elements are as many as the elements."""
    if weight._spec.shape != input._spec.shape:
        raise ValueError("Weights and input must have the same size.")


def mse_loss(
    input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None,
    reduction: str = "mean", weight: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """``(input - target) ** 2``.

    >>> import cresset as torch
    >>> torch.nn.functional.mse_loss(torch.tensor([1., 2.]), torch.tensor([0., 4.]))
    tensor(2.5000)
    """
    reduction = reduction_of(reduction, size_average, reduce)
    warn_sizes(input, target)
    if weight is not None:
        check_weights(input, weight)
        squares = mul(pow(sub(input, target), 2), weight)
        if reduction == "mean":
            return div(sum_(squares), sum_(expand(weight, squares._spec.shape)))
        return reduced(squares, reduction)
    return apply(MSE, (input, target), (reduction,))


# -- negative log likelihood -----------------------------------------------------------------------


def _nll_infer(x: Spec, target: Spec, *rest: Any) -> Result:
    weight = rest[0] if isinstance(rest[0], Spec) else None
    reduction = rest[-2]
    _check_target_shape(tuple(x.shape), tuple(target.shape))
    classes = x.shape[1]
    if target.dtype not in (dtypes.int64, dtypes.uint8):
        raise RuntimeError(
            f"expected target dtype to be Long or Byte, but got {scalar_name(target.dtype)}"
        )
    if x.dtype.category < dtypes.FLOAT:
        raise NotImplementedError(
            f"\"nll_loss_out_frame\" not implemented for '{scalar_name(x.dtype)}'"
        )
    if weight is not None:
        if weight.shape != (classes,):
            raise RuntimeError(
                f"weight tensor should be defined either for all {classes} classes or no classes "
                f"but got weight tensor of shape: {list(weight.shape)}"
            )
        if weight.dtype is not x.dtype:
            raise RuntimeError(
                f"expected scalar type {scalar_name(x.dtype)} but found {scalar_name(weight.dtype)}"
            )
    shape = target.shape if reduction == "none" else ()
    return Result((dense(x.dtype, shape, x.device), dense(x.dtype, (), x.device)))


def _check_target_shape(shape: tuple, t_shape: tuple) -> None:
    if len(shape) == 2 and len(t_shape) > 1:
        raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
    if shape[:1] != t_shape[:1]:
        raise ValueError(
            f"Expected input batch_size ({shape[0]}) to match target batch_size "
            f"({t_shape[0] if t_shape else 0})."
        )
    if shape[:1] + shape[2:] == t_shape:
        return
    if len(shape) != 4:
        wanted = list(shape[:1] + shape[2:])
        raise RuntimeError(f"Expected target size {wanted}, got {list(t_shape)}")
    if len(t_shape) != 3:
        raise RuntimeError(
            "only batches of spatial targets supported (3D tensors) but got targets of dimension: "
            f"{len(t_shape)}"
        )
    raise RuntimeError(f"size mismatch (got input: {list(shape)} , target: {list(t_shape)}")


def _weights_of(xp: Any, x: Any, target: Any, weight: Any, ignore: int) -> tuple[Any, Any]:
    """The class of each sample (0 where ignored) and what it counts."""
    counted = target != ignore
    safe = xp.where(counted, target, 0)
    if safe.size and (int(safe.min()) < 0 or int(safe.max()) >= x.shape[1]):
        bad = safe[(safe < 0) | (safe >= x.shape[1])].reshape(-1)[0]
        raise IndexError(f"Target {int(bad)} is out of bounds.")
    w = counted.astype(x.dtype) if weight is None else weight[safe] * counted
    return safe, w


def _nll_kernel(xp: Any, x: Any, target: Any, *rest: Any) -> tuple:
    *weight, reduction, ignore = rest
    target = target.astype(xp.int64)
    safe, w = _weights_of(xp, x, target, weight[0] if weight else None, ignore)
    picked = xp.take_along_axis(x, safe[:, None], 1)[:, 0]
    losses = -picked * w
    losses = xp.where(w != 0, losses, xp.zeros_like(losses))
    total = w.sum()
    if reduction == "none":
        return losses, total
    summed = losses.sum()
    return (summed / total if reduction == "mean" else summed), total


def _nll_grad(n: Any, g: Tensor, gt: Any, target: Tensor, *rest: Tensor) -> tuple:
    *weight, total = rest
    if g is None:
        return (None,) * len(n.needs)
    classes = n.call.specs[0].shape[1]
    dx = apply(NLL_BACKWARD[bool(weight)], (g, target, total, *weight), (classes, *n.call.params))
    return (dx, *(None,) * (len(n.needs) - 1))


def _nll_backward_infer(g: Spec, target: Spec, *rest: Any) -> Result:
    classes = rest[-3]
    return Result((dense(g.dtype, (target.shape[0], classes, *target.shape[1:]), g.device),))


def _nll_backward_kernel(xp: Any, g: Any, target: Any, total: Any, *rest: Any) -> Any:
    *weight, classes, reduction, ignore = rest
    shape = (target.shape[0], classes, *target.shape[1:])
    result = xp.zeros(shape, g.dtype)
    target = target.astype(xp.int64)
    safe, w = _weights_of(xp, result, target, weight[0] if weight else None, ignore)
    value = -w * (g / total if reduction == "mean" else g)
    value = xp.where(w != 0, value, xp.zeros_like(value)).astype(g.dtype)
    xp.put_along_axis(result, safe[:, None], value[:, None], 1)
    return result


def _nll_backward_grad(n: Any, gg: Tensor, target: Tensor, total: Tensor, *weight: Tensor) -> tuple:
    """Linear in g: the same selection of gg, weighted alike."""
    classes, reduction, ignore = n.call.params
    picked = apply(
        NLL[bool(weight)],
        (gg, target, *weight),
        ("none" if reduction == "none" else reduction, ignore),
    )[0]
    return (picked, *(None,) * (len(n.needs) - 1))


NLL_BACKWARD = {
    weighted: Op("nll_loss_backward", _nll_backward_infer, _nll_backward_kernel,
                 vjp=_nll_backward_grad, save=(1, 2, 3) if weighted else (1, 2), family="loss")
    for weighted in (False, True)
}  # fmt: skip


def _nll_op(weighted: bool, grad_name: str, name: str = "nll_loss2d") -> Op:
    return Op(
        name, _nll_infer, _nll_kernel, vjp=_nll_grad, checks_values=True, family="loss",
        save=(1, 2, OUT - 1) if weighted else (1, OUT - 1), multi=True, grad_name=grad_name,
    )  # fmt: skip


#: Of rows of classes, of images, and of other shapes: PyTorch folds those into images.
NLL = {weighted: _nll_op(weighted, "NllLossBackward0", "nll_loss") for weighted in (False, True)}
NLL_2D = {weighted: _nll_op(weighted, "NllLoss2DBackward0") for weighted in (False, True)}
NLL_FOLDED = {weighted: _nll_op(weighted, "ViewBackward0") for weighted in (False, True)}


def _nll_single(x: Tensor, target: Tensor, *rest: Any) -> Tensor:
    *weights, reduction, ignore = rest
    operands = (reshape(x, (1, -1)), target, *weights)
    return reshape(apply(NLL[bool(weights)], operands, (reduction, ignore))[0], ())


#: Of one sample: one row of classes, one target.
NLL_SINGLE = {
    weighted: Op("nll_loss_single", None, body=_nll_single, vjp=derived, checks_values=True,
                 save=(0, 1, 2) if weighted else (0, 1), grad_name="NllLossBackward0")
    for weighted in (False, True)
}  # fmt: skip
#: The mean of a loss of probabilities: division by a number inside PyTorch's own code.
DIV_BY_COUNT = pointwise(
    "div", lambda xp, a, b: xp.true_divide(a, b), (lambda n, g: div(g, n.numbers[1]), None),
    rule="float", grad_name="DivBackward1",
)  # fmt: skip


def nll_loss(
    input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: bool | None = None,
    ignore_index: int = -100, reduce: bool | None = None, reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """``-weight[target] * input[target]`` for log-probabilities ``input``.

    Shapes: input (c), (n, c) or (n, c, ...); target without the class dimension. 'mean' divides by
    the sum of the weights of the targets that count.

    >>> import cresset as torch
    >>> torch.nn.functional.nll_loss(torch.tensor([[-1., -2.]]), torch.tensor([1]))
    tensor(2.)
    """
    reduction = reduction_of(reduction, size_average, reduce)
    return _nll(input, target, weight, ignore_index, reduction)


def _nll(x: Tensor, target: Tensor, weight: Tensor | None, ignore: int, reduction: str) -> Tensor:
    ndim = len(x._spec.shape)
    if ndim < 1:
        raise ValueError(f"Expected 1 or more dimensions (got {ndim})")
    if ndim == 1:
        if len(target._spec.shape) > 1:
            raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
        if target._spec.numel != 1:
            raise ValueError(
                "For 1D input, 1D target must have size 1, but got target size: "
                f"{target._spec.numel}"
            )
        target = reshape(target, (1,))
    weights: tuple = ()
    if weight is not None:
        weights = (weight,)
        if weight._requires_grad and THREAD.grad:
            kind = "nll_loss_forward" if ndim <= 2 else "nll_loss2d_forward"
            raise not_differentiable(kind, "weight")
    if ndim == 1:
        op = NLL_SINGLE[bool(weights)]
        return apply(op, (x, target, *weights), (reduction, ignore))
    table = NLL if ndim == 2 else NLL_FOLDED if ndim != 4 and reduction == "none" else NLL_2D
    return apply(table[bool(weights)], (x, target, *weights), (reduction, ignore))[0]


def cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: bool | None = None,
    ignore_index: int = -100, reduce: bool | None = None, reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:  # fmt: skip
    """Log-softmax over classes, then the negative log likelihood of ``target``.

    ``target`` holds class numbers (shape without the class dimension) or probabilities (shape of
    ``input``). ``label_smoothing`` mixes the target with the uniform distribution
    (Szegedy et al., 2016).

    >>> import cresset as torch
    >>> torch.nn.functional.cross_entropy(torch.tensor([[0., 0.]]), torch.tensor([1]))
    tensor(0.6931)
    """
    reduction = reduction_of(reduction, size_average, reduce)
    try:
        shape, t_shape = input._spec.shape, target._spec.shape
    except AttributeError:
        if isinstance(input, Tensor):
            raise not_a_tensor("cross_entropy_loss", target, "target", 2) from None
        raise not_a_tensor("cross_entropy_loss", input) from None
    axis = 0 if len(shape) == 1 else 1
    if not 0.0 <= label_smoothing <= 1.0:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing:g}")
    if t_shape == shape:
        if not target._spec.dtype.is_floating_point:
            raise RuntimeError(
                "Expected floating point type for target with class probabilities, got "
                f"{scalar_name(target._spec.dtype)}"
            )
        if ignore_index >= 0:
            raise RuntimeError("ignore_index is not supported for floating point target")
        if weight is not None and tuple(weight._spec.shape) != (shape[axis],):
            raise RuntimeError(
                f"cross_entropy: weight tensor should be defined either for all {shape[axis]} "
                f"classes or no classes but got weight tensor of shape: {list(weight.shape)}"
            )
        return _soft_cross_entropy(input, target, weight, reduction, label_smoothing, axis)
    params = (axis, ignore_index, reduction, label_smoothing)
    if weight is None:
        return replayed(_class_cross_entropy, (input, target), params)
    return _class_cross_entropy(input, target, *params, weight)


def _class_cross_entropy(
    x: Tensor, target: Tensor, axis: int, ignore: int, reduction: str, smoothing: float,
    weight: Tensor | None = None,
) -> Tensor:  # fmt: skip
    logp = log_softmax(x, axis)
    if smoothing == 0.0:
        return _nll(logp, target, weight, ignore, reduction)
    return _smoothed(logp, target, weight, ignore, reduction, smoothing, axis)


def _soft_cross_entropy(
    x: Tensor, target: Tensor, weight: Tensor | None, reduction: str, smoothing: float, axis: int
) -> Tensor:
    classes = x._spec.shape[axis]
    if smoothing > 0:
        target = add(mul(target, 1 - smoothing), smoothing / classes)
    terms = mul(log_softmax(x, axis), target)
    if weight is not None:
        terms = mul(terms, reshape(weight, (-1,) + (1,) * (len(x._spec.shape) - axis - 1)))
    if reduction == "none":
        return neg(sum_(terms, axis))
    total = neg(sum_(terms))
    if reduction == "sum":
        return total
    return apply(DIV_BY_COUNT, (total, x._spec.numel // classes))


def _smoothed(
    logp: Tensor, target: Tensor, weight: Tensor | None, ignore: int, reduction: str,
    smoothing: float, axis: int,
) -> Tensor:  # fmt: skip
    """(1 - s) * nll + s / classes * (sum over classes of -w logp), the ignored left out."""
    classes = logp._spec.shape[axis]
    plain = _nll(logp, target, weight, ignore, reduction)
    spread = logp
    if weight is not None:
        spread = mul(spread, reshape(weight, (-1,) + (1,) * (len(logp._spec.shape) - axis - 1)))
    smooth = neg(sum_(spread, axis))
    ignored = target.eq(ignore)  # type: ignore[attr-defined]
    smooth = smooth.masked_fill(ignored, 0.0)  # type: ignore[attr-defined]
    if reduction == "mean":
        if weight is None:
            count = sum_(ignored.logical_not().to(logp.dtype))  # type: ignore[attr-defined]
        else:
            safe = target.masked_fill(ignored, 0)  # type: ignore[attr-defined]
            picked = weight.index_select(0, reshape(safe, (-1,)))  # type: ignore[attr-defined]
            count = sum_(reshape(picked, target._spec.shape).masked_fill(ignored, 0.0))  # type: ignore[attr-defined]
        smooth = div(sum_(smooth), count)
    elif reduction == "sum":
        smooth = sum_(smooth)
    return add(mul(plain, 1 - smoothing), mul(smooth, smoothing / classes))


# -- elementwise losses ----------------------------------------------------------------------------


def l1_loss(
    input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None,
    reduction: str = "mean", weight: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """``|input - target|``.

    >>> import cresset as torch
    >>> torch.nn.functional.l1_loss(torch.tensor([1., 2.]), torch.tensor([0., 4.]))
    tensor(1.5000)
    """
    reduction = reduction_of(reduction, size_average, reduce)
    warn_sizes(input, target)
    values = abs_(sub(input, target))
    if weight is not None:
        check_weights(input, weight)
        values = mul(values, weight)
        if reduction == "mean":
            return div(sum_(values), sum_(expand(weight, values._spec.shape)))
    return reduced(values, reduction)


def kl_div(
    input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None,
    reduction: str = "mean", log_target: bool = False,
) -> Tensor:  # fmt: skip
    """``target * (log target - input)`` for log-probabilities ``input``; 'batchmean' divides by
    n."""
    batch = reduction == "batchmean"
    if reduction == "mean":
        warnings.warn(
            "reduction: 'mean' divides the total loss by both the batch size and the support size."
            "'batchmean' divides only by the batch size, and aligns with the KL div math "
            "definition.'mean' will be changed to behave the same as 'batchmean' in the next major "
            "release.",
            UserWarning,
            stacklevel=2,
        )
    reduction = "sum" if batch else reduction_of(reduction, size_average, reduce)
    if log_target:
        values = mul(target.exp(), sub(target, input))  # type: ignore[attr-defined]
    else:
        values = sub(target.xlogy(target), mul(target, input))  # type: ignore[attr-defined]
    total = reduced(values, reduction)
    return div(total, input._spec.shape[0]) if batch and input._spec.shape else total


def poisson_nll_loss(
    input: Tensor, target: Tensor, log_input: bool = True, full: bool = False,
    size_average: bool | None = None, eps: float = 1e-8, reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """``exp(input) - target * input`` (or ``input - target * log(input + eps)``)."""
    reduction = reduction_of(reduction, size_average, reduce)
    if log_input:
        values = sub(input.exp(), mul(target, input))  # type: ignore[attr-defined]
    else:
        values = sub(input, mul(target, add(input, eps).log()))  # type: ignore[attr-defined]
    if full:
        stirling = add(
            sub(mul(target, target.log()), target),  # type: ignore[attr-defined]
            mul(mul(target, 2 * math.pi).log(), 0.5),  # type: ignore[attr-defined]
        )
        values = add(values, stirling.masked_fill(target.le(1), 0))  # type: ignore[attr-defined]
    return reduced(values, reduction)


def gaussian_nll_loss(
    input: Tensor, target: Tensor, var: Any, full: bool = False, eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """``(log var + (input - target) ** 2 / var) / 2``."""
    if not isinstance(var, Tensor):
        if var < 0:
            raise ValueError("var has negative entry/entries")
        var = input.new_full(input.shape, var)  # type: ignore[attr-defined]
    have, given = tuple(input.shape), tuple(var.shape)
    if given != have:
        if have[:-1] == given:
            var = var.unsqueeze(-1)
        elif have[:-1] != given[:-1] or given[-1] != 1:
            raise ValueError("var is of incorrect size")
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not valid")
    if bool((var.detach() < 0).any()):
        raise ValueError("var has negative entry/entries")
    var = var.clone()
    var = var.clamp_min(eps)
    values = mul(add(var.log(), div(pow(sub(input, target), 2), var)), 0.5)
    if full:
        values = add(values, 0.5 * math.log(2 * math.pi))
    return reduced(values, reduction)


TORCH = ("kl_div", "poisson_nll_loss")
