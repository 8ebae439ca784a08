"""softmax and log_softmax: one node forward, one backward.

Both subtract the maximum first, so that nothing overflows. Their derivatives read the result only:

    softmax:      dx = y * (g - sum(g * y))
    log_softmax:  dx = g - exp(y) * sum(g)
"""

from __future__ import annotations

from typing import Any

from cresset import dtypes
from cresset.core.call import OUT
from cresset.core.spec import Spec, dense
from cresset.dtypes import dtype
from cresset.ops.cast import cast
from cresset.ops.elementwise import not_implemented
from cresset.ops.inplace import into
from cresset.ops.math import SPECIAL, exp
from cresset.ops.pointwise import mul, neg, sub
from cresset.ops.reduce import sum as sum_
from cresset.ops.registry import Op, Result, Tensor, apply, wrap_dim


def _infer(name: str) -> Any:
    def rule(s: Spec, dim: int, d: dtype) -> Result:
        if d.category != dtypes.FLOAT:
            last = "_lastdim" if dim == s.ndim - 1 else ""
            raise not_implemented(f"{name}{last}_kernel_impl", d)
        return Result((dense(d, s.shape, s.device),), d)

    return rule


def _softmax_kernel(xp: Any, x: Any, dim: int, d: dtype) -> Any:
    if x.size == 0:
        return x.copy()
    if x.ndim == 0:
        return xp.exp(x - x)  # 1, but NaN for NaN and infinities
    e = x - xp.max(x, axis=dim, keepdims=True)
    xp.exp(e, out=e)
    e /= xp.sum(e, axis=dim, keepdims=True)
    return e


def _log_softmax_kernel(xp: Any, x: Any, dim: int, d: dtype) -> Any:
    if x.size == 0:
        return x.copy()
    if x.ndim == 0:
        return x - x
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
    "softmax", _infer("softmax"), _softmax_kernel, save=(OUT,), family="reduce",
    vjp=(lambda n, g, y: _back_to(n, apply(SOFTMAX_BACKWARD, (g, y), n.call.params[:1])),),
)  # fmt: skip
LOG_SOFTMAX = Op(
    "log_softmax", _infer("log_softmax"), _log_softmax_kernel, save=(OUT,), family="reduce",
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
    """``softmax(-input)`` along ``dim``.

    >>> import cresset as torch
    >>> torch.nn.functional.softmin(torch.tensor([0., 0.]), 0)
    tensor([0.5000, 0.5000])
    """
    return _softmax(SOFTMAX, neg(input), dim, dtype, "softmin")


SPECIAL.update(softmax=softmax, log_softmax=log_softmax)

TORCH = ("softmax", "log_softmax")
METHODS = ("softmax", "log_softmax")
