"""Transforms against torchvision: same pixels, same draws, same texts."""

from __future__ import annotations

import random
import warnings
from typing import Any

import numpy as np
import pytest
from oracle import load_torchvision
from PIL import Image

import cresset
from cresset.vision import transforms as T

torch, torchvision = load_torchvision()
R = torchvision.transforms

RNG = np.random.default_rng(0)
MODES = {"L": (13, 17), "RGB": (13, 17, 3), "RGBA": (13, 17, 4), "LA": (13, 17, 2)}


def picture(mode: str = "RGB") -> Image.Image:
    pixels = np.random.default_rng(3).integers(0, 256, MODES[mode], dtype=np.uint8)
    return Image.fromarray(pixels)


def planes(dtype: Any = np.float32, shape: Any = (3, 13, 17)) -> np.ndarray:
    values = np.random.default_rng(4).random(shape)
    return values.astype(dtype) if np.dtype(dtype).kind == "f" else (values * 255).astype(dtype)


def assert_same(ours: Any, theirs: Any) -> None:
    """Equal to the bit, dtype and shape included."""
    if isinstance(theirs, tuple):
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs):
            assert_same(a, b)
    elif isinstance(theirs, Image.Image):
        assert (ours.mode, ours.size) == (theirs.mode, theirs.size)
        assert ours.tobytes() == theirs.tobytes()
    else:
        a, b = ours.numpy(), theirs.numpy()
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        assert a.tobytes() == b.tobytes()


def seed_all(seed: int) -> None:
    cresset.manual_seed(seed)
    torch.manual_seed(seed)


@pytest.mark.parametrize("mode", MODES)
def test_to_tensor_of_an_image_is_torchvisions_to_the_bit(mode: str) -> None:
    assert_same(T.ToTensor()(picture(mode)), R.ToTensor()(picture(mode)))
    assert_same(T.PILToTensor()(picture(mode)), R.PILToTensor()(picture(mode)))


@pytest.mark.parametrize("mode", ["1", "I", "F", "P", "CMYK", "YCbCr", "HSV"])
def test_to_tensor_of_a_rarer_mode_is_torchvisions(mode: str) -> None:
    grey = picture("L") if mode in ("1", "I", "F") else picture("RGB")
    image = grey.convert(mode)
    assert_same(T.ToTensor()(image), R.ToTensor()(image))


def test_every_byte_becomes_the_same_float() -> None:
    every = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert_same(T.ToTensor()(every), R.ToTensor()(every))


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "int64", "float32", "float64"])
def test_to_tensor_of_an_array_is_torchvisions(dtype: str) -> None:
    for shape in ((5, 4), (5, 4, 3)):
        array = planes(dtype, shape)
        assert_same(T.ToTensor()(array), R.ToTensor()(array))


def test_to_tensor_follows_the_default_dtype() -> None:
    cresset.set_default_dtype(cresset.float64)
    torch.set_default_dtype(torch.float64)
    try:
        assert_same(T.ToTensor()(picture()), R.ToTensor()(picture()))
    finally:
        torch.set_default_dtype(torch.float32)


def test_to_tensor_copies() -> None:
    array = planes("float32", (2, 2, 1))
    image = picture("L")
    tensor = T.ToTensor()(image)
    tensor.zero_()
    assert np.asarray(image).any()
    assert T.ToTensor()(array).shape == (1, 2, 2)


