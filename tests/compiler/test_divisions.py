"""Quotients and remainders against their reference kernels, to the last bit."""

from __future__ import annotations

import math

import numpy as np
import pytest

import cresset as torch
from cresset.core.modes import PROCESS

from .both import agree

pytestmark = [
    pytest.mark.skipif(PROCESS.eager, reason="eager mode compiles nothing"),
    pytest.mark.usefixtures("pieces"),
]

DIVISIONS = {
    "floor_divide": torch.floor_divide,
    "trunc_divide": lambda a, b: torch.div(a, b, rounding_mode="trunc"),
    "remainder": torch.remainder,
    "fmod": torch.fmod,
}
SPECIAL = [0.0, -0.0, 1.0, -1.0, 5.5, -4.0, math.inf, -math.inf, math.nan, 0.1, 1e-3, -7.0, 3.0]


def _bits(kind: type, count: int) -> np.ndarray:
    """Numbers of all magnitudes, denormals among them."""
    whole = np.uint32 if kind is np.float32 else np.uint64
    random = np.random.default_rng(3)
    bits = random.integers(0, np.iinfo(whole).max, count, whole, endpoint=True)
    return np.where(random.random(count) < 0.1, bits & whole(0xFFFF), bits).view(kind)


@pytest.mark.parametrize("name", DIVISIONS)
def test_of_floats(name):
    f = DIVISIONS[name]

    def program():
        found = []
        for kind in (torch.float32, torch.float64, torch.float16, torch.bfloat16):
            some = _bits(np.float64 if kind is torch.float64 else np.float32, 1000)
            a, b = (torch.from_numpy(part).to(kind) for part in np.split(some, 2))
            x, y = (torch.cat([t, t * 0 + 3.5]) for t in (a, b))
            special = torch.tensor(SPECIAL, dtype=kind)
            found += [f(x, y), f(x, x * 3), f(y * 3, y), f(x[:50], 2.5), 7.0 % y[:50]]
            found += [7.0 // y[:50], f(special[:, None] * 1, special)]
        return found

    agree(program)


@pytest.mark.parametrize("name", DIVISIONS)
def test_of_whole_numbers(name):
    f = DIVISIONS[name]

    def program():
        found = []
        for kind in (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8):
            signs = [] if kind is torch.uint8 else [-1, -3, -7]
            ends = [torch.iinfo(kind).max, torch.iinfo(kind).max // 2, 1, 2, 3, 5, 100, *signs]
            a, b = torch.tensor([*ends, 0], dtype=kind), torch.tensor(ends, dtype=kind)
            found += [f(a[:, None] * 1, b), f(a * 1, 7), 90 % (b * 1), 90 // (b * 1)]
            found.append(f(a.sum(-1, keepdim=True), b))
        return found

    agree(program)


def test_zero_in_a_divisor_is_pytorchs_error():
    compiled = torch.compile(lambda a, b: (a + 1) // b)
    assert compiled(torch.tensor([6, -6, 0]), torch.tensor([2, 4, -1])).tolist() == [3, -2, -1]
    # What lies behind the last element counts for nothing.
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        compiled(torch.tensor([6, 6, 6]), torch.tensor([2, 0, 1])).tolist()


def test_a_remainder_of_zero_keeps_the_sign_of_the_dividend():
    compiled = torch.compile(lambda a, b: torch.remainder(a * 1, b))
    found = compiled(torch.tensor([-4.0, 4.0, -0.0, -5.0]), torch.tensor([2.0, -2.0, 3.0, 3.0]))
    assert [math.copysign(1, v) for v in found.tolist()] == [-1, 1, -1, 1]
    assert found.tolist() == [0, 0, 0, 1]
