"""Small methods of the tensor object: old names, exchange with other libraries."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from cresset.ops.cast import cast
from cresset.ops.creation import empty, from_numpy, tensor
from cresset.ops.geometry import as_strided_, resize_as_, swapaxes_, swapdims_  # noqa: F401
from cresset.ops.registry import Tensor
from cresset.ops.storages import TypedStorage, UntypedStorage


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
    if self._base is not None:
        raise RuntimeError(
            "Can't detach views in-place. Use detach() instead. If you are using "
            "DistributedDataParallel (DDP) for training, and gradient_as_bucket_view is set as "
            "True, gradients are views of DDP buckets, and hence detach_() cannot be called on "
            "these gradients. To fix this error, please refer to the Optimizer.zero_grad() function "  # noqa: E501
            "in torch/optim/optimizer.py as the solution."
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


def is_set_to(self: Tensor, tensor: Tensor) -> bool:
    """Whether both are the same window on the same memory."""
    return self._storage is tensor._storage and self._spec is tensor._spec


def dim_order(self: Tensor) -> tuple[int, ...]:
    """The dimensions from the slowest to the fastest in memory.

    >>> import cresset as torch
    >>> torch.zeros(2, 3).t().dim_order()
    (1, 0)
    """
    stride = self._spec.stride
    return tuple(sorted(range(len(stride)), key=lambda d: -stride[d]))


def is_nonzero(self: Tensor) -> bool:
    """Whether the only element is not zero."""
    return bool(self)


def resize_as(self: Tensor, other: Tensor) -> Tensor:
    """An uninitialised tensor of this dtype and the shape of ``other``."""
    return self.new_empty(other.shape)  # type: ignore[attr-defined]


def untyped_storage(self: Tensor) -> Any:
    """The memory behind the tensor, as bytes."""
    return UntypedStorage(self)


def storage(self: Tensor) -> Any:
    """The memory behind the tensor, as elements of its dtype."""
    return TypedStorage(self)


def _volatile(self: Tensor) -> bool:
    _say("volatile was removed (Variable.volatile is always False)")
    return False


def _set_volatile(self: Tensor, value: bool) -> None:
    if value:
        _say("volatile was removed and now has no effect. Use `with torch.no_grad():` instead.")


def _say(text: str) -> None:
    warnings.warn(text, UserWarning, stacklevel=3)


volatile = property(_volatile, _set_volatile)


def fill_diagonal_(self: Tensor, fill_value: Any, wrap: bool = False) -> Tensor:
    """Write a number along the main diagonal; ``wrap`` starts again below a tall matrix.

    >>> import cresset as torch
    >>> torch.zeros(2, 3).fill_diagonal_(5)
    tensor([[5., 0., 0.],
            [0., 5., 0.]])
    """
    x: Any = self
    if x.ndim < 2:
        raise RuntimeError("dimensions must larger than 1")
    if x.ndim > 2:
        if len(set(x.shape)) > 1:
            raise RuntimeError("all dimensions of input must be of equal length")
        steps = [x.as_strided((x.shape[0],), (sum(x.stride()),), x.storage_offset())]
    else:
        height, width = x.shape
        starts = range(0, height, width + 1) if wrap and width else (0,)
        steps = [x[start:].diagonal() for start in starts]
    for diagonal in steps:
        diagonal.fill_(fill_value)
    return self


def sum_to_size(self: Tensor, *size: Any) -> Tensor:
    """The sum over the dimensions in which ``size`` is smaller: broadcasting backwards."""
    wanted = tuple(size[0]) if len(size) == 1 and isinstance(size[0], (tuple, list)) else size
    x: Any = self
    extra = x.ndim - len(wanted)
    fits = extra >= 0 and all(n in (1, m) for n, m in zip(wanted, x.shape[extra:], strict=True))
    if not fits:
        raise RuntimeError(
            f"size {{{list(wanted)}}} is not expandable to size {{{list(x.shape)}}}."
        )
    dims = [d for d in range(x.ndim) if d < extra or wanted[d - extra] != x.shape[d]]
    kept = x.sum(dims, keepdim=True) if dims else x
    return kept.reshape(wanted)


def apply_(self: Tensor, function: Any) -> Tensor:
    """Replace each element by what a Python function makes of it (slow; host memory only).

    >>> import cresset as torch
    >>> torch.tensor([1., 2.]).apply_(lambda v: v * v)
    tensor([1., 4.])
    """
    _untracked(self, "apply_")
    values = np.array([function(v) for v in self.reshape(-1).tolist()])  # type: ignore[attr-defined]
    return self.copy_(from_numpy(values).reshape(self.shape))  # type: ignore[attr-defined]


def map_(self: Tensor, tensor: Tensor, function: Any) -> Tensor:
    """Replace each element by a Python function of it and of another tensor's element.

    >>> import cresset as torch
    >>> torch.tensor([1., 2.]).map_(torch.tensor([3., 4.]), lambda a, b: a * b)
    tensor([3., 8.])
    """
    return _mapped(self, "map_", ("other",), (tensor,), function)


def map2_(self: Tensor, x: Tensor, y: Tensor, function: Any) -> Tensor:
    """As ``map_`` with two more tensors."""
    return _mapped(self, "map2_", ("argument 'x'", "argument 'y'"), (x, y), function)


def _mapped(self: Any, name: str, titles: tuple, others: tuple, function: Any) -> Tensor:
    _untracked(self, name)
    for title, other in zip(titles, others, strict=True):
        if other._spec.dtype is not self._spec.dtype:
            raise TypeError(
                f"{name}: expected {self._type_name()} for '{title}' (got {other._type_name()})"
            )
    columns = [x.reshape(-1).tolist() for x in (self, *(y.expand(self.shape) for y in others))]
    values = np.array([function(*row) for row in zip(*columns, strict=True)])
    return self.copy_(from_numpy(values).reshape(self.shape))


def _untracked(x: Tensor, name: str) -> None:
    if x._requires_grad:
        raise RuntimeError(
            f"Can't call {name}() on Variable that requires grad. Use var.detach().{name}() "
            "instead."
        )


def narrow_copy(input: Tensor, dim: int, start: int, length: int) -> Tensor:
    """``narrow`` with memory of its own."""
    return input.narrow(dim, start, length).clone()  # type: ignore[attr-defined]


def split_with_sizes(input: Tensor, split_sizes: Any, dim: int = 0) -> tuple:
    """``split`` into pieces of the given sizes."""
    return input.split(list(split_sizes), dim)  # type: ignore[attr-defined]


def is_same_size(input: Tensor, other: Tensor) -> bool:
    """Whether both have one shape."""
    return input._spec.shape == other._spec.shape


def is_signed(input: Tensor) -> bool:
    """Whether the dtype holds negative numbers."""
    return input.dtype.is_signed


def get_device(input: Tensor) -> int:
    """The number of the device; -1 for host memory."""
    index = input.device.index
    return -1 if input.device.type == "cpu" else index or 0


TORCH = (
    "narrow_copy",
    "split_with_sizes",
    "is_same_size",
    "is_signed",
    "get_device",
    "detach_",
    "as_strided_",
    "resize_as_",
)
METHODS = (
    "volatile", "fill_diagonal_", "sum_to_size", "apply_", "map_", "map2_", "narrow_copy",
    "split_with_sizes", "is_same_size",
    "new", "resize", "detach_",
    "__array_wrap__", "as_strided_", "swapaxes_", "swapdims_", "untyped_storage", "storage",
    "is_set_to", "dim_order", "is_nonzero", "resize_as",
)  # fmt: skip
