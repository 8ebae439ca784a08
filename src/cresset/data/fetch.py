"""Getting one batch from a data set, in whichever process."""

from __future__ import annotations

from typing import Any

from cresset.data.collate import collates_as_usual
from cresset.data.gather import whole_batch


class Fetcher:
    """Gets one batch from a dataset."""

    def __init__(
        self, dataset: Any, iterable: bool, auto_collation: bool, collate_fn: Any, drop_last: bool
    ) -> None:
        self.dataset, self.auto = dataset, auto_collation
        self.collate, self.drop_last = collate_fn, drop_last
        self.iterator = iter(dataset) if iterable else None
        self.ended = False

    def fetch(self, indices: Any) -> Any:
        """The batch for ``indices`` (for a stream: the next ``len(indices)`` samples)."""
        if self.ended:
            raise StopIteration
        if self.iterator is not None:
            if not self.auto:
                return self.collate(next(self.iterator))
            samples = []
            for _ in indices:
                try:
                    samples.append(next(self.iterator))
                except StopIteration:
                    self.ended = True
                    break
            if not samples or (self.drop_last and len(samples) < len(indices)):
                raise StopIteration
            return self.collate(samples)
        if not self.auto:
            return self.collate(self.dataset[indices])
        if collates_as_usual(self.collate):
            batch = whole_batch(self.dataset, indices)
            if batch is not None:
                return batch
        many = getattr(self.dataset, "__getitems__", None)
        if many is not None:
            return self.collate(many(indices))
        return self.collate([self.dataset[i] for i in indices])
