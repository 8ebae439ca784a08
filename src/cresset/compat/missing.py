"""Words for names that Cresset lacks: PyTorch's message first, then the nearest name it has.

A module raises them from its ``__getattr__``. Lower layers cannot import this file (``compat`` is
above them), so ``cresset/__init__.py`` hangs the function on their modules with ``attach``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from types import ModuleType
from typing import Any

# Cresset's module names as PyTorch's users write them, longest first.
_AS_WRITTEN = (("cresset.vision", "torchvision"), ("cresset", "torch"))


def as_written(module_name: str) -> str:
    """The name under which PyTorch's users know a module of Cresset.

    >>> as_written('cresset.nn.functional'), as_written('cresset.vision.transforms')
    ('torch.nn.functional', 'torchvision.transforms')
    """
    for ours, theirs in _AS_WRITTEN:
        if module_name == ours or module_name.startswith(ours + "."):
            return theirs + module_name[len(ours) :]
    return module_name


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like ``name`` (case aside), or None when nothing is close.

    >>> nearest('relu_', ['relu', 'selu', 'cat'])
    'relu'
    >>> nearest('conv2d', ['Conv2d', 'Conv1d'])
    'Conv2d'
    """
    import difflib  # here, as it costs every `import cresset` a millisecond otherwise

    by_folded: dict[str, str] = {}
    for candidate in sorted(known):
        if name.startswith("_") or not candidate.startswith("_"):
            by_folded.setdefault(candidate.casefold(), candidate)
    found = difflib.get_close_matches(name.casefold(), by_folded, n=1)
    return by_folded[found[0]] if found else None


def lacking(name: str, known: Iterable[str], prefix: str = "") -> str:
    """The parenthesis that ends each of these messages; ``prefix`` goes before the nearest name."""
    near = nearest(name, known)
    if near is None:
        return "(Cresset does not have it)"
    return f"(Cresset does not have it; the nearest it has: {prefix + near!r})"


def missing(module_name: str, name: str, known: Iterable[str]) -> AttributeError:
    """The error for ``module.name`` where the module has no such name; the caller raises it.

    >>> print(missing('cresset', 'ad', ['add', 'mul']))
    module 'torch' has no attribute 'ad' (Cresset does not have it; the nearest it has: 'add')
    """
    text = f"module {as_written(module_name)!r} has no attribute {name!r}"
    # Libraries probe dunder names all the time: no search for those.
    if not (name.startswith("__") and name.endswith("__")):
        text += " " + lacking(name, known)
    error = AttributeError(text)
    # With a name and no object, the interpreter adds no "Did you mean" of its own.
    error.name = name
    return error


def attach(module: ModuleType) -> None:
    """Give ``module`` a ``__getattr__`` that raises ``missing``.

    A ``__getattr__`` that the module has already (for lazy names) is asked first.
    """
    earlier = module.__dict__.get("__getattr__")

    def __getattr__(name: str) -> Any:
        if earlier is not None:
            try:
                value = earlier(name)
            except AttributeError:
                pass
            else:
                if isinstance(value, ModuleType):  # just loaded
                    explain()
                return value
        raise missing(module.__name__, name, list(module.__dict__)) from None

    __getattr__.explains = True  # type: ignore[attr-defined]
    module.__dict__["__getattr__"] = __getattr__


#: Packages in which programs look for names.
_PUBLIC = frozenset(
    "accelerator autograd backends cuda data distributions hub linalg nn optim random "
    "serialization special testing utils vision".split()
)


def explain() -> None:
    """``attach`` to the public modules of Cresset that are loaded, each once.

    One import loads several of them, so this looks at all. ``cresset`` itself has a
    ``__getattr__`` of its own, which calls this for what it loads.
    """
    for name, module in list(sys.modules.items()):
        root, _, rest = name.partition(".")
        if root == "cresset" and rest.partition(".")[0] in _PUBLIC:
            if not hasattr(vars(module).get("__getattr__"), "explains"):
                attach(module)
