"""Schedules set PyTorch's rates to the last bit, save its state, and warn and refuse as it does."""

from __future__ import annotations

import math
import warnings
from typing import Any

import pytest

import cresset

torch = pytest.importorskip("torch")


def optimizer(lib: Any, kind: str = "SGD", **options: Any) -> Any:
    ps = [lib.zeros(1, requires_grad=True), lib.zeros(2, requires_grad=True)]
    if kind == "SGD":
        options.setdefault("momentum", 0.9)
    return getattr(lib.optim, kind)(
        [{"params": ps[:1]}, {"params": ps[1:], "lr": 0.02}], lr=0.3, **options
    )


CASES: list[tuple[str, Any]] = [
    ("LambdaLR", lambda s, o: s.LambdaLR(o, lambda e: 0.95**e)),
    ("LambdaLR per group", lambda s, o: s.LambdaLR(o, [lambda e: 1 / (1 + e), lambda e: 0.5])),
    ("MultiplicativeLR", lambda s, o: s.MultiplicativeLR(o, lambda e: 1 - 0.01 * e)),
    ("StepLR", lambda s, o: s.StepLR(o, 3, 0.7)),
    ("MultiStepLR", lambda s, o: s.MultiStepLR(o, [2, 5, 5, 9], 0.3)),
    ("ConstantLR", lambda s, o: s.ConstantLR(o, 0.3, 4)),
    ("LinearLR", lambda s, o: s.LinearLR(o, 0.1, 0.9, 7)),
    ("ExponentialLR", lambda s, o: s.ExponentialLR(o, 0.9)),
    ("PolynomialLR", lambda s, o: s.PolynomialLR(o, 8, 1.7)),
    ("CosineAnnealingLR", lambda s, o: s.CosineAnnealingLR(o, 6, 0.01)),
    ("CosineAnnealingWarmRestarts", lambda s, o: s.CosineAnnealingWarmRestarts(o, 3, 2, 0.001)),
    ("CyclicLR triangular", lambda s, o: s.CyclicLR(o, 0.01, 0.2, 3)),
    ("CyclicLR triangular2", lambda s, o: s.CyclicLR(o, 0.01, [0.2, 0.3], 3, 5, "triangular2")),
    ("CyclicLR exp_range", lambda s, o: s.CyclicLR(o, 0.01, 0.2, 4, 2, "exp_range", 0.9)),
    ("CyclicLR own", lambda s, o: s.CyclicLR(o, 0.1, 0.2, 4, scale_fn=lambda x: 1 / x,
                                            cycle_momentum=False)),
    ("OneCycleLR cos", lambda s, o: s.OneCycleLR(o, [0.1, 0.5], 40)),
    ("OneCycleLR linear", lambda s, o: s.OneCycleLR(o, 0.1, epochs=4, steps_per_epoch=10,
                                                    anneal_strategy="linear", pct_start=0.4)),
    ("OneCycleLR three phases", lambda s, o: s.OneCycleLR(o, 0.1, 40, three_phase=True)),
    ("SequentialLR", lambda s, o: s.SequentialLR(
        o, [s.ConstantLR(o, 0.1, 20), s.ExponentialLR(o, 0.9), s.StepLR(o, 2)], [3, 10])),
    ("SequentialLR warm-up", lambda s, o: s.SequentialLR(
        o, [s.LinearLR(o, 0.01, 1.0, 5), s.CosineAnnealingLR(o, 20)], [5])),
    ("ChainedScheduler", lambda s, o: s.ChainedScheduler(
        [s.ConstantLR(o, 0.1, 4), s.ExponentialLR(o, 0.9)])),
]  # fmt: skip
IDS = [name for name, _ in CASES]


