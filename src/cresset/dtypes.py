"""Element types, and the rules by which two of them meet.

A :class:`dtype` is a constant: compare with ``is``. ``np`` is how elements lie in memory; NumPy has
no bfloat16, so that one is stored as its 16 bits in a ``uint16``. ``compute`` is the type in which
reference kernels do arithmetic: half types widen to float32 and round once at the end, as
PyTorch's CPU kernels do.
"""

from __future__ import annotations

from typing import Any

import numpy as np

BOOL, INT, FLOAT, COMPLEX = 0, 1, 2, 3


class dtype:
    """An element type such as ``cresset.float32``.

    >>> import cresset as torch
    >>> torch.float32, torch.float32.is_floating_point, torch.int16.itemsize
    (torch.float32, True, 2)
    """

    __slots__ = (
        "name", "category", "np", "compute", "itemsize", "is_floating_point", "is_complex",
        "is_signed", "torch_type",
    )  # fmt: skip

    def __init__(self, name: str, category: int, storage: Any, compute: Any, legacy: str) -> None:
        self.name = name
        self.category = category
        self.np = np.dtype(storage)
        self.compute = np.dtype(compute)
        self.itemsize = self.np.itemsize
        self.is_floating_point = category == FLOAT
        self.is_complex = category == COMPLEX
        self.is_signed = category >= FLOAT or (category == INT and name != "uint8")
        self.torch_type = legacy

    def __setattr__(self, name: str, value: Any) -> None:
        if hasattr(self, "torch_type"):  # the last one that __init__ sets
            raise AttributeError(f"attribute '{name}' of 'torch.dtype' objects is not writable")
        object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> str | tuple:
        return (_by_name, (self.name,))

    def to_real(self) -> dtype:
        return {complex64: float32, complex128: float64}.get(self, self)

    def to_complex(self) -> dtype:
        if self.category < FLOAT:
            kind = self.torch_type.removesuffix("Tensor")
            raise RuntimeError(f"Unknown Complex ScalarType for {kind}")
        return complex128 if self in (float64, complex128) else complex64


bool_ = dtype("bool", BOOL, np.bool_, np.bool_, "BoolTensor")
uint8 = dtype("uint8", INT, np.uint8, np.uint8, "ByteTensor")
int8 = dtype("int8", INT, np.int8, np.int8, "CharTensor")
int16 = dtype("int16", INT, np.int16, np.int16, "ShortTensor")
int32 = dtype("int32", INT, np.int32, np.int32, "IntTensor")
int64 = dtype("int64", INT, np.int64, np.int64, "LongTensor")
float16 = dtype("float16", FLOAT, np.float16, np.float32, "HalfTensor")
bfloat16 = dtype("bfloat16", FLOAT, np.uint16, np.float32, "BFloat16Tensor")
float32 = dtype("float32", FLOAT, np.float32, np.float32, "FloatTensor")
float64 = dtype("float64", FLOAT, np.float64, np.float64, "DoubleTensor")
complex64 = dtype("complex64", COMPLEX, np.complex64, np.complex64, "ComplexFloatTensor")
complex128 = dtype("complex128", COMPLEX, np.complex128, np.complex128, "ComplexDoubleTensor")

ALL = (bool_, uint8, int8, int16, int32, int64, float16, bfloat16, float32, float64,
       complex64, complex128)  # fmt: skip
_NAMES = {d.name: d for d in ALL}
_FROM_NUMPY = {d.np: d for d in ALL if d is not bfloat16}
#: The names users write: ``torch.long`` is ``torch.int64``.
ALIASES = {
    "half": float16, "float": float32, "double": float64, "short": int16, "int": int32,
    "long": int64, "cfloat": complex64, "cdouble": complex128, "bool": bool_,
}  # fmt: skip


def _by_name(name: str) -> dtype:
    return _NAMES[name]


def from_numpy_dtype(np_dtype: Any) -> dtype:
    """The dtype with the same elements as a NumPy dtype; TypeError in PyTorch's words if none."""
    found = _FROM_NUMPY.get(np.dtype(np_dtype))
    if found is None:
        raise TypeError(
            f"can't convert np.ndarray of type numpy.{np.dtype(np_dtype).type.__name__}. The only supported types are: "  # noqa: E501
            "float64, float32, float16, complex64, complex128, int64, int32, int16, int8, uint8, "
            "and bool."
        )
    return found


_default = [float32]


def get_default_dtype() -> dtype:
    """The type of ``tensor([1.0])`` and ``zeros(2)``: float32 unless it was changed."""
    return _default[0]


def set_default_dtype_unchecked(d: dtype) -> None:
    _default[0] = d


_INT_WIDTH = {int8: 1, int16: 2, int32: 4, int64: 8}
_FLOAT_WIDTH = {float16: 2, bfloat16: 2, float32: 4, float64: 8, complex64: 8, complex128: 16}


