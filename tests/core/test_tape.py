"""The tape: long, shared, dropped and written-over histories."""

from __future__ import annotations

import gc
import weakref

import pytest

import cresset as torch


def test_a_very_long_chain_is_differentiated_and_dropped_without_recursion():
    x = torch.ones((), requires_grad=True)
    y = x
    for _ in range(20_000):
        y = y + 1
    y.backward()
    assert x.grad.item() == 1
    y = x * 1
    for _ in range(20_000):
        y = y * 1
    del y  # a deep tree of nodes goes at once


def test_a_value_used_many_times_costs_once():
    x = torch.ones((), requires_grad=True)
    y = x
    for _ in range(60):  # 2 ** 60 paths
        y = y + y
    y.backward()
    assert x.grad.item() == 2.0**60


def test_a_tensor_and_its_node_do_not_keep_each_other_alive():
    gc.disable()
    try:
        x = torch.ones(3, requires_grad=True)
        y = x.exp()  # saves its own output
        node, storage = weakref.ref(y.grad_fn), weakref.ref(y._storage)
        del y
        assert node() is None and storage() is None
    finally:
        gc.enable()


def test_what_a_derivative_does_not_need_is_not_kept():
    x = torch.ones(3, requires_grad=True)
    y = x * 2
    product = weakref.ref((y * 3)._storage)
    z = (y + 1).sum()
    assert product() is None
    y = weakref.ref(y._storage)
    gc.collect()
    assert y() is None
    z.backward()
    assert x.grad.tolist() == [2, 2, 2]


def test_a_backward_pass_lets_go_of_what_was_saved():
    x = torch.ones(3, requires_grad=True)
    hidden = x.exp()
    saved = weakref.ref(hidden._storage)
    loss = (hidden * hidden).sum()
    del hidden
    loss.backward()
    gc.collect()
    assert saved() is None
    assert loss.grad_fn is not None


def test_a_second_backward_is_refused_with_the_remedy():
    x = torch.ones(3, requires_grad=True)
    y = x.exp().sum()
    y.backward()
    with pytest.raises(RuntimeError, match="Specify retain_graph=True if you need to"):
        y.backward()
    z = (x + 1).sum()  # nothing saved: nothing missing
    z.backward()
    z.backward()
    assert x.grad.tolist() == pytest.approx([2 + 2.718281828] * 3)


@pytest.mark.parametrize(
    ("make", "write"),
    [
        (lambda x: x.exp(), lambda x, y: y.mul_(2)),
        (lambda x: x.sigmoid(), lambda x, y: y.zero_()),
        (lambda x: (x * 1).tanh(), lambda x, y: y[0].fill_(3)),
        (lambda x: x * x.detach(), None),
        (lambda x: x.relu(), lambda x, y: y.view(-1).add_(1)),
    ],
)
def test_a_saved_value_that_was_written_is_noticed_and_one_that_was_not_is_used(make, write):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = make(x)
    if write is None:
        y.add_(1)
        y.sum().backward()
        assert x.grad.tolist() == [1, 2]
        return
    kept = y * 1
    write(x, y)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        kept.sum().backward()


def test_the_message_says_which_tensor_was_changed():
    x = torch.ones(2, 3, requires_grad=True)
    y = x.exp()
    y.add_(1)
    with pytest.raises(RuntimeError) as caught:
        y.sum().backward()
    assert (
        "[torch.FloatTensor [2, 3]], which is output 0 of Exp, is at version 1; expected "
        "version 0 instead." in str(caught.value)
    )


def test_a_leaf_has_one_accumulator_as_long_as_somebody_holds_it():
    x = torch.ones(2, requires_grad=True)
    a, b = (x * 2).grad_fn.next_functions[0][0], (x + 1).grad_fn.next_functions[0][0]
    assert a is b
    assert a.variable is x
    assert a.name() == "torch::autograd::AccumulateGrad"


def test_a_removed_hook_is_not_called():
    calls = []
    x = torch.ones(2, requires_grad=True)
    with (x * 1).register_hook(calls.append):
        pass
    handle = x.register_hook(lambda g: calls.append(1))
    handle.remove()
    handle.remove()
    (x * 2).sum().backward()
    assert calls == []


def test_a_nodes_notes_and_saved_values_can_be_read():
    x = torch.tensor([2.0], requires_grad=True)
    y = x.exp()
    y.grad_fn.metadata["made by"] = "me"
    assert y.grad_fn.metadata == {"made by": "me"}
    assert y.grad_fn._saved_result.item() == pytest.approx(7.389056)
    with pytest.raises(AttributeError, match="'ExpBackward0' object has no attribute 'nothing'"):
        y.grad_fn.nothing  # noqa: B018
