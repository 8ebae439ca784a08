"""Streams and events: names for an order of work, and points in it.

Simulated devices run everything in the order in which it was recorded, whichever stream it was
issued to. That is one of the orders that a program with the right synchronisation allows.
"""

from __future__ import annotations

import itertools
import threading
import time
from typing import Any

from cresset.core import graph
from cresset.cuda.devices import index_of, need
from cresset.device import device as Device
from cresset.runtime import current

_numbers = itertools.count(1)


class Stream:
    """An order of work on a device; ``Stream()`` is a new one on the current device."""

    def __init__(self, device: Any = None, priority: int = 0, **options: Any) -> None:
        need()
        self.device_index = index_of(device)
        self.device = Device("cuda", self.device_index)
        self.priority = priority
        #: 0 is the default stream.
        self.stream_id = self.cuda_stream = options.get("stream_id") or next(_numbers)

    def query(self) -> bool:
        """Whether all its work is done."""
        graph.flush("a stream is asked whether it is done")
        return True

    def synchronize(self) -> None:
        """Wait until all its work is done."""
        graph.flush("a stream is waited for")

    def wait_event(self, event: Event) -> None:
        """Have later work wait for an event: work runs in program order already."""

    def wait_stream(self, stream: Stream) -> None:
        """Have later work wait for another stream: work runs in program order already."""

    def record_event(self, event: Event | None = None) -> Event:
        """Record an event (a new one) at the end of what was issued so far, and return it."""
        event = Event() if event is None else event
        event.record(self)
        return event

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Stream):
            return False
        return (self.device, self.stream_id) == (other.device, other.stream_id)

    def __hash__(self) -> int:
        return hash((self.device, self.stream_id))

    def __repr__(self) -> str:
        return f"<torch.cuda.Stream device={self.device} cuda_stream={self.cuda_stream:#x}>"

    def __enter__(self) -> Stream:
        context = StreamContext(self)
        context.__enter__()
        _of_thread.entered.append(context)
        return self

    def __exit__(self, *exc: Any) -> None:
        _of_thread.entered.pop().__exit__(*exc)


class _OfThread(threading.local):
    """The current stream of each device, and the contexts this thread is in."""

    def __init__(self) -> None:
        self.current: dict[int, Stream] = {}
        self.entered: list[StreamContext] = []


_of_thread = _OfThread()
_default: dict[int, Stream] = {}


def default_stream(device: Any = None) -> Stream:
    """The stream that a device's work goes to if nothing else was said."""
    need()
    index = index_of(device)
    found = _default.get(index)
    if found is None:
        found = _default[index] = Stream(index)
        found.stream_id = found.cuda_stream = 0
    return found


def current_stream(device: Any = None) -> Stream:
    """The stream that a device's work goes to in this thread."""
    need()
    return _of_thread.current.get(index_of(device)) or default_stream(device)


def set_stream(stream: Stream | None) -> None:
    """Make a stream the current one of its device, and that device the current one."""
    if stream is not None:
        _of_thread.current[stream.device_index] = stream
        current.index = stream.device_index


class StreamContext:
    """Within this context a stream (and its device) is the current one; None changes nothing."""

    def __init__(self, stream: Stream | None) -> None:
        self.stream = stream

    def __enter__(self) -> None:
        if self.stream is not None:
            self.device_before = current.index
            self.stream_before = current_stream(self.stream.device_index)
            set_stream(self.stream)

    def __exit__(self, *exc: Any) -> None:
        if self.stream is not None:
            set_stream(self.stream_before)
            current.index = self.device_before


def stream(stream: Stream | None) -> StreamContext:
    """A context that selects a stream."""
    return StreamContext(stream)


def is_current_stream_capturing() -> bool:
    """Whether a CUDA graph is being captured: never."""
    return False


class Event:
    """A point in the order of work. ``Event(enable_timing=True)`` also takes the time."""

    def __init__(self, enable_timing: bool = False, blocking: bool = False,
                 interprocess: bool = False, external: bool = False) -> None:  # fmt: skip
        need()
        self.enable_timing = enable_timing
        self.time: float | None = None

    def record(self, stream: Stream | None = None) -> None:
        """Mark the end of what was recorded so far; with timing, run it and take the time."""
        if self.enable_timing:
            graph.flush("an event takes the time")
        self.time = time.perf_counter()

    def wait(self, stream: Stream | None = None) -> None:
        """Have later work of a stream wait for the event: it does already."""

    def synchronize(self) -> None:
        """Wait until the event has been reached."""
        graph.flush("an event is waited for")

    def query(self) -> bool:
        """Whether the event has been reached."""
        graph.flush("an event is asked whether it was reached")
        return True

    def elapsed_time(self, end_event: Event) -> float:
        """Milliseconds from this event to another one; RuntimeError if one took no time."""
        if not (self.enable_timing and end_event.enable_timing):
            raise RuntimeError("Both events must be created with argument 'enable_timing=True'.")
        if self.time is None or end_event.time is None:
            raise RuntimeError("Both events must be recorded before calculating elapsed time.")
        return (end_event.time - self.time) * 1e3

    def __repr__(self) -> str:
        return "<torch.cuda.Event uninitialized>" if self.time is None else "<torch.cuda.Event>"
