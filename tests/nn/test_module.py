"""``Module``: filing attributes, walking, state, hooks; beside PyTorch where words matter."""

from __future__ import annotations

import copy
import gc
import pickle
import warnings
import weakref
from collections import OrderedDict

import pytest

import cresset
from cresset import nn
from cresset.nn.hooks import register_module_forward_hook, register_module_forward_pre_hook


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(2, 3)
        self.bn = nn.BatchNorm1d(3)

    def forward(self, x):
        return self.bn(self.fc(x))


class Double(nn.Module):
    def forward(self, x, fail=False, scale=2):
        if fail:
            raise ValueError("boom")
        return x * scale


def make_net(torch):
    """The same small network in either library."""

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = torch.nn.Linear(2, 3)
            self.bn = torch.nn.BatchNorm1d(3)

    return Net()


def outcome(torch, action):
    """Type and words of what a statement raises, or the repr of its value."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = repr(action(torch, make_net(torch)))
        except Exception as error:
            return type(error).__name__, str(error)
    return result, [(w.category.__name__, str(w.message)) for w in caught]


def before_init(kind):
    def action(torch, net):
        class Early(torch.nn.Module):
            def __init__(self):
                if kind == "module":
                    self.x = net
                elif kind == "parameter":
                    self.x = torch.nn.Parameter(torch.ones(1))
                elif kind == "buffer":
                    self.x = torch.nn.Buffer(torch.ones(1))
                elif kind == "register_buffer":
                    self.register_buffer("x", None)
                else:
                    self.register_parameter("x", None)

        return Early()

    return action


def without(state, *names):
    return {k: v for k, v in state.items() if k not in names}


MESSAGES = {
    "unknown attribute": lambda t, n: n.nothing,
    "tensor as parameter": lambda t, n: setattr(n.fc, "weight", t.zeros(3, 2)),
    "int as parameter": lambda t, n: setattr(n.fc, "weight", 3),
    "tensor as module": lambda t, n: setattr(n, "fc", t.zeros(1)),
    "int as buffer": lambda t, n: setattr(n.bn, "running_mean", 3),
    "delete unknown": lambda t, n: delattr(n, "nothing"),
    "module before init": before_init("module"),
    "parameter before init": before_init("parameter"),
    "buffer before init": before_init("buffer"),
    "register_buffer before init": before_init("register_buffer"),
    "register_parameter before init": before_init("register_parameter"),
    "init with an argument": lambda t, n: t.nn.Module(1),
    "init with a keyword": lambda t, n: t.nn.Module(a=1),
    "buffer name no string": lambda t, n: n.register_buffer(3, None),
    "buffer name with a dot": lambda t, n: n.register_buffer("a.b", None),
    "buffer name empty": lambda t, n: n.register_buffer("", None),
    "buffer name taken": lambda t, n: n.register_buffer("fc", None),
    "parameter name no string": lambda t, n: n.register_parameter(3, None),
    "parameter name with a dot": lambda t, n: n.register_parameter("a.b", None),
    "parameter name taken": lambda t, n: n.register_parameter("training", None),
    "module name with a dot": lambda t, n: n.add_module("a.b", None),
    "module name empty": lambda t, n: n.add_module("", None),
    "buffer no tensor": lambda t, n: n.register_buffer("q", 3),
    "parameter no Parameter": lambda t, n: n.register_parameter("q", t.ones(1)),
    "module no Module": lambda t, n: n.add_module("q", 3),
    "get_parameter of a buffer": lambda t, n: n.get_parameter("bn.running_mean"),
    "get_parameter missing": lambda t, n: n.get_parameter("fc.nothing"),
    "get_buffer of a parameter": lambda t, n: n.get_buffer("fc.weight"),
    "get_submodule missing": lambda t, n: n.get_submodule("nothing.more"),
    "get_submodule of a parameter": lambda t, n: n.get_submodule("fc.weight"),
    "get_submodule of nothing": lambda t, n: n.get_submodule("").training,
    "set_submodule without a name": lambda t, n: n.set_submodule("", n.fc),
    "set_submodule strict": lambda t, n: n.set_submodule("no", n.fc, strict=True),
    "set_submodule no module": lambda t, n: n.set_submodule("fc", 3),
    "no forward": lambda t, n: n(1),
    "train with a number": lambda t, n: n.train(3),
    "to an integer dtype": lambda t, n: n.to(t.int32),
    "to an unknown device": lambda t, n: n.to("foo"),
    "to a wrong dtype": lambda t, n: n.to(dtype=3),
    "to an unknown keyword": lambda t, n: n.to(foo=3),
    "to a complex dtype": lambda t, n: n.to(t.complex64),
    "load all": lambda t, n: n.load_state_dict(n.state_dict()),
    "load no mapping": lambda t, n: n.load_state_dict(3),
    "load missing": lambda t, n: n.load_state_dict(without(n.state_dict(), "fc.weight", "bn.bias")),
    "load not strict": lambda t, n: n.load_state_dict({"u": 1}, strict=False),
    "load everything wrong": lambda t, n: n.load_state_dict(
        {
            **without(n.state_dict(), "fc.weight"), "zzz": t.ones(1), "fc.bias": t.ones(7),
            "bn.weight": 3, "bn.q.r": 4, "fc.q": 4,
        }
    ),  # fmt: skip
    "state_dict by position": lambda t, n: list(n.state_dict({}, "a.")),
    "extra state": lambda t, n: n.get_extra_state(),
    "keys of the state": lambda t, n: (list(n.state_dict()), n.state_dict()._metadata),
    "repr": lambda t, n: n,
    "names": lambda t, n: (
        [k for k, _ in n.named_parameters()], [k for k, _ in n.named_buffers("p")],
        [k for k, _ in n.named_modules()], [k for k, _ in n.named_children()],
    ),  # fmt: skip
}  # fmt: skip


@pytest.mark.parametrize("name", MESSAGES)
def test_says_what_pytorch_says(name):
    torch = pytest.importorskip("torch")
    assert outcome(cresset, MESSAGES[name]) == outcome(torch, MESSAGES[name])


# -- attributes ---------------------------------------------------------------------------------


def test_attributes_are_filed_by_kind():
    m = nn.Module()
    m.p = nn.Parameter(cresset.ones(1))
    m.register_buffer("b", cresset.zeros(1))
    m.c = nn.Identity()
    m.plain = cresset.ones(2)
    assert list(m._parameters) == ["p"]
    assert list(m._buffers) == ["b"]
    assert list(m._modules) == ["c"]
    assert "plain" in m.__dict__ and m.plain.shape == (2,)


def test_writing_to_the_tables_shows_at_once_as_attributes():
    m = nn.Linear(2, 2)
    other = nn.Parameter(cresset.zeros(2, 2))
    m._parameters["weight"] = other
    assert m.weight is other
    del m._parameters["weight"]
    assert not hasattr(m, "weight")
    m.__dict__["_parameters"]["weight"] = other
    assert m.weight is other
    assert m._parameters.pop("weight") is other
    assert not hasattr(m, "weight")
    m._parameters = OrderedDict(scale=other)
    assert m.scale is other and not hasattr(m, "bias")


def test_a_replaced_table_can_be_put_back():
    m = nn.Linear(2, 2)
    weight, table = m.weight, m._parameters
    m._parameters = {}
    assert not hasattr(m, "weight")
    m._parameters = table
    assert m.weight is weight


def test_a_class_attribute_hides_a_submodule_of_its_name():
    class Odd(nn.Module):
        inner = None

    m = Odd()
    m.inner = nn.Identity()
    assert m.inner is None
    assert [name for name, _ in m.named_children()] == ["inner"]


def test_a_name_moves_from_kind_to_kind():
    m = nn.Module()
    m.x = 3
    m.x = nn.Parameter(cresset.ones(1))
    assert list(m._parameters) == ["x"]
    m.x = None
    assert m.x is None and list(m._parameters) == ["x"]
    del m.x
    m.x = nn.Identity()
    assert list(m._modules) == ["x"] and not m._parameters
    m.x = nn.Parameter(cresset.ones(1))
    assert list(m._parameters) == ["x"] and not m._modules


def test_modules_die_when_nobody_holds_them():
    gc.collect()
    gc.disable()
    try:
        m = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
        dead = weakref.ref(m)
        del m
        assert dead() is None
    finally:
        gc.enable()


def test_buffers_persist_only_if_asked_to():
    m = nn.Module()
    m.register_buffer("kept", cresset.zeros(1))
    m.register_buffer("dropped", cresset.zeros(1), persistent=False)
    m.made = nn.Buffer(cresset.zeros(1), persistent=False)
    assert list(m.state_dict()) == ["kept"]
    assert [name for name, _ in m.named_buffers()] == ["kept", "dropped", "made"]
    assert repr(m.load_state_dict(m.state_dict())) == "<All keys matched successfully>"


def test_shared_parameters_are_listed_once():
    m = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
    m[1].weight = m[0].weight
    assert len(list(m.parameters())) == 3
    assert len(list(m.named_parameters(remove_duplicate=False))) == 4
    shared = nn.Sequential(m[0], m[0])
    assert len(list(shared.modules())) == 2 and len(list(shared.children())) == 1


# -- copies -------------------------------------------------------------------------------------


def test_a_deep_copy_shares_nothing():
    m = Net()
    twin = copy.deepcopy(m)
    with cresset.no_grad():
        twin.fc.weight.zero_()
    assert twin.fc.weight is not m.fc.weight and twin.fc.weight is twin.fc._parameters["weight"]
    assert m.fc.weight.abs().sum() > 0
    twin.fc.weight = nn.Parameter(cresset.ones(3, 2))
    assert m.fc.weight is m.fc._parameters["weight"]


def test_a_shallow_copy_shares_values_and_not_attributes():
    m = nn.Linear(2, 2)
    twin = copy.copy(m)
    assert twin.weight is m.weight
    old = m.weight
    twin.weight = nn.Parameter(cresset.zeros(2, 2))
    assert m.weight is old


def test_pickling_keeps_everything():
    m = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)).eval()
    twin = pickle.loads(pickle.dumps(m))
    assert repr(twin) == repr(m) and not twin.training
    for (name, a), (other, b) in zip(
        m.state_dict().items(), twin.state_dict().items(), strict=True
    ):
        assert name == other and cresset.equal(a, b)
    assert twin[0].weight is twin[0]._parameters["weight"]


def test_a_subclass_may_pickle_its_own_dictionary():
    class Keeps(nn.Linear):
        def __getstate__(self):
            return self.__dict__.copy()

    m = Keeps(2, 2)
    state = copy.deepcopy(m.__getstate__())
    twin = Keeps.__new__(Keeps)
    twin.__setstate__(state)
    fresh = nn.Parameter(cresset.zeros(2, 2))
    twin._parameters["weight"] = fresh
    assert twin.weight is fresh


# -- all at once --------------------------------------------------------------------------------


def test_to_converts_in_place_and_keeps_parameters_identity():
    m = Net()
    weight = m.fc.weight
    m(cresset.ones(4, 2)).sum().backward()
    assert m.to(cresset.float64) is m
    assert m.fc.weight is weight and weight.dtype is cresset.float64
    assert weight.grad.dtype is cresset.float64
    assert m.bn.running_mean.dtype is cresset.float64
    assert m.bn.num_batches_tracked.dtype is cresset.int64
    assert m.half().fc.weight.dtype is cresset.float16
    assert m.bfloat16().fc.weight.dtype is cresset.bfloat16
    assert m.float().fc.weight.dtype is cresset.float32
    assert m.double().fc.bias.dtype is cresset.float64
    assert m.to(cresset.ones(1)).fc.weight.dtype is cresset.float32
    assert m.type(cresset.float64).bn.running_var.dtype is cresset.float64


def test_to_empty_keeps_shapes():
    m = nn.Linear(2, 3).to_empty(device="cpu")
    assert m.weight.shape == (3, 2) and isinstance(m.weight, nn.Parameter)


@pytest.mark.parametrize("set_to_none", [True, False])
def test_zero_grad(set_to_none):
    m = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    m(cresset.ones(1, 2)).sum().backward()
    m.zero_grad(set_to_none=set_to_none)
    for p in m.parameters():
        assert p.grad is None if set_to_none else not p.grad.any()


def test_train_and_eval_reach_all_levels():
    m = nn.Sequential(nn.Sequential(nn.Dropout()), nn.Dropout())
    m.eval()
    assert not any(x.training for x in m.modules())
    m.train()
    assert all(x.training for x in m.modules())


def test_apply_visits_children_first():
    seen = []
    m = nn.Sequential(nn.Linear(1, 1), nn.Sequential(nn.ReLU()))
    assert m.apply(lambda x: seen.append(type(x).__name__)) is m
    assert seen == ["Linear", "ReLU", "Sequential", "Sequential"]


def test_requires_grad_freezes():
    m = nn.Linear(2, 2).requires_grad_(False)
    assert not any(p.requires_grad for p in m.parameters())


def test_dir_has_children_but_no_numbers():
    m = nn.Sequential(nn.Identity())
    m.extra = nn.Identity()
    assert "extra" in dir(m) and "0" not in dir(m) and "forward" in dir(m)


# -- state --------------------------------------------------------------------------------------


def test_state_dict_shares_memory_and_keep_vars_gives_the_parameters():
    m = nn.Linear(2, 2)
    assert m.state_dict(keep_vars=True)["weight"] is m.weight
    state = m.state_dict(prefix="p.")
    assert not state["p.weight"].requires_grad
    state["p.weight"].zero_()
    assert not m.weight.any()


def test_loading_copies_unless_assigned():
    m = nn.Linear(2, 2)
    given = {"weight": cresset.ones(2, 2), "bias": cresset.zeros(2)}
    weight = m.weight
    m.load_state_dict(given)
    assert m.weight is weight and cresset.equal(weight, given["weight"])
    m.load_state_dict({k: v.double() for k, v in given.items()}, assign=True)
    assert m.weight is not weight and m.weight.dtype is cresset.float64
    assert isinstance(m.weight, nn.Parameter) and m.weight.requires_grad


def test_extra_state_is_saved_and_loaded():
    class Extra(nn.Module):
        seen = None

        def get_extra_state(self):
            return {"v": 1}

        def set_extra_state(self, state):
            self.seen = state

    m = Extra()
    assert dict(m.state_dict()) == {"_extra_state": {"v": 1}}
    m.load_state_dict({"_extra_state": 5})
    assert m.seen == 5
    with pytest.raises(RuntimeError, match="Missing key"):
        m.load_state_dict({})


def test_state_dict_hooks_run_around_saving_and_loading():
    m = nn.Linear(1, 1)
    calls = []
    m.register_state_dict_pre_hook(lambda mod, prefix, keep: calls.append(("pre", prefix, keep)))
    m.register_state_dict_post_hook(lambda mod, d, prefix, meta: d.update(more=1))
    m.register_load_state_dict_pre_hook(lambda mod, d, *rest: d.pop("more"))
    m.register_load_state_dict_post_hook(lambda mod, keys: calls.append(("post", *keys)))
    state = m.state_dict()
    assert state["more"] == 1
    m.load_state_dict(state)
    assert calls == [("pre", "", False), ("post", [], [])]
    m.register_state_dict_post_hook(lambda *args: 3)
    with pytest.raises(RuntimeError, match="state_dict post-hook must return None"):
        m.state_dict()


# -- forward hooks ------------------------------------------------------------------------------


def test_forward_hooks_change_inputs_and_outputs_in_order():
    m = Double()
    x = cresset.ones(2)
    with m.register_forward_pre_hook(lambda mod, args: (args[0] + 1,)):
        assert m(x).tolist() == [4, 4]
    handle = m.register_forward_hook(lambda mod, args, out: out + 10)
    assert m(x).tolist() == [12, 12]
    m.register_forward_hook(lambda mod, args, out: out * 0, prepend=True)
    assert m(x).tolist() == [10, 10]
    handle.remove()
    handle.remove()
    assert m(x).tolist() == [0, 0]


def test_forward_hooks_see_keyword_arguments_on_request():
    m = Double()
    m.register_forward_pre_hook(lambda mod, a, k: (a, {"scale": 5}), with_kwargs=True)
    m.register_forward_hook(lambda mod, a, k, out: (k, out), with_kwargs=True)
    kwargs, out = m(cresset.ones(1), scale=3)
    assert kwargs == {"scale": 5} and out.item() == 5
    bad = Double()
    bad.register_forward_pre_hook(lambda mod, a, k: 3, with_kwargs=True)
    with pytest.raises(RuntimeError, match="must return None or a tuple of .new_args, new_kwargs"):
        bad(cresset.ones(1))


def test_always_call_hooks_run_when_forward_fails():
    seen = []
    m = Double()
    m.register_forward_hook(lambda mod, a, out: seen.append("plain"))
    m.register_forward_hook(lambda mod, a, out: seen.append(out), always_call=True)
    with pytest.raises(ValueError, match="boom"):
        m(cresset.ones(1), fail=True)
    assert seen == [None]
    m.register_forward_hook(lambda mod, a, out: 1 / 0, always_call=True)
    with pytest.warns(UserWarning, match="silenced"), pytest.raises(ValueError, match="boom"):
        m(cresset.ones(1), fail=True)


def test_global_hooks_reach_every_module():
    names = []
    before = register_module_forward_pre_hook(lambda mod, a: names.append(type(mod).__name__))
    after = register_module_forward_hook(lambda mod, a, out: out + 1)
    try:
        out = nn.Sequential(nn.Identity(), Double())(cresset.ones(1))
    finally:
        before.remove()
        after.remove()
    assert names == ["Sequential", "Identity", "Double"] and out.item() == 6
    assert Double()(cresset.ones(1)).item() == 2


# -- backward hooks -----------------------------------------------------------------------------


def test_full_backward_hooks_see_and_change_gradients():
    m = Double()
    seen = []
    m.register_full_backward_pre_hook(lambda mod, out: (out[0] * 10,))
    m.register_full_backward_hook(lambda mod, into, out: seen.append((into[0], out[0])))
    m.register_full_backward_hook(lambda mod, into, out: (into[0] + 1,))
    x = cresset.ones(2, requires_grad=True)
    y = m(x)
    assert type(y.grad_fn).__name__ == "BackwardHookFunctionBackward"
    y.sum().backward()
    assert seen[0][0].tolist() == [20, 20] and seen[0][1].tolist() == [10, 10]
    assert x.grad.tolist() == [21, 21]


def test_full_backward_hooks_check_how_many_gradients_come_back():
    m = Double()
    m.register_full_backward_hook(lambda mod, into, out: (into[0],) * 3)
    with pytest.raises(RuntimeError, match="invalid number of grad_input, got 3, but expected 1"):
        m(cresset.ones(2, requires_grad=True)).sum().backward()


def test_full_backward_hooks_fire_without_input_gradients():
    m = nn.Linear(2, 2)
    seen = []
    m.register_full_backward_hook(lambda mod, into, out: seen.append((into, out[0].shape)))
    with pytest.warns(UserWarning, match="no inputs require gradients"):
        m(cresset.ones(1, 2)).sum().backward()
    assert seen == [((None,), (1, 2))]


def test_old_and_full_backward_hooks_do_not_mix():
    m = nn.Linear(2, 2)
    m.register_full_backward_hook(lambda *args: None)
    with pytest.raises(RuntimeError, match="Cannot use both regular backward hooks"):
        m.register_backward_hook(lambda *args: None)


def test_old_backward_hooks_see_the_last_node():
    m = Double()
    seen = []
    m.register_backward_hook(lambda mod, into, out: seen.append(out[0]))
    with pytest.warns(FutureWarning, match="multiple autograd Nodes"):
        y = m(cresset.ones(2, requires_grad=True))
    y.sum().backward()
    assert seen[0].tolist() == [1, 1]


def test_backward_hooks_warn_about_other_outputs():
    class Lists(nn.Module):
        def forward(self, x):
            return [x * 2]

    m = Lists()
    m.register_full_backward_hook(lambda *args: None)
    with pytest.warns(UserWarning, match="module output should be a Tensor or a tuple of Tensors"):
        m(cresset.ones(1, requires_grad=True))
