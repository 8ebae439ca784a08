"""What ``tensor.untyped_storage()`` and ``tensor.storage()`` give: the memory behind a tensor.

They are windows for the user; inside Cresset memory is a ``core.storage.Storage``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cresset.core.spec import dense
from cresset.core.storage import Storage
from cresset.device import device
from cresset.dtypes import dtype, uint8
from cresset.tensor import Tensor, wrap


class _Window:
    """All elements of a storage, seen as one dtype."""

    def __init__(self, tensor: Tensor, dtype: dtype) -> None:
        self._of: Storage = tensor._storage
        self.dtype = dtype
        count = self.nbytes() // dtype.itemsize
        self._flat: Any = wrap(self._of, dense(dtype, (count,), self._of.device))

    @property
    def device(self) -> device:
        """Where the memory is."""
        return self._of.device

    def nbytes(self) -> int:
        """How many bytes the memory has."""
        return self._of.size * self._of.dtype.itemsize

    def size(self) -> int:
        """How many elements there are."""
        return len(self)

    def __len__(self) -> int:
        return int(self._flat.numel())

    def element_size(self) -> int:
        """Bytes per element."""
        return self.dtype.itemsize

    def data_ptr(self) -> int:
        """The address of the first element."""
        return int(self._flat.data_ptr())

    def tolist(self) -> list:
        """The elements as Python numbers."""
        return self._flat.tolist()

    def __iter__(self) -> Iterator[Any]:
        return iter(self.tolist())

    def __getitem__(self, index: int) -> Any:
        return self._flat[index].item()

    def __setitem__(self, index: int, value: Any) -> None:
        self._flat[index] = value

    def fill_(self, value: Any) -> Any:
        """Write one value everywhere."""
        self._flat.fill_(value)
        return self

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Window) and other._of is self._of

    def __hash__(self) -> int:
        return hash(self._of)


class UntypedStorage(_Window):
    """Memory as bytes.

    >>> import cresset as torch
    >>> storage = torch.tensor([1, 2], dtype=torch.int16).untyped_storage()
    >>> len(storage), storage.tolist()
    (4, [1, 0, 2, 0])
    """

    def __init__(self, tensor: Tensor) -> None:
        super().__init__(tensor, uint8)


class TypedStorage(_Window):
    """Memory as elements of a tensor's dtype.

    >>> import cresset as torch
    >>> torch.arange(4)[2:].storage().tolist()
    [0, 1, 2, 3]
    """

    def __init__(self, tensor: Tensor) -> None:
        super().__init__(tensor, tensor._spec.dtype)

    def untyped(self) -> UntypedStorage:
        """The same memory as bytes."""
        return UntypedStorage(self._flat)


__all__ = ["TypedStorage", "UntypedStorage"]
