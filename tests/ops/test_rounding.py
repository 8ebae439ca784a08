"""Edge cases of rounding and of taking numbers apart."""

from __future__ import annotations

import pytest

import cresset

from .harness import same_outcome
from .table_math import ROUNDING


@pytest.mark.parametrize("expression", ROUNDING)
def test_prints_as_pytorch_does(expression):
    same_outcome(expression)


def test_halves_round_to_even():
    assert cresset.round(cresset.tensor([0.5, 1.5, 2.5, -0.5])).tolist() == [0, 2, 2, 0]


def test_rounding_towards_zero_keeps_the_sign():
    assert cresset.signbit(cresset.trunc(cresset.tensor([-0.5]))).item()


def test_nan_and_infinities_are_replaced_by_what_is_given():
    x = cresset.tensor([float("nan"), float("inf")])
    assert cresset.nan_to_num(x, 1.0, 2.0).tolist() == [1, 2]
