"""``torch.accelerator``: the device type that is not the CPU, if there is one."""

from __future__ import annotations

from typing import Any

from cresset import cuda
from cresset.cuda import device_count as device_count
from cresset.cuda import (
    empty_cache,
    get_device_capability,
    max_memory_allocated,
    max_memory_reserved,
    memory_allocated,
    memory_reserved,
    memory_stats,
    reset_accumulated_memory_stats,
    reset_peak_memory_stats,
)
from cresset.cuda import is_available as is_available
from cresset.device import device

__all__ = [
    "current_accelerator", "current_device_idx", "current_device_index", "current_stream",
    "device_count", "device_index", "empty_cache", "get_device_capability", "get_memory_info",
    "is_available", "max_memory_allocated", "max_memory_reserved", "memory_allocated",
    "memory_reserved", "memory_stats", "reset_accumulated_memory_stats", "reset_peak_memory_stats",
    "set_device_idx", "set_device_index", "set_stream", "synchronize",
]  # fmt: skip


def _need() -> None:
    if not is_available():
        raise RuntimeError("Cannot access accelerator device when none is available.")


def current_accelerator(check_available: bool = False) -> device | None:
    """The accelerator's device type, or None."""
    return device("cuda") if is_available() else None


def current_device_index() -> int:
    """The number of the current device; RuntimeError without an accelerator."""
    _need()
    return cuda.current_device()


def set_device_index(device: Any) -> None:
    """Make a device the current one."""
    _need()
    cuda.set_device(device)


current_device_idx, set_device_idx = current_device_index, set_device_index


def synchronize(device: Any = None) -> None:
    """Wait until everything recorded has run."""
    _need()
    cuda.synchronize(device)


def current_stream(device: Any = None) -> cuda.Stream:
    """The stream that the device's work goes to."""
    _need()
    return cuda.current_stream(device)


def set_stream(stream: cuda.Stream) -> None:
    """Make a stream the current one."""
    _need()
    cuda.set_stream(stream)


def get_memory_info(device: Any = None) -> tuple[int, int]:
    """Free and total bytes."""
    _need()
    return cuda.mem_get_info(device)


class device_index:
    """Within this context another device is the current one (None: the same)."""

    def __init__(self, device: int | None) -> None:
        self.context = cuda.device(-1 if device is None else device)

    def __enter__(self) -> None:
        self.context.__enter__()

    def __exit__(self, *exc: Any) -> None:
        self.context.__exit__(*exc)
