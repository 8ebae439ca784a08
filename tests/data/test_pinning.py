"""With an accelerator, ``pin_memory=True`` gives batches in page-locked memory."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

import pytest

import cresset as torch
from cresset.data.pinning import pin_memory

Pair = namedtuple("Pair", "a b")


@pytest.fixture(autouse=True)
def one_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRESSET_SIMULATE_CUDA", "1")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_loader_pins_its_batches(workers: int) -> None:
    data = torch.utils.data.TensorDataset(torch.arange(4), torch.arange(4.0))
    batches = list(
        torch.utils.data.DataLoader(data, batch_size=2, num_workers=workers, pin_memory=True)
    )
    assert [[x.is_pinned() for x in batch] for batch in batches] == [[True, True]] * 2
    assert torch.cat([a for a, _ in batches]).tolist() == [0, 1, 2, 3]
    plain = next(iter(torch.utils.data.DataLoader(data, num_workers=workers)))
    assert not plain[0].is_pinned()


def test_every_tensor_in_a_structure_is_pinned_and_the_rest_stays() -> None:
    x = torch.ones(2)
    data: Any = {"a": [x, "text", 3], "b": Pair(x, None), "c": (x, b"bytes"), "d": range(2)}
    found = pin_memory(data)
    assert found["a"][0].is_pinned() and found["b"].a.is_pinned() and found["c"][0].is_pinned()
    assert type(found["b"]) is Pair
    assert (found["a"][1:], found["c"][1], found["d"]) == (["text", 3], b"bytes", [0, 1])
    assert not x.is_pinned()


def test_a_batch_of_the_users_class_pins_itself() -> None:
    class Batch:
        def __init__(self, samples: Any) -> None:
            self.x, self.pinned = torch.tensor(samples), False

        def pin_memory(self) -> Batch:
            self.x, self.pinned = self.x.pin_memory(), True
            return self

    loader = torch.utils.data.DataLoader([1, 2], 2, collate_fn=Batch, pin_memory=True)
    batch = next(iter(loader))
    assert batch.pinned and batch.x.is_pinned()


def test_the_device_option_is_deprecated() -> None:
    loader = torch.utils.data.DataLoader([1], pin_memory=True, pin_memory_device="cuda")
    with pytest.warns(UserWarning, match="pin_memory_device is deprecated, the current accelera"):
        iter(loader)
