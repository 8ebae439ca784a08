"""Hooks of modules: when each kind is called, with what, and what its answer does."""

from __future__ import annotations

import copy
import functools
import pickle
import weakref

import pytest

import cresset

from .beside import same_story


def double(T, record=None):
    """A module that multiplies by ``scale``."""

    class Double(T.nn.Module):
        def forward(self, x, scale=2.0, fail=False):
            if record is not None:
                record.append("forward")
            if fail:
                raise ValueError("boom")
            return x * scale

    return Double()


def pair(T):
    """A module with two inputs and two outputs, and one input that is no tensor."""

    class Pair(T.nn.Module):
        def forward(self, x, word, y):
            assert word == "word"
            return x * 2, y * x

    return Pair()


def leaf(T, *values):
    return T.tensor(values or (1.0, 2.0), requires_grad=True)


STORIES = {}


def story(function):
    STORIES[function.__name__] = function
    return function


# -- forward hooks --------------------------------------------------------------------------------


@story
def a_pre_hook_replaces_the_inputs(T):
    m = double(T)
    m.register_forward_pre_hook(lambda mod, args: args[0] + 1)
    m.register_forward_pre_hook(lambda mod, args: (args[0] * 10,))
    return m(T.ones(2)), m(T.ones(2), scale=3.0)


@story
def a_pre_hook_may_return_none(T):
    m = double(T)
    seen = []
    m.register_forward_pre_hook(lambda mod, args: seen.append((mod is m, args)))
    return m(T.ones(2)), seen


@story
def pre_hooks_with_keyword_arguments_see_both(T):
    m = double(T)
    seen = []

    def hook(mod, args, kwargs):
        seen.append((args, kwargs))
        return (args[0] + 1,), {"scale": kwargs["scale"] + 1}

    m.register_forward_pre_hook(hook, with_kwargs=True)
    return m(T.ones(2), scale=3.0), seen


@story
def a_pre_hook_with_keyword_arguments_must_return_a_pair(T):
    m = double(T)
    m.register_forward_pre_hook(lambda mod, args, kwargs: args, with_kwargs=True)
    return m(T.ones(2))


@story
def hooks_are_called_in_order_and_prepended_ones_first(T):
    m, seen = double(T), []
    for name, first in (("a", False), ("b", True), ("c", False), ("d", True)):
        m.register_forward_hook(lambda mod, i, o, name=name: seen.append(name), prepend=first)
        m.register_forward_pre_hook(
            lambda mod, i, name=name: seen.append("pre " + name), prepend=first
        )
    m(T.ones(1))
    return seen


@story
def a_forward_hook_replaces_the_output(T):
    m, seen = double(T), []
    m.register_forward_hook(lambda mod, i, o: seen.append((i, o)))
    m.register_forward_hook(lambda mod, i, o: (o, o + 1))
    m.register_forward_hook(lambda mod, i, o: [o[0], o[1] * 2])
    return m(T.ones(2)), seen


@story
def a_forward_hook_with_keyword_arguments_sees_them(T):
    m, seen = double(T), []
    m.register_forward_hook(lambda mod, i, k, o: seen.append((i, k, o)), with_kwargs=True)
    m(T.ones(2), scale=4.0)
    m(T.ones(2))
    return seen


@story
def a_forward_hook_sees_what_the_pre_hook_made_of_the_inputs(T):
    m, seen = double(T), []
    m.register_forward_pre_hook(lambda mod, i: (i[0] + 5,))
    m.register_forward_hook(lambda mod, i, o: seen.append((i, o)))
    return m(T.zeros(1)), seen


@story
def hooks_that_always_run_see_a_failure(T):
    m, seen = double(T), []
    m.register_forward_hook(lambda mod, i, o: seen.append("plain"))
    m.register_forward_hook(lambda mod, i, o: seen.append(("always", o)), always_call=True)
    with pytest.raises(ValueError, match="boom"):
        m(T.ones(1), fail=True)
    m(T.ones(1))
    return seen


@story
def hooks_that_always_run_run_once(T):
    m, seen = double(T), []

    def breaks(mod, i, o):
        raise KeyError("in the hook")

    m.register_forward_hook(lambda mod, i, o: seen.append("first"), always_call=True)
    m.register_forward_hook(breaks)
    m.register_forward_hook(lambda mod, i, o: seen.append("last"), always_call=True)
    with pytest.raises(KeyError):
        m(T.ones(1))
    return seen


@story
def a_broken_hook_that_always_runs_is_silenced_after_a_failure(T):
    m = double(T)
    m.register_forward_hook(lambda mod, i, o: 1 / 0, always_call=True)
    return m(T.ones(1), fail=True)


