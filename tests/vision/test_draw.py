"""Boxes, masks, points and flows on images: torchvision's pixels and words."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from oracle import load_torchvision
from PIL import Image, ImageFont

import cresset
from cresset.vision import utils


@pytest.fixture(scope="module")
def both() -> Any:
    return load_torchvision()


def noise(shape: Any = (3, 40, 50), dtype: str = "uint8", seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if dtype == "uint8":
        return rng.integers(0, 256, shape).astype(np.uint8)
    return rng.uniform(size=shape).astype(dtype)


def tensors(make: Any, value: Any) -> Any:
    """Arrays in arguments as tensors."""
    if isinstance(value, np.ndarray):
        return make(value.copy())
    if isinstance(value, dict):
        return {key: tensors(make, v) for key, v in value.items()}
    return value


def outcome(utils: Any, make: Any, name: str, arguments: list[Any], options: Any) -> Any:
    """(dtype, shape, values, warnings), or (type, text) of an error."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = getattr(utils, name)(
                *(tensors(make, a) for a in arguments), **tensors(make, options)
            )
        except (TypeError, ValueError) as error:
            return type(error), str(error)
    return str(result.dtype), tuple(result.shape), result.tolist(), [str(w.message) for w in caught]


def compare(both: Any, name: str, *arguments: Any, **options: Any) -> Any:
    torch, torchvision = both
    want = outcome(torchvision.utils, torch.from_numpy, name, list(arguments), options)
    got = outcome(utils, cresset.from_numpy, name, list(arguments), options)
    assert got == want
    return got


BOXES = np.array([[3, 4, 20, 30], [0, 0, 49, 39], [10, 2, 10, 39], [-5, 20, 70, 25]])
CORNERS = np.array([[5, 5, 30, 8, 26, 30, 2, 25], [40, 2, 40, 30, 20, 35, 11, 3],
                    [10, 10, 10, 10, 10, 10, 10, 10]])  # fmt: skip
NAMES = ["cat", "a dog", "", "eel"]
MIXED = ["red", (1, 200, 3), "#ff00ff", "hsl(120, 50%, 50%)"]


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"width": 3},
        {"fill": True},
        {"fill": True, "colors": MIXED, "width": 2},
        {"colors": "blue"},
        {"colors": (9, 8, 7)},
        {"colors": [*MIXED, "black", "white"]},
        {"labels": NAMES},
        {"labels": NAMES, "colors": MIXED, "fill": True},
        {"labels": NAMES, "label_colors": "green"},
        {"labels": NAMES, "label_colors": MIXED, "fill_labels": True},
        {"labels": NAMES, "fill_labels": True, "width": 4},
        {"labels": NAMES, "fill_labels": True, "label_background_colors": "yellow", "fill": True},
        {"labels": NAMES, "label_background_colors": "yellow"},
        {"labels": ["x", None, "y", None], "font_size": 20},
    ],
)
def test_boxes_have_torchvisions_pixels(both: Any, options: Any, dtype: str) -> None:
    compare(both, "draw_bounding_boxes", noise(dtype=dtype), BOXES, **options)


@pytest.mark.parametrize("options", [{}, {"fill": True, "width": 2}, {"colors": "red"}])
@pytest.mark.parametrize("seed", range(4))
def test_boxes_of_four_corners_have_torchvisions_pixels(both: Any, options: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    corners = CORNERS if seed == 0 else rng.uniform(-10, 60, (5, 8))
    compare(both, "draw_bounding_boxes", noise(), corners, labels=["a"] * len(corners), **options)


def test_a_grey_image_becomes_coloured(both: Any) -> None:
    compare(both, "draw_bounding_boxes", noise((1, 40, 50)), BOXES + 0.9, colors="red")
    compare(both, "draw_bounding_boxes", noise((1, 40, 50), "float32"), BOXES.astype("float32"))


def test_a_font_may_be_a_file(both: Any, tmp_path: Path) -> None:
    font = ImageFont.load_default()
    if not isinstance(font, ImageFont.FreeTypeFont):
        pytest.skip("this Pillow has no TrueType fonts")
    file = tmp_path / "font.ttf"
    file.write_bytes(font.font_bytes)
    for size in (None, 17):
        options = {"labels": NAMES, "font": str(file), "font_size": size}
        compare(both, "draw_bounding_boxes", noise(), BOXES, **options)


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (["image", BOXES], {}),
        ([noise().astype(np.int64), BOXES], {}),
        ([noise((2, 3, 4, 5)), BOXES], {}),
        ([noise((2, 4, 5)), BOXES], {}),
        ([noise(), BOXES[:, [2, 1, 0, 3]]], {}),
        ([noise(), BOXES[:0]], {}),
        ([noise(), BOXES], {"labels": ["one"]}),
        ([noise(), BOXES], {"colors": ["red"]}),
        ([noise(), BOXES], {"colors": 3}),
        ([noise(), BOXES], {"colors": (1, 2)}),
        ([noise(), BOXES], {"colors": "no colour"}),
    ],
)
def test_boxes_that_cannot_be_drawn_have_torchvisions_words(
    both: Any, arguments: Any, options: Any
) -> None:
    torch, torchvision = both
    want = outcome(torchvision.utils, torch.from_numpy, "draw_bounding_boxes", arguments, options)
    got = outcome(utils, cresset.from_numpy, "draw_bounding_boxes", arguments, options)
    assert str(got).replace("cresset.tensor", "torch") == str(want)


