"""``torch.utils``: data loading, checkpointing, sharing memory."""

from cresset.utils import checkpoint, data, dlpack

__all__ = ["checkpoint", "data", "dlpack"]
