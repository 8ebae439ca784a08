"""Iterators over a loader: one pass each, in this process or by workers.

The seeds and the order of draws from the default generator are PyTorch's: each pass draws a seed
for workers, whether or not there are any, and indices are taken from the sampler at the moments
when PyTorch takes them, as a sampler may draw too. Batches are given out to the workers in turn and
come back in order (or as they are done, with ``in_order=False``).
"""

from __future__ import annotations

import copy
import functools
import itertools
import warnings
from typing import Any

from cresset.core.modes import PROCESS
from cresset.data.crew import Crew
from cresset.data.fetch import Fetcher
from cresset.data.handover import Parcel
from cresset.data.pinning import pin_memory
from cresset.data.sampler import draw_seed
from cresset.data.worker import Done, WorkerError
from cresset.runtime.simulated import simulated_count


class _BaseDataLoaderIter:
    """One pass over a loader."""

    def __init__(self, loader: Any) -> None:
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

    def _begin(self, loader: Any) -> None:
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

    def __init__(self, loader: Any) -> None:
        super().__init__(loader)
        if loader.timeout != 0:
            raise AssertionError("_SingleProcessDataLoaderIter requires timeout == 0")
        self.fetcher = Fetcher(
            loader.dataset, loader.iterable, loader._auto_collation, loader.collate_fn,
            loader.drop_last,
        )  # fmt: skip

    def _next_batch(self) -> Any:
        return self.fetcher.fetch(next(self.indices))


def _tears(method: Any) -> Any:
    """Ctrl-C inside this method leaves the iterator's books at odds with the workers'."""

    @functools.wraps(method)
    def wrapped(self: _MultiProcessingDataLoaderIter, *args: Any) -> Any:
        try:
            return method(self, *args)
        except BaseException as error:
            self.torn = self.torn or not isinstance(error, Exception)
            raise

    return wrapped


class _MultiProcessingDataLoaderIter(_BaseDataLoaderIter):
    """Batches made by worker processes."""

    #: For ``__del__``, should starting the workers fail.
    crew: Crew | None = None
    #: An interrupt came at a bad moment: the workers cannot be used for another pass.
    torn = False

    def __init__(self, loader: Any) -> None:
        super().__init__(loader)
        if loader.prefetch_factor <= 0:
            raise AssertionError(
                "prefetch_factor must be greater than 0 for MultiProcessingDataLoaderIter"
            )
        self.crew = Crew(loader, self.base_seed)
        self._reset()

    @property
    def processes(self) -> list[Any]:
        return self.crew.processes

    @property
    def closed(self) -> bool:
        return self.crew.closed

    @_tears
    def start_again(self, loader: Any) -> None:
        """A new pass with the same (persistent) workers."""
        while self.outstanding:  # finish what is still under way
            self._receive()
        for parcel in self.done.values():
            parcel.drop()
        self._begin(loader)
        for i in range(self.loader.num_workers):
            self.crew.tell(i, "again", None)
        for _ in range(self.loader.num_workers):
            self.crew.take()[1].drop()
        self._reset()

    def _reset(self) -> None:
        count = self.loader.num_workers
        self.sent = self.next_number = self.outstanding = 0
        #: Answers (packed) by number of the task, as they came; the worker each task was given to.
        self.done: dict[int, Parcel] = {}
        self.owner: dict[int, int] = {}
        self.running = [True] * count
        #: Per worker, tasks whose batches were not returned yet.
        self.load = [0] * count
        self.turn = itertools.cycle(range(count))
        self.most = self.loader.prefetch_factor * count
        for _ in range(self.most):
            self._send()
        self.crew.flow()

    def _send(self) -> None:
        """Hand the next indices to the next worker that still runs (and is not too far behind)."""
        try:
            indices = next(self.indices)
        except StopIteration:
            return
        for _ in self.running:
            i = next(self.turn)
            if self.running[i]:
                if self.loader.in_order or self.load[i] < self.most // sum(self.running):
                    break
        else:
            return
        self.crew.tell(i, self.sent, indices)
        self.owner[self.sent] = i
        self.load[i] += 1
        self.sent += 1
        self.outstanding += 1

    def _receive(self) -> None:
        number, parcel = self.crew.take()
        self.outstanding -= 1
        self.done[number] = parcel

    @_tears
    def _next_batch(self) -> Any:
        while True:
            if self.loader.in_order:
                number = self.next_number
            else:
                number = next(iter(self.done), -1)
            if number not in self.done:
                if self.crew.closed or not (self.outstanding or self.done):
                    self._end()
                    raise StopIteration
                self._receive()
                continue
            parcel = self.done.pop(number)
            owner = self.owner.pop(number)
            self.next_number += 1
            self.load[owner] -= 1
            try:
                data = parcel.opened()
            except Exception:  # of the batch's own classes; the pass can go on
                self._send()
                raise
            if isinstance(data, Done):
                self.running[owner] = False
                self._send()
                continue
            self._send()
            if isinstance(data, WorkerError):
                self._end()
                data.raise_again()
            return data

    def _end(self) -> None:
        """The pass is over; persistent workers stay for the next one."""
        if not self.loader.persistent_workers:
            self._close()

    def _close(self) -> None:
        if self.crew is not None:
            self.crew.close()

    def __del__(self) -> None:
        try:
            self._close()
        except Exception:  # during interpreter exit modules may be gone
            return


def _has_accelerator() -> bool:
    return simulated_count() > 0