IMAGE_TRANSFORMS = [
    lambda L: L.Resize(8), lambda L: L.Resize((20, 9)), lambda L: L.Resize([5]),
    lambda L: L.Resize(8, max_size=9), lambda L: L.Resize(30, interpolation=2),
    lambda L: L.Resize(8, interpolation=L.InterpolationMode.NEAREST),
    lambda L: L.Resize(8, interpolation=L.InterpolationMode.LANCZOS),
    lambda L: L.Resize(8, L.InterpolationMode.BICUBIC),
    lambda L: L.CenterCrop(7), lambda L: L.CenterCrop((6, 9)), lambda L: L.CenterCrop(20),
    lambda L: L.CenterCrop((20, 5)), lambda L: L.CenterCrop((13, 17)),
    lambda L: L.Pad(2), lambda L: L.Pad((1, 3), fill=7), lambda L: L.Pad([1, 2, 3, 4], 9),
    lambda L: L.Pad(2, padding_mode="edge"), lambda L: L.Pad((1, 2), padding_mode="reflect"),
    lambda L: L.Pad([1, 2, 3, 4], padding_mode="symmetric"), lambda L: L.Pad([2]),
    lambda L: L.Pad(-2), lambda L: L.Pad((-1, 2), padding_mode="edge"),
    lambda L: L.RandomCrop(8), lambda L: L.RandomCrop(13), lambda L: L.RandomCrop((13, 17)),
    lambda L: L.RandomCrop((4, 9), padding=2), lambda L: L.RandomCrop(5, padding=(1, 2, 3, 4)),
    lambda L: L.RandomCrop(20, pad_if_needed=True, fill=3),
    lambda L: L.RandomCrop(9, padding=3, padding_mode="reflect"),
    lambda L: L.RandomHorizontalFlip(), lambda L: L.RandomVerticalFlip(0.3),
    lambda L: L.RandomHorizontalFlip(0.0), lambda L: L.RandomHorizontalFlip(1.0),
    lambda L: L.RandomApply([L.CenterCrop(5), L.Pad(1)], p=0.4),
    lambda L: L.FiveCrop(5), lambda L: L.TenCrop((5, 6)), lambda L: L.TenCrop(5, True),
    lambda L: L.Compose([L.RandomCrop(9), L.RandomHorizontalFlip(), L.Pad(1)]),
]  # fmt: skip
PIL_TRANSFORMS = [
    lambda L: L.RandomResizedCrop(8), lambda L: L.RandomResizedCrop((9, 4), (0.5, 1), (0.5, 2)),
    lambda L: L.RandomResizedCrop(8, scale=(3, 4), ratio=(0.2, 0.3)),
    lambda L: L.RandomResizedCrop(8, scale=(3, 4), ratio=(4, 5)),
    lambda L: L.RandomResizedCrop(6, interpolation=L.InterpolationMode.NEAREST),
    lambda L: L.RandomRotation(30), lambda L: L.RandomRotation((10, 50), expand=True, fill=5),
    lambda L: L.RandomRotation(90, center=(2, 3), interpolation=L.InterpolationMode.BILINEAR),
    lambda L: L.RandomAffine(20), lambda L: L.RandomAffine(0, translate=(0.2, 0.3)),
    lambda L: L.RandomAffine((5, 40), scale=(0.5, 2), shear=10, fill=9),
    lambda L: L.RandomAffine(5, (0.1, 0.1), (0.9, 1.1), (1, 5, 2, 9), center=[3, 4]),
    lambda L: L.RandomChoice([L.CenterCrop(3), L.Pad(1), L.Resize(5)]),
    lambda L: L.RandomOrder([L.CenterCrop(6), L.Pad(1), L.Resize(5)]),
]  # fmt: skip
COLOUR_TRANSFORMS = [
    lambda L: L.Grayscale(), lambda L: L.Grayscale(3), lambda L: L.RandomGrayscale(0.5),
    lambda L: L.ColorJitter(0.5), lambda L: L.ColorJitter(0.4, 0.4, 0.4, 0.2),
    lambda L: L.ColorJitter(brightness=2.5, contrast=(0.2, 3.0), hue=(-0.1, 0.5)),
]  # fmt: skip


@pytest.mark.parametrize("make", IMAGE_TRANSFORMS + PIL_TRANSFORMS + COLOUR_TRANSFORMS)
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_on_an_image_equal_seeds_give_torchvisions_pixels(make: Any, mode: str) -> None:
    ours, theirs, image = make(T), make(R), picture(mode)
    for seed in range(6):
        seed_all(seed)
        random.seed(seed)
        got = ours(image)
        random.seed(seed)
        assert_same(got, theirs(image))
    assert cresset.rand(1).item() == torch.rand(1).item()  # as many draws, not only equal ones


