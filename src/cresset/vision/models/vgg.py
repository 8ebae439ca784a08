"""VGG: nothing but 3x3 convolutions, deeper and deeper.

Numbers are the outputs of 3x3 convolutions, M is a 2x2 max pool. After these come linear layers of
4096, 4096 and ``num_classes`` outputs. In the ``_bn`` models a batch norm follows each convolution.

| model | paper | features |
|---|---|---|
| vgg11 | A | 64 M 128 M 256 256 M 512 512 M 512 512 M |
| vgg13 | B | 64 64 M 128 128 M 256 256 M 512 512 M 512 512 M |
| vgg16 | D | 64 64 M 128 128 M 256 256 256 M 512 512 512 M 512 512 512 M |
| vgg19 | E | 64 64 M 128 128 M 256 256 256 256 M 512 512 512 512 M 512 512 512 512 M |

Source: Simonyan, Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition",
https://arxiv.org/abs/1409.1556, table 1
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from cresset import nn
from cresset.tensor import Tensor
from cresset.vision.models._api import WeightsEnum, imagenet
from cresset.vision.models._utils import builder, initialise, load_weights

__all__ = ["VGG", "VGG11_BN_Weights", "VGG11_Weights", "VGG13_BN_Weights", "VGG13_Weights",
           "VGG16_BN_Weights", "VGG16_Weights", "VGG19_BN_Weights", "VGG19_Weights", "vgg11",
           "vgg11_bn", "vgg13", "vgg13_bn", "vgg16", "vgg16_bn", "vgg19",
           "vgg19_bn"]  # fmt: skip

cfgs: dict[str, list[int | str]] = {
    name: [int(item) if item != "M" else item for item in line.split()]
    for name, line in {
        "A": "64 M 128 M 256 256 M 512 512 M 512 512 M",
        "B": "64 64 M 128 128 M 256 256 M 512 512 M 512 512 M",
        "D": "64 64 M 128 128 M 256 256 256 M 512 512 512 M 512 512 512 M",
        "E": "64 64 M 128 128 M 256 256 256 256 M 512 512 512 512 M 512 512 512 512 M",
    }.items()
}


class VGG(nn.Module):
    """(N, 3, H, W), 32 pixels or more each way, to (N, num_classes).

    Args:
        features: the convolutions, ending in 512 channels; ``make_layers`` makes them.
        num_classes: outputs.
        init_weights: draw the weights anew as the paper's authors did.
        dropout: the probability after each of the first two linear layers.
    """

    def __init__(
        self,
        features: nn.Module,
        num_classes: int = 1000,
        init_weights: bool = True,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.features = features
        self.avgpool = nn.AdaptiveAvgPool2d((7, 7))
        self.classifier = nn.Sequential(
            nn.Linear(512 * 7 * 7, 4096),
            nn.ReLU(True),
            nn.Dropout(p=dropout),
            nn.Linear(4096, 4096),
            nn.ReLU(True),
            nn.Dropout(p=dropout),
            nn.Linear(4096, num_classes),
        )
        if init_weights:
            initialise(self, partial(nn.init.normal_, std=0.01))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def make_layers(cfg: Sequence[int | str], batch_norm: bool = False) -> nn.Sequential:
    """The convolutions of one row of the table above.

    >>> make_layers([8, "M"], batch_norm=True)
    Sequential(
      (0): Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))
      (1): BatchNorm2d(8, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)
      (2): ReLU(inplace=True)
      (3): MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)
    )
    """
    layers: list[nn.Module] = []
    channels = 3
    for item in cfg:
        if isinstance(item, str):
            layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
            continue
        layers.append(nn.Conv2d(channels, item, kernel_size=3, padding=1))
        if batch_norm:
            layers.append(nn.BatchNorm2d(item))
        layers.append(nn.ReLU(inplace=True))
        channels = item
    return nn.Sequential(*layers)


def _load(
    make: Callable[..., VGG], weights: WeightsEnum, progress: bool, kwargs: dict[str, Any]
) -> VGG:
    kwargs["init_weights"] = False  # they would be overwritten
    return load_weights(make, weights, progress, kwargs)


class VGG11_Weights(WeightsEnum):
    IMAGENET1K_V1 = imagenet("vgg11-8a719046")
    DEFAULT = IMAGENET1K_V1


class VGG11_BN_Weights(WeightsEnum):
    IMAGENET1K_V1 = imagenet("vgg11_bn-6002323d")
    DEFAULT = IMAGENET1K_V1


class VGG13_Weights(WeightsEnum):
    IMAGENET1K_V1 = imagenet("vgg13-19584684")
    DEFAULT = IMAGENET1K_V1


class VGG13_BN_Weights(WeightsEnum):
    IMAGENET1K_V1 = imagenet("vgg13_bn-abd245e5")
    DEFAULT = IMAGENET1K_V1


class VGG16_Weights(WeightsEnum):
    IMAGENET1K_V1 = imagenet("vgg16-397923af")
    # The convolutions alone, trained for detection on pixels of 0..255 less the mean.
    IMAGENET1K_FEATURES = imagenet(
        "vgg16_features-amdegroot-88682ab5",
        mean=(0.48235, 0.45882, 0.40784),
        std=(1.0 / 255.0, 1.0 / 255.0, 1.0 / 255.0),
        categories=None,
    )
    DEFAULT = IMAGENET1K_V1


class VGG16_BN_Weights(WeightsEnum):
    IMAGENET1K_V1 = imagenet("vgg16_bn-6c64b313")
    DEFAULT = IMAGENET1K_V1


class VGG19_Weights(WeightsEnum):
    IMAGENET1K_V1 = imagenet("vgg19-dcbb9e9d")
    DEFAULT = IMAGENET1K_V1


class VGG19_BN_Weights(WeightsEnum):
    IMAGENET1K_V1 = imagenet("vgg19_bn-c79401a0")
    DEFAULT = IMAGENET1K_V1


@builder(VGG11_Weights, _load)
def vgg11(**kwargs: Any) -> VGG:
    """VGG-11, 132.9 million parameters."""
    return VGG(make_layers(cfgs["A"]), **kwargs)


@builder(VGG11_BN_Weights, _load)
def vgg11_bn(**kwargs: Any) -> VGG:
    """VGG-11 with batch norm."""
    return VGG(make_layers(cfgs["A"], batch_norm=True), **kwargs)


@builder(VGG13_Weights, _load)
def vgg13(**kwargs: Any) -> VGG:
    """VGG-13, 133.0 million parameters."""
    return VGG(make_layers(cfgs["B"]), **kwargs)


@builder(VGG13_BN_Weights, _load)
def vgg13_bn(**kwargs: Any) -> VGG:
    """VGG-13 with batch norm."""
    return VGG(make_layers(cfgs["B"], batch_norm=True), **kwargs)


@builder(VGG16_Weights, _load)
def vgg16(**kwargs: Any) -> VGG:
    """VGG-16, 138.4 million parameters."""
    return VGG(make_layers(cfgs["D"]), **kwargs)


@builder(VGG16_BN_Weights, _load)
def vgg16_bn(**kwargs: Any) -> VGG:
    """VGG-16 with batch norm."""
    return VGG(make_layers(cfgs["D"], batch_norm=True), **kwargs)


@builder(VGG19_Weights, _load)
def vgg19(**kwargs: Any) -> VGG:
    """VGG-19, 143.7 million parameters."""
    return VGG(make_layers(cfgs["E"]), **kwargs)


@builder(VGG19_BN_Weights, _load)
def vgg19_bn(**kwargs: Any) -> VGG:
    """VGG-19 with batch norm."""
    return VGG(make_layers(cfgs["E"], batch_norm=True), **kwargs)
