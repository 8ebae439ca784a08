"""Edge cases of functions of two tensors."""

from __future__ import annotations

import pytest

import cresset

from .harness import same_outcome
from .table_math import BINARY


@pytest.mark.parametrize("expression", BINARY)
def test_prints_as_pytorch_does(expression):
    same_outcome(expression)


def test_integers_divided_by_zero_raise_and_floats_do_not():
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        repr(cresset.tensor([1]) // 0)
    assert (cresset.tensor([1.0, -1.0]) // 0).tolist() == [float("inf"), -float("inf")]


def test_remainders_have_the_sign_of_the_divisor_and_fmod_that_of_the_dividend():
    a, b = cresset.tensor([-7, 7]), cresset.tensor([3, -3])
    assert (a % b).tolist() == [2, -2]
    assert cresset.fmod(a, b).tolist() == [-1, 1]


def test_integers_overflow_around():
    assert (cresset.tensor([127], dtype=cresset.int8) + 1).tolist() == [-128]
    assert (cresset.tensor([1], dtype=cresset.uint8) - 2).tolist() == [255]