def plain(value: Any) -> Any:
    """State without the objects that cannot be compared."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return value


def rates(opt: Any, scheduler: Any, steps: int) -> list[Any]:
    seen = []
    for _ in range(steps):
        seen.append(
            [scheduler.get_last_lr(), [(g["lr"], g.get("momentum"), g.get("betas"))
                                       for g in opt.param_groups]]
        )  # fmt: skip
        opt.step()
        scheduler.step()
    return seen


@pytest.mark.parametrize("kind", ["SGD", "Adam"])
@pytest.mark.parametrize(("name", "make"), CASES, ids=IDS)
def test_rates_and_state_are_pytorchs_to_the_last_bit(name: str, make: Any, kind: str) -> None:
    results = []
    for lib in (cresset, torch):
        opt = optimizer(lib, kind)
        scheduler = make(lib.optim.lr_scheduler, opt)
        results.append((rates(opt, scheduler, 30), plain(scheduler.state_dict())))
    assert results[0][0] == results[1][0]
    assert results[0][1] == results[1][1]


@pytest.mark.parametrize(("name", "make"), CASES, ids=IDS)
def test_a_saved_schedule_goes_on_where_it_was_also_from_pytorch(name: str, make: Any) -> None:
    opt = optimizer(cresset)
    scheduler = make(cresset.optim.lr_scheduler, opt)
    theirs_opt = optimizer(torch)
    theirs = make(torch.optim.lr_scheduler, theirs_opt)
    rates(theirs_opt, theirs, 7)
    options = [{k: v for k, v in g.items() if k != "params"} for g in theirs_opt.param_groups]
    for group, values in zip(opt.param_groups, options, strict=True):
        group.update(values)
    scheduler.load_state_dict(theirs.state_dict())
    assert rates(opt, scheduler, 8) == rates(theirs_opt, theirs, 8)


@pytest.mark.filterwarnings("ignore:The epoch parameter")
@pytest.mark.parametrize(("name", "make"), CASES[:12], ids=IDS[:12])
def test_jumping_to_an_epoch_uses_the_closed_form(name: str, make: Any) -> None:
    seen = []
    for lib in (cresset, torch):
        opt = optimizer(lib)
        scheduler = make(lib.optim.lr_scheduler, opt)
        row = []
        for epoch in (1, 4, 2, 9):
            opt.step()
            scheduler.step(epoch)
            row.append(scheduler.get_last_lr())
        seen.append(row)
    assert seen[0] == seen[1]


METRICS = [1.0, 0.9, 0.95, 0.95, 0.95, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8, 0.7, math.nan, 0.7, 0.7, 0.7]


@pytest.mark.parametrize(
    "options",
    [
        {"patience": 1},
        {"patience": 0, "factor": 0.5, "cooldown": 2, "min_lr": [0.1, 0.001]},
        {"patience": 1, "mode": "max", "threshold": 0.1, "threshold_mode": "abs"},
        {"patience": 2, "mode": "max", "eps": 0.05},
    ],
)
def test_the_plateau_schedule_reacts_as_pytorchs(options: dict[str, Any]) -> None:
    seen = []
    for lib in (cresset, torch):
        opt = optimizer(lib)
        scheduler = lib.optim.lr_scheduler.ReduceLROnPlateau(opt, **options)
        row = []
        for value in METRICS:
            scheduler.step(lib.tensor(value))
            row.append(([g["lr"] for g in opt.param_groups], scheduler.get_last_lr()))
        seen.append((row, plain(scheduler.state_dict())))
    assert seen[0] == seen[1]


def test_a_rate_that_is_a_tensor_is_written_in_place() -> None:
    rate = cresset.tensor(0.5)
    opt = cresset.optim.SGD([cresset.zeros(1, requires_grad=True)], lr=rate)
    scheduler = cresset.optim.lr_scheduler.ExponentialLR(opt, 0.5)
    opt.step()
    scheduler.step()
    assert opt.param_groups[0]["lr"] is rate and rate.item() == 0.25
    assert scheduler.base_lrs[0].item() == 0.5


@pytest.mark.parametrize(
    "use",
    [
        lambda o, s: s.step(),
        lambda o, s: (o.step(), s.step(3)),
        lambda o, s: s.get_lr(),
        lambda o, s: (o.step(), s.step(), s.step()),
    ],
    ids=["step order", "epoch given", "get_lr outside step", "no warning"],
)
def test_warnings_are_pytorchs(use: Any) -> None:
    texts = []
    for lib in (cresset, torch):
        opt = optimizer(lib)
        scheduler = lib.optim.lr_scheduler.StepLR(opt, 2)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            use(opt, scheduler)
        texts.append([(w.category, str(w.message)) for w in caught])
    assert texts[0] == texts[1]


def _two(s: Any, o: Any, name: str, *rest: Any) -> Any:
    members = [s.StepLR(o, 2), s.ReduceLROnPlateau(o)]
    return (
        getattr(s, name)(o, members, *rest)
        if name == "SequentialLR"
        else s.ChainedScheduler(members, o)
    )


BAD: list[Any] = [
    lambda s, o: s.StepLR(3, 2),
    lambda s, o: s.StepLR(o, 2, last_epoch=3),
    lambda s, o: s.LambdaLR(o, [abs]),
    lambda s, o: s.MultiplicativeLR(o, [abs]),
    lambda s, o: s.ConstantLR(o, 2.0),
    lambda s, o: s.LinearLR(o, 2.0),
    lambda s, o: s.LinearLR(o, 0.5, 2.0),
    lambda s, o: s.CosineAnnealingWarmRestarts(o, 0),
    lambda s, o: s.CosineAnnealingWarmRestarts(o, 1, 0),
    lambda s, o: s.CosineAnnealingWarmRestarts(o, 3, eta_min="x"),
    lambda s, o: s.CosineAnnealingWarmRestarts(o, 3).step(-1),
    lambda s, o: s.CyclicLR(o, [0.1], 0.2),
    lambda s, o: s.CyclicLR(o, 0.1, [0.2]),
    lambda s, o: s.CyclicLR(o, 0.1, 0.2, mode="x"),
    lambda s, o: s.OneCycleLR(o, 0.1),
    lambda s, o: s.OneCycleLR(o, [0.1], 10),
    lambda s, o: s.OneCycleLR(o, 0.1, -1),
    lambda s, o: s.OneCycleLR(o, 0.1, 10, pct_start=2.0),
    lambda s, o: s.OneCycleLR(o, 0.1, 10, anneal_strategy="x"),
    lambda s, o: (lambda cycle: [cycle.step() for _ in range(4)])(s.OneCycleLR(o, 0.1, 2)),
    lambda s, o: s.ReduceLROnPlateau(3),
    lambda s, o: s.ReduceLROnPlateau(o, factor=1.0),
    lambda s, o: s.ReduceLROnPlateau(o, "x"),
    lambda s, o: s.ReduceLROnPlateau(o, threshold_mode="x"),
    lambda s, o: s.ReduceLROnPlateau(o, min_lr=[0.1]),
    lambda s, o: s.SequentialLR(o, [], []),
    lambda s, o: s.SequentialLR(o, [s.StepLR(o, 2)], [2]),
    lambda s, o: s.ChainedScheduler([]),
    lambda s, o: _two(s, o, "SequentialLR", [2]),
    lambda s, o: _two(s, o, "ChainedScheduler"),
    lambda s, o: s.LRScheduler(o),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("bad", BAD, ids=range(len(BAD)))
def test_what_pytorch_refuses_is_refused_in_the_same_words(bad: Any) -> None:
    with pytest.raises(Exception) as theirs:  # noqa: B017, PT011
        bad(torch.optim.lr_scheduler, optimizer(torch))
    with pytest.raises(theirs.type) as ours:
        bad(cresset.optim.lr_scheduler, optimizer(cresset))
    assert str(ours.value) == str(theirs.value)


@pytest.mark.parametrize("name", ["CyclicLR", "OneCycleLR"])
def test_cycling_momentum_needs_an_optimizer_with_momentum(name: str) -> None:
    opt = cresset.optim.Adagrad([cresset.zeros(1)])
    args = (0.1, 0.2) if name == "CyclicLR" else (0.1, 10)
    with pytest.raises(ValueError, match="must support momentum or beta1"):
        getattr(cresset.optim.lr_scheduler, name)(opt, *args)
