"""PyTorch's recipes that have a fast form and a plain one."""

from __future__ import annotations

import numpy as np
import pytest

from cresset.random import recipes
from cresset.random.generator import Generator


@pytest.mark.parametrize("count", range(1, 9))
def test_exchanges_without_a_loop_are_those_in_turn_whatever_the_partners(count):
    rng = np.random.default_rng(count)
    for _ in range(300):
        partners = rng.integers(np.arange(count), count + 1)
        expected = recipes._exchanged_in_turn(partners)
        assert recipes._exchanged(partners).tolist() == expected.tolist(), partners


@pytest.mark.parametrize("pick", ["first", "last", "own"])
def test_long_chains_of_exchanges_are_followed_to_their_end(pick):
    n = 1000
    partners = {
        "first": np.arange(1, n),
        "last": np.full(n - 1, n - 1),
        "own": np.arange(n - 1),
    }[pick]
    expected = recipes._exchanged_in_turn(partners)
    assert recipes._exchanged(partners).tolist() == expected.tolist()


@pytest.mark.parametrize("n", [0, 1, 2, recipes._MANY - 1, recipes._MANY, 12_345])
def test_permutations_are_pytorchs(n):
    torch = pytest.importorskip("torch")
    theirs = torch.randperm(n, generator=torch.Generator().manual_seed(n))
    ours = recipes.permutation(Generator().manual_seed(n), n)
    assert ours.dtype == np.int64 and ours.tolist() == theirs.tolist()


def test_a_permutation_of_many_is_known():
    order = recipes.permutation(Generator().manual_seed(0), 1000)
    assert order[:5].tolist() == [44, 37, 675, 775, 947] and sorted(order) == list(range(1000))
