"""Rarer functions against their reference kernels."""

from __future__ import annotations

import math

import pytest

import cresset as torch
from cresset.core.modes import PROCESS

from .both import agree

pytestmark = pytest.mark.skipif(PROCESS.eager, reason="eager mode compiles nothing")

INF, NAN = math.inf, math.nan
VALUES = [0.0, -0.0, 1.0, -1.0, 0.5, -0.25, 2.0, 3.75, -7.5, 20.0, 300.0, INF, -INF, NAN, 1e-3]

ONE = {
    "asinh": torch.asinh, "acosh": torch.acosh, "atanh": torch.atanh, "erfinv": torch.erfinv,
    "sinc": torch.sinc, "angle": torch.angle, "entr": torch.special.entr,
    "logit": torch.logit, "logit within": lambda x: torch.logit(x, 0.01),
    "round": lambda x: torch.round(x, decimals=2) + torch.round(x * 100, decimals=-1),
    "lgamma": torch.lgamma, "digamma": torch.digamma, "i0": torch.i0, "i0e": torch.special.i0e,
    "i1": torch.special.i1, "i1e": torch.special.i1e, "ndtr": torch.special.ndtr,
}  # fmt: skip
TWO = {
    "logaddexp": torch.logaddexp, "logaddexp2": torch.logaddexp2, "hypot": torch.hypot,
    "xlog1py": torch.special.xlog1py,
    "ldexp": lambda a, b: torch.ldexp(a.clamp(-9, 9), b.nan_to_num(1, 5, -5).clamp(-30, 30).int()),
}  # fmt: skip
#: float64 of these stays with SciPy.
SINGLE = {"lgamma", "digamma", "i0", "i0e", "i1", "i1e", "ndtr"}


def _kinds(name):
    kinds = [torch.float32, torch.float16, torch.bfloat16]
    return kinds if name in SINGLE else [*kinds, torch.float64]


@pytest.mark.parametrize("name", ONE)
def test_of_one_number(name):
    def program():
        x = torch.cat([torch.tensor(VALUES), torch.randn(40) * 3, torch.rand(40) * 2 - 1])
        if name == "digamma":
            x = x[~((x < 0) & (x == x.floor()))]  # NaN there, as infinite as not
        return [ONE[name](x.to(kind)) for kind in _kinds(name)]

    agree(program, 8e-3, 1e-6)  # a bfloat16 may be rounded to the other side


@pytest.mark.parametrize("name", [*ONE])
def test_of_one_float32(name):
    x = torch.cat([torch.linspace(-4, 30, 600), torch.linspace(-1, 1, 300)]) * 0.99 + 0.0013
    agree(lambda: [ONE[name](x * 1)], 2e-6, 2e-6)


@pytest.mark.parametrize("name", TWO)
def test_of_two_numbers(name):
    def program():
        x = torch.tensor([*VALUES, 5.5])
        return [TWO[name](x.to(kind)[:, None] * 1, x.to(kind)) for kind in _kinds(name)]

    agree(program, 8e-3, 1e-6)


def test_gradients():
    def program():
        found = []
        for f in (torch.lgamma, torch.logit, lambda x: x ** (x * 2), torch.atanh):
            x = (torch.rand(30) * 0.8 + 0.1).requires_grad_()
            f(x).sum().backward()
            found.append(x.grad)
        return found

    agree(program, 1e-5, 1e-6)


@pytest.mark.parametrize("name", ["int64", "int32", "int16", "int8", "uint8"])
def test_shifts(name):
    kind = getattr(torch, name)

    def program():
        x = torch.tensor([1, 3, 100, 127, 0, 200 if name == "uint8" else -5], dtype=kind)
        y = torch.tensor([0, 1, 5, 7, 8, 15, 16, 33, 70, 100], dtype=kind)
        y = y if name == "uint8" else y - 1
        return [x[:, None] << y, x[:, None] >> y, x << 3, (x * 1) >> 2]

    agree(program)


def test_shifting_a_byte_out_leaves_nothing():
    shift = torch.compile(lambda x, y: (x * 1) >> y)
    x = torch.tensor([200, 255, 255], dtype=torch.uint8)
    assert shift(x, torch.tensor([8, 9, 7], dtype=torch.uint8)).tolist() == [0, 0, 1]
