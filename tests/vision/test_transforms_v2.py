"""The second interface of transforms, against torchvision at equal seeds."""

from __future__ import annotations

import warnings
from collections import OrderedDict, namedtuple
from typing import Any

import numpy as np
import pytest
from transform_cases import (
    IMAGES,
    assert_alike,
    check,
    check_error,
    check_repr,
    picture,
    planes,
    submodule,
    theirs,
)

import cresset
from cresset.vision.transforms import v2
from cresset.vision.transforms.v2.tree import leaves

GEOMETRY = [
    lambda L: L.RandomHorizontalFlip(), lambda L: L.RandomVerticalFlip(0.3),
    lambda L: L.Resize(10), lambda L: L.Resize((9, 40), "bicubic"), 
    lambda L: L.Resize(None, max_size=40), lambda L: L.Resize([12], "nearest"),
    lambda L: L.Resize(9, "lanczos"), lambda L: L.Resize((12, 15), antialias=False),
    lambda L: L.CenterCrop(9), lambda L: L.CenterCrop((40, 10)), lambda L: L.RandomResizedCrop(12),
    lambda L: L.RandomResizedCrop((9, 4), (0.5, 1), (0.5, 2.0), "nearest"),
    lambda L: L.FiveCrop(9), lambda L: L.TenCrop(9, True), lambda L: L.FiveCrop(50),
    lambda L: L.Pad(2), lambda L: L.Pad([1, 2, 3, 4], fill=[3.0]),
    lambda L: L.Pad((1, 2), padding_mode="edge"), lambda L: L.Pad(3, padding_mode="reflect"),
    lambda L: L.RandomZoomOut(fill=3), lambda L: L.RandomCrop(9),
    lambda L: L.RandomCrop(20, padding=4), lambda L: L.RandomCrop((23, 9)),
    lambda L: L.RandomCrop(40, padding=(1, 2), pad_if_needed=True, fill=3),
    lambda L: L.RandomCrop(50), lambda L: L.RandomCrop(50, 2),
    lambda L: L.ScaleJitter((30, 40)), lambda L: L.RandomShortestSize([10, 12, 14], max_size=18),
    lambda L: L.RandomResize(8, 20), lambda L: L.RandomRotation(40),
    lambda L: L.RandomRotation((0, 90), "bilinear", True, fill=9),
    lambda L: L.RandomAffine(30, (0.2, 0.3), (0.5, 2.0), (-10, 10, -20, 20)),
    lambda L: L.RandomAffine(30, None, None, 10, "bilinear", fill=5, center=(4, 9)),
    lambda L: L.RandomPerspective(p=1.0), lambda L: L.RandomPerspective(0.8, 0.7, 0, fill=7),
    lambda L: L.ElasticTransform([80, 30], [2.0, 0.0], "nearest", 3),
]  # fmt: skip
COLOUR = [
    lambda L: L.Grayscale(), lambda L: L.RandomGrayscale(0.5), lambda L: L.RGB(),
    lambda L: L.ColorJitter(0.5, 0.5, 0.5, 0.3),
    lambda L: L.ColorJitter(brightness=2.5, hue=(-0.1, 0.4)),
    lambda L: L.RandomChannelPermutation(), lambda L: L.RandomPhotometricDistort(p=0.7),
    lambda L: L.RandomEqualize(), lambda L: L.RandomInvert(), lambda L: L.RandomPosterize(3),
    lambda L: L.RandomSolarize(0.4), lambda L: L.RandomAutocontrast(),
    lambda L: L.RandomAdjustSharpness(2.0), lambda L: L.GaussianBlur(5),
    lambda L: L.GaussianNoise(), lambda L: L.GaussianNoise(0.1, 0.3, False),
    lambda L: L.RandomErasing(0.8), lambda L: L.RandomErasing(1.0, value=[3.0]),
    lambda L: L.RandomErasing(1.0, value="random"),
]  # fmt: skip
AUGMENT = [
    lambda L: L.AutoAugment(), lambda L: L.AutoAugment(L.AutoAugmentPolicy.CIFAR10, fill=3),
    lambda L: L.AutoAugment(L.AutoAugmentPolicy.SVHN, "bilinear"), lambda L: L.RandAugment(),
    lambda L: L.RandAugment(4, 20, fill=[1.0]), lambda L: L.TrivialAugmentWide(),
    lambda L: L.AugMix(), lambda L: L.AugMix(7, 2, 2, 0.5, False, fill=4),
]  # fmt: skip
OTHERS = [
    lambda L: L.Compose([L.RandomCrop(9), L.RandomHorizontalFlip(), L.Pad(1)]),
    lambda L: L.RandomApply([L.CenterCrop(5), L.Pad(1)], 0.4),
    lambda L: L.RandomChoice([L.CenterCrop(5), L.Pad(1)], [0.3, 0.7]),
    lambda L: L.RandomOrder([L.CenterCrop(5), L.Pad(1), L.CenterCrop(7)]),
    lambda L: L.ToPILImage(), lambda L: L.PILToTensor(), lambda L: L.ToTensor(),
    lambda L: L.ToPureTensor(), lambda L: L.Identity(), lambda L: L.Lambda(abs),
    lambda L: L.Normalize([0.5] * 3, [0.2, 0.3, 0.4]), lambda L: L.UniformTemporalSubsample(1),
]  # fmt: skip
CASES = GEOMETRY + COLOUR + AUGMENT + OTHERS


