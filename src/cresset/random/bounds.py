"""What a dtype can hold of the bounds that a sample is drawn between, and PyTorch's errors."""

from __future__ import annotations

import sys
import warnings

import numpy as np

from cresset import dtypes
from cresset.dtypes import dtype

#: PyTorch's errors here name the C++ type.
C_NAMES = {
    "bool": "bool", "uint8": "unsigned char", "int8": "signed char", "int16": "short int",
    "int32": "int", "int64": "long int", "float16": "c10::Half", "bfloat16": "c10::BFloat16",
    "float32": "float", "float64": "double", "complex64": "c10::complex<float>",
    "complex128": "c10::complex<double>",
}  # fmt: skip
#: Bits of a mantissa: whole numbers up to 2**digits are all there.
_DIGITS = {"float16": 11, "bfloat16": 8, "float32": 24, "float64": 53}
_LARGEST = {
    "float16": 65504.0, "bfloat16": 3.3895313892515355e38, "float32": 3.4028234663852886e38,
    "float64": sys.float_info.max,
}  # fmt: skip


def integer_bounds(low: int, high: int | None, d: dtype) -> tuple[int, int]:
    """[low, high) with bounds that a floating-point type can hold, moved inwards if it cannot.

    Without ``high`` the range goes up to the largest value of an integer type, and to the number
    up to which a floating-point type holds all of them.
    """
    for bound in (low, 0 if high is None else high):
        if not -(2**63) <= bound < 2**63:
            raise ValueError("Overflow when unpacking long long")
    if high is None:
        if d.category < dtypes.FLOAT:
            high = 2 if d is dtypes.bool_ else int(np.iinfo(d.np).max) + 1
        else:
            high = (1 << _DIGITS.get(d.name, 0)) + 1
    elif low >= high:
        raise RuntimeError(
            f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}"
        )
    if d.is_complex:
        raise RuntimeError(
            "check_random_bounds handles only integral, floating-point and boolean types"
        )
    if d.category < dtypes.FLOAT:
        info = (0, 1) if d is dtypes.bool_ else (np.iinfo(d.np).min, np.iinfo(d.np).max)
        _check(low, high - 1, int(info[0]), int(info[1]), d)
        return low, high
    largest = int(_LARGEST[d.name])
    digits = _DIGITS[d.name]
    if abs(low) < largest and _rounded(low + 1, digits) < low:
        low = _rounded(low + 1, digits) + _step(low + 1, digits)
    if abs(high) < largest and _rounded(high - 1, digits) >= high:
        high = _rounded(high - 1, digits) - _step(high - 1, digits)
    _check(low, high - 1, -largest, largest, d)
    for name, bound in (("from", low), ("to - 1", high - 1)):
        if abs(bound) > 1 << digits:
            warnings.warn(
                f"{name} is out of bounds [-(2^{digits}), 2^{digits}]. Due to precision "
                f"limitations {C_NAMES[d.name]} can support discrete uniform distribution only "
                "within this range. This warning will become an error in version 1.7 release, "
                "please fix the code in advance",
                UserWarning,
                stacklevel=4,
            )
    return low, high


def _rounded(n: int, digits: int) -> int:
    """The nearest whole number with a mantissa of ``digits`` bits, ties to even."""
    step = 1 << max(abs(n).bit_length() - digits, 0)
    down, rest = divmod(abs(n), step)
    up = 2 * rest > step or (2 * rest == step and down % 2 == 1)
    return (down + up) * step * (1 if n >= 0 else -1)


def _step(n: int, digits: int) -> int:
    """The distance between neighbours of ``n`` that have a mantissa of ``digits`` bits."""
    return 1 << max(abs(n).bit_length() - digits, 0)


def _check(low: int, last: int, least: int, most: int, d: dtype) -> None:
    for name, bound in (("from", low), ("to - 1", last)):
        if not least <= bound <= most:
            raise RuntimeError(f"{name} is out of bounds for {C_NAMES[d.name]}")


def check_uniform_bounds(low: float, high: float, d: dtype) -> None:
    """RuntimeError unless ``d`` holds both bounds and their distance."""
    part = {"complex64": "float32", "complex128": "float64"}.get(d.name, d.name)
    largest = _LARGEST[part]
    for name, bound in (("from", low), ("to", high)):
        if not -largest <= bound <= largest:
            raise RuntimeError(f"{name} is out of bounds for {C_NAMES[part]}")
    if low > high:
        raise RuntimeError(
            f"uniform_ expects to return a [from, to) range, but found from={low:g} > to={high:g}"
        )
    if high - low > largest:
        kind = {"float16": "Half", "bfloat16": "BFloat16", "float32": "Float"}.get(part, "Double")
        raise RuntimeError(
            f"uniform_ expects to-from <= std::numeric_limits<{kind}>::max(), but found "
            f"to={high:g} and from={low:g} which result in to-from to exceed the limit"
        )
