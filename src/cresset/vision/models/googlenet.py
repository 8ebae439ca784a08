"""GoogLeNet: branches of 1x1, 3x3 and pooled paths side by side, joined by channel.

Columns are the outputs of an *inception* block's convolutions: 1x1; 1x1 before 3x3, 3x3; 1x1 before
the second 3x3 (5x5 in the paper), that; 1x1 after the pool.

| block | 1x1 | 3x3 | "5x5" | pool | output for 224 x 224 |
|---|---|---|---|---|---|
| conv 7x7, pool, conv 1x1, conv 3x3, pool | | | | | 192 x 28 x 28 |
| 3a, 3b, pool | 64, 128 | 96 128, 128 192 | 16 32, 32 96 | 32, 64 | 480 x 14 x 14 |
| 4a (``aux1`` sees it) | 192 | 96 208 | 16 48 | 64 | 512 x 14 x 14 |
| 4b, 4c | 160, 128 | 112 224, 128 256 | 24 64 | 64 | 512 x 14 x 14 |
| 4d (``aux2`` sees it) | 112 | 144 288 | 32 64 | 64 | 528 x 14 x 14 |
| 4e, pool | 256 | 160 320 | 32 128 | 128 | 832 x 7 x 7 |
| 5a, 5b | 256, 384 | 160 320, 192 384 | 32 128, 48 128 | 128 | 1024 x 7 x 7 |

Two small classifiers in the middle help training; their losses are added with a weight of 0.3.

Source: Szegedy et al., "Going Deeper with Convolutions", https://arxiv.org/abs/1409.4842, table 1;
with batch norm: https://arxiv.org/abs/1502.03167
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from cresset import nn
from cresset.nn import functional as F
from cresset.ops.join import cat
from cresset.tensor import Tensor
from cresset.vision.models._api import WeightsEnum, imagenet
from cresset.vision.models._utils import _ovewrite_named_param, builder, load_weights

__all__ = ["GoogLeNet", "GoogLeNetOutputs", "GoogLeNet_Weights", "_GoogLeNetOutputs",
           "googlenet"]  # fmt: skip


class GoogLeNetOutputs(NamedTuple):
    """What a GoogLeNet with auxiliary classifiers returns in training mode."""

    logits: Tensor
    aux_logits2: Tensor | None
    aux_logits1: Tensor | None


_GoogLeNetOutputs = GoogLeNetOutputs  # the name in old programs


class BasicConv2d(nn.Module):
    """Convolution, batch norm, relu. ``kwargs`` go to the convolution."""

    def __init__(self, in_channels: int, out_channels: int, **kwargs: Any) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, bias=False, **kwargs)
        self.bn = nn.BatchNorm2d(out_channels, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)), inplace=True)


class Inception(nn.Module):
    """Four branches, joined; the arguments are a row of the table above."""

    def __init__(
        self,
        in_channels: int,
        ch1x1: int,
        ch3x3red: int,
        ch3x3: int,
        ch5x5red: int,
        ch5x5: int,
        pool_proj: int,
        conv_block: Callable[..., nn.Module] | None = None,
    ) -> None:
        super().__init__()
        conv = conv_block or BasicConv2d
        self.branch1 = conv(in_channels, ch1x1, kernel_size=1)
        self.branch2 = nn.Sequential(
            conv(in_channels, ch3x3red, kernel_size=1),
            conv(ch3x3red, ch3x3, kernel_size=3, padding=1),
        )
        # 3x3 where the paper has 5x5: so the checkpoint was trained.
        self.branch3 = nn.Sequential(
            conv(in_channels, ch5x5red, kernel_size=1),
            conv(ch5x5red, ch5x5, kernel_size=3, padding=1),
        )
        self.branch4 = nn.Sequential(
            nn.MaxPool2d(kernel_size=3, stride=1, padding=1, ceil_mode=True),
            conv(in_channels, pool_proj, kernel_size=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


class InceptionAux(nn.Module):
    """A classifier in the middle of the network: mean to 4x4, conv 1x1, two linear layers."""

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        conv_block: Callable[..., nn.Module] | None = None,
        dropout: float = 0.7,
    ) -> None:
        super().__init__()
        self.conv = (conv_block or BasicConv2d)(in_channels, 128, kernel_size=1)
        self.fc1 = nn.Linear(2048, 1024)
        self.fc2 = nn.Linear(1024, num_classes)
        self.dropout = nn.Dropout(p=dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(F.adaptive_avg_pool2d(x, (4, 4))).flatten(1)
        return self.fc2(self.dropout(F.relu(self.fc1(x), inplace=True)))


class GoogLeNet(nn.Module):
    """(N, 3, H, W), 15 pixels or more each way, to (N, num_classes), or ``GoogLeNetOutputs``.

    Args:
        num_classes: outputs.
        aux_logits: have the two auxiliary classifiers; training mode returns their outputs too.
        transform_input: take images normalised as for the other models here, and change them to
            the range that the checkpoint was trained on.
        init_weights: draw convolutions and linear layers from a truncated normal. None does so
            too, with a warning, as torchvision means to change that.
        blocks: the classes to use for ``BasicConv2d``, ``Inception`` and ``InceptionAux``.
        dropout, dropout_aux: before the last layer of the network and of the auxiliary classifiers.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        aux_logits: bool = True,
        transform_input: bool = False,
        init_weights: bool | None = None,
        blocks: Sequence[Callable[..., nn.Module]] | None = None,
        dropout: float = 0.2,
        dropout_aux: float = 0.7,
    ) -> None:
        super().__init__()
        blocks = blocks or [BasicConv2d, Inception, InceptionAux]
        if init_weights is None:
            warn_of_initialisation("GoogleNet")
            init_weights = True
        if len(blocks) != 3:
            raise ValueError(f"blocks length should be 3 instead of {len(blocks)}")
        conv, inception, aux = blocks
        self.aux_logits = aux_logits
        self.transform_input = transform_input

        self.conv1 = conv(3, 64, kernel_size=7, stride=2, padding=3)
        self.maxpool1 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.conv2 = conv(64, 64, kernel_size=1)
        self.conv3 = conv(64, 192, kernel_size=3, padding=1)
        self.maxpool2 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.inception3a = inception(192, 64, 96, 128, 16, 32, 32)
        self.inception3b = inception(256, 128, 128, 192, 32, 96, 64)
        self.maxpool3 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.inception4a = inception(480, 192, 96, 208, 16, 48, 64)
        self.inception4b = inception(512, 160, 112, 224, 24, 64, 64)
        self.inception4c = inception(512, 128, 128, 256, 24, 64, 64)
        self.inception4d = inception(512, 112, 144, 288, 32, 64, 64)
        self.inception4e = inception(528, 256, 160, 320, 32, 128, 128)
        self.maxpool4 = nn.MaxPool2d(2, stride=2, ceil_mode=True)
        self.inception5a = inception(832, 256, 160, 320, 32, 128, 128)
        self.inception5b = inception(832, 384, 192, 384, 48, 128, 128)
        self.aux1 = aux(512, num_classes, dropout=dropout_aux) if aux_logits else None
        self.aux2 = aux(528, num_classes, dropout=dropout_aux) if aux_logits else None
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.dropout = nn.Dropout(p=dropout)
        self.fc = nn.Linear(1024, num_classes)
        if init_weights:
            initialise_truncated(self, lambda m: 0.01)

    def forward(self, x: Tensor) -> Any:
        if self.transform_input:
            x = to_half_range(x)
        x = self.maxpool1(self.conv1(x))
        x = self.maxpool2(self.conv3(self.conv2(x)))
        x = self.maxpool3(self.inception3b(self.inception3a(x)))
        x = self.inception4a(x)
        aux1 = self.aux1(x) if self.aux1 is not None and self.training else None
        x = self.inception4d(self.inception4c(self.inception4b(x)))
        aux2 = self.aux2(x) if self.aux2 is not None and self.training else None
        x = self.maxpool4(self.inception4e(x))
        x = self.inception5b(self.inception5a(x))
        x = self.fc(self.dropout(self.avgpool(x).flatten(1)))
        return GoogLeNetOutputs(x, aux2, aux1) if self.training and self.aux_logits else x