@pytest.mark.parametrize("image", ["picture", "grey picture", "batch of bytes", "floats"])
@pytest.mark.parametrize("make", CASES)
def test_equal_seeds_give_torchvisions_pixels(make: Any, image: str) -> None:
    check(make, IMAGES[image], seeds=2, path="v2")


@pytest.mark.parametrize("make", CASES)
def test_they_print_as_torchvisions(make: Any) -> None:
    check_repr(make, path="v2")


ERRORS = [
    lambda M, L: L.RandomHorizontalFlip(2), lambda M, L: L.Resize((1, 2, 3)),
    lambda M, L: L.Resize(None), lambda M, L: L.Resize(5, "cubic")(picture()),
    lambda M, L: L.Resize((5, 6), max_size=9)(picture()), lambda M, L: L.CenterCrop((1, 2, 3)),
    lambda M, L: L.RandomResizedCrop(5, scale=1), lambda M, L: L.RandomResizedCrop(5, ratio=(1,)),
    lambda M, L: L.Pad("a"), lambda M, L: L.Pad((1, 2, 3)), lambda M, L: L.Pad(1, fill="a"),
    lambda M, L: L.Pad(1, padding_mode="wrap"), lambda M, L: L.RandomZoomOut(side_range=(0, 2)),
    lambda M, L: L.RandomRotation(-1), lambda M, L: L.RandomAffine(1, translate=(2, 0)),
    lambda M, L: L.RandomPerspective(2), lambda M, L: L.ElasticTransform("a"),
    lambda M, L: L.ElasticTransform([1, 2, 3]), lambda M, L: L.ElasticTransform(1, {}),
    lambda M, L: L.ColorJitter(-1), lambda M, L: L.ColorJitter((1, 2, 3)),
    lambda M, L: L.ColorJitter(hue=0.7), lambda M, L: L.GaussianBlur(4),
    lambda M, L: L.GaussianBlur(3, (2, 1)), lambda M, L: L.GaussianBlur(3, ["a"]),
    lambda M, L: L.RandomErasing(value="a"), lambda M, L: L.RandomErasing(scale=1),
    lambda M, L: L.RandomErasing(1.0, value=(1, 2))(M.zeros(3, 9, 9)),
    lambda M, L: L.Compose(3), lambda M, L: L.Compose([]), lambda M, L: L.RandomApply(3),
    lambda M, L: L.RandomApply([L.RGB()], 2), lambda M, L: L.RandomChoice([L.RGB()], [1, 2]),
    lambda M, L: L.RandomOrder([]), lambda M, L: L.ToDtype(3), lambda M, L: L.AugMix(11),
    lambda M, L: L.RandAugment(-1),
    lambda M, L: L.RandAugment()("a"), lambda M, L: L.AutoAugment()([picture(), picture()]),
    lambda M, L: L.RandomCrop(3)("a"), lambda M, L: L.RandomGrayscale(1.0)("a"),
    lambda M, L: L.RandomCrop(3)([picture(), picture("RGB", 5, 6)]),
    lambda M, L: L.Normalize([1.0], [1.0])(picture()),
    lambda M, L: L.LinearTransformation(M.eye(2), M.zeros(2))(picture()),
    lambda M, L: L.LinearTransformation(M.eye(2), M.zeros(2))(M.zeros(1, 3, 3)),
    lambda M, L: L.JPEG(0), lambda M, L: L.JPEG(True), lambda M, L: L.JPEG((1, 2, 3)),
    lambda M, L: L.CutMix()((M.zeros(2, 3, 4, 4), M.tensor([0, 1]))),
    lambda M, L: L.CutMix()(picture(), M.tensor([0, 1])),
    lambda M, L: L.MixUp(num_classes=2)((M.zeros(2, 3, 4, 4), M.tensor(0))),
    lambda M, L: L.MixUp(num_classes=2)((M.zeros(2, 3, 4, 4), M.zeros(2, 3))),
    lambda M, L: L.MixUp(num_classes=2)((M.zeros(3, 4, 4), M.tensor([0, 1]))),
    lambda M, L: L.MixUp(num_classes=2)((M.zeros(3, 3, 4, 4), M.tensor([0, 1]))),
    lambda M, L: L.MixUp(num_classes=2)({"a": M.zeros(3, 3, 4, 4)}),
    lambda M, L: L.MixUp(labels_getter=3), lambda M, L: L.Transform()(picture()),
]  # fmt: skip


