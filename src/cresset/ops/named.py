"""Results with named parts, printed as PyTorch prints them."""

from __future__ import annotations

from collections import namedtuple
from typing import Any


def _repr(self: Any) -> str:
    parts = ",\n".join(f"{field}={getattr(self, field)!r}" for field in self._fields)
    return f"torch.return_types.{type(self).__name__}(\n{parts})"


def as_pytorch(kind: Any, name: str) -> Any:
    """Give a named tuple the name and the repr of ``torch.return_types.name``."""
    kind.__name__ = kind.__qualname__ = name
    kind.__module__ = "torch.return_types"
    kind.__repr__ = _repr
    return kind


def result(name: str, *fields: str) -> Any:
    """A tuple type like ``torch.return_types.name``.

    >>> result('pair', 'one', 'other')(1, 2)
    torch.return_types.pair(
    one=1,
    other=2)
    """
    return as_pytorch(namedtuple(name, fields), name)  # type: ignore[misc]
