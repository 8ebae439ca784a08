"""Optimisers take PyTorch's steps, keep PyTorch's state, and refuse what PyTorch refuses."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import numpy as np
import pytest

import cresset

torch = pytest.importorskip("torch")

SHAPES = [(3, 4), (5,), ()]
CASES: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.5, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    ("SGD", {"lr": 0.01, "momentum": 0.5, "maximize": True}),
    ("Adam", {"lr": 0.1}),
    ("Adam", {"lr": 0.1, "weight_decay": 0.1, "amsgrad": True}),
    ("Adam", {"lr": 0.01, "betas": (0.5, 0.9), "eps": 1e-4, "maximize": True}),
    ("Adam", {"lr": 0.1, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("AdamW", {"lr": 0.1}),
    ("AdamW", {"lr": 0.1, "weight_decay": 0.5, "amsgrad": True}),
    ("Adamax", {"lr": 0.1}),
    ("Adamax", {"lr": 0.1, "weight_decay": 0.1, "maximize": True}),
    ("Adagrad", {"lr": 0.1}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.1, "initial_accumulator_value": 0.5}),
    ("Adagrad", {"lr": 0.1, "weight_decay": 0.1, "maximize": True}),
    ("Adadelta", {}),
    ("Adadelta", {"rho": 0.5, "eps": 1e-3, "weight_decay": 0.1, "maximize": True}),
    ("RMSprop", {"lr": 0.01}),
    ("RMSprop", {"lr": 0.01, "momentum": 0.9, "weight_decay": 0.1}),
    ("RMSprop", {"lr": 0.01, "centered": True, "alpha": 0.9, "eps": 1e-4}),
    ("RMSprop", {"lr": 0.01, "centered": True, "momentum": 0.5, "eps": 1e-4, "maximize": True}),
    ("NAdam", {"lr": 0.05}),
    ("NAdam", {"lr": 0.01, "weight_decay": 0.1, "momentum_decay": 0.1, "betas": (0.8, 0.95)}),
    ("NAdam", {"lr": 0.01, "weight_decay": 0.1, "decoupled_weight_decay": True, "maximize": True}),
    ("RAdam", {"lr": 0.05}),
    ("RAdam", {"lr": 0.01, "weight_decay": 0.1, "betas": (0.8, 0.9)}),
    ("RAdam", {"lr": 0.01, "weight_decay": 0.1, "decoupled_weight_decay": True, "maximize": True}),
    ("ASGD", {"lr": 0.05}),
    ("ASGD", {"lr": 0.05, "t0": 3, "lambd": 0.1, "weight_decay": 0.1}),
    ("ASGD", {"lr": 0.01, "t0": 1, "alpha": 0.5, "maximize": True}),
    ("Rprop", {"lr": 0.01}),
    ("Rprop", {"lr": 0.1, "etas": (0.4, 1.5), "step_sizes": (1e-3, 0.2), "maximize": True}),
]
IDS = [f"{name}-{'-'.join(f'{k}={v}' for k, v in options.items())}" for name, options in CASES]


def parameters(lib: Any, dtype: str = "float32") -> list[Any]:
    rng = np.random.default_rng(0)
    return [
        lib.tensor(rng.standard_normal(s).tolist(), dtype=getattr(lib, dtype), requires_grad=True)
        for s in SHAPES
    ]


def train(lib: Any, opt: Any, steps: int) -> list[float]:
    """Fit sum((p - 1)^2 + sin(3 p)); the losses."""
    losses = []
    ps = [p for group in opt.param_groups for p in group["params"]]
    for _ in range(steps):
        opt.zero_grad()
        loss = sum(((p - 1) ** 2 + lib.sin(3 * p)).sum() for p in ps)
        loss.backward()
        opt.step()
        losses.append(loss.item())
    return losses


def assert_same(a: Any, b: Any, tol: float) -> None:
    """Two nested state dicts have one structure and close numbers."""
    if isinstance(b, dict):
        assert isinstance(a, dict)
        assert list(a) == list(b)
        for k in b:
            assert_same(a[k], b[k], tol)
    elif isinstance(b, (list, tuple)):
        assert type(a) is type(b) and len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_same(x, y, tol)
    elif torch.is_tensor(b):
        assert str(a.dtype) == str(b.dtype)
        assert tuple(a.shape) == tuple(b.shape)
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=tol, atol=tol)
    elif isinstance(b, float):
        assert a == pytest.approx(b, rel=tol)
    else:
        assert a == b


def in_torch(value: Any) -> Any:
    return _convert(value, cresset.Tensor, lambda t: torch.tensor(t.detach().numpy().copy()))


def in_cresset(value: Any) -> Any:
    return _convert(value, torch.Tensor, lambda t: cresset.tensor(t.detach().numpy().copy()))


def _convert(value: Any, kind: type, to: Any) -> Any:
    if isinstance(value, kind):
        return to(value)
    if isinstance(value, dict):
        return {k: _convert(v, kind, to) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_convert(v, kind, to) for v in value)
    return value


@pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)
def test_twenty_steps_agree_with_pytorch_in_losses_and_state(name: str, options: dict) -> None:
    ours = getattr(cresset.optim, name)(parameters(cresset), **options)
    theirs = getattr(torch.optim, name)(parameters(torch), foreach=False, **options)
    np.testing.assert_allclose(train(cresset, ours, 20), train(torch, theirs, 20), rtol=1e-5)
    expected = theirs.state_dict()
    for group in expected["param_groups"]:
        group["foreach"] = None
    # Twenty steps enlarge the last bit of float32; the next test compares in float64.
    assert_same(ours.state_dict(), expected, tol=2e-4)


@pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)
def test_in_double_precision_state_and_parameters_agree_to_rounding(
    name: str, options: dict
) -> None:
    ps, qs = parameters(cresset, "float64"), parameters(torch, "float64")
    ours = getattr(cresset.optim, name)(ps, **options)
    theirs = getattr(torch.optim, name)(qs, **options)
    train(cresset, ours, 10)
    train(torch, theirs, 10)
    assert_same(ps, qs, tol=1e-10)
    assert_same(ours.state_dict(), theirs.state_dict(), tol=1e-10)


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "Adagrad", "RMSprop", "Adadelta",
                                  "NAdam", "RAdam", "ASGD", "Rprop"])  # fmt: skip
def test_a_checkpoint_continues_on_the_other_side(name: str) -> None:
    options = {"lr": 0.05, **({"momentum": 0.9} if name in ("SGD", "RMSprop") else {})}
    ps, qs = parameters(cresset), parameters(torch)
    ours = getattr(cresset.optim, name)(ps, **options)
    theirs = getattr(torch.optim, name)(qs, **options)
    train(cresset, ours, 5)
    with torch.no_grad():
        for p, q in zip(ps, qs, strict=True):
            q.copy_(torch.tensor(p.detach().numpy()))
    theirs.load_state_dict(in_torch(ours.state_dict()))
    np.testing.assert_allclose(train(cresset, ours, 5), train(torch, theirs, 5), rtol=1e-5)
    fresh = getattr(cresset.optim, name)(ps, lr=1.0)
    with cresset.no_grad():
        for p, q in zip(ps, qs, strict=True):
            p.copy_(cresset.tensor(q.detach().numpy().copy()))
    fresh.load_state_dict(in_cresset(theirs.state_dict()))
    np.testing.assert_allclose(train(cresset, fresh, 5), train(torch, theirs, 5), rtol=1e-5)


@pytest.mark.parametrize("search", [None, "strong_wolfe"])
def test_lbfgs_takes_pytorchs_steps(search: str | None) -> None:
    results = []
    for lib in (cresset, torch):
        ps = parameters(lib, "float64")
        opt = lib.optim.LBFGS(ps, lr=0.1 if search is None else 1, max_iter=5,
                              line_search_fn=search)  # fmt: skip
        calls: list[float] = []

        def closure(lib: Any = lib, ps: Any = ps, opt: Any = opt, calls: Any = calls) -> Any:
            opt.zero_grad()
            loss = sum(((p - 1) ** 2 + lib.sin(3 * p)).sum() for p in ps)
            loss.backward()
            calls.append(loss.item())
            return loss

        for _ in range(4):
            opt.step(closure)
        results.append((calls, opt.state_dict()))
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=1e-8)
    assert set(results[0][1]["state"][0]) == set(results[1][1]["state"][0])


def test_groups_have_options_of_their_own() -> None:
    def make(lib: Any) -> Any:
        a, b, c = parameters(lib)
        opt = lib.optim.SGD([{"params": [a], "momentum": 0.9}, {"params": b, "lr": 0.01}], lr=0.1)
        opt.add_param_group({"params": [c], "nesterov": True, "momentum": 0.5})
        return opt

    ours, theirs = make(cresset), make(torch)
    np.testing.assert_allclose(train(cresset, ours, 10), train(torch, theirs, 10), rtol=2e-6)
    assert_same(ours.state_dict()["state"][0], theirs.state_dict()["state"][0], tol=1e-5)


def test_amsgrad_may_be_on_in_one_group_only() -> None:
    def make(lib: Any) -> Any:
        a, b, c = parameters(lib)
        return lib.optim.Adam([{"params": [a], "amsgrad": True}, {"params": [b, c]}], lr=0.1)

    ours, theirs = make(cresset), make(torch)
    np.testing.assert_allclose(train(cresset, ours, 10), train(torch, theirs, 10), rtol=2e-6)
    assert [set(s) for s in ours.state_dict()["state"].values()] == [
        set(s) for s in theirs.state_dict()["state"].values()
    ]


def test_parameters_without_gradient_are_left_alone() -> None:
    a, b = cresset.ones(2, requires_grad=True), cresset.ones(2, requires_grad=True)
    opt = cresset.optim.Adam([a, b], lr=0.5)
    a.sum().backward()
    opt.step()
    assert b.tolist() == [1.0, 1.0] and a.tolist() == pytest.approx([0.5, 0.5])
    assert list(opt.state_dict()["state"]) == [0]
    b.sum().backward()
    opt.step()
    assert [opt.state[p]["step"].item() for p in (a, b)] == [2.0, 1.0]


def test_dtypes_and_layouts_may_differ_within_a_group() -> None:
    ps = [
        cresset.ones(3, 2, dtype=cresset.float64).t().detach().requires_grad_(),
        cresset.ones(2, dtype=cresset.float32, requires_grad=True),
    ]
    opt = cresset.optim.SGD(ps, lr=0.25, momentum=0.9)
    for p in ps:
        p.sum().backward()
    opt.step()
    assert ps[0].tolist() == [[0.75] * 3] * 2 and ps[1].tolist() == [0.75] * 2


@pytest.mark.parametrize("name", ["SGD", "Adam", "RMSprop", "Adagrad"])
def test_a_complex_parameter_is_two_real_ones(name: str) -> None:
    results = []
    for lib in (cresset, torch):
        z = lib.tensor([1 + 2j, -0.5 + 0.25j], requires_grad=True)
        opt = getattr(lib.optim, name)([z], lr=0.1)
        for _ in range(4):
            opt.zero_grad()
            (z.real**2 + z.imag.sin()).sum().backward()
            opt.step()
        results.append(z.detach().numpy())
    np.testing.assert_allclose(*results, rtol=1e-5)


def test_a_new_learning_rate_takes_hold_at_once_also_as_a_tensor() -> None:
    w = cresset.zeros(1, requires_grad=True)
    opt = cresset.optim.SGD([w], lr=cresset.tensor(0.5))
    w.grad = cresset.ones(1)
    opt.step()
    opt.param_groups[0]["lr"] = 0.25
    opt.step()
    assert w.tolist() == [-0.75]


def test_a_step_after_forward_is_noticed_by_backward() -> None:
    w = cresset.ones(2, requires_grad=True)
    opt = cresset.optim.SGD([w], lr=0.1)
    loss = (w * w).sum()
    w.grad = cresset.ones(2)
    opt.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_a_read_of_the_step_count_keeps_its_value_over_the_next_step() -> None:
    w = cresset.ones(2, requires_grad=True)
    opt = cresset.optim.Adam([w])
    w.grad = cresset.ones(2)
    opt.step()
    seen = opt.state[w]["step"] * 1
    opt.step()
    assert seen.item() == 1.0 and opt.state[w]["step"].item() == 2.0


def test_step_returns_the_loss_of_its_closure_with_gradients_on() -> None:
    w = cresset.ones(2, requires_grad=True)
    opt = cresset.optim.SGD([w], lr=0.5)

    def closure() -> Any:
        opt.zero_grad()
        loss = (w * 2).sum()
        loss.backward()
        return loss

    with cresset.no_grad():
        assert opt.step(closure).item() == 4.0
    assert w.tolist() == [0.0, 0.0]


def test_zero_grad_forgets_or_zeroes() -> None:
    w = cresset.ones(2, requires_grad=True)
    opt = cresset.optim.SGD([w])
    w.sum().backward()
    opt.zero_grad(set_to_none=False)
    assert w.grad.tolist() == [0.0, 0.0]
    opt.zero_grad()
    assert w.grad is None


def test_hooks_run_around_steps_and_state_dicts_in_order() -> None:
    w = cresset.ones(1, requires_grad=True)
    opt = cresset.optim.SGD([w], lr=0.1)
    log: list[str] = []
    handle = opt.register_step_pre_hook(lambda o, a, k: log.append("pre"))
    opt.register_step_post_hook(lambda o, a, k: log.append("post"))
    opt.register_state_dict_pre_hook(lambda o: log.append("save"))
    opt.register_state_dict_post_hook(lambda o, d: {**d, "extra": 1})
    opt.register_load_state_dict_pre_hook(lambda o, d: log.append("load"))
    opt.register_load_state_dict_post_hook(lambda o: log.append("loaded"))
    opt.step()
    saved = opt.state_dict()
    opt.load_state_dict(saved)
    handle.remove()
    opt.step()
    assert log == ["pre", "post", "save", "load", "loaded", "post"]
    assert saved["extra"] == 1


def test_an_optimizer_written_by_a_user_steps_and_runs_hooks() -> None:
    class Sign(cresset.optim.Optimizer):
        def __init__(self, params: Any, lr: float) -> None:
            super().__init__(params, {"lr": lr})

        @cresset.no_grad()
        def step(self, closure: Any = None) -> None:
            for group in self.param_groups:
                for p in group["params"]:
                    self.state[p].setdefault("seen", []).append(1)
                    p.add_(p.grad.sign(), alpha=-group["lr"])

    w = cresset.ones(2, requires_grad=True)
    opt, log = Sign([w], 0.5), []
    opt.register_step_post_hook(lambda o, a, k: log.append("post"))
    w.sum().backward()
    opt.step()
    assert w.tolist() == [0.5, 0.5] and log == ["post"]
    assert opt.state_dict()["state"] == {0: {"seen": [1]}}


def test_a_deep_copy_trains_on_its_own() -> None:
    w = cresset.ones(2, requires_grad=True)
    opt = cresset.optim.Adam([w], lr=0.1)
    train(cresset, opt, 2)
    other = copy.deepcopy(opt)
    before = w.tolist()
    train(cresset, other, 2)
    assert w.tolist() == before
    assert other.param_groups[0]["params"][0].tolist() != before


@pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)
def test_the_text_form_is_pytorchs(name: str, options: dict) -> None:
    ours = getattr(cresset.optim, name)(parameters(cresset), **options)
    theirs = getattr(torch.optim, name)(parameters(torch), **options)
    assert repr(ours) == repr(theirs)


BAD: list[Any] = [
    lambda t: t.optim.SGD([], lr=0.1),
    lambda t: t.optim.SGD(t.ones(2), lr=0.1),
    lambda t: t.optim.SGD([1.0], lr=0.1),
    lambda t: t.optim.SGD([t.ones(2, requires_grad=True) * 2], lr=0.1),
    lambda t: t.optim.SGD([{"params": {t.ones(2)}}], lr=0.1),
    lambda t: t.optim.SGD([t.ones(2)], lr=-1),
    lambda t: t.optim.SGD([t.ones(2)], lr=t.ones(2)),
    lambda t: t.optim.SGD([t.ones(2)], lr=0.1, momentum=-0.5),
    lambda t: t.optim.SGD([t.ones(2)], lr=0.1, weight_decay=-0.5),
    lambda t: t.optim.SGD([t.ones(2)], lr=0.1, nesterov=True),
    lambda t: t.optim.SGD([t.ones(2)], lr=0.1).add_param_group([t.ones(1)]),
    lambda t: (lambda w: t.optim.SGD([{"params": [w]}, {"params": [w]}], lr=0.1))(t.ones(2)),
    lambda t: t.optim.Adam([t.ones(2)], lr=-1.0),
    lambda t: t.optim.Adam([t.ones(2)], eps=-1.0),
    lambda t: t.optim.Adam([t.ones(2)], betas=(1.0, 0.9)),
    lambda t: t.optim.Adam([t.ones(2)], betas=(0.5, -0.9)),
    lambda t: t.optim.Adam([t.ones(2)], weight_decay=-1),
    lambda t: t.optim.AdamW([t.ones(2)], lr=-1.0),
    lambda t: t.optim.Adamax([t.ones(2)], lr=-1.0),
    lambda t: t.optim.Adamax([t.ones(2)], betas=(0.5, 1.9)),
    lambda t: t.optim.Adagrad([t.ones(2)], lr=-1.0),
    lambda t: t.optim.Adagrad([t.ones(2)], lr_decay=-1.0),
    lambda t: t.optim.Adagrad([t.ones(2)], initial_accumulator_value=-1.0),
    lambda t: t.optim.Adagrad([t.ones(2)], eps=-1.0),
    lambda t: t.optim.Adadelta([t.ones(2)], rho=1.5),
    lambda t: t.optim.Adadelta([t.ones(2)], eps=-1.5),
    lambda t: t.optim.RMSprop([t.ones(2)], lr=-1.5),
    lambda t: t.optim.RMSprop([t.ones(2)], momentum=-1.5),
    lambda t: t.optim.RMSprop([t.ones(2)], alpha=-1.5),
    lambda t: t.optim.LBFGS([{"params": [t.ones(1)]}, {"params": [t.ones(1)]}]),
    lambda t: t.optim.SGD([t.ones(2)]).load_state_dict({"state": {}, "param_groups": []}),
    lambda t: t.optim.SGD([t.ones(2)]).load_state_dict(
        {"state": {}, "param_groups": [{"params": [0, 1]}]}
    ),
]


@pytest.mark.parametrize("bad", BAD, ids=range(len(BAD)))
def test_what_pytorch_refuses_is_refused_in_the_same_words(bad: Any) -> None:
    with pytest.raises(Exception) as theirs:  # noqa: B017, PT011
        bad(torch)
    with pytest.raises(theirs.type) as ours:
        bad(cresset)
    assert str(ours.value).replace("cresset", "torch") == str(theirs.value)


def test_a_parameter_given_twice_is_warned_about() -> None:
    w = cresset.ones(1, requires_grad=True)
    with pytest.warns(UserWarning, match="duplicate parameters"):
        cresset.optim.SGD([w, w], lr=0.1)


def test_named_parameters_keep_their_names() -> None:
    def names(lib: Any) -> Any:
        ps = [("w", lib.ones(1, requires_grad=True)), ("b", lib.ones(1, requires_grad=True))]
        return lib.optim.SGD(ps, lr=0.1).state_dict()["param_groups"]

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert names(cresset) == names(torch)


@pytest.mark.parametrize("name", ["SGD", "Adam", "RMSprop"])
def test_a_step_records_one_node_for_all_parameters_of_a_group(name: str) -> None:
    from cresset.core import graph

    ps = parameters(cresset)
    opt = getattr(cresset.optim, name)(ps, lr=0.1)
    train(cresset, opt, 2)
    recorded: list[int] = []
    opt.register_step_post_hook(
        lambda o, a, k: recorded.append(len(graph.RECORDER.graph.calls))  # before the flush
    )
    if graph.PROCESS.eager:
        pytest.skip("in eager mode nothing is pending")
    graph.flush()
    opt.step()
    assert recorded == [1]


def test_a_new_learning_rate_needs_no_new_call() -> None:
    from cresset.core.call import CALLS

    opt = cresset.optim.Adam(parameters(cresset), lr=0.1)
    train(cresset, opt, 3)
    known = len(CALLS)
    opt.param_groups[0].update(lr=0.05, betas=(0.8, 0.99))
    train(cresset, opt, 2)
    assert len(CALLS) == known


def test_rprop_leaves_a_parameter_whose_gradient_is_not_a_number():
    p = cresset.ones(3, requires_grad=True)
    optimizer = cresset.optim.Rprop([p], lr=0.1)
    for _ in range(2):
        p.grad = cresset.tensor([float("nan"), 1.0, 0.0])
        optimizer.step()
    assert p.tolist() == pytest.approx([1.0, 0.78, 1.0])
