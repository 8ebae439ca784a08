"""DLPack: tensors that share memory with other libraries without either knowing the other.

The protocol is a C struct in a ``PyCapsule``: address, shape, strides, element type, and a function
that the consumer calls when it is done. The structs are declared here with ctypes, field by field
as in ``dlpack.h``, rather than borrowed from NumPy's ``__dlpack__``, because NumPy has no bfloat16
and marks memory read-only that is not.

What must stay true: an exported struct, its shape and the array it shows live in ``_EXPORTED``
until the consumer (or a capsule that nobody consumed) calls ``_release``; an imported one is
released when the last array over its memory goes.

Source: https://dmlc.github.io/dlpack/latest/, version 1.0.
"""

from __future__ import annotations

import ctypes as C
import enum
from typing import Any

import numpy as np

from cresset import dtypes
from cresset.core import graph
from cresset.core.spec import spec as make_spec
from cresset.core.storage import Storage
from cresset.device import CPU
from cresset.size import Size
from cresset.tensor import Tensor, wrap


class DLDeviceType(enum.IntEnum):
    """Kinds of devices, as DLPack numbers them."""

    kDLCPU = 1
    kDLCUDA = 2
    kDLCUDAHost = 3


class _Device(C.Structure):
    _fields_ = [("type", C.c_int32), ("index", C.c_int32)]


class _Type(C.Structure):
    _fields_ = [("code", C.c_uint8), ("bits", C.c_uint8), ("lanes", C.c_uint16)]


class _Array(C.Structure):
    _fields_ = [
        ("data", C.c_void_p), ("device", _Device), ("ndim", C.c_int32), ("dtype", _Type),
        ("shape", C.POINTER(C.c_int64)), ("strides", C.POINTER(C.c_int64)),
        ("byte_offset", C.c_uint64),
    ]  # fmt: skip


_Deleter = C.CFUNCTYPE(None, C.c_void_p)


class _Managed(C.Structure):
    """``DLManagedTensor``: what a capsule named ``dltensor`` points to."""

    _fields_ = [("array", _Array), ("context", C.c_void_p), ("deleter", _Deleter)]


class _Versioned(C.Structure):
    """``DLManagedTensorVersioned``, in a capsule named ``dltensor_versioned``."""

    _fields_ = [
        ("major", C.c_uint32), ("minor", C.c_uint32), ("context", C.c_void_p),
        ("deleter", _Deleter), ("flags", C.c_uint64), ("array", _Array),
    ]  # fmt: skip


_STRUCTS: dict[bytes, Any] = {b"dltensor": _Managed, b"dltensor_versioned": _Versioned}
#: A capsule keeps a pointer to its name, so these must never go.
_USED = {name: b"used_" + name for name in _STRUCTS}
_COPIED = 2  # the flag for memory that belongs to the consumer alone
#: dtype by (code, bits); the codes are int, uint, float, bfloat, complex and bool.
_TYPES = {
    (0, 8): dtypes.int8, (0, 16): dtypes.int16, (0, 32): dtypes.int32, (0, 64): dtypes.int64,
    (1, 8): dtypes.uint8, (2, 16): dtypes.float16, (2, 32): dtypes.float32,
    (2, 64): dtypes.float64, (4, 16): dtypes.bfloat16, (5, 64): dtypes.complex64,
    (5, 128): dtypes.complex128, (6, 8): dtypes.bool_,
}  # fmt: skip
_CODES = {d: key for key, d in _TYPES.items()}

_python = C.pythonapi
_new_capsule = C.PYFUNCTYPE(C.py_object, C.c_void_p, C.c_char_p, C.c_void_p)(
    ("PyCapsule_New", _python)
)
_is_valid = C.PYFUNCTYPE(C.c_int, C.py_object, C.c_char_p)(("PyCapsule_IsValid", _python))
_pointer = C.PYFUNCTYPE(C.c_void_p, C.py_object, C.c_char_p)(("PyCapsule_GetPointer", _python))
_rename = C.PYFUNCTYPE(C.c_int, C.py_object, C.c_char_p)(("PyCapsule_SetName", _python))
# The destructor sees a capsule that is already going: by address, so that no one counts it again.
_is_valid_address = C.PYFUNCTYPE(C.c_int, C.c_void_p, C.c_char_p)(("PyCapsule_IsValid", _python))
_pointer_address = C.PYFUNCTYPE(C.c_void_p, C.c_void_p, C.c_char_p)(
    ("PyCapsule_GetPointer", _python)
)

#: What consumers still hold, by the struct's address.
_EXPORTED: dict[int, tuple[Any, ...]] = {}


def _forget(address: int) -> None:
    _EXPORTED.pop(address, None)


_release = _Deleter(_forget)


def _drop_capsule(capsule: int) -> None:
    for name in _STRUCTS:
        if _is_valid_address(capsule, name):
            _forget(_pointer_address(capsule, name))


_destructor = C.PYFUNCTYPE(None, C.c_void_p)(_drop_capsule)


def to_dlpack(tensor: Tensor) -> Any:
    """A capsule with the tensor's memory, for another library's ``from_dlpack``."""
    return _capsule(tensor, versioned=False)


