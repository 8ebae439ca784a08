"""DenseNet: every layer sees the outputs of all layers before it.

A 7x7 convolution of stride 2 and a max pool, four dense blocks with a transition (1x1 convolution
to half the channels, 2x2 mean) between them, the mean over the image and one linear layer. Each
layer of a block adds ``growth_rate`` channels: norm, relu, conv 1x1, norm, relu, conv 3x3.

| model | layers a block | growth rate | first channels |
|---|---|---|---|
| densenet121 | 6 12 24 16 | 32 | 64 |
| densenet161 | 6 12 36 24 | 48 | 96 |
| densenet169 | 6 12 32 32 | 32 | 64 |
| densenet201 | 6 12 48 32 | 32 | 64 |

Source: Huang et al., "Densely Connected Convolutional Networks", https://arxiv.org/abs/1608.06993,
table 1; the trade of memory for time: Pleiss et al., https://arxiv.org/abs/1707.06990
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from cresset import nn
from cresset.autograd.checkpoint import checkpoint
from cresset.nn import functional as F
from cresset.ops.join import cat
from cresset.tensor import Tensor
from cresset.vision.models._api import WeightsEnum, imagenet
from cresset.vision.models._utils import builder

__all__ = ["DenseNet", "DenseNet121_Weights", "DenseNet161_Weights", "DenseNet169_Weights",
           "DenseNet201_Weights", "densenet121", "densenet161", "densenet169",
           "densenet201"]  # fmt: skip

# The published checkpoints are older than the names: "norm.1" stands for "norm1".
_OLD_NAME = re.compile(r"(norm|relu|conv)\.([12])\.")


class _DenseLayer(nn.Module):
    """From all earlier outputs to ``growth_rate`` new channels.

    With ``memory_efficient`` the joined input and the first half are computed again for the
    backward pass, not kept.
    """

    def __init__(
        self,
        num_input_features: int,
        growth_rate: int,
        bn_size: int,
        drop_rate: float,
        memory_efficient: bool = False,
    ) -> None:
        super().__init__()
        width = bn_size * growth_rate
        self.norm1 = nn.BatchNorm2d(num_input_features)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv1 = nn.Conv2d(num_input_features, width, kernel_size=1, stride=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.relu2 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(width, growth_rate, kernel_size=3, stride=1, padding=1, bias=False)
        self.drop_rate = float(drop_rate)
        self.memory_efficient = memory_efficient

    def bn_function(self, *inputs: Tensor) -> Tensor:
        return self.conv1(self.relu1(self.norm1(cat(inputs, 1))))

    def forward(self, input: Tensor | Sequence[Tensor]) -> Tensor:
        inputs = [input] if isinstance(input, Tensor) else input
        if self.memory_efficient and any(x.requires_grad for x in inputs):
            x = checkpoint(self.bn_function, *inputs, use_reentrant=False)
        else:
            x = self.bn_function(*inputs)
        x = self.conv2(self.relu2(self.norm2(x)))
        if self.drop_rate > 0:
            x = F.dropout(x, p=self.drop_rate, training=self.training)
        return x

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        for key in [key for key in state_dict if key.startswith(prefix)]:
            state_dict[prefix + _OLD_NAME.sub(r"\1\2.", key[len(prefix) :])] = state_dict.pop(key)
        super()._load_from_state_dict(state_dict, prefix, *args)


class _DenseBlock(nn.ModuleDict):
    """Layers that each get the block's input and the outputs of all before; joined at the end."""

    _version = 2

    def __init__(
        self,
        num_layers: int,
        num_input_features: int,
        bn_size: int,
        growth_rate: int,
        drop_rate: float,
        memory_efficient: bool = False,
    ) -> None:
        super().__init__()
        for i in range(num_layers):
            self[f"denselayer{i + 1}"] = _DenseLayer(
                num_input_features + i * growth_rate,
                growth_rate,
                bn_size,
                drop_rate,
                memory_efficient,
            )

    def forward(self, init_features: Tensor) -> Tensor:
        features = [init_features]
        for layer in self.values():
            features.append(layer(features))
        return cat(features, 1)


