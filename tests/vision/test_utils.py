"""Grids of images against torchvision's."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from oracle import load_torchvision
from PIL import Image

import cresset
from cresset.vision import utils


@pytest.fixture(scope="module")
def both() -> Any:
    return load_torchvision()


def images(shape: Any, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


GRIDS: list[tuple[Any, dict[str, Any]]] = [
    ((10, 3, 4, 5), {}),
    ((10, 1, 4, 5), {}),
    ((3, 2, 4, 5), {"nrow": 2}),
    ((8, 3, 4, 5), {"nrow": 3, "padding": 0}),
    ((4, 3, 4, 5), {"nrow": 9, "padding": 1, "pad_value": 0.7}),
    ((4, 3, 4, 5), {"normalize": True}),
    ((4, 1, 4, 5), {"normalize": True, "scale_each": True}),
    ((4, 3, 4, 5), {"normalize": True, "value_range": (-0.5, 1.0)}),
    ((4, 3, 4, 5), {"normalize": True, "value_range": (-1, 1), "scale_each": True}),
    ((1, 3, 4, 5), {}),
    ((3, 4, 5), {"normalize": True}),
    ((1, 4, 5), {}),
    ((4, 5), {}),
]


@pytest.mark.parametrize(("shape", "options"), GRIDS)
def test_a_grid_is_torchvisions_to_the_bit(both: Any, shape: Any, options: Any) -> None:
    torch, torchvision = both
    array = images(shape)
    got = utils.make_grid(cresset.from_numpy(array.copy()), **options).numpy()
    want = torchvision.utils.make_grid(torch.from_numpy(array.copy()), **options).numpy()
    assert (got.dtype, got.shape) == (want.dtype, want.shape)
    assert got.tobytes() == want.tobytes()


def test_a_grid_of_a_list_and_of_bytes_is_torchvisions(both: Any) -> None:
    torch, torchvision = both
    arrays = [(images((3, 4, 5), i) * 50).astype(np.uint8) for i in range(5)]
    got = utils.make_grid([cresset.from_numpy(a) for a in arrays], nrow=3, pad_value=9)
    want = torchvision.utils.make_grid([torch.from_numpy(a) for a in arrays], nrow=3, pad_value=9)
    assert got.dtype == cresset.uint8
    assert got.tolist() == want.tolist()


def test_a_grid_has_its_images_in_rows() -> None:
    images = cresset.arange(3.0)[:, None, None, None].expand(3, 1, 1, 2)
    grid = utils.make_grid(images, nrow=2, padding=1, pad_value=9)
    assert grid.shape == (3, 5, 7)
    assert grid[2].tolist() == [
        [9] * 7, [9, 0, 0, 9, 1, 1, 9], [9] * 7, [9, 2, 2, 9, 9, 9, 9], [9] * 7,
    ]  # fmt: skip


def test_a_saved_image_has_rounded_bytes(tmp_path: Any) -> None:
    utils.save_image(cresset.tensor([[[-1.0, 0.0, 0.5, 0.999, 2.0]]]), tmp_path / "x.png")
    with Image.open(tmp_path / "x.png") as image:
        assert np.asarray(image)[0, :, 1].tolist() == [0, 0, 128, 255, 255]


def test_normalizing_leaves_the_images_as_they_were() -> None:
    x = cresset.from_numpy(images((4, 3, 4, 5)))
    before = x.clone()
    utils.make_grid(x, normalize=True, scale_each=True)
    assert cresset.equal(x, before)


def test_a_grid_does_not_join_the_tape() -> None:
    x = cresset.ones(2, 3, 4, 4, requires_grad=True)
    assert not utils.make_grid(x).requires_grad


@pytest.mark.parametrize("wrong", ["a", [1], (1, 2)])
def test_make_grid_refuses_what_torchvision_refuses(both: Any, wrong: Any) -> None:
    torch, torchvision = both
    with pytest.raises(TypeError) as theirs:
        torchvision.utils.make_grid(wrong)
    with pytest.raises(TypeError) as ours:
        utils.make_grid(wrong)
    assert str(ours.value) == str(theirs.value)
    with pytest.raises(TypeError, match="value_range has to be a tuple"):
        utils.make_grid(cresset.zeros(2, 3, 4, 4), normalize=True, value_range=[0, 1])


@pytest.mark.parametrize(("shape", "options"), GRIDS[:2] + GRIDS[3:])
def test_a_saved_image_has_torchvisions_pixels(
    both: Any, tmp_path: Any, shape: Any, options: Any
) -> None:
    torch, torchvision = both
    array = images(shape)
    utils.save_image(cresset.from_numpy(array.copy()), tmp_path / "ours.png", **options)
    theirs = io.BytesIO()
    torchvision.utils.save_image(torch.from_numpy(array.copy()), theirs, "png", **options)
    ours = Image.open(tmp_path / "ours.png")
    want = Image.open(theirs)
    assert (ours.mode, ours.size) == (want.mode, want.size)
    assert ours.tobytes() == want.tobytes()
