"""Argument orders of PyTorch 0.x that PyTorch still takes: the number before the tensors.

``p.data.add_(-lr, p.grad.data)`` is in every hand-written optimiser of those years.
"""

from __future__ import annotations

import warnings
from typing import Any

from cresset.tensor import Tensor

_said = False

_SIGNATURES = {
    "add": ("add(Number alpha, Tensor other)", "add(Tensor other, *, Number alpha = 1)"),
    "sub": ("sub(Number alpha, Tensor other)", "sub(Tensor other, *, Number alpha = 1)"),
    "addcmul": (
        "addcmul(Number value, Tensor tensor1, Tensor tensor2)",
        "addcmul(Tensor tensor1, Tensor tensor2, *, Number value = 1)",
    ),
    "addcdiv": (
        "addcdiv(Number value, Tensor tensor1, Tensor tensor2)",
        "addcdiv(Tensor tensor1, Tensor tensor2, *, Number value = 1)",
    ),
}


def old_order(name: str, last: Any) -> Any:
    """Checks the argument that only the old order has, and says once that it is old."""
    global _said
    if not isinstance(last, Tensor):
        raise TypeError(f"{name}() takes no such arguments: the last must be a tensor")
    if not _said:
        _said = True
        old, new = _SIGNATURES[name]
        warnings.warn(
            f"This overload of {name} is deprecated:\n\t{old}\nConsider using one of the "
            f"following signatures instead:\n\t{new}",
            UserWarning,
            stacklevel=3,
        )
    return last
