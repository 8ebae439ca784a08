"""``DataLoader``: batches of a dataset, in this process or by worker processes.

Each worker has a queue of tasks and a pipe for its answers; batches are handed out round-robin and
returned in order (or as they come, with ``in_order=False``). The main process waits for the pipes
and the processes at once, so it notices a dead worker immediately. The seeds and the order of draws
from the default generator are PyTorch's.
"""

from __future__ import annotations

import copy
import itertools
import multiprocessing
import os
import pickle
import signal
import time
import warnings
from collections.abc import Iterator
from multiprocessing import connection
from typing import Any

from cresset.core import graph
from cresset.core.modes import PROCESS
from cresset.data import handover
from cresset.data import worker as workers
from cresset.data.collate import default_collate, default_convert
from cresset.data.dataset import IterableDataset
from cresset.data.pinning import pin_memory
from cresset.data.sampler import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    draw_seed,
)
from cresset.runtime.simulated import simulated_count

#: How long workers get to end by themselves, and then to be terminated.
_PATIENCE = 0.5, 1.0

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
        #: What ``len`` of a stream was said to be, for a warning when more comes.
        self._claimed: int | None = None
        self._initialized = True
        self.check_worker_number_rationality()

    def check_worker_number_rationality(self) -> None:
        """Warn if there are more workers than processors for them."""
        if hasattr(os, "sched_getaffinity"):
            processors, note = len(os.sched_getaffinity(0)), ""
        else:
            processors = os.cpu_count() or 1
            note = " (`cpuset` is not taken into account)"
        if self.num_workers > processors:
            warnings.warn(
                f"This DataLoader will create {self.num_workers} worker processes in total. Our "
                f"suggested max number of worker in current system is {processors}{note}, which is "
                "smaller than what this DataLoader is going to create. Please be aware that "
                "excessive worker creation might get DataLoader running slow or even freeze, lower "
                "the worker number to avoid potential slowness/freeze if necessary.",
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
        self.check_worker_number_rationality()
        if self.persistent_workers:
            if self._iterator is None or self._iterator.closed:
                self._iterator = _MultiProcessingDataLoaderIter(self)
            else:
                self._iterator.start_again(self)
            return self._iterator
        return _MultiProcessingDataLoaderIter(self)

    def __len__(self) -> int:
        if not self.iterable:
            return len(self._index_sampler)
        n = self._claimed = len(self.dataset)
        if self.batch_size is None:
            return n
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)


class _BaseDataLoaderIter:
    """One pass over a loader."""

    def __init__(self, loader: DataLoader) -> None:
        self._begin(loader)
        if loader.pin_memory and loader.pin_memory_device:
            warnings.warn(
                "pin_memory_device is deprecated, the current accelerator will be used as the "
                f"device,ignore pin_memory_device='{loader.pin_memory_device}'.",
                stacklevel=2,
            )
        self.pins = loader.pin_memory and _has_accelerator()
        if loader.pin_memory and not self.pins:
            warnings.warn(
                "'pin_memory' argument is set as true but no accelerator is found, then device "
                "pinned memory won't be used.",
                stacklevel=2,
            )
        # PyTorch draws this seed whether or not there are workers.
        self.base_seed = draw_seed(loader.generator)

    def _begin(self, loader: DataLoader) -> None:
        # The loader holds its iterator, if workers are persistent: a cycle would keep them alive.
        self.loader = copy.copy(loader)
        self.loader._iterator = None
        self.indices = iter(loader._index_sampler)
        self.yielded, self.claimed = 0, loader._claimed

    def __iter__(self) -> _BaseDataLoaderIter:
        return self

    def __len__(self) -> int:
        return len(self.loader._index_sampler)

    def __next__(self) -> Any:
        data = self._next_batch()
        if self.pins:
            data = pin_memory(data)
        self.yielded += 1
        if self.claimed is not None and self.yielded > self.claimed:
            self._warn_of_length()
        return data

    def _next_batch(self) -> Any:
        raise NotImplementedError

    def _warn_of_length(self) -> None:
        text = (
            f"Length of IterableDataset {self.loader.dataset} was reported to be {self.claimed}"
            f"(when accessing len(dataloader)), but {self.yielded} samples have been fetched. "
        )
        if self.loader.num_workers:
            text += (
                "For multiprocessing data-loading, this could be caused by not properly "
                "configuring the IterableDataset replica at each worker. Please see "
                "https://pytorch.org/docs/stable/data.html#torch.utils.data.IterableDataset for "
                "examples."
            )
        warnings.warn(text, stacklevel=3)

    def __getstate__(self) -> Any:
        raise NotImplementedError("{} cannot be pickled", type(self).__name__)

    def __getattr__(self, name: str) -> Any:
        if name == "next" and PROCESS.legacy:
            return self.__next__
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")


