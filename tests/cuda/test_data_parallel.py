"""DataParallel: the batch is split, every part runs on its device, gradients meet in one place."""

from __future__ import annotations

import pytest

import cresset as torch
from cresset import nn
from cresset.nn import parallel


class Look(nn.Module):
    """Remembers where it ran; makes a tensor on just ``cuda``."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)
        self.seen: list = []

    def forward(self, x, scale=None):
        self.seen.append((x.device.index, tuple(x.shape), torch.cuda.current_device()))
        bias = torch.ones(2, device="cuda")
        return self.layer(x) + bias * (1 if scale is None else scale)


def test_the_batch_is_split_and_joined_in_order():
    net = Look().cuda()
    x = torch.arange(15.0).view(5, 3).cuda()
    found = nn.DataParallel(net)(x)
    assert sorted(net.seen) == [(0, (3, 3), 0), (1, (2, 3), 1)]
    assert found.device.index == 0
    assert torch.allclose(found, net(x), atol=1e-6)


def test_gradients_of_all_parts_reach_the_one_set_of_parameters():
    torch.manual_seed(0)
    net = nn.Linear(3, 2).cuda()
    x = torch.randn(7, 3).cuda()
    nn.DataParallel(net)(x).pow(2).sum().backward()
    found = net.weight.grad.clone()
    net.zero_grad()
    net(x).pow(2).sum().backward()
    assert found.device.index == 0
    assert torch.allclose(found, net.weight.grad, atol=1e-5)


def test_fewer_samples_than_devices_use_fewer_devices():
    net = Look().cuda()
    assert nn.DataParallel(net)(torch.ones(1, 3).cuda()).shape == (1, 2)
    assert [place for place, _, _ in net.seen] == [0]


def test_keyword_arguments_are_split_as_well():
    net = Look().cuda()
    x, scale = torch.ones(4, 3).cuda(), torch.arange(4.0).view(4, 1).cuda()
    found = nn.DataParallel(net)(x, scale=scale)
    assert torch.allclose(found[3] - found[0], torch.full((2,), 3.0).cuda())


def test_the_output_can_go_to_another_device():
    net = nn.DataParallel(nn.Linear(3, 2).cuda(), output_device=1)
    assert net(torch.ones(4, 3).cuda()).device.index == 1
    assert nn.DataParallel(nn.Linear(3, 2).cuda(1), device_ids=[1])(
        torch.ones(4, 3)
    ).device.index == 1  # fmt: skip


def test_a_module_on_another_device_than_the_first_is_refused():
    with pytest.raises(
        RuntimeError,
        match=r"module must have its parameters and buffers on device cuda:0 \(device_ids\[0\]\) "
        "but found one of them on device: cpu",
    ):
        nn.DataParallel(nn.Linear(3, 2))(torch.ones(4, 3))


def test_an_error_in_a_part_says_in_which():
    class Bad(nn.Module):
        def forward(self, x):
            if x.device.index == 1:
                raise ValueError("part two")
            return x

    with pytest.raises(ValueError, match="Caught ValueError in replica 1 on device 1"):
        nn.DataParallel(Bad(), device_ids=[0, 1])(torch.ones(4, 3).cuda())


def test_no_grad_holds_in_the_threads_of_the_parts():
    net = nn.DataParallel(nn.Linear(3, 2).cuda())
    with torch.no_grad():
        assert not net(torch.ones(4, 3).cuda()).requires_grad


def test_batch_norm_keeps_the_statistics_of_the_first_part():
    net = nn.BatchNorm1d(3).cuda()
    x = torch.cat([torch.zeros(4, 3), torch.ones(4, 3)]).cuda()
    nn.DataParallel(net)(x)
    assert net.running_mean.tolist() == [0, 0, 0]
    assert net.num_batches_tracked.item() == 1


def test_scatter_and_gather_keep_structure():
    devices = [torch.device("cuda", i) for i in range(2)]
    parts = parallel.scatter({"a": torch.arange(4), "b": [torch.ones(2, 1), "text"]}, devices)
    assert [p["a"].tolist() for p in parts] == [[0, 1], [2, 3]]
    assert [str(p["b"][0].device) for p in parts] == ["cuda:0", "cuda:1"]
    joined = parallel.gather([{"x": p["a"], "y": (p["b"][0],)} for p in parts], devices[0])
    assert (joined["x"].tolist(), joined["y"][0].shape) == ([0, 1, 2, 3], (2, 1))


def test_without_devices_the_module_is_simply_called(monkeypatch):
    monkeypatch.setenv("CRESSET_SIMULATE_CUDA", "0")
    net = nn.DataParallel(nn.Linear(3, 2))
    assert net(torch.ones(4, 3)).device.type == "cpu"
    assert list(net.state_dict()) == ["module.weight", "module.bias"]
