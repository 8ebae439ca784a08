"""What Python and NumPy values become as elements: shape, implied dtype, storage form."""

from __future__ import annotations

from typing import Any

import numpy as np

from cresset import dtypes
from cresset.dtypes import dtype
from cresset.tensor import Tensor


def encode(array: np.ndarray, d: dtype) -> np.ndarray:
    """Host values in the storage form of a dtype (rounds to bfloat16; integers wrap); a copy."""
    from cresset.core.plan import to_bfloat16

    if d is dtypes.bfloat16:
        return to_bfloat16(np, array)
    with np.errstate(all="ignore"):
        return array.astype(d.np)


def _leaf(data: Any) -> Any:
    """The first scalar inside nested sequences."""
    while isinstance(data, (list, tuple)) and len(data):
        data = data[0]
    return data


def _numbers(data: Any, wanted: dtype | None) -> np.ndarray:
    """Nested sequences that NumPy makes no numbers of: large ints beside floats, or an error."""
    if isinstance(_leaf(data), str):
        raise ValueError("too many dimensions 'str'")
    kinds = set()
    waiting = [data]
    while waiting:
        item = waiting.pop()
        if isinstance(item, (list, tuple)):
            waiting.extend(reversed(item))
        elif isinstance(item, str):
            raise TypeError("new(): invalid data type 'str'")
        elif isinstance(item, (bool, int, float, complex, np.ndarray, np.generic)):
            kinds.add(np.asarray(item).dtype.kind if not isinstance(item, int) else "i")
        else:
            raise RuntimeError(f"Could not infer dtype of {type(item).__name__}")
    if not kinds & set("fc") and (wanted is None or wanted.category < dtypes.FLOAT):
        raise ValueError("Overflow when unpacking long long")
    return np.array(data, np.complex128 if "c" in kinds else np.float64)


def host_data(data: Any, wanted: dtype | None = None) -> tuple[np.ndarray, dtype]:
    """Nested sequences, scalars, arrays or tensors as a NumPy array, with the dtype they imply.

    ``wanted``: the dtype that was asked for, as integers beyond 64 bits fit floats only.
    """
    if isinstance(data, Tensor):
        return data._host(), data._spec.dtype
    if isinstance(data, np.ndarray):
        return data, dtype_of(data)
    if isinstance(data, np.generic):
        return np.asarray(data), dtypes.from_numpy_dtype(data.dtype)
    if isinstance(data, (list, tuple, range)):
        data = _unwrap(data)
        if _has_strings(data):
            raise ValueError("too many dimensions 'str'")
        try:
            array = np.array(data)
        except ValueError as error:
            _check_lengths(data, _first_shape(data))
            raise ValueError(str(error)) from None
        if array.dtype == object or array.dtype.kind in "USO":
            array = _numbers(data, wanted)
        if array.size == 0 and array.dtype == np.float64:
            return array, dtypes.get_default_dtype()
        first = _leaf(data)
        if type(first) in (bool, int, float) and (
            array.dtype == np.uint64
            or (array.dtype == np.float64 and not (np.abs(array) < 2.0**63).all())
        ):  # NumPy made something else of ints beyond 64 bits
            array = _numbers(data, wanted)
        if isinstance(first, np.ndarray) or (
            isinstance(first, np.generic) and not isinstance(first, (float, complex))
        ) or type(first) in (np.float64, np.complex128):  # fmt: skip
            return array, _joint_dtype(data, array)
        return array, python_dtype(array)
    if isinstance(data, (bool, int, float, complex)):
        if isinstance(data, int) and not -(2**63) <= data < 2**63:
            if wanted is None or wanted.category < dtypes.FLOAT:
                raise ValueError("Overflow when unpacking long long")
            data = float(data)
        array = np.array(data)
        return array, python_dtype(array)
    if hasattr(data, "__array__"):
        return host_data(np.asarray(data))
    if (
        hasattr(data, "__getitem__")
        and hasattr(data, "__len__")
        and not isinstance(data, (str, bytes, dict))
    ):
        return host_data([data[i] for i in range(len(data))])
    if isinstance(data, (str, bytes)):
        raise TypeError(f"new(): invalid data type '{type(data).__name__}'")
    raise RuntimeError(f"Could not infer dtype of {type(data).__name__}")