@pytest.mark.parametrize("provoke", ERRORS)
def test_errors_are_torchvisions(provoke: Any) -> None:
    check_error(provoke, path="v2")


@pytest.mark.parametrize("name", ["CutMix", "MixUp"])
@pytest.mark.parametrize("alpha", [1.0, 0.3])
def test_batches_are_mixed_as_torchvisions(name: str, alpha: float) -> None:
    torch, R = theirs()
    images, classes = planes("float32", 4), np.array([0, 2, 1, 2])
    likely = np.eye(3, dtype=np.float32)[classes]
    for labels, count in ((classes, 3), (likely, None)):
        for seed in range(5):
            results = []
            for library, framework in ((v2, cresset), (submodule(R, "v2"), torch)):
                framework.manual_seed(seed)
                mix = getattr(library, name)(alpha=alpha, num_classes=count)
                results.append(mix(framework.from_numpy(images), framework.from_numpy(labels)))
            assert_alike(*results, atol=1e-6)


Pair = namedtuple("Pair", "image label")
SAMPLES = [
    lambda M: (picture(), 3), lambda M: {"image": picture(), "label": M.tensor(3)},
    lambda M: (M.from_numpy(planes()), M.tensor([1.0, 2.0])), lambda M: [[picture()], [None, "a"]],
    lambda M: Pair(picture(), {"boxes": M.zeros(2, 4)}),
    lambda M: OrderedDict(a=M.zeros(1), b=picture()), lambda M: {"label": M.zeros(2), "x": 1},
]  # fmt: skip


@pytest.mark.parametrize("make_sample", SAMPLES)
def test_samples_keep_their_containers_and_labels(make_sample: Any) -> None:
    torch, R = theirs()
    results = []
    for library, framework in ((v2, cresset), (submodule(R, "v2"), torch)):
        framework.manual_seed(1)
        transform = library.Compose([library.Identity(), library.RandomInvert(1.0)])
        results.append(transform(make_sample(framework)))
    ours, oracle = results
    assert type(ours).__name__ == type(oracle).__name__
    flat, wanted = leaves(ours), leaves(oracle)
    assert len(flat) == len(wanted)
    for a, b in zip(flat, wanted):
        assert_alike(a, b, 0)


