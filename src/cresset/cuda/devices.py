"""Which devices there are, and which one ``cuda`` means in this thread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cresset.core import graph
from cresset.device import device as Device
from cresset.runtime import current
from cresset.runtime.simulated import simulated_count


def is_available() -> bool:
    """Whether there is a CUDA device (real or simulated)."""
    return simulated_count() > 0


def device_count() -> int:
    """How many CUDA devices there are."""
    return simulated_count()


def need() -> None:
    """RuntimeError if there is no device."""
    if not is_available():
        raise RuntimeError(
            "Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU and "
            "installed a driver (or set CRESSET_SIMULATE_CUDA=N for N simulated devices)."
        )


def index_of(where: Any) -> int:
    """The number of a device given as None (the current one), a number, a name or an object.

    ValueError for a device of another type.
    """
    if where is None:
        return current.index
    if isinstance(where, int):
        return where
    found = Device(where)
    if found.type != "cuda":
        raise ValueError(f"Expected a cuda device, but got: {where}")
    return current.index if found.index is None else found.index


def existing(where: Any) -> int:
    """``index_of`` a device that is there; RuntimeError if there is none, or not this one."""
    need()
    index = index_of(where)
    if not 0 <= index < device_count():
        raise AssertionError("Invalid device id")
    return index


def current_device() -> int:
    """The number of the device that ``cuda`` means."""
    need()
    return current.index


def set_device(device: Any) -> None:
    """Make a device the one that ``cuda`` means in this thread; a negative number changes nothing.

    RuntimeError if it does not exist.
    """
    index = index_of(device)
    if index < 0:
        return
    need()
    if index >= device_count():
        raise RuntimeError("CUDA error: invalid device ordinal")
    current.index = index


class device:
    """Within this context ``cuda`` means another device (with a negative number: the same)."""

    def __init__(self, device: Any) -> None:
        self.idx = index_of(device)
        self.prev_idx = -1

    def __enter__(self) -> None:
        self.prev_idx = current.index
        set_device(self.idx)

    def __exit__(self, *exc: Any) -> None:
        current.index = self.prev_idx


class device_of(device):
    """Within this context ``cuda`` means the device of a tensor; a CPU tensor changes nothing."""

    def __init__(self, obj: Any) -> None:
        super().__init__(obj.get_device() if obj.is_cuda else -1)


def synchronize(device: Any = None) -> None:
    """Wait until everything recorded has run."""
    need()
    index_of(device)
    graph.flush("synchronize")


def get_device_name(device: Any = None) -> str:
    """The name of a device."""
    return get_device_properties(device).name


def get_device_capability(device: Any = None) -> tuple[int, int]:
    """The compute capability (0, 0): a simulated device has none."""
    properties = get_device_properties(device)
    return properties.major, properties.minor


@dataclass(frozen=True)
class DeviceProperties:
    """What is known of a device."""

    name: str
    major: int
    minor: int
    total_memory: int
    multi_processor_count: int


def get_device_properties(device: Any = None) -> DeviceProperties:
    """Name, capability and memory of a device; AssertionError if there is no such device."""
    from cresset.cuda.memory import host_memory

    index = existing(device)
    return DeviceProperties(f"Cresset simulated device {index}", 0, 0, host_memory()[1], 1)


def can_device_access_peer(device: Any, peer_device: Any) -> bool:
    """Whether one device can read another's memory: simulated ones copy through the host."""
    device, peer = index_of(device), index_of(peer_device)
    for index in (device, peer):
        if not 0 <= index < device_count():
            raise AssertionError(
                "Invalid device id" if index == device else "Invalid peer device id"
            )
    return False


def get_arch_list() -> list[str]:
    """The architectures that code is compiled for: none yet."""
    return []


def get_gencode_flags() -> str:
    """The compiler flags for ``get_arch_list``."""
    return ""


def is_bf16_supported(including_emulation: bool = True) -> bool:
    return is_available()


def is_tf32_supported() -> bool:
    return False


def is_initialized() -> bool:
    return is_available()


def init() -> None:
    """Nothing to start; RuntimeError if there is no device."""
    need()


def ipc_collect() -> None:
    """Nothing to collect; RuntimeError if there is no device."""
    need()
