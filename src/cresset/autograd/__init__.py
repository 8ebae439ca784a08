"""Automatic differentiation: ``backward``, ``grad``, grad modes, custom functions and checks."""

from __future__ import annotations

from typing import Any as _Any

from cresset.autograd import derive as _derive
from cresset.autograd import functional, graph
from cresset.autograd.anomaly import detect_anomaly, set_detect_anomaly
from cresset.autograd.backward import backward, grad
from cresset.autograd.function import Function, FunctionCtx
from cresset.autograd.grad_mode import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from cresset.autograd.gradcheck import GradcheckError, gradcheck, gradgradcheck
from cresset.tensor import Tensor


class _VariableType(type):
    def __instancecheck__(cls, x: _Any) -> bool:
        return isinstance(x, Tensor)


class Variable(metaclass=_VariableType):
    """The old wrapper around tensors: ``Variable(t)`` is now just ``t``.

    >>> import cresset as torch
    >>> torch.autograd.Variable(torch.ones(2), requires_grad=True)
    tensor([1., 1.], requires_grad=True)
    """

    def __new__(cls, data: _Any = None, requires_grad: bool = False, volatile: _Any = None) -> _Any:
        if data is None:
            from cresset.ops.creation import empty

            data = empty(0)
        if not isinstance(data, Tensor):
            raise TypeError(f"Variable data has to be a tensor, but got {type(data).__name__}")
        result = data.detach()
        if requires_grad:
            result.requires_grad_()
        return result


__all__ = [
    "Function", "FunctionCtx", "GradcheckError", "Variable", "backward", "detect_anomaly",
    "enable_grad", "functional", "grad", "graph", "gradcheck", "gradgradcheck", "inference_mode",
    "is_grad_enabled", "is_inference_mode_enabled", "no_grad", "set_detect_anomaly",
    "set_grad_enabled",
]  # fmt: skip

del annotations  # a name of this source, not of the API
