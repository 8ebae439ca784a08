"""Long draws by machine code are those by NumPy, to the bit, and leave the same generator."""

from __future__ import annotations

import numpy as np
import pytest

import cresset
from cresset.core.modes import PROCESS
from cresset.random import machine, recipes
from cresset.random.generator import Generator

#: A step is 64 numbers, a chunk 32,448; the twister's words come in rows of 624.
COUNTS = [1 << 14, 2 * 32_448, 40_007]
USED = [0, 1, 623, 624, 700]
DRAWS = {
    "uniform": lambda g, n: recipes.uniform(g, n, False),
    "uniform within bounds": lambda g, n: recipes.uniform(g, n, False, -0.3, 0.7),
    "normal": lambda g, n: recipes.normal(g, n, False),
    "normal with mean and std": lambda g, n: recipes.normal(g, n, False, 0.3, 1.7),
    "normal of half types": lambda g, n: recipes.normal(g, n, False, 0.0, 1.0, True),
}


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_WORTH_IT", 0)
    monkeypatch.setattr(PROCESS, "compile", True)


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("used", USED)
@pytest.mark.parametrize("name", DRAWS)
def test_long_draws_are_numpys_to_the_bit(at_once, monkeypatch, name, used, count):
    found = []
    for compiled in (True, False):
        monkeypatch.setattr(PROCESS, "compile", compiled)
        assert (machine.kernels(count) is not None) is compiled
        g = Generator().manual_seed(count + used)
        g.draw32(used)
        values = DRAWS[name](g, count)
        found.append((values.view(np.int32), g._get_state_array(), g.draw32(700)))
    for ours, plain in zip(*found, strict=True):
        assert np.array_equal(ours, plain)


def test_long_draws_are_pytorchs(at_once):
    torch = pytest.importorskip("torch")
    for draw in ("randn", "rand"):
        torch.manual_seed(5)
        cresset.manual_seed(5)
        theirs, ours = getattr(torch, draw)(50_000), getattr(cresset, draw)(50_000)
        assert np.array_equal(theirs.numpy().view(np.int32), ours.numpy().view(np.int32))


def test_known_numbers(at_once):
    g = Generator().manual_seed(0)
    assert [f"{x:.4f}" for x in recipes.uniform(g, 20_000, False)[:3]] == [
        "0.4963", "0.7682", "0.0885",
    ]  # fmt: skip


def test_code_is_made_when_enough_was_drawn(monkeypatch):
    monkeypatch.setattr(PROCESS, "compile", True)
    monkeypatch.setattr(machine, "_WORTH_IT", 100_000)
    monkeypatch.setattr(machine._Drawn, "numbers", 0)
    assert machine.kernels(10_000) is None, "a short draw"
    assert [machine.kernels(40_000) is not None for _ in range(3)] == [False, False, True]


def test_no_code_is_made_where_compiling_is_off(at_once, monkeypatch):
    monkeypatch.setattr(PROCESS, "compile", False)
    assert machine.kernels(1 << 30) is None


def test_without_a_compiler_numpy_draws_on(at_once, monkeypatch):
    def refuse(text):
        raise OSError("no compiler here")

    monkeypatch.setattr("cresset.compiler.host.Module", refuse)
    machine._module.cache_clear()
    try:
        with pytest.warns(RuntimeWarning, match="drawn by NumPy, as no machine code .* here"):
            values = recipes.uniform(Generator().manual_seed(0), 20_000, False)
    finally:
        machine._module.cache_clear()
    assert f"{values[0]:.4f}" == "0.4963"
