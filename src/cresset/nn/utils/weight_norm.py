"""Weight normalisation: ``w = g * v / |v|``, a length and a direction (Salimans and Kingma, 2016).

This is the older form, a hook that computes the weight before each call; ``parametrizations`` has
the other one.
"""

from __future__ import annotations

import warnings
from typing import Any

from cresset.core.tape import derived
from cresset.nn.module import Module
from cresset.nn.parameter import Parameter
from cresset.ops.pointwise import div, mul
from cresset.ops.registry import Op, apply
from cresset.ops.vector_norm import vector_norm
from cresset.tensor import Tensor

__all__ = ["WeightNorm", "norm_except_dim", "remove_weight_norm", "weight_norm"]


def norm_except_dim(v: Tensor, pow: float = 2, dim: int = 0) -> Tensor:
    """Norms over all dimensions but ``dim``, kept as sizes of 1; over all of them for -1.

    >>> import cresset as torch
    >>> norm_except_dim(torch.tensor([[3., 4.], [0., 2.]]))
    tensor([[5.],
            [2.]])
    """
    if dim == -1:
        return vector_norm(v, pow)
    return vector_norm(v, pow, [d for d in range(v.ndim) if d != dim], True)


def _weight_body(v: Tensor, g: Tensor, dim: int) -> Tensor:
    return mul(v, div(g, norm_except_dim(v, 2, dim)))


WEIGHT_NORM = Op("weight_norm_interface", None, body=_weight_body, vjp=derived, save=(0, 1))


def scaled(v: Tensor, g: Tensor, dim: int) -> Tensor:
    """``g * v / |v|``; one node for the first and the last dimension, as in PyTorch."""
    if dim in (0, v.ndim - 1):
        return apply(WEIGHT_NORM, (v, g), (dim,))
    return _weight_body(v, g, dim)


class WeightNorm:
    """The hook: it computes ``name`` from ``name_g`` and ``name_v`` before each call."""

    def __init__(self, name: str, dim: int | None) -> None:
        self.name, self.dim = name, -1 if dim is None else dim

    def compute_weight(self, module: Module) -> Tensor:
        return scaled(
            getattr(module, self.name + "_v"), getattr(module, self.name + "_g"), self.dim
        )

    @staticmethod
    def apply(module: Module, name: str, dim: int | None) -> WeightNorm:
        """Split the parameter in two and register the hook."""
        warnings.warn(
            "`torch.nn.utils.weight_norm` is deprecated in favor of "
            "`torch.nn.utils.parametrizations.weight_norm`.",
            FutureWarning,
            stacklevel=3,
        )
        for hook in module._forward_pre_hooks.values():
            if isinstance(hook, WeightNorm) and hook.name == name:
                raise RuntimeError(
                    f"Cannot register two weight_norm hooks on the same parameter {name}"
                )
        fn = WeightNorm(name, dim)
        weight = getattr(module, name)
        del module._parameters[name]
        length = norm_except_dim(weight.detach(), 2, fn.dim)
        module.register_parameter(name + "_g", Parameter(length))
        module.register_parameter(name + "_v", Parameter(weight.detach()))
        setattr(module, name, fn.compute_weight(module))
        module.register_forward_pre_hook(fn)
        return fn

    def remove(self, module: Module) -> None:
        """Put the two parts together again."""
        weight = self.compute_weight(module)
        delattr(module, self.name)
        del module._parameters[self.name + "_g"]
        del module._parameters[self.name + "_v"]
        setattr(module, self.name, Parameter(weight.detach()))

    def __call__(self, module: Module, inputs: Any) -> None:
        setattr(module, self.name, self.compute_weight(module))


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Split a parameter into a length per index of ``dim`` and a direction.

    >>> import cresset as torch, warnings
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     layer = torch.nn.utils.weight_norm(torch.nn.Linear(4, 2))
    >>> layer.weight_g.shape, layer.weight_v.shape
    (torch.Size([2, 1]), torch.Size([2, 4]))
    """
    WeightNorm.apply(module, name, dim)
    return module


def remove_weight_norm(module: Module, name: str = "weight") -> Module:
    """Undo ``weight_norm``."""
    for key, hook in module._forward_pre_hooks.items():
        if isinstance(hook, WeightNorm) and hook.name == name:
            hook.remove(module)
            del module._forward_pre_hooks[key]
            return module
    raise ValueError(f"weight_norm of '{name}' not found in {module}")
