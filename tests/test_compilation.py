"""``torch.compile``: accepted as in PyTorch; what it is given is compiled at the first call."""

from __future__ import annotations

import copy
import pickle

import pytest

import cresset as torch
from cresset.compiler import native
from cresset.core import graph
from cresset.core.modes import PROCESS

recorded = pytest.mark.skipif(PROCESS.eager, reason="eager mode compiles nothing")


def _chain(x):
    """A chain of steps."""
    return ((x * 2 + 1).tanh() @ x).relu() + 3


@pytest.fixture(autouse=True)
def fresh_plans():
    graph.flush()
    graph.RECORDER.cache.clear()


def _native_plans():
    graph.flush()
    plans = graph.RECORDER.cache._plans.values()
    return [plan for plan in plans if isinstance(plan, native.NativePlan)]


@recorded
def test_the_first_call_is_machine_code():
    x = torch.randn(8, 8)
    expected = _chain(x)
    assert not _native_plans()
    found = torch.compile(_chain)(x)
    assert len(_native_plans()) == 1
    assert torch.allclose(found, expected)


@recorded
def test_every_shape_is_machine_code_at_its_first_call():
    f = torch.compile(_chain)
    for size in (3, 4, 5):
        f(torch.ones(size, size)).sum().item()
    assert len(_native_plans()) == 3


@recorded
def test_a_plan_is_compiled_once():
    f = torch.compile(_chain)
    x = torch.randn(4, 4)
    x.sum().item()
    held = [f(x)]
    (first,) = _native_plans()
    for _ in range(5):
        held[0] = None
        held[0] = f(x)
        assert _native_plans() == [first]


def test_a_function_keeps_its_name_and_arguments():
    f = torch.compile(_chain)
    assert f.__name__ == "_chain" and f.__doc__ == "A chain of steps."

    @torch.compile(mode="max-autotune", fullgraph=True, dynamic=False)
    def scaled(x, *, by=2):
        return x * by

    assert scaled(torch.ones(1), by=3).item() == 3


def test_disable_gives_the_function_back():
    assert torch.compile(_chain, disable=True) is _chain
    assert torch.compiler.disable(_chain) is _chain
    assert torch.compiler.disable()(_chain) is _chain


def test_arguments_are_checked_as_in_pytorch():
    with pytest.raises(AssertionError, match="A callable function is expected, but <class 'int'>"):
        torch.compile(3)
    with pytest.raises(RuntimeError, match="Either mode or options can be specified"):
        torch.compile(_chain, mode="default", options={})


def test_an_error_in_a_compiled_function_is_the_functions_own():
    @torch.compile
    def wrong(x):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        wrong(1)
    assert graph.RECORDER.urgent == 0


def test_a_module_is_wrapped_and_shares_its_state():
    net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    wrapped = torch.compile(net)
    assert isinstance(wrapped, torch.nn.Module)
    assert wrapped._orig_mod is net
    assert list(wrapped.state_dict()) == [f"_orig_mod.{name}" for name in net.state_dict()]
    assert repr(wrapped).startswith("OptimizedModule(\n  (_orig_mod): Sequential(")
    x = torch.randn(3, 4)
    assert torch.allclose(wrapped(x), net(x))
    wrapped.eval()
    assert not net.training and not wrapped.training
    wrapped.note = "kept"
    assert net.note == "kept" == wrapped.note
    with pytest.raises(AttributeError):
        _ = wrapped.missing


def test_a_wrapped_module_trains():
    net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))
    wrapped = torch.compile(net)
    optimizer = torch.optim.SGD(wrapped.parameters(), lr=0.1)
    x, y = torch.randn(16, 4), torch.randn(16, 1)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = ((wrapped(x) - y) ** 2).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


def test_a_wrapped_module_is_copied_and_pickled_with_its_own_inside():
    net = torch.nn.Linear(4, 2)
    wrapped = torch.compile(net)
    x = torch.ones(1, 4)
    for other in (copy.deepcopy(wrapped), pickle.loads(pickle.dumps(wrapped))):
        assert torch.equal(other(x), wrapped(x))
        with torch.no_grad():
            other.weight.add_(1)
        assert not torch.equal(other(x), wrapped(x))


def test_questions_about_tracing_are_answered():
    assert not torch.compiler.is_compiling()
    assert torch.compiler.allow_in_graph(_chain) is _chain
    assert torch.compiler.list_backends() == ["inductor"]
