"""CPU memory: buffers are one-dimensional NumPy arrays, reference kernels run on NumPy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from cresset.core.spec import Spec


class CpuBackend:
    """Allocation, views and copies in host memory."""

    xp: Any = np

    def empty(self, count: int, np_dtype: np.dtype) -> np.ndarray:
        """An uninitialised buffer of ``count`` elements."""
        return np.empty(count, np_dtype)

    def view(self, buffer: np.ndarray, spec: Spec) -> np.ndarray:
        """The array that ``spec`` selects from a buffer: no copy, writes go through."""
        if buffer.dtype != spec.dtype.np:
            buffer = buffer.view(spec.dtype.np)
        if spec.compact and buffer.size == spec.numel:
            return buffer.reshape(spec.shape)
        if spec.numel == 0:
            return np.empty(spec.shape, spec.dtype.np)
        return np.ndarray(
            spec.shape, spec.dtype.np, buffer, spec.offset * spec.dtype.itemsize, spec.byte_stride
        )

    def from_host(self, array: np.ndarray) -> np.ndarray:
        """A private copy of a host array as a buffer."""
        return array.reshape(-1).copy()

    def to_host(self, buffer: np.ndarray) -> np.ndarray:
        """The buffer as host memory (here the buffer itself)."""
        return buffer