class _Transition(nn.Sequential):
    """Half the image, and fewer channels."""

    def __init__(self, num_input_features: int, num_output_features: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(num_input_features)
        self.relu = nn.ReLU(inplace=True)
        self.conv = nn.Conv2d(
            num_input_features, num_output_features, kernel_size=1, stride=1, bias=False
        )
        self.pool = nn.AvgPool2d(kernel_size=2, stride=2)


class DenseNet(nn.Module):
    """(N, 3, H, W), 29 pixels or more each way, to (N, num_classes).

    Args:
        growth_rate: channels that each layer adds.
        block_config: layers in each block.
        num_init_features: channels after the first convolution.
        bn_size: channels between a layer's two convolutions, in units of ``growth_rate``.
        drop_rate: dropout after each layer.
        num_classes: outputs.
        memory_efficient: compute parts again in the backward pass; less memory, more time.
    """

    def __init__(
        self,
        growth_rate: int = 32,
        block_config: Sequence[int] = (6, 12, 24, 16),
        num_init_features: int = 64,
        bn_size: int = 4,
        drop_rate: float = 0,
        num_classes: int = 1000,
        memory_efficient: bool = False,
    ) -> None:
        super().__init__()
        channels = num_init_features
        first = nn.Conv2d(3, channels, kernel_size=7, stride=2, padding=3, bias=False)
        self.features = nn.Sequential(
            OrderedDict(
                conv0=first,
                norm0=nn.BatchNorm2d(channels),
                relu0=nn.ReLU(inplace=True),
                pool0=nn.MaxPool2d(kernel_size=3, stride=2, padding=1),
            )
        )
        for i, layers in enumerate(block_config, start=1):
            block = _DenseBlock(layers, channels, bn_size, growth_rate, drop_rate, memory_efficient)
            self.features.add_module(f"denseblock{i}", block)
            channels += layers * growth_rate
            if i < len(block_config):
                self.features.add_module(f"transition{i}", _Transition(channels, channels // 2))
                channels //= 2
        self.features.add_module("norm5", nn.BatchNorm2d(channels))
        self.classifier = nn.Linear(channels, num_classes)
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight)
            elif isinstance(m, nn.BatchNorm2d):
                nn.init.ones_(m.weight)
                nn.init.zeros_(m.bias)
            elif isinstance(m, nn.Linear):
                nn.init.zeros_(m.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.features(x), inplace=True)
        return self.classifier(F.adaptive_avg_pool2d(x, (1, 1)).flatten(1))


class DenseNet121_Weights(WeightsEnum):
    IMAGENET1K_V1 = imagenet("densenet121-a639ec97")
    DEFAULT = IMAGENET1K_V1


class DenseNet161_Weights(WeightsEnum):
    IMAGENET1K_V1 = imagenet("densenet161-8d451a50")
    DEFAULT = IMAGENET1K_V1


class DenseNet169_Weights(WeightsEnum):
    IMAGENET1K_V1 = imagenet("densenet169-b2777c0a")
    DEFAULT = IMAGENET1K_V1


class DenseNet201_Weights(WeightsEnum):
    IMAGENET1K_V1 = imagenet("densenet201-c1103571")
    DEFAULT = IMAGENET1K_V1


@builder(DenseNet121_Weights)
def densenet121(**kwargs: Any) -> DenseNet:
    """DenseNet-121, 8.0 million parameters."""
    return DenseNet(32, (6, 12, 24, 16), 64, **kwargs)


@builder(DenseNet161_Weights)
def densenet161(**kwargs: Any) -> DenseNet:
    """DenseNet-161, 28.7 million parameters."""
    return DenseNet(48, (6, 12, 36, 24), 96, **kwargs)


@builder(DenseNet169_Weights)
def densenet169(**kwargs: Any) -> DenseNet:
    """DenseNet-169, 14.1 million parameters."""
    return DenseNet(32, (6, 12, 32, 32), 64, **kwargs)


@builder(DenseNet201_Weights)
def densenet201(**kwargs: Any) -> DenseNet:
    """DenseNet-201, 20.0 million parameters."""
    return DenseNet(32, (6, 12, 48, 32), 64, **kwargs)
