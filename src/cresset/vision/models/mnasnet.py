"""MNASNet: an architecture that was searched for on a phone's clock.

Channels are for ``alpha`` = 1 and scale with it, rounded to multiples of 8.

| stack of inverted residuals | kernel | expansion | blocks | stride |
|---|---|---|---|---|
| conv 3x3 32, depthwise 3x3, conv 1x1 16 | | | | 2 |
| 24 | 3 | 3 | 3 | 2 |
| 40 | 5 | 3 | 3 | 2 |
| 80 | 5 | 6 | 3 | 2 |
| 96 | 3 | 6 | 2 | 1 |
| 192 | 5 | 6 | 4 | 2 |
| 320 | 3 | 6 | 1 | 1 |
| conv 1x1 1280, mean over the image, linear | | | | |

Source: Tan et al., "MnasNet: Platform-Aware Neural Architecture Search for Mobile",
https://arxiv.org/abs/1807.11626, figure 7 (B1, without squeeze-and-excitation)
"""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

from cresset import nn
from cresset.tensor import Tensor
from cresset.vision.models._api import WeightsEnum, imagenet
from cresset.vision.models._utils import _make_divisible, builder, initialise

__all__ = ["MNASNet", "MNASNet0_5_Weights", "MNASNet0_75_Weights", "MNASNet1_0_Weights",
           "MNASNet1_3_Weights", "mnasnet0_5", "mnasnet0_75", "mnasnet1_0",
           "mnasnet1_3"]  # fmt: skip

# TensorFlow counts the share that stays, PyTorch the share that is new.
_BN_MOMENTUM = 1 - 0.9997

#: kernel, stride, expansion, blocks
_STACKS = [(3, 2, 3, 3), (5, 2, 3, 3), (5, 2, 6, 3), (3, 1, 6, 2), (5, 2, 6, 4), (3, 1, 6, 1)]


class _InvertedResidual(nn.Module):
    """Expand 1x1, filter each channel by itself, project 1x1; add where the shapes agree."""

    def __init__(
        self,
        in_ch: int,
        out_ch: int,
        kernel_size: int,
        stride: int,
        expansion_factor: int,
        bn_momentum: float = 0.1,
    ) -> None:
        super().__init__()
        if stride not in (1, 2):
            raise ValueError(f"stride should be 1 or 2 instead of {stride}")
        if kernel_size not in (3, 5):
            raise ValueError(f"kernel_size should be 3 or 5 instead of {kernel_size}")
        mid = in_ch * expansion_factor
        norm = partial(nn.BatchNorm2d, momentum=bn_momentum)
        self.apply_residual = in_ch == out_ch and stride == 1
        self.layers = nn.Sequential(
            nn.Conv2d(in_ch, mid, 1, bias=False),
            norm(mid),
            nn.ReLU(inplace=True),
            nn.Conv2d(
                mid,
                mid,
                kernel_size,
                padding=kernel_size // 2,
                stride=stride,
                groups=mid,
                bias=False,
            ),
            norm(mid),
            nn.ReLU(inplace=True),
            nn.Conv2d(mid, out_ch, 1, bias=False),
            norm(out_ch),
        )

    def forward(self, input: Tensor) -> Tensor:
        return self.layers(input) + input if self.apply_residual else self.layers(input)


def _stack(
    in_ch: int,
    out_ch: int,
    kernel_size: int,
    stride: int,
    exp_factor: int,
    repeats: int,
    bn_momentum: float,
) -> nn.Sequential:
    """``repeats`` blocks; the first one changes the image's size and the channels."""
    if repeats < 1:
        raise ValueError(f"repeats should be >= 1, instead got {repeats}")
    return nn.Sequential(
        _InvertedResidual(in_ch, out_ch, kernel_size, stride, exp_factor, bn_momentum),
        *(
            _InvertedResidual(out_ch, out_ch, kernel_size, 1, exp_factor, bn_momentum)
            for _ in range(repeats - 1)
        ),
    )


def _get_depths(alpha: float) -> list[int]:
    """The channels of the stem (two) and of the six stacks."""
    return [_make_divisible(depth * alpha, 8) for depth in (32, 16, 24, 40, 80, 96, 192, 320)]


def _stem(first: int, second: int) -> list[nn.Module]:
    norm = partial(nn.BatchNorm2d, momentum=_BN_MOMENTUM)
    return [
        nn.Conv2d(3, first, 3, padding=1, stride=2, bias=False),
        norm(first),
        nn.ReLU(inplace=True),
        nn.Conv2d(first, first, 3, padding=1, stride=1, groups=first, bias=False),
        norm(first),
        nn.ReLU(inplace=True),
        nn.Conv2d(first, second, 1, padding=0, stride=1, bias=False),
        norm(second),
    ]


