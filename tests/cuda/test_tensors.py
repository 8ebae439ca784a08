"""Tensors on simulated devices: they keep apart, and say so in PyTorch's words."""

from __future__ import annotations

import io

import pytest

import cresset as torch
import cresset.nn.functional as F
from cresset import nn

CUDA = torch.device("cuda", 0)


@pytest.mark.parametrize(
    ("make", "where"),
    [
        (lambda: torch.ones(2).cuda(), "cuda:0"),
        (lambda: torch.ones(2).cuda(1), "cuda:1"),
        (lambda: torch.ones(2).to("cuda:1"), "cuda:1"),
        (lambda: torch.ones(2).to(1), "cuda:1"),
        (lambda: torch.ones(2, device="cuda"), "cuda:0"),
        (lambda: torch.ones(2, device=1), "cuda:1"),
        (lambda: torch.tensor([1, 2], device=torch.device("cuda", 1)), "cuda:1"),
        (lambda: torch.rand(2, device="cuda"), "cuda:0"),
        (lambda: torch.zeros_like(torch.ones(2).cuda(1)), "cuda:1"),
        (lambda: torch.ones(2).cuda(1).new_zeros(3), "cuda:1"),
        (lambda: torch.ones(2).cuda(1) * 2 + 1, "cuda:1"),
        (lambda: torch.ones(2).cuda(1)[None].expand(3, 2).sum(0), "cuda:1"),
        (lambda: torch.ones(2).to(torch.ones(1).cuda(1)), "cuda:1"),
        (lambda: torch.cuda.FloatTensor([1, 2]), "cuda:0"),
        (lambda: torch.ones(2).type("torch.cuda.DoubleTensor"), "cuda:0"),
        (lambda: torch.ones(2).cuda().cpu(), "cpu"),
        (lambda: torch.from_numpy(torch.ones(2).cuda().cpu().numpy()), "cpu"),
    ],
)
def test_a_tensor_lies_where_it_was_asked_for_and_results_with_it(make, where):
    x = make()
    assert x.device == torch.device(where)
    assert x.is_cuda == (where != "cpu")
    assert x.get_device() == (-1 if where == "cpu" else int(where[-1]))


def test_printing_shows_the_device_and_old_types_name_it():
    assert repr(torch.ones(2, device="cuda:1")) == "tensor([1., 1.], device='cuda:1')"
    assert torch.ones(2).cuda().long().type() == "torch.cuda.LongTensor"
    assert isinstance(torch.ones(2).cuda(), torch.cuda.FloatTensor)
    assert not isinstance(torch.ones(2), torch.cuda.FloatTensor)


def test_a_device_has_memory_of_its_own():
    x = torch.zeros(3)
    y = x.cuda()
    z = y.cuda(1)
    y.add_(1)
    z.add_(2)
    assert (x.tolist(), y.tolist(), z.tolist()) == ([0] * 3, [1] * 3, [2] * 3)
    assert y.cuda() is y
    back = y.cpu()
    back.fill_(9)
    assert y.tolist() == [1, 1, 1]
    array = x.numpy()
    w = x.cuda()
    array[:] = 5
    assert w.tolist() == [0, 0, 0]


MIXED = {
    "add": lambda a, b: a + b,
    "add_": lambda a, b: a.add_(b),
    "mm": lambda a, b: a @ b,
    "linear": lambda a, b: F.linear(a, b),
    "cat": lambda a, b: torch.cat([a, b]),
    "stack": lambda a, b: torch.stack([a, b]),
    "where": lambda a, b: torch.where(a > 0, a, b),
    "mse_loss": lambda a, b: F.mse_loss(a, b),
    "cross_entropy": lambda a, b: F.cross_entropy(a, b[0].long()),
    "embedding": lambda a, b: F.embedding(b.long(), a),
    "gather": lambda a, b: a.gather(0, b.long()),
    "index_select": lambda a, b: a.index_select(0, b[0].long()),
    "masked_select": lambda a, b: a.masked_select(b > 0),
    "scatter": lambda a, b: a.scatter(0, b.long(), a),
    "layer_norm": lambda a, b: F.layer_norm(a, (2,), b[0]),
    "equal": lambda a, b: torch.equal(a, b),
}


@pytest.mark.parametrize("name", MIXED)
def test_operands_on_different_devices_are_refused(name):
    a, b = torch.ones(2, 2).cuda(), torch.zeros(2, 2)
    for left, right in ((a, b), (b, a), (a, b.cuda(1))):
        with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device"):
            MIXED[name](left, right)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Linear(4, 2), (3, 4)), (nn.Conv2d(1, 2, 3), (1, 1, 5, 5)),
        (nn.BatchNorm1d(4), (3, 4)), (nn.LSTM(4, 3), (2, 1, 4)), (nn.GRUCell(4, 3), (1, 4)),
        (nn.MultiheadAttention(4, 2), None),
    ],
    ids=lambda x: type(x).__name__,
)  # fmt: skip
def test_a_layer_that_was_left_behind_is_noticed(layer, shape):
    x = torch.ones(*(shape or (2, 1, 4)))
    operands = (x,) * (1 if shape else 3)
    layer = layer.cuda()
    with pytest.raises(RuntimeError, match="on the same device|same device"):
        layer(*operands)
    found = layer(*[o.cuda() for o in operands])
    assert (found[0] if isinstance(found, tuple) else found).device is CUDA


