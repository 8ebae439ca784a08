"""The same bytes as elements of another dtype: complex as pairs of real, ``x.view(dtype)``."""

from __future__ import annotations

from typing import Any

from cresset.core.spec import Spec
from cresset.core.spec import spec as make_spec
from cresset.ops.inplace import contiguous
from cresset.ops.registry import Tensor, as_shape
from cresset.ops.view import VIEW, view, view_op
from cresset.tensor import view_of


def view_as_real(input: Tensor) -> Tensor:
    """A complex tensor as a real view with a last dimension of 2 (real, imaginary)."""
    if not input._spec.dtype.is_complex:
        raise RuntimeError("view_as_real is only supported for complex tensors")
    return view(AS_REAL, input, ())


def view_as_complex(input: Tensor) -> Tensor:
    """A real tensor whose last dimension is 2 as a complex view."""
    if not input._spec.dtype.is_floating_point:
        raise RuntimeError(
            "view_as_complex is only supported for half, float and double tensors, but got a "
            f"tensor of scalar type: {input._spec.dtype.torch_type[:-6]}"
        )
    return view(AS_COMPLEX, input, ())


def _as_real_geometry(spec: Spec) -> Spec:
    return make_spec(
        spec.dtype.to_real(), (*spec.shape, 2), (*[2 * s for s in spec.stride], 1),
        2 * spec.offset, spec.device,
    )  # fmt: skip


def _as_complex_geometry(spec: Spec) -> Spec:
    if not spec.shape or spec.shape[-1] != 2:
        raise RuntimeError("Tensor must have a last dimension of size 2")
    if spec.stride[-1] != 1:
        raise RuntimeError("Tensor must have a last dimension with stride 1")
    if spec.offset % 2 or any(s % 2 for s in spec.stride[:-1]):
        raise RuntimeError("Tensor must have a stride divisible by 2 for all but last dimension")
    return make_spec(
        spec.dtype.to_complex(), spec.shape[:-1], tuple(s // 2 for s in spec.stride[:-1]),
        spec.offset // 2, spec.device,
    )  # fmt: skip


AS_REAL = view_op("view_as_real", _as_real_geometry,
                   lambda n, g: view_as_complex(contiguous(g)))  # fmt: skip
AS_COMPLEX = view_op("view_as_complex", _as_complex_geometry,
                      lambda n, g: view_as_real(contiguous(g)))  # fmt: skip


def view_as_dtype(x: Tensor, dtype: Any) -> Tensor:
    """The same bytes as another dtype (``x.view(dtype)``); the last dimension scales."""
    old = x._spec
    a, b = old.dtype.itemsize, dtype.itemsize
    if a == b:
        new = make_spec(dtype, old.shape, old.stride, old.offset, old.device)
    elif not old.shape:
        raise RuntimeError(
            f"self.dim() cannot be 0 to view {old.dtype.torch_type[:-6]} as "
            f"{dtype.torch_type[:-6]} (different element sizes)"
        )
    elif b > a and old.shape[-1] % (b // a):
        raise RuntimeError(
            f"self.size(-1) must be divisible by {b // a} to view {old.dtype.torch_type[:-6]} as "
            f"{dtype.torch_type[:-6]} (different element sizes), but got {old.shape[-1]}"
        )
    elif old.stride[-1] != 1:
        raise RuntimeError(
            f"self.stride(-1) must be 1 to view {old.dtype.torch_type[:-6]} as "
            f"{dtype.torch_type[:-6]} (different element sizes), but got {old.stride[-1]}"
        )
    else:
        bytes_last = old.shape[-1] * a
        if bytes_last % b or (old.offset * a) % b or any((s * a) % b for s in old.stride[:-1]):
            raise RuntimeError(
                f"self.size(-1) must be divisible by {b // a} to view "
                f"{old.dtype.torch_type[:-6]} as {dtype.torch_type[:-6]} (different element "
                f"sizes), but got {old.shape[-1]}"
            )
        new = make_spec(
            dtype, (*old.shape[:-1], bytes_last // b),
            (*[s * a // b for s in old.stride[:-1]], 1), old.offset * a // b, old.device,
        )  # fmt: skip
    return view_of(x, new)


def view_method(self: Tensor, *shape: Any) -> Tensor:
    """The same memory under another shape, or as another dtype.

    >>> import cresset as torch
    >>> torch.arange(6).view(2, -1).shape
    torch.Size([2, 3])
    """
    from cresset.dtypes import dtype

    if len(shape) == 1 and isinstance(shape[0], dtype):
        return view_as_dtype(self, shape[0])
    if not shape:
        raise TypeError(
            "view() received an invalid combination of arguments - got (), but expected one of:\n"
            " * (torch.dtype dtype)\n * (tuple of ints size)\n"
        )
    return view(VIEW, self, (as_shape(shape),))


TORCH = ("view_as_real", "view_as_complex")
METHODS = (*TORCH, "view=view_method")
