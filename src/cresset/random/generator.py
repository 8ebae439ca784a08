"""``Generator``: a Mersenne Twister (MT19937) with PyTorch's seeding and state format.

PyTorch draws 32 bits at a time; a 64-bit draw is two of them, the first one high. Small normal
samples come in pairs, so a generator also remembers the second one.
"""

from __future__ import annotations

import secrets
from typing import Any

import numpy as np

from cresset.device import CPU, device

_STATE_BYTES = 5056
_WORDS = 624
_MASK32 = np.uint64(0xFFFFFFFF)
#: Numbers worked on at a time, so that intermediate results stay in the cache: a hundred million
#: float32 samples take a fifth of the time, and no memory but their own.
CHUNK = 1 << 15


class Generator:
    """A stream of random numbers with a state that can be saved and set.

    >>> import cresset as torch
    >>> g = torch.Generator().manual_seed(0)
    >>> torch.rand(1, generator=g)
    tensor([0.4963])
    """

    def __init__(self, device: Any = "cpu") -> None:
        from cresset.device import device as make

        self.device: device = make(device) if device is not None else CPU
        self._twister = np.random.MT19937()
        self.next_double: float | None = None
        self.next_float: float | None = None
        self.manual_seed(67280421310721)

    def manual_seed(self, seed: int) -> Generator:
        """Start over from ``seed`` (negative seeds count from 2**64).

        Raises ``RuntimeError`` for anything but an integer, ``ValueError`` outside
        [-2**63, 2**64).

        >>> import cresset as torch
        >>> torch.Generator().manual_seed(-1).initial_seed() == 2**64 - 1
        True
        """
        if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
            raise RuntimeError(f"manual_seed expected a long, but got {type(seed).__name__}")
        seed = int(seed)
        if not -(2**63) <= seed < 2**64:
            raise ValueError("Overflow when unpacking long long")
        self._seed = seed % 2**64
        self._twister._legacy_seeding(self._seed & 0xFFFFFFFF)  # type: ignore[attr-defined]
        self._fresh = True
        self.next_double = self.next_float = None
        return self

    def seed(self) -> int:
        """Start over from a random seed and return it."""
        seed = secrets.randbits(64)
        self.manual_seed(seed)
        return seed

    def initial_seed(self) -> int:
        """The seed of the last ``manual_seed``."""
        return self._seed

    # -- draws -------------------------------------------------------------------------------------

    def draw32(self, count: int) -> np.ndarray:
        """``count`` draws of 32 bits, as uint64."""
        if count:
            self._fresh = False
        return self._twister.random_raw(count)

    def word(self) -> int:
        """One draw of 32 bits."""
        self._fresh = False
        return self._twister.random_raw()

    def draw64(self, count: int) -> np.ndarray:
        """``count`` draws of 64 bits: two of 32 each, the first one high."""
        pairs = self.draw32(2 * count)
        return (pairs[0::2] << np.uint64(32)) | pairs[1::2]

    def doubles(self, count: int) -> np.ndarray:
        """Uniform float64 in [0, 1) of 53 bits."""
        return (self.draw64(count) & np.uint64((1 << 53) - 1)).astype(np.float64) * 2.0**-53

    def floats(self, count: int) -> np.ndarray:
        """Uniform float32 in [0, 1) of 24 bits."""
        result = np.empty(count, np.float32)
        for start in range(0, count, CHUNK):
            part = result[start : start + CHUNK]
            part[:] = self.draw32(part.size) & np.uint64(0xFFFFFF)
            part *= np.float32(2.0**-24)
        return result

    def words(self) -> tuple[np.ndarray, int]:
        """The 624 words of the twister, and how many of them are used up."""
        state = self._twister.state["state"]
        return state["key"], int(state["pos"])

    def set_words(self, words: np.ndarray, position: int) -> None:
        """Continue from other words."""
        self._fresh = False
        self._twister.state = {
            "bit_generator": "MT19937", "state": {"key": words, "pos": position},
        }  # fmt: skip

    # -- state -------------------------------------------------------------------------------------

    def _get_state_array(self) -> np.ndarray:
        """The state as PyTorch's 5056 bytes."""
        words, position = self.words()
        blob = np.zeros(_STATE_BYTES, np.uint8)
        blob[0:8].view(np.uint64)[0] = self._seed
        blob[8:12].view(np.int32)[0] = _WORDS - position + 1
        blob[12:16].view(np.int32)[0] = 1
        blob[16:24].view(np.uint64)[0] = 0 if self._fresh else position
        blob[24 : 24 + 8 * _WORDS].view(np.uint64)[:] = words
        if self.next_double is not None:
            blob[5024:5032].view(np.float64)[0] = self.next_double
            blob[5040:5044].view(np.int32)[0] = 1
        if self.next_float is not None:
            blob[5048:5052].view(np.float32)[0] = self.next_float
            blob[5052] = 1
        return blob

    def _set_state_array(self, blob: np.ndarray) -> None:
        """Take over a state in PyTorch's format."""
        if blob.dtype != np.uint8:
            raise TypeError("RNG state must be a torch.ByteTensor")
        if blob.size != _STATE_BYTES:
            raise RuntimeError(
                f"Expected a CPUGeneratorImplState of size {_STATE_BYTES} but found the input RNG "
                f"state size to be {blob.size}"
            )
        blob = np.ascontiguousarray(blob)
        left = int(blob[8:12].view(np.int32)[0])
        seeded = int(blob[12:16].view(np.int32)[0])
        position = int(blob[16:24].view(np.uint64)[0])
        if not (seeded and 0 < left <= _WORDS and position <= _WORDS):
            raise RuntimeError("Invalid mt19937 state")
        self._seed = int(blob[0:8].view(np.uint64)[0])
        words = (blob[24 : 24 + 8 * _WORDS].view(np.uint64) & _MASK32).astype(np.uint32)
        self.set_words(words, _WORDS if left == 1 else position)
        self._fresh = position == 0
        valid = int(blob[5040:5044].view(np.int32)[0])
        self.next_double = float(blob[5024:5032].view(np.float64)[0]) if valid else None
        self.next_float = float(blob[5048:5052].view(np.float32)[0]) if blob[5052] else None

    def clone_state(self) -> Generator:
        """A new generator that continues from the same state."""
        twin = Generator(self.device)
        twin._set_state_array(self._get_state_array())
        return twin

    def __reduce__(self) -> tuple:
        return (_restore, (str(self.device), self._get_state_array()))


def _restore(where: str, blob: np.ndarray) -> Generator:
    generator = Generator(where)
    generator._set_state_array(blob)
    return generator


default_generator = Generator()
default_generator.seed()  # a program that sets no seed gets other numbers at each run
_of_device: dict[device, Generator] = {CPU: default_generator}


def generator_of(where: device) -> Generator:
    """The default generator of a device."""
    found = _of_device.get(where)
    if found is None:
        found = _of_device[where] = Generator(where)
        found.manual_seed(default_generator.initial_seed())
    return found


def every_generator() -> list[Generator]:
    """The default generators made so far."""
    return list(_of_device.values())
