"""The tables of automatic augmentation: which changes there are, how strong, how often.

AutoAugment (Cubuk et al., 2019, "AutoAugment: Learning Augmentation Policies from Data") found for
each data set 25 pairs of changes; a line below is a pair, and a change is its name, probability and
strength as an index. Its successors pick changes at random and keep the table of strengths.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from cresset.ops.ranges import linspace


class AutoAugmentPolicy(Enum):
    """The data set that a policy of ``AutoAugment`` was found on.

    >>> from cresset.vision import transforms
    >>> transforms.AutoAugmentPolicy("svhn")
    <AutoAugmentPolicy.SVHN: 'svhn'>
    """

    IMAGENET = "imagenet"
    CIFAR10 = "cifar10"
    SVHN = "svhn"


class Step(NamedTuple):
    """A change of a policy; ``strength`` is an index, None for changes that have only one."""

    name: str
    probability: float
    strength: int | None


class Strengths(NamedTuple):
    """How strong a change may be, and whether its direction is random."""

    values: list[float] | None
    signed: bool


_IMAGENET = """
Posterize 0.4 8; Rotate 0.6 9
Solarize 0.6 5; AutoContrast 0.6
Equalize 0.8; Equalize 0.6
Posterize 0.6 7; Posterize 0.6 6
Equalize 0.4; Solarize 0.2 4
Equalize 0.4; Rotate 0.8 8
Solarize 0.6 3; Equalize 0.6
Posterize 0.8 5; Equalize 1.0
Rotate 0.2 3; Solarize 0.6 8
Equalize 0.6; Posterize 0.4 6
Rotate 0.8 8; Color 0.4 0
Rotate 0.4 9; Equalize 0.6
Equalize 0.0; Equalize 0.8
Invert 0.6; Equalize 1.0
Color 0.6 4; Contrast 1.0 8
Rotate 0.8 8; Color 1.0 2
Color 0.8 8; Solarize 0.8 7
Sharpness 0.4 7; Invert 0.6
ShearX 0.6 5; Equalize 1.0
Color 0.4 0; Equalize 0.6
Equalize 0.4; Solarize 0.2 4
Solarize 0.6 5; AutoContrast 0.6
Invert 0.6; Equalize 1.0
Color 0.6 4; Contrast 1.0 8
Equalize 0.8; Equalize 0.6
"""

_CIFAR10 = """
Invert 0.1; Contrast 0.2 6
Rotate 0.7 2; TranslateX 0.3 9
Sharpness 0.8 1; Sharpness 0.9 3
ShearY 0.5 8; TranslateY 0.7 9
AutoContrast 0.5; Equalize 0.9
ShearY 0.2 7; Posterize 0.3 7
Color 0.4 3; Brightness 0.6 7
Sharpness 0.3 9; Brightness 0.7 9
Equalize 0.6; Equalize 0.5
Contrast 0.6 7; Sharpness 0.6 5
Color 0.7 7; TranslateX 0.5 8
Equalize 0.3; AutoContrast 0.4
TranslateY 0.4 3; Sharpness 0.2 6
Brightness 0.9 6; Color 0.2 8
Solarize 0.5 2; Invert 0.0
Equalize 0.2; AutoContrast 0.6
Equalize 0.2; Equalize 0.6
Color 0.9 9; Equalize 0.6
AutoContrast 0.8; Solarize 0.2 8
Brightness 0.1 3; Color 0.7 0
Solarize 0.4 5; AutoContrast 0.9
TranslateY 0.9 9; TranslateY 0.7 9
AutoContrast 0.9; Solarize 0.8 3
Equalize 0.8; Invert 0.1
TranslateY 0.7 9; AutoContrast 0.9
"""

_SVHN = """
ShearX 0.9 4; Invert 0.2
ShearY 0.9 8; Invert 0.7
Equalize 0.6; Solarize 0.6 6
Invert 0.9; Equalize 0.6
Equalize 0.6; Rotate 0.9 3
ShearX 0.9 4; AutoContrast 0.8
ShearY 0.9 8; Invert 0.4
ShearY 0.9 5; Solarize 0.2 6
Invert 0.9; AutoContrast 0.8
Equalize 0.6; Rotate 0.9 3
ShearX 0.9 4; Solarize 0.3 3
ShearY 0.8 8; Invert 0.7
Equalize 0.9; TranslateY 0.6 6
Invert 0.9; Equalize 0.6
Contrast 0.3 3; Rotate 0.8 4
Invert 0.8; TranslateY 0.0 2
ShearY 0.7 6; Solarize 0.4 8
Invert 0.6; Rotate 0.8 4
ShearY 0.3 7; TranslateX 0.9 3
ShearX 0.1 6; Invert 0.6
Solarize 0.7 2; TranslateY 0.6 7
ShearY 0.8 4; Invert 0.8
ShearX 0.7 9; TranslateY 0.8 3
ShearY 0.8 5; AutoContrast 0.7
ShearX 0.7 2; Invert 0.1
"""


def _parsed(text: str) -> list[tuple[Step, Step]]:
    def step(words: str) -> Step:
        name, probability, *rest = words.split()
        return Step(name, float(probability), int(rest[0]) if rest else None)

    pairs = (line.split(";") for line in text.strip().splitlines())
    return [(step(first), step(second)) for first, second in pairs]


POLICIES = {
    AutoAugmentPolicy.IMAGENET: _parsed(_IMAGENET),
    AutoAugmentPolicy.CIFAR10: _parsed(_CIFAR10),
    AutoAugmentPolicy.SVHN: _parsed(_SVHN),
}

#: Changes by the paper that uses them; draws count on their order.
_MOVES = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate")
_COLOURS = ("Brightness", "Color", "Contrast", "Sharpness")
_LEVELS = ("Posterize", "Solarize", "AutoContrast", "Equalize")


@lru_cache(maxsize=128)
def _evenly(last: float, bins: int, first: float = 0.0) -> list[float]:
    return linspace(first, last, bins).tolist()


def _kept_bits(best: int, worst: int, bins: int) -> list[float]:
    """From ``best`` to ``worst`` bits, by halves rounded to even, as PyTorch rounds."""
    lost = np.round(np.arange(bins, dtype=np.float32) / np.float32((bins - 1) / (best - worst)))
    return [float(best - n) for n in lost]


def _table(
    names: tuple[str, ...],
    bins: int,
    *,
    shear: float,
    shift: tuple[float, float],
    turn: float,
    colour: float,
    bits: tuple[int, int],
    full: float,
) -> dict[str, Strengths]:
    values: dict[str, Callable[[], list[float]]] = {
        "ShearX": lambda: _evenly(shear, bins),
        "ShearY": lambda: _evenly(shear, bins),
        "TranslateX": lambda: _evenly(shift[0], bins),
        "TranslateY": lambda: _evenly(shift[1], bins),
        "Rotate": lambda: _evenly(turn, bins),
        **{name: lambda: _evenly(colour, bins) for name in _COLOURS},
        "Posterize": lambda: _kept_bits(*bits, bins),
        "Solarize": lambda: _evenly(0.0, bins, full),
    }
    signed = _MOVES + _COLOURS
    return {
        name: Strengths(values[name]() if name in values else None, name in signed)
        for name in names
    }


#: Full brightness: thresholds are given in levels of bytes.
_LEVELS_OF_BYTES = 255.0


def auto_augment_table(
    height: int, width: int, full: float = _LEVELS_OF_BYTES
) -> dict[str, Strengths]:
    """The changes of ``AutoAugment``."""
    names = (*_MOVES, *_COLOURS, *_LEVELS, "Invert")
    return _of_papers(names, height, width, 10, full)


def rand_augment_table(
    height: int, width: int, bins: int, full: float = _LEVELS_OF_BYTES
) -> dict[str, Strengths]:
    """The changes of ``RandAugment``."""
    return _of_papers(("Identity", *_MOVES, *_COLOURS, *_LEVELS), height, width, bins, full)


def _of_papers(
    names: tuple[str, ...], height: int, width: int, bins: int, full: float
) -> dict[str, Strengths]:
    shift = (150.0 / 331.0 * width, 150.0 / 331.0 * height)
    return _table(
        names, bins, shear=0.3, shift=shift, turn=30.0, colour=0.9, bits=(8, 4), full=full
    )


def trivial_augment_table(bins: int, full: float = _LEVELS_OF_BYTES) -> dict[str, Strengths]:
    """The changes of ``TrivialAugmentWide``: stronger, and none depends on the image's size."""
    names = ("Identity", *_MOVES, *_COLOURS, *_LEVELS)
    return _table(
        names, bins, shear=0.99, shift=(32.0, 32.0), turn=135.0, colour=0.99, bits=(8, 2), full=full
    )


def aug_mix_table(
    height: int, width: int, bins: int, all_ops: bool, full: float = _LEVELS_OF_BYTES
) -> dict[str, Strengths]:
    """The changes of ``AugMix``; those of colour only with ``all_ops``."""
    names = (*_MOVES, *_LEVELS, *(_COLOURS if all_ops else ()))
    shift = (width / 3.0, height / 3.0)
    return _table(
        names, bins, shear=0.3, shift=shift, turn=30.0, colour=0.9, bits=(4, 0), full=full
    )
