"""``torch.utils``: data loading, checkpointing, sharing memory."""

from cresset.utils import checkpoint, data, dlpack
from cresset.utils.checkpointer import Checkpointer

__all__ = ["Checkpointer", "checkpoint", "data", "dlpack"]
