"""Backward passes that repeat are recorded as one node, and nothing else changes."""

import gc
import threading
import weakref

import pytest

import cresset as torch
import cresset.nn.functional as F
from cresset.autograd import replay
from cresset.core import graph
from cresset.core.modes import PROCESS

recorded = pytest.mark.skipif(
    PROCESS.eager or PROCESS.check, reason="eager mode takes the engine's way, checks take both"
)


def _nodes_of_backward(loss):
    """The names of the ops that ``loss.backward()`` records."""
    graph.flush()  # a graph with a second backward pass would run
    loss.backward()
    return [call.op.name for call in graph.RECORDER.graph.calls]


# Each takes two leaves of shape (3, 4), positive, and a number that changes from pass to pass.
PROGRAMS = {
    "add_number": lambda a, b, s: (a + s) * b,
    "mul_number": lambda a, b, s: a * s + b,
    "number_minus": lambda a, b, s: (s - a) / b,
    "number_over": lambda a, b, s: s / a + b,
    "pow_number": lambda a, b, s: a**s + b,
    "number_pow": lambda a, b, s: s**a * b,
    "clamp": lambda a, b, s: a.clamp(0.2, s) * b,
    "lerp": lambda a, b, s: torch.lerp(a, b, s),
    "addcmul": lambda a, b, s: torch.addcmul(a, a, b, value=s),
    "addcdiv": lambda a, b, s: torch.addcdiv(a, a, b, value=s),
    "leaky_relu": lambda a, b, s: F.leaky_relu(a - b, s),
    "elu": lambda a, b, s: F.elu(a - b, s),
    "xlogy": lambda a, b, s: torch.xlogy(a, s) + b,
    "softplus": lambda a, b, s: F.softplus(a * b, beta=s),
    "threshold": lambda a, b, s: F.threshold(a * b, s, 0.5),
    "views": lambda a, b, s: a.t()[1:3].reshape(-1) * b[:, 1:3].t().reshape(-1) * s,
    "broadcast": lambda a, b, s: a * b[0] + b[:, :1] * s,
    "shared": lambda a, b, s: a * a * a + a * b,
    "in_place": lambda a, b, s: (a * b).mul_(s).add_(b),
    "into_a_view": lambda a, b, s: _written(a * b, s),
    "unused_output": lambda a, b, s: a.chunk(2, 1)[0] * b.max(1, keepdim=True)[0],
    "sum": lambda a, b, s: a.sum() * b.mean() * s,
    "matmul": lambda a, b, s: (a @ b.t()).softmax(1) * s,
    "gather": lambda a, b, s: a[[0, 2, 2]] * b[torch.tensor([1, 0, 1])] * s,
    "where": lambda a, b, s: torch.where(a > b, a, b * s),
    "layer_norm": lambda a, b, s: F.layer_norm(a, (4,), b[0], b[1], eps=abs(s)),
    "dropout": lambda a, b, s: F.dropout(a * b, 0.5) * s,
    "detached": lambda a, b, s: a.detach() * b + a * b.detach(),
    "cat": lambda a, b, s: torch.cat([a, b, a]) * s,
    "expand": lambda a, b, s: a[:1].expand(3, 4) * b,
    "norm": lambda a, b, s: (a * s).norm() * b,
}


def _written(x, s):
    x[1] = x[0] * s
    return x


def _gradients(program, passes=5, accumulate=False):
    """Gradients of every pass; values and the number differ from pass to pass."""
    torch.manual_seed(0)
    found = []
    a = b = None
    for i in range(passes):
        if a is None or not accumulate:
            a = (torch.rand(3, 4) + 0.1).requires_grad_()
            b = (torch.rand(3, 4) + 0.1).requires_grad_()
        y = program(a, b, 0.3 + 0.4 * i)
        (y * torch.rand(y.shape)).sum().backward()
        found += [a.grad.tolist(), b.grad.tolist()]
    return found


@pytest.mark.parametrize("accumulate", [False, True])
@pytest.mark.parametrize("name", PROGRAMS)
def test_repeated_passes_give_the_engines_gradients(name, accumulate, monkeypatch):
    repeated = _gradients(PROGRAMS[name], accumulate=accumulate)
    monkeypatch.setattr(replay, "run", lambda roots, keep: False)
    assert repeated == _gradients(PROGRAMS[name], accumulate=accumulate)


@recorded
def test_from_the_second_pass_over_a_tape_on_it_is_one_node():
    w = torch.ones(4, requires_grad=True)
    for i in range(4):
        w.grad = None
        names = _nodes_of_backward((torch.full((4,), 2.0) * w).exp().sum())
        assert (names == ["backward"]) == (i >= 1)
    assert torch.allclose(w.grad, torch.full((4,), 2 * torch.tensor(2.0).exp().item()))


@recorded
def test_a_hook_added_later_is_called():
    w = torch.ones(3, requires_grad=True)
    seen = []
    for i in range(4):
        y = w * 2
        if i == 3:
            y.register_hook(lambda g: seen.append(g.tolist()))
            w.register_hook(lambda g: g * 10)
        w.grad = None
        y.sum().backward()
    assert seen == [[1.0] * 3]
    assert w.grad.tolist() == [20.0] * 3


