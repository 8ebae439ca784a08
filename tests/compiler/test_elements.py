"""Every dtype in fused loops: conversions, arithmetic, comparison, and the numbers among them."""

from __future__ import annotations

import numpy as np
import pytest

import cresset as torch
from cresset.compiler.code import Code
from cresset.core.modes import PROCESS

from .both import agree

pytestmark = pytest.mark.skipif(PROCESS.eager, reason="eager mode compiles nothing")

WHOLE = [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64]
HALVES = [torch.float16, torch.bfloat16]
FLOATS = [*HALVES, torch.float32, torch.float64]
VALUES = [
    0.0, -0.0, 1.0, -1.0, 0.5, 1.5, 2.5, -2.5, 127.0, 128.0, 255.0, 256.0, 300.0, -129.0, 32768.0,
    65519.0, 65520.0, 7e4, -7e4, 2147483648.0, 3e9, -3e9, 9.3e18, -1e19, 1e-7, 6e-8, 2.9e-8, 1e-40,
    3.3e38, 1.00390625, 1.01171875, 1.0 + 2**-11, 1.0 + 3 * 2**-11,
]  # fmt: skip
SPECIAL = [float("nan"), float("inf"), -float("inf")]


def same(program):
    """Both tiers agree in every bit, and nothing ran its reference kernel."""
    return [x.tolist() for x in agree(program)]


@pytest.mark.parametrize("source", [torch.bool, *WHOLE, *FLOATS])
def test_conversions(source):
    if source in WHOLE:
        limits = torch.iinfo(source)
        x = torch.tensor([0, 1, 2, 100, 127, limits.min, limits.max, limits.max - 1] * 3).to(source)
    else:
        x = torch.tensor(VALUES + SPECIAL, dtype=torch.float64).to(source)
    same(lambda: [x.to(d) for d in (torch.bool, *WHOLE, *FLOATS) if d is not source])


def test_a_float_beyond_the_whole_numbers_wraps_as_the_kernel_has_it():
    x = torch.tensor([300.7, -1.5, 65536.0, -129.0, 2.0**31 + 77], dtype=torch.float64)
    assert same(lambda: [x.to(torch.uint8), x.to(torch.int8), x.to(torch.int16), x.int()]) == [
        [44, 255, 0, 127, 77], [44, -1, 0, 127, 0], [300, -1, 0, -129, 0],
        [300, -1, 65536, -129, -(2**31)],
    ]  # fmt: skip


def test_halves_are_rounded_to_even_at_every_op():
    x = torch.tensor([1.0, 2048.0, 2049.0, 65504.0], dtype=torch.float16)
    y = torch.tensor([1.0, 256.0, 257.0, 3e38], dtype=torch.bfloat16)
    assert same(lambda: [x + 1, (x + 1) + 1, x * 2, y + 1, (y + 1) + 1]) == [
        [2.0, 2048.0, 2048.0, 65504.0], [3.0, 2048.0, 2048.0, 65504.0],
        [2.0, 4096.0, 4096.0, float("inf")],
        [2.0, 256.0, 256.0, 3.00405527047391e38], [3.0, 256.0, 256.0, 3.00405527047391e38],
    ]  # fmt: skip


@pytest.mark.parametrize("kind", HALVES)
@pytest.mark.parametrize("size", [5, 37])
def test_halves(kind, size):
    x, y = torch.randn(3, size).to(kind), torch.randn(size).to(kind)
    x[0, 0] = float("nan")
    n = x.float()

    def program():
        return [
            x + y, x * y - 0.3, x / y, -x, x.abs(), x.relu(), x > y, x.eq(x), x.isnan(), x**2,
            torch.where(x > 0, x, y), x.clamp(-0.5, 0.5), x + n, x * 2, x.sign(), x.floor(),
            torch.maximum(x, y), x.masked_fill(x > 0, 3.0), x.clone(), x.to(torch.int32),
            torch.zeros(size, dtype=kind), x.t() + 1, x[:, ::2] * 2, torch.sqrt(abs(y)),
        ]  # fmt: skip

    same(program)


