"""Optimisers and learning-rate schedules."""

from cresset.optim import lr_scheduler
from cresset.optim.adam import Adam, Adamax, AdamW
from cresset.optim.adaptive import Adadelta, Adagrad, RMSprop
from cresset.optim.lbfgs import LBFGS
from cresset.optim.optimizer import Optimizer
from cresset.optim.sgd import SGD

__all__ = [
    "LBFGS", "SGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "Optimizer", "RMSprop",
    "lr_scheduler",
]  # fmt: skip
