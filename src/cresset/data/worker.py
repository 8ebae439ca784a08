"""Worker processes: what runs in them, and how tensors cross the border.

A worker gets (number, indices) and answers (number, batch). Tensors travel as NumPy arrays by
pickle protocol 5; an exception travels as its type and formatted traceback.
"""

from __future__ import annotations

import os
import queue
import random
import signal
import traceback
from dataclasses import dataclass
from typing import Any

import numpy as np

from cresset import dtypes
from cresset.core.plan import to_bfloat16
from cresset.ops.creation import from_host
from cresset.ops.random import manual_seed
from cresset.tensor import Tensor


@dataclass
class WorkerInfo:
    """What ``get_worker_info`` tells inside a worker."""

    id: int
    num_workers: int
    seed: int
    dataset: Any


_info: WorkerInfo | None = None


def get_worker_info() -> WorkerInfo | None:
    """Who this worker is; None in the main process."""
    return _info


class _Packed:
    """A tensor on its way between processes."""

    def __init__(self, x: Tensor) -> None:
        self.values = np.ascontiguousarray(x.detach()._host())
        self.dtype = x.dtype
        self.requires_grad = x._requires_grad

    def tensor(self) -> Tensor:
        values = self.values
        if self.dtype is dtypes.bfloat16:
            values = to_bfloat16(np, values)
        return from_host(values, self.dtype, _cpu(), self.requires_grad)


def _cpu() -> Any:
    from cresset.device import CPU

    return CPU


def pack(data: Any) -> Any:
    """Replace tensors inside containers by what can be pickled."""
    return _map(data, Tensor, _Packed)


def unpack(data: Any) -> Any:
    """The inverse of ``pack``."""
    return _map(data, _Packed, _Packed.tensor)


def _map(data: Any, kind: type, function: Any) -> Any:
    if isinstance(data, kind):
        return function(data)
    if type(data) is dict:
        return {k: _map(v, kind, function) for k, v in data.items()}
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*(_map(v, kind, function) for v in data))
    if type(data) in (list, tuple):
        return type(data)(_map(v, kind, function) for v in data)
    return data


class WorkerError:
    """An exception caught in a worker, to be raised again in the main process."""

    def __init__(self, error: BaseException, worker: int) -> None:
        self.kind = type(error)
        self.text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        self.where = f"in DataLoader worker process {worker}"

    def raise_again(self) -> None:
        message = f"Caught {self.kind.__name__} {self.where}.\nOriginal {self.text}"
        if self.kind is KeyError:
            raise KeyError(_Plain(message))
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
    drop_last: bool, base_seed: int, init: Any, tasks: Any, results: Any, parent: int,
) -> None:  # fmt: skip
    """The main loop of a worker process."""
    global _info
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    seed = base_seed + worker
    random.seed(seed)
    manual_seed(seed)
    np.random.seed(_numpy_seed(base_seed, worker))
    _info = WorkerInfo(worker, count, seed, dataset)
    failure: WorkerError | None = None
    fetcher: Any = None
    try:
        if init is not None:
            init(worker)
    except Exception as error:
        failure = WorkerError(error, worker)
    try:
        while True:
            try:
                task = tasks.get(timeout=5.0)
            except queue.Empty:
                if os.getppid() != parent:
                    return
                continue
            if task is None:
                return
            number, indices = task
            if number == "again":
                fetcher = None
                results.put(("again", worker))
                continue
            if failure is not None:
                results.put((number, failure))
                failure = None
                continue
            try:
                if fetcher is None:
                    fetcher = Fetcher(dataset, iterable, auto_collation, collate_fn, drop_last)
                data = pack(fetcher.fetch(indices))
            except StopIteration:
                data = Done(worker)
            except Exception as error:
                data = WorkerError(error, worker)
            results.put((number, data))
    finally:
        results.cancel_join_thread() if os.getppid() != parent else None
        results.close()


def _numpy_seed(base_seed: int, worker: int) -> np.ndarray:
    """Four words mixed from the seed and the worker's number."""
    return np.random.SeedSequence([worker, base_seed & 0xFFFFFFFFFFFFFFFF]).generate_state(4)


class Fetcher:
    """Gets one batch from a dataset."""

    def __init__(
        self, dataset: Any, iterable: bool, auto_collation: bool, collate_fn: Any, drop_last: bool
    ) -> None:
        self.dataset, self.auto, self.collate, self.drop_last = (
            dataset,
            auto_collation,
            collate_fn,
            drop_last,
        )
        self.iterator = iter(dataset) if iterable else None

    def fetch(self, indices: Any) -> Any:
        """The batch for ``indices`` (for a stream: the next ``len(indices)`` samples)."""
        if self.iterator is not None:
            if not self.auto:
                return self.collate(next(self.iterator))
            samples = []
            for _ in indices:
                try:
                    samples.append(next(self.iterator))
                except StopIteration:
                    break
            if not samples or (self.drop_last and len(samples) < len(indices)):
                raise StopIteration
            return self.collate(samples)
        if not self.auto:
            return self.collate(self.dataset[indices])
        many = getattr(self.dataset, "__getitems__", None)
        if many is not None:
            return self.collate(many(indices))
        return self.collate([self.dataset[i] for i in indices])
