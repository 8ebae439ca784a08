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
#: Elements, so at least as many bytes: copied out of a slot; left in the slot.
MIDDLE, LARGE = 2 * handover.INLINE, 2 * handover.COPIED


class Batch:
    """A class of the user's, with tensors inside."""

    def __init__(self, x: Any) -> None:
        self.x, self.same = x, x


class Post:
    """A worker's end and the main process's end of a pipe, both in this process."""

    def __init__(self, slots: int = 3) -> None:
        self.ours, self.theirs = Pipe()
        self.outbox = handover.Outbox(self.theirs, os.getpid(), slots)
        self.inbox = handover.Inbox(self.ours)

    def carry(self, data: Any) -> Any:
        """``data`` after a trip through the pipe; returned slots go back first."""
        self.outbox.returned(self.inbox.returned())
        self.outbox.send(7, handover.packed(data))
        label, parcel = self.inbox.receive()
        assert label == 7
        return parcel.opened()


def crossed(data: Any) -> Any:
    return Post().carry(data)


TENSORS = {
    "small": lambda t: t.arange(6).view(2, 3),
    "middle": lambda t: t.arange(MIDDLE).view(2, -1),
    "large": lambda t: t.arange(LARGE).view(2, -1),
    "empty": lambda t: t.empty(0, 3),
    "scalar": lambda t: t.tensor(2.5),
    "transposed": lambda t: t.arange(6.0).view(2, 3).t(),
    "a slice": lambda t: t.arange(10)[3:7],
    "strided": lambda t: t.arange(2 * MIDDLE)[::2],
    "expanded": lambda t: t.ones(1).expand(50),
    "bfloat16": lambda t: t.arange(MIDDLE).bfloat16(),
    "complex": lambda t: t.arange(3) * 1j,
    "bool": lambda t: t.arange(MIDDLE) > 5,
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
        {"a": torch.ones(MIDDLE), 2: (torch.ones(LARGE), {}, []), "": ()},
        {("a", 1): torch.ones(3)},
        [2**70, -1.5, True, b"bytes"],
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


def test_a_middling_batch_is_copied_and_owns_its_memory():
    x = crossed([torch.ones(MIDDLE), torch.ones(3)])[0]
    assert isinstance(owner_of(x._storage.buffer), np.ndarray)


def test_one_tensor_twice_in_a_batch_stays_one():
    x = torch.ones(3)
    a, b = crossed([x, x])
    assert a is b


@pytest.mark.parametrize("size", [MIDDLE, LARGE])
def test_a_slot_is_used_again_when_its_batch_is_gone(size):
    post = Post()
    for i in range(20):
        x = post.carry(torch.full((size - i,), float(i)))
        assert x[-1].item() == i
        del x
    assert len(post.outbox.slots) == 1


def test_a_batch_that_is_opened_late_gives_its_slot_back_too():
    post = Post()
    for _ in range(10):
        for _ in range(2):
            post.outbox.send(7, handover.packed(torch.ones(MIDDLE)))
        parcels = [post.inbox.receive()[1] for _ in range(2)]
        post.outbox.returned(post.inbox.returned())
        assert [parcel.opened()[0].item() for parcel in parcels] == [1, 1]
        post.outbox.returned(post.inbox.returned())
    assert len(post.outbox.slots) == 2


@pytest.mark.parametrize("view", [lambda x: x[5:7], lambda x: x.numpy()[5:7], lambda x: x.view(-1)])
def test_a_slot_is_not_used_again_while_anything_shows_the_batch(view):
    post = Post()
    shown = view(post.carry(torch.ones(LARGE)))
    for _ in range(5):
        post.carry(torch.zeros(LARGE))
    assert shown[0].item() == 1
    assert len(post.outbox.slots) == 2


def test_a_batch_that_waits_in_the_graph_keeps_its_slot():
    post = Post()
    total = post.carry(torch.ones(LARGE)).sum()
    for _ in range(3):
        post.carry(torch.zeros(LARGE))
    assert total.item() == LARGE


def test_batches_of_growing_size_do_not_pile_up_slots():
    post = Post()
    for i in range(10):
        assert post.carry(torch.ones(MIDDLE + 5_000 * i)).sum().item() == MIDDLE + 5_000 * i
    assert len(post.outbox.slots) == len(post.inbox.slots) == 3


def test_slots_on_loan_at_a_fork_are_not_used_again():
    post = Post()
    x = post.carry(torch.ones(LARGE))
    child_reads, parent_writes = os.pipe()
    child = os.fork()
    if child == 0:  # it looks at the batch when the parent has long let go of it
        os.read(child_reads, 1)
        os._exit(0 if x.sum().item() == LARGE else 1)
    del x
    for _ in range(3):
        post.carry(torch.zeros(LARGE))
    os.write(parent_writes, b".")
    assert os.waitpid(child, 0)[1] == 0
    os.close(child_reads), os.close(parent_writes)


@pytest.mark.skipif(sys.platform != "linux", reason="counts in /proc")
def test_many_batches_leave_no_descriptors_and_unused_ones_no_memory():
    def shared_mappings() -> int:
        with open("/proc/self/maps") as maps:
            return sum("memfd:cresset" in line for line in maps)

    before, mapped, post = len(os.listdir("/proc/self/fd")), shared_mappings(), Post()
    held = [post.carry(torch.full((LARGE,), float(i))) for i in range(50)]
    assert len(os.listdir("/proc/self/fd")) == before + 2  # the pipe
    assert [x[5].item() for x in held] == list(range(50))
    assert shared_mappings() > mapped + 40
    del held
    assert shared_mappings() <= mapped + 6  # both ends of three slots
    del post
    assert shared_mappings() == mapped
    assert len(os.listdir("/proc/self/fd")) == before


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
    x = crossed(torch.arange(5_000))
    assert x.sum().item() == 5_000 * 4_999 // 2
    x.add_(1)


@pytest.mark.parametrize("step", ["anonymous_file", "mapped"])
def test_without_room_for_files_everything_goes_through_the_pipe(monkeypatch, step):
    def refuse(*_: Any) -> Any:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(handover.shared, step, refuse)
    before, post = len(os.listdir("/proc/self/fd")), Post()
    for _ in range(5):
        assert post.carry(torch.arange(MIDDLE))[-1].item() == MIDDLE - 1
    assert len(os.listdir("/proc/self/fd")) == before + 2


def test_systems_without_memfd_use_a_temporary_file_that_has_no_name(monkeypatch, tmp_path):
    monkeypatch.delattr(os, "memfd_create", raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert crossed(torch.arange(LARGE))[-1].item() == LARGE - 1
    assert list(tmp_path.iterdir()) == []
