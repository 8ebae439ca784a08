"""``torch.cuda``: what device code asks for. Devices are simulated until the CUDA back end
exists."""

from __future__ import annotations

from typing import Any

from cresset.core import graph
from cresset.device import device as Device
from cresset.ops.random import manual_seed as _manual_seed
from cresset.random.generator import generator_of
from cresset.runtime import current
from cresset.runtime.simulated import simulated_count


def is_available() -> bool:
    """Whether there is a CUDA device (real or simulated)."""
    return simulated_count() > 0


def device_count() -> int:
    """How many CUDA devices there are."""
    return simulated_count()


def current_device() -> int:
    """The number of the device that ``cuda`` means."""
    _need()
    return current.index


def _need() -> None:
    if not is_available():
        raise RuntimeError(
            "Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU and "
            "installed a driver (or set CRESSET_SIMULATE_CUDA=N for N simulated devices)."
        )


def _index(where: Any) -> int:
    if where is None:
        return current.index
    found = Device(where) if not isinstance(where, int) else Device("cuda", where)
    return current.index if found.index is None else found.index


def set_device(device: Any) -> None:
    """Make a device the one that ``cuda`` means."""
    _need()
    index = _index(device)
    if index >= device_count():
        raise RuntimeError("CUDA error: invalid device ordinal")
    current.index = index


class device:
    """Within this context ``cuda`` means another device."""

    def __init__(self, device: Any) -> None:
        self.index = _index(device)

    def __enter__(self) -> None:
        self.previous, current.index = current.index, self.index

    def __exit__(self, *exc: Any) -> None:
        current.index = self.previous


def synchronize(device: Any = None) -> None:
    """Wait until everything recorded has run."""
    graph.flush("synchronize")


def manual_seed(seed: int) -> None:
    """Seed the current device's generator."""
    if is_available():
        generator_of(Device("cuda", current.index)).manual_seed(seed)


def manual_seed_all(seed: int) -> None:
    """Seed the generators of all devices."""
    for i in range(device_count()):
        generator_of(Device("cuda", i)).manual_seed(seed)


seed_all = _manual_seed


def get_device_name(device: Any = None) -> str:
    """The name of a device."""
    _need()
    return f"Cresset simulated device {_index(device)}"


def get_device_capability(device: Any = None) -> tuple[int, int]:
    """The compute capability (0, 0): a simulated device has none."""
    _need()
    return (0, 0)


def empty_cache() -> None:
    """Nothing is cached."""


def memory_allocated(device: Any = None) -> int:
    """Simulated devices do not count memory."""
    return 0


max_memory_allocated = memory_reserved = max_memory_reserved = memory_allocated


def is_bf16_supported() -> bool:
    return True


def is_initialized() -> bool:
    return is_available()


def init() -> None:
    """Nothing to start."""


class Stream:
    """An order of work; simulated devices have one."""

    def __init__(self, device: Any = None, priority: int = 0) -> None:
        self.device = Device("cuda", _index(device))

    def synchronize(self) -> None:
        synchronize()

    def wait_stream(self, stream: Stream) -> None:
        """Work runs in program order already."""

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *exc: Any) -> None:
        pass


def stream(stream: Stream | None) -> Any:
    """A context that selects a stream."""
    import contextlib

    return contextlib.nullcontext(stream)


def current_stream(device: Any = None) -> Stream:
    return Stream(device)


class Event:
    """A point in time on a stream."""

    def __init__(self, enable_timing: bool = False, blocking: bool = False,
                 interprocess: bool = False) -> None:  # fmt: skip
        self.time: float | None = None

    def record(self, stream: Any = None) -> None:
        """Run what was recorded so far and take the time."""
        import time

        synchronize()
        self.time = time.perf_counter()

    def synchronize(self) -> None:
        synchronize()

    def query(self) -> bool:
        return True

    def elapsed_time(self, end_event: Event) -> float:
        """Milliseconds between two recorded events."""
        if self.time is None or end_event.time is None:
            raise RuntimeError("Both events must be recorded before calculating elapsed time.")
        return (end_event.time - self.time) * 1e3
