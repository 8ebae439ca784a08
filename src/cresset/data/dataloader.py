"""``DataLoader``: what a user wants of the batches, checked; ``passes.py`` makes them."""

from __future__ import annotations

import multiprocessing
import os
import warnings
from collections.abc import Iterator
from typing import Any

from cresset.data.collate import default_collate, default_convert
from cresset.data.dataset import IterableDataset
from cresset.data.passes import (
    _BaseDataLoaderIter,
    _MultiProcessingDataLoaderIter,
    _SingleProcessDataLoaderIter,
)
from cresset.data.sampler import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
)

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

    Args:
        dataset: map-style (``__getitem__`` and ``__len__``) or an ``IterableDataset``.
        batch_size: samples per batch; None gives single samples.
        shuffle: a new random order at each pass.
        sampler: gives the indices instead; excludes ``shuffle``.
        batch_sampler: gives lists of indices; excludes the three above and ``drop_last``.
        num_workers: processes that make the batches; 0 makes them in this one.
        collate_fn: makes a batch of a list of samples; ``default_collate`` if None.
        pin_memory: batches in page-locked memory, where there is an accelerator.
        drop_last: leave out a last batch that is not full.
        timeout: seconds to wait for a batch of the workers; 0 waits for ever.
        worker_init_fn: called in each worker with its number.
        multiprocessing_context: a context or the name of a start method, such as ``"spawn"``.
        generator: for the order and the workers' seeds, instead of the default one.
        prefetch_factor: batches that each worker makes in advance; 2 if None.
        persistent_workers: keep the workers between passes.
        pin_memory_device: deprecated.
        in_order: batches in the order of their indices, rather than as they are done.

    A dataset that lies in memory (``TensorDataset``, MNIST, CIFAR10 and their like with transforms
    that crop, flip, pad, convert and normalise, ``Subset`` of these) is batched at once where the
    result is the same to the bit; see ``data/gather.py``. Each pass draws one seed from the
    generator; worker ``i`` starts from that seed plus ``i``.

    Raises:
        ValueError: options that exclude one another, or make no sense.
        RuntimeError: while iterating, if a worker died or the time is up. What a worker raised is
            raised here with its traceback in the text.

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
            if self._iterator is not None and self._iterator.torn:
                self._iterator._close()
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
