"""The import hook: ``import torch`` gives the module object of ``cresset`` itself.

Two finders on ``sys.meta_path``. The first stands in front and answers for ``torch``,
``torchvision`` and everything under them with Cresset's own modules: no copies, so ``torch.nn is
cresset.nn`` and a class has one identity under both names. The last stands at the end, where only
names arrive that nobody found, and says which names Cresset lacks and what comes nearest.

What must stay true: a bound module keeps its own ``__name__`` and ``__spec__`` (so the loader puts
it into ``sys.modules`` and never lets importlib write to it), and a process that holds the real
torch is never bound, as two libraries under one name would take each other's tensors.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec
from types import FrameType, ModuleType
from typing import Any

from cresset.compat import children as _children
from cresset.compat.missing import as_written, explain, lacking

ROOTS = {"torch": "cresset", "torchvision": "cresset.vision"}

# PyTorch's deeper module paths, where Cresset keeps the same things under a shorter one. Tried
# when the plain translation finds nothing.
_ELSEWHERE: tuple[tuple[str, str], ...] = (
    ("torch.nn.modules.utils", "cresset.nn.tuples"),
    ("torch.nn.modules.container", "cresset.nn.containers"),
    ("torch.nn.modules.instancenorm", "cresset.nn.batchnorm"),
    ("torch.nn.modules", "cresset.nn"),
    ("torch.nn.utils.convert_parameters", "cresset.nn.utils.parameters"),
    ("torch.autograd.variable", "cresset.autograd"),
    ("torch.utils.data._utils", "cresset.data"),
    *((f"torch.distributions.{name}", "cresset.distributions") for name in (
        "bernoulli", "categorical", "exponential", "geometric", "laplace", "multivariate_normal",
        "normal", "one_hot_categorical", "poisson", "uniform",
    )),
    ("torch._tensor", "cresset.tensor"),
    ("torch.functional", "cresset"),
    ("torch.utils.data", "cresset.data"),
)  # fmt: skip


def _targets(name: str) -> Iterator[str]:
    """Where in Cresset a module called ``name`` in PyTorch may be, most likely first.

    >>> list(_targets('torch.nn.modules.linear'))
    ['cresset.nn.modules.linear', 'cresset.nn.linear']
    """
    root, dot, rest = name.partition(".")
    yield ROOTS[root] + dot + rest
    for theirs, ours in _ELSEWHERE:
        if name == theirs or name.startswith(theirs + "."):
            yield ours + name[len(theirs) :]


def _is_bound(name: str) -> bool:
    return name.partition(".")[0] in ROOTS


class _Binding:
    """Puts a module of Cresset into ``sys.modules`` under a second name."""

    def __init__(self, target: str | ModuleType) -> None:
        self.target = target

    def create_module(self, spec: ModuleSpec) -> None:
        return None  # importlib makes a throw-away module, which exec_module replaces

    def exec_module(self, module: ModuleType) -> None:
        target = self.target
        found = importlib.import_module(target) if isinstance(target, str) else target
        sys.modules[module.__name__] = found
        explain()


def _spec(name: str, target: str | ModuleType) -> ModuleSpec:
    loader: Any = _Binding(target)
    return ModuleSpec(name, loader)


class _Binder:
    """Finds ``torch...`` and ``torchvision...`` in Cresset."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not _is_bound(name):
            return None
        for ours in _targets(name):
            if ours in sys.modules or _exists(ours):
                return _spec(name, ours)
        # A module object that a package of Cresset holds as an attribute counts as its submodule.
        parent, _, leaf = name.rpartition(".")
        held = sys.modules[parent].__dict__.get(leaf) if parent in sys.modules else None
        return _spec(name, held) if isinstance(held, ModuleType) else None


