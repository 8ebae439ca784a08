"""``a * b + c`` rounded once."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from cresset.random.fused import fma32, fma64


def test_fma64_rounds_once():
    rng = np.random.default_rng(0)
    a = rng.standard_normal(2000) * 10.0 ** rng.integers(-8, 9, 2000)
    for b, c in ((0.1, 0.3), (1 / 3, -0.25), (7.25e5, 1e-3), (-1e-9, 5.0)):
        exact = [float(Fraction(x) * Fraction(b) + Fraction(c)) for x in a.tolist()]
        assert fma64(a, b, c).tolist() == exact


def test_fma64_keeps_infinities():
    assert fma64(np.array([np.inf, -np.inf, 1e308]), 10.0, 1.0).tolist() == [
        np.inf, -np.inf, np.inf,
    ]  # fmt: skip


def test_fma32_rounds_once():
    rng = np.random.default_rng(1)
    a, b, c = rng.standard_normal((3, 2000)).astype(np.float32)
    exact = [
        Fraction(float(x)) * Fraction(float(y)) + Fraction(float(z))
        for x, y, z in zip(a, b, c, strict=True)
    ]  # noqa: E501
    assert fma32(a, b, c).tolist() == [np.float32(float(e)).item() for e in exact]
