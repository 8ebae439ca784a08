"""Stretches of ops: looked at once, taken back, and played as one node."""

import pytest

import cresset as torch
import cresset.nn.functional as F
from cresset.core import graph
from cresset.core.modes import PROCESS
from cresset.ops.stretch import StretchNode, capture, play

pytestmark = pytest.mark.skipif(PROCESS.eager, reason="about recording")


def looked_at(run, *operands):
    graph.flush()
    return capture(lambda: run(*operands), operands)


def replayed(call, *operands):
    return play(call, operands, [x._storage for x in operands])


def test_what_was_recorded_is_taken_back():
    x, y = torch.ones(3), torch.full((3,), 2.0)
    graph.flush()
    pending = torch.ones(3) + 1
    before = len(graph.RECORDER.graph.calls), graph.RECORDER.graph.slots
    result, call, used = capture(lambda: (x + y).exp() * 2, (x, y))
    assert result is None and used == (0, 1)
    assert (len(graph.RECORDER.graph.calls), graph.RECORDER.graph.slots) == before
    assert [step[0].op.name for step in call.body.steps] == ["add", "exp", "mul"]
    assert pending.tolist() == [2.0, 2.0, 2.0]
    assert replayed(call, x, y).tolist() == ((x + y).exp() * 2).tolist()


def test_the_same_ops_are_the_same_call():
    _, first, _ = looked_at(lambda a, b: (a * b).tanh() + 1, torch.ones(2), torch.ones(2))
    _, second, _ = looked_at(lambda a, b: (a * b).tanh() + 1, torch.zeros(2), torch.ones(2))
    _, other, _ = looked_at(lambda a, b: (a * b).tanh() + 2, torch.zeros(2), torch.ones(2))
    assert first is second and first is not other


def test_operands_that_are_not_used_are_left_out():
    a, b, c = torch.ones(2), torch.full((2,), 2.0), torch.full((2,), 3.0)
    _, call, used = looked_at(lambda a, b, c: c * a, a, b, c)
    assert used == (0, 2)
    assert replayed(call, a, c).tolist() == [3.0, 3.0]


@pytest.mark.parametrize("run", [
    lambda x, w: x * w.sum().item(),
    lambda x, w: x * 2 if w.sum() > 0 else x,
    lambda x, w: x * w[0].item(),
    lambda x, w: x.add_(w),
    lambda x, w: x * torch.rand(2),
    lambda x, w: x * torch.tensor([1.0, 2.0]),
    lambda x, w: x,
    lambda x, w: x.view(1, 2),
    lambda x, w: (x * w, x + w),
    lambda x, w: (x * w).tolist(),
    lambda x, w: (x * w).numpy().sum(),
])  # fmt: skip
def test_a_stretch_that_does_more_than_record_keeps_its_result(run):
    x, w = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0])
    torch.manual_seed(0)
    result, call, used = looked_at(run, x, w)
    assert call is None and used == ()
    torch.manual_seed(0)
    again = run(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0]))
    assert str(result) == str(again)


def test_a_value_in_place_of_a_tensor_counts_before_it_is_used():
    flag = torch.tensor([True])
    _, call, _ = looked_at(lambda x, flag: x * 2 * flag if flag else x, torch.ones(1), flag)
    assert call is None


def test_writes_into_values_of_the_stretch_itself_are_part_of_it():
    def run(x):
        y = x * 2
        y += 1
        y[0] = 0
        return F.relu(y, inplace=True)

    x = torch.tensor([1.0, 2.0], requires_grad=True)
    _, call, _ = looked_at(run, x)
    for _ in range(2):
        x.grad = None
        out = replayed(call, x)
        out.sum().backward()
        assert out.tolist() == [0.0, 5.0] and x.grad.tolist() == [0.0, 2.0]
        assert out._version == run(x)._version


def test_an_operand_may_be_pending_or_have_a_history():
    w = torch.tensor([2.0], requires_grad=True)
    x = w * 3
    graph.flush()
    y = w * 3
    _, call, _ = capture(lambda: (y * y).exp() * 0 + y, (y,))
    out = replayed(call, x)
    out.backward()
    assert (out.item(), w.grad.item()) == (6.0, 3.0)


def test_the_node_opens_into_those_it_stands_for():
    x = torch.tensor([2.0], requires_grad=True)
    _, call, _ = looked_at(lambda x: (x * x).exp(), x)
    out = replayed(call, x)
    shut = out._grad_fn
    assert type(shut) is StretchNode
    assert out.grad_fn is shut and shut.name() == "ExpBackward0"
    (mul, _), *_ = shut.next_functions
    assert mul.name() == "MulBackward0"
    assert [f.name() for f, _ in mul.next_functions] == ["torch::autograd::AccumulateGrad"] * 2
    out.backward()
    assert x.grad.item() == pytest.approx(4 * torch.tensor(4.0).exp().item())


def test_many_stretches_count_towards_the_cap_on_pending_nodes(monkeypatch):
    monkeypatch.setattr(graph, "MOST_NODES", 40)
    x = torch.ones(2)
    _, call, _ = looked_at(lambda x: ((x + 1) * 2 - 1) / 2, x)
    for _ in range(25):
        replayed(call, x)
        assert graph.RECORDER.graph.size < 40


def test_an_error_on_the_way_leaves_the_graph_usable():
    x = torch.ones(2)
    graph.flush()
    before = x + 1
    with pytest.raises(RuntimeError, match="must match"):
        capture(lambda: (x * 2) + torch.ones(3), (x,))
    assert before.tolist() == [2.0, 2.0] and (x * 2).tolist() == [2.0, 2.0]
