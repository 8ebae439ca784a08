"""Edge cases of functions of one tensor."""

from __future__ import annotations

import pytest

import cresset

from .harness import same_outcome
from .table_math import MATH


@pytest.mark.parametrize("expression", MATH)
def test_prints_as_pytorch_does(expression):
    same_outcome(expression)


def test_poles_of_the_gamma_function():
    x = cresset.tensor([0.0, -1.0, -float("inf")])
    assert x.lgamma().tolist() == [float("inf")] * 3
    assert cresset.tensor(-0.0).digamma().item() == float("inf")


def test_a_number_over_a_tensor_is_the_reciprocal_times_the_number():
    x = cresset.tensor([7.0], requires_grad=True)
    y = 255 / x
    assert y.tolist() == [36.42857360839844]  # one rounding would give 36.42856979370117
    assert y.grad_fn.name() == "MulBackward0"


def test_bessel_functions_at_zero():
    zero = cresset.zeros(1)
    assert cresset.special.bessel_y0(zero).item() == -float("inf")
    assert cresset.special.modified_bessel_i0(zero).item() == 1
    assert cresset.special.spherical_bessel_j0(zero).item() == 1
