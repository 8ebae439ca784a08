"""Process switches read from the environment, and the per-thread autograd switches.

CRESSET_MODE=eager   run every op as it is recorded (the default is ``lazy``)
CRESSET_DEBUG=1..4   say why each flush happened; higher levels belong to the compiler
CRESSET_COMPILE=0    stay on the first tier: no plan becomes machine code
CRESSET_CHECK=1      run every plan a second time the plain way, and compare (``core/check.py``)
"""

from __future__ import annotations

import os
import threading


class _Process:
    """Settings of this process."""

    def __init__(self) -> None:
        mode = os.environ.get("CRESSET_MODE", "lazy")
        if mode not in ("lazy", "eager"):
            raise ValueError(f"CRESSET_MODE must be 'lazy' or 'eager', got {mode!r}")
        self.eager = mode == "eager"
        self.debug = int(os.environ.get("CRESSET_DEBUG", "0") or "0")
        self.check = os.environ.get("CRESSET_CHECK", "0") not in ("", "0")
        self.compile = os.environ.get("CRESSET_COMPILE", "1") not in ("", "0") and not self.eager
        #: Anomaly detection, inference mode or hooks for saved tensors were used in this process.
        self.unusual = False
        self.legacy = os.environ.get("CRESSET_LEGACY", "0") not in ("", "0")


class _Thread(threading.local):
    """Autograd switches; each thread starts with gradients on, as in PyTorch."""

    grad = True
    inference = False
    #: (pack, unpack) for tensors that nodes save; the innermost of ``saved_tensors_hooks``.
    saved_hooks: tuple | None = None


PROCESS = _Process()
THREAD = _Thread()
