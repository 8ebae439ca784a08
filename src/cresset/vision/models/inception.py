"""Inception v3: GoogLeNet with larger kernels taken apart into rows and columns.

| part | block | output for 299 x 299 |
|---|---|---|
| conv 3x3/2, 3x3, 3x3, pool, conv 1x1, 3x3, pool | | 192 x 35 x 35 |
| Mixed_5b, 5c, 5d | A: 1x1, 5x5, two 3x3, pool | 256, 288, 288 x 35 x 35 |
| Mixed_6a | B: 3x3/2, two 3x3 the last /2, pool/2 | 768 x 17 x 17 |
| Mixed_6b to 6e | C: 1x1, 1x7 7x1, twice that, pool; inside 128 160 160 192 | 768 x 17 x 17 |
| AuxLogits | mean, conv 1x1, conv 5x5, linear: a second classifier for training | |
| Mixed_7a | D: 3x3/2, 1x7 7x1 3x3/2, pool/2 | 1280 x 8 x 8 |
| Mixed_7b, 7c | E: 1x1, 1x3 beside 3x1, the same after a 3x3, pool | 2048 x 8 x 8 |

Source: Szegedy et al., "Rethinking the Inception Architecture for Computer Vision",
https://arxiv.org/abs/1512.00567, table 1 and figures 5 to 7
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from cresset import nn
from cresset.nn import functional as F
from cresset.ops.join import cat
from cresset.tensor import Tensor
from cresset.vision.models._api import WeightsEnum, imagenet
from cresset.vision.models._utils import builder
from cresset.vision.models.googlenet import (
    BasicConv2d,
    initialise_truncated,
    load_with_aux,
    to_half_range,
    warn_of_initialisation,
)

__all__ = ["Inception3", "InceptionOutputs", "Inception_V3_Weights", "_InceptionOutputs",
           "inception_v3"]  # fmt: skip

Conv = Callable[..., nn.Module]
_ROW = {"kernel_size": (1, 7), "padding": (0, 3)}
_COLUMN = {"kernel_size": (7, 1), "padding": (3, 0)}
_SHORT_ROW = {"kernel_size": (1, 3), "padding": (0, 1)}
_SHORT_COLUMN = {"kernel_size": (3, 1), "padding": (1, 0)}


class InceptionOutputs(NamedTuple):
    """What an Inception v3 with the auxiliary classifier returns in training mode."""

    logits: Tensor
    aux_logits: Tensor | None


_InceptionOutputs = InceptionOutputs  # the name in old programs


def _around(x: Tensor) -> Tensor:
    """The mean of each pixel and its neighbours."""
    return F.avg_pool2d(x, kernel_size=3, stride=1, padding=1)


class InceptionA(nn.Module):
    """1x1; 1x1 5x5; 1x1 3x3 3x3; mean 1x1: 224 + ``pool_features`` channels."""

    def __init__(
        self, in_channels: int, pool_features: int, conv_block: Conv | None = None
    ) -> None:
        super().__init__()
        conv = conv_block or BasicConv2d
        self.branch1x1 = conv(in_channels, 64, kernel_size=1)
        self.branch5x5_1 = conv(in_channels, 48, kernel_size=1)
        self.branch5x5_2 = conv(48, 64, kernel_size=5, padding=2)
        self.branch3x3dbl_1 = conv(in_channels, 64, kernel_size=1)
        self.branch3x3dbl_2 = conv(64, 96, kernel_size=3, padding=1)
        self.branch3x3dbl_3 = conv(96, 96, kernel_size=3, padding=1)
        self.branch_pool = conv(in_channels, pool_features, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        branches = [
            self.branch1x1(x),
            self.branch5x5_2(self.branch5x5_1(x)),
            self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x))),
            self.branch_pool(_around(x)),
        ]
        return cat(branches, 1)


class InceptionB(nn.Module):
    """Half the image: 3x3/2; 1x1 3x3 3x3/2; max pool/2: 480 channels more."""

    def __init__(self, in_channels: int, conv_block: Conv | None = None) -> None:
        super().__init__()
        conv = conv_block or BasicConv2d
        self.branch3x3 = conv(in_channels, 384, kernel_size=3, stride=2)
        self.branch3x3dbl_1 = conv(in_channels, 64, kernel_size=1)
        self.branch3x3dbl_2 = conv(64, 96, kernel_size=3, padding=1)
        self.branch3x3dbl_3 = conv(96, 96, kernel_size=3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        branches = [
            self.branch3x3(x),
            self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x))),
            F.max_pool2d(x, kernel_size=3, stride=2),
        ]
        return cat(branches, 1)


class InceptionC(nn.Module):
    """1x1; 1x1 1x7 7x1; 1x1 7x1 1x7 7x1 1x7; mean 1x1: 768 channels."""

    def __init__(self, in_channels: int, channels_7x7: int, conv_block: Conv | None = None) -> None:
        super().__init__()
        conv = conv_block or BasicConv2d
        c7 = channels_7x7
        self.branch1x1 = conv(in_channels, 192, kernel_size=1)
        self.branch7x7_1 = conv(in_channels, c7, kernel_size=1)
        self.branch7x7_2 = conv(c7, c7, **_ROW)
        self.branch7x7_3 = conv(c7, 192, **_COLUMN)
        self.branch7x7dbl_1 = conv(in_channels, c7, kernel_size=1)
        self.branch7x7dbl_2 = conv(c7, c7, **_COLUMN)
        self.branch7x7dbl_3 = conv(c7, c7, **_ROW)
        self.branch7x7dbl_4 = conv(c7, c7, **_COLUMN)
        self.branch7x7dbl_5 = conv(c7, 192, **_ROW)
        self.branch_pool = conv(in_channels, 192, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        branches = [
            self.branch1x1(x),
            self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x))),
            self.branch7x7dbl_5(self.branch7x7dbl_4(double)),
            self.branch_pool(_around(x)),
        ]
        return cat(branches, 1)


class InceptionD(nn.Module):
    """Half the image: 1x1 3x3/2; 1x1 1x7 7x1 3x3/2; max pool/2: 512 channels more."""

    def __init__(self, in_channels: int, conv_block: Conv | None = None) -> None:
        super().__init__()
        conv = conv_block or BasicConv2d
        self.branch3x3_1 = conv(in_channels, 192, kernel_size=1)
        self.branch3x3_2 = conv(192, 320, kernel_size=3, stride=2)
        self.branch7x7x3_1 = conv(in_channels, 192, kernel_size=1)
        self.branch7x7x3_2 = conv(192, 192, **_ROW)
        self.branch7x7x3_3 = conv(192, 192, **_COLUMN)
        self.branch7x7x3_4 = conv(192, 192, kernel_size=3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        wide = self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x)))
        branches = [
            self.branch3x3_2(self.branch3x3_1(x)),
            self.branch7x7x3_4(wide),
            F.max_pool2d(x, kernel_size=3, stride=2),
        ]
        return cat(branches, 1)


class InceptionE(nn.Module):
    """1x1; 1x1 then 1x3 and 3x1; 1x1 3x3 then 1x3 and 3x1; mean 1x1: 2048 channels."""

    def __init__(self, in_channels: int, conv_block: Conv | None = None) -> None:
        super().__init__()
        conv = conv_block or BasicConv2d
        self.branch1x1 = conv(in_channels, 320, kernel_size=1)
        self.branch3x3_1 = conv(in_channels, 384, kernel_size=1)
        self.branch3x3_2a = conv(384, 384, **_SHORT_ROW)
        self.branch3x3_2b = conv(384, 384, **_SHORT_COLUMN)
        self.branch3x3dbl_1 = conv(in_channels, 448, kernel_size=1)
        self.branch3x3dbl_2 = conv(448, 384, kernel_size=3, padding=1)
        self.branch3x3dbl_3a = conv(384, 384, **_SHORT_ROW)
        self.branch3x3dbl_3b = conv(384, 384, **_SHORT_COLUMN)
        self.branch_pool = conv(in_channels, 192, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        single = self.branch3x3_1(x)
        double = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        branches = [
            self.branch1x1(x),
            self.branch3x3_2a(single),
            self.branch3x3_2b(single),
            self.branch3x3dbl_3a(double),
            self.branch3x3dbl_3b(double),
            self.branch_pool(_around(x)),
        ]
        return cat(branches, 1)


class InceptionAux(nn.Module):
    """The auxiliary classifier: mean 5x5/3, conv 1x1, conv 5x5, mean, linear."""

    def __init__(self, in_channels: int, num_classes: int, conv_block: Conv | None = None) -> None:
        super().__init__()
        conv = conv_block or BasicConv2d
        self.conv0 = conv(in_channels, 128, kernel_size=1)
        self.conv1 = conv(128, 768, kernel_size=5)
        self.conv1.stddev = 0.01  # type: ignore[assignment]
        self.fc = nn.Linear(768, num_classes)
        self.fc.stddev = 0.001  # type: ignore[assignment]

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(self.conv0(F.avg_pool2d(x, kernel_size=5, stride=3)))
        return self.fc(F.adaptive_avg_pool2d(x, (1, 1)).flatten(1))


class Inception3(nn.Module):
    """(N, 3, H, W), 75 pixels or more each way, to (N, num_classes), or ``InceptionOutputs``.

    Args:
        num_classes: outputs.
        aux_logits: have the auxiliary classifier; training mode returns its output too.
        transform_input: take images normalised as for the other models here, and change them to
            the range that the checkpoint was trained on.
        inception_blocks: the classes to use for ``BasicConv2d``, ``InceptionA`` to ``InceptionE``
            and ``InceptionAux``.
        init_weights: draw convolutions and linear layers from a truncated normal. None does so
            too, with a warning, as torchvision means to change that.
        dropout: before the last layer.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        aux_logits: bool = True,
        transform_input: bool = False,
        inception_blocks: Sequence[Conv] | None = None,
        init_weights: bool | None = None,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        blocks = inception_blocks or [
            BasicConv2d, InceptionA, InceptionB, InceptionC, InceptionD, InceptionE, InceptionAux,
        ]  # fmt: skip
        if init_weights is None:
            warn_of_initialisation("inception_v3")
            init_weights = True
        if len(blocks) != 7:
            raise ValueError(f"length of inception_blocks should be 7 instead of {len(blocks)}")
        conv, block_a, block_b, block_c, block_d, block_e, aux = blocks
        self.aux_logits = aux_logits
        self.transform_input = transform_input

        self.Conv2d_1a_3x3 = conv(3, 32, kernel_size=3, stride=2)
        self.Conv2d_2a_3x3 = conv(32, 32, kernel_size=3)
        self.Conv2d_2b_3x3 = conv(32, 64, kernel_size=3, padding=1)
        self.maxpool1 = nn.MaxPool2d(kernel_size=3, stride=2)
        self.Conv2d_3b_1x1 = conv(64, 80, kernel_size=1)
        self.Conv2d_4a_3x3 = conv(80, 192, kernel_size=3)
        self.maxpool2 = nn.MaxPool2d(kernel_size=3, stride=2)
        self.Mixed_5b = block_a(192, pool_features=32)
        self.Mixed_5c = block_a(256, pool_features=64)
        self.Mixed_5d = block_a(288, pool_features=64)
        self.Mixed_6a = block_b(288)
        self.Mixed_6b = block_c(768, channels_7x7=128)
        self.Mixed_6c = block_c(768, channels_7x7=160)
        self.Mixed_6d = block_c(768, channels_7x7=160)
        self.Mixed_6e = block_c(768, channels_7x7=192)
        self.AuxLogits = aux(768, num_classes) if aux_logits else None
        self.Mixed_7a = block_d(768)
        self.Mixed_7b = block_e(1280)
        self.Mixed_7c = block_e(2048)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.dropout = nn.Dropout(p=dropout)
        self.fc = nn.Linear(2048, num_classes)
        if init_weights:
            initialise_truncated(self, lambda m: float(getattr(m, "stddev", 0.1)))

    def forward(self, x: Tensor) -> Any:
        if self.transform_input:
            x = to_half_range(x)
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(self.maxpool1(x)))
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(self.maxpool2(x))))
        x = self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))
        x = self.Mixed_6e(self.Mixed_6d(x))
        aux = self.AuxLogits(x) if self.AuxLogits is not None and self.training else None
        x = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x)))
        x = self.fc(self.dropout(self.avgpool(x)).flatten(1))
        return InceptionOutputs(x, aux) if self.training and self.aux_logits else x


class Inception_V3_Weights(WeightsEnum):
    IMAGENET1K_V1 = imagenet("inception_v3_google-0cc3c7bd")
    DEFAULT = IMAGENET1K_V1


@builder(Inception_V3_Weights, partial(load_with_aux, ("AuxLogits",), True))
def inception_v3(**kwargs: Any) -> Inception3:
    """Inception v3, 23.8 million parameters and 3.3 million in the auxiliary classifier."""
    return Inception3(**kwargs)
