"""Every function over the whole range of its type, against mpmath's value of the same argument.

The error is counted in units in the last place (ulp) of the true value.
"""

from __future__ import annotations

import ctypes
import functools

import mpmath as mp
import numpy as np
import pytest
from scipy import special

from cresset.compiler import vectormath
from cresset.compiler.code import Code
from cresset.compiler.host import Module
from cresset.compiler.vectormath import Lanes
from cresset.compiler.vectormath import lanes as values

_LANES = {"float": 16, "double": 8}
_TYPES = {"float": np.float32, "double": np.float64}
FUNCTIONS = {
    **vectormath.FUNCTIONS,
    **vectormath.SINGLE,
    "gelu": vectormath.gelu,
    "gelu_tanh": vectormath.gelu_tanh,
}

#: Functions of two arguments.
_OF_TWO = ("pow", "atan2", "hypot")
_EXACT = {
    "exp2": lambda x: mp.mpf(2) ** x,
    "log2": lambda x: mp.log(x, 2),
    "sigmoid": lambda x: 1 / (1 + mp.exp(-x)),
    "silu": lambda x: x / (1 + mp.exp(-x)),
    "pow": lambda x, y: mp.power(x, y),
    "i0": lambda x: mp.besseli(0, x), "special_i1": lambda x: mp.besseli(1, x),
    "special_i0e": lambda x: mp.besseli(0, x) * mp.exp(-abs(x)),
    "special_i1e": lambda x: mp.besseli(1, x) * mp.exp(-abs(x)),
    "lgamma": mp.loggamma,
    "gelu": lambda x: x * mp.erfc(-x / mp.sqrt(2)) / 2,
    "gelu_tanh": lambda x: x / (
        1 + mp.exp(-2 * mp.sqrt(2 / mp.pi) * (x + mp.mpf("0.044715") * x**3))
    ),
}  # fmt: skip
#: Where a function has real values, and where it neither over- nor underflows for sure.
_RANGE = {
    "exp": (-745, 710), "exp2": (-1075, 1024), "expm1": (-745, 710), "sinh": (-711, 711),
    "cosh": (-711, 711), "acosh": (1, None), "erfinv": (-1, 1), "i0": (-714, 714),
    "special_i1": (-714, 714), "special_i0e": (-2000, 2000), "special_i1e": (-2000, 2000),
    "lgamma": (0, None), "digamma": (0, None), "atanh": (-1, 1),
    "asin": (-1, 1), "acos": (-1, 1), "log1p": (-1, None),
    "log": (0, None), "log2": (0, None), "log10": (0, None), "erfc": (-6, 27.5),
    "gelu": (-38, None), "gelu_tanh": (-21, None), "sigmoid": (-740, None), "silu": (-740, None),
}  # fmt: skip


@functools.cache
def compiled(name: str, kind: str, lanes: int):
    """``f(x, y, out, count)`` over whole vectors."""
    c = Code()
    vector = f"<{lanes} x {kind}>" if lanes else kind
    with c.loop("%count", max(lanes, 1)) as i:
        x = Lanes(c, kind, lanes, c.load(vector, "%x", i, align=4))
        if name in _OF_TWO:
            y = Lanes(c, kind, lanes, c.load(vector, "%y", i, align=4))
            value = FUNCTIONS[name](x, y)
        else:
            value = FUNCTIONS[name](x)
        c.store(vector, value.register, "%out", i, align=4)
    arguments = ["ptr %x", "ptr %y", "ptr %out", "i64 %count"]
    text = "\n".join([*sorted(c.declared), c.function("inner", arguments)])
    text += (
        "\ndefine i32 @run(ptr %x, ptr %y, ptr %out, i64 %count) #0 {\n"
        "  %f = call i1 @inner(ptr %x, ptr %y, ptr %out, i64 %count)\n  ret i32 0\n}\n"
        'attributes #0 = { "prefer-vector-width"="512" }\n'
    )
    module = Module(text)
    pointer = ctypes.c_void_p
    return module, module.function("run", pointer, pointer, pointer, ctypes.c_int64)


