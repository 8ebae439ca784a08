"""Worker processes: what runs in them.

A worker gets tasks (number, indices), several in one message where they are known that early, and
answers (number, batch) through a pipe of its own (see ``handover``). An exception travels as its
type and formatted traceback. A worker whose parent has died ends within seconds.
"""

from __future__ import annotations

import os
import pickle
import random
import signal
import time
import traceback
from dataclasses import dataclass
from typing import Any

import numpy as np

from cresset.core.modes import PROCESS
from cresset.data import handover
from cresset.data.fetch import Fetcher
from cresset.data.waiting import Waiter, let_interrupts_in
from cresset.ops.random import manual_seed

#: How often a waiting worker looks whether its parent is alive.
_LOOK = 5.0
#: A batch made in so many seconds costs less than waking the worker for it twice.
QUICK = 1e-3


@dataclass(frozen=True)
class WorkerInfo:
    """What ``get_worker_info`` tells inside a worker."""

    id: int
    num_workers: int
    seed: int
    dataset: Any
    rng: Any = None
    worker_method: str | None = "multiprocessing"


_info: WorkerInfo | None = None


def get_worker_info() -> WorkerInfo | None:
    """Who this worker is; None in the main process."""
    return _info


class WorkerError:
    """An exception caught in a worker, to be raised again in the main process."""

    def __init__(self, error: BaseException, worker: int) -> None:
        self.kind: type[BaseException] = type(error)
        self.name = self.kind.__name__
        try:
            pickle.dumps(self.kind)
        except Exception:  # a class made inside a function: the main process cannot have it
            self.kind = RuntimeError
        self.text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        self.where = f"in DataLoader worker process {worker}"

    def raise_again(self) -> None:
        message = f"Caught {self.name} {self.where}.\nOriginal {self.text}"
        if self.kind is KeyError:
            raise KeyError(_Plain(message))
        if getattr(self.kind, "message", None):
            raise self.kind(message=message)  # type: ignore[call-arg]
        try:
            error = self.kind(message)
        except Exception:
            raise RuntimeError(message) from None
        raise error


class _Plain(str):
    """A string whose repr has line breaks, since KeyError shows the repr."""

    def __repr__(self) -> str:
        return self


@dataclass
class Done:
    """A worker's iterable dataset has ended."""

    worker: int


def run(
    worker: int, count: int, dataset: Any, iterable: bool, auto_collation: bool, collate_fn: Any,
    drop_last: bool, base_seed: int, init: Any, tasks: Any, pipe: Any, inherited: Any,
    parent: int, slots: int,
) -> None:  # fmt: skip
    """The main loop of a worker process."""
    global _info
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    let_interrupts_in()
    for end in inherited:  # with these open in a fork, the parent's death would go unnoticed
        end.close()
    PROCESS.set_threads(1)
    seed = base_seed + worker
    random.seed(seed)
    manual_seed(seed)
    np.random.seed(_numpy_seed(base_seed, worker))
    _info = WorkerInfo(worker, count, seed, dataset)

    def fetcher() -> Fetcher:
        return Fetcher(dataset, iterable, auto_collation, collate_fn, drop_last)

    failure: WorkerError | None = None
    try:
        if init is not None:
            init(worker)
        fetch = fetcher().fetch
    except Exception as error:
        failure = WorkerError(error, worker)
    outbox, waiter = handover.Outbox(pipe, parent, slots), Waiter([tasks])
    try:
        while (message := _next_message(tasks, waiter, parent)) is not None:
            returned, todo = pickle.loads(message)
            if todo is None:
                return
            outbox.returned(returned)
            for number, indices in todo:
                begun, data = time.perf_counter(), None
                try:
                    if number == "again":
                        fetch = fetcher().fetch
                    elif failure is not None:
                        data = failure
                    else:
                        data = fetch(indices)
                except Exception as error:
                    if isinstance(error, StopIteration) and iterable:
                        data = Done(worker)
                    else:
                        data = WorkerError(error, worker)
                try:
                    packed = handover.packed(data)
                except Exception as error:
                    packed = handover.packed(WorkerError(error, worker))
                quick = number != "again" and time.perf_counter() - begun < QUICK
                outbox.send((number, quick), packed)
                del data, packed
    except (BrokenPipeError, ConnectionResetError):
        return  # the main process has left the loop, or has died


def _next_message(tasks: Any, waiter: Waiter, parent: int) -> Any:
    """What to do next; None when the parent is gone."""
    while not waiter.wait(_LOOK):
        if os.getppid() != parent:
            return None
    try:
        return tasks.recv_bytes()
    except (EOFError, OSError):
        return None


def _numpy_seed(base_seed: int, worker: int) -> np.ndarray:
    """Four words mixed from the seed and the worker's number."""
    return np.random.SeedSequence([worker, base_seed & 0xFFFFFFFFFFFFFFFF]).generate_state(4)