# Resampling tensors adds in another order than PyTorch: see the test below.
@pytest.mark.parametrize("make", IMAGE_TRANSFORMS[5:6] + IMAGE_TRANSFORMS[8:])
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_on_a_tensor_equal_seeds_give_torchvisions_values(make: Any, dtype: str) -> None:
    ours, theirs, array = make(T), make(R), planes(dtype)
    for seed in range(4):
        seed_all(seed)
        got = ours(cresset.from_numpy(array))
        assert_same(got, theirs(torch.from_numpy(array)))


@pytest.mark.parametrize("size", [8, 5, (20, 9), (7, 30), 40])
@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("antialias", [True, False])
def test_resizing_a_tensor_is_torchvisions_to_rounding(
    size: Any, mode: str, antialias: bool
) -> None:
    array = planes()
    ours = T.Resize(size, T.InterpolationMode(mode), antialias=antialias)
    theirs = R.Resize(size, R.InterpolationMode(mode), antialias=antialias)
    got = ours(cresset.from_numpy(array)).numpy()
    want = theirs(torch.from_numpy(array)).numpy()
    assert got.dtype == want.dtype
    np.testing.assert_allclose(got, want, rtol=0, atol=2e-6)


def test_resizing_bytes_rounds_to_bytes() -> None:
    array = planes("uint8")
    got = T.Resize(8)(cresset.from_numpy(array)).numpy().astype(int)
    want = R.Resize(8)(torch.from_numpy(array)).numpy().astype(int)
    assert np.abs(got - want).max() <= 1


@pytest.mark.parametrize("shape", [(1, 4, 5), (3, 4, 5), (2, 3, 4, 5)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_normalize_is_torchvisions_to_the_bit(shape: Any, dtype: str) -> None:
    array = planes(dtype, shape)
    n = shape[-3]
    mean, std = (0.485, 0.456, 0.406)[:n], (0.229, 0.224, 0.225)[:n]
    got = T.Normalize(mean, std)(cresset.from_numpy(array))
    assert_same(got, R.Normalize(mean, std)(torch.from_numpy(array)))


def test_normalize_changes_its_input_only_in_place() -> None:
    x = cresset.ones(1, 2, 2)
    y = T.Normalize((0.5,), (0.5,))(x)
    assert x.tolist() == [[[1.0, 1.0], [1.0, 1.0]]] == y.tolist()
    y = T.Normalize((3.0,), (0.5,), inplace=True)(x)
    assert y is x
    assert x.tolist() == [[[-4.0, -4.0], [-4.0, -4.0]]]


@pytest.mark.parametrize("source", ["uint8", "int16", "int32", "float32", "float64"])
@pytest.mark.parametrize(
    "target", ["uint8", "int8", "int16", "int32", "int64", "float32", "float64"]
)
def test_converting_image_dtypes_is_torchvisions(source: str, target: str) -> None:
    values = planes(source, (1, 4, 5))
    ours, theirs = cresset.from_numpy(values), torch.from_numpy(values)
    try:
        want = R.ConvertImageDtype(getattr(torch, target))(theirs)
    except RuntimeError as error:
        with pytest.raises(RuntimeError, match="cannot be performed safely") as raised:
            T.ConvertImageDtype(getattr(cresset, target))(ours)
        assert str(raised.value) == str(error)
    else:
        assert_same(T.ConvertImageDtype(getattr(cresset, target))(ours), want)


@pytest.mark.parametrize("shape", [(4, 5), (1, 4, 5), (2, 4, 5), (3, 4, 5), (4, 4, 5)])
@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64", "int16", "int32"])
def test_to_pil_image_is_torchvisions(shape: Any, dtype: str) -> None:
    array = planes(dtype, shape)
    try:
        want = R.ToPILImage()(torch.from_numpy(array))
    except TypeError as error:
        with pytest.raises(TypeError) as raised:
            T.ToPILImage()(cresset.from_numpy(array))
        assert str(raised.value) == str(error)
    else:
        assert_same(T.ToPILImage()(cresset.from_numpy(array)), want)


@pytest.mark.parametrize("mode", ["YCbCr", "HSV", "RGB"])
def test_to_pil_image_takes_the_numbers_in_the_mode_that_is_asked_for(mode: str) -> None:
    array = planes("uint8")
    got = T.ToPILImage(mode)(cresset.from_numpy(array))
    assert_same(got, R.ToPILImage(mode)(torch.from_numpy(array)))


def test_an_image_survives_the_way_to_a_tensor_and_back() -> None:
    for mode in MODES:
        assert_same(T.ToPILImage()(T.ToTensor()(picture(mode))), picture(mode))


@pytest.mark.parametrize(
    "make",
    [
        lambda L: L.RandomErasing(1.0),
        lambda L: L.RandomErasing(0.7, (0.1, 0.4), (0.5, 2), value=(1, 2, 3)),
        lambda L: L.RandomErasing(1.0, value="random"),
    ],
)
def test_random_erasing_is_torchvisions(make: Any) -> None:
    array = planes(shape=(3, 20, 21))
    for seed in range(8):
        seed_all(seed)
        got, want = make(T)(cresset.from_numpy(array)), make(R)(torch.from_numpy(array))
        np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-6, atol=1e-7)
        assert ((got.numpy() == array) == (want.numpy() == array)).all()


@pytest.mark.parametrize("name", ["adjust_brightness", "adjust_contrast", "adjust_saturation"])
@pytest.mark.parametrize("factor", [0.0, 0.4, 1.0, 2.5])
def test_adjusting_a_tensors_colours_is_torchvisions(name: str, factor: float) -> None:
    array = planes()
    got = getattr(T.functional, name)(cresset.from_numpy(array), factor)
    want = getattr(R.functional, name)(torch.from_numpy(array), factor)
    np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-6, atol=1e-6)


