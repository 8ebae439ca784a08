"""Methods that change a tensor's shape or memory in place: resize_, set_, squeeze_, t_ ..."""

from __future__ import annotations

from typing import Any

from cresset.core import graph
from cresset.core.spec import dense
from cresset.core.spec import spec as make_spec
from cresset.core.storage import Storage
from cresset.ops.registry import Tensor, as_shape, backend
from cresset.ops.view import TRANSPOSE_IN_PLACE, unsqueeze, view


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
    return self


def resize_as_(self: Tensor, other: Tensor, memory_format: Any = None) -> Tensor:
    """``resize_`` to the shape of ``other``."""
    return resize_(self, tuple(other.shape))


def set_(self: Tensor, source: Any = None, storage_offset: int = 0, size: Any = None,
         stride: Any = None) -> Tensor:  # fmt: skip
    """Share ``source``'s memory from now on."""
    if source is None:
        source = self.new_empty((0,))  # type: ignore[attr-defined]
    if isinstance(source, Tensor):
        self._storage, self._spec = source._storage, source._spec
    return self


def squeeze_(self: Tensor, dim: Any = None) -> Tensor:
    """``squeeze`` in place."""
    return _become(self, self.squeeze(dim) if dim is not None else self.squeeze())  # type: ignore[attr-defined]


def unsqueeze_(self: Tensor, dim: int) -> Tensor:
    """``unsqueeze`` in place."""
    return _become(self, unsqueeze(self, dim))


def t_(self: Tensor) -> Tensor:
    """``t`` in place."""
    if self.ndim > 2:
        raise RuntimeError(f"t_() expects a tensor with <= 2 dimensions, but self is {self.ndim}D")
    return _become(self, self.t())  # type: ignore[attr-defined]


def transpose_(self: Tensor, dim0: int, dim1: int) -> Tensor:
    """``transpose`` in place."""
    return _become(self, view(TRANSPOSE_IN_PLACE, self, (dim0, dim1)))


def _become(self: Tensor, new: Tensor) -> Tensor:
    """Take over the geometry (and history) of a view of oneself."""
    if self._requires_grad and self.grad_fn is None and new.grad_fn is not None:
        raise RuntimeError(
            "a leaf Variable that requires grad is being used in an in-place operation."
        )
    self._spec = new._spec
    if new._grad_fn is not None:
        self._grad_fn, self._output_nr = new._grad_fn, new._output_nr
    return self
