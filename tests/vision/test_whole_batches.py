"""Batches that are transformed at once are those that come image by image, to the bit and the draw.

The data sets here are made without files; what they read from files is tested elsewhere.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cresset
from cresset.data import DataLoader, Subset, default_collate
from cresset.nn.hooks import register_module_forward_hook
from cresset.vision import datasets
from cresset.vision import transforms as T
from cresset.vision.datasets import rows
from cresset.vision.transforms import v2

N = 30
RNG = np.random.default_rng(0)


def made(cls: type, data: Any, labels: Any, transform: Any, name: str = "targets") -> Any:
    """A data set of this class over arrays, without files."""
    dataset = object.__new__(cls)
    datasets.vision.VisionDataset.__init__(dataset, None, transform=transform)
    dataset.data = data
    setattr(dataset, name, labels)
    return dataset


PIXELS = RNG.integers(0, 256, (N, 3, 12, 10), dtype=np.uint8)
CLASSES = RNG.integers(0, 10, N)


def coloured(transform: Any, cls: type = datasets.CIFAR10) -> Any:
    return made(cls, PIXELS.transpose(0, 2, 3, 1), CLASSES.tolist(), transform)


def grey(transform: Any) -> Any:
    classes = cresset.from_numpy(CLASSES)
    return made(datasets.MNIST, cresset.from_numpy(PIXELS[:, 0].copy()), classes, transform)


SETS: dict[str, Callable[[Any], Any]] = {
    "CIFAR10": coloured,
    "CIFAR100, rows copied by the user": lambda t: made(
        datasets.CIFAR100, np.ascontiguousarray(PIXELS.transpose(0, 2, 3, 1)), CLASSES.tolist(), t
    ),
    "MNIST": grey,
    "FashionMNIST, small classes": lambda t: made(
        datasets.FashionMNIST, cresset.from_numpy(PIXELS[:, 1]), cresset.tensor(CLASSES).byte(), t
    ),
    "SVHN": lambda t: made(datasets.SVHN, PIXELS, CLASSES, t, "labels"),
    "STL10": lambda t: made(
        datasets.STL10, PIXELS.swapaxes(2, 3), CLASSES.astype(np.uint8), t, "labels"
    ),
    "USPS": lambda t: made(datasets.USPS, PIXELS[:, 2], CLASSES.tolist(), t),
    "Digits": lambda t: datasets.Digits(transform=t),
}

PIPELINES: dict[str, list[Any]] = {
    "numbers": [T.ToTensor()],
    "normalised": [T.ToTensor(), T.Normalize((0.5,), (0.25,))],
    "normalised in place": [T.ToTensor(), T.Normalize([0.1307], [0.3081], inplace=True)],
    "bytes": [T.PILToTensor()],
    "bytes to floats": [T.PILToTensor(), T.ConvertImageDtype(cresset.float32)],
    "no change of dtype": [T.ToTensor(), T.ConvertImageDtype(cresset.float32)],
    "the usual": [T.RandomCrop(8, padding=2), T.RandomHorizontalFlip(), T.ToTensor()],
    "nested": [T.Compose([T.RandomVerticalFlip(0.4), T.Compose([])]), T.ToTensor()],
    "crop of tensors": [T.ToTensor(), T.RandomCrop((5, 6), padding=(1, 2), fill=0.3)],
    "crop of bytes": [T.PILToTensor(), T.RandomCrop(5, padding=[1, 2, 3, 4], fill=7)],
    "flips of tensors": [T.ToTensor(), T.RandomHorizontalFlip(0.9), T.RandomVerticalFlip(0.1)],
    "centre": [T.CenterCrop(5), T.ToTensor()],
    "centre of a smaller image": [T.CenterCrop((15, 6)), T.RandomHorizontalFlip(), T.ToTensor()],
    "centre of a tensor": [T.ToTensor(), T.CenterCrop((3, 13)), T.Normalize((0.5,), (2,))],
    "pad": [T.Pad((3, 1), fill=200), T.ToTensor()],
    "pad by the edge": [T.Pad(2, padding_mode="edge"), T.ToTensor()],
    "pad by reflection": [T.Pad((1, 2, 3, 4), padding_mode="reflect"), T.ToTensor()],
    "crop of a symmetric pad": [
        T.RandomCrop(7, padding=3, padding_mode="symmetric"), T.ToTensor()
    ],
    "pad if needed": [T.RandomCrop((14, 13), pad_if_needed=True), T.ToTensor()],
    "nothing to choose": [T.Pad(1), T.CenterCrop(8), T.RandomCrop(8), T.ToTensor()],
    "never and always": [T.RandomHorizontalFlip(0.0), T.RandomVerticalFlip(1), T.ToTensor()],
}  # fmt: skip

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # ToTensor is deprecated there
    V2_TO_TENSOR = v2.ToTensor()

SECOND_INTERFACE: dict[str, list[Any]] = {
    "the new way": [
        v2.ToImage(), v2.RandomCrop(9, padding=1), v2.RandomHorizontalFlip(),
        v2.ToDtype(cresset.float32, scale=True), v2.Normalize([0.5], [0.25]),
    ],
    "the old way": [v2.RandomCrop((12, 5), padding=0), V2_TO_TENSOR, v2.Normalize((0.5,), (2,))],
    "one edge to choose along": [v2.RandomCrop((12, 5)), v2.ToImage()],
    "the other edge": [v2.ToImage(), v2.RandomCrop((3, 10)), v2.RandomVerticalFlip(0.8)],
    "both edges": [v2.RandomCrop(7, padding=(2, 3), padding_mode="reflect"), v2.PILToTensor()],
    "not scaled": [v2.PILToTensor(), v2.ToDtype(cresset.float32)],
    "no change of dtype": [v2.ToImage(), v2.ToDtype(cresset.uint8, scale=True)],
    "converted": [v2.ToImage(), v2.ConvertImageDtype(), v2.ConvertImageDtype(cresset.float32)],
    "pad and centre": [v2.Pad([1, 2], fill=9), v2.CenterCrop((5, 20)), V2_TO_TENSOR],
    "pad of tensors": [v2.ToImage(), v2.Pad(1, fill=None), v2.CenterCrop(5)],
    "pad if needed": [
        v2.RandomCrop((15, 9), pad_if_needed=True, fill=3), v2.RandomHorizontalFlip(), v2.ToImage()
    ],
    "both interfaces": [T.RandomCrop(9), v2.RandomHorizontalFlip(), T.ToTensor()],
}  # fmt: skip

INDICES = [3, 0, 29, 7, 7, 12, 1, 20]


def one_by_one(dataset: Any, indices: Any = INDICES) -> tuple[list[Any], float]:
    cresset.manual_seed(5)
    return default_collate([dataset[i] for i in indices]), cresset.rand(1).item()


def at_once(dataset: Any, indices: Any = INDICES) -> tuple[Any, float]:
    """The batch (None if it cannot be had), and the draw that follows it."""
    cresset.manual_seed(5)
    return dataset._whole_batch(indices), cresset.rand(1).item()


def assert_same(found: Any, expected: Any) -> None:
    assert found[0] is not None
    assert type(found[0]) is type(expected[0])
    for x, y in zip(found[0], expected[0], strict=True):
        assert (x.dtype, x.shape, x.stride()) == (y.dtype, y.shape, y.stride())
        assert x.numpy().tobytes() == y.numpy().tobytes()
    assert found[1] == expected[1]


@pytest.mark.parametrize("pipeline", PIPELINES)
@pytest.mark.parametrize("which", ["CIFAR10", "MNIST"])
def test_a_pipeline_gives_the_same_for_a_batch(which: str, pipeline: str) -> None:
    dataset = SETS[which](T.Compose(PIPELINES[pipeline]))
    assert_same(at_once(dataset), one_by_one(dataset))


@pytest.mark.parametrize("pipeline", SECOND_INTERFACE)
@pytest.mark.parametrize("which", ["CIFAR10", "MNIST"])
def test_so_does_one_of_the_second_interface(which: str, pipeline: str) -> None:
    dataset = SETS[which](v2.Compose(SECOND_INTERFACE[pipeline]))
    assert_same(at_once(dataset), one_by_one(dataset))


@pytest.mark.parametrize("which", SETS)
def test_a_data_set_gives_the_same_for_a_batch(which: str) -> None:
    steps = [T.RandomCrop(6, padding=1), T.RandomHorizontalFlip(), *PIPELINES["normalised"]]
    dataset = SETS[which](T.Compose(steps))
    assert_same(at_once(dataset), one_by_one(dataset))
    dataset.transform = T.ToTensor()  # not composed, and replaced later
    assert_same(at_once(dataset), one_by_one(dataset))
    assert_same(at_once(dataset, [2]), one_by_one(dataset, [2]))


def test_numbers_out_of_range_are_no_reason_to_warn() -> None:
    steps = [T.ToTensor(), T.Normalize((1e38, float("inf"), 0.0), (1e-3, 1.0, 1e-45))]
    dataset = coloured(T.Compose(steps))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_same(at_once(dataset), one_by_one(dataset))


STAGES = st.sampled_from([
    T.RandomCrop(4), T.RandomCrop(6, padding=3), T.RandomCrop((7, 5), padding=(1, 2)), T.Pad(1),
    T.CenterCrop(8), T.CenterCrop((5, 9)), T.RandomHorizontalFlip(), T.RandomVerticalFlip(0.7),
])  # fmt: skip


@settings(max_examples=60)
@given(st.lists(STAGES, max_size=4), st.lists(STAGES, max_size=3), st.integers(1, 9))
def test_any_mixture_of_stages_gives_the_same_or_is_left_alone(
    before: list[Any], after: list[Any], count: int
) -> None:
    dataset = coloured(T.Compose([*before, T.ToTensor(), *after, T.Normalize((0.4,), (0.3,))]))
    indices = list(range(count))
    found = at_once(dataset, indices)
    if found[0] is not None:
        assert_same(found, one_by_one(dataset, indices))
    else:  # a crop did not fit
        with pytest.raises(ValueError, match="is larger than input image size"):
            one_by_one(dataset, indices)


def test_the_numbers_are_these() -> None:
    batch, labels = datasets.Digits(transform=T.ToTensor())._whole_batch([0, 1])
    assert (batch.shape, labels.tolist()) == (cresset.Size([2, 1, 8, 8]), [0, 1])
    assert (batch[0, 0, 0] * 255).tolist() == [0, 0, 80, 207, 143, 16, 0, 0]
    cresset.manual_seed(0)
    flipped = grey(T.Compose([T.RandomHorizontalFlip(), T.PILToTensor()]))._whole_batch([0, 1])[0]
    assert (flipped[0, 0].numpy() == PIXELS[0, 0][:, ::-1]).all()  # 0.4963 is below one half,
    assert (flipped[1, 0].numpy() == PIXELS[1, 0]).all()  # 0.7682 is not


class Same:
    """A transform of a user's."""

    def __call__(self, x: Any) -> Any:
        return x


