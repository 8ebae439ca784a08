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
from cresset.compiler.vectormath.inverse import acos, asin, atan, atan2
from cresset.compiler.vectormath.lanes import Lanes
from cresset.compiler.vectormath.logarithm import log, log1p, log2, log10, pow
from cresset.compiler.vectormath.trigonometry import cos, sin, tan

#: Every function by its op's name.
FUNCTIONS: dict[str, Callable[..., Lanes]] = {
    "exp": exp, "exp2": exp2, "expm1": expm1, "log": log, "log2": log2, "log10": log10,
    "log1p": log1p, "sin": sin, "cos": cos, "tan": tan, "asin": asin, "acos": acos, "atan": atan,
    "atan2": atan2, "sinh": sinh, "cosh": cosh, "tanh": tanh, "sigmoid": sigmoid, "silu": silu,
    "erf": erf, "erfc": erfc, "pow": pow,
}  # fmt: skip

__all__ = ["FUNCTIONS", "Lanes", "gelu", "gelu_tanh"]
