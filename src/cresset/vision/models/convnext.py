"""ConvNeXt: a ResNet brought up to a transformer's habits, one by one.

A 4x4 convolution of stride 4, then four stages with a norm and a 2x2 convolution of stride 2
between them. A block is a 7x7 convolution of each channel by itself, a norm over the channels, a
linear layer to four times as many, gelu, and one back; scaled by channel and added to its input.

| model | channels | blocks a stage | stochastic depth |
|---|---|---|---|
| convnext_tiny | 96 192 384 768 | 3 3 9 3 | 0.1 |
| convnext_small | 96 192 384 768 | 3 3 27 3 | 0.4 |
| convnext_base | 128 256 512 1024 | 3 3 27 3 | 0.5 |
| convnext_large | 192 384 768 1536 | 3 3 27 3 | 0.5 |

Source: Liu et al., "A ConvNet for the 2020s", https://arxiv.org/abs/2201.03545, table 9
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from cresset import nn
from cresset.nn import functional as F
from cresset.ops.creation import full
from cresset.tensor import Tensor
from cresset.vision.models._api import WeightsEnum, imagenet
from cresset.vision.models._utils import builder
from cresset.vision.ops.misc import Conv2dNormActivation, Permute
from cresset.vision.ops.stochastic_depth import StochasticDepth

__all__ = ["ConvNeXt", "ConvNeXt_Base_Weights", "ConvNeXt_Large_Weights", "ConvNeXt_Small_Weights",
           "ConvNeXt_Tiny_Weights", "convnext_base", "convnext_large", "convnext_small",
           "convnext_tiny"]  # fmt: skip


class LayerNorm2d(nn.LayerNorm):
    """A LayerNorm over the channels of (N, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(0, 2, 3, 1)
        x = F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)
        return x.permute(0, 3, 1, 2)


class CNBlock(nn.Module):
    """(N, dim, H, W) to the same. Between the Permutes the channels are last."""

    def __init__(
        self,
        dim: int,
        layer_scale: float,
        stochastic_depth_prob: float,
        norm_layer: Callable[..., nn.Module] | None = None,
    ) -> None:
        super().__init__()
        norm_layer = norm_layer or partial(nn.LayerNorm, eps=1e-6)
        self.block = nn.Sequential(
            nn.Conv2d(dim, dim, kernel_size=7, padding=3, groups=dim, bias=True),
            Permute([0, 2, 3, 1]),
            norm_layer(dim),
            nn.Linear(dim, 4 * dim, bias=True),
            nn.GELU(),
            nn.Linear(4 * dim, dim, bias=True),
            Permute([0, 3, 1, 2]),
        )
        self.layer_scale = nn.Parameter(full((dim, 1, 1), layer_scale))
        self.stochastic_depth = StochasticDepth(stochastic_depth_prob, "row")

    def forward(self, input: Tensor) -> Tensor:
        result = self.stochastic_depth(self.layer_scale * self.block(input))
        result += input
        return result


class CNBlockConfig:
    """A stage of ``num_layers`` blocks; None for ``out_channels`` says that it is the last."""

    def __init__(self, input_channels: int, out_channels: int | None, num_layers: int) -> None:
        self.input_channels = input_channels
        self.out_channels = out_channels
        self.num_layers = num_layers

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}(input_channels={self.input_channels}, "
            f"out_channels={self.out_channels}, num_layers={self.num_layers})"
        )


