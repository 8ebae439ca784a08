"""Optimisers and learning-rate schedules."""

from cresset.optim import lr_scheduler, swa_utils
from cresset.optim.adam import Adam, Adamax, AdamW
from cresset.optim.adaptive import Adadelta, Adagrad, RMSprop
from cresset.optim.lbfgs import LBFGS
from cresset.optim.nadam import NAdam, RAdam
from cresset.optim.optimizer import Optimizer
from cresset.optim.rprop import ASGD, Rprop
from cresset.optim.sgd import SGD

__all__ = [
    "ASGD", "LBFGS", "SGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "NAdam", "Optimizer",
    "RAdam", "RMSprop", "Rprop", "lr_scheduler", "swa_utils",
]  # fmt: skip
