"""The generator that a program draws from without naming one."""

from __future__ import annotations

import subprocess
import sys

import cresset


def test_a_program_without_a_seed_draws_other_numbers_at_each_run():
    code = "import cresset; print(cresset.initial_seed(), cresset.rand(4).tolist())"
    runs = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
        for _ in range(2)
    }
    assert len(runs) == 2


def test_a_generator_of_ones_own_starts_from_pytorchs_fixed_seed():
    assert cresset.Generator().initial_seed() == 67280421310721
    assert cresset.rand(1, generator=cresset.Generator()).item() == 0.26729524135589600
