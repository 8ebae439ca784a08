"""Which device ``cuda`` means: guards nest, threads have their own, a missing one is an error."""

from __future__ import annotations

import threading

import pytest

import cresset as torch
from cresset import cuda


def test_cuda_means_the_first_device_until_another_one_is_set():
    assert (cuda.is_available(), cuda.device_count(), cuda.current_device()) == (True, 2, 0)
    cuda.set_device(1)
    assert torch.ones(1).cuda().device.index == 1
    assert torch.ones(1, device="cuda").device.index == 1
    cuda.set_device("cuda:0")
    assert cuda.current_device() == 0
    cuda.set_device(-1)  # changes nothing
    assert cuda.current_device() == 0


def test_guards_nest_and_put_the_device_back_after_an_error():
    with cuda.device(1):
        assert cuda.current_device() == 1
        with cuda.device("cuda:0"), cuda.device(torch.device("cuda")):
            assert torch.ones(1, device="cuda").device.index == 0
        with cuda.device_of(torch.ones(1, device="cuda:0")):
            assert cuda.current_device() == 0
        with cuda.device_of(torch.ones(1)), cuda.device(-1):
            assert cuda.current_device() == 1
        with pytest.raises(KeyError), cuda.device(0):
            raise KeyError
        assert cuda.current_device() == 1
    assert cuda.current_device() == 0


def test_a_device_as_a_context_is_where_tensors_are_made():
    with torch.device("cuda:1"):
        assert torch.zeros(1).device == torch.device("cuda:1")
        with torch.device("cpu"):
            assert torch.zeros(1).device.type == "cpu"
    assert torch.zeros(1).device.type == "cpu"
    torch.set_default_device("cuda")
    assert torch.arange(3).device == torch.device("cuda:0")


def test_each_thread_has_its_own_current_device():
    cuda.set_device(1)
    found = []
    thread = threading.Thread(target=lambda: found.append(cuda.current_device()))
    thread.start()
    thread.join()
    assert (found, cuda.current_device()) == ([0], 1)


@pytest.mark.parametrize(
    ("ask", "kind", "words"),
    [
        (lambda: cuda.set_device(2), RuntimeError, "invalid device ordinal"),
        (lambda: torch.ones(1).cuda(2), RuntimeError, "invalid device ordinal"),
        (lambda: torch.ones(1, device="cuda:7"), RuntimeError, "invalid device ordinal"),
        (lambda: cuda.device("cpu"), ValueError, "Expected a cuda device, but got: cpu"),
        (lambda: cuda.get_device_name(5), AssertionError, "Invalid device id"),
        (lambda: cuda.get_device_properties(2), AssertionError, "Invalid device id"),
        (lambda: cuda.can_device_access_peer(0, 5), AssertionError, "Invalid peer device id"),
    ],
)
def test_a_device_that_is_not_there_is_an_error(ask, kind, words):
    with pytest.raises(kind, match=words):
        ask()


@pytest.mark.parametrize(
    "ask",
    [
        lambda: torch.ones(1).cuda(), lambda: torch.ones(1, device="cuda"),
        lambda: torch.nn.Linear(1, 1).cuda(), cuda.current_device, lambda: cuda.set_device(0),
        cuda.synchronize, cuda.init, cuda.Stream, cuda.current_stream, cuda.Event,
        cuda.get_device_name, cuda.get_rng_state, cuda.mem_get_info,
        lambda: cuda.device(0).__enter__(),
    ],
)  # fmt: skip
def test_without_devices_everything_that_needs_one_says_so(ask, monkeypatch):
    monkeypatch.setenv("CRESSET_SIMULATE_CUDA", "0")
    with pytest.raises(RuntimeError, match="Found no NVIDIA driver on your system"):
        ask()


def test_without_devices_what_asks_or_tidies_up_works(monkeypatch):
    monkeypatch.setenv("CRESSET_SIMULATE_CUDA", "0")
    assert (cuda.is_available(), cuda.device_count(), cuda.is_initialized()) == (False, 0, False)
    assert not cuda.is_bf16_supported()
    assert (cuda.memory_allocated(), cuda.memory_stats()) == (0, {})
    cuda.empty_cache()
    cuda.manual_seed(1)
    cuda.manual_seed_all(1)
    with cuda.stream(None):
        pass
    assert torch.accelerator.current_accelerator() is None
    for ask in (torch.accelerator.current_device_index, torch.accelerator.synchronize):
        with pytest.raises(RuntimeError, match="Cannot access accelerator device when none is"):
            ask()


def test_a_wrong_number_of_devices_is_named(monkeypatch):
    monkeypatch.setenv("CRESSET_SIMULATE_CUDA", "two")
    with pytest.raises(ValueError, match="must be a number of devices, got 'two'"):
        cuda.is_available()


def test_properties_can_be_asked_for():
    properties = cuda.get_device_properties(1)
    assert properties.name == cuda.get_device_name("cuda:1") == "Cresset simulated device 1"
    assert (properties.major, properties.minor) == cuda.get_device_capability(1)
    assert properties.total_memory > 1 << 20


def test_the_accelerator_is_cuda():
    assert torch.accelerator.current_accelerator() == torch.device("cuda")
    with torch.accelerator.device_index(1):
        assert torch.accelerator.current_device_index() == 1
    torch.accelerator.set_device_index(1)
    assert cuda.current_device() == 1


def test_the_old_switches_of_programs_work_together():
    """The way every tutorial begins."""
    device = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    torch.backends.cudnn.benchmark = True
    net = torch.nn.Linear(2, 2).to(device)
    assert next(net.parameters()).is_cuda
    torch.cuda.empty_cache()
    torch.cuda.ipc_collect()


def test_a_forward_pass_that_makes_tensors_follows_the_default_device():
    class Shifted(torch.nn.Module):
        def forward(self, x):
            return x.sum() + torch.ones(2) * 2

    net, x = Shifted(), torch.ones(2)
    for where in ("cpu", "cuda", "cpu"):
        with torch.device(where):
            for _ in range(2):
                assert net(x).device.type == where


def test_a_module_that_moved_computes_where_it_is():
    net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Tanh())
    for where in ("cpu", "cuda:1", "cuda:0", "cpu"):
        net.to(where)
        for _ in range(2):
            assert net(torch.ones(1, 2, device=where)).device == torch.device(where)
    with pytest.raises(RuntimeError, match="same device"):
        net(torch.ones(1, 2, device="cuda:0"))