MASKS = noise((3, 40, 50), seed=5) > 180


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
@pytest.mark.parametrize(
    ("masks", "options"),
    [
        (MASKS, {}),
        (MASKS, {"alpha": 0.3, "colors": MIXED}),
        (MASKS, {"alpha": 1, "colors": "blue"}),
        (MASKS, {"alpha": 0}),
        (MASKS[0], {"colors": (250, 3, 9)}),
        (MASKS[:0], {}),
        (MASKS, {"colors": ["red"]}),
        (MASKS[:, 1:], {}),
        (MASKS.astype(np.uint8), {}),
        (MASKS[None], {}),
    ],
)
def test_masks_have_torchvisions_pixels(both: Any, masks: Any, options: Any, dtype: str) -> None:
    compare(both, "draw_segmentation_masks", noise(dtype=dtype), masks, **options)


POINTS = np.random.default_rng(2).uniform(-3, 50, (3, 4, 2))
SEEN = np.array([[1, 1, 0, 1], [0, 0, 0, 0], [1, 1, 1, 1]])


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
@pytest.mark.parametrize(
    ("points", "options"),
    [
        (POINTS, {}),
        (POINTS, {"colors": "red", "radius": 5}),
        (POINTS, {"connectivity": [(0, 1), (1, 3), (2, 2)], "width": 1}),
        (POINTS, {"connectivity": [(0, 1), (2, 3)], "visibility": SEEN, "colors": (1, 2, 3)}),
        (POINTS, {"visibility": SEEN[..., None].astype(bool)}),
        (POINTS, {"visibility": SEEN[0]}),
        (POINTS[0], {}),
        (POINTS[:0], {}),
    ],
)
def test_points_have_torchvisions_pixels(both: Any, points: Any, options: Any, dtype: str) -> None:
    compare(both, "draw_keypoints", noise(dtype=dtype), points, **options)


def test_points_that_cannot_be_drawn_have_torchvisions_words(both: Any) -> None:
    for image in (noise((1, 4, 4)), noise((2, 3, 4, 4)), noise().astype(np.int16)):
        compare(both, "draw_keypoints", image, POINTS)
        compare(both, "draw_segmentation_masks", image, MASKS)
    assert compare(both, "draw_keypoints", 3, POINTS)[0] is TypeError
    torch, torchvision = both
    with pytest.raises(ValueError, match="keypoints and visibility must have the same dim"):
        utils.draw_keypoints(
            cresset.from_numpy(noise()), cresset.from_numpy(POINTS), visibility=cresset.ones(2, 4)
        )


@pytest.mark.parametrize("shape", [(2, 30, 40), (3, 2, 10, 11)])
def test_a_flow_has_torchvisions_colours(both: Any, shape: Any) -> None:
    torch, torchvision = both
    flow = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    flow[..., 0, 0] = 0
    got = utils.flow_to_image(cresset.from_numpy(flow.copy()))
    want = torchvision.utils.flow_to_image(torch.from_numpy(flow.copy()))
    assert got.dtype == cresset.uint8
    assert tuple(got.shape) == tuple(want.shape)
    apart = abs(got.numpy().astype(int) - want.numpy().astype(int))
    assert apart.max() <= 1  # an angle's last bit may decide which byte a colour is cut off to
    assert (apart > 0).mean() < 0.01


def test_a_flow_of_the_wrong_kind_has_torchvisions_words(both: Any) -> None:
    for shape, dtype in (((2, 3), "float32"), ((3, 4, 4), "float32"), ((2, 4, 4), "float64")):
        assert compare(both, "flow_to_image", np.zeros(shape, dtype))[0] is ValueError


# -- without torchvision ---------------------------------------------------------------------------


def test_a_box_is_its_outline() -> None:
    image = cresset.zeros(3, 5, 6, dtype=cresset.uint8)
    drawn = utils.draw_bounding_boxes(image, cresset.tensor([[1, 0, 4, 3]]), colors=[(9, 8, 7)])
    outline = [[0, 1, 1, 1, 1, 0], [0, 1, 0, 0, 1, 0], [0, 1, 0, 0, 1, 0], [0, 1, 1, 1, 1, 0],
               [0] * 6]  # fmt: skip
    for plane, value in zip(drawn, (9, 8, 7)):
        assert (plane // value).tolist() == outline
    assert image.sum().item() == 0


def test_masks_shade_and_cross_out() -> None:
    image = cresset.full((3, 1, 3), 100, dtype=cresset.uint8)
    masks = cresset.tensor([[[True, True, False]], [[False, True, False]]])
    drawn = utils.draw_segmentation_masks(image, masks, alpha=0.5, colors=["red", "blue"])
    assert drawn.tolist() == [[[177, 50, 100]], [[50, 50, 100]], [[50, 50, 100]]]


def test_what_stands_still_is_white_and_directions_differ() -> None:
    flow = cresset.tensor([[[0.0, 1.0, -1.0]], [[0.0, 0.0, 0.0]]])
    assert utils.flow_to_image(flow).permute(1, 2, 0)[0].tolist() == [
        [255, 255, 255], [255, 0, 0], [0, 209, 255],
    ]  # fmt: skip


def test_a_drawing_does_not_join_the_tape() -> None:
    image = cresset.rand(3, 8, 8, requires_grad=True)
    drawn = utils.draw_bounding_boxes(image, cresset.tensor([[1, 1, 4, 4]]))
    assert not drawn.requires_grad
    assert not utils.draw_segmentation_masks(image, image[0] > 0.5).requires_grad


def test_a_drawing_can_be_saved(tmp_path: Path) -> None:
    drawn = utils.draw_bounding_boxes(
        cresset.zeros(3, 8, 8), cresset.tensor([[0, 0, 7, 7]]), colors="red"
    )
    utils.save_image(drawn, tmp_path / "x.png")
    with Image.open(tmp_path / "x.png") as image:
        assert image.getpixel((0, 3)) == (255, 0, 0)
