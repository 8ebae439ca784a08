"""Layers, losses and containers: everything that users know as ``torch.nn``."""

import sys as _sys

from cresset.nn import containers, functional, init, utils
from cresset.nn.activation import *  # noqa: F403
from cresset.nn.attention import *  # noqa: F403
from cresset.nn.batchnorm import *  # noqa: F403
from cresset.nn.containers import *  # noqa: F403
from cresset.nn.conv import *  # noqa: F403
from cresset.nn.dropout import *  # noqa: F403
from cresset.nn.flatten import *  # noqa: F403
from cresset.nn.lazy import *  # noqa: F403
from cresset.nn.linear import *  # noqa: F403
from cresset.nn.loss import *  # noqa: F403
from cresset.nn.misc import *  # noqa: F403
from cresset.nn.module import Module
from cresset.nn.normalization import *  # noqa: F403
from cresset.nn.parallel import DataParallel
from cresset.nn.parameter import Buffer, Parameter
from cresset.nn.pooling import *  # noqa: F403
from cresset.nn.rnn import *  # noqa: F403
from cresset.nn.sparse import *  # noqa: F403
from cresset.nn.transformer import *  # noqa: F403

Container = Module
#: PyTorch keeps layers one level deeper: ``nn.modules.batchnorm`` is ``nn.batchnorm``.
modules = _sys.modules[__name__]
container = containers

__all__ = ["Buffer", "Container", "DataParallel", "Module", "Parameter", "functional", "init",
           "utils"]  # fmt: skip
