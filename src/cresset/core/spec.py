"""``Spec``: everything about a tensor that is known before its values are.

A spec is the dtype, the geometry (shape, stride, offset, in elements) and the device. Specs are
interned: two tensors look alike exactly when their specs are the same object. That is what makes
recording cheap: shape rules are looked up by the identities of a few objects (see ``graph``).

A *number* spec stands for a Python number. Its value is an operand of the graph; only its kind
(bool, int, float, complex) is structure.
"""

from __future__ import annotations

import math
from typing import Any
from weakref import WeakValueDictionary

from cresset import dtypes
from cresset.device import CPU, device
from cresset.dtypes import dtype
from cresset.size import Size


def contiguous_stride(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Row-major strides in elements; a dimension of size 0 counts as 1, as in PyTorch."""
    stride, step = [0] * len(shape), 1
    for i in range(len(shape) - 1, -1, -1):
        stride[i] = step
        step *= max(shape[i], 1)
    return tuple(stride)


class Spec:
    """An interned description of a tensor; make one with :func:`spec` or :func:`dense`."""

    __slots__ = (
        "dtype", "shape", "stride", "offset", "device", "number", "numel", "contiguous", "extent",
        "byte_stride", "compact", "_at_zero", "_order", "__weakref__",
    )  # fmt: skip
    dtype: dtype
    shape: Size
    stride: tuple[int, ...]
    offset: int
    device: device
    #: None for a tensor; for a Python number its category (dtypes.BOOL .. dtypes.COMPLEX).
    number: int | None
    numel: int
    #: Row-major without gaps (says nothing of the offset).
    contiguous: bool
    #: How many elements of the storage lie between the first and the last one touched, inclusive.
    extent: int
    #: Row-major and at offset 0: a buffer of ``numel`` elements can simply be reshaped.
    compact: bool
    _at_zero: Any
    _order: Any

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        return self.numel * self.dtype.itemsize

    def at_zero(self) -> Spec:
        """The same geometry at offset 0."""
        found = self._at_zero
        if found is None:
            found = self._at_zero = spec(self.dtype, self.shape, self.stride, 0, self.device)
        return found

    def memory_order(self) -> tuple[int, ...] | None:
        """Dimensions from slowest to fastest if the elements fill memory without gaps, else
        None."""
        if self._order is None:
            order = sorted(range(len(self.shape)), key=lambda i: -self.stride[i])
            step: int = 1
            for i in reversed(order):
                if self.shape[i] != 1:
                    if self.stride[i] != step:
                        self._order = ()
                        return None
                    step *= self.shape[i]
            self._order = tuple(order)
        return self._order or None

    def __repr__(self) -> str:
        if self.number is not None:
            return f"<number {('bool', 'int', 'float', 'complex')[self.number]}>"
        shape = "x".join(map(str, self.shape))
        tail = "" if self.compact else f" stride={self.stride} offset={self.offset}"
        where = "" if self.device is CPU else f" {self.device}"
        return f"<{self.dtype.name}[{shape}]{tail}{where}>"


_interned: WeakValueDictionary[tuple, Spec] = WeakValueDictionary()


def spec(
    dtype: dtype, shape: tuple[int, ...], stride: tuple[int, ...], offset: int, device: device
) -> Spec:
    """The one Spec with these properties."""
    key = (dtype, shape, stride, offset, device)
    found = _interned.get(key)
    if found is not None:
        return found
    new = Spec()
    new.dtype, new.device, new.offset, new.number = dtype, device, offset, None
    new.shape = shape if type(shape) is Size else Size(shape)
    new.stride = stride
    new.numel = math.prod(shape)
    step, contiguous = 1, True
    for size, s in zip(reversed(shape), reversed(stride), strict=True):
        if size != 1:
            if s != step:
                contiguous = False
                break
            step *= size
    new.contiguous = contiguous or new.numel == 0
    new.compact = new.contiguous and offset == 0
    new.extent = (
        0 if new.numel == 0 else 1 + sum((n - 1) * s for n, s in zip(shape, stride, strict=True))
    )
    new.byte_stride = tuple(s * dtype.itemsize for s in stride)
    new._at_zero = new if offset == 0 else None
    new._order = None
    _interned[(dtype, new.shape, stride, offset, device)] = new
    return new


def dense(dtype: dtype, shape: tuple[int, ...], device: device = CPU) -> Spec:
    """The spec of a fresh row-major tensor."""
    return spec(dtype, shape, contiguous_stride(shape), 0, device)


def like(model: Spec, dtype: dtype | None = None) -> Spec:
    """A fresh tensor shaped as ``model``, its dimensions in the same memory order if it is
    dense."""
    d = model.dtype if dtype is None else dtype
    if model.compact and d is model.dtype:
        return model
    if model.contiguous or model.memory_order() is None:
        return dense(d, model.shape, model.device)
    return spec(d, model.shape, model.stride, 0, model.device)


def _number(category: int) -> Spec:
    new = Spec()
    new.dtype = (dtypes.bool_, dtypes.int64, dtypes.float64, dtypes.complex128)[category]
    new.device, new.offset, new.number = CPU, 0, category
    new.shape, new.stride, new.numel = Size(), (), 1
    new.contiguous = new.compact = True
    new.extent, new.byte_stride, new._at_zero, new._order = 1, (), new, None
    return new


NUMBERS: tuple[Spec, ...] = tuple(_number(c) for c in range(4))
_BY_TYPE: dict[type, Spec] = {
    bool: NUMBERS[0], int: NUMBERS[1], float: NUMBERS[2], complex: NUMBERS[3],
}  # fmt: skip


class NumberStandIn:
    """Takes the place of a Python number while a body is traced: an operand of ops and no more.

    Python's own arithmetic would bake today's value in, so there is none.
    """

    __slots__ = ("spec", "slot")

    def __init__(self, spec: Spec, slot: int) -> None:
        self.spec = spec
        self.slot = slot

    def __eq__(self, other: object) -> bool:
        raise TypeError("the value of a number is not known while tracing")

    def __bool__(self) -> bool:
        raise TypeError("the value of a number is not known while tracing")

    __hash__ = None  # type: ignore[assignment]


def number_spec(value: Any) -> Spec:
    """The spec of a Python (or NumPy scalar) number; TypeError for anything else."""
    found = _BY_TYPE.get(value.__class__)
    if found is not None:
        return found
    if value.__class__ is NumberStandIn:
        return value.spec
    import numpy as np

    if isinstance(value, np.generic) and value.dtype.kind in "biufc":
        return NUMBERS[{"b": 0, "i": 1, "u": 1, "f": 2, "c": 3}[value.dtype.kind]]
    if isinstance(value, (bool, int, float, complex)):
        for kind, category in ((bool, 0), (int, 1), (float, 2)):
            if isinstance(value, kind):
                return NUMBERS[category]
        return NUMBERS[3]
    if hasattr(value, "__index__"):
        return NUMBERS[1]
    if hasattr(value, "__float__"):
        return NUMBERS[2]
    raise TypeError(f"expected a number or a tensor, but got {type(value).__name__}")
