"""Generators: seeds, states that PyTorch reads, forks."""

from __future__ import annotations

import pytest

import cresset


def test_the_state_is_pytorchs_byte_for_byte():
    torch = pytest.importorskip("torch")
    for warm in (lambda T: None, lambda T: T.rand(5), lambda T: T.randn(3), lambda T: T.randn(700)):
        states = []
        for T in (cresset, torch):
            T.manual_seed(11)
            warm(T)
            states.append(bytes(T.get_rng_state().tolist()))
        assert states[0] == states[1]


def test_a_state_of_pytorch_goes_on_here():
    torch = pytest.importorskip("torch")
    torch.manual_seed(4)
    torch.randn(3)
    cresset.set_rng_state(cresset.tensor(torch.get_rng_state().tolist(), dtype=cresset.uint8))
    assert cresset.randn(7).tolist() == torch.randn(7).tolist()


def test_a_restored_state_repeats_its_numbers():
    g = cresset.Generator().manual_seed(1)
    cresset.randn(3, generator=g)
    state = g.get_state()
    first = cresset.randn(5, generator=g).tolist()
    g.set_state(state)
    assert cresset.randn(5, generator=g).tolist() == first


def test_a_negative_seed_counts_from_2_to_the_64():
    assert cresset.Generator().manual_seed(-1).initial_seed() == 2**64 - 1


@pytest.mark.parametrize(
    ("seed", "error"), [(2**64, ValueError), (-(2**63) - 1, ValueError), ("1", RuntimeError)]
)
def test_a_seed_out_of_range_is_refused(seed, error):
    with pytest.raises(error):
        cresset.Generator().manual_seed(seed)


def test_states_of_another_size_or_kind_are_refused():
    g = cresset.Generator()
    with pytest.raises(TypeError, match="ByteTensor"):
        g.set_state(cresset.zeros(5056))
    with pytest.raises(RuntimeError, match="RNG state size"):
        g.set_state(cresset.zeros(10, dtype=cresset.uint8))
    with pytest.raises(RuntimeError, match="Invalid mt19937 state"):
        g.set_state(cresset.zeros(5056, dtype=cresset.uint8))


def test_fork_rng_leaves_the_stream_where_it_was():
    cresset.manual_seed(0)
    expected = cresset.rand(3).tolist()
    cresset.manual_seed(0)
    with cresset.random.fork_rng():
        cresset.rand(100)
    assert cresset.rand(3).tolist() == expected


def test_seed_draws_another_seed():
    g = cresset.Generator()
    assert g.seed() != g.seed()
    assert g.device.type == "cpu"