def test_grey_of_a_tensor_is_torchvisions() -> None:
    for channels in (1, 3):
        array = planes()
        got = T.Grayscale(channels)(cresset.from_numpy(array))
        want = R.Grayscale(channels)(torch.from_numpy(array))
        np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-6, atol=1e-7)
    assert_same(
        T.functional.invert(cresset.from_numpy(planes("uint8"))),
        R.functional.invert(torch.from_numpy(planes("uint8"))),
    )


def test_linear_transformation_is_torchvisions() -> None:
    matrix, mean, x = planes(shape=(12, 12)), planes(shape=(12,)), planes(shape=(3, 2, 2))
    ours = T.LinearTransformation(cresset.from_numpy(matrix), cresset.from_numpy(mean))
    theirs = R.LinearTransformation(torch.from_numpy(matrix), torch.from_numpy(mean))
    got, want = ours(cresset.from_numpy(x)), theirs(torch.from_numpy(x))
    np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-5)


@pytest.mark.parametrize("box", [(-3, -2, 6, 7), (9, 12, 10, 10), (-5, 3, 30, 4), (2, 3, 4, 5)])
def test_cropping_over_the_edge_fills_with_zeros(box: Any) -> None:
    array = planes()
    got = T.functional.crop(cresset.from_numpy(array), *box)
    assert_same(got, R.functional.crop(torch.from_numpy(array), *box))
    assert_same(T.functional.crop(picture(), *box), R.functional.crop(picture(), *box))


REPR_ONLY = [
    lambda L: L.ToTensor(), lambda L: L.PILToTensor(), lambda L: L.ToPILImage(),
    lambda L: L.ToPILImage("RGB"), lambda L: L.Normalize((0.5,), [0.25]), lambda L: L.Lambda(abs),
    lambda L: L.ConvertImageDtype(None), lambda L: L.RandomErasing(),
    lambda L: L.RandomRotation(5, center=(1, 2)), lambda L: L.RandomChoice([L.ToTensor()], [1.0]),
]  # fmt: skip


@pytest.mark.parametrize("make", REPR_ONLY + IMAGE_TRANSFORMS + PIL_TRANSFORMS + COLOUR_TRANSFORMS)
def test_transforms_print_as_torchvisions(make: Any) -> None:
    assert repr(make(T)) == repr(make(R))