@story
def a_hook_can_remove_itself(T):
    m, seen = double(T), []

    def once(mod, i, o):
        seen.append("once")
        handle.remove()

    handle = m.register_forward_hook(once)
    m.register_forward_hook(lambda mod, i, o: seen.append("stays"))
    m(T.ones(1))
    m(T.ones(1))
    return seen


@story
def a_handle_works_as_a_context(T):
    m = double(T)
    with m.register_forward_hook(lambda mod, i, o: o + 100) as handle:
        inside = m(T.ones(1))
    handle.remove()
    return inside, m(T.ones(1))


@story
def calling_forward_itself_passes_hooks_by(T):
    m = double(T)
    m.register_forward_hook(lambda mod, i, o: o + 100)
    return m.forward(T.ones(1)), m(T.ones(1)), m.__call__(T.ones(1))


@story
def hooks_of_children_run_inside(T):
    seen = []
    net = T.nn.Sequential(T.nn.Identity(), T.nn.Sequential(T.nn.Identity()))
    for name, m in net.named_modules():
        m.register_forward_pre_hook(lambda mod, i, name=name: seen.append("> " + name))
        m.register_forward_hook(lambda mod, i, o, name=name: seen.append("< " + name))
    net(T.ones(1))
    return seen


@story
def hooks_may_be_added_while_a_module_is_used(T):
    net = T.nn.Sequential(T.nn.Linear(1, 1), T.nn.ReLU())
    net(T.ones(1, 1))
    seen = []
    net[1].register_forward_hook(lambda mod, i, o: seen.append("relu"))
    net(T.ones(1, 1))
    net[1].register_forward_hook(lambda mod, i, o: seen.append("again"))
    net(T.ones(1, 1))
    return seen


# -- global hooks ---------------------------------------------------------------------------------


@story
def global_hooks_run_before_the_modules_own(T):
    kinds, seen = T.nn.modules.module, []
    m = double(T)
    m.register_forward_pre_hook(lambda mod, i: seen.append("own pre"))
    m.register_forward_hook(lambda mod, i, o: seen.append("own"))
    handles = [
        kinds.register_module_forward_pre_hook(lambda mod, i: seen.append("global pre")),
        kinds.register_module_forward_hook(lambda mod, i, o: seen.append("global")),
        kinds.register_module_forward_hook(
            lambda mod, i, k, o: seen.append(dict(k)), with_kwargs=True
        ),
    ]
    try:
        m(T.ones(1), scale=4.0)
    finally:
        for handle in handles:
            handle.remove()
    m(T.ones(1))
    return seen


@story
def global_backward_hooks_see_every_module(T):
    kinds, seen = T.nn.modules.module, []
    net = T.nn.Sequential(double(T), T.nn.Tanh())
    name = lambda mod: type(mod).__name__
    handles = [
        kinds.register_module_full_backward_pre_hook(lambda mod, g: seen.append("> " + name(mod))),
        kinds.register_module_full_backward_hook(lambda mod, i, o: seen.append("< " + name(mod))),
    ]
    try:
        net(leaf(T)).sum().backward()
    finally:
        for handle in handles:
            handle.remove()
    net(leaf(T)).sum().backward()
    return seen


@story
def registration_hooks_see_names_and_may_replace(T):
    kinds, seen = T.nn.modules.module, []
    replacement = T.nn.ReLU()

    def on_module(mod, name, child):
        seen.append(("module", name, type(child).__name__))
        return replacement if name == "swap" else None

    handles = [
        kinds.register_module_module_registration_hook(on_module),
        kinds.register_module_parameter_registration_hook(
            lambda mod, name, p: seen.append(("parameter", name, tuple(p.shape)))
        ),
        kinds.register_module_buffer_registration_hook(
            lambda mod, name, b: seen.append(("buffer", name, tuple(b.shape)))
        ),
    ]
    try:
        holder = T.nn.Module()
        holder.fc = T.nn.Linear(2, 3)
        holder.swap = T.nn.Tanh()
        holder.add_module("more", T.nn.BatchNorm1d(2))
        holder.register_buffer("b", T.zeros(4))
        seen.append(holder.swap is replacement)
    finally:
        for handle in handles:
            handle.remove()
    holder.late = T.nn.Tanh()
    return seen


# -- backward hooks -------------------------------------------------------------------------------


@story
def a_full_backward_hook_sees_both_gradients(T):
    m, seen, x = double(T), [], leaf(T)
    m.register_full_backward_hook(lambda mod, i, o: seen.append((i, o)))
    y = m(x * 1)
    y.backward(T.tensor([1.0, 10.0]))
    return seen, x.grad, y.grad_fn.name()


@story
def a_full_backward_hook_replaces_input_gradients(T):
    m, x = double(T), leaf(T)
    m.register_full_backward_hook(lambda mod, i, o: (i[0] * 3,))
    m.register_full_backward_hook(lambda mod, i, o: (i[0] + 1,))
    m(x).sum().backward()
    return x.grad


