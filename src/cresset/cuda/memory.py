"""How much memory tensors take on a device.

Simulated devices have no allocator of their own: the storages that live there are counted when
somebody asks. The peak is the largest count so far, so memory that was taken and given back between
two questions is missed. Sizes are rounded up to blocks of 512 bytes, as CUDA's allocator does.
"""

from __future__ import annotations

import gc
import os
from collections import OrderedDict
from typing import Any

from cresset.core import graph
from cresset.core.storage import Storage
from cresset.cuda.devices import existing, index_of, is_available

_BLOCK = 512
_peak: dict[int, int] = {}


class OutOfMemoryError(RuntimeError):
    """A device has no memory left."""


def host_memory() -> tuple[int, int]:
    """Free and total bytes of this machine's memory."""
    page = os.sysconf("SC_PAGE_SIZE")
    return os.sysconf("SC_AVPHYS_PAGES") * page, os.sysconf("SC_PHYS_PAGES") * page


def memory_allocated(device: Any = None) -> int:
    """Bytes that tensors take on a device (0 without devices)."""
    if not is_available():
        return 0
    index = index_of(device)
    graph.flush("device memory is counted")
    total = sum(
        -(-x.buffer.nbytes // _BLOCK) * _BLOCK
        for x in gc.get_objects()
        if x.__class__ is Storage
        and x.buffer is not None
        and x.device.type == "cuda"
        and x.device.index == index
    )
    _peak[index] = max(total, _peak.get(index, 0))
    return total


def max_memory_allocated(device: Any = None) -> int:
    """The largest ``memory_allocated`` since the start or the last reset."""
    memory_allocated(device)
    return _peak.get(index_of(device), 0)


#: Nothing is held back for later: what is reserved is what is allocated.
memory_reserved = memory_cached = memory_allocated
max_memory_reserved = max_memory_cached = max_memory_allocated


def reset_peak_memory_stats(device: Any = None) -> None:
    """Let the peak start from what is allocated now."""
    _peak.pop(index_of(device), None)
    memory_allocated(device)


reset_max_memory_allocated = reset_max_memory_cached = reset_peak_memory_stats


def reset_accumulated_memory_stats(device: Any = None) -> None:
    """No sums over time are kept."""


def empty_cache() -> None:
    """Nothing is cached."""


def set_per_process_memory_fraction(fraction: float, device: Any = None) -> None:
    """Accepted; a simulated device has the host's memory. ValueError outside [0, 1]."""
    if not isinstance(fraction, float):
        raise TypeError("Invalid type for fraction argument, must be `float`")
    if not 0 <= fraction <= 1:
        raise ValueError(f"Invalid fraction value: {fraction}. Allowed range: 0~1")


def mem_get_info(device: Any = None) -> tuple[int, int]:
    """Free and total bytes of a device: the host's."""
    existing(device)
    return host_memory()


def memory_stats(device: Any = None) -> dict[str, int]:
    """The counts by PyTorch's names (empty without devices)."""
    if not is_available():
        return OrderedDict()
    now, peak = memory_allocated(device), max_memory_allocated(device)
    return OrderedDict(
        (f"{kind}_bytes.all.{when}", count)
        for kind in ("active", "allocated", "reserved")
        for when, count in (("current", now), ("peak", peak))
    )


def memory_summary(device: Any = None, abbreviated: bool = False) -> str:
    """The counts as a table to print."""
    rows = [f"{name:32}{count:16,d}" for name, count in memory_stats(device).items()]
    return "\n".join([f"Device memory, cuda:{index_of(device)}, in bytes", *rows])
