"""``torch.utils.data``: the names of ``cresset.data``."""

from cresset.data import *  # noqa: F403
from cresset.data import __all__ as __all__
from cresset.data import collate, dataloader, dataset, sampler  # noqa: F401
