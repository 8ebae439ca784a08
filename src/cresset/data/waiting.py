"""Waiting for several connections at once, and keeping Ctrl-C out of a process that is being born.

``multiprocessing.connection.wait`` registers its connections anew at each call, which takes longer
than all the rest of handing over a batch.
"""

from __future__ import annotations

import contextlib
import select
import signal
from collections.abc import Iterator, Sequence
from multiprocessing import connection
from typing import Any


class Waiter:
    """Waits for any of ``sources``: connections, or sentinels of processes."""

    def __init__(self, sources: Sequence[Any]) -> None:
        self.sources = list(sources)
        self.poll: Any = None
        if hasattr(select, "poll"):
            numbers = [s if isinstance(s, int) else s.fileno() for s in sources]
            self.by_number = dict(zip(numbers, self.sources, strict=True))
            self.poll = select.poll()
            for number in numbers:
                self.poll.register(number, select.POLLIN)

    def wait(self, seconds: float | None) -> list[Any]:
        """The sources that have something to read (or have ended); none if time is up."""
        if self.poll is None:
            return connection.wait(self.sources, seconds)
        found = self.poll.poll(None if seconds is None else seconds * 1000)
        return [self.by_number[number] for number, _ in found]


@contextlib.contextmanager
def interrupts_held_back() -> Iterator[None]:
    """Ctrl-C comes after the block. A process started inside holds it back for good, or until it
    calls ``let_interrupts_in``: it would not know yet what to do with one."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def let_interrupts_in() -> None:
    """For a process that was started while they were held back."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
