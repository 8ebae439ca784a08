"""``torch.utils.data``: the names of ``cresset.data``."""

import sys
from types import ModuleType

from cresset.data import *  # noqa: F403
from cresset.data import __all__ as __all__
from cresset.data import (  # noqa: F401
    collate,
    dataloader,
    dataset,
    distributed,
    pinning,
    sampler,
    worker,
)

#: PyTorch's private place for these; programs import ``collate`` from there.
_utils = ModuleType(f"{__name__}._utils")
_utils.__path__ = []
_utils.collate, _utils.pin_memory, _utils.worker = collate, pinning, worker

# ``import torch.utils.data.dataset`` finds these by their full names.
for _module in ("collate", "dataloader", "dataset", "distributed", "sampler", "_utils"):
    sys.modules[f"{__name__}.{_module}"] = globals()[_module]
for _module in ("collate", "pin_memory", "worker"):
    sys.modules[f"{_utils.__name__}.{_module}"] = getattr(_utils, _module)