class _Explainer:
    """Says what Cresset lacks, in place of importlib's bare "No module named"."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> None:
        parent_name, _, leaf = name.rpartition(".")
        parent = sys.modules.get(parent_name)
        importing = _importing()
        if parent is None or not importing or not (_is_bound(name) or name.startswith("cresset.")):
            return None
        if importing == "from":
            # _handle_fromlist swallows a ModuleNotFoundError, hence its base class.
            text = f"cannot import name {leaf!r} from {as_written(parent_name)!r}"
            raise ImportError(f"{text} {lacking(leaf, dir(parent))}", name=parent_name)
        text = f"No module named {name!r}"
        known = _submodules(parent)
        raise ModuleNotFoundError(f"{text} {lacking(leaf, known, parent_name + '.')}", name=name)


def _exists(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # a parent is not there, or is no package
        return False


def _submodules(package: ModuleType) -> set[str]:
    """Names that can be imported under ``package``."""
    import pkgutil

    held = {name for name, value in vars(package).items() if isinstance(value, ModuleType)}
    return held | {found.name for found in pkgutil.iter_modules(package.__path__)}


def _importing() -> str | None:
    """``"import"``, ``"from"`` (``from package import name``), or None: someone only asks.

    ``importlib.util.find_spec("torch.x")`` asks the finders the same question as an import does,
    and must get None. Only the calling frames tell the two apart. Where these names change in a
    later Python, None is what remains, and with it importlib's own message.
    """
    frame: FrameType | None = sys._getframe(3)  # past this, the finder, importlib's _find_spec
    names: list[str] = []
    while frame is not None and len(names) < 4:
        names.append(frame.f_code.co_name)
        frame = frame.f_back
    if names[:1] != ["_find_and_load_unlocked"]:
        return None
    return "from" if names[2:] == ["_call_with_frames_removed", "_handle_fromlist"] else "import"


# Any: importlib asks for the methods alone, and its base classes cost 6 ms at import.
_BINDER: Any = _Binder()
_EXPLAINER: Any = _Explainer()


def _name_classes(bound: bool) -> None:
    """Have ``type(x)`` print as ``<class 'torch.Tensor'>`` in a bound process.

    Only these: they are the ones that programs print, and pickle finds them under both names.
    """
    package = sys.modules["cresset"]  # above this layer, and there before any part of it
    for name in _ROOT_CLASSES:
        kind = getattr(package, name)
        if bound:
            _HOMES.setdefault(name, kind.__module__)
            kind.__module__ = "torch"
        elif name in _HOMES:
            kind.__module__ = _HOMES.pop(name)


_ROOT_CLASSES = ("Tensor", "Size", "dtype", "device", "layout", "memory_format", "finfo", "iinfo")
#: Where these classes say they are defined when the process is not bound.
_HOMES: dict[str, str] = {}


def install(*, legacy: bool = False, children: bool = False) -> None:
    """Bind ``torch`` and ``torchvision`` to Cresset in this process; a second call is harmless.

    ``legacy=True`` also brings back PyTorch 0.1 to 0.4 (``cresset.compat.legacy``).
    ``children=True`` also binds the processes that this one starts, through their environment;
    forked ones inherit the binding in any case. Raises RuntimeError if the real torch is imported
    already.

    >>> install()
    >>> import torch.nn, cresset.nn
    >>> torch.nn is cresset.nn
    True
    >>> uninstall()
    """
    for root in ROOTS:
        loaded = sys.modules.get(root)
        if loaded is not None and not loaded.__name__.startswith("cresset"):
            raise RuntimeError(
                f"cannot bind {root!r} to Cresset: the real {root} is already imported in this "
                f"process (from {getattr(loaded, '__file__', None)}). Run the program with "
                "`python -m cresset script.py`, or call cresset.compat.install() before anything "
                f"imports {root}."
            )
    if _BINDER not in sys.meta_path:
        sys.meta_path.insert(0, _BINDER)
        sys.meta_path.append(_EXPLAINER)
        _name_classes(True)
    if children:
        _children.bind(legacy=legacy)
    if legacy:
        importlib.import_module("cresset.compat.legacy").enable()


def uninstall() -> None:
    """Undo ``install``: the next ``import torch`` finds the real one, or none.

    Modules imported meanwhile keep the names that they hold; legacy behaviour stays on.
    """
    if _BINDER not in sys.meta_path:
        return
    sys.meta_path.remove(_BINDER)
    sys.meta_path.remove(_EXPLAINER)
    _name_classes(False)
    for name in [name for name in sys.modules if _is_bound(name)]:
        del sys.modules[name]
    importlib.invalidate_caches()
    _children.release()
