"""``torch.accelerator``: the device type that is not the CPU, if there is one."""

from __future__ import annotations

from cresset.cuda import current_device, device_count, synchronize
from cresset.cuda import is_available as _has_cuda
from cresset.device import device

__all__ = [
    "current_accelerator",
    "current_device_index",
    "device_count",
    "is_available",
    "synchronize",
]

current_device_index = current_device


def is_available() -> bool:
    """Whether there is an accelerator."""
    return _has_cuda()


def current_accelerator(check_available: bool = False) -> device | None:
    """The accelerator's device type, or None."""
    return device("cuda") if _has_cuda() else None
