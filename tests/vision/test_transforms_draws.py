"""A seed and what transforms draw from it: torchvision 0.28's numbers, written down."""

from __future__ import annotations

from typing import Any

import pytest

import cresset
from cresset.vision import transforms as T
from cresset.vision.transforms import v2

DRAWN: list[tuple[Any, Any]] = [
    (lambda: T.RandomCrop.get_params(cresset.zeros(1, 10, 20), (3, 4)), (4, 3, 3, 4)),
    (lambda: T.RandomResizedCrop.get_params(cresset.zeros(1, 100, 200), (0.08, 1.0), (0.75, 4 / 3)),
     (3, 46, 96, 112)),
    (lambda: T.RandomRotation.get_params([-30.0, 30.0]), -0.22460460662841797),
    (lambda: T.RandomPerspective.get_params(20, 10, 0.5),
     ([[0, 0], [19, 0], [19, 9], [0, 9]], [[2, 0], [19, 0], [15, 7], [1, 8]])),
    (lambda: T.RandomErasing.get_params(
        cresset.zeros(3, 20, 30), (0.02, 0.33), (0.3, 3.3), [0.0])[:4], (0, 0, 14, 7)),
    (lambda: T.ColorJitter.get_params((0.5, 1.5), (0.5, 1.5), None, (-0.1, 0.1))[0].tolist(),
     [0, 1, 3, 2]),
    (lambda: T.ColorJitter.get_params((0.5, 1.5), (0.5, 1.5), None, (-0.1, 0.1))[1:],
     (0.6320304870605469, 0.8074228167533875, None, 0.026815736666321754)),
    (lambda: T.AutoAugment.get_params(25)[0], 19),
    (lambda: T.AutoAugment.get_params(25)[2].tolist(), [0, 1]),
    (lambda: v2.RandomCrop(2)(cresset.arange(16).reshape(1, 4, 4)).tolist(), [[[8, 9], [12, 13]]]),
]  # fmt: skip


@pytest.mark.parametrize(("draw", "numbers"), DRAWN)
def test_seed_0_gives_these_numbers(draw: Any, numbers: Any) -> None:
    cresset.manual_seed(0)
    assert draw() == numbers


def test_an_affine_map_draws_angle_shift_scale_and_shear_in_this_order() -> None:
    cresset.manual_seed(0)
    T.RandomRotation.get_params([-30.0, 30.0])
    found = T.RandomAffine.get_params([-10, 10], [0.1, 0.2], [0.5, 2.0], [-5, 5, -3, 3], [20, 30])
    assert found == (
        5.364436149597168, (-2, -4), 0.9611341953277588,
        (1.3407868146896362, -0.05943953990936279),
    )  # fmt: skip


def test_flips_follow_the_seed() -> None:
    cresset.manual_seed(0)
    flip = T.RandomHorizontalFlip()
    firsts = [flip(cresset.tensor([[[1, 2]]]))[0, 0, 0].item() for _ in range(6)]
    assert firsts == [2, 1, 2, 2, 2, 1]


def test_a_crop_with_nothing_to_choose_draws_nothing() -> None:
    cresset.manual_seed(0)
    T.RandomCrop(4)(cresset.zeros(1, 4, 4))
    v2.RandomCrop(4)(cresset.zeros(1, 4, 4))
    assert cresset.rand(1).item() == pytest.approx(0.49625658988952637, abs=0)


def test_the_second_interface_draws_only_along_an_edge_that_leaves_a_choice() -> None:
    cresset.manual_seed(0)
    v2.RandomCrop((4, 2))(cresset.zeros(1, 4, 9))
    after_one_draw = cresset.rand(1).item()
    cresset.manual_seed(0)
    cresset.rand(1)
    assert cresset.rand(1).item() == after_one_draw


def test_mixing_shares_follow_the_seed() -> None:
    cresset.manual_seed(0)
    images = cresset.tensor([0.0, 1.0]).reshape(2, 1, 1, 1)
    mixed, _ = v2.MixUp(num_classes=2)(images, cresset.tensor([0, 1]))
    assert mixed.flatten().tolist() == pytest.approx([0.1362, 0.8638], abs=1e-4)