class ConvNeXt(nn.Module):
    """(N, 3, H, W), 32 pixels or more each way, to (N, num_classes).

    Args:
        block_setting: the stages, first to last.
        stochastic_depth_prob: that the last block is left out in training; 0 for the first, and
            evenly between.
        layer_scale: the first value of the blocks' scale.
        num_classes: outputs.
        block: the class of the blocks; ``CNBlock`` by default.
        norm_layer: makes the norms between stages; ``LayerNorm2d`` by default.
    """

    def __init__(
        self,
        block_setting: Sequence[CNBlockConfig],
        stochastic_depth_prob: float = 0.0,
        layer_scale: float = 1e-6,
        num_classes: int = 1000,
        block: Callable[..., nn.Module] | None = None,
        norm_layer: Callable[..., nn.Module] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        if not block_setting:
            raise ValueError("The block_setting should not be empty")
        if not (
            isinstance(block_setting, Sequence)
            and all(isinstance(s, CNBlockConfig) for s in block_setting)
        ):
            raise TypeError("The block_setting should be List[CNBlockConfig]")
        block = block or CNBlock
        norm_layer = norm_layer or partial(LayerNorm2d, eps=1e-6)
        layers: list[nn.Module] = [
            Conv2dNormActivation(
                3,
                block_setting[0].input_channels,
                kernel_size=4,
                stride=4,
                padding=0,
                norm_layer=norm_layer,
                activation_layer=None,
                bias=True,
            )
        ]
        blocks = sum(cnf.num_layers for cnf in block_setting)
        done = 0
        channels = block_setting[0].input_channels
        for cnf in block_setting:
            channels = cnf.input_channels
            stage: list[nn.Module] = []
            for _ in range(cnf.num_layers):
                left_out = stochastic_depth_prob * done / (blocks - 1.0)
                stage.append(block(channels, layer_scale, left_out))
                done += 1
            layers.append(nn.Sequential(*stage))
            if cnf.out_channels is not None:
                down = nn.Conv2d(channels, cnf.out_channels, kernel_size=2, stride=2)
                layers.append(nn.Sequential(norm_layer(channels), down))
                channels = cnf.out_channels
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(
            norm_layer(channels), nn.Flatten(1), nn.Linear(channels, num_classes)
        )
        for m in self.modules():
            if isinstance(m, (nn.Conv2d, nn.Linear)):
                nn.init.trunc_normal_(m.weight, std=0.02)
                if m.bias is not None:
                    nn.init.zeros_(m.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.avgpool(self.features(x)))


def _convnext(
    channels: Sequence[int], blocks: Sequence[int], left_out: float, **kwargs: Any
) -> ConvNeXt:
    """A row of the table above."""
    setting = [
        CNBlockConfig(inputs, outputs, number)
        for inputs, outputs, number in zip(channels, [*channels[1:], None], blocks)
    ]
    kwargs.setdefault("stochastic_depth_prob", left_out)
    return ConvNeXt(setting, **kwargs)


class ConvNeXt_Tiny_Weights(WeightsEnum):
    IMAGENET1K_V1 = imagenet("convnext_tiny-983f1562")
    DEFAULT = IMAGENET1K_V1


class ConvNeXt_Small_Weights(WeightsEnum):
    IMAGENET1K_V1 = imagenet("convnext_small-0c510722")
    DEFAULT = IMAGENET1K_V1


class ConvNeXt_Base_Weights(WeightsEnum):
    IMAGENET1K_V1 = imagenet("convnext_base-6075fbad")
    DEFAULT = IMAGENET1K_V1


class ConvNeXt_Large_Weights(WeightsEnum):
    IMAGENET1K_V1 = imagenet("convnext_large-ea097f82")
    DEFAULT = IMAGENET1K_V1


@builder(ConvNeXt_Tiny_Weights)
def convnext_tiny(**kwargs: Any) -> ConvNeXt:
    """ConvNeXt tiny, 28.6 million parameters."""
    return _convnext((96, 192, 384, 768), (3, 3, 9, 3), 0.1, **kwargs)


@builder(ConvNeXt_Small_Weights)
def convnext_small(**kwargs: Any) -> ConvNeXt:
    """ConvNeXt small, 50.2 million parameters."""
    return _convnext((96, 192, 384, 768), (3, 3, 27, 3), 0.4, **kwargs)


@builder(ConvNeXt_Base_Weights)
def convnext_base(**kwargs: Any) -> ConvNeXt:
    """ConvNeXt base, 88.6 million parameters."""
    return _convnext((128, 256, 512, 1024), (3, 3, 27, 3), 0.5, **kwargs)


@builder(ConvNeXt_Large_Weights)
def convnext_large(**kwargs: Any) -> ConvNeXt:
    """ConvNeXt large, 197.8 million parameters."""
    return _convnext((192, 384, 768, 1536), (3, 3, 27, 3), 0.5, **kwargs)
