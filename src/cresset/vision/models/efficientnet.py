"""EfficientNet: one small network, scaled in width and depth together.

Rows are stages: expansion, kernel, stride of the first block, input and output channels, blocks.
Version 1 scales the channels and the number of blocks of ``B0``; version 2 has tables of its own,
with the first stages' expansion and filter fused into one convolution.

| model | width, depth | dropout | meant for images of |
|---|---|---|---|
| efficientnet_b0, b1 | 1.0 x, 1.0 and 1.1 x | 0.2 | 224, 240 |
| efficientnet_b2, b3 | 1.1 and 1.2 x, 1.2 and 1.4 x | 0.3 | 288, 300 |
| efficientnet_b4, b5 | 1.4 and 1.6 x, 1.8 and 2.2 x | 0.4 | 380, 456 |
| efficientnet_b6, b7 | 1.8 and 2.0 x, 2.6 and 3.1 x | 0.5 | 528, 600 |
| efficientnet_v2_s, m, l | ``V2`` below | 0.2, 0.3, 0.4 | 384, 480, 480 |

Sources: Tan, Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks",
https://arxiv.org/abs/1905.11946, table 1; "EfficientNetV2: Smaller Models and Faster Training",
https://arxiv.org/abs/2104.00298, table 4
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from cresset import nn
from cresset.tensor import Tensor
from cresset.vision.models._api import WeightsEnum, imagenet
from cresset.vision.models._utils import _make_divisible, builder, initialise
from cresset.vision.ops.misc import Conv2dNormActivation, SqueezeExcitation
from cresset.vision.ops.stochastic_depth import StochasticDepth

__all__ = [
    "EfficientNet",
    *(f"EfficientNet_{name}_Weights" for name in (
        "B0", "B1", "B2", "B3", "B4", "B5", "B6", "B7", "V2_S", "V2_M", "V2_L",
    )),
    *(f"efficientnet_{name}" for name in (
        "b0", "b1", "b2", "b3", "b4", "b5", "b6", "b7", "v2_s", "v2_m", "v2_l",
    )),
]  # fmt: skip

B0 = [
    (1, 3, 1, 32, 16, 1),
    (6, 3, 2, 16, 24, 2),
    (6, 5, 2, 24, 40, 2),
    (6, 3, 2, 40, 80, 3),
    (6, 5, 1, 80, 112, 3),
    (6, 5, 2, 112, 192, 4),
    (6, 3, 1, 192, 320, 1),
]
FUSED = 3  # stages at the start of each V2 model
V2 = {
    "s": [
        (1, 3, 1, 24, 24, 2),
        (4, 3, 2, 24, 48, 4),
        (4, 3, 2, 48, 64, 4),
        (4, 3, 2, 64, 128, 6),
        (6, 3, 1, 128, 160, 9),
        (6, 3, 2, 160, 256, 15),
    ],
    "m": [
        (1, 3, 1, 24, 24, 3),
        (4, 3, 2, 24, 48, 5),
        (4, 3, 2, 48, 80, 5),
        (4, 3, 2, 80, 160, 7),
        (6, 3, 1, 160, 176, 14),
        (6, 3, 2, 176, 304, 18),
        (6, 3, 1, 304, 512, 5),
    ],
    "l": [
        (1, 3, 1, 32, 32, 4),
        (4, 3, 2, 32, 64, 7),
        (4, 3, 2, 64, 96, 7),
        (4, 3, 2, 96, 192, 10),
        (6, 3, 1, 192, 224, 19),
        (6, 3, 2, 224, 384, 25),
        (6, 3, 1, 384, 640, 7),
    ],
}


@dataclass
class _MBConvConfig:
    """One stage: ``num_layers`` blocks, of which the first has ``stride``."""

    expand_ratio: float
    kernel: int
    stride: int
    input_channels: int
    out_channels: int
    num_layers: int
    block: Callable[..., nn.Module]

    @staticmethod
    def adjust_channels(channels: int, width_mult: float, min_value: int | None = None) -> int:
        return _make_divisible(channels * width_mult, 8, min_value)


class MBConvConfig(_MBConvConfig):
    """A stage of ``MBConv`` blocks, scaled in width and depth."""

    def __init__(
        self,
        expand_ratio: float,
        kernel: int,
        stride: int,
        input_channels: int,
        out_channels: int,
        num_layers: int,
        width_mult: float = 1.0,
        depth_mult: float = 1.0,
        block: Callable[..., nn.Module] | None = None,
    ) -> None:
        super().__init__(
            expand_ratio,
            kernel,
            stride,
            self.adjust_channels(input_channels, width_mult),
            self.adjust_channels(out_channels, width_mult),
            self.adjust_depth(num_layers, depth_mult),
            block or MBConv,
        )

    @staticmethod
    def adjust_depth(num_layers: int, depth_mult: float) -> int:
        return math.ceil(num_layers * depth_mult)


class FusedMBConvConfig(_MBConvConfig):
    """A stage of ``FusedMBConv`` blocks."""

    def __init__(
        self,
        expand_ratio: float,
        kernel: int,
        stride: int,
        input_channels: int,
        out_channels: int,
        num_layers: int,
        block: Callable[..., nn.Module] | None = None,
    ) -> None:
        super().__init__(
            expand_ratio, kernel, stride, input_channels, out_channels, num_layers,
            block or FusedMBConv,
        )  # fmt: skip


class _Residual(nn.Module):
    """``block(x)``, to which x is added where their shapes agree, the block left out at random."""

    def __init__(
        self, cnf: _MBConvConfig, stochastic_depth_prob: float, layers: list[nn.Module]
    ) -> None:
        super().__init__()
        if cnf.stride not in (1, 2):
            raise ValueError("illegal stride value")
        self.use_res_connect = cnf.stride == 1 and cnf.input_channels == cnf.out_channels
        self.block = nn.Sequential(*layers)
        self.stochastic_depth = StochasticDepth(stochastic_depth_prob, "row")
        self.out_channels = cnf.out_channels

    def forward(self, input: Tensor) -> Tensor:
        result = self.block(input)
        if self.use_res_connect:
            result = self.stochastic_depth(result)
            result += input
        return result


class MBConv(_Residual):
    """Expand 1x1, filter each channel by itself, weigh the channels, project 1x1."""

    def __init__(
        self,
        cnf: MBConvConfig,
        stochastic_depth_prob: float,
        norm_layer: Callable[..., nn.Module],
        se_layer: Callable[..., nn.Module] = SqueezeExcitation,
    ) -> None:
        conv = partial(Conv2dNormActivation, norm_layer=norm_layer, activation_layer=nn.SiLU)
        width = cnf.adjust_channels(cnf.input_channels, cnf.expand_ratio)
        layers: list[nn.Module] = []
        if width != cnf.input_channels:
            layers.append(conv(cnf.input_channels, width, kernel_size=1))
        layers += [
            conv(width, width, kernel_size=cnf.kernel, stride=cnf.stride, groups=width),
            se_layer(
                width, max(1, cnf.input_channels // 4), activation=partial(nn.SiLU, inplace=True)
            ),
            conv(width, cnf.out_channels, kernel_size=1, activation_layer=None),
        ]
        super().__init__(cnf, stochastic_depth_prob, layers)


class FusedMBConv(_Residual):
    """Expand and filter in one convolution, project 1x1; only the first where nothing expands."""

    def __init__(
        self,
        cnf: FusedMBConvConfig,
        stochastic_depth_prob: float,
        norm_layer: Callable[..., nn.Module],
    ) -> None:
        conv = partial(Conv2dNormActivation, norm_layer=norm_layer, activation_layer=nn.SiLU)
        width = cnf.adjust_channels(cnf.input_channels, cnf.expand_ratio)
        expands = width != cnf.input_channels
        layers: list[nn.Module] = [
            conv(
                cnf.input_channels,
                width if expands else cnf.out_channels,
                kernel_size=cnf.kernel,
                stride=cnf.stride,
            )
        ]
        if expands:
            layers.append(conv(width, cnf.out_channels, kernel_size=1, activation_layer=None))
        super().__init__(cnf, stochastic_depth_prob, layers)


def _draw_linear(weight: Tensor) -> None:
    bound = 1.0 / math.sqrt(weight.shape[0])
    nn.init.uniform_(weight, -bound, bound)


class EfficientNet(nn.Module):
    """(N, 3, H, W) to (N, num_classes).

    Args:
        inverted_residual_setting: the stages, first to last.
        dropout: before the linear layer.
        stochastic_depth_prob: that the last block is left out in training; 0 for the first,
            and evenly between.
        num_classes: outputs.
        norm_layer: makes a norm for a number of channels; BatchNorm2d by default.
        last_channel: of the last convolution; four times the last stage's by default.
    """

    def __init__(
        self,
        inverted_residual_setting: Sequence[MBConvConfig | FusedMBConvConfig],
        dropout: float,
        stochastic_depth_prob: float = 0.2,
        num_classes: int = 1000,
        norm_layer: Callable[..., nn.Module] | None = None,
        last_channel: int | None = None,
    ) -> None:
        super().__init__()
        setting = inverted_residual_setting
        if not setting:
            raise ValueError("The inverted_residual_setting should not be empty")
        if not (
            isinstance(setting, Sequence) and all(isinstance(s, _MBConvConfig) for s in setting)
        ):
            raise TypeError("The inverted_residual_setting should be List[MBConvConfig]")
        norm_layer = norm_layer or nn.BatchNorm2d
        conv = partial(Conv2dNormActivation, norm_layer=norm_layer, activation_layer=nn.SiLU)
        layers: list[nn.Module] = [conv(3, setting[0].input_channels, kernel_size=3, stride=2)]
        blocks = sum(cnf.num_layers for cnf in setting)
        done = 0
        for cnf in setting:
            stage: list[nn.Module] = []
            for _ in range(cnf.num_layers):
                one = copy.copy(cnf)
                if stage:
                    one.input_channels = one.out_channels
                    one.stride = 1
                stage.append(one.block(one, stochastic_depth_prob * done / blocks, norm_layer))
                done += 1
            layers.append(nn.Sequential(*stage))
        last = setting[-1].out_channels
        outputs = 4 * last if last_channel is None else last_channel
        layers.append(conv(last, outputs, kernel_size=1))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(
            nn.Dropout(p=dropout, inplace=True), nn.Linear(outputs, num_classes)
        )
        initialise(self, _draw_linear)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def _scaled(width: float, depth: float, dropout: float, **kwargs: Any) -> EfficientNet:
    """Version 1: ``B0``, wider and deeper."""
    setting = [MBConvConfig(*row, width_mult=width, depth_mult=depth) for row in B0]
    return EfficientNet(setting, kwargs.pop("dropout", dropout), **kwargs)


def _v2(name: str, dropout: float, **kwargs: Any) -> EfficientNet:
    rows = V2[name]
    setting: list[Any] = [
        *(FusedMBConvConfig(*row) for row in rows[:FUSED]),
        *(MBConvConfig(*row) for row in rows[FUSED:]),
    ]
    norm = partial(nn.BatchNorm2d, eps=1e-03)
    return EfficientNet(
        setting, kwargs.pop("dropout", dropout), last_channel=1280, norm_layer=norm, **kwargs
    )


#: The norm of the models whose weights come from TensorFlow.
_TF_NORM = partial(nn.BatchNorm2d, eps=0.001, momentum=0.01)


class EfficientNet_B0_Weights(WeightsEnum):
    IMAGENET1K_V1 = imagenet("efficientnet_b0_rwightman-7f5810bc")
    DEFAULT = IMAGENET1K_V1


class EfficientNet_B1_Weights(WeightsEnum):
    IMAGENET1K_V1 = imagenet("efficientnet_b1_rwightman-bac287d4")
    IMAGENET1K_V2 = imagenet("efficientnet_b1-c27df63c")
    DEFAULT = IMAGENET1K_V2


class EfficientNet_B2_Weights(WeightsEnum):
    IMAGENET1K_V1 = imagenet("efficientnet_b2_rwightman-c35c1473")
    DEFAULT = IMAGENET1K_V1


class EfficientNet_B3_Weights(WeightsEnum):
    IMAGENET1K_V1 = imagenet("efficientnet_b3_rwightman-b3899882")
    DEFAULT = IMAGENET1K_V1


class EfficientNet_B4_Weights(WeightsEnum):
    IMAGENET1K_V1 = imagenet("efficientnet_b4_rwightman-23ab8bcd")
    DEFAULT = IMAGENET1K_V1


class EfficientNet_B5_Weights(WeightsEnum):
    IMAGENET1K_V1 = imagenet("efficientnet_b5_lukemelas-1a07897c")
    DEFAULT = IMAGENET1K_V1


class EfficientNet_B6_Weights(WeightsEnum):
    IMAGENET1K_V1 = imagenet("efficientnet_b6_lukemelas-24a108a5")
    DEFAULT = IMAGENET1K_V1


class EfficientNet_B7_Weights(WeightsEnum):
    IMAGENET1K_V1 = imagenet("efficientnet_b7_lukemelas-c5b4e57e")
    DEFAULT = IMAGENET1K_V1


class EfficientNet_V2_S_Weights(WeightsEnum):
    IMAGENET1K_V1 = imagenet("efficientnet_v2_s-dd5fe13b")
    DEFAULT = IMAGENET1K_V1


class EfficientNet_V2_M_Weights(WeightsEnum):
    IMAGENET1K_V1 = imagenet("efficientnet_v2_m-dc08266a")
    DEFAULT = IMAGENET1K_V1


class EfficientNet_V2_L_Weights(WeightsEnum):
    IMAGENET1K_V1 = imagenet(
        "efficientnet_v2_l-59c71312", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)
    )
    DEFAULT = IMAGENET1K_V1


@builder(EfficientNet_B0_Weights)
def efficientnet_b0(**kwargs: Any) -> EfficientNet:
    """EfficientNet B0, 5.3 million parameters."""
    return _scaled(1.0, 1.0, 0.2, **kwargs)


@builder(EfficientNet_B1_Weights)
def efficientnet_b1(**kwargs: Any) -> EfficientNet:
    """EfficientNet B1, 7.8 million parameters."""
    return _scaled(1.0, 1.1, 0.2, **kwargs)


@builder(EfficientNet_B2_Weights)
def efficientnet_b2(**kwargs: Any) -> EfficientNet:
    """EfficientNet B2, 9.1 million parameters."""
    return _scaled(1.1, 1.2, 0.3, **kwargs)


@builder(EfficientNet_B3_Weights)
def efficientnet_b3(**kwargs: Any) -> EfficientNet:
    """EfficientNet B3, 12.2 million parameters."""
    return _scaled(1.2, 1.4, 0.3, **kwargs)


@builder(EfficientNet_B4_Weights)
def efficientnet_b4(**kwargs: Any) -> EfficientNet:
    """EfficientNet B4, 19.3 million parameters."""
    return _scaled(1.4, 1.8, 0.4, **kwargs)


@builder(EfficientNet_B5_Weights)
def efficientnet_b5(**kwargs: Any) -> EfficientNet:
    """EfficientNet B5, 30.4 million parameters."""
    return _scaled(1.6, 2.2, 0.4, norm_layer=_TF_NORM, **kwargs)


@builder(EfficientNet_B6_Weights)
def efficientnet_b6(**kwargs: Any) -> EfficientNet:
    """EfficientNet B6, 43.0 million parameters."""
    return _scaled(1.8, 2.6, 0.5, norm_layer=_TF_NORM, **kwargs)


@builder(EfficientNet_B7_Weights)
def efficientnet_b7(**kwargs: Any) -> EfficientNet:
    """EfficientNet B7, 66.3 million parameters."""
    return _scaled(2.0, 3.1, 0.5, norm_layer=_TF_NORM, **kwargs)


@builder(EfficientNet_V2_S_Weights)
def efficientnet_v2_s(**kwargs: Any) -> EfficientNet:
    """EfficientNet v2 S, 21.5 million parameters."""
    return _v2("s", 0.2, **kwargs)


@builder(EfficientNet_V2_M_Weights)
def efficientnet_v2_m(**kwargs: Any) -> EfficientNet:
    """EfficientNet v2 M, 54.1 million parameters."""
    return _v2("m", 0.3, **kwargs)


@builder(EfficientNet_V2_L_Weights)
def efficientnet_v2_l(**kwargs: Any) -> EfficientNet:
    """EfficientNet v2 L, 118.5 million parameters."""
    return _v2("l", 0.4, **kwargs)