class Brighter(T.ToTensor):
    """A subclass that computes something else."""

    def __call__(self, pic: Any) -> Any:
        return super().__call__(pic) + 1


def hooked() -> Any:
    stage = T.Normalize((0.5,), (0.5,))
    stage.register_forward_hook(lambda module, args, output: output + 1)
    return stage


def overridden() -> Any:
    stage = T.RandomHorizontalFlip()
    stage.forward = lambda img: img
    return stage


@pytest.mark.parametrize(
    "steps",
    [
        [T.ToTensor(), Same()],
        [Brighter()],
        [T.ToTensor(), T.Lambda(lambda x: x * 2)],
        [T.Resize(5), T.ToTensor()],
        [T.RandomCrop(5), T.RandomRotation(3), T.ToTensor()],
        [T.RandomHorizontalFlip(), T.ToTensor(), hooked()],
        [overridden(), T.ToTensor()],
        [T.ToTensor(), T.ConvertImageDtype(cresset.float64)],
        [T.Pad(1, fill=(1, 2, 3)), T.ToTensor()],
        [T.ToTensor(), T.Normalize(cresset.tensor([0.5]), cresset.tensor([0.5]))],
        [T.ToTensor(), T.Normalize([[0.5]], [[0.5]])],
        [v2.Resize(5), v2.ToImage()],
        [v2.ToImage(), v2.ToDtype({cresset.Tensor: cresset.float32, "others": None})],
        [v2.ToDtype(cresset.float32), v2.ToImage()],  # images are passed on
    ],
)
def test_anything_else_goes_image_by_image_and_nothing_is_drawn(steps: list[Any]) -> None:
    dataset = coloured(T.Compose(steps))
    cresset.manual_seed(5)
    untouched = cresset.rand(1).item()
    assert at_once(dataset) == (None, untouched)
    cresset.manual_seed(5)
    found = next(iter(DataLoader(Subset(dataset, INDICES), len(INDICES))))
    cresset.manual_seed(5)
    cresset.empty((), dtype=cresset.int64).random_()  # the loader's own draw
    expected = default_collate([dataset[i] for i in INDICES])
    assert all(cresset.equal(x, y) for x, y in zip(found, expected, strict=True))