def run(name: str, kind: str, x: np.ndarray, y: np.ndarray | None = None, lanes: int | None = None):
    lanes = _LANES[kind] if lanes is None else lanes
    room = -(-len(x) // max(lanes, 1)) * max(lanes, 1)
    given = [np.ones(room, _TYPES[kind]) for _ in range(3)]
    given[0][: len(x)] = x
    given[1][: len(x)] = x if y is None else y
    compiled(name, kind, lanes)[1](*[a.ctypes.data for a in given], room)
    return given[2][: len(x)]


def truth(name: str, *x: float) -> mp.mpf:
    return _EXACT.get(name, getattr(mp, name, None))(*[mp.mpf(float(v)) for v in x])


def ulps(found: np.ndarray, exact: list, kind: str) -> np.ndarray:
    """How many units in the last place (of denormals: of the smallest) each value is off."""
    bits, lowest = (23, -149) if kind == "float" else (52, -1074)
    top = mp.mpf(float(np.finfo(_TYPES[kind]).max))
    errors = []
    for f, e in zip(found.tolist(), exact, strict=True):
        if abs(e) > top:
            errors.append(0.0 if np.isinf(f) or abs(f) == top else np.inf)
            continue
        exponent = max(mp.frexp(e)[1] - 1 - bits, lowest) if e else lowest
        errors.append(float(abs(mp.mpf(f) - e) / mp.mpf(2) ** exponent))
    return np.array(errors)


def arguments(name: str, kind: str, count: int = 2_000) -> np.ndarray:
    """Random bit patterns (so all magnitudes, and denormals) and numbers of ordinary size."""
    random = np.random.default_rng(7)
    dtype = _TYPES[kind]
    width = np.uint32 if kind == "float" else np.uint64
    bits = random.integers(0, np.iinfo(width).max, count, width, endpoint=True).view(dtype)
    ordinary = random.standard_normal(count).astype(dtype) * dtype(4)
    near = (random.uniform(-1, 1, count) * 1.2).astype(dtype)
    low, high = _RANGE.get(name, (None, None))
    lowest, highest = low or -30, high or 30
    spread = random.uniform(lowest, highest, count).astype(dtype)
    x = np.concatenate([bits, ordinary, near, spread])
    x = x[np.isfinite(x)]
    if low is not None:
        x = x[x > low] if name != "asin" else x[x >= low]
    if high is not None:
        x = x[x <= high]
    return x


@pytest.mark.parametrize("kind", ["float", "double"])
@pytest.mark.parametrize("name", sorted(set(FUNCTIONS) - set(_OF_TWO)))
def test_within_two_units_in_the_last_place(name, kind):
    if kind == "double" and name in vectormath.SINGLE:
        pytest.skip("for float32 only")
    if kind == "float" and name.startswith("gelu"):
        pytest.skip("made for speed: see below")
    x = arguments(name, kind)
    if name in ("sin", "cos", "tan"):
        x = x[np.abs(x) < 1e30]
    with mp.workprec(300):
        errors = ulps(run(name, kind, x), [truth(name, v) for v in x.tolist()], kind)
    worst = int(np.argmax(errors))
    assert errors[worst] <= 2, (x[worst], errors[worst])
    assert np.mean(errors > 1) <= 0.05


@pytest.mark.parametrize("kind", ["float", "double"])
@pytest.mark.parametrize("name", _OF_TWO)
def test_of_two_arguments_within_two_units(name, kind):
    random = np.random.default_rng(9)
    dtype = _TYPES[kind]
    x = np.abs(arguments(name, kind)) if name == "pow" else arguments(name, kind)
    y = (random.standard_normal(len(x)) * 5).astype(dtype)
    with mp.workprec(300):
        exact = [truth(name, a, b) for a, b in zip(x.tolist(), y.tolist(), strict=True)]
        errors = ulps(run(name, kind, x, y), exact, kind)
    worst = int(np.argmax(errors))
    assert errors[worst] <= 2, (x[worst], y[worst], errors[worst])


_NUMPY = {
    "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan, "erf": special.erf,
    "erfc": special.erfc, "sigmoid": special.expit, "atan2": np.arctan2, "asinh": np.arcsinh,
    "acosh": np.arccosh, "atanh": np.arctanh, "i0": special.i0,
    "erfinv": lambda x: np.copysign(special.erfinv(x), x), "special_i0e": special.i0e,
    "special_i1": special.i1, "special_i1e": special.i1e,
    "silu": lambda x: x * special.expit(x) if np.isfinite(x).all() else None,
}  # fmt: skip
#: Tested below.
_ELSEWHERE = {"pow", "gelu", "gelu_tanh", "silu", "lgamma", "digamma"}
_SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, 5e-324, -5e-324, 1.7e308, -1.7e308, 0.5]


