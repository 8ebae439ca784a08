"""Each device has a generator of its own, and one seed for all of them."""

from __future__ import annotations

import cresset as torch
from cresset import cuda


def draws() -> list:
    return [torch.rand(2, device=f"cuda:{i}").tolist() for i in range(2)]


def test_one_seed_repeats_the_draws_of_all_devices():
    torch.manual_seed(3)
    first = draws(), torch.rand(2).tolist()
    torch.manual_seed(3)
    assert (draws(), torch.rand(2).tolist()) == first
    cuda.manual_seed_all(4)
    again = draws()
    cuda.manual_seed_all(4)
    assert draws() == again != first[0]


def test_a_draw_on_a_device_leaves_the_others_alone():
    torch.manual_seed(0)
    expected = torch.rand(2).tolist()
    torch.manual_seed(0)
    draws()
    assert torch.rand(2).tolist() == expected


def test_a_seed_is_for_the_current_device():
    cuda.manual_seed_all(1)
    with cuda.device(1):
        cuda.manual_seed(2)
        assert cuda.initial_seed() == 2
    assert cuda.initial_seed() == 1
    a, b = draws()
    assert a != b


def test_states_are_saved_and_set():
    state, states = cuda.get_rng_state(1), cuda.get_rng_state_all()
    assert (state.dtype, state.device.type, len(states)) == (torch.uint8, "cpu", 2)
    first = draws()
    cuda.set_rng_state_all(states)
    assert draws() == first
    cuda.set_rng_state(state, "cuda:1")
    assert torch.rand(2, device="cuda:1").tolist() == first[1]
    assert len(cuda.default_generators) == 2


def test_forked_random_state_comes_back_on_devices_too():
    before = cuda.get_rng_state_all()
    with torch.random.fork_rng():
        draws()
    assert [torch.equal(a, b) for a, b in zip(before, cuda.get_rng_state_all(), strict=True)] == [
        True, True,
    ]  # fmt: skip