@pytest.mark.parametrize(
    ("steps", "error"),
    [
        ([T.RandomHorizontalFlip(), T.RandomCrop(11), T.ToTensor()], ValueError),
        ([T.RandomHorizontalFlip(), T.ToTensor(), T.Normalize((0.5,), (0.0,))], ValueError),
        ([T.RandomHorizontalFlip(), T.ToTensor(), T.Normalize((0.5,) * 4, (1.0,))], RuntimeError),
        ([T.ToTensor(), T.ToTensor()], TypeError),
        ([T.PILToTensor(), T.Normalize((0.5,), (0.5,))], TypeError),
        ([T.Normalize((0.5,), (0.5,)), T.ToTensor()], TypeError),
        ([T.RandomHorizontalFlip()], TypeError),
    ],
)
def test_errors_are_those_of_single_images(steps: list[Any], error: type) -> None:
    dataset = coloured(T.Compose(steps))
    assert dataset._whole_batch(INDICES) is None
    with pytest.raises(error):
        next(iter(DataLoader(dataset, 4)))


class Second(datasets.CIFAR10):
    """Only its own name."""


class Louder(datasets.CIFAR10):
    def __getitem__(self, index: int) -> Any:
        image, target = super().__getitem__(index)
        return image * 2, target


class Shifted(datasets.CIFAR10):
    def _transformed(self, image: Any, target: Any) -> Any:
        return super()._transformed(image, target + 1)


