"""Transforms that turn, shear and bend, against torchvision at equal seeds."""

from __future__ import annotations

from typing import Any

import pytest
from transform_cases import IMAGES, check, check_error, check_repr, picture

import cresset
from cresset.vision import transforms as T

F = T.functional


def _nearest(L: Any) -> Any:
    return L.InterpolationMode.NEAREST


def _bilinear(L: Any) -> Any:
    return L.InterpolationMode.BILINEAR


CASES = [
    lambda L: L.RandomRotation(40), lambda L: L.RandomRotation((90, 90), expand=True),
    lambda L: L.RandomRotation((45, 45), expand=True, fill=3),
    lambda L: L.RandomRotation(180, _bilinear(L), expand=True, fill=9),
    lambda L: L.RandomRotation(180, 2, center=(3, 5)),
    lambda L: L.RandomAffine(30, (0.2, 0.3), (0.5, 2.0), (-10, 10, -20, 20)),
    lambda L: L.RandomAffine(30, None, (0.5, 2.0), 10, _bilinear(L), fill=5, center=(4, 9)),
    lambda L: L.RandomPerspective(p=1.0), lambda L: L.RandomPerspective(0.8, 0.7, 0, fill=7),
    lambda L: L.ElasticTransform(50.0, 3.0), lambda L: L.ElasticTransform([80.0, 30.0], [2.0, 0.0]),
    lambda L: L.ElasticTransform(40.0, 1.0, _nearest(L), fill=3),
]  # fmt: skip


@pytest.mark.parametrize("image", IMAGES)
@pytest.mark.parametrize("make", CASES)
def test_equal_seeds_give_torchvisions_pixels(make: Any, image: str) -> None:
    check(make, IMAGES[image], seeds=2)


@pytest.mark.parametrize("make", CASES)
def test_they_print_as_torchvisions(make: Any) -> None:
    check_repr(make)


SQUARE = [[0, 0], [3, 0], [3, 3], [0, 3]]
ERRORS = [
    lambda M, L: L.RandomPerspective(fill={}), lambda M, L: L.ElasticTransform(3),
    lambda M, L: L.ElasticTransform([1.0]), lambda M, L: L.ElasticTransform([1.0, 2]),
    lambda M, L: L.ElasticTransform(1.0, 2), lambda M, L: L.ElasticTransform(1.0, [1.0, "a"]),
    lambda M, L: L.ElasticTransform(fill="a"),
    lambda M, L: L.functional.perspective(picture(), [[0, 0]], [[0, 0]]),
    lambda M, L: L.functional.perspective(picture(), [[0, 0]] * 4, SQUARE),
    lambda M, L: L.functional.perspective(3, SQUARE, SQUARE),
    lambda M, L: L.functional.perspective(picture(), SQUARE, SQUARE, "nearest"),
    lambda M, L: L.functional.rotate(M.zeros(3, 4, 4), 10, fill=[1, 2]),
    lambda M, L: L.functional.rotate(M.zeros(3, 4, 4), 10, L.InterpolationMode.BICUBIC),
    lambda M, L: L.functional.rotate(M.zeros(4), 10),
    lambda M, L: L.functional.affine(M.zeros(3, 4, 4), 1, [0, 0], 1, "a"),
    lambda M, L: L.functional.affine(M.zeros(3, 4, 4), 1, [0, 0], 1, [1, 2, 3]),
    lambda M, L: L.functional.elastic_transform(M.zeros(3, 4, 4), 1),
    lambda M, L: L.functional.elastic_transform(1, M.zeros(3, 4, 4)),
    lambda M, L: L.functional.elastic_transform(M.zeros(3, 4, 4), M.zeros(1, 4, 5, 2)),
]  # fmt: skip


@pytest.mark.parametrize("provoke", ERRORS)
def test_errors_are_torchvisions(provoke: Any) -> None:
    check_error(provoke)


def test_a_quarter_turn_moves_the_corners() -> None:
    image = cresset.arange(9, dtype=cresset.uint8).reshape(1, 3, 3)
    turned = F.rotate(image, 90)
    assert turned.tolist() == [[[2, 5, 8], [1, 4, 7], [0, 3, 6]]]
    assert F.rotate(turned, -90, expand=True).tolist() == image.tolist()


def test_a_shift_fills_with_the_given_colour() -> None:
    image = cresset.tensor([[[1, 2, 3], [4, 5, 6]]], dtype=cresset.uint8)
    moved = F.affine(image, 0, [1, 1], 1.0, [0.0, 0.0], fill=[9.0])
    assert moved.tolist() == [[[9, 9, 9], [9, 1, 2]]]
    assert moved.dtype == cresset.uint8


@pytest.mark.parametrize("mode", [T.InterpolationMode.NEAREST, T.InterpolationMode.BILINEAR])
def test_a_perspective_of_unmoved_corners_changes_nothing(mode: T.InterpolationMode) -> None:
    image = cresset.arange(12, dtype=cresset.uint8).reshape(1, 3, 4)
    corners = [[0, 0], [3, 0], [3, 2], [0, 2]]
    assert F.perspective(image, corners, corners, mode).tolist() == image.tolist()


def test_a_displacement_of_nothing_changes_nothing() -> None:
    image = cresset.arange(12, dtype=cresset.uint8).reshape(1, 3, 4)
    assert F.elastic_transform(image, cresset.zeros(1, 3, 4, 2)).tolist() == image.tolist()


def test_gradients_flow_through_a_rotation() -> None:
    image = cresset.ones(1, 2, 2, requires_grad=True)
    F.rotate(image, 180.0, T.InterpolationMode.BILINEAR).sum().backward()
    assert image.grad is not None
    assert cresset.allclose(image.grad, cresset.ones(1, 2, 2), atol=1e-6)
