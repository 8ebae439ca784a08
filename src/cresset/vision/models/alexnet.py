"""AlexNet: the network that started it, in the form that trains on one device.

| layer | output for a 224 x 224 image |
|---|---|
| conv 11x11, 64, stride 4; max pool 3, stride 2 | 64 x 27 x 27 |
| conv 5x5, 192; max pool 3, stride 2 | 192 x 13 x 13 |
| conv 3x3, 384; conv 3x3, 256; conv 3x3, 256; max pool 3, stride 2 | 256 x 6 x 6 |
| linear 4096, linear 4096, linear ``num_classes``, dropout before the first two | ``num_classes`` |

Source: Krizhevsky, "One weird trick for parallelizing convolutional neural networks",
https://arxiv.org/abs/1404.5997
"""

from __future__ import annotations

from typing import Any

from cresset import nn
from cresset.tensor import Tensor
from cresset.vision.models._api import WeightsEnum, imagenet
from cresset.vision.models._utils import builder

__all__ = ["AlexNet", "AlexNet_Weights", "alexnet"]


class AlexNet(nn.Module):
    """(N, 3, H, W), 63 pixels or more each way, to (N, num_classes)."""

    def __init__(self, num_classes: int = 1000, dropout: float = 0.5) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, kernel_size=11, stride=4, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.Conv2d(64, 192, kernel_size=5, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.Conv2d(192, 384, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(384, 256, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(256, 256, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2),
        )
        self.avgpool = nn.AdaptiveAvgPool2d((6, 6))
        self.classifier = nn.Sequential(
            nn.Dropout(p=dropout),
            nn.Linear(256 * 6 * 6, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(p=dropout),
            nn.Linear(4096, 4096),
            nn.ReLU(inplace=True),
            nn.Linear(4096, num_classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


class AlexNet_Weights(WeightsEnum):
    IMAGENET1K_V1 = imagenet("alexnet-owt-7be5be79")
    DEFAULT = IMAGENET1K_V1


@builder(AlexNet_Weights)
def alexnet(**kwargs: Any) -> AlexNet:
    """AlexNet, 61.1 million parameters. ``kwargs`` go to the class."""
    return AlexNet(**kwargs)
