"""Attaches the families' functions to ``Tensor``, and gathers the names of ``torch.*``."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from cresset.ops.inplace import in_place, regenerate_history
from cresset.tensor import Tensor

#: The family modules, in the order in which later ones may build on earlier ones.
FAMILIES = (
    "inplace", "pointwise", "math", "rounding", "binary", "compare", "select", "softmax",
    "activation", "creation", "exchange", "ranges", "windows", "cast", "view", "reduce",
    "aggregate", "extremes", "scan", "special", "sort", "counting", "quantile", "vector_norm",
    "index", "gather", "join", "matmul", "addmm", "einsum", "linalg", "factor", "matrix_norm",
    "solvers", "conv", "max_pool", "avg_pool", "adaptive_pool", "norm", "loss", "margin_loss",
    "pair_loss", "embedding", "random", "dropout", "rnn", "resize", "extras", "sharing",
)  # fmt: skip

#: Everything that ``torch.name`` offers from the families.
NAMESPACE: dict[str, Any] = {}


def _attach(module: Any) -> None:
    functions = vars(module)
    for name in getattr(module, "TORCH", ()):
        public, _, source = name.partition("=")
        NAMESPACE[public] = functions[source or public]
    for name in getattr(module, "METHODS", ()):
        public, _, source = name.partition("=")
        setattr(Tensor, public, functions[source or public])
    for name in getattr(module, "IN_PLACE", ()):
        public, _, source = name.partition("=")
        method: Callable[..., Any] = in_place(functions[source or public])
        method.__name__ = method.__qualname__ = public + "_"
        setattr(Tensor, public + "_", method)
        if name in getattr(module, "TORCH", ()) and public not in ("add", "sub", "mul", "div"):
            NAMESPACE[public + "_"] = method


for _family in FAMILIES:
    _attach(importlib.import_module("cresset.ops." + _family))

Tensor._regenerate_history = regenerate_history  # type: ignore[assignment]
