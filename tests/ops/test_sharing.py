"""Shared memory: what is written in one process is read in the other, and views stay views."""

from __future__ import annotations

import os
import pickle
import sys

import pytest

import cresset as torch
from cresset.runtime.shared import SharedMemory, mapped

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs fork")


def in_a_fork(work) -> None:
    """Run ``work`` in a forked child; AssertionError if it failed there."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_fork_and_its_parent_work_on_the_same_values():
    x = (torch.arange(4.0) + 1).share_memory_()  # pending until now

    def work():
        x.mul_(10)
        x[0] = -1

    in_a_fork(work)
    assert x.tolist() == [-1, 20, 30, 40]
    x.zero_()
    in_a_fork(lambda: [None] if x.sum().item() == 0 else 1 / 0)


def test_memory_that_is_not_shared_stays_the_processs_own():
    x, y = torch.zeros(3), torch.zeros(3).share_memory_()
    z = y.clone()
    in_a_fork(lambda: (x.add_(1), y.add_(1), z.add_(1)))
    assert (x.tolist(), y.tolist(), z.tolist()) == ([0] * 3, [1] * 3, [0] * 3)


def test_views_move_into_shared_memory_with_their_base():
    base = torch.zeros(2, 3)
    row = base[1]
    row.share_memory_()
    assert base.is_shared() and row.is_shared() and base.t().is_shared()
    in_a_fork(lambda: base.t()[2].fill_(5))
    assert row.tolist() == [0, 0, 5]


def test_writes_of_every_kind_reach_the_other_process():
    x = torch.zeros(6).share_memory_()

    def work():
        x.copy_(torch.arange(6.0))
        x[1:3] = torch.tensor([7.0, 8.0])
        x[x > 7.5] = -8.0
        x.view(2, 3)[1].add_(1)
        torch.add(x[:1], 2, out=x[:1])
        x.index_fill_(0, torch.tensor([5]), 3.0)

    in_a_fork(work)
    assert x.tolist() == [2, 7, -8, 4, 5, 3]


def test_a_read_takes_the_values_of_its_moment():
    x = torch.zeros(3).share_memory_()
    before = x + 1
    in_a_fork(lambda: x.add_(5))
    assert (before.tolist(), (x + 1).tolist()) == ([1, 1, 1], [6, 6, 6])


def test_an_optimiser_in_a_fork_trains_the_parents_parameters():
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    net.share_memory()
    assert all(p.is_shared() and p.is_leaf and p.requires_grad for p in net.parameters())
    start = [p.tolist() for p in (*net.parameters(), *net.buffers())]

    def work():
        optimizer = torch.optim.Adam(net.parameters(), lr=0.1)
        for _ in range(5):
            optimizer.zero_grad()
            net(torch.randn(8, 3)).pow(3).sum().backward()
            optimizer.step()

    in_a_fork(work)
    after = [p.tolist() for p in (*net.parameters(), *net.buffers())]
    assert all(a != b for a, b in zip(start, after, strict=True))


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.zeros(0), lambda: torch.zeros(()), lambda: torch.ones(3).bfloat16(),
        lambda: torch.tensor([True, False]), lambda: torch.ones(2, dtype=torch.complex64),
        lambda: torch.ones(2, 3).t(),
    ],
)  # fmt: skip
def test_sharing_keeps_values_geometry_and_history(make):
    x = make()
    expected = x.clone()
    assert not x.is_shared()
    assert x.share_memory_() is x
    assert x.is_shared()
    assert x.share_memory_() is x  # again: nothing to do
    assert (x.tolist(), x.stride(), x.dtype) == (expected.tolist(), expected.stride(), x.dtype)
    assert not pickle.loads(pickle.dumps(x)).is_shared()


def test_gradients_flow_through_shared_parameters():
    p = torch.ones(3, requires_grad=True).share_memory_()
    (p * p).sum().backward()
    assert p.grad.tolist() == [2, 2, 2]
    with torch.no_grad():
        p -= 0.5
    assert p.tolist() == [0.5] * 3


@pytest.mark.skipif(sys.platform != "linux", reason="counts in /proc")
def test_dropped_shared_memory_is_given_back():
    def held() -> tuple[int, int]:
        with open("/proc/self/maps") as maps:
            mapped = sum("memfd:cresset" in line for line in maps)
        return len(os.listdir("/proc/self/fd")), mapped

    before = held()
    for _ in range(20):
        torch.ones(1000).share_memory_().add_(1)
    assert held() == before


def test_a_file_that_cannot_be_mapped_is_an_error_that_says_so():
    with pytest.raises(OSError, match="cannot map|allocate|large|space"):
        SharedMemory(1 << 62)
    with pytest.raises(OSError, match="cannot map 10 bytes: Bad file descriptor"):
        mapped(-1, 10)


# -- pinning -----------------------------------------------------------------------------------


def test_pinning_needs_an_accelerator(monkeypatch):
    monkeypatch.delenv("CRESSET_SIMULATE_CUDA", raising=False)
    with pytest.raises(
        RuntimeError, match="^Cannot access accelerator device when none is available.$"
    ):
        torch.ones(2).pin_memory()
    assert not torch.ones(2).is_pinned()


def test_pinned_memory_is_a_copy_that_knows_it(monkeypatch):
    monkeypatch.setenv("CRESSET_SIMULATE_CUDA", "1")
    x = torch.ones(2)
    y = x.pin_memory()
    x.add_(1)
    assert (x.is_pinned(), y.is_pinned(), y.tolist()) == (False, True, [1, 1])
    assert y.pin_memory() is y
    assert y[:1].is_pinned() and not (y + 1).is_pinned()
    with pytest.raises(RuntimeError, match="cannot pin 'torch.cuda.FloatTensor' only dense CPU"):
        x.cuda().pin_memory()