ERRORS = [
    lambda L: L.ToTensor()("a"), lambda L: L.ToTensor()(np.zeros(3)), lambda L: L.PILToTensor()(1),
    lambda L: L.ToPILImage()("a"), lambda L: L.ToPILImage()(np.zeros((2, 2, 5), np.uint8)),
    lambda L: L.ToPILImage("RGB")(np.zeros((2, 2, 4), np.uint8)),
    lambda L: L.ToPILImage("RGB")(np.zeros((2, 2), np.uint8)),
    lambda L: L.ToPILImage("L")(np.zeros((2, 2, 2), np.uint8)),
    lambda L: L.ToPILImage()(np.zeros((2,), np.uint8)),
    lambda L: L.Resize(2.5), lambda L: L.Resize((1, 2, 3)), lambda L: L.Resize({1}),
    lambda L: L.Resize(8, max_size=8)(picture()), lambda L: L.Resize((8, 9), max_size=9)(picture()),
    lambda L: L.Resize(8)(3), lambda L: L.functional.resize(picture(), 8, "bilinear"),
    lambda L: L.CenterCrop((1, 2, 3)), lambda L: L.Pad("a"), lambda L: L.Pad(1, "a"),
    lambda L: L.Pad((1, 2, 3)), lambda L: L.Pad(1, padding_mode="wrap"),
    lambda L: L.Pad(1, (1, 2))(picture()), lambda L: L.RandomCrop(20)(picture()),
    lambda L: L.RandomCrop((1, 2, 3)), lambda L: L.FiveCrop(20)(picture()),
    lambda L: L.functional.hflip(3), lambda L: L.functional.crop(3, 1, 1, 1, 1),
    lambda L: L.functional.to_grayscale(picture(), 2), lambda L: L.functional.to_grayscale(1),
    lambda L: L.RandomResizedCrop(3, scale=1), lambda L: L.RandomResizedCrop(3, ratio=1),
    lambda L: L.Lambda(3), lambda L: L.RandomChoice(3), lambda L: L.RandomChoice([], 3),
    lambda L: L.RandomOrder(3), lambda L: L.RandomRotation(-3), lambda L: L.RandomRotation((1,)),
    lambda L: L.RandomRotation(1, center=3), lambda L: L.RandomRotation(1, fill={}),
    lambda L: L.RandomAffine(1, translate=(2, 0)), lambda L: L.RandomAffine(1, scale=(0, 1)),
    lambda L: L.RandomAffine(1, shear=(1, 2, 3)), lambda L: L.ColorJitter(-1),
    lambda L: L.ColorJitter("a"), lambda L: L.ColorJitter(hue=0.6),
    lambda L: L.ColorJitter(contrast=(2, 1)), lambda L: L.RandomErasing(2),
    lambda L: L.RandomErasing(value="a"), lambda L: L.RandomErasing(scale=(0, 2)),
    lambda L: L.functional.adjust_hue(picture(), 0.7),
    lambda L: L.functional.erase(1, 1, 1, 1, 1, 1),
    lambda L: L.functional.normalize(picture(), [1], [1]),
    lambda L: L.functional.rotate(picture(), "a"),
    lambda L: L.functional.convert_image_dtype(1), lambda L: L.functional.get_dimensions(1),
    lambda L: L.functional.affine(picture(), 0, (1, 2), 0, 0),
    lambda L: L.functional.affine(picture(), 0, (1,), 1, 0),
]  # fmt: skip


@pytest.mark.parametrize("provoke", ERRORS)
def test_errors_are_torchvisions(provoke: Any) -> None:
    with pytest.raises(Exception) as theirs:  # noqa: PT011
        provoke(R)
    with pytest.raises(type(theirs.value)) as ours:
        provoke(T)
    assert str(ours.value) == str(theirs.value)


