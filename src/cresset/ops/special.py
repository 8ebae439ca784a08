"""Rarer functions of ``torch.special``: Bessel and Airy functions, the Hurwitz zeta function."""

from __future__ import annotations

from typing import Any

from cresset import dtypes
from cresset.ops.aggregate import logsumexp
from cresset.ops.elementwise import binary, example, pointwise, unary
from cresset.ops.math import SPECIAL, special

_COMPLEX = (dtypes.COMPLEX,)


def _without_derivative(name: str, kernel: Any, what: str, shown: tuple[str, str]) -> Any:
    op = pointwise("special_" + name, kernel, rule="float", refuse=_COMPLEX)
    call, result = f"torch.special.{name}(torch.tensor([{shown[0]}]))", f"tensor([{shown[1]}])"
    return unary(op, what + example(call, result), "special_" + name)


def _bessel(name: str, scipy_name: str, kind: str, shown: tuple[str, str]) -> Any:
    return _without_derivative(
        name, lambda xp, x: getattr(special(xp), scipy_name)(x), kind, shown
    )  # fmt: skip


_SECOND = "The Bessel function of the second kind of order {}."
_FIRST_MODIFIED = "The modified Bessel function of the first kind of order {}."
_SECOND_MODIFIED = "The modified Bessel function of the second kind of order {}."
_SCALED = "``exp(input)`` times the modified Bessel function of the second kind of order {}."
#: Name, SciPy's name, meaning, example.
_TABLE = (
    ("bessel_y0", "y0", _SECOND.format(0), ("1.", "0.0883")),
    ("bessel_y1", "y1", _SECOND.format(1), ("1.", "-0.7812")),
    ("modified_bessel_i0", "i0", _FIRST_MODIFIED.format(0), ("1.", "1.2661")),
    ("modified_bessel_i1", "i1", _FIRST_MODIFIED.format(1), ("1.", "0.5652")),
    ("modified_bessel_k0", "k0", _SECOND_MODIFIED.format(0), ("1.", "0.4210")),
    ("modified_bessel_k1", "k1", _SECOND_MODIFIED.format(1), ("1.", "0.6019")),
    ("scaled_modified_bessel_k0", "k0e", _SCALED.format(0), ("1.", "1.1445")),
    ("scaled_modified_bessel_k1", "k1e", _SCALED.format(1), ("1.", "1.6362")),
)
FUNCTIONS = {row[0]: _bessel(*row) for row in _TABLE}
airy_ai = _without_derivative(
    "airy_ai", lambda xp, x: special(xp).airy(x)[0], "The Airy function Ai.", ("1.", "0.1353"),
)  # fmt: skip
spherical_bessel_j0 = _without_derivative(
    "spherical_bessel_j0",
    lambda xp, x: xp.where(xp.isinf(x), 0, xp.sinc(x / xp.pi)).astype(x.dtype),
    "``sin(input) / input``, the spherical Bessel function of order 0.", ("0.", "1."),
)  # fmt: skip
zeta = binary(
    pointwise("special_zeta", lambda xp, x, q: special(xp).zeta(x, q), rule="float",
              refuse=_COMPLEX),
    "The Hurwitz zeta function: the sum of ``(k + other) ** -input`` over k >= 0."
    + example("torch.special.zeta(torch.tensor([2.]), torch.tensor([1.]))", "tensor([1.6449])"),
)  # fmt: skip

SPECIAL.update(
    FUNCTIONS, airy_ai=airy_ai, spherical_bessel_j0=spherical_bessel_j0, zeta=zeta,
    logsumexp=logsumexp,
)  # fmt: skip