@story
def a_full_backward_hook_may_return_a_tensor(T):
    m, x = double(T), leaf(T)
    m.register_full_backward_hook(lambda mod, i, o: i[0] * 3)
    m(x).sum().backward()
    return x.grad


@story
def a_backward_pre_hook_changes_output_gradients(T):
    m, seen, x = double(T), [], leaf(T)
    m.register_full_backward_pre_hook(lambda mod, o: (o[0] * 7,))
    m.register_full_backward_pre_hook(lambda mod, o: seen.append(o))
    m.register_full_backward_pre_hook(lambda mod, o: seen.append("first"), prepend=True)
    m.register_full_backward_hook(lambda mod, i, o: seen.append((i, o)))
    m(x).sum().backward()
    return x.grad, seen


@story
def hooks_of_several_inputs_and_outputs_get_none_for_others(T):
    m, seen = pair(T), []
    x, y = leaf(T), leaf(T, 3.0, 4.0)
    m.register_full_backward_hook(lambda mod, i, o: seen.append((len(i), i[0], i[1], i[2], o)))
    m.register_full_backward_pre_hook(lambda mod, o: seen.append(o))
    a, b = m(x, "word", y)
    (a * 5 + b).sum().backward()
    return seen, x.grad, y.grad


@story
def an_unused_output_has_no_gradient(T):
    m, seen = pair(T), []
    x, y = leaf(T), leaf(T, 3.0, 4.0)
    m.register_full_backward_hook(lambda mod, i, o: seen.append(o))
    a, b = m(x, "word", y)
    b.sum().backward()
    return seen, x.grad


@story
def an_input_without_gradient_gives_none(T):
    m, seen = pair(T), []
    x, y = leaf(T), T.ones(2)
    m.register_full_backward_hook(lambda mod, i, o: seen.append(i))
    a, b = m(x, "word", y)
    (a + b).sum().backward()
    return seen


@story
def a_wrong_number_of_input_gradients(T):
    m = double(T)
    m.register_full_backward_hook(lambda mod, i, o: (i[0], i[0]))
    m(leaf(T)).sum().backward()


@story
def a_wrong_number_of_output_gradients(T):
    m = double(T)
    m.register_full_backward_pre_hook(lambda mod, o: (o[0], o[0], o[0]))
    m(leaf(T)).sum().backward()


@story
def backward_hooks_run_from_the_last_layer_to_the_first(T):
    seen = []
    net = T.nn.Sequential(T.nn.Linear(2, 2), T.nn.Tanh(), T.nn.Linear(2, 1))
    for name, m in net.named_modules():
        m.register_full_backward_pre_hook(lambda mod, o, name=name: seen.append("> " + name))
        m.register_full_backward_hook(lambda mod, i, o, name=name: seen.append("< " + name))
    net(T.ones(1, 2, requires_grad=True)).sum().backward()
    return seen


@story
def backward_hooks_of_a_first_layer_run_without_input_gradients(T):
    seen = []
    net = T.nn.Sequential(T.nn.Linear(2, 2), T.nn.Tanh())
    net[0].register_full_backward_hook(lambda mod, i, o: seen.append((i, tuple(o[0].shape))))
    net(T.ones(1, 2)).sum().backward()
    return seen


@story
def backward_pre_hooks_of_a_first_layer_run_without_input_gradients(T):
    net = T.nn.Sequential(T.nn.Linear(2, 2), T.nn.Tanh())
    net[0].register_full_backward_pre_hook(lambda mod, o: (o[0] * 0,))
    net(T.ones(1, 2)).sum().backward()
    return net[0].weight.grad


@story
def a_first_layers_hook_may_not_return_gradients(T):
    net = T.nn.Linear(2, 2)
    net.register_full_backward_hook(lambda mod, i, o: o)
    net(T.ones(1, 2)).sum().backward()


@story
def backward_hooks_do_nothing_without_gradients(T):
    m, seen = double(T), []
    m.register_full_backward_hook(lambda mod, i, o: seen.append("called"))
    with T.no_grad():
        a = m(leaf(T))
    b = m(T.ones(2))
    return a.requires_grad, b.requires_grad, seen


@story
def a_view_of_a_hooked_output_may_not_be_written(T):
    m = double(T)
    m.register_full_backward_hook(lambda mod, i, o: None)
    y = m(leaf(T))
    y += 1
    return y


@story
def an_input_that_a_hook_watches_may_not_be_written(T):
    class Writes(T.nn.Module):
        def forward(self, x):
            return x.mul_(2)

    m = Writes()
    m.register_full_backward_hook(lambda mod, i, o: None)
    return m(leaf(T) * 1)


