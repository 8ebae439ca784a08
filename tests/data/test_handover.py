"""Batches cross to the main process in shared memory, whole, writable and without litter."""

from __future__ import annotations

import collections
import os
import sys
from multiprocessing import Pipe
from typing import Any

import numpy as np
import pytest

import cresset as torch
from cresset.core.storage import owner_of
from cresset.data import handover

Point = collections.namedtuple("Point", "x y")
LARGE = handover.INLINE  # elements: four times as many bytes


class Batch:
    """A class of the user's, with tensors inside."""

    def __init__(self, x: Any) -> None:
        self.x, self.same = x, x


def crossed(data: Any) -> Any:
    """``data`` after a trip through a pipe, within this process."""
    ours, theirs = Pipe()
    handover.send(theirs, 7, handover.packed(data), os.getpid())
    label, parts = handover.receive(ours)
    result = handover.unpacked(parts)
    ours.close(), theirs.close()
    assert label == 7
    return result


TENSORS = {
    "small": lambda t: t.arange(6).view(2, 3),
    "large": lambda t: t.arange(LARGE).view(2, -1),
    "empty": lambda t: t.empty(0, 3),
    "scalar": lambda t: t.tensor(2.5),
    "transposed": lambda t: t.arange(6.0).view(2, 3).t(),
    "a slice": lambda t: t.arange(10)[3:7],
    "strided": lambda t: t.arange(2 * LARGE)[::2],
    "expanded": lambda t: t.ones(1).expand(50),
    "bfloat16": lambda t: t.arange(LARGE).bfloat16(),
    "complex": lambda t: t.arange(3) * 1j,
    "bool": lambda t: t.arange(LARGE) > 5,
    "another dtype's view": lambda t: t.arange(4, dtype=t.int32).view(t.uint8),
}


@pytest.mark.parametrize("name", TENSORS)
def test_a_tensor_arrives_as_it_was_sent_and_can_be_written(name):
    x = TENSORS[name](torch)
    y = crossed(x)
    assert (y.dtype, y.shape, y.tolist()) == (x.dtype, x.shape, x.tolist())
    if name != "strided":  # gaps stay behind
        assert y.stride() == x.stride()
    if name not in ("expanded", "bool", "empty"):
        y.mul_(2)
        assert y.tolist() == (x * 2).tolist()
    assert not y._storage.exported


@pytest.mark.parametrize(
    "data",
    [
        {"a": torch.ones(3), "b": [1, "c", None]},
        (torch.ones(2), [torch.zeros(1)]),
        Point(torch.ones(2), 3),
        [np.arange(LARGE), np.array(["a", "bc"]), np.float32(2)],
        collections.OrderedDict(a=torch.ones(LARGE)),
        "text",
        None,
    ],
)
def test_containers_arrive_whole_and_with_their_classes(data):
    result = crossed(data)
    assert type(result) is type(data)
    assert repr(result) == repr(data)


def test_tensors_inside_objects_cross_and_stay_one():
    batch = crossed(Batch(torch.ones(LARGE)))
    assert batch.x is batch.same
    assert batch.x.sum().item() == LARGE


def test_leaves_keep_requires_grad_and_parameters_their_class():
    assert crossed(torch.ones(2, requires_grad=True)).requires_grad
    parameter = crossed(torch.nn.Parameter(torch.ones(LARGE)))
    assert type(parameter) is torch.nn.Parameter
    assert parameter.requires_grad


def test_a_large_batch_lies_in_the_shared_memory_itself():
    x = crossed(torch.ones(LARGE))
    assert not isinstance(owner_of(x._storage.buffer), np.ndarray)
    assert x._storage.buffer.flags.writeable
    assert crossed(np.ones(LARGE)).flags.writeable


@pytest.mark.skipif(sys.platform != "linux", reason="counts in /proc")
def test_many_batches_leave_no_descriptors_and_unused_ones_no_memory():
    def shared_mappings() -> int:
        with open("/proc/self/maps") as maps:
            return sum("memfd:cresset" in line for line in maps)

    before, mapped = len(os.listdir("/proc/self/fd")), shared_mappings()
    held = [crossed(torch.full((LARGE,), float(i))) for i in range(300)]
    assert len(os.listdir("/proc/self/fd")) == before
    assert [x[5].item() for x in held] == list(range(300))
    assert shared_mappings() > mapped
    del held
    assert shared_mappings() == mapped


def test_a_loader_hands_large_batches_over_unchanged():
    data = np.random.default_rng(0).standard_normal((40, 5_000))
    loader = torch.utils.data.DataLoader(torch.from_numpy(data), batch_size=8, num_workers=2)
    for _ in range(2):
        found = torch.cat(list(loader))
        assert np.array_equal(found.numpy(), data)


def test_a_batch_can_be_trained_on_while_the_next_is_made():
    torch.manual_seed(0)
    x = torch.randn(64, 700)
    data = torch.utils.data.TensorDataset(x, (x.sum(1) > 0).long())
    net = torch.nn.Linear(700, 2)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

    def epoch(workers: int) -> float:
        total = 0.0
        for a, b in torch.utils.data.DataLoader(data, batch_size=16, num_workers=workers):
            optimizer.zero_grad()
            a.mul_(0.5)  # in place, in the shared memory
            loss = torch.nn.functional.cross_entropy(net(a), b)
            loss.backward()
            optimizer.step()
            total += loss.item()
        return total

    start = {k: v.clone() for k, v in net.state_dict().items()}
    found = epoch(2)
    net.load_state_dict(start)
    assert found == pytest.approx(epoch(0), rel=1e-5)


def test_systems_without_such_files_send_everything_through_the_pipe(monkeypatch):
    monkeypatch.setattr(handover.shared, "AVAILABLE", False)
    monkeypatch.setattr(handover, "INLINE", 10)
    x = crossed(torch.arange(5_000))
    assert x.sum().item() == 5_000 * 4_999 // 2
    x.add_(1)


def test_systems_without_memfd_use_a_temporary_file_that_has_no_name(monkeypatch, tmp_path):
    monkeypatch.delattr(os, "memfd_create", raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert crossed(torch.arange(LARGE))[-1].item() == LARGE - 1
    assert list(tmp_path.iterdir()) == []