@pytest.mark.parametrize(
    "provoke",
    [
        lambda M, L: L.Normalize([1.0], [0.0])(M.zeros(1, 2, 2)),
        lambda M, L: L.Normalize([1.0], [1e-60])(M.zeros(1, 2, 2)),
        lambda M, L: L.Normalize([1.0], [1.0])(M.zeros(2, 2)),
        lambda M, L: L.Normalize([1.0], [1.0])(M.zeros(1, 2, 2, dtype=M.uint8)),
        lambda M, L: L.functional.get_dimensions(M.zeros(2)),
        lambda M, L: L.functional.adjust_contrast(M.zeros(2, 2, 2), 1.0),
        lambda M, L: L.functional.adjust_contrast(M.zeros(1, 2, 2), -1.0),
        lambda M, L: L.functional.rgb_to_grayscale(M.zeros(2, 2)),
        lambda M, L: L.Pad(1, (1, 2))(M.zeros(1, 2, 2)),
        lambda M, L: L.RandomErasing(1, value=(1, 2))(M.zeros(3, 2, 2)),
        lambda M, L: L.LinearTransformation(M.zeros(2, 3), M.zeros(2)),
        lambda M, L: L.LinearTransformation(M.zeros(2, 2), M.zeros(3)),
    ],
)
def test_errors_about_tensors_are_torchvisions(provoke: Any) -> None:
    with pytest.raises(Exception) as theirs:  # noqa: PT011
        provoke(torch, R)
    with pytest.raises(type(theirs.value)) as ours:
        provoke(cresset, T)
    assert str(ours.value) == str(theirs.value)


def test_resize_without_antialias_warns_about_images_as_torchvision() -> None:
    with warnings.catch_warnings(record=True) as theirs:
        warnings.simplefilter("always")
        R.Resize(5, antialias=False)(picture())
    with warnings.catch_warnings(record=True) as ours:
        warnings.simplefilter("always")
        T.Resize(5, antialias=False)(picture())
    assert [str(w.message) for w in ours] == [str(w.message) for w in theirs]
    assert len(ours) == 1


def test_normalize_may_be_used_in_inference_mode_first() -> None:
    normalize = T.Normalize((0.123,), (0.456,))
    with cresset.inference_mode():
        normalize(cresset.ones(1, 2, 2))
    x = cresset.ones(1, 2, 2, requires_grad=True)
    normalize(x).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.full((1, 2, 2), 1 / 0.456), rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
@pytest.mark.parametrize(
    "function",
    [
        lambda F, x: F.hflip(x),
        lambda F, x: F.vflip(x),
        lambda F, x: F.pad(x, [1, 2, 3, 4]),
        lambda F, x: F.pad(x, 2, fill=1),
        lambda F, x: F.pad(x, [-1, 2]),
        lambda F, x: F.erase(x, 1, 2, 3, 4, x[:, 5:8, 5:9]),
        lambda F, x: F.erase(x, 1, 2, 3, 4, x[:, :1, :1]),
    ],
)
def test_values_at_hand_and_values_to_come_give_the_same(function: Any, dtype: Any) -> None:
    at_hand = cresset.from_numpy(planes(dtype))
    expected = function(R.functional, torch.from_numpy(planes(dtype)))
    for x in (at_hand, at_hand * 1, at_hand.transpose(1, 2).contiguous().transpose(1, 2)):
        assert_same(function(T.functional, x), expected)
    ours = function(T.functional, at_hand[:, 2:, 1:-2])
    theirs = function(R.functional, torch.from_numpy(planes(dtype))[:, 2:, 1:-2])
    assert_same(ours, theirs)
    assert ours.stride() == theirs.stride()


def test_normalize_gives_the_same_at_hand_and_later_and_never_more_channels() -> None:
    x = cresset.from_numpy(planes())
    expected = R.functional.normalize(torch.from_numpy(planes()), [0.1, 0.2, 0.3], [0.4])
    for image in (x, x * 1):
        assert_same(T.functional.normalize(image, [0.1, 0.2, 0.3], [0.4]), expected)
    for lib, F in ((cresset, T.functional), (torch, R.functional)):
        with pytest.raises(RuntimeError, match="doesn't match the broadcast shape"):
            F.normalize(lib.ones(1, 4, 4), [0.5] * 3, [0.5] * 3)


def test_an_image_becomes_a_contiguous_tensor() -> None:
    for lib in (T, R):
        assert lib.ToTensor()(picture()).is_contiguous()
