"""Brightness levels, sharpness, colours and blur, against torchvision at equal seeds."""

from __future__ import annotations

from typing import Any

import pytest
from transform_cases import IMAGES, check, check_error, check_repr, picture

import cresset
from cresset.vision import transforms as T

F = T.functional
CASES = [
    lambda L: L.RandomInvert(0.7), lambda L: L.RandomPosterize(3, 0.7),
    lambda L: L.RandomPosterize(8, 1.0), lambda L: L.RandomPosterize(bits=0),
    lambda L: L.RandomSolarize(100, 0.7), lambda L: L.RandomSolarize(0.3, p=0.7),
    lambda L: L.RandomAdjustSharpness(2.0, 0.8), lambda L: L.RandomAdjustSharpness(0.3, 0.8),
    lambda L: L.RandomAutocontrast(0.8), lambda L: L.RandomEqualize(0.8),
    lambda L: L.GaussianBlur(5), lambda L: L.GaussianBlur((3, 7), (0.5, 3.0)),
    lambda L: L.GaussianBlur([9], 1.5), lambda L: L.ColorJitter(0.5, 0.5, 0.5, 0.3),
    lambda L: L.ColorJitter(hue=0.5), lambda L: L.RandomGrayscale(0.5), lambda L: L.Grayscale(3),
]  # fmt: skip
FUNCTIONS = [
    lambda L: lambda x: L.functional.adjust_gamma(x, 0.7, 1.2),
    lambda L: lambda x: L.functional.adjust_gamma(x, 2),
    lambda L: lambda x: L.functional.adjust_brightness(x, 1.3),
    lambda L: lambda x: L.functional.adjust_contrast(x, 0.45),
    lambda L: lambda x: L.functional.adjust_saturation(x, 1.7),
    lambda L: lambda x: L.functional.adjust_saturation(x, 0.4),
    lambda L: lambda x: L.functional.adjust_hue(x, -0.2),
    lambda L: lambda x: L.functional.gaussian_blur(x, [3, 5]),
    lambda L: lambda x: L.functional.gaussian_blur(x, 5, 0.9),
]


@pytest.mark.parametrize("image", IMAGES)
@pytest.mark.parametrize("make", CASES + FUNCTIONS)
def test_equal_seeds_give_torchvisions_pixels(make: Any, image: str) -> None:
    check(make, IMAGES[image], seeds=2)


@pytest.mark.parametrize("make", CASES)
def test_they_print_as_torchvisions(make: Any) -> None:
    check_repr(make)


ERRORS = [
    lambda M, L: L.GaussianBlur(4), lambda M, L: L.GaussianBlur((3, 3, 3)),
    lambda M, L: L.GaussianBlur(3, -1), lambda M, L: L.GaussianBlur(3, (2, 1)),
    lambda M, L: L.GaussianBlur(3, (1, 2, 3)), lambda M, L: L.GaussianBlur(3, "a"),
    lambda M, L: L.functional.gaussian_blur(picture(), "a"),
    lambda M, L: L.functional.gaussian_blur(picture(), [3, 4]),
    lambda M, L: L.functional.gaussian_blur(picture(), [3]),
    lambda M, L: L.functional.gaussian_blur(picture(), 3, "a"),
    lambda M, L: L.functional.gaussian_blur(picture(), 3, [1, 2, 3]),
    lambda M, L: L.functional.gaussian_blur(picture(), 3, 0),
    lambda M, L: L.functional.gaussian_blur(1, 3),
    lambda M, L: L.functional.posterize(picture(), 9),
    lambda M, L: L.functional.posterize(M.zeros(3, 4, 4), 3),
    lambda M, L: L.functional.posterize(M.zeros(4, 4, dtype=M.uint8), 3),
    lambda M, L: L.functional.solarize(M.zeros(3, 4, 4), 2),
    lambda M, L: L.functional.solarize(3, 2), lambda M, L: L.functional.equalize("a"),
    lambda M, L: L.functional.equalize(M.zeros(3, 4, 4)),
    lambda M, L: L.functional.equalize(M.zeros(4, 4, dtype=M.uint8)),
    lambda M, L: L.functional.equalize(M.zeros(2, 4, 4, dtype=M.uint8)),
    lambda M, L: L.functional.autocontrast(M.zeros(4, 4)),
    lambda M, L: L.functional.adjust_sharpness(M.zeros(3, 4, 4), -1),
    lambda M, L: L.functional.adjust_sharpness(M.zeros(2, 4, 4), 1),
    lambda M, L: L.functional.adjust_gamma(M.zeros(3, 4, 4), -1),
    lambda M, L: L.functional.adjust_gamma(M.zeros(2, 4, 4), 1),
    lambda M, L: L.functional.adjust_gamma(1, 1),
    lambda M, L: L.functional.adjust_hue(M.zeros(2, 4, 4), 0.1),
    lambda M, L: L.functional.adjust_hue(M.zeros(3, 4, 4), 0.6),
]  # fmt: skip


@pytest.mark.parametrize("provoke", ERRORS)
def test_errors_are_torchvisions(provoke: Any) -> None:
    check_error(provoke)


def test_posterize_keeps_the_highest_bits() -> None:
    image = cresset.tensor([[[0, 63, 64, 200, 255]]], dtype=cresset.uint8)
    assert F.posterize(image, 2).tolist() == [[[0, 0, 64, 192, 192]]]
    assert F.posterize(image, 0).tolist() == [[[0, 0, 0, 0, 0]]]


def test_solarize_inverts_what_is_bright() -> None:
    image = cresset.tensor([[[0, 127, 128, 255]]], dtype=cresset.uint8)
    assert F.solarize(image, 128).tolist() == [[[0, 127, 127, 0]]]


def test_autocontrast_stretches_and_leaves_flat_channels() -> None:
    image = cresset.tensor([[[10, 20, 30]], [[7, 7, 7]], [[0, 5, 255]]], dtype=cresset.uint8)
    assert F.autocontrast(image).tolist() == [[[0, 127, 255]], [[7, 7, 7]], [[0, 5, 255]]]


def test_half_a_turn_of_the_colour_circle_gives_the_opposite_colour() -> None:
    red = cresset.tensor([1.0, 0.0, 0.0]).reshape(3, 1, 1)
    assert F.adjust_hue(red, 0.5).flatten().tolist() == [0.0, 1.0, 1.0]


def test_gaussian_weights_sum_to_one() -> None:
    image = cresset.full((1, 8, 8), 200, dtype=cresset.uint8)
    assert F.gaussian_blur(image, 5, 2.0).unique().tolist() == [200]


@pytest.mark.parametrize("name", ["adjust_sharpness", "gaussian_blur", "adjust_hue"])
def test_gradients_flow_through(name: str) -> None:
    image = (cresset.arange(48.0) / 48).reshape(3, 4, 4).requires_grad_()
    value = {"adjust_sharpness": 0.5, "gaussian_blur": 3, "adjust_hue": 0.1}[name]
    getattr(F, name)(image, value).sum().backward()
    assert image.grad is not None
    assert image.grad.isfinite().all()
    assert image.grad.abs().sum() > 0


def test_a_blur_wider_than_the_image_names_its_last_dimension_first() -> None:
    with pytest.raises(RuntimeError, match=r"^Argument #4: .* padding \(2, 2\) at dimension 3"):
        F.gaussian_blur(cresset.zeros(1, 2, 2), 5)