def _capsule(tensor: Tensor, versioned: bool, copied: bool = False) -> Any:
    spec = tensor._spec
    if spec.device.type != "cpu":
        raise BufferError(
            f"can't export the memory of a tensor on {spec.device} through DLPack; use "
            "Tensor.cpu() first"
        )
    graph.expose(tensor._storage)
    array = tensor._array()
    name = b"dltensor_versioned" if versioned else b"dltensor"
    managed = _STRUCTS[name]()
    shape, strides = (C.c_int64 * spec.ndim)(*spec.shape), (C.c_int64 * spec.ndim)(*spec.stride)
    code, bits = _CODES[spec.dtype]
    address = array.__array_interface__["data"][0] if spec.numel else None
    managed.array = _Array(address, _Device(DLDeviceType.kDLCPU, 0), spec.ndim,
                           _Type(code, bits, 1), shape, strides, 0)  # fmt: skip
    managed.deleter = _release
    if versioned:
        managed.major, managed.flags = 1, _COPIED if copied else 0
    _EXPORTED[C.addressof(managed)] = (managed, shape, strides, array)
    return _new_capsule(C.addressof(managed), name, C.cast(_destructor, C.c_void_p))


def export(
    self: Tensor, *, stream: Any = None, max_version: tuple[int, int] | None = None,
    dl_device: tuple | None = None, copy: bool | None = None,
) -> Any:  # fmt: skip
    """``Tensor.__dlpack__``: a capsule that shares this memory (a copy if ``copy`` is True)."""
    if self._requires_grad:
        raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
    if stream is not None and not isinstance(stream, int):
        raise TypeError("stream must be ``int`` or ``none``")
    if stream is not None and stream != -1 and self.device.type == "cpu":
        raise AssertionError("stream should be None on cpu.")
    tensor = self.clone() if copy else self  # type: ignore[attr-defined]
    if dl_device is not None and dl_device[0] == DLDeviceType.kDLCPU:
        tensor = tensor.cpu()
    versioned = max_version is not None and max_version[0] >= 1
    return _capsule(tensor, versioned, copied=bool(copy))


def device_of(self: Tensor) -> tuple[DLDeviceType, int]:
    """``Tensor.__dlpack_device__``: the kind and number of the device."""
    if self.device.type == "cpu":
        return DLDeviceType.kDLCPU, 0
    return DLDeviceType.kDLCUDA, self.device.index or 0


class _Foreign:
    """Another library's memory as the base of an array; gives it back when it goes."""

    def __init__(self, managed: Any, interface: dict) -> None:
        self._managed, self.__array_interface__ = managed, interface

    def __del__(self) -> None:
        if self._managed.deleter:
            self._managed.deleter(C.addressof(self._managed))


def from_dlpack(ext_tensor: Any, *, device: Any = None, copy: bool | None = None) -> Tensor:
    """A tensor over memory that another library offers: an object with ``__dlpack__``, or its
    capsule. Both sides see each other's writes, unless ``copy`` is True.

    >>> import cresset as torch, numpy as np
    >>> a = np.zeros(2)
    >>> torch.from_dlpack(a)[0] = 5
    >>> a
    array([5., 0.])
    """
    capsule = ext_tensor
    if hasattr(ext_tensor, "__dlpack__"):
        try:
            capsule = ext_tensor.__dlpack__(max_version=(1, 0))
        except TypeError:  # made for an older version of the protocol
            capsule = ext_tensor.__dlpack__()
    tensor = _import(capsule)
    if device is not None:
        tensor = tensor.to(device)  # type: ignore[attr-defined]
    return tensor.clone() if copy else tensor  # type: ignore[attr-defined]


def _import(capsule: Any) -> Tensor:
    name = next((n for n in _STRUCTS if _is_capsule(capsule) and _is_valid(capsule, n)), None)
    if name is None:
        raise RuntimeError(
            "from_dlpack received an invalid capsule. Note that DLTensor capsules can be consumed "
            "only once, so you might have already constructed a tensor from it once."
        )
    managed = _STRUCTS[name].from_address(_pointer(capsule, name))
    source = managed.array
    if source.device.type not in (DLDeviceType.kDLCPU, DLDeviceType.kDLCUDAHost):
        raise BufferError("from_dlpack: only memory that the CPU can read is taken")
    d = _TYPES.get((source.dtype.code, source.dtype.bits))
    if d is None or source.dtype.lanes != 1:
        raise RuntimeError(f"Unsupported kind of elements: code {source.dtype.code}, "
                           f"{source.dtype.bits} bits, {source.dtype.lanes} lanes")  # fmt: skip
    shape = Size(source.shape[i] for i in range(source.ndim))
    rows = [1] * source.ndim
    for i in range(source.ndim - 1, 0, -1):
        rows[i - 1] = rows[i] * max(shape[i], 1)
    stride = tuple(source.strides[i] for i in range(source.ndim)) if source.strides else tuple(rows)
    if any(s < 0 for s in stride):
        raise ValueError("tensors with negative strides are not supported: copy the array first")
    _rename(capsule, _USED[name])
    extent = 0 if 0 in shape else 1 + sum((n - 1) * s for n, s in zip(shape, stride, strict=True))
    address = (source.data or 0) + source.byte_offset
    where = {"shape": (extent,), "typestr": d.np.str, "data": (address, False), "version": 3}
    owner = _Foreign(managed, where)
    buffer = np.asarray(owner) if extent else np.empty(0, d.np)
    storage = Storage(d, extent, CPU, buffer)
    storage.export(forever=True)
    return wrap(storage, make_spec(d, shape, stride, 0, CPU))


def _is_capsule(x: Any) -> bool:
    return type(x).__name__ == "PyCapsule"


Tensor.__dlpack__ = export  # type: ignore[attr-defined]
Tensor.__dlpack_device__ = device_of  # type: ignore[attr-defined]
