"""Random programs on both tiers (``fuzz.py``)."""

from __future__ import annotations

import pytest

from cresset.core.modes import PROCESS

from . import fuzz


@pytest.mark.skipif(PROCESS.eager, reason="eager mode compiles nothing")
@pytest.mark.parametrize("start", range(0, 200, 20))
def test_random_programs_give_the_same_on_both_tiers(start):
    assert sum(fuzz.check(seed) for seed in range(start, start + 20)) > 100


@pytest.mark.skipif(PROCESS.eager, reason="eager mode compiles nothing")
@pytest.mark.parametrize("seed", range(5))
def test_a_wrong_result_is_found(seed, monkeypatch):
    real = fuzz.run_both

    def wrong(function, seed, shake):
        """Compiled plans that are far off."""
        return [
            (plan, [(a, (b + 1000).astype(b.dtype)) for a, b in pairs])
            for plan, pairs in real(function, seed, shake)
        ]

    monkeypatch.setattr(fuzz, "run_both", wrong)
    with pytest.raises(AssertionError, match=f"program {seed}: "):
        fuzz.check(seed)


def test_a_program_is_the_same_every_time():
    import cresset as torch

    first, second = [], []
    for seen in (first, second):
        torch.manual_seed(7)
        seen += [x.tolist() for x in fuzz.Program(7).run()]
    assert first == second
