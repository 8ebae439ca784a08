"""``torch.utils.checkpoint``: the functions are in ``autograd.checkpoint``."""

from cresset.autograd.checkpoint import checkpoint, checkpoint_sequential

__all__ = ["checkpoint", "checkpoint_sequential"]
