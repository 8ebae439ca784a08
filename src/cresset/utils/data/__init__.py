"""``torch.utils.data``: the names of ``cresset.data``."""

import sys

from cresset.data import *  # noqa: F403
from cresset.data import __all__ as __all__
from cresset.data import collate, dataloader, dataset, distributed, sampler  # noqa: F401

# ``import torch.utils.data.dataset`` finds these by their full names.
for _module in ("collate", "dataloader", "dataset", "distributed", "sampler"):
    sys.modules[f"{__name__}.{_module}"] = globals()[_module]
