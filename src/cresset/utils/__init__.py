"""``torch.utils``: data loading and checkpointing."""

from cresset.utils import checkpoint, data

__all__ = ["checkpoint", "data"]
