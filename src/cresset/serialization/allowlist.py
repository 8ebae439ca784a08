"""What a user allows the safe loader to make, besides tensors and plain containers.

>>> import cresset as torch
>>> class Config:
...     pass
>>> with torch.serialization.safe_globals([Config]):
...     Config in torch.serialization.get_safe_globals()
True
>>> Config in torch.serialization.get_safe_globals()
False
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cresset.serialization import names

_allowed: list[Any] = []


def add_safe_globals(safe_globals: Iterable[Any]) -> None:
    """Let ``load(weights_only=True)`` make these classes and call these functions.

    An entry may also be ``(object, 'module.name')``, to allow it under another name.
    """
    _allowed.extend(entry for entry in safe_globals if entry not in _allowed)


def get_safe_globals() -> list[Any]:
    """What was allowed."""
    return list(_allowed)


def clear_safe_globals() -> None:
    """Forget everything that was allowed."""
    _allowed.clear()


class safe_globals:
    """Allow some classes and functions within a ``with`` block."""

    def __init__(self, safe_globals: Iterable[Any]) -> None:
        self.safe_globals = list(safe_globals)

    def __enter__(self) -> None:
        add_safe_globals(self.safe_globals)

    def __exit__(self, *exc: Any) -> None:
        _allowed[:] = [entry for entry in _allowed if entry not in self.safe_globals]


def user_table() -> dict[str, Any]:
    """Allowed objects by every name that a file may use for them."""
    table: dict[str, Any] = {}
    for entry in _allowed:
        if isinstance(entry, tuple):
            if len(entry) != 2:
                raise ValueError(
                    "Expected tuple of length 2 (global, str of callable full path), but got "
                    f"tuple of length: {len(entry)}"
                )
            thing, path = entry
            if type(path) is not str:
                raise TypeError(
                    "Expected second item in tuple to be str of callable full path, but got: "
                    f"{type(path)}"
                )
            table[path] = thing
            continue
        table[f"{entry.__module__}.{entry.__qualname__}"] = entry
        known = names.pytorch_name(entry)
        if known is not None:
            table[".".join(known)] = entry
    return table
