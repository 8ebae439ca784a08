"""The same seed gives torchvision's weights, and the same weights give its outputs.

Each family runs once on small images, as a model of few channels where its class allows it. Norms
get statistics and weights unlike 0 and 1, so that each of them counts; the state goes from PyTorch
to Cresset through a checkpoint file.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from oracle import load_torchvision

import cresset
from cresset.vision import models

torch, torchvision = load_torchvision()

UNDRAWN = {"transform_input": True, "init_weights": False}


def efficientnet(m: Any) -> Any:
    plain, fused = m.efficientnet.MBConvConfig, m.efficientnet.FusedMBConvConfig
    stages = [plain(1, 3, 1, 8, 8, 1), plain(6, 5, 2, 8, 16, 2), fused(4, 3, 2, 16, 24, 2)]
    return m.EfficientNet([*stages, fused(1, 3, 1, 24, 24, 1)], 0.2, num_classes=7)


def convnext(m: Any) -> Any:
    stage = m.convnext.CNBlockConfig
    return m.ConvNeXt([stage(8, 16, 2), stage(16, None, 2)], 0.1, layer_scale=1.0, num_classes=7)


#: family, how to make it of either package, pixels each way
FORWARD: list[tuple[str, Callable[[Any], Any], int]] = [
    ("squeezenet1_0", lambda m: m.squeezenet1_0(num_classes=7), 40),
    ("squeezenet1_1", lambda m: m.squeezenet1_1(num_classes=7), 40),
    ("basic", lambda m: m.ResNet(m.resnet.BasicBlock, [1, 2, 1, 1], 7), 40),
    ("bottleneck", lambda m: m.ResNet(m.resnet.Bottleneck, [1, 1, 1, 1], 7), 40),
    ("resnext", lambda m: m.ResNet(
        m.resnet.Bottleneck, [1, 1, 2, 1], 7, groups=8, width_per_group=4,
        replace_stride_with_dilation=[False, True, True],
    ), 40),
    ("densenet", lambda m: m.DenseNet(8, (2, 3, 2), 16, num_classes=7), 40),
    ("googlenet", lambda m: m.GoogLeNet(7, **UNDRAWN), 40),
    ("inception", lambda m: m.Inception3(7, **UNDRAWN), 80),
    ("mobilenet_v2", lambda m: m.mobilenet_v2(num_classes=7, width_mult=0.35), 40),
    ("mobilenet_v3", lambda m: m.mobilenet_v3_small(num_classes=7, width_mult=0.5), 40),
    ("mobilenet_v3_dilated", lambda m: m.mobilenet_v3_small(
        num_classes=7, width_mult=0.5, reduced_tail=True, dilated=True,
    ), 40),
    ("shufflenet", lambda m: m.ShuffleNetV2([1, 2, 1], [8, 16, 32, 64, 64], 7), 40),
    ("mnasnet", lambda m: m.MNASNet(0.35, 7), 40),
    ("efficientnet", efficientnet, 40),
    ("convnext", convnext, 32),
]  # fmt: skip


def images(count: int, size: int) -> np.ndarray:
    draw = np.random.default_rng(0)
    return draw.standard_normal((count, 3, size, size)).astype(np.float32)


def through_a_file(state: Any) -> Any:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return cresset.load(file)


def make_norms_count(model: Any) -> None:
    for m in model.modules():
        if isinstance(m, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(m.weight, 0.5, 1.5)
            torch.nn.init.normal_(m.bias, std=0.2)
            m.running_mean.normal_(std=0.2)
            m.running_var.uniform_(0.5, 1.5)


def agree(theirs: Any, ours: Any, x: np.ndarray) -> None:
    with torch.no_grad():
        expected = theirs.eval()(torch.from_numpy(x)).numpy()
    with cresset.no_grad():
        found = ours.eval()(cresset.from_numpy(x)).numpy()
    scale = np.abs(expected).max()
    assert scale > 0
    np.testing.assert_allclose(found / scale, expected / scale, atol=1e-5)


@pytest.mark.usefixtures("without_draws")
@pytest.mark.parametrize(("name", "make", "size"), FORWARD, ids=[row[0] for row in FORWARD])
def test_the_same_weights_give_the_same_outputs(
    name: str, make: Callable[[Any], Any], size: int
) -> None:
    torch.manual_seed(0)
    theirs, ours = make(torchvision.models), make(models)
    make_norms_count(theirs)
    ours.load_state_dict(through_a_file(theirs.state_dict()))
    agree(theirs, ours, images(2, size))


@pytest.mark.usefixtures("without_draws")
@pytest.mark.parametrize("name", ["alexnet", "vgg11", "vgg13_bn"])
def test_the_same_convolutions_give_the_same_outputs(name: str) -> None:
    """Of the models with 100 million weights after them, which one linear layer replaces."""
    torch.manual_seed(0)
    with torch.device("meta"):
        theirs = torchvision.models.get_model(name)
    ours = models.get_model(name)
    width = theirs.classifier[1 if name == "alexnet" else 0].in_features
    theirs.classifier, ours.classifier = torch.nn.Linear(width, 7), cresset.nn.Linear(width, 7)
    theirs.to_empty(device="cpu")
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
    make_norms_count(theirs)
    ours.load_state_dict(through_a_file(theirs.state_dict()))
    agree(theirs, ours, images(2, 63 if name == "alexnet" else 32))


@pytest.mark.usefixtures("without_draws")
def test_checkpoints_of_the_old_format_keep_the_versions_of_modules() -> None:
    """Published files of before 2020 are of that format; MNASNet refuses one without a version."""
    theirs = torchvision.models.mnasnet0_5(num_classes=2)
    file = io.BytesIO()
    torch.save(theirs.state_dict(), file, _use_new_zipfile_serialization=False)
    file.seek(0)
    ours = models.mnasnet0_5(num_classes=2)
    ours.load_state_dict(cresset.load(file))
    found, expected = (m.state_dict()["classifier.1.weight"].numpy() for m in (ours, theirs))
    assert np.array_equal(found, expected)
    back = io.BytesIO()
    cresset.save(ours.state_dict(), back)
    back.seek(0)
    theirs.load_state_dict(torch.load(back))


@pytest.mark.usefixtures("small_linear")
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("alexnet", {}),
        ("vgg11", {}),
        ("vgg13_bn", {}),
        ("resnet18", {}),
        ("resnet18", {"zero_init_residual": True}),
        ("squeezenet1_0", {}),
        ("densenet121", {}),
        ("googlenet", {"init_weights": True, "aux_logits": False}),
        ("mobilenet_v2", {"width_mult": 0.35}),
        ("mobilenet_v3_small", {"reduced_tail": True, "dilated": True}),
        ("shufflenet_v2_x0_5", {}),
        ("mnasnet0_5", {}),
        ("efficientnet_b0", {}),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value) or None,
)
def test_the_same_seed_gives_the_same_weights(name: str, options: dict) -> None:
    torch.manual_seed(1)
    cresset.manual_seed(1)
    theirs = torchvision.models.get_model(name, **options).state_dict()
    ours = models.get_model(name, **options).state_dict()
    assert list(ours) == list(theirs)
    differing = [k for k in theirs if not np.array_equal(ours[k].numpy(), theirs[k].numpy())]
    assert differing == []


def test_fresh_transformers_are_torchvisions() -> None:
    size = {"image_size": 32, "patch_size": 8, "num_layers": 2, "num_heads": 2, "hidden_dim": 16}
    stem = "conv_stem_configs"
    for extra in ({}, {"representation_size": 8}, {stem: [(8, 3, 2), (16, 3, 4)]}):
        theirs_extra, ours_extra = dict(extra), dict(extra)
        if stem in extra:
            theirs_config = torchvision.models.vision_transformer.ConvStemConfig
            theirs_extra[stem] = [theirs_config(*row) for row in extra[stem]]
            ours_extra[stem] = [
                models.vision_transformer.ConvStemConfig(*row) for row in extra[stem]
            ]
        torch.manual_seed(1)
        cresset.manual_seed(1)
        theirs = torchvision.models.VisionTransformer(**size, mlp_dim=32, **theirs_extra)
        ours = models.VisionTransformer(**size, mlp_dim=32, **ours_extra)
        assert repr(ours) == repr(theirs)
        for name, value in theirs.state_dict().items():
            assert np.array_equal(ours.state_dict()[name].numpy(), value.numpy()), name
        x = images(2, 32)
        expected = theirs(torch.from_numpy(x)).detach().numpy()
        found = ours(cresset.from_numpy(x)).detach().numpy()
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_positions_are_stretched_as_torchvision_does() -> None:
    stretch = torchvision.models.vision_transformer.interpolate_embeddings
    positions = images(1, 5)[:, :1, :, :4].reshape(1, 5, 4)
    for reset in (False, True):
        state = {"encoder.pos_embedding": positions, "heads.head.bias": positions}
        theirs = stretch(
            32, 8, {k: torch.from_numpy(v) for k, v in state.items()}, reset_heads=reset
        )
        ours = models.vision_transformer.interpolate_embeddings(
            32, 8, {k: cresset.from_numpy(v) for k, v in state.items()}, reset_heads=reset
        )
        assert list(ours) == list(theirs)
        for name, value in theirs.items():
            np.testing.assert_allclose(ours[name].numpy(), value.numpy(), atol=1e-5)
