"""Process switches read from the environment, and the per-thread autograd switches.

CRESSET_MODE=eager   run every op as it is recorded (the default is ``lazy``)
CRESSET_DEBUG=1..4   say why each flush happened; of plans that are compiled print the ops, 2: also
                     the fused loops, 3: also the LLVM IR, 4: also the assembly
CRESSET_NUM_THREADS  how many threads a compiled plan may use (OMP_NUM_THREADS counts too)
CRESSET_COMPILE=0    stay on the first tier: no plan becomes machine code
CRESSET_CHECK=1      run every plan a second time the plain way, and compare (``core/check.py``)
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager


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
        self._threads = 0
        self.legacy = os.environ.get("CRESSET_LEGACY", "0") not in ("", "0")

    def threads(self) -> int:
        """How many threads a plan may use: what was set, else the processors there are for us."""
        if not self._threads:
            self._threads = _processors()
        return self._threads

    def set_threads(self, count: int) -> None:
        self._threads = count


def _processors() -> int:
    """By the environment, or by affinity and the container's quota."""
    for name in ("CRESSET_NUM_THREADS", "OMP_NUM_THREADS"):
        given = os.environ.get(name, "")
        if given.isdigit() and int(given) > 0:
            return int(given)
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    try:
        with open("/sys/fs/cgroup/cpu.max") as file:
            quota, period = file.read().split()
        if quota != "max":
            count = min(count, max(1, int(quota) // int(period)))
    except (OSError, ValueError):
        pass
    return count


class _Thread(threading.local):
    """Autograd switches; each thread starts with gradients on, as in PyTorch."""

    grad = True
    inference = False
    #: (pack, unpack) for tensors that nodes save; the innermost of ``saved_tensors_hooks``.
    saved_hooks: tuple | None = None
    #: Everything is recorded op by op: a stretch is being looked at (``ops/stretch.py``).
    plain = False


PROCESS = _Process()
THREAD = _Thread()


@contextmanager
def op_by_op() -> Iterator[None]:
    """Inside it, what is recorded is recorded op by op: nothing is taken together."""
    before, THREAD.plain = THREAD.plain, True
    try:
        yield
    finally:
        THREAD.plain = before