@pytest.mark.parametrize("kind", WHOLE)
@pytest.mark.parametrize("size", [5, 70])
def test_whole_numbers(kind, size):
    limits = torch.iinfo(kind)
    x = torch.randint(-5, 6, (3, size)).to(kind)
    y = torch.randint(-5, 6, (size,)).to(kind)
    x[0, :4] = torch.tensor([limits.min, limits.max, limits.max - 1, 0]).to(kind)
    m = torch.rand(3, size) > 0.5

    def program():
        return [
            x + y, x - y, x * y, -x, x.abs(), x.sign(), x.relu(), x**2, x**33, x + 100, 3 * x,
            7 - x, 
            torch.maximum(x, y), torch.minimum(x, y), x.clamp(1, 4), x.clamp(min=2), x < y, x <= y,
            x > y, x >= y, x == y, x != 0, x & y, x | y, x ^ y, ~x, torch.logical_not(x), x.t() * 2,
            torch.logical_xor(x, y), torch.where(m, x, y), x.masked_fill(m, 3), x / y, x * 0.5,
            x.exp() * 0, m + x, m * x, x[:, ::2] - 1, x.clone(), torch.zeros_like(x), x < 2.5,
            torch.full((size,), 7, dtype=kind), torch.where(x > 0, x, 0), x.float() - y,
        ]  # fmt: skip

    same(program)


def test_powers_of_whole_numbers():
    x = torch.tensor([-3, -2, -1, 0, 1, 2, 3, 250])
    y = x.to(torch.uint8)
    found = same(lambda: [x**0, x**1, x**5, x**41, x**64, y**3, y**255, x.to(torch.int8) ** 7])
    assert found[2] == [-243, -32, -1, 0, 1, 32, 243, 250**5]


@pytest.mark.parametrize("kind", WHOLE)
def test_division_of_whole_numbers_by_a_number(kind):
    limits = torch.iinfo(kind)
    x = torch.cat([torch.arange(-40, 41), torch.tensor([limits.min, limits.max])]).to(kind)
    by = [1, 2, 3, 7, 100] if kind is torch.uint8 else [1, -1, 2, -2, 3, -7, 100, limits.min]

    def program():
        found = []
        for n in by:
            found += [x // n, x % n, torch.fmod(x, n), torch.div(x, n, rounding_mode="trunc")]
        return found

    same(program)


def test_division_by_zero_is_the_kernels_error():
    @torch.compile
    def step(x, n):
        return (x + 1) % n * 2

    x = torch.arange(70)
    assert step(x, 3)[:3].tolist() == [2, 4, 0]
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        step(x, 0).tolist()
    assert step(x, 5)[4].item() == 0 and x[3].item() == 3


def test_whole_numbers_beyond_the_digits_of_a_double():
    x = torch.tensor([0, 1, 2**53 + 1, -5])

    def program():
        return [
            x.masked_fill(x < 0, -(2**63)), x + (2**53 + 1), x.clamp(max=2**62 + 1),
            x == 2**53 + 1, torch.where(x > 0, x, 2**63 - 1),
        ]  # fmt: skip

    first, *_ = same(program)
    assert first == [0, 1, 2**53 + 1, -(2**63)]


def test_numbers_change_between_runs_of_one_plan():
    @torch.compile
    def step(x, n):
        return ((x + n) * n).clamp(max=2**60) - n

    for n in (2, -7, 2**40 + 1, 2**62, 0):
        x = torch.arange(-20, 20)
        wrapped = ((x.numpy() + n) * np.int64(n)).clip(max=2**60) - n
        assert step(x, n).tolist() == wrapped.tolist()


def test_bools_and_numbers():
    x = torch.rand(40) > 0.5

    def program():
        return [
            x == 1, x.eq(True), x != 0, x * 2, x + True, x > False, x & True, x ^ True, x * 0.5,
            torch.where(x, 1, 0), torch.where(x, x, False), x.masked_fill(x, False), x + 1,
            torch.ones(5, dtype=torch.bool), x.clamp(max=True), x | (x < 1),
        ]  # fmt: skip

    same(program)


def test_dtypes_meet_in_one_kernel():
    x = torch.randn(4, 40)
    labels, names = torch.randint(0, 10, (40,)), torch.randint(0, 10, (4, 40))
    images = torch.randint(0, 256, (4, 40)).to(torch.uint8)

    def program():
        near = labels == names
        return [near, x * near, images.float() / 255, (images / 255 - 0.5).half(), names + near]

    same(program)


def test_a_view_of_other_elements_is_read_from_memory():
    x = torch.randn(40)
    same(lambda: [((x * 2).view(torch.int32) & 0x7FFFFFFF).view(torch.float32) + 1])


def test_one_lane_is_stored_as_one_element():
    code = Code()
    code.masked_store("i16", 16, 1, "%value", "%place")
    assert code.lines[-1].strip() == "store i16 %v1, ptr %place, align 2"
    assert not code.declared
