"""Automatic augmentation against torchvision at equal seeds."""

from __future__ import annotations

from typing import Any

import pytest
from transform_cases import IMAGES, check, check_error, check_repr

import cresset
from cresset.vision import transforms as T
from cresset.vision.transforms import policies

CASES = [
    lambda L: L.AutoAugment(), lambda L: L.AutoAugment(L.AutoAugmentPolicy.CIFAR10, fill=3),
    lambda L: L.AutoAugment(L.AutoAugmentPolicy.SVHN, L.InterpolationMode.BILINEAR),
    lambda L: L.RandAugment(), lambda L: L.RandAugment(4, 20, fill=[1.0]),
    lambda L: L.TrivialAugmentWide(), lambda L: L.TrivialAugmentWide(11, fill=9), 
    lambda L: L.AugMix(), lambda L: L.AugMix(7, 2, 2, 0.5, False, fill=4),
]  # fmt: skip


@pytest.mark.parametrize("image", IMAGES)
@pytest.mark.parametrize("make", CASES)
def test_equal_seeds_give_torchvisions_pixels(make: Any, image: str) -> None:
    check(make, IMAGES[image], seeds=4)


@pytest.mark.parametrize("make", CASES)
def test_they_print_as_torchvisions(make: Any) -> None:
    check_repr(make)


ERRORS = [
    lambda M, L: L.AutoAugment("imagenet"), lambda M, L: L.AugMix(11), lambda M, L: L.AugMix(0),
    lambda M, L: L.RandAugment()("a"),
]  # fmt: skip


@pytest.mark.parametrize("provoke", ERRORS)
def test_errors_are_torchvisions(provoke: Any) -> None:
    check_error(provoke)


def test_each_policy_has_25_pairs() -> None:
    for policy in T.AutoAugmentPolicy:
        assert len(policies.POLICIES[policy]) == 25
    first, second = policies.POLICIES[T.AutoAugmentPolicy.IMAGENET][0]
    assert first == ("Posterize", 0.4, 8)
    assert second == ("Rotate", 0.6, 9)


def test_strengths_run_from_nothing_to_the_strongest() -> None:
    table = policies.rand_augment_table(224, 331, 31)
    assert len(table) == 14
    assert table["Rotate"].values is not None
    assert table["Rotate"].values[30] == 30.0
    assert table["TranslateX"].values is not None
    assert table["TranslateX"].values[30] == 150.0
    assert table["Posterize"].values is not None
    assert [table["Posterize"].values[i] for i in (0, 30)] == [8, 4]
    assert table["Equalize"].values is None


def test_a_seed_gives_the_same_mix() -> None:
    image = cresset.arange(48, dtype=cresset.uint8).reshape(3, 4, 4)
    mixes = []
    for _ in range(2):
        cresset.manual_seed(5)
        mixes.append(T.AugMix()(image).tolist())
    assert mixes[0] == mixes[1]