# -- shared with Inception v3 ----------------------------------------------------------------------


def warn_of_initialisation(name: str) -> None:
    """torchvision's warning for ``init_weights=None``."""
    warnings.warn(
        f"The default weight initialization of {name} will be changed in future releases of "
        "torchvision. If you wish to keep the old behavior (which leads to long initialization "
        "times due to scipy/scipy#11299), please set init_weights=True.",
        FutureWarning,
        stacklevel=3,
    )


def initialise_truncated(model: nn.Module, std: Callable[[nn.Module], float]) -> None:
    """Convolutions and linear layers from a normal cut at -2 and 2, norms 1 and 0."""
    for m in model.modules():
        if isinstance(m, (nn.Conv2d, nn.Linear)):
            nn.init.trunc_normal_(m.weight, mean=0.0, std=std(m), a=-2, b=2)
        elif isinstance(m, nn.BatchNorm2d):
            nn.init.ones_(m.weight)
            nn.init.zeros_(m.bias)


def to_half_range(x: Tensor) -> Tensor:
    """From ImageNet's normalisation, by channel, to the mean 0.5 and deviation 0.5 of TensorFlow's.

    ``v * std + mean`` is the pixel in 0..1; less 0.5, over 0.5, it is in -1..1.
    """
    channels = [
        x[:, c].unsqueeze(1) * (std / 0.5) + (mean - 0.5) / 0.5
        for c, (mean, std) in enumerate([(0.485, 0.229), (0.456, 0.224), (0.406, 0.225)])
    ]
    return cat(channels, 1)


def load_with_aux(
    names: Sequence[str],
    kept_by_default: bool,
    make: Callable[..., Any],
    weights: WeightsEnum,
    progress: bool,
    kwargs: dict[str, Any],
) -> Any:
    """A model with its checkpoint, which has auxiliary classifiers; dropped where not asked for."""
    keep = kwargs.get("aux_logits", kept_by_default)
    kwargs["aux_logits"] = True
    kwargs.setdefault("transform_input", True)
    _ovewrite_named_param(kwargs, "init_weights", False)
    model = load_weights(make, weights, progress, kwargs)
    if not keep:
        model.aux_logits = False
        for name in names:
            setattr(model, name, None)
    return model


# --------------------------------------------------------------------------------------------------


def _load(
    make: Callable[..., GoogLeNet], weights: WeightsEnum, progress: bool, kwargs: dict[str, Any]
) -> GoogLeNet:
    model = load_with_aux(("aux1", "aux2"), False, make, weights, progress, kwargs)
    if model.aux_logits:
        warnings.warn(
            "auxiliary heads in the pretrained googlenet model are NOT pretrained, so make sure to "
            "train them",
            stacklevel=4,
        )
    return model


class GoogLeNet_Weights(WeightsEnum):
    IMAGENET1K_V1 = imagenet("googlenet-1378be20")
    DEFAULT = IMAGENET1K_V1


@builder(GoogLeNet_Weights, _load)
def googlenet(**kwargs: Any) -> GoogLeNet:
    """GoogLeNet, 6.6 million parameters and 6.4 million in the auxiliary classifiers.

    With ``weights`` it has no auxiliary classifiers unless ``aux_logits=True`` is given.
    """
    return GoogLeNet(**kwargs)
