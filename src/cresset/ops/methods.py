"""Attaches the families' functions to ``Tensor``, and gathers the names of ``torch.*``."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from cresset.ops.arguments import checked
from cresset.ops.inplace import in_place, regenerate_history
from cresset.tensor import Tensor

#: The family modules, in the order in which later ones may build on earlier ones.
FAMILIES = (
    "inplace", "pointwise", "math", "rounding", "binary", "compare", "select", "softmax",
    "activation", "creation", "exchange", "ranges", "windows", "cast", "view", "parts", "split",
    "reinterpret", "reduce", "aggregate", "extremes", "scan", "special", "sort", "counting",
    "quantile", "vector_norm", "index", "gather", "join", "repetition", "grids",
    "rearrange", "padding", "triangle", "geometry", "gradient", "matmul", "addmm", "einsum",
    "linalg", "factor", "matrix_norm", "solvers", "conv", "max_pool", "avg_pool", "adaptive_pool",
    "norm", "loss", "margin_loss", "pair_loss", "embedding", "random", "dropout", "rnn", "resize",
    "extras", "sharing",
)  # fmt: skip

#: In-place methods that are functions of ``torch.*`` too.
TORCH_IN_PLACE = set(
    """
    abs acos acosh addmv alpha_dropout arccos arccosh arcsin arcsinh arctan arctanh as_strided
    asin asinh atan atanh ceil celu clamp clamp_max clamp_min clip conj_physical cos cosh deg2rad
    detach dropout embedding_renorm erf erfc exp2 exp expm1 feature_alpha_dropout feature_dropout
    fill fix floor frac gcd i0 index_put lcm ldexp log10 log1p log2 log logit nan_to_num neg
    negative rad2deg reciprocal relu resize_as resize_as_sparse round rrelu rsqrt selu sigmoid sin
    sinc sinh sqrt square tan tanh threshold trunc xlogy zero
    """.split()
)

#: Everything that ``torch.name`` offers from the families.
NAMESPACE: dict[str, Any] = {}


def _attach(module: Any) -> None:
    functions = vars(module)
    for name in getattr(module, "TORCH", ()):
        public, _, source = name.partition("=")
        NAMESPACE[public] = checked(public, functions[source or public])
    for name in getattr(module, "METHODS", ()):
        public, _, source = name.partition("=")
        setattr(Tensor, public, functions[source or public])
    for name in getattr(module, "IN_PLACE", ()):
        public, _, source = name.partition("=")
        method: Callable[..., Any] = in_place(functions[source or public])
        method.__name__ = method.__qualname__ = public + "_"
        setattr(Tensor, public + "_", method)
        if public in TORCH_IN_PLACE:
            NAMESPACE[public + "_"] = checked(public + "_", method)


for _family in FAMILIES:
    _attach(importlib.import_module("cresset.ops." + _family))

Tensor._regenerate_history = regenerate_history  # type: ignore[assignment]
