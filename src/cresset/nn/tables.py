"""``Table``: a module's parameters, buffers or submodules by name, quick to reach as attributes.

Of a module's attributes, parameters, buffers and submodules live in three dictionaries
(``_parameters``, ``_buffers``, ``_modules``). Finding them there takes a failed ordinary lookup and
a call of ``Module.__getattr__``: 340 ns each, some 17 times in a training step of a small network.
So each dictionary mirrors what is written to it into the module's ``__dict__``, where the ordinary
lookup finds it in 20 ns.

What must stay true: the dictionary is the truth and the mirror never differs from it, also when a
program writes to ``module._parameters`` directly. Names that the class itself defines are not
mirrored, since there the class attribute is what PyTorch finds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any
from weakref import ref

_NOTHING = object()


class _Changes:
    """Counts writes to the attributes of modules: while it stands still, all are as they were."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 1


CHANGES = _Changes()


def _nobody() -> None:
    """The owner of a table that was replaced."""


class Table(dict):
    """A dictionary whose entries also show as attributes of the ``owner`` module."""

    __slots__ = ("_owner",)
    _owner: Callable[[], Any]

    def __init__(self, owner: Any, entries: Mapping[str, Any] | None = None) -> None:
        self._owner = ref(owner)
        if entries:
            self.update(entries)

    def __setitem__(self, name: str, value: Any) -> None:
        dict.__setitem__(self, name, value)
        CHANGES.count += 1
        owner = self._owner()
        if owner is not None and not hasattr(type(owner), name):
            owner.__dict__[name] = value

    def _forget(self, name: str, value: Any) -> None:
        CHANGES.count += 1
        owner = self._owner()
        if owner is not None and owner.__dict__.get(name, _NOTHING) is value:
            del owner.__dict__[name]

    def __delitem__(self, name: str) -> None:
        value = self[name]
        dict.__delitem__(self, name)
        self._forget(name, value)

    def pop(self, name: str, *default: Any) -> Any:
        had = name in self
        value = dict.pop(self, name, *default)
        if had:
            self._forget(name, value)
        return value

    def popitem(self) -> tuple[str, Any]:
        name, value = dict.popitem(self)
        self._forget(name, value)
        return name, value

    def release(self) -> None:
        """Stop mirroring: another table takes this one's place. The entries stay."""
        for name, value in self.items():
            self._forget(name, value)
        self._owner = _nobody

    def clear(self) -> None:
        for name in list(self):
            del self[name]

    def setdefault(self, name: str, default: Any = None) -> Any:
        if name not in self:
            self[name] = default
        return self[name]

    def update(  # type: ignore[override]
        self, entries: Mapping[str, Any] | Iterable[tuple[str, Any]] = (), /, **more: Any
    ) -> None:
        for name, value in dict(entries, **more).items():
            self[name] = value

    def __ior__(self, entries: Any) -> Table:  # type: ignore[override, misc]
        self.update(entries)
        return self

    def __reduce_ex__(self, protocol: Any) -> tuple:
        # A copy or a pickle holds a plain dictionary; Module.__setstate__ makes it a Table again.
        return dict, (dict(self),)