@story
def backward_hooks_reach_double_backward(T):
    m, seen, x = double(T), [], leaf(T)
    m.register_full_backward_hook(lambda mod, i, o: seen.append(tuple(g.requires_grad for g in i)))

    class Cube(T.nn.Module):
        def forward(self, x):
            return x**3

    cube = Cube()
    cube.register_full_backward_hook(lambda mod, i, o: (i[0] * 2,))
    (g,) = T.autograd.grad(cube(m(x)).sum(), x, create_graph=True)
    g.sum().backward()
    return g, x.grad, seen


@story
def full_and_other_backward_hooks_do_not_mix(T):
    m = double(T)
    m.register_full_backward_hook(lambda *args: None)
    m.register_backward_hook(lambda *args: None)


@story
def other_and_full_backward_hooks_do_not_mix(T):
    m = double(T)
    m.register_backward_hook(lambda *args: None)
    m.register_full_backward_hook(lambda *args: None)


@story
def an_old_backward_hook_sees_the_last_node(T):
    m, seen, x = double(T), [], leaf(T)
    m.register_backward_hook(lambda mod, i, o: seen.append((i[0], o)))
    m(x).sum().backward()
    return seen, x.grad


@story
def an_old_backward_hook_replaces_the_last_nodes_gradient(T):
    m, x = double(T), leaf(T)
    m.register_backward_hook(lambda mod, i, o: (i[0] * 5, *i[1:]))
    m(x).sum().backward()
    return x.grad


@story
def an_old_backward_hook_warns_about_lists(T):
    class Lists(T.nn.Module):
        def forward(self, x):
            return [x * 2, [x * 3]]

    m = Lists()
    m.register_backward_hook(lambda mod, i, o: None)
    return m(leaf(T))


@story
def a_full_backward_hook_warns_about_lists(T):
    class Lists(T.nn.Module):
        def forward(self, x):
            return [x * 2]

    m = Lists()
    m.register_full_backward_hook(lambda mod, i, o: None)
    return m(leaf(T))


@story
def hooks_change_with_partial_and_methods(T):
    class Watch:
        def __init__(self):
            self.seen = []

        def look(self, tag, mod, i, o):
            self.seen.append((tag, o))

    watch, m = Watch(), double(T)
    m.register_forward_hook(functools.partial(watch.look, "tag"))
    m(T.ones(1))
    return watch.seen


@story
def a_copy_has_the_hooks(T):
    m, seen = double(T), []
    m.register_forward_hook(lambda mod, i, o: seen.append(mod is m))
    copy.deepcopy(m)(T.ones(1))
    m(T.ones(1))
    return seen


@story
def tables_of_hooks_are_plain(T):
    m = double(T)
    m.register_forward_hook(lambda mod, i, o: None, with_kwargs=False)
    m.register_forward_hook(lambda mod, i, k, o: None, with_kwargs=True, always_call=True)
    m.register_forward_pre_hook(lambda mod, i, k: None, with_kwargs=True)
    m.register_full_backward_hook(lambda mod, i, o: None)
    m.register_full_backward_pre_hook(lambda mod, o: None)
    names = (
        "_forward_hooks", "_forward_hooks_with_kwargs", "_forward_hooks_always_called",
        "_forward_pre_hooks", "_forward_pre_hooks_with_kwargs", "_backward_hooks",
        "_backward_pre_hooks",
    )  # fmt: skip
    return [(name, len(getattr(m, name))) for name in names], m._is_full_backward_hook


@pytest.mark.parametrize("name", STORIES)
def test_hooks_are_called_as_in_pytorch(name):
    same_story(STORIES[name])


# -- without PyTorch ------------------------------------------------------------------------------


def hook_of_the_module_level(mod, args, out):
    return out + 1


def test_a_hook_of_a_pickled_module_stays():
    layer = cresset.nn.Identity()
    layer.register_forward_hook(hook_of_the_module_level)
    twin = pickle.loads(pickle.dumps(layer))
    assert twin(cresset.zeros(1)).item() == 1


def test_a_handle_keeps_no_module_alive():
    layer = cresset.nn.Sequential(cresset.nn.Identity())
    dead = weakref.ref(layer)
    handle = layer.register_forward_hook(hook_of_the_module_level)
    del layer
    assert dead() is None
    handle.remove()


def test_hooks_known_values():
    assert a_pre_hook_replaces_the_inputs(cresset)[0].tolist() == [40.0, 40.0]
    assert a_full_backward_hook_replaces_input_gradients(cresset).tolist() == [7.0, 7.0]
    grad, seen = a_backward_pre_hook_changes_output_gradients(cresset)
    assert grad.tolist() == [14.0, 14.0] and seen[0] == "first"
    assert hooks_of_children_run_inside(cresset) == [
        "> ", "> 0", "< 0", "> 1", "> 1.0", "< 1.0", "< 1", "< ",
    ]  # fmt: skip
