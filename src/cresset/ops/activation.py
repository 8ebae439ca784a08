"""Activation functions: one node forward, one node backward each.

Three shapes of derivative, by how they can be differentiated again:

- piecewise linear functions (relu, hardtanh, leaky_relu, the shrinks) have a backward *kernel* that
  passes, scales or blocks the gradient; its own derivative is itself;
- smooth ones (gelu, silu, mish, elu, softplus) have a backward *body* over ops: recorded as one
  node, expanded when the plan is built, differentiable like the ops it is made of;
- what is short as a formula (softsign, tanhshrink) is that formula.

``inplace=True`` writes over the input; where the derivative reads the input, ``written`` keeps it.
"""

from __future__ import annotations

import math as _math
from collections.abc import Callable
from typing import Any

from cresset import dtypes
from cresset.core.call import OUT
from cresset.core.spec import Spec, dense, like
from cresset.ops.elementwise import not_implemented, pointwise
from cresset.ops.inplace import into, scalar_name, written
from cresset.ops.math import erf, exp, log1p, sigmoid, special, tanh
from cresset.ops.pointwise import add, div, mul, neg, sub
from cresset.ops.registry import Op, Result, Tensor, apply, wrap_dim
from cresset.ops.select import where
from cresset.ops.softmax import log_softmax as log_softmax
from cresset.ops.softmax import softmax as softmax
from cresset.ops.softmax import softmin as softmin


def _same(g: Spec, *others: Any) -> Result:
    """The shape rule of backward ops: the gradient's spec."""
    return Result((like(g),), g.dtype)


def _floats(label: str) -> Callable[..., Result]:
    """The shape rule of functions that take floating point only."""

    def rule(s: Spec, *rest: Any) -> Result:
        if s.dtype.category != dtypes.FLOAT:
            raise not_implemented(label, s.dtype)
        return Result((like(s),), s.dtype)

    return rule


def _piecewise(
    name: str, kernel: Any, backward: Any, rule: Any, *, numbers: int = 0, saves: int = 0,
    grad_name: str | None = None,
) -> Op:  # fmt: skip
    """An op of x and ``numbers`` Python numbers whose derivative is piecewise constant.

    ``backward(xp, g, x, *numbers)`` is its kernel; ``saves`` is 0 (the operand) or OUT.
    """
    count = (None,) * numbers

    def again(n: Any, h: Tensor, x: Tensor) -> Tensor:
        return apply(back, (h, x, *n.numbers[2:]))

    def once(n: Any, g: Tensor, x: Tensor) -> Tensor:
        return apply(back, (g, x, *n.numbers[1:]))

    back = Op(
        name + "_backward", _same, backward, vjp=(again, None, *count), save=(1,),
        family="pointwise",
    )  # fmt: skip
    return Op(
        name, rule, kernel, vjp=(once, *count), save=(saves,), family="pointwise",
        grad_name=grad_name,
    )  # fmt: skip


def _smooth(
    name: str, kernel: Any, body: Any, label: str, *, numbers: int = 0, grad_name: str | None = None
) -> Op:
    """An op of x and ``numbers`` Python numbers; ``body(g, x, *numbers)`` is its derivative."""
    back = Op(name + "_backward", None, body=body, family="pointwise")  # type: ignore[arg-type]
    return Op(
        name, _floats(label), kernel, save=(0,), family="pointwise", grad_name=grad_name,
        vjp=(
            lambda n, g, x: apply(back, (g, x, *n.numbers[1:]), n.call.params),
            *(None,) * numbers,
        ),
    )  # fmt: skip


# -- piecewise linear ------------------------------------------------------------------------------


def _relu_rule(s: Spec) -> Result:
    if s.dtype is dtypes.bool_:
        raise RuntimeError("Boolean inputs not supported for relu")
    if s.dtype.is_complex:
        raise NotImplementedError("clamp is not supported for complex types")
    return Result((like(s),), s.dtype)


