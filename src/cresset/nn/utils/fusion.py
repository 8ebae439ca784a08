"""Batch normalisation in evaluation is a fixed scale and shift: it goes into the layer before."""

from __future__ import annotations

import copy
from typing import Any

from cresset.nn.module import Module
from cresset.nn.parameter import Parameter

__all__ = ["fuse_conv_bn_eval", "fuse_conv_bn_weights", "fuse_linear_bn_eval",
           "fuse_linear_bn_weights"]  # fmt: skip


def _check(layer: Module, bn: Any) -> None:
    if layer.training or bn.training:
        raise AssertionError("Fusion only for eval!")
    if bn.running_mean is None or bn.running_var is None:
        raise AssertionError("bn.running_mean and bn.running_var must not be None")


def _parameters(w: Any, weight: Any, b: Any, bias: Any) -> tuple[Parameter, Parameter]:
    """The fused values as parameters that are trained if the originals ``w`` and ``b`` were."""
    dtype = w.dtype if b is None else b.dtype
    trained = b is not None and b.requires_grad
    return Parameter(weight.to(w.dtype), w.requires_grad), Parameter(bias.to(dtype), trained)


def fuse_conv_bn_weights(
    conv_w: Any, conv_b: Any, bn_rm: Any, bn_rv: Any, bn_eps: float, bn_w: Any, bn_b: Any,
    transpose: bool = False,
) -> tuple[Parameter, Parameter]:  # fmt: skip
    """Weight and bias of a convolution with the normalisation after it built in."""
    scale = (bn_rv + bn_eps).rsqrt()
    if bn_w is not None:
        scale = bn_w * scale
    bias = bn_rm.new_zeros(bn_rm.shape) if conv_b is None else conv_b
    shift = bn_rm.new_zeros(bn_rm.shape) if bn_b is None else bn_b
    shape = [1, -1] if transpose else [-1, 1]
    weight = conv_w * scale.reshape(shape + [1] * (conv_w.ndim - 2))
    return _parameters(conv_w, weight, conv_b, (bias - bn_rm) * scale + shift)


def fuse_conv_bn_eval(conv: Any, bn: Any, transpose: bool = False) -> Any:
    """A copy of the convolution that does what both do in evaluation.

    >>> import cresset as torch
    >>> conv, bn = torch.nn.Conv2d(1, 2, 3).eval(), torch.nn.BatchNorm2d(2).eval()
    >>> x = torch.ones(1, 1, 4, 4)
    >>> both = torch.nn.utils.fuse_conv_bn_eval(conv, bn)
    >>> torch.allclose(both(x), bn(conv(x)), atol=1e-6)
    True
    """
    _check(conv, bn)
    fused = copy.deepcopy(conv)
    fused.weight, fused.bias = fuse_conv_bn_weights(
        fused.weight, fused.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias,
        transpose,
    )  # fmt: skip
    return fused


def fuse_linear_bn_weights(
    linear_w: Any, linear_b: Any, bn_rm: Any, bn_rv: Any, bn_eps: float, bn_w: Any, bn_b: Any
) -> tuple[Parameter, Parameter]:
    """Weight and bias of a dense layer with the normalisation after it built in."""
    scale = bn_w * (bn_rv + bn_eps).rsqrt()
    bias = bn_rm.new_zeros(bn_rm.shape) if linear_b is None else linear_b
    weight = linear_w * scale.unsqueeze(-1).to(dtype=linear_w.dtype)
    return _parameters(linear_w, weight, linear_b, (bias - bn_rm) * scale + bn_b)


def fuse_linear_bn_eval(linear: Any, bn: Any) -> Any:
    """A copy of the dense layer that does what both do in evaluation."""
    if linear.training or bn.training:
        raise AssertionError("Fusion only for eval!")
    if linear.out_features != bn.num_features and bn.num_features != 1:
        raise AssertionError(
            "To fuse, linear.out_features == bn.num_features or bn.num_features == 1, got "
            f"linear.out_features={linear.out_features} and bn.num_features={bn.num_features}"
        )
    _check(linear, bn)
    fused = copy.deepcopy(linear)
    fused.weight, fused.bias = fuse_linear_bn_weights(
        fused.weight, fused.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias
    )
    return fused
