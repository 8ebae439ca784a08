"""``torch.backends``: switches that programs set and Cresset has no use for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import ModuleType
from typing import Any

#: Lets ``import torch.backends.cudnn`` look inside; what it finds are the objects below.
__path__: list[str] = []


class _Backend(ModuleType):
    """Accepts any flag and says what is available."""

    def __init__(self, name: str, available: bool = False, **flags: Any) -> None:
        super().__init__(f"{__name__}.{name}")
        self._available = available
        self.__dict__.update(flags)

    def is_available(self) -> bool:
        return self._available

    def is_built(self) -> bool:
        return self._available

    def version(self) -> None:
        """No such library is loaded."""
        return None

    @contextlib.contextmanager
    def flags(self, **changes: Any) -> Iterator[None]:
        """Set flags for a block."""
        before = {name: getattr(self, name, None) for name in changes}
        self.__dict__.update(changes)
        try:
            yield
        finally:
            self.__dict__.update(before)


cudnn = _Backend("cudnn", benchmark=False, deterministic=False, enabled=True, allow_tf32=True)
cuda = _Backend("cuda", matmul=_Backend("cuda.matmul", allow_tf32=False))
mps, mkl, mkldnn, openmp = (_Backend(name) for name in ("mps", "mkl", "mkldnn", "openmp"))
