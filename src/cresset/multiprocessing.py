"""``torch.multiprocessing``: Python's ``multiprocessing``, tensors that are shared, and ``spawn``.

A tensor that is sent to another process (through a queue, a pipe or as an argument) moves into
shared memory, and both processes work on the same values. The sender must live until the receiver
has it, as its descriptor is handed over then; what is in shared memory by inheritance (a fork after
``share_memory_``) needs no handing over.
"""

from __future__ import annotations

import multiprocessing
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from multiprocessing import *  # noqa: F403
from multiprocessing import connection
from multiprocessing.reduction import ForkingPickler
from typing import Any

from cresset.ops.sharing import reduce_shared
from cresset.runtime.shared import AVAILABLE
from cresset.tensor import Tensor

__all__ = [
    *multiprocessing.__all__,  # type: ignore[attr-defined]
    "ProcessContext", "ProcessException", "ProcessExitedException", "ProcessRaisedException",
    "SpawnContext", "get_all_sharing_strategies", "get_sharing_strategy", "set_sharing_strategy",
    "spawn", "start_processes",
]  # fmt: skip


if AVAILABLE:
    ForkingPickler.register(Tensor, reduce_shared)


def get_all_sharing_strategies() -> set[str]:
    """The ways of handing memory over that PyTorch knows; here they change nothing."""
    return {"file_descriptor", "file_system"}


_strategy = "file_descriptor"


def get_sharing_strategy() -> str:
    return _strategy


def set_sharing_strategy(new_strategy: str) -> None:
    """Accepted, so that scripts which choose one run."""
    global _strategy
    assert new_strategy in get_all_sharing_strategies()
    _strategy = new_strategy


class ProcessException(Exception):
    """A process started by ``spawn`` failed: which, and its id."""

    def __init__(self, msg: str, error_index: int, pid: int) -> None:
        super().__init__(msg)
        self.msg, self.error_index, self.error_pid = msg, error_index, pid

    def __reduce__(self) -> tuple:
        return type(self), (self.msg, self.error_index, self.error_pid)


class ProcessRaisedException(ProcessException):
    """It failed with an exception, whose traceback is in the message."""


class ProcessExitedException(ProcessException):
    """It ended with a signal or a status other than 0."""

    def __init__(self, msg: str, error_index: int, error_pid: int, exit_code: int,
                 signal_name: str | None = None) -> None:  # fmt: skip
        super().__init__(msg, error_index, error_pid)
        self.exit_code, self.signal_name = exit_code, signal_name

    def __reduce__(self) -> tuple:
        own = (self.exit_code, self.signal_name)
        return type(self), (self.msg, self.error_index, self.error_pid, *own)


def _call(fn: Callable[..., Any], i: int, args: tuple, pipe: Any) -> None:
    _end_with_parent()
    try:
        fn(i, *args)
    except KeyboardInterrupt:
        pass  # the parent has been interrupted as well
    except Exception:
        pipe.send(traceback.format_exc())
        sys.exit(1)


def _end_with_parent() -> None:
    """Have the system interrupt this process when its parent dies (Linux only)."""
    if sys.platform == "linux":
        import ctypes

        death_signal = 1  # PR_SET_PDEATHSIG
        ctypes.CDLL(None).prctl(death_signal, int(signal.SIGINT), 0, 0, 0)
        parent = multiprocessing.parent_process()
        if parent is not None and not parent.is_alive():  # it died before the system was asked
            sys.exit(1)


#: Seconds for a terminated process to end before it is killed.
_GRACE = 30.0


class ProcessContext:
    """The processes that ``spawn(..., join=False)`` started."""

    def __init__(self, processes: list[Any], pipes: list[Any]) -> None:
        self.processes = processes
        self.sentinels = {p.sentinel: i for i, p in enumerate(processes)}
        self._pipes = {pipe: i for i, pipe in enumerate(pipes)}
        self._texts: dict[int, str] = {}

    def pids(self) -> list[int]:
        return [p.pid for p in self.processes]

    def join(self, timeout: float | None = None, grace_period: float | None = None) -> bool:
        """Wait until one fails (the others are ended, and its error raised) or all are done.

        With a timeout, returns False if some still run. ``grace_period`` is how many seconds the
        others get to end by themselves, and once more when they were asked to.
        """
        while self.sentinels:
            ready = connection.wait([*self.sentinels, *self._pipes], timeout)
            if not ready:
                return False
            # The pipes first: a process ends only when its whole traceback has been read.
            for pipe in [p for p in ready if p in self._pipes]:
                self._read(pipe)
            for sentinel in [s for s in ready if s in self.sentinels]:
                i = self.sentinels.pop(sentinel)  # type: ignore[call-overload]
                self.processes[i].join()
                if self.processes[i].exitcode != 0:
                    self._fail(i, grace_period)
        return True

    def _read(self, pipe: Any) -> None:
        i = self._pipes.pop(pipe)
        try:
            self._texts[i] = pipe.recv()
        except (EOFError, ConnectionResetError):  # it said nothing before it ended
            pass

    def _join_all(self, patience: float) -> None:
        until = time.monotonic() + patience
        for p in self.processes:
            p.join(max(0.0, until - time.monotonic()))

    def _fail(self, i: int, grace_period: float | None) -> None:
        if grace_period is not None:
            self._join_all(grace_period)
        for p in self.processes:
            if p.is_alive():
                p.terminate()
        self._join_all(_GRACE if grace_period is None else grace_period)
        for p in self.processes:
            if p.is_alive():
                p.kill()
            p.join()
        for pipe, number in list(self._pipes.items()):
            if number == i:
                self._read(pipe)
        pid, code = self.processes[i].pid, self.processes[i].exitcode
        if i in self._texts:
            raise ProcessRaisedException(
                f"\n\n-- Process {i} terminated with the following error:\n{self._texts[i]}", i, pid
            )
        if code < 0:
            try:
                name = signal.Signals(-code).name
            except ValueError:
                name = f"<Unknown signal {-code}>"
            raise ProcessExitedException(
                f"process {i} terminated with signal {name}", i, pid, code, name
            )
        raise ProcessExitedException(f"process {i} terminated with exit code {code}", i, pid, code)


class SpawnContext(ProcessContext):
    """The old name of ``ProcessContext``."""

    def __init__(self, processes: list[Any], pipes: list[Any]) -> None:
        warnings.warn("SpawnContext is renamed to ProcessContext since 1.4 release.", stacklevel=2)
        super().__init__(processes, pipes)


def start_processes(
    fn: Callable[..., Any], args: tuple = (), nprocs: int = 1, join: bool = True,
    daemon: bool = False, start_method: str = "spawn",
) -> ProcessContext | None:  # fmt: skip
    """Run ``fn(i, *args)`` in ``nprocs`` processes, i from 0; see ``ProcessContext.join``."""
    context: Any = multiprocessing.get_context(start_method)
    processes, pipes = [], []
    for i in range(nprocs):
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_call, args=(fn, i, args, theirs), daemon=daemon)
        process.start()
        theirs.close()
        processes.append(process)
        pipes.append(ours)
    started = ProcessContext(processes, pipes)
    if not join:
        return started
    started.join()
    return None


def spawn(
    fn: Callable[..., Any], args: tuple = (), nprocs: int = 1, join: bool = True,
    daemon: bool = False, start_method: str = "spawn",
) -> ProcessContext | None:  # fmt: skip
    """``start_processes`` with fresh interpreters, which import the program anew."""
    return start_processes(fn, args, nprocs, join, daemon, start_method)
