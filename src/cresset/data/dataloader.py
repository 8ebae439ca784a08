"""``DataLoader``: batches of a dataset, in this process or by worker processes.

Each worker has a queue of its own; batches are handed out round-robin and returned in order. The
seeds and the order of draws from the default generator are PyTorch's.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import queue
import signal
import time
import warnings
from collections.abc import Iterator
from typing import Any

from cresset.core import graph
from cresset.core.modes import PROCESS
from cresset.data import worker as workers
from cresset.data.collate import default_collate, default_convert
from cresset.data.dataset import IterableDataset
from cresset.data.sampler import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    draw_seed,
)

_POLL = 1.0

# The samplers are made from these, so a later change would be half a change.
_FIXED = frozenset(
    {"batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers"}
)


def _checked_context(context: Any, num_workers: int) -> Any:
    """A multiprocessing context (or None), from a context or the name of a start method."""
    if context is None:
        return None
    if num_workers == 0:
        raise ValueError(
            "multiprocessing_context can only be used with multi-process loading (num_workers > "
            f"0), but got num_workers={num_workers}"
        )
    if isinstance(context, str):
        methods = multiprocessing.get_all_start_methods()
        if context not in methods:
            raise ValueError(
                "multiprocessing_context option should specify a valid start method in "
                f"{methods!r}, but got multiprocessing_context={context!r}"
            )
        return multiprocessing.get_context(context)
    if not isinstance(context, multiprocessing.context.BaseContext):
        raise TypeError(
            "multiprocessing_context option should be a valid context object or a string "
            f"specifying the start method, but got multiprocessing_context={context}"
        )
    return context


class _InfiniteSampler(Sampler):
    def __iter__(self) -> Iterator[None]:
        while True:
            yield None


class DataLoader:
    """Iterates over batches of a dataset.

    >>> import cresset as torch
    >>> data = torch.utils.data.TensorDataset(torch.arange(4))
    >>> [batch for batch, in torch.utils.data.DataLoader(data, batch_size=2)]
    [tensor([0, 1]), tensor([2, 3])]
    """

    def __class_getitem__(cls, item: Any) -> Any:
        return cls

    def __init__(
        self, dataset: Any, batch_size: int | None = 1, shuffle: bool | None = None,
        sampler: Any = None, batch_sampler: Any = None, num_workers: int = 0, collate_fn: Any =
        None, pin_memory: bool = False, drop_last: bool = False, timeout: float = 0,
        worker_init_fn: Any = None, multiprocessing_context: Any = None, generator: Any = None, *,
        prefetch_factor: int | None = None, persistent_workers: bool = False,
        pin_memory_device: str = "", in_order: bool = True,
    ) -> None:  # fmt: skip
        if num_workers < 0:
            raise ValueError(
                "num_workers option should be non-negative; use num_workers=0 to disable "
                "multiprocessing."
            )
        if timeout < 0:
            raise ValueError("timeout option should be non-negative")
        if num_workers == 0 and prefetch_factor is not None:
            raise ValueError(
                "prefetch_factor option could only be specified in multiprocessing.let num_workers "
                "> 0 to enable multiprocessing, otherwise set prefetch_factor to None."
            )
        if num_workers > 0 and prefetch_factor is None:
            prefetch_factor = 2
        elif prefetch_factor is not None and prefetch_factor < 0:
            raise ValueError("prefetch_factor option should be non-negative")
        if persistent_workers and num_workers == 0:
            raise ValueError("persistent_workers option needs num_workers > 0")
        self.dataset, self.num_workers, self.prefetch_factor = dataset, num_workers, prefetch_factor
        self.pin_memory, self.pin_memory_device = pin_memory, pin_memory_device
        self.timeout, self.worker_init_fn = timeout, worker_init_fn
        self.multiprocessing_context = _checked_context(multiprocessing_context, num_workers)
        self.in_order = in_order
        self.iterable = isinstance(dataset, IterableDataset)
        if self.iterable:
            if shuffle not in (False, None):
                raise ValueError(
                    "DataLoader with IterableDataset: expected unspecified shuffle option, but got "
                    f"shuffle={shuffle}"
                )
            if sampler is not None:
                raise ValueError(
                    "DataLoader with IterableDataset: expected unspecified sampler option, but got "
                    f"sampler={sampler}"
                )
            if batch_sampler is not None:
                raise ValueError(
                    "DataLoader with IterableDataset: expected unspecified batch_sampler option, "
                    f"but got batch_sampler={batch_sampler}"
                )
        else:
            shuffle = bool(shuffle)
        if sampler is not None and shuffle:
            raise ValueError("sampler option is mutually exclusive with shuffle")
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                raise ValueError(
                    "batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, "
                    "and drop_last"
                )
            batch_size, drop_last = None, False
        elif batch_size is None and drop_last:
            raise ValueError(
                "batch_size=None option disables auto-batching and is mutually exclusive with "
                "drop_last"
            )
        if sampler is None:
            if self.iterable:
                sampler = _InfiniteSampler()
            elif shuffle:
                sampler = RandomSampler(dataset, generator=generator)
            else:
                sampler = SequentialSampler(dataset)
        if batch_size is not None and batch_sampler is None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.batch_size, self.drop_last = batch_size, drop_last
        self.sampler, self.batch_sampler, self.generator = sampler, batch_sampler, generator
        self._auto_collation = batch_sampler is not None
        if collate_fn is None:
            collate_fn = default_collate if self._auto_collation else default_convert
        self.collate_fn, self.persistent_workers = collate_fn, persistent_workers
        self._iterator: Any = None
        self._initialized = True
        if num_workers > (os.cpu_count() or 1) * 2:
            warnings.warn(
                f"This DataLoader will create {num_workers} worker processes in total. Our "
                f"suggested max number of worker in current system is {os.cpu_count()}, which is "
                "smaller than what this DataLoader is going to create. Please be aware that "
                "excessive worker creation might get DataLoader running slow or even freeze, lower "
                "the worker number to avoid potential slowness/freeze if necessary.",
                UserWarning,
                stacklevel=2,
            )

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _FIXED and self.__dict__.get("_initialized"):
            raise ValueError(
                f"{name} attribute should not be set after {type(self).__name__} is initialized"
            )
        super().__setattr__(name, value)

    @property
    def _index_sampler(self) -> Any:
        return self.batch_sampler if self._auto_collation else self.sampler

    def __iter__(self) -> _BaseDataLoaderIter:
        if self.num_workers == 0:
            return _SingleProcessDataLoaderIter(self)
        if self.persistent_workers:
            if self._iterator is None:
                self._iterator = _MultiProcessingDataLoaderIter(self)
            else:
                self._iterator.start_again()
            return self._iterator
        return _MultiProcessingDataLoaderIter(self)

    def __len__(self) -> int:
        if not self.iterable:
            return len(self._index_sampler)
        n = len(self.dataset)
        if self.batch_size is None:
            return n
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)


class _BaseDataLoaderIter:
    """One pass over a loader."""

    def __init__(self, loader: DataLoader) -> None:
        self.loader = loader
        self.indices = iter(loader._index_sampler)
        # PyTorch draws this seed whether or not there are workers.
        self.base_seed = draw_seed(loader.generator)

    def __iter__(self) -> _BaseDataLoaderIter:
        return self

    def __len__(self) -> int:
        return len(self.loader._index_sampler)

    def __next__(self) -> Any:
        raise NotImplementedError

    def __getattr__(self, name: str) -> Any:
        if name == "next" and PROCESS.legacy:
            return self.__next__
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")


class _SingleProcessDataLoaderIter(_BaseDataLoaderIter):
    """Batches made in this process."""

    def __init__(self, loader: DataLoader) -> None:
        super().__init__(loader)
        self.fetcher = workers.Fetcher(
            loader.dataset, loader.iterable, loader._auto_collation, loader.collate_fn,
            loader.drop_last,
        )  # fmt: skip

    def __next__(self) -> Any:
        return self.fetcher.fetch(next(self.indices))


class _MultiProcessingDataLoaderIter(_BaseDataLoaderIter):
    """Batches made by worker processes, returned in order."""

    def __init__(self, loader: DataLoader) -> None:
        super().__init__(loader)
        self.processes: list = []
        self.closed, self.owner_pid = False, os.getpid()
        context = loader.multiprocessing_context
        if context is None:
            context = multiprocessing.get_context(_start_method())
        graph.flush("starting data workers")
        self.results = context.Queue()
        self.tasks = []
        for i in range(loader.num_workers):
            tasks = context.Queue()
            tasks.cancel_join_thread()
            process = context.Process(
                target=workers.run,
                args=(
                    i, loader.num_workers, loader.dataset, loader.iterable, loader._auto_collation,
                    loader.collate_fn, loader.drop_last, self.base_seed, loader.worker_init_fn,
                    tasks, self.results, os.getpid(),
                ),
                daemon=True,
            )  # fmt: skip
            process.start()
            self.tasks.append(tasks)
            self.processes.append(process)
        self._reset()

    def start_again(self) -> None:
        """A new pass with the same (persistent) workers."""
        while self.sent > self.received:  # finish what is still under way
            self._receive()
        self.indices = iter(self.loader._index_sampler)
        for tasks in self.tasks:
            tasks.put(("again", None))
        waiting = len(self.tasks)
        while waiting:
            if self._take()[0] == "again":
                waiting -= 1
        self._reset()

    def _reset(self) -> None:
        self.sent = self.received = self.next_number = 0
        self.done: dict[int, Any] = {}
        self.owner: dict[int, int] = {}
        self.running = [True] * len(self.tasks)
        self.turn = itertools.cycle(range(len(self.tasks)))
        for _ in range((self.loader.prefetch_factor or 2) * len(self.tasks)):
            self._send()

    def _send(self) -> None:
        """Hand the next indices to the next worker that still runs."""
        try:
            indices = next(self.indices)
        except StopIteration:
            return
        for _ in self.tasks:
            i = next(self.turn)
            if self.running[i]:
                break
        else:
            return
        self.tasks[i].put((self.sent, indices))
        self.owner[self.sent] = i
        self.sent += 1

    def _take(self) -> Any:
        """The next answer of any worker; notices dead workers and timeouts."""
        limit = self.loader.timeout
        start = time.monotonic()
        while True:
            try:
                return self.results.get(timeout=min(_POLL, limit) if limit else _POLL)
            except queue.Empty:
                dead = [p for p in self.processes if not p.is_alive()]
                if dead:
                    self._close()
                    codes = {p.exitcode for p in dead}
                    if all(c is not None and c < 0 for c in codes):
                        text = signal.strsignal(-dead[0].exitcode)
                        raise RuntimeError(
                            f"DataLoader worker (pid {dead[0].pid}) is killed by signal: {text}. "
                        ) from None
                    pids = ", ".join(str(p.pid) for p in dead)
                    raise RuntimeError(
                        f"DataLoader worker (pid(s) {pids}) exited unexpectedly"
                    ) from None
                if limit and time.monotonic() - start >= limit:
                    raise RuntimeError(f"DataLoader timed out after {limit} seconds") from None

    def _receive(self) -> None:
        number, data = self._take()
        self.received += 1
        self.done[number] = data

    def __next__(self) -> Any:
        while True:
            while self.next_number < self.sent and self.next_number not in self.done:
                self._receive()
            if self.next_number >= self.sent:
                if not self.loader.persistent_workers:
                    self._close()
                raise StopIteration
            data = self.done.pop(self.next_number)
            owner = self.owner.pop(self.next_number)
            self.next_number += 1
            if isinstance(data, workers.Done):
                self.running[owner] = False
                self._send()
                continue
            self._send()
            if isinstance(data, workers.WorkerError):
                if not self.loader.persistent_workers:
                    self._close()
                data.raise_again()
            return workers.unpack(data)

    def _close(self) -> None:
        """End the workers; never raises, also at interpreter exit."""
        # A fork (another loader's worker) inherits this object, but not the workers.
        if self.closed or os.getpid() != self.owner_pid:
            return
        self.closed = True
        for tasks in self.tasks:
            try:
                tasks.put(None)
            except Exception:  # the queue may be closed already
                continue
        for process in self.processes:
            process.join(0.5)
            if process.is_alive():
                process.terminate()
                process.join(1.0)
        self.results.close()

    def __del__(self) -> None:
        try:
            self._close()
        except Exception:  # during interpreter exit modules may be gone
            return


def _start_method() -> str:
    method = multiprocessing.get_start_method(allow_none=True)
    if method is not None:
        return method
    return "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"
