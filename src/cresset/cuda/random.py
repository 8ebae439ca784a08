"""The default random generators of the devices."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cresset.cuda.devices import device_count, existing, is_available
from cresset.device import device as Device
from cresset.random.generator import Generator, generator_of
from cresset.runtime import current


def default_generators() -> tuple[Generator, ...]:
    """One generator per device."""
    return tuple(generator_of(Device("cuda", i)) for i in range(device_count()))


def manual_seed(seed: int) -> None:
    """Seed the current device's generator (nothing without devices)."""
    if is_available():
        generator_of(Device("cuda", current.index)).manual_seed(int(seed))


def manual_seed_all(seed: int) -> None:
    """Seed the generators of all devices."""
    for generator in default_generators():
        generator.manual_seed(int(seed))


def seed() -> None:
    """Seed the current device's generator at random."""
    if is_available():
        generator_of(Device("cuda", current.index)).seed()


def seed_all() -> None:
    """Seed all devices' generators with one random number."""
    if is_available():
        manual_seed_all(Generator().seed())


def initial_seed() -> int:
    """The seed of the current device's generator."""
    return generator_of(Device("cuda", existing(None))).initial_seed()


def get_rng_state(device: Any = "cuda") -> Any:
    """The state of a device's generator, a byte tensor on the CPU."""
    return generator_of(Device("cuda", existing(device))).get_state()


def set_rng_state(new_state: Any, device: Any = "cuda") -> None:
    """Set a state that ``get_rng_state`` gave."""
    generator_of(Device("cuda", existing(device))).set_state(new_state)


def get_rng_state_all() -> list[Any]:
    """The states of all devices' generators."""
    return [get_rng_state(i) for i in range(device_count())]


def set_rng_state_all(new_states: Iterable[Any]) -> None:
    """Set what ``get_rng_state_all`` gave."""
    for i, state in enumerate(new_states):
        set_rng_state(state, i)
