"""Small methods of the tensor object: old names, pinning, exchange with other libraries."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from cresset.ops.cast import cast
from cresset.ops.creation import empty, from_numpy, tensor
from cresset.ops.registry import Tensor


def pin_memory(self: Tensor, device: Any = None) -> Tensor:
    """Host memory is all alike here: the tensor itself."""
    return self


def is_pinned(self: Tensor, device: Any = None) -> bool:
    return False


def share_memory_(self: Tensor) -> Tensor:
    """Accepted: data workers hand tensors over by themselves."""
    return self


def is_shared(self: Tensor) -> bool:
    return False


def new(self: Tensor, *args: Any, device: Any = None) -> Tensor:
    """A tensor of the same dtype: uninitialised for sizes, a copy for data."""
    where = self.device if device is None else device
    if len(args) == 1 and not isinstance(args[0], int):
        if isinstance(args[0], Tensor):
            return args[0].detach()
        return tensor(args[0], dtype=self.dtype, device=where)
    return empty(*args, dtype=self.dtype, device=where)


def resize(self: Tensor, *sizes: Any) -> Tensor:
    """The old, non-in-place ``resize_``: a copy with another shape."""
    return self.detach().clone().resize_(*sizes)  # type: ignore[attr-defined]


def detach_(self: Tensor) -> Tensor:
    """Cut this tensor off from the tape."""
    if self._base is not None and self._base._requires_grad:
        raise RuntimeError(
            "Can't detach views in-place. Use detach() instead. If you are using "
            "DistributedDataParallel (DDP) for training, and gradient_as_bucket_view is set as "
            "True, gradients are views of DDP buckets, and hence detach_() cannot be called on "
            "these gradients. To fix this error, please refer to the Optimizer.zero_grad() function "  # noqa: E501
            "in torch/optim/optimizer.py as a solution."
        )
    self._grad_fn, self._requires_grad = None, False
    return self


def __array_wrap__(
    self: Tensor, array: Any, context: Any = None, return_scalar: bool = False
) -> Tensor:
    """What NumPy's ufuncs make of a tensor becomes a tensor again."""
    array = np.asarray(array)
    if array.dtype == np.bool_:
        return cast(from_numpy(array.astype(np.uint8)), tensor(True).dtype)
    return from_numpy(array)


def __dlpack__(self: Tensor, **options: Any) -> Any:
    """The memory for another library, shared."""
    if self._requires_grad:
        raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
    array = self.numpy()
    self._storage.export(forever=True)
    return array.__dlpack__()


def __dlpack_device__(self: Tensor) -> tuple[int, int]:
    """(kCPU, 0)."""
    return (1, 0)


def untyped_storage(self: Tensor) -> Any:
    """The storage object behind the tensor."""
    return self._storage


def _volatile(self: Tensor) -> bool:
    _say("volatile was removed (Variable.volatile is always False)")
    return False


def _set_volatile(self: Tensor, value: bool) -> None:
    if value:
        _say("volatile was removed and now has no effect. Use `with torch.no_grad():` instead.")


def _say(text: str) -> None:
    warnings.warn(text, UserWarning, stacklevel=3)


volatile = property(_volatile, _set_volatile)


METHODS = (
    "volatile",
    "pin_memory", "is_pinned", "share_memory_", "is_shared", "new", "resize", "detach_",
    "__array_wrap__", "__dlpack__", "__dlpack_device__", "untyped_storage",
)  # fmt: skip