def test_numbers_and_0_dim_cpu_tensors_go_anywhere_but_not_the_other_way():
    x = torch.arange(3.0).cuda()
    assert (x + torch.tensor(2.0)).tolist() == [2, 3, 4]
    assert (torch.tensor(2.0) * x).device is CUDA
    x[0] = torch.tensor(7.0)
    assert torch.where(x > 1, x, torch.tensor(0.0)).tolist() == [7, 0, 2]
    with pytest.raises(RuntimeError, match="two devices, cpu and cuda:0!"):
        torch.ones(3) + torch.tensor(2.0).cuda()


def test_an_index_may_be_on_the_cpu_and_not_the_other_way():
    x = torch.arange(3.0).cuda()
    assert x[torch.tensor([2, 0])].tolist() == [2, 0]
    x[torch.tensor([True, False, False])] = 5.0
    assert x.tolist() == [5, 1, 2]
    with pytest.raises(
        RuntimeError,
        match=r"indices should be either on cpu or on the same device as the indexed tensor \(cpu",
    ):
        torch.arange(3.0)[torch.tensor([0]).cuda()]


def test_copies_cross_devices_where_nothing_else_may():
    x = torch.zeros(2, 2)
    x.copy_(torch.ones(2, 2).cuda())
    x[0] = torch.full((2,), 5.0).cuda()
    assert (x.tolist(), x.device.type) == ([[5, 5], [1, 1]], "cpu")


@pytest.mark.parametrize("ask", [lambda x: x.numpy(), lambda x: x.__array__()])
def test_device_memory_is_not_shown_to_numpy(ask):
    with pytest.raises(TypeError, match="can't convert cuda:0 device type tensor to numpy. Use"):
        ask(torch.ones(2).cuda())
    assert torch.ones(2).cuda().numpy(force=True).tolist() == [1, 1]


def test_a_generator_of_another_device_is_refused():
    with pytest.raises(
        RuntimeError, match="^Expected a 'cuda' device type for generator but found 'cpu'$"
    ):
        torch.rand(2, device="cuda", generator=torch.Generator())
    g = torch.Generator(device="cuda").manual_seed(3)
    h = torch.Generator(device="cuda").manual_seed(3)
    assert torch.equal(
        torch.rand(2, device="cuda", generator=g), torch.rand(2, device="cuda", generator=h)
    )


def test_gradients_cross_to_the_device_of_their_leaf():
    w = torch.ones(3, requires_grad=True)
    loss = (w.cuda() * torch.arange(3.0).cuda()).cuda(1).sum()
    assert loss.device.index == 1
    loss.backward()
    assert (w.grad.tolist(), w.grad.device.type) == ([0, 1, 2], "cpu")
    leaf = torch.ones(2, device="cuda", requires_grad=True)
    with pytest.raises(RuntimeError, match="assigned grad has data located on a different device"):
        leaf.grad = torch.ones(2)


def test_training_on_a_device_gives_the_cpus_numbers():
    def train(where):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
        x, y = torch.randn(16, 4), torch.randint(0, 3, (16,))
        net.to(where)
        x, y = x.to(where), y.to(where)
        optimizer = torch.optim.Adam(net.parameters(), lr=0.05)
        losses = []
        for _ in range(5):
            optimizer.zero_grad()
            loss = F.cross_entropy(net(x), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert {p.device for p in net.parameters()} == {torch.device(where)}
        assert all(
            v.device.type == "cpu" or v.device == torch.device(where)
            for state in optimizer.state.values()
            for v in state.values()
        )
        return losses

    assert train("cuda:1") == pytest.approx(train("cpu"), rel=1e-4)


def test_a_checkpoint_comes_back_to_its_device_or_where_it_is_mapped():
    file = io.BytesIO()
    torch.save({"w": torch.arange(3.0).cuda(1)}, file)

    def load(**options):
        file.seek(0)
        found = torch.load(file, **options)["w"]
        assert found.tolist() == [0, 1, 2]
        return str(found.device)

    assert load() == "cuda:1"
    assert load(map_location="cpu") == "cpu"
    assert load(map_location={"cuda:1": "cuda:0"}) == "cuda:0"
    assert load(map_location=lambda storage, where: storage) == "cpu"


def test_a_checkpoint_of_a_device_that_is_missing_says_what_to_do(monkeypatch):
    file = io.BytesIO()
    torch.save(torch.ones(1).cuda(1), file)
    for count, words in (("0", "torch.cuda.is_available\\(\\) is False"), ("1", "device_count")):
        monkeypatch.setenv("CRESSET_SIMULATE_CUDA", count)
        file.seek(0)
        with pytest.raises(RuntimeError, match="Attempting to deserialize object on") as caught:
            torch.load(file)
        assert words.replace("\\", "") in str(caught.value)
        assert "map_location" in str(caught.value)