@pytest.mark.parametrize("kind", ["float", "double"])
@pytest.mark.parametrize("name", sorted(set(FUNCTIONS) - _ELSEWHERE))
def test_zeros_infinities_and_nan_as_in_c(name, kind):
    if kind == "double" and name in vectormath.SINGLE:
        pytest.skip("for float32 only")
    dtype = _TYPES[kind]
    with np.errstate(all="ignore"):
        x = np.array(_SPECIAL).astype(dtype)
        pairs = [(a, b) for a in x for b in x] if name in _OF_TWO else [(a,) for a in x]
        columns = [np.array(column, dtype) for column in zip(*pairs, strict=True)]
        expected = _NUMPY.get(name, getattr(np, name, None))(*columns)
        found = run(name, kind, *columns)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    ordinary = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(found[ordinary]), np.signbit(expected[ordinary]))
    np.testing.assert_array_equal(np.isinf(found), np.isinf(expected))
    np.testing.assert_allclose(found, expected, rtol=1e-6 if kind == "float" else 1e-15, atol=0)


@pytest.mark.parametrize("kind", ["float", "double"])
def test_powers_of_special_values_as_in_c(kind):
    dtype = _TYPES[kind]
    values = [0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, 2.0, -2.0, 3.0, 0.5, -0.5, -3.0]
    x, y = (a.ravel().astype(dtype) for a in np.meshgrid(values, values))
    with np.errstate(all="ignore"):
        expected = np.power(x, y)
    found = run("pow", kind, x, y)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    np.testing.assert_allclose(found, expected, rtol=1e-6 if kind == "float" else 1e-15)
    finite = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(found[finite]), np.signbit(expected[finite]))


@pytest.mark.parametrize("name", ["gelu", "gelu_tanh", "silu"])
def test_gates_at_the_ends(name):
    found = run(name, "float", np.array([np.inf, -0.0, 0.0, np.nan, 1e30, -1e30], np.float32))
    assert found[0] == np.inf and np.isnan(found[3]) and found[4] == np.float32(1e30)
    assert found[1] == 0 and np.signbit(found[1]) and not np.signbit(found[2])
    assert abs(found[5]) <= 2e-45  # at most the smallest denormal


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
@pytest.mark.parametrize("kind", ["float", "double"])
def test_a_lane_does_not_depend_on_the_number_of_lanes(name, kind):
    x = arguments(name, kind, 100)
    whole = run(name, kind, x, x[::-1].copy())
    for lanes in (0, 4):
        alone = run(name, kind, x, x[::-1].copy(), lanes)
        np.testing.assert_array_equal(whole, alone)


@pytest.mark.parametrize("kind", ["float", "double"])
@pytest.mark.parametrize("name", ["exp", "exp2", "expm1", "sigmoid", "silu", "gelu", "cosh"])
def test_other_processors_scale_to_the_same_bits(name, kind, monkeypatch):
    x = np.concatenate([arguments(name, kind, 500), _TYPES[kind]([np.inf, -np.inf, np.nan])])
    here = run(name, kind, x)
    monkeypatch.setattr(values, "scales_floats", lambda: False)
    compiled.cache_clear()
    np.testing.assert_array_equal(run(name, kind, x), here)
    compiled.cache_clear()


@pytest.mark.parametrize("name", ["gelu", "gelu_tanh"])
def test_gelu_in_float32_is_good_to_half_a_unit_of_its_argument(name):
    x = np.linspace(-8, 8, 20_001).astype(np.float32)
    wide = x.astype(np.float64)
    inner = wide * (2 * np.sqrt(2 / np.pi)) * (1 + 0.044715 * wide**2)
    exact = wide * (special.ndtr(wide) if name == "gelu" else special.expit(inner))
    found = run(name, "float", x).astype(np.float64)
    assert np.all(np.abs(found - exact) <= np.spacing(np.abs(x)) * 1.5 + 1e-45)
    left = (x < 0) & (x > -5.7)
    np.testing.assert_allclose(found[left], exact[left], rtol=2e-4)


@pytest.mark.parametrize("name", ["lgamma", "digamma"])
def test_gamma_functions_left_of_zero(name):
    x = np.random.default_rng(2).uniform(-60, 0, 3000).astype(np.float32)
    x = np.concatenate([x, x * np.float32(1e-6)])
    reference = special.gammaln if name == "lgamma" else special.digamma
    expected = reference(x.astype(np.float64))
    np.testing.assert_allclose(run(name, "float", x), expected, rtol=1e-6, atol=1e-6)


def test_gamma_functions_at_special_values():
    x = np.array([0, -0.0, 1, 2, -1, -7, np.inf, -np.inf, np.nan, 3e38], np.float32)
    inf, nan = np.inf, np.nan
    found = run("lgamma", "float", x)
    np.testing.assert_array_equal(found[:-1], [inf, inf, 0, 0, inf, inf, inf, inf, nan])
    assert found[-1] == inf
    found = run("digamma", "float", x)
    wanted = [-inf, inf, -0.5772156649, 0.4227843351, nan, nan, inf, nan, nan, np.log(3e38)]
    np.testing.assert_allclose(found, np.array(wanted, np.float32), 1e-7)
