"""Activation functions. The common ones are one node each way; the rest are formulas over ops."""

from __future__ import annotations

import math as _math
from typing import Any

from cresset import dtypes
from cresset.core.call import OUT
from cresset.core.spec import Spec, dense, like
from cresset.dtypes import dtype
from cresset.ops.cast import cast
from cresset.ops.inplace import assign, into, scalar_name
from cresset.ops.math import erf, exp, sigmoid, special, tanh
from cresset.ops.pointwise import add, div, mul, neg, pointwise, sub
from cresset.ops.reduce import sum as sum_
from cresset.ops.registry import Op, Result, Tensor, apply, wrap_dim
from cresset.ops.select import where


def _in(x: Tensor, result: Tensor, inplace: bool) -> Tensor:
    return assign(x, result) if inplace else result


# -- relu -------------------------------------------------------------------------------------------


def _relu_rule(s: Spec) -> Result:
    if s.dtype is dtypes.bool_:
        raise RuntimeError("Boolean inputs not supported for relu")
    if s.dtype.is_complex:
        raise RuntimeError(f"\"clamp_min_scalar_cpu\" not implemented for '{scalar_name(s.dtype)}'")
    return Result((like(s),), s.dtype)


def _masked_rule(g: Spec, y: Spec) -> Result:
    return Result((like(g),), g.dtype)


RELU_BACKWARD = Op(
    "relu_backward", _masked_rule, lambda xp, g, y: xp.where(y > 0, g, xp.zeros((), g.dtype)),
    vjp=(lambda n, h, y: apply(RELU_BACKWARD, (h, y)), None), save=(1,), family="pointwise",
    grad_name="ThresholdBackwardBackward0",
)  # fmt: skip
RELU = Op(
    "relu", _relu_rule, lambda xp, x: xp.maximum(x, 0),
    vjp=(lambda n, g, y: apply(RELU_BACKWARD, (g, y)),), save=(OUT,), family="pointwise",
)  # fmt: skip


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """``max(input, 0)``.

    >>> import cresset as torch
    >>> torch.relu(torch.tensor([-1., 2.]))
    tensor([0., 2.])
    """
    result = apply(RELU, (input,))
    return assign(input, result) if inplace else result


# -- softmax ----------------------------------------------------------------------------------------


def _softmax_infer(s: Spec, dim: int, d: dtype) -> Result:
    if d.category < dtypes.FLOAT:
        raise RuntimeError(f"\"softmax_lastdim_kernel_impl\" not implemented for '{scalar_name(d)}'")
    return Result((dense(d, s.shape, s.device),), d)


def _softmax_kernel(xp: Any, x: Any, dim: int, d: dtype) -> Any:
    if x.size == 0:
        return x.copy()
    if x.ndim == 0:
        return xp.ones_like(x)
    e = x - xp.max(x, axis=dim, keepdims=True)
    xp.exp(e, out=e)
    e /= xp.sum(e, axis=dim, keepdims=True)
    return e


def _log_softmax_kernel(xp: Any, x: Any, dim: int, d: dtype) -> Any:
    if x.size == 0:
        return x.copy()
    if x.ndim == 0:
        return xp.zeros_like(x)
    shifted = x - xp.max(x, axis=dim, keepdims=True)
    shifted -= xp.log(xp.sum(xp.exp(shifted), axis=dim, keepdims=True))
    return shifted


def _grad_rule(g: Spec, y: Spec, dim: int) -> Result:
    return Result((dense(g.dtype, g.shape, g.device),), g.dtype)


def _softmax_backward_body(g: Tensor, y: Tensor, dim: int) -> Tensor:
    gy = mul(g, y)
    return sub(gy, mul(y, sum_(gy, dim, True) if gy.ndim else gy))


SOFTMAX_BACKWARD = Op("softmax_backward", None, body=_softmax_backward_body, family="reduce")


def _log_softmax_backward_kernel(xp: Any, g: Any, y: Any, dim: int) -> Any:
    if g.ndim == 0:
        return xp.zeros_like(g)
    return g - xp.exp(y) * xp.sum(g, axis=dim, keepdims=True)


