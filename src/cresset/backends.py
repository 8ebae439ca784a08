"""``torch.backends``: switches that programs set and Cresset has no use for."""

from __future__ import annotations

from typing import Any


class _Backend:
    """Accepts any flag and says what is available."""

    def __init__(self, available: bool = False, **flags: Any) -> None:
        self._available = available
        self.__dict__.update(flags)

    def is_available(self) -> bool:
        return self._available

    def is_built(self) -> bool:
        return self._available


cudnn = _Backend(benchmark=False, deterministic=False, enabled=True, allow_tf32=True)
cuda = _Backend(matmul=_Backend(allow_tf32=False))
mps, mkl, mkldnn, openmp = _Backend(), _Backend(), _Backend(), _Backend()
