"""Each optimiser's step as machine code against its formula on arrays."""

from __future__ import annotations

import pytest

import cresset as torch
from cresset.core.modes import PROCESS

from .both import assert_close, fallbacks, run_both

pytestmark = [
    pytest.mark.skipif(PROCESS.eager, reason="eager mode compiles nothing"),
    pytest.mark.usefixtures("pieces"),
]

DECAY = {"weight_decay": 0.1, "maximize": True}
STEPS = [
    ("SGD", {}),
    ("SGD", {"momentum": 0.9}),
    ("SGD", {"momentum": 0.9, "nesterov": True}),
    ("SGD", {"momentum": 0.5, "dampening": 0.2, **DECAY}),
    ("Adam", {}),
    ("Adam", DECAY),
    ("Adam", {"amsgrad": True}),
    ("AdamW", {"amsgrad": True, **DECAY}),
    ("Adamax", {}),
    ("Adamax", DECAY),
    ("NAdam", {}),
    ("NAdam", {"decoupled_weight_decay": True, **DECAY}),
    ("RAdam", {}),
    ("RAdam", {"betas": (0.5, 0.6), "decoupled_weight_decay": True, **DECAY}),
    ("Adagrad", {"lr_decay": 0.1}),
    ("Adagrad", DECAY),
    ("Adadelta", {}),
    ("Adadelta", DECAY),
    ("RMSprop", {}),
    ("RMSprop", {"centered": True}),
    ("RMSprop", {"momentum": 0.9, **DECAY}),
    ("RMSprop", {"momentum": 0.9, "centered": True}),
    ("Rprop", {}),
    ("Rprop", {"maximize": True, "step_sizes": (0.05, 0.12)}),
    ("ASGD", {}),
    ("ASGD", {"t0": 1, **DECAY}),
]


@pytest.mark.parametrize("kind, options", STEPS)
def test_steps(kind, options):
    """A few steps in two dtypes, so that the state is more than what it began with."""
    shapes = [((7, 3), torch.float32), ((40,), torch.float32), ((17,), torch.float64)]

    def program():
        p = [torch.randn(n, dtype=dtype, requires_grad=True) for n, dtype in shapes]
        optimizer = getattr(torch.optim, kind)(p, lr=0.1, **options)
        for _ in range(3):
            optimizer.zero_grad()
            p[0].grad, p[2].grad = p[0].detach() * 2, p[2].detach() * 2
            p[1].grad = torch.randn(40)
            optimizer.step()
        return [q.tolist() for q in p]

    seen = run_both(program)
    assert_close(seen, rtol=2e-6, atol=2e-6)
    doubles = [pair for _, pairs in seen for pair in pairs if pair[0].dtype == "float64"]
    assert_close([(None, doubles)], rtol=1e-13, atol=1e-13)
    assert not [name for name in fallbacks(seen) if name.endswith("_step") and name != "sgd_step"]


def test_a_gradient_that_is_not_a_number_spoils_its_parameter_alone():
    def program(kind):
        p = torch.ones(20, requires_grad=True)
        optimizer = getattr(torch.optim, kind)([p], lr=0.1)
        for _ in range(4):
            p.grad = torch.full((20,), 0.5)
            p.grad[3], p.grad[4] = float("nan"), float("inf")
            optimizer.step()
        return p.tolist()

    for kind in ("Adamax", "Rprop", "RMSprop", "Adagrad"):
        assert_close(run_both(lambda kind=kind: program(kind)))