def test_a_subclass_keeps_it_unless_it_makes_samples_itself() -> None:
    assert coloured(T.ToTensor(), Second)._whole_batch([1]) is not None
    for cls in (Louder, Shifted):
        dataset = coloured(T.ToTensor(), cls)
        assert dataset._whole_batch([1]) is None
        (image, target), (plain, other) = dataset[1], coloured(T.ToTensor())[1]
        found = next(iter(DataLoader(Subset(dataset, [1]))))
        assert cresset.equal(found[0][0], image) and found[1].item() == target
        assert not cresset.equal(image, plain) or target != other


def test_what_was_replaced_in_a_class_or_a_module_counts(monkeypatch: Any) -> None:
    usual = [
        T.RandomCrop(5), T.RandomHorizontalFlip(), v2.CenterCrop(3), T.ToTensor(),
        T.Normalize((0.5,), (0.5,)),
    ]  # fmt: skip
    original = datasets.CIFAR10.__getitem__

    @functools.wraps(original)  # carries the function's attributes along
    def wrapper(self: Any, index: int) -> Any:
        return original(self, index)

    for place, name, patch in [
        (datasets.CIFAR10, "__getitem__", wrapper),
        (T.ToTensor, "__call__", lambda self, pic: 3),
        (T.RandomCrop, "get_params", staticmethod(lambda img, size: (0, 0, 5, 5))),
        (T.RandomHorizontalFlip, "forward", lambda self, img: img),
        (T.functional, "normalize", lambda *args: 3),
        (cresset.nn.Module, "__call__", lambda self, *args: args[0]),
        (v2.Transform, "_call_kernel", lambda self, function, inpt, **more: inpt),
        (v2.CenterCrop, "transform", lambda self, inpt, params: inpt),
    ]:
        dataset = coloured(T.Compose(usual))
        assert dataset._whole_batch([1]) is not None
        with monkeypatch.context() as patched:
            patched.setattr(place, name, patch)
            assert dataset._whole_batch([1]) is None
    assert coloured(T.Compose(usual))._whole_batch([1]) is not None


