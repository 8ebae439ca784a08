"""``state_dict`` and ``load_state_dict`` beside PyTorch: keys, messages, prefixes, hooks."""

from __future__ import annotations

import copy
from collections import OrderedDict

import pytest

import cresset
from cresset import nn

from .beside import same_story


def net(T):
    """Linear, batch normalisation and a nested pair, filled with known numbers."""

    class Net(T.nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = T.nn.Linear(2, 3)
            self.bn = T.nn.BatchNorm1d(3)
            self.inner = T.nn.Sequential(T.nn.Linear(3, 1, bias=False), T.nn.ReLU())
            self.scale = T.nn.Parameter(T.ones(1))
            self.nothing = None
            self.register_parameter("absent", None)
            self.register_buffer("steps", T.zeros(()))
            self.register_buffer("hidden", T.zeros(2), persistent=False)

    made = Net()
    with T.no_grad():
        for i, p in enumerate(made.parameters()):
            p.copy_(T.arange(float(p.numel())).view(p.shape) + i)
    return made


def without(state, *names):
    return OrderedDict((k, v) for k, v in state.items() if k not in names)


STORIES = {}


def story(function):
    STORIES[function.__name__] = function
    return function


# -- saving ---------------------------------------------------------------------------------------


@story
def keys_come_in_order_of_registration(T):
    state = net(T).state_dict()
    return list(state), dict(state._metadata), type(state).__name__


@story
def a_prefix_stands_before_every_key(T):
    state = net(T).state_dict(prefix="model.")
    return list(state), list(state._metadata)


@story
def a_destination_is_filled_and_returned(T):
    target = OrderedDict(mine=1)
    state = net(T).fc.state_dict(destination=target, prefix="p.")
    return state is target, list(target), hasattr(target, "_metadata")


@story
def a_plain_dictionary_can_be_the_destination(T):
    target = {}
    return net(T).state_dict(destination=target) is target, list(target)


@story
def positions_are_deprecated(T):
    return list(net(T).state_dict(OrderedDict(), "a.", True))


@story
def values_are_detached_unless_asked(T):
    m = net(T)
    plain, kept = m.state_dict(), m.state_dict(keep_vars=True)
    return (
        [v.requires_grad for v in plain.values()], kept["fc.weight"] is m.fc.weight,
        kept["scale"] is m.scale, plain["scale"].data_ptr() == m.scale.data_ptr(),
        kept["steps"] is m.steps, type(plain["scale"]).__name__,
    )  # fmt: skip


@story
def a_shared_parameter_has_both_names(T):
    m = T.nn.Sequential(T.nn.Linear(2, 2, bias=False), T.nn.Linear(2, 2, bias=False))
    m[1].weight = m[0].weight
    state = m.state_dict()
    return list(state), [k for k, _ in m.named_parameters()]


@story
def metadata_has_the_versions(T):
    class Versioned(T.nn.Module):
        _version = 7

    m = T.nn.Sequential(Versioned(), T.nn.BatchNorm2d(1), T.nn.MultiheadAttention(2, 1))
    return dict(m.state_dict()._metadata)


@story
def state_of_a_copy_is_its_own(T):
    m = net(T)
    state = copy.deepcopy(m.state_dict())
    with T.no_grad():
        m.scale.fill_(9)
    return state["scale"], hasattr(state, "_metadata")


# -- loading --------------------------------------------------------------------------------------


@story
def loading_what_was_saved(T):
    m, other = net(T), net(T)
    with T.no_grad():
        for p in other.parameters():
            p.zero_()
    found = other.load_state_dict(m.state_dict())
    return repr(found), str(found), found.missing_keys, found.unexpected_keys, other.state_dict()


@story
def missing_keys(T):
    m = net(T)
    m.load_state_dict(without(m.state_dict(), "fc.weight", "bn.running_var", "scale"))


@story
def unexpected_keys(T):
    m = net(T)
    m.load_state_dict({**m.state_dict(), "fc.more": T.ones(1), "other.x": 1, "top": 2})


@story
def a_hidden_buffer_is_unexpected(T):
    m = net(T)
    m.load_state_dict({**m.state_dict(), "hidden": T.ones(2)})


@story
def an_absent_parameter_is_unexpected(T):
    m = net(T)
    m.load_state_dict({**m.state_dict(), "absent": T.ones(2)})


@story
def a_module_name_alone_is_unexpected(T):
    m = net(T)
    return m.load_state_dict({**m.state_dict(), "fc": 3, "inner.1.x": 3}, strict=False)


@story
def everything_is_reported_at_once(T):
    m = net(T)
    state = {**without(m.state_dict(), "scale"), "u": 1, "fc.weight": T.ones(5), "steps": 3}
    try:
        m.load_state_dict(state)
    except RuntimeError as error:
        return str(error).split("\n")


@story
def without_strictness_names_are_returned(T):
    m = net(T)
    found = m.load_state_dict({"scale": T.tensor([4.0]), "u": 1}, strict=False)
    return found.missing_keys, found.unexpected_keys, repr(found), m.scale


@story
def a_wrong_size_is_an_error_without_strictness_too(T):
    try:
        net(T).load_state_dict({"fc.weight": T.ones(3, 5), "fc.bias": T.ones(1)}, strict=False)
    except RuntimeError as error:
        return str(error).split("\n")


@story
def a_zero_dim_buffer_takes_one_element(T):
    m = net(T)
    m.load_state_dict({"steps": T.tensor([5.0])}, strict=False)
    return m.steps


@story
def a_one_element_parameter_does_not_take_a_number(T):
    net(T).load_state_dict({"scale": T.tensor(5.0)}, strict=False)


@story
def what_fits_is_loaded_although_something_fails(T):
    m = net(T)
    with pytest.raises(RuntimeError):
        m.load_state_dict({"scale": T.tensor([8.0]), "fc.bias": T.ones(9)}, strict=False)
    return m.scale


@story
def dtypes_are_converted(T):
    m = net(T)
    m.load_state_dict({"scale": T.tensor([8.5], dtype=T.float64)}, strict=False)
    m.load_state_dict({"fc.bias": T.tensor([1, 2, 3])}, strict=False)
    return m.scale, m.fc.bias


@story
def values_that_are_no_tensors(T):
    m = net(T)
    try:
        m.load_state_dict({**m.state_dict(), "scale": 3, "steps": None, "fc.bias": [1.0, 2.0, 3.0]})
    except RuntimeError as error:
        return str(error).replace("cresset", "torch").split("\n")


@story
def no_mapping(T):
    net(T).load_state_dict([("a", 1)])


@story
def an_empty_state(T):
    return T.nn.ReLU().load_state_dict({}), T.nn.Sequential().load_state_dict({})


@story
def the_given_dictionary_is_not_changed(T):
    m = net(T)
    state = m.state_dict()
    before = list(state)
    m.load_state_dict(state)
    return list(state) == before


@story
def identity_and_requires_grad_stay(T):
    m = net(T)
    weight = m.fc.weight
    m.fc.bias.requires_grad_(False)
    m.load_state_dict(net(T).state_dict())
    return m.fc.weight is weight, m.fc.bias.requires_grad, weight._version > 0


@story
def loading_is_not_on_the_tape(T):
    m = net(T)
    m.load_state_dict({"scale": T.ones(1, requires_grad=True)}, strict=False)
    return m.scale.grad_fn is None, m.scale.is_leaf


# -- assign ---------------------------------------------------------------------------------------


@story
def assigned_values_keep_their_dtype(T):
    m = net(T)
    given = {k: v.double() for k, v in m.state_dict().items() if v.is_floating_point()}
    weight = m.fc.weight
    found = m.load_state_dict(given, strict=False, assign=True)
    return (
        found, m.fc.weight is weight, m.fc.weight.dtype == T.float64,
        type(m.fc.weight).__name__, m.bn.running_mean is given["bn.running_mean"],
        m.fc.weight.data_ptr() == given["fc.weight"].data_ptr(),
    )  # fmt: skip


@story
def assigned_parameters_are_taken_themselves(T):
    m = net(T)
    mine = T.nn.Parameter(T.full((1,), 3.0), requires_grad=False)
    m.scale.requires_grad_(True)
    m.load_state_dict({"scale": mine}, strict=False, assign=True)
    return m.scale is mine, mine.requires_grad


@story
def assigned_tensors_take_over_requires_grad(T):
    m = net(T)
    m.scale.requires_grad_(False)
    m.load_state_dict({"scale": T.full((1,), 3.0)}, strict=False, assign=True)
    return m.scale.requires_grad, type(m.scale).__name__


@story
def assigning_checks_sizes(T):
    net(T).load_state_dict({"scale": T.ones(3)}, strict=False, assign=True)


@story
def assigning_an_integer_to_a_parameter(T):
    m = net(T)
    try:
        m.load_state_dict({"scale": T.ones(1, dtype=T.int64)}, strict=False, assign=True)
    except RuntimeError as error:
        return str(error).split("\n")


# -- hooks and overrides --------------------------------------------------------------------------


@story
def hooks_around_saving(T):
    m, seen = net(T), []
    m.register_state_dict_pre_hook(lambda mod, prefix, keep: seen.append((prefix, keep)))
    m.fc.register_state_dict_pre_hook(lambda mod, prefix, keep: seen.append((prefix, keep)))

    def post(mod, state, prefix, meta):
        seen.append((list(state), prefix, dict(meta)))
        state[prefix + "extra"] = 1

    m.inner.register_state_dict_post_hook(post)
    return list(m.state_dict(prefix="p.", keep_vars=True)), seen


@story
def a_post_hook_returns_nothing(T):
    m = net(T)
    m.register_state_dict_post_hook(lambda mod, state, prefix, meta: state)
    m.state_dict()


@story
def the_private_hook_may_replace_the_dictionary(T):
    m = net(T)
    m._register_state_dict_hook(lambda mod, state, prefix, meta: {"only": len(state)})
    return m.state_dict()


@story
def one_function_is_no_hook_of_both_kinds(T):
    m = net(T)
    hook = lambda mod, state, prefix, meta: None
    m.register_state_dict_post_hook(hook)
    m._register_state_dict_hook(hook)


@story
def hooks_before_loading_see_and_change_everything(T):
    m, seen = net(T), []

    def hook(mod, state, prefix, meta, strict, missing, unexpected, errors):
        seen.append((mod is m.fc, sorted(state), prefix, meta, strict, missing, unexpected, errors))
        state[prefix + "bias"] = T.full((3,), 7.0)
        errors.append("from the hook")

    m.fc.register_load_state_dict_pre_hook(hook)
    state = m.state_dict()
    with pytest.raises(RuntimeError, match="from the hook"):
        m.load_state_dict(without(state, "fc.bias"))
    return seen, m.fc.bias


@story
def the_private_hook_before_loading_has_no_module(T):
    m, seen = net(T), []
    m._register_load_state_dict_pre_hook(lambda *args: seen.append((len(args), args[1])))
    m._register_load_state_dict_pre_hook(
        lambda *args: seen.append((len(args), args[2])), with_module=True
    )
    m.load_state_dict(m.state_dict())
    return seen


@story
def a_hook_renames_old_keys(T):
    m = net(T)

    def rename(state, prefix, *rest):
        state[prefix + "weight"] = state.pop(prefix + "w")

    m.fc._register_load_state_dict_pre_hook(rename)
    old = OrderedDict((k.replace("fc.weight", "fc.w"), v) for k, v in m.state_dict().items())
    return m.load_state_dict(old)


@story
def hooks_after_loading_may_clear_the_lists(T):
    m = net(T)

    def forgive(mod, keys):
        keys.missing_keys.clear()
        keys.unexpected_keys.remove("more")

    m.register_load_state_dict_post_hook(forgive)
    return m.load_state_dict({"scale": T.ones(1), "more": 1})


@story
def hooks_after_loading_run_from_the_leaves_up(T):
    m, seen = net(T), []
    for name, child in m.named_modules():
        child.register_load_state_dict_post_hook(lambda mod, keys, name=name: seen.append(name))
    m.load_state_dict(m.state_dict())
    return seen


@story
def a_hook_after_loading_returns_nothing(T):
    m = net(T)
    m.register_load_state_dict_post_hook(lambda mod, keys: keys)
    m.load_state_dict(m.state_dict())


@story
def removed_hooks_are_gone(T):
    m, seen = net(T), []
    handles = [
        m.register_state_dict_pre_hook(lambda *args: seen.append("pre")),
        m.register_state_dict_post_hook(lambda *args: seen.append("post")),
        m.register_load_state_dict_pre_hook(lambda *args: seen.append("load")),
        m.register_load_state_dict_post_hook(lambda *args: seen.append("loaded")),
    ]
    m.load_state_dict(m.state_dict())
    for handle in handles:
        handle.remove()
    m.load_state_dict(m.state_dict())
    return seen


def extra(T):
    class Extra(T.nn.Module):
        def __init__(self):
            super().__init__()
            self.held = "fresh"
            self.w = T.nn.Parameter(T.zeros(1))

        def get_extra_state(self):
            return {"held": self.held}

        def set_extra_state(self, state):
            self.held = state["held"]

    return T.nn.Sequential(Extra(), T.nn.ReLU())


@story
def extra_state_goes_along(T):
    m, other = extra(T), extra(T)
    m[0].held = "used"
    state = m.state_dict()
    return list(state), state["0._extra_state"], other.load_state_dict(state), other[0].held


@story
def extra_state_that_is_missing(T):
    extra(T).load_state_dict({"0.w": T.ones(1)})


@story
def extra_state_that_is_not_expected(T):
    m = net(T)
    m.load_state_dict({**m.state_dict(), "_extra_state": 1, "fc._extra_state": 2})


@story
def batch_norm_of_an_old_version_gets_a_counter(T):
    m = T.nn.Sequential(T.nn.BatchNorm1d(2))
    state = without(m.state_dict(), "0.num_batches_tracked")
    plain = m.load_state_dict(dict(state))
    state._metadata = {"0": {"version": 1}}
    old = m.load_state_dict(state)
    state._metadata = {"0": {"version": 2}}
    return plain, old, m.load_state_dict(state, strict=False)


@story
def an_override_can_save_under_another_name(T):
    class Renamed(T.nn.Linear):
        def _save_to_state_dict(self, destination, prefix, keep_vars):
            super()._save_to_state_dict(destination, prefix, keep_vars)
            destination[prefix + "w"] = destination.pop(prefix + "weight")

        def _load_from_state_dict(self, state_dict, prefix, *args):
            state_dict[prefix + "weight"] = state_dict.pop(prefix + "w")
            super()._load_from_state_dict(state_dict, prefix, *args)

    m = T.nn.Sequential(Renamed(2, 2))
    return list(m.state_dict()), m.load_state_dict(m.state_dict())


@story
def a_state_dict_override_of_a_child_is_called(T):
    class Quiet(T.nn.Linear):
        def state_dict(self, *args, destination=None, prefix="", keep_vars=False):
            return destination

    return list(T.nn.Sequential(Quiet(1, 1), T.nn.Linear(1, 1)).state_dict())


@story
def containers_number_their_keys(T):
    lists = T.nn.ModuleList([T.nn.Linear(1, 1), T.nn.ParameterList([T.ones(1), T.ones(2)])])
    names = T.nn.ModuleDict({"a": T.nn.Linear(1, 1), "b": T.nn.ParameterDict({"x": T.ones(1)})})
    return list(lists.state_dict()), list(names.state_dict())


@pytest.mark.parametrize("name", STORIES)
def test_state_is_saved_and_loaded_as_in_pytorch(name):
    same_story(STORIES[name])


# -- without PyTorch ------------------------------------------------------------------------------


def test_known_keys_and_messages():
    m = net(cresset)
    assert list(m.state_dict()) == [
        "scale", "steps", "fc.weight", "fc.bias", "bn.weight", "bn.bias", "bn.running_mean",
        "bn.running_var", "bn.num_batches_tracked", "inner.0.weight",
    ]  # fmt: skip
    with pytest.raises(RuntimeError) as error:
        m.load_state_dict({**without(m.state_dict(), "scale"), "fc.bias": cresset.ones(7)})
    assert str(error.value).split("\n\t") == [
        "Error(s) in loading state_dict for Net:",
        'Missing key(s) in state_dict: "scale". ',
        "size mismatch for fc.bias: copying a param with shape torch.Size([7]) from checkpoint, "
        "the shape in current model is torch.Size([3]).",
    ]


def test_a_step_after_loading_uses_the_loaded_values():
    layer = nn.Linear(1, 1, bias=False)
    optimizer = cresset.optim.SGD(layer.parameters(), lr=1.0)
    layer(cresset.ones(1, 1)).sum().backward()
    layer.load_state_dict({"weight": cresset.full((1, 1), 5.0)})
    optimizer.step()
    assert layer.weight.item() == 4.0
