"""Bounds that a dtype cannot hold, and samples that round to a bound."""

from __future__ import annotations

import warnings

import pytest

import cresset
from cresset.random.bounds import integer_bounds


def test_a_bound_that_rounds_outwards_moves_to_the_next_number_inside():
    with pytest.warns(UserWarning, match=r"to - 1 is out of bounds \[-\(2\^11\), 2\^11\]"):
        assert integer_bounds(3000, 5000, cresset.float16) == (3000, 4996)
    with pytest.warns(UserWarning):
        assert integer_bounds(0, 2**30, cresset.float32) == (0, 2**30 - 64)
    assert integer_bounds(-5, 2**24, cresset.float32) == (-5, 2**24)


@pytest.mark.parametrize(
    ("dtype", "low", "high", "words"),
    [
        ("uint8", 0, 300, "to - 1 is out of bounds for unsigned char"),
        ("uint8", -1, 3, "from is out of bounds for unsigned char"),
        ("bool", 0, 3, "to - 1 is out of bounds for bool"),
        ("float16", 0, 70000, "to - 1 is out of bounds for c10::Half"),
        ("complex64", 0, 3, "check_random_bounds handles only integral"),
        ("int64", 3, 3, "random_ expects 'from' to be less than 'to', but got from=3 >= to=3"),
    ],
)
def test_bounds_outside_the_dtype_are_refused(dtype, low, high, words):
    with pytest.raises(RuntimeError, match=words):
        cresset.randint(low, high, (3,), dtype=getattr(cresset, dtype))
    with pytest.raises(RuntimeError, match=words):
        cresset.empty(3, dtype=getattr(cresset, dtype)).random_(low, high)


def test_uniform_numbers_that_round_up_to_the_end_become_the_start():
    for dtype in (cresset.float16, cresset.bfloat16):
        cresset.manual_seed(0)
        values = cresset.rand(20000, dtype=dtype)
        assert values.max().item() < 1
    assert (values == 0).sum().item() == 52  # they were above 0.998


def test_the_range_of_uniform_must_fit_the_dtype():
    with pytest.raises(RuntimeError, match=r"to-from <= std::numeric_limits<Float>::max\(\)"):
        cresset.empty(3).uniform_(-3e38, 3e38)
    with pytest.raises(RuntimeError, match="to is out of bounds for c10::Half"):
        cresset.empty(3, dtype=cresset.float16).uniform_(0, 70000)


@pytest.mark.parametrize(
    "draw",
    [
        "torch.rand(5000, dtype=torch.bfloat16)",
        "torch.empty(5000, dtype=torch.bfloat16).uniform_(-3, 5)",
        "torch.empty(50).random_(-7, 1 << 30)",
        "torch.empty(50, dtype=torch.float16).random_(-3001, 5000)",
        "torch.empty(50, dtype=torch.bfloat16).random_(300, 1000)",
        "torch.empty(5, dtype=torch.int64).random_(3, None)",
        "torch.empty(5, dtype=torch.int64).random_(-(1 << 63), None)",
        "torch.empty(5, dtype=torch.int32).random_(-5, None)",
        "torch.empty(5, dtype=torch.uint8).random_(**{'from': 5, 'to': None})",
        "torch.empty(5, dtype=torch.uint8).random_(to=7)",
        "torch.empty(5, dtype=torch.float16).random_(3, None)",
        "torch.empty(5, dtype=torch.bool).random_(1, None)",
        "torch.empty(5).random_(3, None)",
        "torch.empty(5, dtype=torch.uint8).random_(300, None)",
        "torch.normal(2.0, 3.0, (1000,))",
        "torch.normal(2.0, 3.0, (7,))",
        "torch.normal(1.0, 2.0, (20,), dtype=torch.complex64)",
        "torch.empty(20, dtype=torch.complex64).normal_(1, 2)",
        "torch.empty(20, dtype=torch.complex128).uniform_(-1, 3)",
        "torch.empty(4, 6, dtype=torch.complex64)[:, ::2].normal_(1, 2)",
        "torch.empty(3, dtype=torch.int64).cauchy_()",
        "torch.empty(3, dtype=torch.int64).exponential_()",
        "torch.empty(3, dtype=torch.bool).geometric_(0.5)",
        "torch.empty(3, dtype=torch.int64).log_normal_()",
        "torch.empty(3, dtype=torch.int64).uniform_()",
        "torch.empty(3, dtype=torch.complex64).bernoulli_()",
        "torch.empty(3, dtype=torch.complex64).random_()",
        "torch.bernoulli(torch.ones(3, dtype=torch.int64))",
    ],
)
def test_draws_are_pytorchs(draw):
    torch = pytest.importorskip("torch")
    results = []
    for library in (torch, cresset):
        library.manual_seed(0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                results.append(eval(draw, {"torch": library}).tolist())
            except Exception as error:
                results.append((type(error), str(error).split("\n")[0]))
    assert results[0] == results[1]