class _SingleProcessDataLoaderIter(_BaseDataLoaderIter):
    """Batches made in this process."""

    def __init__(self, loader: DataLoader) -> None:
        super().__init__(loader)
        if loader.timeout != 0:
            raise AssertionError("_SingleProcessDataLoaderIter requires timeout == 0")
        self.fetcher = workers.Fetcher(
            loader.dataset, loader.iterable, loader._auto_collation, loader.collate_fn,
            loader.drop_last,
        )  # fmt: skip

    def _next_batch(self) -> Any:
        return self.fetcher.fetch(next(self.indices))


class _MultiProcessingDataLoaderIter(_BaseDataLoaderIter):
    """Batches made by worker processes."""

    def __init__(self, loader: DataLoader) -> None:
        super().__init__(loader)
        self.processes: list = []
        self.closed, self.owner_pid = False, os.getpid()
        context = loader.multiprocessing_context
        if context is None:
            context = multiprocessing.get_context(_start_method())
        graph.flush("starting data workers")
        self.tasks: list = []
        self.pipes: list = []
        for i in range(loader.num_workers):
            tasks = context.Queue()
            tasks.cancel_join_thread()
            ours, theirs = context.Pipe()
            process = context.Process(
                target=workers.run,
                args=(
                    i, loader.num_workers, loader.dataset, loader.iterable, loader._auto_collation,
                    loader.collate_fn, loader.drop_last, self.base_seed, loader.worker_init_fn,
                    tasks, theirs, ours, os.getpid(),
                ),
                daemon=True,
            )  # fmt: skip
            try:
                process.start()
            except (TypeError, AttributeError, pickle.PicklingError):
                self._close()
                warnings.warn(
                    "Got pickle error when attempting to start a worker Process. This might be "
                    "because the worker Process arguments are not picklable. Python 3.14+ changed "
                    "the multiprocessing start method in non-Mac POSIX platforms to 'forkserver', "
                    "which requires the worker Process arguments to be picklable. You can also try "
                    "multiprocessing.set_start_method('fork').",
                    stacklevel=2,
                )
                raise
            theirs.close()  # so that its end is seen when the worker dies
            self.tasks.append(tasks)
            self.pipes.append(ours)
            self.processes.append(process)
        self._reset()

    def start_again(self, loader: DataLoader) -> None:
        """A new pass with the same (persistent) workers."""
        while self.outstanding:  # finish what is still under way
            self._receive()
        self._begin(loader)
        for tasks in self.tasks:
            tasks.put(("again", None))
        for _ in self.tasks:
            self._take()
        self._reset()

    def _reset(self) -> None:
        count = len(self.tasks)
        self.sent = self.next_number = self.outstanding = 0
        #: Answers (packed) by number of the task, as they came; the worker each task was given to.
        self.done: dict[int, Any] = {}
        self.owner: dict[int, int] = {}
        self.running = [True] * count
        #: Per worker, tasks whose batches were not returned yet.
        self.load = [0] * count
        self.turn = itertools.cycle(range(count))
        self.most = self.loader.prefetch_factor * count  # type: ignore[operator]
        for _ in range(self.most):
            self._send()

    def _send(self) -> None:
        """Hand the next indices to the next worker that still runs (and is not too far behind)."""
        try:
            indices = next(self.indices)
        except StopIteration:
            return
        for _ in self.tasks:
            i = next(self.turn)
            if self.running[i]:
                if self.loader.in_order or self.load[i] < self.most // sum(self.running):
                    break
        else:
            return
        self.tasks[i].put((self.sent, indices))
        self.owner[self.sent] = i
        self.load[i] += 1
        self.sent += 1
        self.outstanding += 1

    def _take(self) -> Any:
        """The next answer of any worker; RuntimeError if one has died or time is up."""
        waiting = {pipe: i for i, pipe in enumerate(self.pipes)}
        sentinels = [process.sentinel for process in self.processes]
        ready = connection.wait([*waiting, *sentinels], self.loader.timeout or None)
        if not ready:
            raise RuntimeError(f"DataLoader timed out after {self.loader.timeout} seconds")
        for pipe in ready:
            if pipe in waiting:
                try:
                    return handover.receive(pipe)  # type: ignore[arg-type]
                except (EOFError, ConnectionResetError):
                    continue
        for i, process in enumerate(self.processes):
            if self.pipes[i] in ready or process.sentinel in ready:
                process.join(_PATIENCE[0])
        self._report_death()

    def _report_death(self) -> None:
        """Raise what PyTorch raises when a worker has died."""
        dead = [process for process in self.processes if not process.is_alive()]
        self._close()
        pids = ", ".join(str(process.pid) for process in dead)
        first = dead[0] if dead else None
        cause = None
        if first is not None and first.exitcode < 0:
            text = (
                f"DataLoader worker (pid {first.pid}) is killed by signal: "
                f"{signal.strsignal(-first.exitcode)}. "
            )
            if -first.exitcode == getattr(signal, "SIGBUS", 0):
                text += (
                    "It is possible that dataloader's workers are out of shared memory. Please "
                    "try to raise your shared memory limit."
                )
            cause = RuntimeError(text)
        elif first is not None and first.exitcode:
            cause = RuntimeError(
                f"DataLoader worker (pid {first.pid}) exited unexpectedly with exit code "
                f"{first.exitcode}. Details are lost due to multiprocessing. Rerunning with "
                "num_workers=0 may give better error trace."
            )
        raise RuntimeError(f"DataLoader worker (pid(s) {pids}) exited unexpectedly") from cause

    def _receive(self) -> None:
        number, parts = self._take()
        self.outstanding -= 1
        self.done[number] = parts

    def _next_batch(self) -> Any:
        while True:
            if self.loader.in_order:
                number = self.next_number
            else:
                number = next(iter(self.done), -1)
            if number not in self.done:
                if self.closed or not (self.outstanding or self.done):
                    if not self.loader.persistent_workers:
                        self._close()
                    raise StopIteration
                self._receive()
                continue
            parts = self.done.pop(number)
            owner = self.owner.pop(number)
            self.next_number += 1
            self.load[owner] -= 1
            try:
                data = handover.unpacked(parts)
            except Exception:  # of the batch's own classes; the pass can go on
                self._send()
                raise
            if isinstance(data, workers.Done):
                self.running[owner] = False
                self._send()
                continue
            self._send()
            if isinstance(data, workers.WorkerError):
                if not self.loader.persistent_workers:
                    self._close()
                data.raise_again()
            return data

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
        for pipe in self.pipes:
            pipe.close()  # a worker that waits for room in it gives up
        if not self._have_ended(_PATIENCE[0]):
            for process in self.processes:
                process.terminate()
            if not self._have_ended(_PATIENCE[1]):
                for process in self.processes:
                    process.kill()
                self._have_ended(_PATIENCE[1])
        for tasks in self.tasks:
            tasks.close()

    def _have_ended(self, patience: float) -> bool:
        """Whether all workers end within ``patience`` seconds.

        Asked of the system, as the garbage collector may have closed what ``join`` waits on.
        """
        until, pause = time.monotonic() + patience, 1e-4
        while any([process.is_alive() for process in self.processes]):
            if time.monotonic() > until:
                return False
            time.sleep(pause)
            pause = min(2 * pause, 0.02)
        return True

    def __del__(self) -> None:
        try:
            self._close()
        except Exception:  # during interpreter exit modules may be gone
            return


def _has_accelerator() -> bool:
    return simulated_count() > 0


def _start_method() -> str:
    method = multiprocessing.get_start_method(allow_none=True)
    if method is not None:
        return method
    return "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"