@pytest.mark.parametrize("indices", [[-1, 2], [2, N], [], [True, 1], [1.0], [slice(2)], [None]])
def test_other_indices_are_for_single_samples(indices: list[Any]) -> None:
    assert coloured(T.ToTensor())._whole_batch(indices) is None


def test_samples_that_are_not_bytes_or_int_classes_are_fetched_singly() -> None:
    for change in (
        {"transform": None},
        {"target_transform": float},
        {"targets": [1.5] * N},
        {"targets": CLASSES[:5].tolist()},
        {"data": PIXELS.transpose(0, 2, 3, 1).astype(np.int16)},
        {"data": PIXELS.transpose(0, 2, 3, 1)[..., :2]},
    ):
        dataset = coloured(T.ToTensor())
        vars(dataset).update(change)
        assert dataset._whole_batch(INDICES) is None
    assert rows.batch(datasets.FakeData(transform=T.ToTensor()), [1]) is None


def test_settings_of_the_process_are_for_single_samples() -> None:
    dataset = coloured(T.ToTensor())
    with cresset.inference_mode():
        assert dataset._whole_batch([1]) is None
    cresset.set_default_dtype(cresset.float64)
    assert dataset._whole_batch([1]) is None
    cresset.set_default_dtype(cresset.float32)
    assert dataset._whole_batch([1]) is not None


def test_a_hook_on_all_modules_is_called() -> None:
    dataset = coloured(T.Compose([T.ToTensor(), T.Normalize((0.5,), (0.5,))]))
    handle = register_module_forward_hook(lambda module, args, output: output * 0)
    try:
        assert next(iter(DataLoader(dataset, 4)))[0].abs().sum().item() == 0
    finally:
        handle.remove()
    assert dataset._whole_batch([1]) is not None, "the hook is gone"


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_gives_torchvisions_batches(workers: int) -> None:
    """The same crops in the same order, with workers too, and the same draw afterwards."""
    from oracle import load_torchvision

    torch, torchvision = load_torchvision()

    def epochs(lib: Any, transforms: Any, cls: Any) -> Any:
        steps = [
            transforms.RandomCrop(9, padding=2), transforms.RandomHorizontalFlip(),
            transforms.ToTensor(), transforms.Normalize((0.49, 0.48, 0.45), (0.25, 0.24, 0.26)),
        ]  # fmt: skip
        dataset = object.__new__(cls)
        dataset.transform, dataset.target_transform = transforms.Compose(steps), None
        dataset.data, dataset.targets = PIXELS.transpose(0, 2, 3, 1), CLASSES.tolist()
        lib.manual_seed(0)
        loader = lib.utils.data.DataLoader(dataset, 8, shuffle=True, num_workers=workers)
        batches = [(x.numpy().copy(), y.tolist()) for _ in range(2) for x, y in loader]
        return batches, lib.rand(1).item()

    ours = epochs(cresset, T, datasets.CIFAR10)
    theirs = epochs(torch, torchvision.transforms, torchvision.datasets.CIFAR10)
    assert ours[1] == theirs[1]
    for (x, y), (a, b) in zip(ours[0], theirs[0], strict=True):
        assert y == b
        assert x.tobytes() == a.tobytes()
