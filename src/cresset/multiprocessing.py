"""``torch.multiprocessing``: Python's ``multiprocessing``, and ``spawn``.

A tensor sent to another process is copied; ``share_memory_`` is accepted and shares nothing yet.
"""

from __future__ import annotations

import multiprocessing
import signal
import sys
import traceback
from collections.abc import Callable
from multiprocessing import *  # noqa: F403
from multiprocessing import connection
from typing import Any

__all__ = [
    *multiprocessing.__all__,  # type: ignore[attr-defined]
    "ProcessContext", "ProcessException", "ProcessExitedException", "ProcessRaisedException",
    "get_all_sharing_strategies", "get_sharing_strategy", "set_sharing_strategy", "spawn",
    "start_processes",
]  # fmt: skip


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
        self.msg, self.error_index, self.pid = msg, error_index, pid


class ProcessRaisedException(ProcessException):
    """It failed with an exception, whose traceback is in the message."""


class ProcessExitedException(ProcessException):
    """It ended with a signal or a status other than 0."""

    def __init__(self, msg: str, error_index: int, error_pid: int, exit_code: int,
                 signal_name: str | None = None) -> None:  # fmt: skip
        super().__init__(msg, error_index, error_pid)
        self.exit_code, self.signal_name = exit_code, signal_name


def _call(fn: Callable[..., Any], i: int, args: tuple, pipe: Any) -> None:
    try:
        fn(i, *args)
    except KeyboardInterrupt:
        pass  # the parent has been interrupted as well
    except Exception:
        pipe.send(traceback.format_exc())
        sys.exit(1)


class ProcessContext:
    """The processes that ``spawn(..., join=False)`` started."""

    def __init__(self, processes: list[Any], pipes: list[Any]) -> None:
        self.processes, self._pipes = processes, pipes
        self._running = {p.sentinel: i for i, p in enumerate(processes)}

    def pids(self) -> list[int]:
        return [p.pid for p in self.processes]

    def join(self, timeout: float | None = None) -> bool:
        """Wait until one fails (the others are ended, and its error raised) or all are done.

        With a timeout, returns False if some still run.
        """
        while self._running:
            ended = connection.wait(list(self._running), timeout)
            if not ended:
                return False
            for sentinel in ended:
                i = self._running.pop(sentinel)  # type: ignore[index,arg-type]
                self.processes[i].join()
                if self.processes[i].exitcode != 0:
                    self._fail(i)
        return True

    def _fail(self, i: int) -> None:
        for p in self.processes:
            if p.is_alive():
                p.terminate()
            p.join()
        pid, code = self.processes[i].pid, self.processes[i].exitcode
        try:
            text = self._pipes[i].recv()
        except EOFError:  # it said nothing before it ended
            text = None
        if text is not None:
            raise ProcessRaisedException(
                f"\n\n-- Process {i} terminated with the following error:\n{text}", i, pid
            )
        if code < 0:
            name = signal.Signals(-code).name
            raise ProcessExitedException(
                f"process {i} terminated with signal {name}", i, pid, code, name
            )
        raise ProcessExitedException(f"process {i} terminated with exit code {code}", i, pid, code)


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
