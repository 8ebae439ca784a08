"""Computes the polynomials of ``cresset/compiler/vectormath/polynomials.py`` and prints that file.

    python tools/fit_polynomials.py > src/cresset/compiler/vectormath/polynomials.py

Each polynomial is the best one of its degree: the largest weighted error over the interval is as
small as it can be (the exchange algorithm of Remez, 1934). The weight is the error's share of the
function's value, so that errors are relative where the function is small. mpmath works with 100
digits; coefficients are rounded to the type in which the polynomial is evaluated.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import mpmath as mp
import numpy as np

mp.mp.dps = 100
Function = Callable[[mp.mpf], mp.mpf]


def remez(f: Function, low: float, high: float, degree: int, weight: Function) -> list[mp.mpf]:
    """Coefficients, constant first, that minimise ``max |weight(x) * (P(x) - f(x))|``."""
    low, high = mp.mpf(low), mp.mpf(high)
    count = degree + 2
    steps = 40 * count
    grid = [
        (low + high) / 2 - (high - low) / 2 * mp.cos(mp.pi * (i + mp.mpf("0.5")) / steps)
        for i in range(steps)
    ]
    table = [(x, f(x), weight(x)) for x in grid]
    chosen = [table[round(i * (steps - 1) / (count - 1))] for i in range(count)]
    for _ in range(30):
        rows = [
            [x**j for j in range(degree + 1)] + [(-1) ** i / w]
            for i, (x, _, w) in enumerate(chosen)
        ]
        solution = mp.lu_solve(mp.matrix(rows), mp.matrix([y for _, y, _ in chosen]))
        coefficients = list(solution)[:-1]
        errors = [w * (mp.polyval(coefficients[::-1], x) - y) for x, y, w in table]
        # One extremum from each run of errors of one sign.
        peaks: list[int] = []
        for i, error in enumerate(errors):
            if peaks and (errors[peaks[-1]] > 0) == (error > 0):
                if abs(error) > abs(errors[peaks[-1]]):
                    peaks[-1] = i
            else:
                peaks.append(i)
        while len(peaks) > count:
            peaks.pop(0 if abs(errors[peaks[0]]) < abs(errors[peaks[-1]]) else -1)
        if len(peaks) < count:
            break
        sizes = [abs(errors[i]) for i in peaks]
        chosen = [table[i] for i in peaks]
        if max(sizes) < mp.mpf("1.01") * min(sizes):
            break
    worst = max(abs(e) for e in errors)
    print(f"  error 2^{float(mp.log(worst, 2)):.1f}", file=sys.stderr)
    return coefficients


def _exp(r: mp.mpf) -> mp.mpf:
    return (mp.expm1(r) - r) / r**2


def _log(z: mp.mpf) -> mp.mpf:
    s = mp.sqrt(z)
    return 2 * (mp.atanh(s) / s - 1) / z


def _log_far(z: mp.mpf) -> mp.mpf:
    s = mp.sqrt(z)
    return ((mp.atanh(s) / s - 1) / z - mp.mpf(1) / 3) / z


def _sin(z: mp.mpf) -> mp.mpf:
    r = mp.sqrt(z)
    return (mp.sin(r) - r) / r**3


def _cos(z: mp.mpf) -> mp.mpf:
    return (mp.cos(mp.sqrt(z)) - 1 + z / 2) / z**2


def _asin(z: mp.mpf) -> mp.mpf:
    r = mp.sqrt(z)
    return (mp.asin(r) - r) / r**3


def _atan(z: mp.mpf) -> mp.mpf:
    r = mp.sqrt(z)
    return (mp.atan(r) - r) / r**3


def _tanh(z: mp.mpf) -> mp.mpf:
    r = mp.sqrt(z)
    return (mp.tanh(r) - r) / r**3


def _erf(z: mp.mpf) -> mp.mpf:
    r = mp.sqrt(z)
    return mp.erf(r) / r - 1


def _log_erfc(a: mp.mpf) -> mp.mpf:
    return mp.log(mp.erfc(a))


#: a of the tail's variable t = (a - TAIL) / (a + TAIL).
TAIL = 2.0


def _erfc(t: mp.mpf) -> mp.mpf:
    a = TAIL * (1 + t) / (1 - t)
    return mp.exp(a * a) * mp.erfc(a) * (a + TAIL)


def _erfinv(w: mp.mpf) -> mp.mpf:
    x = mp.sqrt(-mp.expm1(-w))
    return mp.erfinv(x) / x


def _erfinv_root(s: mp.mpf) -> mp.mpf:
    return _erfinv(s * s)


def _lgamma(u: mp.mpf) -> mp.mpf:
    if abs(u) < 1e-20 or abs(u + 1) < 1e-20:  # the zeros
        return 1 - mp.euler if abs(u) < 1e-20 else mp.euler
    return mp.loggamma(u + 2) / (u * (u + 1))


def _stirling(z: mp.mpf) -> mp.mpf:
    x = 1 / mp.sqrt(z)
    return (mp.loggamma(x) - (x - mp.mpf("0.5")) * mp.log(x) + x - mp.log(2 * mp.pi) / 2) * x


_ROOT = mp.findroot(mp.digamma, 1.4616)


def _digamma(u: mp.mpf) -> mp.mpf:
    x = u + mp.mpf("1.5")
    return mp.digamma(x) / (x - _ROOT)


def _digamma_far(z: mp.mpf) -> mp.mpf:
    x = 1 / mp.sqrt(z)
    return (mp.log(x) - 1 / (2 * x) - mp.digamma(x)) * x * x


def _bessel(order: int, far: bool) -> Function:
    def near(z: mp.mpf) -> mp.mpf:
        x = 2 * mp.sqrt(z)
        return mp.besseli(order, x) / x**order

    def beyond(t: mp.mpf) -> mp.mpf:
        return mp.besseli(order, 1 / t) * mp.exp(-1 / t) / mp.sqrt(t)

    return beyond if far else near


def _relative(f: Function) -> Function:
    return lambda x: 1 / f(x)


_HALF_LN2 = 0.3466
_Z_LOG = float((mp.sqrt(2) - 1) ** 2 / (mp.sqrt(2) + 1) ** 2) * 1.0001
_Z_TRIG = float(mp.pi / 4) ** 2 * 1.0001
_TINY = 1e-25
#: name, what it is, function, interval, weight, degree by precision (f32, short, f64)
TABLE: list[tuple] = [
    ("EXP", "(exp(r) - 1 - r) / r**2, |r| <= log(2) / 2", _exp, (-_HALF_LN2, _HALF_LN2),
     lambda r: r**2 / mp.exp(r), {"float": 4, "short": 5, "double": 10}),
    ("EXP2", "(2**r - 1) / r, |r| <= 1/2", lambda r: mp.expm1(r * mp.log(2)) / r, (-0.5, 0.5),
     lambda r: abs(r) / mp.mpf(2) ** r, {"float": 5}),
    ("LOG", "(2 atanh(s) / s - 2) / s**2 over z = s**2, s = (m - 1) / (m + 1), m to sqrt(2)",
     _log, (_TINY, _Z_LOG), lambda z: z / 2, {"float": 3, "short": 4, "double": 7}),
    ("LOG_FAR", "(atanh(s) / s - 1 - s**2 / 3) / s**4 over z = s**2, as above",
     _log_far, (_TINY, _Z_LOG), lambda z: z**2, {"double": 7}),
    ("SIN", "(sin(r) - r) / r**3 over z = r**2, |r| <= pi / 4", _sin, (_TINY, _Z_TRIG),
     lambda z: z, {"short": 3, "double": 6}),
    ("COS", "(cos(r) - 1 + r**2 / 2) / r**4 over z = r**2", _cos, (_TINY, _Z_TRIG),
     lambda z: z**2, {"short": 3, "double": 6}),
    ("ASIN", "(asin(x) - x) / x**3 over z = x**2, x to 1/2", _asin, (_TINY, 0.25),
     lambda z: z, {"short": 6, "double": 12}),
    ("ATAN", "(atan(x) - x) / x**3 over z = x**2, x to tan(pi / 8)", _atan, (_TINY, 0.1717),
     lambda z: z, {"short": 5, "double": 11}),
    ("TANH", "(tanh(x) - x) / x**3 over z = x**2, x to 0.6", _tanh, (_TINY, 0.36),
     lambda z: z, {"float": 4}),
    ("ERF", "erf(x) / x - 1 over z = x**2, x to 1", _erf, (_TINY, 1.0),
     lambda z: mp.mpf(1), {"float": 6, "short": 7, "double": 13}),
    ("ERF_FAR", "log(erfc(a)), a from 1 to 4: erf(a) = 1 - exp of it", _log_erfc, (0.999, 4.0),
     lambda a: mp.erfc(a), {"float": 7}),
    ("ERFC", "exp(a**2) erfc(a) (a + 2) over t = (a - 2) / (a + 2), a to 27.6",
     _erfc, (-1.0, (27.6 - TAIL) / (27.6 + TAIL)), lambda t: 1 / _erfc(t), {"double": 26}),
    ("ERFC_NEAR", "the same, a to 10.6", _erfc, (-1.0, (10.6 - TAIL) / (10.6 + TAIL)),
     lambda t: 1 / _erfc(t), {"short": 13}),
    ("NORMAL_TAIL", "log2(Φ(-a)), a to 5.7", lambda a: mp.log(mp.ncdf(-a), 2), (0.0, 5.7),
     lambda a: mp.ncdf(-a) + 1e-4, {"float": 9}),
    ("ERFINV", "erfinv(x) / x over w = -log(1 - x**2), w to 5", _erfinv, (_TINY, 5.0),
     _relative(_erfinv), {"short": 11}),
    ("ERFINV_FAR", "the same over sqrt(w), w from 5 to 16", _erfinv_root, (2.236, 4.0),
     _relative(_erfinv_root), {"short": 10}),
    ("ERFINV_START", "the same, w to 37", _erfinv_root, (2.236, 6.1), _relative(_erfinv_root),
     {"double": 12}),
    ("LGAMMA", "lgamma(x) / ((x - 1) (x - 2)) over x - 2, x from 1 to 3", _lgamma, (-1.0, 1.0),
     _relative(_lgamma), {"short": 15}),
    ("STIRLING", "x times what Stirling's formula leaves of lgamma(x), over 1 / x**2, x from 8",
     _stirling, (1e-12, 1 / 64), lambda z: mp.sqrt(z) / 8, {"short": 3}),
    ("DIGAMMA", "digamma(x) / (x - its root) over x - 1.5, x from 1 to 2", _digamma, (-0.5, 0.5),
     _relative(_digamma), {"short": 12}),
    ("DIGAMMA_FAR", "x**2 (log(x) - 1 / (2 x) - digamma(x)) over 1 / x**2, x from 6",
     _digamma_far, (1e-10, 1 / 36), lambda z: z, {"short": 3}),
    *(
        row for n in (0, 1) for row in (
            (f"I{n}", f"I{n}(x)" + " / x" * n + " over z = x**2 / 4, x to 8", _bessel(n, False),
             (_TINY, 16.0), _relative(_bessel(n, False)), {"short": 10}),
            (f"I{n}_FAR", f"exp(-x) sqrt(x) I{n}(x) over 1 / x, x from 8", _bessel(n, True),
             (1e-4, 0.125), _relative(_bessel(n, True)), {"short": 6}),
        )
    ),
]  # fmt: skip


def main() -> None:
    print('"""Polynomials of the vector functions, constant coefficient first.')
    print()
    print(
        "Made by ``tools/fit_polynomials.py``; ``float`` and ``double`` are full precision in that"
    )
    print("type, ``short`` is for float32 results computed in float64.")
    print('"""')
    print()
    print("# fmt: off")
    for name, what, f, (low, high), weight, degrees in TABLE:
        print(f"#: {what}")
        print(f"{name} = {{")
        for precision, degree in degrees.items():
            print(name, precision, file=sys.stderr, end="")
            values = remez(f, low, high, degree, weight)
            digits = [
                repr(float(np.float32(float(v)))) if precision == "float" else repr(float(v))
                for v in values
            ]
            print(f'    "{precision}": (')
            line = "       "
            for d in digits:
                if len(line) + len(d) + 2 > 98:
                    print(line)
                    line = "       "
                line += f" {d},"
            print(line)
            print("    ),")
        print("}")


if __name__ == "__main__":
    main()