def test_an_empty_sample_is_passed_on() -> None:
    assert v2.RandomInvert(1.0)({}) == {}
    assert v2.RandomInvert(1.0)([]) == []


def test_two_arguments_give_two_results() -> None:
    image, label = v2.RandomInvert(1.0)(cresset.zeros(1, 2, 2), 5)
    assert image.tolist() == [[[1.0, 1.0], [1.0, 1.0]]]
    assert label == 5


def test_of_several_tensors_the_first_is_the_image() -> None:
    image, label = cresset.zeros(1, 1, 2), cresset.zeros(3)
    inverted = v2.RandomInvert(1.0)({"image": image, "label": label})
    assert inverted["image"].tolist() == [[[1.0, 1.0]]]
    assert inverted["label"] is label


def test_images_of_a_sample_share_their_random_numbers() -> None:
    cresset.manual_seed(0)
    first, second = v2.RandomCrop(5)([picture(), picture()])
    assert first.tobytes() == second.tobytes()


def test_a_cut_and_its_labels_agree() -> None:
    cresset.manual_seed(3)
    images = cresset.arange(2.0).reshape(2, 1, 1, 1).expand(2, 1, 10, 10)
    mixed, labels = v2.CutMix(num_classes=2)(images, cresset.tensor([0, 1]))
    assert mixed[0].mean().item() == pytest.approx(labels[0, 1].item())
    assert labels.sum(1).tolist() == pytest.approx([1.0, 1.0])


def test_mixed_labels_sum_to_one() -> None:
    cresset.manual_seed(0)
    images = cresset.tensor([0.0, 1.0]).reshape(2, 1, 1, 1)
    mixed, labels = v2.MixUp(num_classes=2)(images, cresset.tensor([0, 1]))
    assert mixed.flatten().tolist() == pytest.approx(labels[:, 1].tolist())
    assert labels.sum(1).tolist() == pytest.approx([1.0, 1.0])


def test_to_dtype_converts_by_type_or_not_at_all() -> None:
    image = cresset.tensor([[[0, 255]]], dtype=cresset.uint8)
    scaled = v2.ToDtype({cresset.Tensor: cresset.float32}, scale=True)
    assert scaled(image).tolist() == [[[0.0, 1.0]]]
    assert v2.ToDtype({"others": None})(image) is image
    with pytest.raises(ValueError, match="No dtype was specified for type"):
        v2.ToDtype({int: None})(image)
    with pytest.warns(UserWarning, match="no scaling will be done"):
        v2.ToDtype({"others": None}, scale=True)(image)


def test_the_usual_training_pipeline_gives_floats() -> None:
    torch, R = theirs()
    results = []
    for library, framework in ((v2, cresset), (submodule(R, "v2"), torch)):
        framework.manual_seed(7)
        pipeline = library.Compose([
            library.ToImage(), library.RandomResizedCrop(8), library.RandomHorizontalFlip(),
            library.ToDtype(framework.float32, scale=True),
            library.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ])  # fmt: skip
        results.append(pipeline(picture()).numpy())
    np.testing.assert_allclose(*results, rtol=1e-6, atol=1e-6)


def test_old_names_give_parameters_and_warn() -> None:
    cresset.manual_seed(0)
    assert v2.RandomCrop.get_params(picture(), (23, 31)) == (0, 0, 23, 31)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        v2.ToTensor()
    assert "`ToTensor()` is deprecated" in str(caught[0].message)


def test_jpeg_keeps_the_size_and_loses_detail() -> None:
    image = cresset.from_numpy(planes("uint8"))
    damaged = v2.JPEG(5)(image)
    assert damaged.shape == image.shape
    assert damaged.dtype == cresset.uint8
    assert not cresset.equal(damaged, image)
    assert v2.JPEG(5)(picture()).size == picture().size
