"""Methods that change a tensor's shape or memory in place: resize_, set_, squeeze_, t_ ..."""

from __future__ import annotations

from typing import Any

from cresset.core import graph
from cresset.core.modes import THREAD
from cresset.core.spec import contiguous_stride, dense
from cresset.core.spec import spec as make_spec
from cresset.core.storage import Storage
from cresset.ops.elementwise import C_NAMES
from cresset.ops.inplace import as_strided
from cresset.ops.registry import Op, Tensor, as_shape, backend
from cresset.ops.view import (
    SQUEEZE_DIM_IN_PLACE,
    SQUEEZE_IN_PLACE,
    TRANSPOSE_IN_PLACE,
    UNSQUEEZE,
    T,
    view,
)
from cresset.tensor import wrap


def _form(op: Op, grad_name: str) -> Op:
    """A view op under the name that PyTorch gives the node of its in-place form."""
    return Op(op.name, op.infer, vjp=op.vjp, grad_name=grad_name, family=op.family)


UNSQUEEZE_IN_PLACE, T_IN_PLACE = _form(UNSQUEEZE, "UnsqueezeBackward1"), _form(T, "TBackward1")


def resize_(self: Tensor, *sizes: Any, memory_format: Any = None) -> Tensor:
    """Change the shape in place; more elements than before are uninitialised (zeros here)."""
    shape = as_shape(sizes)
    spec = self._spec
    new = dense(spec.dtype, shape, spec.device)
    if self._requires_grad:
        raise RuntimeError("cannot resize variables that require grad")
    room = self._storage.size - spec.offset
    if new.numel > room:
        home = backend(spec.device)
        buffer = home.empty(new.numel, spec.dtype.np)
        buffer[...] = 0
        old = graph.materialize(self._storage)[spec.offset :]
        buffer[: old.size] = old
        fresh = Storage(spec.dtype, new.numel, spec.device, buffer)
        fresh.version = self._storage.version + 1
        self._storage = fresh
        self._spec = new
    else:
        self._spec = make_spec(spec.dtype, new.shape, new.stride, spec.offset, spec.device)
        self._bump_version()
    return self


def resize_as_(self: Tensor, other: Tensor, memory_format: Any = None) -> Tensor:
    """``resize_`` to the shape of ``other``."""
    return resize_(self, tuple(other.shape))


def set_(self: Tensor, source: Any = None, storage_offset: int = 0, size: Any = None,
         stride: Any = None) -> Tensor:  # fmt: skip
    """Share ``source``'s memory from now on: a tensor's, or a storage's with the given geometry."""
    if self._requires_grad and self.grad_fn is None and THREAD.grad:
        raise RuntimeError(
            "a leaf Variable that requires grad is being used in an in-place operation."
        )
    if source is None:
        source = self.new_empty((0,))  # type: ignore[attr-defined]
    source = getattr(source, "_of", source)
    if not isinstance(source, Tensor):
        count = source.size * source.dtype.itemsize // self._spec.dtype.itemsize
        whole = dense(self._spec.dtype, (count - storage_offset,), self._spec.device)
        source = wrap(source, whole)
        size = (count - storage_offset,) if size is None else size
    if source._spec.dtype is not self._spec.dtype:
        raise RuntimeError(
            f"Could not set tensor of type {C_NAMES[source._spec.dtype.name]} to a tensor of type "
            f"{C_NAMES[self._spec.dtype.name]}"
        )
    if size is not None:
        size = as_shape((size,))
        steps = contiguous_stride(size) if stride is None else tuple(stride)
        source = as_strided(source.detach(), size, steps, storage_offset)
    self._storage, self._spec = source._storage, source._spec
    self._bump_version()
    return self


def squeeze_(self: Tensor, dim: Any = None) -> Tensor:
    """``squeeze`` in place."""
    if dim is None:
        return _become(self, view(SQUEEZE_IN_PLACE, self, (None,)))
    dims = (dim,) if isinstance(dim, int) else tuple(dim)
    return _become(self, view(SQUEEZE_DIM_IN_PLACE, self, (dims,)))


def unsqueeze_(self: Tensor, dim: int) -> Tensor:
    """``unsqueeze`` in place."""
    return _become(self, view(UNSQUEEZE_IN_PLACE, self, (dim,)))


def t_(self: Tensor) -> Tensor:
    """``t`` in place."""
    if self.ndim > 2:
        raise RuntimeError(f"t_() expects a tensor with <= 2 dimensions, but self is {self.ndim}D")
    return _become(self, view(T_IN_PLACE, self, (0, 1) if self.ndim == 2 else (0, 0)))


def transpose_(self: Tensor, dim0: int, dim1: int) -> Tensor:
    """``transpose`` in place."""
    return _become(self, view(TRANSPOSE_IN_PLACE, self, (dim0, dim1)))


swapaxes_ = swapdims_ = transpose_


def as_strided_(self: Tensor, size: Any, stride: Any, storage_offset: int | None = None) -> Tensor:
    """``as_strided`` in place."""
    return _become(self, as_strided(self, size, stride, storage_offset))


def _become(self: Tensor, new: Tensor) -> Tensor:
    """Take over the geometry (and history) of a view of oneself."""
    if self._requires_grad and self.grad_fn is None and new.grad_fn is not None:
        raise RuntimeError(
            "a leaf Variable that requires grad is being used in an in-place operation."
        )
    self._spec = new._spec
    self._bump_version()
    if new._grad_fn is not None:
        self._grad_fn, self._output_nr = new._grad_fn, new._output_nr
    return self


METHODS = ("resize_", "resize_as_", "set_", "squeeze_", "unsqueeze_", "t_", "transpose_")