class MNASNet(nn.Module):
    """(N, 3, H, W) to (N, num_classes).

    Args:
        alpha: scales the number of channels.
        num_classes: outputs.
        dropout: before the linear layer.

    Checkpoints of version 1 had an unscaled stem; loading one changes the first layers to fit it.
    """

    _version = 2

    def __init__(self, alpha: float, num_classes: int = 1000, dropout: float = 0.2) -> None:
        super().__init__()
        if alpha <= 0.0:
            raise ValueError(f"alpha should be greater than 0.0 instead of {alpha}")
        self.alpha = alpha
        self.num_classes = num_classes
        first, *depths = _get_depths(alpha)
        stacks = [
            _stack(inputs, outputs, kernel, stride, expansion, blocks, _BN_MOMENTUM)
            for inputs, outputs, (kernel, stride, expansion, blocks) in zip(
                depths, depths[1:], _STACKS
            )
        ]
        self.layers = nn.Sequential(
            *_stem(first, depths[0]),
            *stacks,
            nn.Conv2d(depths[-1], 1280, 1, padding=0, stride=1, bias=False),
            nn.BatchNorm2d(1280, momentum=_BN_MOMENTUM),
            nn.ReLU(inplace=True),
        )
        self.classifier = nn.Sequential(
            nn.Dropout(p=dropout, inplace=True), nn.Linear(1280, num_classes)
        )
        initialise(self, partial(nn.init.kaiming_uniform_, mode="fan_out", nonlinearity="sigmoid"))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.layers(x).mean([2, 3]))

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, local_metadata: Any, *args: Any
    ) -> None:
        version = local_metadata.get("version", None)
        if version not in (1, 2):
            raise ValueError(f"version should be set to 1 or 2 instead of {version}")
        if version == 1 and self.alpha != 1.0:
            kernel, stride, expansion, blocks = _STACKS[0]
            outputs = _get_depths(self.alpha)[2]
            old = _stem(32, 16)
            old.append(_stack(16, outputs, kernel, stride, expansion, blocks, _BN_MOMENTUM))
            for i, layer in enumerate(old):
                self.layers[i] = layer
            self._version = 1
            warnings.warn(
                "A new version of MNASNet model has been implemented. Your checkpoint was saved "
                "using the previous version. This checkpoint will load and work as before, but you "
                "may want to upgrade by training a newer model or transfer learning from an "
                "updated ImageNet checkpoint.",
                UserWarning,
                stacklevel=2,
            )
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args)


class MNASNet0_5_Weights(WeightsEnum):
    IMAGENET1K_V1 = imagenet("mnasnet0.5_top1_67.823-3ffadce67e")
    DEFAULT = IMAGENET1K_V1


class MNASNet0_75_Weights(WeightsEnum):
    IMAGENET1K_V1 = imagenet("mnasnet0_75-7090bc5f")
    DEFAULT = IMAGENET1K_V1


class MNASNet1_0_Weights(WeightsEnum):
    IMAGENET1K_V1 = imagenet("mnasnet1.0_top1_73.512-f206786ef8")
    DEFAULT = IMAGENET1K_V1


class MNASNet1_3_Weights(WeightsEnum):
    IMAGENET1K_V1 = imagenet("mnasnet1_3-a4c69d6f")
    DEFAULT = IMAGENET1K_V1


@builder(MNASNet0_5_Weights)
def mnasnet0_5(**kwargs: Any) -> MNASNet:
    """MNASNet of half the width, 2.2 million parameters."""
    return MNASNet(0.5, **kwargs)


@builder(MNASNet0_75_Weights)
def mnasnet0_75(**kwargs: Any) -> MNASNet:
    """MNASNet of three quarters of the width, 3.2 million parameters."""
    return MNASNet(0.75, **kwargs)


@builder(MNASNet1_0_Weights)
def mnasnet1_0(**kwargs: Any) -> MNASNet:
    """MNASNet, 4.4 million parameters."""
    return MNASNet(1.0, **kwargs)


@builder(MNASNet1_3_Weights)
def mnasnet1_3(**kwargs: Any) -> MNASNet:
    """MNASNet of 1.3 times the width, 6.3 million parameters."""
    return MNASNet(1.3, **kwargs)
