"""Storages: who sees their memory, and until when."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

import cresset as torch
from cresset.core.modes import PROCESS
from cresset.core.storage import owner_of


def address(x: torch.Tensor) -> int:
    return x._array().__array_interface__["data"][0]


def test_two_tensors_of_one_array_see_each_other_after_its_name_is_gone():
    array = np.zeros(3)
    a, b = torch.from_numpy(array), torch.from_numpy(array)
    del array
    a.add_(1)
    b.mul_(5)
    assert (a.tolist(), b.tolist()) == ([5, 5, 5], [5, 5, 5])
    del b
    a.add_(1)
    assert a.tolist() == [6, 6, 6]


def test_a_tensor_of_a_tensors_array_shares_its_memory():
    a = torch.zeros(4)
    b = torch.from_numpy(a.numpy()[1:3])
    b.add_(1)
    a.mul_(3)
    assert (a.tolist(), b.tolist()) == ([0, 3, 3, 0], [3, 3])


@pytest.mark.parametrize(
    "hold",
    [
        lambda a: a[1:], lambda a: a.reshape(1, 3), lambda a: a.view(np.int32), memoryview,
        lambda a: np.asarray(a), lambda a: [a], lambda a: a.T,
        lambda a: np.lib.stride_tricks.as_strided(a),
    ],
)  # fmt: skip
def test_whatever_holds_the_array_keeps_the_memory_shared(hold):
    t = torch.ones(3)
    held = hold(t.numpy())
    t.add_(1)
    shown = np.asarray(held[0] if isinstance(held, list) else held)
    assert shown.view(np.float32).reshape(-1)[-1] == 2


def test_bytes_given_by_another_object_stay_shared_for_ever():
    memory = bytearray(8)
    t = torch.frombuffer(memory, dtype=torch.float32)
    t.add_(1)
    assert memory == np.ones(2, np.float32).tobytes()
    memory[:4] = np.float32(7).tobytes()
    y = t + 1
    memory[:4] = bytes(4)
    assert (y.tolist(), t.tolist()) == ([8, 2], [0, 1])


@pytest.mark.parametrize("write", [lambda x: x.add_(1), lambda x: x.copy_(torch.ones(4)),
                                   lambda x: x.fill_(1), lambda x: x[1:].add_(1)])  # fmt: skip
def test_results_stay_at_an_address_that_was_given_out(write):
    x = torch.zeros(4)
    start = x.data_ptr()
    write(x)
    read = (ctypes.c_float * 4).from_address(start)
    assert list(read)[1:] == [1, 1, 1]
    assert x.data_ptr() == start


def test_an_address_counts_from_the_storage_offset():
    x = torch.zeros(4, dtype=torch.float64)
    assert x[3:].data_ptr() - x.data_ptr() == 24
    assert torch.zeros(0).data_ptr() == 0


def test_optimisers_update_parameters_at_their_address():
    net = torch.nn.Linear(3, 2)
    start = net.weight.data_ptr()
    shown = net.bias.detach().numpy()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        net(torch.ones(4, 3)).sum().backward()
        optimizer.step()
    assert net.weight.data_ptr() == start
    assert shown.tolist() == net.bias.tolist()


def test_a_read_only_array_is_not_written():
    array = np.ones(3)
    array.setflags(write=False)
    with pytest.warns(UserWarning, match="not writable"):
        torch.from_numpy(array)


@pytest.mark.skipif(PROCESS.eager, reason="about recording")
def test_an_output_never_reuses_memory_that_an_array_still_shows():
    for _ in range(5):
        x = torch.ones(1000)
        x.tolist()
        shown = x.numpy()
        y = x * 2
        del x
        assert y[0].item() == 2
        y.add_(1).tolist()
        assert shown[0] == 1


def test_a_dead_storage_behind_a_view_is_not_overwritten():
    x = torch.arange(6.0)
    view = x[2:4]
    x.tolist()
    del x
    later = view + 1
    view.mul_(10)
    assert (later.tolist(), view.tolist()) == ([3, 4], [20, 30])


def test_the_version_counts_writes_through_every_view():
    x = torch.zeros(2, 3)
    view, flat = x[0], x.view(-1)
    view.add_(1)
    flat[2] = 3
    x.detach().mul_(2)
    assert x._version == view._version == flat._version == 3
    x.data.add_(1)
    assert x._version == 3


def test_the_owner_of_a_view_is_who_has_the_memory():
    array = np.zeros(4)
    assert owner_of(array[1:][1:]) is array
    memory = bytearray(4)
    assert not isinstance(owner_of(np.frombuffer(memory, np.uint8)[1:]), np.ndarray)
