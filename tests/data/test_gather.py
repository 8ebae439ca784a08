"""Tensors are batched by one gather each, with the result of collating sample by sample."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cresset as torch
from cresset.data import collate
from cresset.utils.data import DataLoader, Dataset, Subset, TensorDataset, default_collate

INDICES = [3, 0, 3, 5]
TENSORS = {
    "rows": lambda: torch.arange(24.0).view(6, 4),
    "numbers": lambda: torch.arange(6),
    "images": lambda: torch.arange(6 * 8).view(6, 2, 2, 2).byte(),
    "transposed": lambda: torch.arange(24.0).view(4, 6).t(),
    "a part": lambda: torch.arange(50)[4:40].view(6, 6)[:, 1:3],
    "one value for all": lambda: torch.ones(1, 3).expand(6, 3),
    "bfloat16": lambda: torch.arange(12).view(6, 2).bfloat16(),
    "bool": lambda: torch.arange(6) > 2,
    "empty samples": lambda: torch.empty(6, 0, 2),
    "pending": lambda: torch.arange(6.0) * 2 + 1,
    "shared with an array": lambda: torch.from_numpy(np.arange(6)),
}


@pytest.mark.parametrize("name", TENSORS)
def test_one_gather_gives_what_collating_gives(name: str) -> None:
    data = TensorDataset(TENSORS[name](), torch.arange(6))
    found = data._whole_batch(INDICES)
    expected = default_collate([data[i] for i in INDICES])
    assert found is not None and type(found) is type(expected)
    for x, y in zip(found, expected, strict=True):
        assert (x.dtype, x.shape, x.stride()) == (y.dtype, y.shape, y.stride())
        assert x.tolist() == y.tolist()


def test_a_batch_is_a_copy_and_follows_changes_of_the_data() -> None:
    x = torch.zeros(4)
    loader = DataLoader(TensorDataset(x), 2)
    batches = iter(loader)
    (first,) = next(batches)
    first += 5
    x[3] = 7
    assert next(batches)[0].tolist() == [0, 7]
    assert x.tolist() == [0, 0, 0, 7]


@pytest.mark.parametrize("indices", [[5, 1, 0], (5, 1, 0), np.array([5, 1, 0])])
def test_subsets_of_subsets_gather_from_the_tensors(indices: Any) -> None:
    data = TensorDataset(torch.arange(6) * 10)
    inner = Subset(data, indices)
    assert inner._whole_batch([0, 2])[0].tolist() == [50, 0]
    assert Subset(inner, [2, 1])._whole_batch([1, 0])[0].tolist() == [10, 0]


class Twice(TensorDataset):
    def __getitem__(self, index: Any) -> Any:
        return tuple(2 * x for x in super().__getitem__(index))


class Plain(TensorDataset):
    """Only its own name."""


class Backwards(Subset):
    def __getitems__(self, indices: Any) -> Any:
        return super().__getitems__(indices[::-1])


def batch_of(data: Any, **options: Any) -> Any:
    return next(iter(DataLoader(data, 3, **options)))


def test_subclasses_that_fetch_in_their_own_way_do_so() -> None:
    x = torch.arange(3)
    assert Plain(x)._whole_batch([1])[0].tolist() == [1]
    assert batch_of(Twice(x))[0].tolist() == [0, 2, 4]
    assert batch_of(Subset(Twice(x), [2, 1, 0]))[0].tolist() == [4, 2, 0]
    assert batch_of(Backwards(TensorDataset(x), [0, 1, 2]))[0].tolist() == [2, 1, 0]


def test_a_patched_class_fetches_as_it_was_told(monkeypatch: Any) -> None:
    monkeypatch.setattr(TensorDataset, "__getitem__", lambda self, i: (torch.tensor(-i),))
    assert batch_of(TensorDataset(torch.arange(3)))[0].tolist() == [0, -1, -2]


def test_collating_in_another_way_sees_the_samples(monkeypatch: Any) -> None:
    data = TensorDataset(torch.arange(3))
    assert batch_of(data, collate_fn=len) == 3
    monkeypatch.setitem(
        collate.default_collate_fn_map, torch.Tensor, lambda batch, collate_fn_map: len(batch)
    )
    assert batch_of(data) == [3]


def test_history_keeps_samples_apart() -> None:
    x = torch.arange(3.0, requires_grad=True)
    (batch,) = batch_of(TensorDataset(x))
    assert batch.grad_fn.name() == "StackBackward0"
    batch.sum().backward()
    assert x.grad.tolist() == [1, 1, 1]


@pytest.mark.parametrize("indices", [[-1], [6], [], [True], [1.0], [slice(2)], [None]])
def test_other_indices_are_for_single_samples(indices: Any) -> None:
    data = TensorDataset(torch.arange(6))
    assert data._whole_batch(indices) is None
    assert Subset(data, list(range(-6, 0)))._whole_batch([0]) is None


def test_an_index_that_is_not_there_is_an_error_as_ever() -> None:
    with pytest.raises(IndexError):
        batch_of(TensorDataset(torch.arange(6)), sampler=[2, 9])


def test_a_data_set_of_a_users_may_offer_whole_batches() -> None:
    class Squares(Dataset):
        def __len__(self) -> int:
            return 6

        def __getitem__(self, i: int) -> Any:
            return i * i

        def _whole_batch(self, indices: Any) -> Any:
            return None if 4 in indices else torch.tensor(indices) ** 2 + 0.5

    batches = list(DataLoader(Squares(), 3))
    assert [batch.tolist() for batch in batches] == [[0.5, 1.5, 4.5], [9, 16, 25]]
