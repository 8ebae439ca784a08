"""Crops, borders and sizes of small images, pixel by pixel."""

from __future__ import annotations

import pytest
from PIL import Image

import cresset
from cresset.vision import transforms as T

F = T.functional
ROW = [[[1, 2, 3]]]


@pytest.mark.parametrize(
    ("mode", "row"),
    [
        ("constant", [0, 0, 1, 2, 3, 0, 0]),
        ("edge", [1, 1, 1, 2, 3, 3, 3]),
        ("reflect", [3, 2, 1, 2, 3, 2, 1]),
        ("symmetric", [2, 1, 1, 2, 3, 3, 2]),
    ],
)
def test_borders_continue_the_image(mode: str, row: list[int]) -> None:
    image = cresset.tensor(ROW, dtype=cresset.uint8)
    assert F.pad(image, [2, 0], padding_mode=mode).tolist() == [[row]]
    picture = T.ToPILImage()(image)
    assert list(F.pad(picture, [2, 0], padding_mode=mode).tobytes()) == row


def test_bytes_are_resized_with_rounding_and_floats_without() -> None:
    levels = cresset.tensor([[[0, 50, 100, 255]]], dtype=cresset.uint8)
    assert F.resize(levels, [1, 2]).tolist() == [[[36, 159]]]
    assert F.resize(levels.float(), [1, 2]).flatten().tolist() == pytest.approx(
        [35.71429, 159.2857]
    )


def test_the_shorter_edge_is_given_and_the_longer_one_follows() -> None:
    picture = Image.new("RGB", (40, 20))
    assert F.resize(picture, 10).size == (20, 10)
    assert F.resize(picture, 10, max_size=15).size == (15, 7)
    assert F.resize(picture, [10, 10]).size == (10, 10)
    assert T.Resize(5)(cresset.zeros(3, 10, 20)).shape == (3, 5, 10)


def test_a_crop_beyond_the_image_is_black() -> None:
    image = cresset.tensor(ROW)
    assert F.crop(image, -1, 1, 2, 3).tolist() == [[[0, 0, 0], [2, 3, 0]]]
    assert F.center_crop(image, [1, 5]).tolist() == [[[0, 1, 2, 3, 0]]]


def test_five_crops_are_the_corners_and_the_middle() -> None:
    image = cresset.arange(9).reshape(1, 3, 3)
    assert [part.item() for part in F.five_crop(image, 1)] == [0, 2, 6, 8, 4]
    assert [part.item() for part in F.ten_crop(image, 1)] == [0, 2, 6, 8, 4, 2, 0, 8, 6, 4]


def test_flips_turn_rows_and_columns() -> None:
    image = cresset.arange(4).reshape(1, 2, 2)
    assert F.hflip(image).tolist() == [[[1, 0], [3, 2]]]
    assert F.vflip(image).tolist() == [[[2, 3], [0, 1]]]


def test_a_picture_becomes_a_tensor_and_back() -> None:
    picture = Image.new("RGB", (2, 1), (0, 51, 255))
    tensor = T.ToTensor()(picture)
    assert tensor.shape == (3, 1, 2)
    assert tensor[:, 0, 0].tolist() == pytest.approx([0.0, 0.2, 1.0])
    assert T.PILToTensor()(picture)[:, 0, 0].tolist() == [0, 51, 255]
    assert T.ToPILImage()(tensor).tobytes() == picture.tobytes()
