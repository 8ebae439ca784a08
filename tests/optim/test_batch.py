"""A step finds the tensors of the step before again, and notices when they are others."""

import weakref

import pytest

import cresset as torch
from cresset.core import graph
from cresset.core.modes import PROCESS


def steps(parameters, change, count=6, **options):
    """The parameters after some steps; ``change(optimizer, i)`` runs before each."""
    optimizer = torch.optim.SGD(parameters, lr=0.5, **options)
    for i in range(count):
        for p in parameters:
            p.grad = torch.full_like(p, float(i + 1))
        change(optimizer, i)
        optimizer.step()
    return [p.tolist() for p in parameters]


def parameters():
    return [torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.full((3,), 2.0))]


def without_memory(optimizer, i):
    optimizer._batches.clear()


def _drop_a_gradient(optimizer, i):
    if i == 3:
        optimizer.param_groups[0]["params"][0].grad = None


def _replace_the_state(optimizer, i):
    if i == 3:
        optimizer.load_state_dict(optimizer.state_dict())


def _forget_a_buffer(optimizer, i):
    if i == 3:
        optimizer.state[optimizer.param_groups[0]["params"][1]].clear()


def _change_a_buffer(optimizer, i):
    if i == 3:
        state = optimizer.state[optimizer.param_groups[0]["params"][1]]
        state["momentum_buffer"] = torch.zeros(3)


def _change_options(optimizer, i):
    optimizer.param_groups[0]["lr"] = 0.5 / (i + 1)
    if i == 4:
        optimizer.param_groups[0]["nesterov"] = True


def _move_the_memory(optimizer, i):
    if i == 3:
        p = optimizer.param_groups[0]["params"][0]
        p.data = torch.tensor([7.0, 8.0, 9.0])[1:]


def _show_to_numpy(optimizer, i):
    if i == 3:
        p = optimizer.param_groups[0]["params"][0]
        optimizer.shown = p.detach().numpy()


def _add_a_group(optimizer, i):
    if i == 3:
        extra = torch.nn.Parameter(torch.ones(1))
        extra.grad = torch.ones(1)
        optimizer.add_param_group({"params": [extra]})


CHANGES = [_drop_a_gradient, _replace_the_state, _forget_a_buffer, _change_a_buffer,
           _change_options, _move_the_memory, _show_to_numpy, _add_a_group]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("options", [{}, {"momentum": 0.9}], ids=["plain", "momentum"])
def test_what_changed_between_steps_counts(change, options):
    if "buffer" in change.__name__ and not options:
        pytest.skip("there are no buffers")
    if change is _change_options and not options:
        pytest.skip("Nesterov needs momentum")

    def without(optimizer, i):
        without_memory(optimizer, i)
        change(optimizer, i)

    assert steps(parameters(), change, **options) == steps(parameters(), without, **options)


def test_gradients_are_freed_between_steps():
    optimizer = torch.optim.SGD(held := parameters(), lr=0.5, momentum=0.9)
    for i in range(4):
        for p in held:
            p.grad = torch.full_like(p, float(i))
        optimizer.step()
        gradients = [weakref.ref(p.grad._storage) for p in held]
        optimizer.zero_grad()
        assert [ref() for ref in gradients] == [None, None]


def test_memory_that_numpy_sees_is_written_at_once():
    optimizer = torch.optim.SGD([p := parameters()[0]], lr=1.0)
    array = p.detach().numpy()
    for i in range(4):
        p.grad = torch.ones(2)
        optimizer.step()
        assert array.tolist() == [-float(i)] * 2


@pytest.mark.skipif(PROCESS.eager, reason="about recording")
def test_every_step_bumps_versions_and_is_one_node():
    optimizer = torch.optim.SGD(held := parameters(), lr=0.5, momentum=0.9)
    recorded = []
    graph_flush = graph.flush

    def flush(reason="asked for", leave=False):
        recorded.append(len(graph.RECORDER.graph.calls))
        graph_flush(reason, leave)

    for i in range(4):
        for p in held:
            p.grad = torch.ones_like(p)
        graph_flush()
        versions = [p._version for p in held]
        graph.flush = flush
        try:
            optimizer.step()
        finally:
            graph.flush = graph_flush
        assert [p._version for p in held] == [v + 1 for v in versions]
        if i >= 2:
            assert recorded[-1] == 1


@pytest.mark.skipif(PROCESS.eager, reason="about recording")
def test_an_interrupt_in_the_middle_of_a_step_leaves_nothing_behind(monkeypatch):
    optimizer = torch.optim.SGD([p := torch.zeros(2, requires_grad=True)], lr=1.0)
    for _ in range(3):
        p.grad = torch.ones(2)
        optimizer.step()
    p.grad = torch.ones(2)
    others = torch.arange(4.0) * 2  # waits with the step
    real, calls = graph.ref, []

    def interrupted(storage):
        calls.append(storage)
        if graph.RECORDER.graph.numbers:
            raise KeyboardInterrupt
        return real(storage)

    monkeypatch.setattr(graph, "ref", interrupted)
    with pytest.raises(KeyboardInterrupt):
        optimizer.step()
    monkeypatch.setattr(graph, "ref", real)
    assert calls and not graph.RECORDER.graph.numbers
    more = others + torch.arange(4.0)
    assert p.tolist() == [-3.0, -3.0] and more.tolist() == [0.0, 3.0, 6.0, 9.0]
