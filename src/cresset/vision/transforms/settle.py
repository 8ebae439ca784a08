"""When transforms of tensors run.

A plan is compiled when a recorded graph is met again. Random transforms follow one another in ever
new orders, so a graph over several of them is seldom met again, but that of one transform is.
So between transforms large images are computed, and their plans are found.
"""

from __future__ import annotations

from typing import Any

from cresset.core import graph
from cresset.tensor import Tensor

#: Smaller images cost less than a plan of their own.
_LARGE = 1 << 14


def settled(img: Any) -> Any:
    """``img``, with its pixels computed if it is a large tensor."""
    if isinstance(img, Tensor) and img.numel() >= _LARGE:
        graph.flush("a transform of an image ended")
    return img
