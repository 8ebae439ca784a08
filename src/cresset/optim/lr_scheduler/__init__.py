"""Learning-rate schedules. ``step()`` after each epoch (or batch) sets every group's ``lr``.

Rates follow PyTorch's recursions, so they agree with it to the last bit over long runs.
"""

from cresset.optim.lr_scheduler.base import LRScheduler, _LRScheduler
from cresset.optim.lr_scheduler.combine import ChainedScheduler, SequentialLR
from cresset.optim.lr_scheduler.cosine import CosineAnnealingLR, CosineAnnealingWarmRestarts
from cresset.optim.lr_scheduler.cycles import CyclicLR, OneCycleLR
from cresset.optim.lr_scheduler.factors import (
    ConstantLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    MultiplicativeLR,
    MultiStepLR,
    PolynomialLR,
    StepLR,
)
from cresset.optim.lr_scheduler.plateau import ReduceLROnPlateau

__all__ = [
    "ChainedScheduler", "ConstantLR", "CosineAnnealingLR", "CosineAnnealingWarmRestarts",
    "CyclicLR", "ExponentialLR", "LRScheduler", "LambdaLR", "LinearLR", "MultiStepLR",
    "MultiplicativeLR", "OneCycleLR", "PolynomialLR", "ReduceLROnPlateau", "SequentialLR",
    "StepLR", "_LRScheduler",
]  # fmt: skip