def _lsb_grad_y(n: Any, h: Tensor, g: Tensor, y: Tensor) -> Tensor:
    dim = n.call.params[0]
    return neg(mul(mul(h, exp(y)), sum_(g, dim, True) if g.ndim else g))


def _lsb_grad_g(n: Any, h: Tensor, g: Tensor, y: Tensor) -> Tensor:
    dim = n.call.params[0]
    weighted = mul(h, exp(y))
    return sub(h, sum_(weighted, dim, True) if h.ndim else weighted)


LOG_SOFTMAX_BACKWARD = Op(
    "log_softmax_backward", _grad_rule, _log_softmax_backward_kernel,
    vjp=(_lsb_grad_g, _lsb_grad_y), save=(0, 1), family="reduce",
    grad_name="LogSoftmaxBackwardDataBackward0",
)  # fmt: skip


def _back_to(n: Any, g: Tensor) -> Tensor:
    return cast(g, n.call.specs[0].dtype)


SOFTMAX = Op(
    "softmax", _softmax_infer, _softmax_kernel, save=(OUT,), family="reduce",
    vjp=(lambda n, g, y: _back_to(n, apply(SOFTMAX_BACKWARD, (g, y), n.call.params[:1])),),
)  # fmt: skip
LOG_SOFTMAX = Op(
    "log_softmax", _softmax_infer, _log_softmax_kernel, save=(OUT,), family="reduce",
    vjp=(lambda n, g, y: _back_to(n, apply(LOG_SOFTMAX_BACKWARD, (g, y), n.call.params[:1])),),
)  # fmt: skip


def _implicit_dim(ndim: int, name: str) -> int:
    import warnings

    warnings.warn(
        f"Implicit dimension choice for {name} has been deprecated. Change the call to include "
        "dim=X as an argument.",
        UserWarning,
        stacklevel=4,
    )
    return 0 if ndim in (0, 1, 3) else 1


def _softmax(op: Op, x: Tensor, dim: int | None, d: dtype | None, name: str) -> Tensor:
    ndim = len(x._spec.shape)
    if dim is None:
        dim = _implicit_dim(ndim, name)
    return apply(op, (x,), (wrap_dim(dim, ndim), d or x._spec.dtype))