def dtype_of(array: np.ndarray) -> dtype:
    """The dtype of an array's elements; an error in PyTorch's words where its memory is odd."""
    if array.dtype.byteorder == ">":
        raise ValueError(
            "given numpy array has byte order different from the native byte order. Conversion "
            "between byte orders is currently not supported."
        )
    if array.size and any(s < 0 for s in array.strides):
        raise ValueError(
            "At least one stride in the given numpy array is negative, and tensors with negative "
            "strides are not currently supported. (You can probably work around this by making a "
            "copy of your array  with array.copy().) "
        )
    return dtypes.from_numpy_dtype(array.dtype)


def _joint_dtype(data: Any, array: np.ndarray) -> dtype:
    """The dtype of a list that begins with NumPy's values: Python's numbers in it weigh less."""
    kinds = {type(x): x for x in data}
    if any(issubclass(kind, (list, tuple)) for kind in kinds) or not any(
        kind in (bool, int, float, complex) or getattr(x, "shape", None) == ()
        for kind, x in kinds.items()
    ):
        return dtypes.from_numpy_dtype(array.dtype)
    found = None
    for x in data:
        own = (
            dtypes.from_numpy_dtype(x.dtype) if hasattr(x, "dtype") else python_dtype(np.asarray(x))
        )
        found = own if found is None else dtypes.promote(found, own)
    assert found is not None
    return found


def _unwrap(x: Any) -> Any:
    """Lists in place of other sequences, and numbers in place of tensors of one element."""
    if isinstance(x, (list, tuple)):
        return [_unwrap(y) for y in x]
    if isinstance(x, Tensor):
        if x.numel() != 1:
            raise ValueError("only one element tensors can be converted to Python scalars")
        return x._host().reshape(())
    return x


def _has_strings(data: Any) -> bool:
    return isinstance(_leaf(data), (str, bytes))


def _check_lengths(data: Any, shape: tuple[int, ...], depth: int = 0) -> None:
    """Nested sequences of unequal lengths are an error in PyTorch's words."""
    if depth == len(shape):
        if isinstance(data, list):
            raise TypeError(f"'{type(data).__name__}' object cannot be interpreted as an integer")
        return
    if not isinstance(data, (list, range)) and not (isinstance(data, np.ndarray) and data.ndim):
        raise TypeError("not a sequence")
    if len(data) != shape[depth]:
        raise ValueError(
            f"expected sequence of length {shape[depth]} at dim {depth} (got {len(data)})"
        )
    if isinstance(data, list):
        for item in data:
            _check_lengths(item, shape, depth + 1)


def _first_shape(data: Any) -> tuple[int, ...]:
    """The lengths along the first elements."""
    shape: tuple[int, ...] = ()
    while isinstance(data, (list, range)) or (isinstance(data, np.ndarray) and data.ndim):
        shape = (*shape, len(data))
        if not len(data):
            break
        data = data[0]
    return shape


def python_dtype(array: np.ndarray) -> dtype:
    kind = array.dtype.kind
    if kind == "f":
        return dtypes.get_default_dtype()
    if kind == "c":
        return dtypes.get_default_dtype().to_complex()
    return dtypes.bool_ if kind == "b" else dtypes.int64


def check_range(array: np.ndarray, d: dtype) -> None:
    """Raise, in PyTorch's words, where Python numbers do not fit the dtype that was asked for."""
    if array.dtype.kind == "c" and not d.is_complex:
        raise TypeError("must be real number, not complex")
    if d.category != dtypes.INT or array.dtype.kind not in "iuf" or not array.size:
        return
    info = np.iinfo(d.np)
    low = -info.max if info.min == 0 else info.min  # PyTorch lets negative numbers wrap
    with np.errstate(all="ignore"):
        if not (np.trunc(array.min()) >= low and np.trunc(array.max()) <= info.max):
            raise RuntimeError(f"value cannot be converted to type {d.name} without overflow")


_C_TYPES = {"uint8": "uint8_t", "int8": "int8_t", "int16": "int16_t", "int32": "int",
            "int64": "int64_t"}  # fmt: skip


def check_fits(value: float, d: dtype) -> None:
    """Raise where one number, to fill an integer tensor with, does not fit."""
    info = np.iinfo(d.np)
    low = -info.max if info.min == 0 else info.min
    if not low <= value <= info.max:
        raise RuntimeError(f"value cannot be converted to type {_C_TYPES[d.name]} without overflow")