RELU = _piecewise(
    "relu", lambda xp, x: xp.maximum(x, 0),
    lambda xp, g, y: xp.where(y <= 0, xp.zeros((), g.dtype), g), _relu_rule, saves=OUT,
)  # fmt: skip


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """``max(input, 0)``.

    >>> import cresset as torch
    >>> torch.relu(torch.tensor([-1., 2.]))
    tensor([0., 2.])
    """
    if not isinstance(input, Tensor):
        raise TypeError(
            f"relu(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}"
        )
    return written(input, apply(RELU, (input,)), inplace)


def _hardtanh_rule(s: Spec, *bounds: Any) -> Result:
    if s.dtype is dtypes.bool_:
        raise RuntimeError("Bool inputs not supported for hardtanh")
    if s.dtype.is_complex:
        raise NotImplementedError("clamp is not supported for complex types")
    return Result((like(s),), s.dtype)


HARDTANH = _piecewise(
    "hardtanh", lambda xp, x, low, high: xp.minimum(xp.maximum(x, low), high),
    lambda xp, g, x, low, high: xp.where((x <= low) | (x >= high), xp.zeros((), g.dtype), g),
    _hardtanh_rule, numbers=2,
)  # fmt: skip


def hardtanh(
    input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Tensor:
    """Values limited to [min_val, max_val].

    >>> import cresset as torch
    >>> torch.nn.functional.hardtanh(torch.tensor([-2., 0.5]))
    tensor([-1.0000,  0.5000])
    """
    if min_val > max_val:
        raise ValueError("min_val cannot be greater than max_val")
    return written(input, apply(HARDTANH, (input, min_val, max_val)), inplace)


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """``min(max(x, 0), 6)``.

    >>> import cresset as torch
    >>> torch.nn.functional.relu6(torch.tensor([-1., 7.]))
    tensor([0., 6.])
    """
    return written(input, apply(HARDTANH, (input, 0.0, 6.0)), inplace)


LEAKY_RELU, RRELU_MEAN = (
    _piecewise(
        "leaky_relu", lambda xp, x, slope: xp.where(x > 0, x, x * slope),
        lambda xp, g, x, slope: xp.where(x > 0, g, g * slope), _floats("leaky_relu_cpu"),
        numbers=1, grad_name=grad_name,
    )
    for grad_name in ("LeakyReluBackward0", "RreluWithNoiseBackward0")
)  # fmt: skip


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """``x`` above 0, ``negative_slope * x`` below.

    >>> import cresset as torch
    >>> torch.nn.functional.leaky_relu(torch.tensor([-1., 2.]), 0.1)
    tensor([-0.1000,  2.0000])
    """
    return written(input, apply(LEAKY_RELU, (input, negative_slope)), inplace)


def _within(xp: Any, x: Any, limit: Any) -> Any:
    return (x >= -limit) & (x <= limit)


def _shrink_backward(xp: Any, g: Any, x: Any, limit: Any) -> Any:
    return xp.where(_within(xp, x, limit), xp.zeros((), g.dtype), g)


def _softshrink_kernel(xp: Any, x: Any, limit: Any) -> Any:
    # x * 0 and not 0: NaN must stay NaN.
    return xp.where(x > limit, x - limit, xp.where(x < -limit, x + limit, x * 0))


HARDSHRINK = _piecewise(
    "hardshrink", lambda xp, x, limit: xp.where(_within(xp, x, limit), xp.zeros((), x.dtype), x),
    _shrink_backward, _floats("hardshrink_cpu"), numbers=1,
)  # fmt: skip
SOFTSHRINK = _piecewise(
    "softshrink", _softshrink_kernel, _shrink_backward, _floats("softshrink_cpu"), numbers=1,
)  # fmt: skip


def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """``x`` where ``|x| > lambd``, else 0.

    >>> import cresset as torch
    >>> torch.nn.functional.hardshrink(torch.tensor([-1., 0.2]))
    tensor([-1.,  0.])
    """
    return apply(HARDSHRINK, (input, lambd))


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """``x`` moved towards 0 by ``lambd``, 0 where it would cross.

    >>> import cresset as torch
    >>> torch.nn.functional.softshrink(torch.tensor([-1., 0.2]))
    tensor([-0.5000,  0.0000])
    """
    d = input._spec.dtype
    if lambd < 0:
        from cresset.ops.inplace import scalar_name

        raise RuntimeError(
            f"lambda must be in range [0, {dtypes.finfo(d).max:g}] for input dtype "
            f"{scalar_name(d)}, but found {lambd:g}"
        )
    return apply(SOFTSHRINK, (input, lambd))


HARDSIGMOID = _piecewise(
    "hardsigmoid", lambda xp, x: xp.minimum(xp.maximum(x + 3, 0), 6) / 6,
    lambda xp, g, x: xp.where((x > -3) & (x < 3), g / 6, xp.zeros((), g.dtype)),
    _floats("hardsigmoid_cpu"),
)  # fmt: skip


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """``min(max(x + 3, 0), 6) / 6``.

    >>> import cresset as torch
    >>> torch.nn.functional.hardsigmoid(torch.tensor([-4., 0., 4.]))
    tensor([0.0000, 0.5000, 1.0000])
    """
    return written(input, apply(HARDSIGMOID, (input,)), inplace)


# -- smooth ----------------------------------------------------------------------------------------

_SQRT_HALF = _math.sqrt(0.5)
_GELU_A = _math.sqrt(2 / _math.pi)


def _gelu_kernel(xp: Any, x: Any, approximate: str) -> Any:
    kind = x.dtype.type
    if approximate == "tanh":
        inner = kind(_GELU_A) * (x + kind(0.044715) * x * x * x)
        return kind(0.5) * x * (1 + xp.tanh(inner))
    return kind(0.5) * x * (1 + special(xp).erf(x * kind(_SQRT_HALF)))


def _gelu_backward(g: Tensor, x: Tensor, approximate: str) -> Tensor:
    if approximate == "tanh":
        square = mul(x, x)
        t = tanh(mul(mul(add(mul(square, 0.044715), 1), x), _GELU_A))
        slope = mul(add(mul(square, 3 * 0.044715), 1), _GELU_A)
        left = mul(add(t, 1), 0.5)
        return mul(g, add(left, mul(mul(mul(x, 0.5), sub(1, mul(t, t))), slope)))
    cdf = mul(add(erf(mul(x, _SQRT_HALF)), 1), 0.5)
    pdf = mul(exp(mul(mul(x, x), -0.5)), 1 / _math.sqrt(2 * _math.pi))
    return mul(g, add(cdf, mul(x, pdf)))


GELU = _smooth("gelu", _gelu_kernel, _gelu_backward, "GeluKernelImpl")


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """``x * P(N(0, 1) <= x)``, exactly or by tanh (Hendrycks and Gimpel, 2016).

    >>> import cresset as torch
    >>> torch.nn.functional.gelu(torch.tensor([1.]))
    tensor([0.8413])
    """
    if approximate not in ("none", "tanh"):
        raise RuntimeError("approximate argument must be either none or tanh.")
    return apply(GELU, (input,), (approximate,))


def _silu_backward(g: Tensor, x: Tensor) -> Tensor:
    s = sigmoid(x)
    return mul(g, mul(s, add(mul(x, sub(1, s)), 1)))


SILU = _smooth("silu", lambda xp, x: x / (1 + xp.exp(-x)), _silu_backward, "silu_cpu")


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """``x * sigmoid(x)``.

    >>> import cresset as torch
    >>> torch.nn.functional.silu(torch.tensor([1.]))
    tensor([0.7311])
    """
    return written(input, apply(SILU, (input,)), inplace)


def _mish_backward(g: Tensor, x: Tensor) -> Tensor:
    t = tanh(log1p(exp(x)))
    return mul(g, add(t, mul(mul(x, sigmoid(x)), sub(1, mul(t, t)))))


MISH = _smooth("mish", lambda xp, x: x * xp.tanh(xp.log1p(xp.exp(x))), _mish_backward, "mish_cpu")


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """``x * tanh(log(1 + exp(x)))`` (Misra, 2019).

    >>> import cresset as torch
    >>> torch.nn.functional.mish(torch.tensor([1.]))
    tensor([0.8651])
    """
    return written(input, apply(MISH, (input,)), inplace)


def _hardswish_backward(g: Tensor, x: Tensor) -> Tensor:
    middle = mul(g, add(div(x, 3.0), 0.5))
    return where(x.lt(-3), 0, where(x.le(3), middle, g))  # type: ignore[attr-defined]


HARDSWISH = _smooth(
    "hardswish", lambda xp, x: x * xp.minimum(xp.maximum(x + 3, 0), 6) / 6, _hardswish_backward,
    "hardswish_cpu",
)  # fmt: skip


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """``x * min(max(x + 3, 0), 6) / 6``.

    >>> import cresset as torch
    >>> torch.nn.functional.hardswish(torch.tensor([-4., 1., 4.]))
    tensor([-0.0000,  0.6667,  4.0000])
    """
    return written(input, apply(HARDSWISH, (input,)), inplace)


def _softplus_kernel(xp: Any, x: Any, beta: Any, limit: Any) -> Any:
    scaled = x * beta
    return xp.where(scaled > limit, x, xp.log1p(xp.exp(xp.minimum(scaled, limit))) / beta)


def _softplus_backward(g: Tensor, x: Tensor, beta: Any, limit: Any) -> Tensor:
    scaled = mul(x, beta)
    return where(scaled.gt(limit), g, mul(g, sigmoid(scaled)))  # type: ignore[attr-defined]


SOFTPLUS = _smooth("softplus", _softplus_kernel, _softplus_backward, "softplus_cpu", numbers=2)


def softplus(input: Tensor, beta: float = 1, threshold: float = 20) -> Tensor:
    """``log(1 + exp(beta x)) / beta``; ``x`` itself where ``beta x > threshold``.

    >>> import cresset as torch
    >>> torch.nn.functional.softplus(torch.tensor([0.]))
    tensor([0.6931])
    """
    return apply(SOFTPLUS, (input, beta, threshold))


LOGSIGMOID = _smooth(
    "log_sigmoid", lambda xp, x: xp.minimum(x, 0) - xp.log1p(xp.exp(-xp.abs(x))),
    lambda g, x: mul(g, sigmoid(neg(x))), "log_sigmoid_cpu",
)  # fmt: skip


def logsigmoid(input: Tensor) -> Tensor:
    """``log(sigmoid(x))`` without overflow.

    >>> import cresset as torch
    >>> torch.nn.functional.logsigmoid(torch.tensor([0.]))
    tensor([-0.6931])
    """
    return apply(LOGSIGMOID, (input,))


def _elu_kernel(xp: Any, x: Any, alpha: Any, scale: Any, input_scale: Any) -> Any:
    low = alpha * scale * xp.expm1(xp.minimum(x, 0) * input_scale)
    return xp.where(x < 0, low, x * scale)


def _elu_backward(g: Tensor, x: Tensor, alpha: Any, scale: Any, input_scale: Any) -> Tensor:
    low = mul(exp(mul(x.clamp_max(0), input_scale)), mul_numbers(alpha, scale, input_scale))  # type: ignore[attr-defined]
    return where(x.gt(0), mul(g, scale), mul(g, low))  # type: ignore[attr-defined]


def mul_numbers(first: Any, *others: Any) -> Any:
    """A product of numbers, which are stand-in tensors while a body is traced."""
    for other in others:
        first = mul(first, other) if isinstance(first, Tensor) else first * other
    return first


ELU, CELU = (
    _smooth("elu", _elu_kernel, _elu_backward, "elu_cpu", numbers=3, grad_name=grad_name)
    for grad_name in ("EluBackward0", "CeluBackward0")
)


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """``x`` above 0, ``alpha * (exp(x) - 1)`` below (Clevert et al., 2015).

    >>> import cresset as torch
    >>> torch.nn.functional.elu(torch.tensor([-1., 2.]))
    tensor([-0.6321,  2.0000])
    """
    return written(input, apply(ELU, (input, alpha, 1.0, 1.0)), inplace)


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """``scale * elu(x, alpha)`` with self-normalising constants (Klambauer et al., 2017).

    >>> import cresset as torch
    >>> torch.selu(torch.tensor([-1., 2.]))
    tensor([-1.1113,  2.1014])
    """
    alpha, scale = 1.6732632423543772, 1.0507009873554805
    return written(input, apply(ELU, (input, alpha, scale, 1.0)), inplace)


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """``max(0, x) + min(0, alpha * (exp(x / alpha) - 1))`` (Barron, 2017).

    >>> import cresset as torch
    >>> torch.celu(torch.tensor([-1., 2.]), 2.0)
    tensor([-0.7869,  2.0000])
    """
    if alpha == 0:
        raise RuntimeError("ZeroDivisionError: alpha cannot be 0 for CELU")
    return written(input, apply(CELU, (input, alpha, 1.0, 1.0 / alpha)), inplace)


# -- formulas --------------------------------------------------------------------------------------


def softsign(input: Tensor) -> Tensor:
    """``x / (1 + |x|)``.

    >>> import cresset as torch
    >>> torch.nn.functional.softsign(torch.tensor([1., -3.]))
    tensor([ 0.5000, -0.7500])
    """
    return div(input, add(input.abs(), 1))  # type: ignore[attr-defined]


def tanhshrink(input: Tensor) -> Tensor:
    """``x - tanh(x)``.

    >>> import cresset as torch
    >>> torch.nn.functional.tanhshrink(torch.tensor([1.]))
    tensor([0.2384])
    """
    return sub(input, tanh(input))


PRELU = pointwise(
    "prelu", lambda xp, x, w: xp.where(x > 0, x, w * x),
    (
        lambda n, g, x, w: where(x.gt(0), g, mul(g, w)),
        lambda n, g, x, w: where(x.gt(0), 0.0, mul(g, x)),
    ),
    save=(0, 1), grad_name="PreluKernelBackward0",
)  # fmt: skip


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """``x`` above 0, ``weight * x`` below, one weight for all or one per channel (dimension 1).

    >>> import cresset as torch
    >>> torch.prelu(torch.tensor([-2., 2.]), torch.tensor([0.5]))
    tensor([-1.,  2.])
    """
    ndim = input.ndim
    if weight.ndim > 1:
        raise RuntimeError(
            f"prelu: Expected `weight` to be a scalar or 1D tensor, but got: ndim = {weight.ndim}"
        )
    if weight.dtype is not input.dtype:
        raise RuntimeError(
            "prelu: Type promoting not supported. Got "
            f"{scalar_name(input.dtype)} and {scalar_name(weight.dtype)}"
        )
    if weight.numel() != 1:
        channels = input.shape[1] if ndim > 1 else 1
        if weight.numel() != channels:
            raise RuntimeError(
                "Mismatch of parameter numbers and input channel size. Found parameter numbers = "
                f"{weight.numel()} and channel size = {channels}."
            )
        weight = weight.reshape((-1,) + (1,) * max(ndim - 2, 0))  # type: ignore[attr-defined]
    elif ndim == 0:
        weight = weight.reshape(())  # type: ignore[attr-defined]
    return apply(PRELU, (input, weight))


RRELU = pointwise(
    "rrelu", lambda xp, x, slope: xp.where(x > 0, x, slope * x),
    (lambda n, g, x, slope: where(x.gt(0), g, mul(g, slope)), None), save=(0, 1),
    grad_name="RreluWithNoiseBackward0",
)  # fmt: skip


def rrelu(
    input: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False,
    inplace: bool = False,
) -> Tensor:  # fmt: skip
    """Leaky relu; in training with a slope per element drawn from [lower, upper].

    >>> import cresset as torch
    >>> torch.rrelu(torch.tensor([-48., 2.]))
    tensor([-11.,   2.])
    """
    if not training:
        return written(input, apply(RRELU_MEAN, (input, (lower + upper) / 2)), inplace)
    from cresset.ops.random import rrelu_slopes

    if lower > upper:
        raise RuntimeError("Lower bound should be less than or equal to the upper bound")
    slope = rrelu_slopes(input, lower, upper)
    return written(input, apply(RRELU, (input, slope)), inplace)


def _glu_infer(s: Spec, dim: int) -> Result:
    if s.dtype.category != dtypes.FLOAT:
        raise not_implemented("glu_cpu", s.dtype)
    shape = tuple(n // 2 if i == dim else n for i, n in enumerate(s.shape))
    return Result((dense(s.dtype, shape, s.device),), s.dtype)


def _glu_kernel(xp: Any, x: Any, dim: int) -> Any:
    a, b = xp.split(x, 2, axis=dim)
    return a / (1 + xp.exp(-b))


def _glu_backward(g: Tensor, x: Tensor, dim: int) -> Tensor:
    from cresset.ops.join import cat

    a, b = x.chunk(2, dim)  # type: ignore[attr-defined]
    s = sigmoid(b)
    first = mul(g, s)
    return cat((first, mul(mul(first, a), sub(1, s))), dim)


GLU = Op(
    "glu", _glu_infer, _glu_kernel, save=(0,),
    vjp=(lambda n, g, x: _glu_backward(g, x, n.call.params[0]),),
)  # fmt: skip


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """The first half along ``dim`` times the sigmoid of the second (Dauphin et al., 2016).

    >>> import cresset as torch
    >>> torch.nn.functional.glu(torch.tensor([2., 0.]))
    tensor([1.])
    """
    if not input.ndim:
        raise RuntimeError("glu does not support scalars because halving size must be even")
    dim = wrap_dim(dim, input.ndim)
    if input.shape[dim] % 2:
        raise RuntimeError(
            f"Halving dimension must be even, but dimension {dim} is size {input.shape[dim]}"
        )
    return apply(GLU, (input,), (dim,))


def normalize(input: Tensor, p: float = 2.0, dim: Any = 1, eps: float = 1e-12,
              out: Tensor | None = None) -> Tensor:  # fmt: skip
    """``x / max(norm(x), eps)`` along ``dim``.

    >>> import cresset as torch
    >>> torch.nn.functional.normalize(torch.tensor([[3., 4.]]))
    tensor([[0.6000, 0.8000]])
    """
    size = input.norm(p, dim, True).clamp_min(eps)  # type: ignore[attr-defined]
    return into(out, div(input, size))


def _in_place(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The trailing-underscore form; unlike ``in_place`` it keeps what the derivative reads."""

    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return written(self, function(self, *args, **kwargs))

    method.__name__ = method.__qualname__ = function.__name__ + "_"
    method.__doc__ = f"In-place version of ``{function.__name__}``."
    return method


relu_, selu_, celu_, rrelu_ = (_in_place(f) for f in (relu, selu, celu, rrelu))

TORCH = (
    "relu", "relu_", "celu", "celu_", "selu", "selu_", "rrelu", "rrelu_", "prelu", "hardshrink",
)  # fmt: skip
METHODS = ("relu", "relu_", "prelu", "hardshrink")