def softmax(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: dtype | None = None, *,
    out: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """``exp(x) / sum(exp(x))`` along ``dim``.

    >>> import cresset as torch
    >>> torch.softmax(torch.tensor([0., 0.]), 0)
    tensor([0.5000, 0.5000])
    """
    if isinstance(_stacklevel, dtypes.dtype):
        dtype = _stacklevel
    return into(out, _softmax(SOFTMAX, input, dim, dtype, "softmax"))


def log_softmax(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: dtype | None = None, *,
    out: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """``x - log(sum(exp(x)))`` along ``dim``.

    >>> import cresset as torch
    >>> torch.log_softmax(torch.tensor([0., 0.]), 0)
    tensor([-0.6931, -0.6931])
    """
    if isinstance(_stacklevel, dtypes.dtype):
        dtype = _stacklevel
    return into(out, _softmax(LOG_SOFTMAX, input, dim, dtype, "log_softmax"))


def softmin(input: Tensor, dim: int | None = None, _stacklevel: int = 3,
            dtype: dtype | None = None) -> Tensor:  # fmt: skip
    """``softmax(-input)`` along ``dim``."""
    return _softmax(SOFTMAX, neg(input), dim, dtype, "softmin")


# -- smooth relatives of relu -----------------------------------------------------------------------

_SQRT_HALF = _math.sqrt(0.5)
_GELU_A = _math.sqrt(2 / _math.pi)


def _float_only(name: str) -> Any:
    def rule(s: Spec, *rest: Any) -> Result:
        if s.dtype.category < dtypes.FLOAT:
            raise RuntimeError(f"\"{name}\" not implemented for '{scalar_name(s.dtype)}'")
        return Result((like(s),), s.dtype)

    return rule


def _gelu_kernel(xp: Any, x: Any, approximate: str) -> Any:
    kind = x.dtype.type
    if approximate == "tanh":
        inner = kind(_GELU_A) * (x + kind(0.044715) * x * x * x)
        return kind(0.5) * x * (1 + xp.tanh(inner))
    return kind(0.5) * x * (1 + special(xp).erf(x * kind(_SQRT_HALF)))


def _gelu_grad(n: Any, g: Tensor, x: Tensor) -> Tensor:
    return apply(GELU_BACKWARD, (g, x), n.call.params)


def _gelu_backward_body(g: Tensor, x: Tensor, approximate: str) -> Tensor:
    if approximate == "tanh":
        square = mul(x, x)
        inner = mul(mul(add(mul(square, 0.044715), 1), x), _GELU_A)
        t = tanh(inner)
        slope = mul(add(mul(square, 3 * 0.044715), 1), _GELU_A)
        left = mul(add(t, 1), 0.5)
        return mul(g, add(left, mul(mul(mul(x, 0.5), sub(1, mul(t, t))), slope)))
    cdf = mul(add(erf(mul(x, _SQRT_HALF)), 1), 0.5)
    pdf = mul(exp(mul(mul(x, x), -0.5)), 1 / _math.sqrt(2 * _math.pi))
    return mul(g, add(cdf, mul(x, pdf)))


GELU_BACKWARD = Op("gelu_backward", None, body=_gelu_backward_body, family="pointwise")
GELU = Op("gelu", _float_only("GeluKernelImpl"), _gelu_kernel, vjp=(_gelu_grad,), save=(0,),
          family="pointwise")  # fmt: skip


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """``x * P(N(0, 1) <= x)``, exactly or by tanh (Hendrycks and Gimpel, 2016).

    >>> import cresset as torch
    >>> torch.nn.functional.gelu(torch.tensor([1.]))
    tensor([0.8413])
    """
    if approximate not in ("none", "tanh"):
        raise RuntimeError("approximate argument must be either none or tanh.")
    return apply(GELU, (input,), (approximate,))


def _silu_backward_body(g: Tensor, x: Tensor) -> Tensor:
    s = sigmoid(x)
    return mul(g, mul(s, add(mul(x, sub(1, s)), 1)))


SILU_BACKWARD = Op("silu_backward", None, body=_silu_backward_body, family="pointwise")
SILU = Op("silu", _float_only("silu_cpu"), lambda xp, x: x * special(xp).expit(x),
          vjp=(lambda n, g, x: apply(SILU_BACKWARD, (g, x)),), save=(0,), family="pointwise")  # fmt: skip


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """``x * sigmoid(x)``.

    >>> import cresset as torch
    >>> torch.nn.functional.silu(torch.tensor([1.]))
    tensor([0.7311])
    """
    return _in(input, apply(SILU, (input,)), inplace)


def _softplus_kernel(xp: Any, x: Any, beta: Any, limit: Any) -> Any:
    scaled = x * beta
    return xp.where(scaled > limit, x, xp.log1p(xp.exp(xp.minimum(scaled, limit))) / beta)


def _softplus_grad(n: Any, g: Tensor, x: Tensor) -> Tensor:
    beta, limit = n.numbers[1], n.numbers[2]
    scaled = mul(x, beta)
    return where(scaled.gt(limit), g, mul(g, sigmoid(scaled)))  # type: ignore[attr-defined]


SOFTPLUS = Op("softplus", _float_only("softplus_cpu"), _softplus_kernel,
              vjp=(_softplus_grad, None, None), save=(0,), family="pointwise")  # fmt: skip


def softplus(input: Tensor, beta: float = 1, threshold: float = 20) -> Tensor:
    """``log(1 + exp(beta x)) / beta``; ``x`` itself where ``beta x > threshold``.

    >>> import cresset as torch
    >>> torch.nn.functional.softplus(torch.tensor([0.]))
    tensor([0.6931])
    """
    return apply(SOFTPLUS, (input, beta, threshold))


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """``x * tanh(softplus(x))``."""
    return _in(input, mul(input, tanh(softplus(input))), inplace)


def _logsigmoid_kernel(xp: Any, x: Any) -> Any:
    return xp.minimum(x, 0) - xp.log1p(xp.exp(-xp.abs(x)))


LOGSIGMOID = Op(
    "log_sigmoid", _float_only("log_sigmoid_cpu"), _logsigmoid_kernel,
    vjp=(lambda n, g, x: mul(g, sigmoid(neg(x))),), save=(0,), family="pointwise",
    grad_name="LogSigmoidBackward0",
)  # fmt: skip


def logsigmoid(input: Tensor) -> Tensor:
    """``log(sigmoid(x))`` without overflow."""
    return apply(LOGSIGMOID, (input,))


# -- piecewise --------------------------------------------------------------------------------------


def _leaky_kernel(xp: Any, x: Any, slope: Any) -> Any:
    return xp.where(x > 0, x, x * slope)


LEAKY_RELU = Op(
    "leaky_relu", _float_only("leaky_relu_cpu"), _leaky_kernel,
    vjp=(lambda n, g, x: where(x.gt(0), g, mul(g, n.numbers[1])), None), save=(0,),
    family="pointwise",
)  # fmt: skip


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """``x`` above 0, ``negative_slope * x`` below.

    >>> import cresset as torch
    >>> torch.nn.functional.leaky_relu(torch.tensor([-1., 2.]), 0.1)
    tensor([-0.1000,  2.0000])
    """
    return _in(input, apply(LEAKY_RELU, (input, negative_slope)), inplace)


def _elu_kernel(xp: Any, x: Any, alpha: Any, scale: Any, input_scale: Any) -> Any:
    low = alpha * scale * xp.expm1(xp.minimum(x, 0) * input_scale)
    return xp.where(x > 0, x * scale, low)


def _elu_grad(n: Any, g: Tensor, x: Tensor) -> Tensor:
    alpha, scale, input_scale = n.numbers[1:]
    low = mul(exp(mul(x.clamp_max(0), input_scale)), alpha * scale * input_scale)  # type: ignore[attr-defined]
    return mul(g, where(x.gt(0), scale, low))  # type: ignore[attr-defined]


ELU = Op("elu", _float_only("elu_cpu"), _elu_kernel, vjp=(_elu_grad, None, None, None), save=(0,),
         family="pointwise")  # fmt: skip


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """``x`` above 0, ``alpha * (exp(x) - 1)`` below (Clevert et al., 2015)."""
    return _in(input, apply(ELU, (input, alpha, 1.0, 1.0)), inplace)


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """``scale * elu(x, alpha)`` with self-normalising constants (Klambauer et al., 2017)."""
    alpha, scale = 1.6732632423543772, 1.0507009873554805
    return _in(input, apply(ELU, (input, alpha, scale, 1.0)), inplace)


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """``max(0, x) + min(0, alpha * (exp(x / alpha) - 1))``."""
    if alpha == 0:
        raise RuntimeError("ZeroDivisionError: alpha cannot be 0 for CELU")
    return _in(input, apply(ELU, (input, alpha, 1.0, 1.0 / alpha)), inplace)


def hardtanh(
    input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Tensor:
    """Values limited to [min_val, max_val]."""
    if min_val > max_val:
        raise ValueError("min_val cannot be greater than max_val")
    return _in(input, apply(HARDTANH, (input, min_val, max_val)), inplace)


HARDTANH = Op(
    "hardtanh", lambda s, a, b: Result((like(s),), s.dtype),
    lambda xp, x, low, high: xp.minimum(xp.maximum(x, low), high),
    vjp=(
        lambda n, g, x: mul(g, x.gt(n.numbers[1]).logical_and(x.lt(n.numbers[2]))), None, None,
    ),
    save=(0,), family="pointwise",
)  # fmt: skip


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """``min(max(x, 0), 6)``."""
    return _in(input, apply(HARDTANH, (input, 0.0, 6.0)), inplace)


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """``min(max(x + 3, 0), 6) / 6``."""
    return _in(input, div(apply(HARDTANH, (add(input, 3.0), 0.0, 6.0)), 6.0), inplace)


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """``x * min(max(x + 3, 0), 6) / 6``."""
    return _in(input, div(mul(input, apply(HARDTANH, (add(input, 3.0), 0.0, 6.0))), 6.0), inplace)


def softsign(input: Tensor) -> Tensor:
    """``x / (1 + |x|)``."""
    return div(input, add(input.abs(), 1))  # type: ignore[attr-defined]


def tanhshrink(input: Tensor) -> Tensor:
    """``x - tanh(x)``."""
    return sub(input, tanh(input))


def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """``x`` where ``|x| > lambd``, else 0."""
    return where(input.abs().le(lambd), 0.0, input)  # type: ignore[attr-defined]


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """``x`` moved towards 0 by ``lambd``, 0 where it would cross."""
    if lambd < 0:
        raise RuntimeError(f"lambda must be greater or equal to 0, but found to be {lambd:g}.")
    outside = input.abs().gt(lambd)  # type: ignore[attr-defined]
    return where(outside, sub(input, mul(input.sign(), lambd)), 0.0)  # type: ignore[attr-defined]


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """``x`` above 0, ``weight * x`` below, one weight for all or one per channel."""
    if weight.numel() != 1:
        channels = input.shape[1] if input.ndim > 1 else 1
        if weight.numel() != channels:
            raise RuntimeError(
                "Mismatch of parameter numbers and input channel size. Found parameter numbers = "
                f"{weight.numel()} and channel size = {channels}."
            )
        weight = weight.reshape((-1,) + (1,) * max(input.ndim - 2, 0))  # type: ignore[attr-defined]
    return apply(PRELU, (input, weight))


PRELU = pointwise(
    "prelu", lambda xp, x, w: xp.where(x > 0, x, w * x),
    (
        lambda n, g, x, w: mul(g, where(x.gt(0), 1.0, w)),
        lambda n, g, x, w: mul(g, where(x.gt(0), 0.0, x)),
    ),
    save=(0, 1), grad_name="PreluKernelBackward0",
)  # fmt: skip


def rrelu(
    input: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False,
    inplace: bool = False,
) -> Tensor:  # fmt: skip
    """Leaky relu with a slope drawn from [lower, upper] per negative element in training."""
    if not training:
        return leaky_relu(input, (lower + upper) / 2, inplace)
    slope = input.detach().new_empty(input.shape).uniform_(lower, upper)  # type: ignore[attr-defined]
    return _in(input, mul(input, where(input.gt(0), 1.0, slope)), inplace)  # type: ignore[attr-defined]


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """The first half along ``dim`` times the sigmoid of the second (Dauphin et al., 2016)."""
    if not input.ndim:
        raise RuntimeError("glu does not support 0-dimensional tensors")
    size = input.shape[wrap_dim(dim, input.ndim)]
    if size % 2:
        raise RuntimeError(
            f"Halving dimension must be even, but dimension {wrap_dim(dim, input.ndim)} is size "
            f"{size}"
        )
    a, b = input.chunk(2, dim)  # type: ignore[attr-defined]
    return mul(a, sigmoid(b))


def normalize(input: Tensor, p: float = 2.0, dim: Any = 1, eps: float = 1e-12,
              out: Tensor | None = None) -> Tensor:  # fmt: skip
    """``x / max(norm(x), eps)`` along ``dim``."""
    size = input.norm(p, dim, True).clamp_min(eps)  # type: ignore[attr-defined]
    return into(out, div(input, size))


TORCH = ("relu", "softmax", "log_softmax", "celu", "selu", "rrelu", "prelu", "hardshrink")
METHODS = ("relu", "softmax", "log_softmax", "prelu", "hardshrink")
IN_PLACE = ("relu",)
