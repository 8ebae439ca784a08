"""``torch.cuda.nvtx``: marks for a profiler, which nobody listens to here."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

_depth = [0]


def range_push(msg: str) -> int:
    """Open a named range; returns how many were open before."""
    _depth[0] += 1
    return _depth[0] - 1


def range_pop() -> int:
    """Close the innermost range; returns how many are left."""
    _depth[0] = max(0, _depth[0] - 1)
    return _depth[0]


def mark(msg: str) -> None:
    """Mark a point in time."""


@contextlib.contextmanager
def range(msg: str, *args: object, **kwargs: object) -> Iterator[None]:
    """A named range as a context (or a decorator)."""
    range_push(msg.format(*args, **kwargs))
    try:
        yield
    finally:
        range_pop()
