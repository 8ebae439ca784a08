"""What ``torch.compile`` gives for a module."""

from __future__ import annotations

from typing import Any

from cresset.core.urgent import at_first_sight
from cresset.nn.module import Module


class OptimizedModule(Module):
    """A module around another one, ``_orig_mod``, whose calls are compiled from the first one on.

    Parameters, buffers and state belong to the module inside (their names begin with
    ``_orig_mod.``), and so do the attributes that are read and set.
    """

    def __init__(self, module: Module) -> None:
        super().__init__()
        self._modules["_orig_mod"] = module
        self.__dict__["_call"] = at_first_sight(module.__call__)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.__dict__["_call"](*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        module = self.__dict__["_modules"]["_orig_mod"]
        return module if name == "_orig_mod" else getattr(module, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if "_call" in self.__dict__ and name != "training":
            setattr(self._modules["_orig_mod"], name, value)
        else:
            super().__setattr__(name, value)

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        state.pop("_call", None)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.__dict__["_call"] = at_first_sight(self._modules["_orig_mod"].__call__)