def promote(a: dtype, b: dtype) -> dtype:
    """The smallest type that holds both (PyTorch's lattice).

    >>> import cresset as torch
    >>> torch.promote_types(torch.uint8, torch.int8), torch.promote_types(torch.int64, torch.half)
    (torch.int16, torch.float16)
    """
    if a is b:
        return a
    if a.category > b.category:
        a, b = b, a
    if b.category == COMPLEX:
        return complex128 if a is float64 or complex128 in (a, b) else complex64
    if a.category < b.category:
        return b
    if a.category == FLOAT:
        if _FLOAT_WIDTH[a] == _FLOAT_WIDTH[b]:  # float16 with bfloat16
            return float32
        return a if _FLOAT_WIDTH[a] > _FLOAT_WIDTH[b] else b
    if uint8 in (a, b):
        other = b if a is uint8 else a
        return int16 if other is int8 else other
    return a if _INT_WIDTH[a] > _INT_WIDTH[b] else b


def combine(higher: dtype | None, lower: dtype | None) -> dtype | None:
    """Join an operand class of higher priority (tensors) with a lower one (0-dim, then numbers)."""
    if higher is None or lower is None:
        return higher or lower
    if higher.is_complex:
        return higher
    if higher.is_floating_point:
        return higher.to_complex() if lower.is_complex else higher
    if higher is bool_ or lower.category >= FLOAT:
        return promote(higher, lower)
    return higher


def of_number(value_category: int) -> dtype:
    """The type a Python number stands for when it meets nothing stronger."""
    if value_category == FLOAT:
        return _default[0]
    if value_category == COMPLEX:
        return _default[0].to_complex()
    return bool_ if value_category == BOOL else int64


def expect_dtype(name: str, given: Any, argument: str = "type", position: int = 1) -> dtype:
    """``given`` if it is a dtype; else TypeError in PyTorch's words for function ``name``."""
    if not isinstance(given, dtype):
        kind = type(given).__name__
        raise TypeError(
            f"{name}(): argument '{argument}' (position {position}) must be torch.dtype, not {kind}"
        )
    return given


#: Element types as PyTorch's C++ names them.
C_NAMES = {
    "float32": "float", "float64": "double", "int64": "long int", "int32": "int",
    "int16": "short int", "int8": "signed char", "uint8": "unsigned char", "bool": "bool",
    "float16": "c10::Half", "bfloat16": "c10::BFloat16", "complex64": "c10::complex<float>",
    "complex128": "c10::complex<double>",
}  # fmt: skip

#: Python's number types stand for the widest dtype of their kind.
_PYTHON = {float: float64, int: int64, bool: bool_, complex: complex128}


def as_dtype(name: str, given: Any) -> dtype:
    """``given``, or what a Python number type stands for; TypeError for function ``name``."""
    if given.__class__ is dtype:
        return given
    found = _PYTHON.get(given) if isinstance(given, type) else None
    if found is None:
        raise TypeError(
            f"{name}(): argument 'dtype' must be torch.dtype, not {type(given).__name__}"
        )
    return found


class finfo:
    """Limits of a floating-point type, as ``numpy.finfo``: bits, eps, max, min, tiny,
    resolution."""

    def __init__(self, type: dtype | None = None) -> None:
        d = _default[0] if type is None else expect_dtype("finfo", type)
        if d.category < FLOAT:
            raise TypeError(
                f"torch.finfo() requires a floating point input type. Use torch.iinfo to handle "
                f"'torch.{d.name}'"
            )
        d = d.to_real()
        self.dtype = d.name
        self.bits = d.itemsize * 8
        if d is bfloat16:
            self.eps, self.max, self.tiny = 2.0**-7, (2 - 2.0**-7) * 2.0**127, 2.0**-126
            self.resolution, self.smallest_subnormal = 0.01, 2.0**-133
        else:
            info = np.finfo(d.np)
            self.eps, self.max, self.tiny = float(info.eps), float(info.max), float(info.tiny)
            self.resolution = float(f"1e-{info.precision}")
            self.smallest_subnormal = float(info.smallest_subnormal)
        self.min = -self.max
        self.smallest_normal = self.tiny

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, finfo) and other.dtype == self.dtype

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return (
            f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g}, "
            f"eps={self.eps:g}, smallest_normal={self.smallest_normal:g}, tiny={self.tiny:g}, "
            f"dtype={self.dtype})"
        )


class iinfo:
    """Limits of an integer type: bits, max, min."""

    def __init__(self, type: dtype) -> None:
        if expect_dtype("iinfo", type) is bool_:
            raise TypeError("torch.bool is not supported by torch.iinfo")
        if type.category != INT:
            raise TypeError(
                f"torch.iinfo() requires an integer input type. Use torch.finfo to handle "
                f"'torch.{type.name}'"
            )
        info = np.iinfo(type.np)
        self.dtype, self.bits = type.name, info.bits
        self.min, self.max = int(info.min), int(info.max)

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, iinfo) and other.dtype == self.dtype

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"iinfo(min={self.min:g}, max={self.max:g}, dtype={self.dtype})"
