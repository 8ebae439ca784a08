"""Reading a downloaded pickle without trusting it.

A pickle may ask for any function and call it. Here a name in the file only ever gets one of this
file's own stand-ins, which take the parts of an array and keep them; the arrays are built
afterwards, by us, from checked parts. What must stay true: ``find_class`` hands out nothing but
these stand-ins.
"""

from __future__ import annotations

import io
import os
import pickle
import struct
from typing import Any

import numpy as np


class _Frozen:
    """A stand-in has no attributes that the file could set."""

    __slots__ = ()


class _ArrayType(_Frozen):
    """For ``numpy.ndarray``, which pickles pass on and never call."""

    __slots__ = ()


class _DtypeParts:
    """For a ``numpy.dtype``: its code, then its byte order."""

    def __init__(self, code: str) -> None:
        self.code = code
        self.order = "|"

    def __setstate__(self, state: Any) -> None:
        self.order = str(state[1])

    def build(self) -> np.dtype:
        """Numbers and nothing else: no objects, no structures."""
        dtype = np.dtype(str(self.code))
        if dtype.kind not in "biuf" or self.order not in ("|", "<", ">"):
            raise pickle.UnpicklingError(f"dtype {self.code!r} is not allowed in a data file")
        return dtype.newbyteorder(">" if self.order == ">" else "<")


class _LongString:
    """A long byte string of Python 2: most likely an array's, which needs no text of it."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw

    def build(self) -> str:
        return self.raw.decode("latin1")


class _ArrayParts:
    """For an array: shape, dtype, order and bytes."""

    def __init__(self) -> None:
        self.state: tuple = ()

    def __setstate__(self, state: Any) -> None:
        self.state = tuple(state)

    def build(self) -> np.ndarray:
        _, shape, dtype, fortran, raw = self.state
        if isinstance(raw, _LongString):
            raw = raw.raw
        elif isinstance(raw, str):  # a short byte string of Python 2
            raw = raw.encode("latin1")
        if not isinstance(dtype, _DtypeParts) or not isinstance(raw, (bytes, bytearray)):
            raise pickle.UnpicklingError("malformed array in a data file")
        flat = np.frombuffer(raw, dtype.build())
        return flat.reshape(shape, order="F" if fortran else "C")


class _MakeDtype(_Frozen):
    __slots__ = ()

    def __call__(self, code: Any, *_flags: Any) -> _DtypeParts:
        return _DtypeParts(code)


class _MakeArray(_Frozen):
    __slots__ = ()

    def __call__(self, *_type_shape_code: Any) -> _ArrayParts:
        return _ArrayParts()


class _FromBuffer(_Frozen):
    """An array in pickle protocol 5: (bytes, dtype, shape, order)."""

    __slots__ = ()

    def __call__(self, raw: Any, dtype: Any, shape: Any, order: Any) -> _ArrayParts:
        array = _ArrayParts()
        array.__setstate__((1, shape, dtype, order == "F", bytes(memoryview(raw))))
        return array


class _Encode(_Frozen):
    """``_codecs.encode(text, 'latin1')``: how Python 3 writes bytes in protocol 2."""

    __slots__ = ()

    def __call__(self, text: str, encoding: str = "latin1") -> bytes:
        if encoding != "latin1":
            raise pickle.UnpicklingError(f"codec {encoding!r} is not allowed in a data file")
        return text.encode("latin1")


_ALLOWED: dict[tuple[str, str], type[_Frozen]] = {
    ("numpy", "ndarray"): _ArrayType,
    ("numpy", "dtype"): _MakeDtype,
    ("numpy.core.multiarray", "_reconstruct"): _MakeArray,
    ("numpy._core.multiarray", "_reconstruct"): _MakeArray,
    ("numpy.core.numeric", "_frombuffer"): _FromBuffer,
    ("numpy._core.numeric", "_frombuffer"): _FromBuffer,
    ("_codecs", "encode"): _Encode,
}


class _PlainUnpickler(pickle._Unpickler):  # type: ignore[name-defined]
    """The one written in Python: the one in C lets a few bytes claim gigabytes for its memo."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"global '{module}.{name}' is forbidden in a data file")
        return _ALLOWED[module, name]()

    def _decode_string(self, value: bytes) -> Any:
        return value.decode("latin1") if len(value) < _LONG else _LongString(value)


_LONG = 4096
_DONE = {int, str, float, bool, bytes, type(None)}


def _built(value: Any) -> Any:
    if isinstance(value, dict):
        return {_built(k): _built(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        done = set(map(type, value)) <= _DONE
        return value if done else type(value)(map(_built, value))
    parts = isinstance(value, (_ArrayParts, _DtypeParts, _LongString))
    return value.build() if parts else value


def load_plain(path: str | os.PathLike[str]) -> Any:
    """The numbers, texts, bytes, lists, tuples, dicts and NumPy arrays of numbers in a pickle.

    Byte strings of Python 2 become text, as latin-1.

    Raises:
        pickle.UnpicklingError: the file asks for anything else, or is malformed.
    """
    with open(path, "rb") as f:
        content = io.BytesIO(f.read())  # reading past its end takes no memory
    try:
        return _built(_PlainUnpickler(content, encoding="latin1").load())
    except (
        AssertionError, AttributeError, EOFError, ImportError, IndexError, KeyError, MemoryError,
        OverflowError, RecursionError, TypeError, ValueError, struct.error,
    ) as error:  # fmt: skip
        raise pickle.UnpicklingError(f"{os.fspath(path)} is malformed: {error!r}") from error