def test_a_changed_saved_tensor_is_noticed_on_every_pass():
    w = torch.ones(3, requires_grad=True)
    for _ in range(3):
        y = w.exp()
        z = y * 1
        y.add_(1)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            z.sum().backward()
            (y * y).sum().backward()
            w.exp().mul_(2).sum().backward()
            raise AssertionError("none of them complained")


def test_a_second_backward_over_one_tape_is_refused_on_every_pass():
    w = torch.ones(3, requires_grad=True)
    for _ in range(4):
        y = w.exp().sum()
        y.backward()
        with pytest.raises(RuntimeError, match="second time"):
            y.backward()


def test_retain_graph_keeps_the_tape_on_every_pass():
    w = torch.ones(3, requires_grad=True)
    for _ in range(4):
        w.grad = None
        y = (w * 3).exp().sum()
        y.backward(retain_graph=True)
        y.backward()
        assert torch.allclose(w.grad, torch.full((3,), 6 * torch.tensor(3.0).exp().item()))


def test_several_roots_with_gradients():
    w = torch.ones(3, requires_grad=True)
    for i in range(4):
        w.grad = None
        torch.autograd.backward([w * 2, (w * 3).sum()], [torch.full((3,), float(i)), None])
        assert w.grad.tolist() == [2.0 * i + 3.0] * 3


def test_create_graph_still_differentiates_twice():
    x = torch.tensor([2.0], requires_grad=True)
    for _ in range(3):
        (g,) = torch.autograd.grad((x**3).sum(), x, create_graph=True)
        x.grad = None
        g.sum().backward()
        assert x.grad.tolist() == [12.0]


def test_memory_shared_with_numpy_is_read_as_it_is():
    w = torch.ones(4, requires_grad=True)
    x = torch.ones(4)
    array = x.numpy()
    for i in range(4):
        array[:] = i
        w.grad = None
        (w * x).sum().backward()
        assert w.grad.tolist() == [float(i)] * 4


@recorded
def test_tapes_do_not_outlive_their_pass():
    w = torch.ones(3, requires_grad=True)
    for _ in range(3):
        y = w.exp().sum()
        node = weakref.ref(y.grad_fn)
        y.backward()
        del y
        gc.collect()
        assert node() is None


@recorded
def test_shapes_that_never_repeat_are_not_traced():
    w = torch.ones(1, requires_grad=True)
    for n in range(2, 700):
        (w.expand(n) * 2).sum().backward()
    assert len(replay._passes) <= replay._MOST_PASSES
    assert not any(p for p in list(replay._passes.values())[-100:])


# Tapes whose last Calls are the same, so that each is first taken for the one before.
ALIKE = {
    "two leaves": lambda a, b: (a * 2) * (b * 3),
    "one leaf twice": lambda a, b: (a * 2) * (a * 3),
    "one node twice": lambda a, b: (lambda p: p * p)(a * 2),
    "the other leaf first": lambda a, b: (lambda q, p: p * q)(b * 3, a * 2),
    "one side cut off": lambda a, b: (a * 2).detach() * (b * 3),
    "the other side cut off": lambda a, b: (a * 2) * (b * 3).detach(),
    "a leaf for a node": lambda a, b: a * (b * 3),
    "another op": lambda a, b: (a * 2) * (b + 3),
    "another number": lambda a, b: (a * 2.5) * (b * 3),
    "a view": lambda a, b: (a * 2).t().contiguous().t() * (b * 3),
    "a slice": lambda a, b: torch.cat([a, a])[3:] * (b * 3),
}


def test_a_tape_that_only_begins_like_the_last_one_is_told_apart(monkeypatch):
    def gradients():
        torch.manual_seed(0)
        found = []
        for _ in range(4):
            for program in ALIKE.values():
                for _ in range(2):
                    a, b = (torch.rand(3, 4).requires_grad_() for _ in range(2))
                    program(a, b).sum().backward()
                    found.append([None if x.grad is None else x.grad.tolist() for x in (a, b)])
        return found

    repeated = gradients()
    monkeypatch.setattr(replay, "run", lambda roots, keep: False)
    assert repeated == gradients()


def test_threads_that_reach_one_leaf_lose_no_gradient():
    w = torch.zeros(1, requires_grad=True)

    def work():
        for _ in range(50):
            (w * 2).sum().backward()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert w.grad.tolist() == [400.0]


@pytest.mark.skipif(PROCESS.eager, reason="about recording")
def test_a_thread_that_looks_in_the_middle_of_a_pass_waits_for_its_node(monkeypatch):
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 5))
    x, y = torch.randn(6, 3), torch.tensor([0, 1, 2, 3, 4, 0])

    def gradients():
        net.zero_grad()
        F.cross_entropy(net(x), y).backward()
        return [p.grad.tolist() for p in net.parameters()]

    expected = [gradients() for _ in range(4)][-1]
    follow, lookers, followed = replay._follow, [], []

    def followed_by_a_look(*args):
        found = follow(*args)
        followed.append(found is not None)
        lookers.append(threading.Thread(target=graph.flush))
        lookers[-1].start()
        lookers[-1].join(0.05)  # runs the graph, unless it is kept from it
        return found

    monkeypatch.setattr(replay, "_follow", followed_by_a_look)
    assert gradients() == expected
    assert followed == [True]
    lookers[0].join()
