"""Mathematical functions as LLVM IR, on floats, doubles and vectors of them.

Each function takes and gives ``Lanes`` and emits straight-line code: every lane runs every branch,
and ``select`` chooses. ``lanes`` has the arithmetic with the exact sums and products,
``polynomials`` the coefficients, the other files one family each.

What must stay true: within 2 units in the last place (nearly all within 1) of the true value over
the whole range, denormals, infinities, NaN and the sign of zero as IEEE 754 and C have them; a
lane's result does not depend on its neighbours or on the number of lanes. float32 functions where
that would take pairs of numbers are computed in float64, with shorter polynomials.
"""

from __future__ import annotations

from collections.abc import Callable

from cresset.compiler.vectormath.areas import acosh, asinh, atanh, hypot
from cresset.compiler.vectormath.bessel import i0, i0e, i1, i1e
from cresset.compiler.vectormath.error import erf, erfc, gelu
from cresset.compiler.vectormath.exponential import (
    cosh,
    exp,
    exp2,
    expm1,
    gelu_tanh,
    sigmoid,
    silu,
    sinh,
    tanh,
)
from cresset.compiler.vectormath.gammas import digamma, lgamma
from cresset.compiler.vectormath.inverse import acos, asin, atan, atan2
from cresset.compiler.vectormath.inverse_error import erfinv
from cresset.compiler.vectormath.lanes import Lanes
from cresset.compiler.vectormath.logarithm import log, log1p, log2, log10, pow
from cresset.compiler.vectormath.trigonometry import cos, sin, tan

#: Every function by its op's name.
FUNCTIONS: dict[str, Callable[..., Lanes]] = {
    "exp": exp, "exp2": exp2, "expm1": expm1, "log": log, "log2": log2, "log10": log10,
    "log1p": log1p, "sin": sin, "cos": cos, "tan": tan, "asin": asin, "acos": acos, "atan": atan,
    "atan2": atan2, "sinh": sinh, "cosh": cosh, "tanh": tanh, "sigmoid": sigmoid, "silu": silu,
    "erf": erf, "erfc": erfc, "pow": pow, "asinh": asinh, "acosh": acosh, "atanh": atanh, 
    "hypot": hypot, "erfinv": erfinv,
}  # fmt: skip
#: Good to the digits of a float32 alone, which all of them take and give.
SINGLE: dict[str, Callable[..., Lanes]] = {
    "lgamma": lgamma, "digamma": digamma, "i0": i0, "special_i0e": i0e, "special_i1": i1,
    "special_i1e": i1e,
}  # fmt: skip

__all__ = ["FUNCTIONS", "SINGLE", "Lanes", "gelu", "gelu_tanh"]
