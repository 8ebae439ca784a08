"""Run by Python at start-up in the children of a bound process (see ``compat/children.py``).

It must be quick and quiet, since every child pays for it, those that never see torch too: nothing
of Cresset is imported until ``torch`` or ``torchvision`` is. It must leave no trace on sys.path,
and it must run the ``sitecustomize`` of the environment that it stands in front of.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec

_HERE = os.path.dirname(os.path.abspath(__file__))
_PACKAGES = os.path.dirname(os.path.dirname(os.path.dirname(_HERE)))


class _BindAtFirstUse:
    """Installs the real hook when a program first asks for torch.

    It also finds ``cresset``: a child gets the same Cresset as its parent, wherever it starts.
    """

    busy = False

    def find_spec(self, name, path=None, target=None):
        if name == "cresset":
            return PathFinder.find_spec(name, [_PACKAGES])
        if self.busy or name.partition(".")[0] not in ("torch", "torchvision"):
            return None
        self.busy = True  # a library that Cresset imports may itself look for torch
        try:
            from cresset.compat import install
        finally:
            self.busy = False
        install(legacy=os.environ.get("CRESSET_LEGACY", "0") not in ("", "0"))
        sys.meta_path.remove(self)
        return sys.meta_path[0].find_spec(name, path, target)


def _run_the_hidden_one() -> None:
    """The sitecustomize that Python would have run without us."""
    spec = PathFinder.find_spec("sitecustomize", sys.path)
    if spec is not None and spec.loader is not None:
        module = module_from_spec(spec)
        sys.modules["sitecustomize"] = module
        spec.loader.exec_module(module)


sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) != _HERE]
if os.environ.get("CRESSET_BIND_TORCH") == "1":
    sys.meta_path.insert(0, _BindAtFirstUse())
_run_the_hidden_one()
