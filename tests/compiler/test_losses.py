"""Losses as machine code against their kernels, with their gradients."""

from __future__ import annotations

import pytest

import cresset as torch
import cresset.nn.functional as F
from cresset.core.modes import PROCESS

from .both import agree, run_both

pytestmark = pytest.mark.skipif(PROCESS.eager, reason="eager mode compiles nothing")

REDUCTIONS = ["mean", "sum", "none"]


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", [(6, 10), (2, 5, 7), (2, 3, 4, 5), (1, 4)])
def test_classes(reduction, weighted, shape):
    weight = torch.rand(shape[1]) if weighted else None
    target = torch.randint(0, shape[1], (shape[0], *shape[2:]))
    target.view(-1)[0] = 3 if target.numel() > 1 else 0
    if weighted:
        weight[1] = 0

    def program():
        found = []
        for kind in (torch.float32, torch.float64):
            x = (torch.randn(shape) * 5).to(kind).requires_grad_()
            w = None if weight is None else weight.to(kind)
            loss = F.nll_loss(x, target, w, ignore_index=3, reduction=reduction)
            (loss * torch.rand(loss.shape, dtype=kind)).sum().backward()
            found += [loss, x.grad]
        return found

    agree(program, 2e-6, 2e-6)


@pytest.mark.parametrize("options", [{"label_smoothing": 0.1}, {"ignore_index": 2}])
def test_cross_entropy(options):
    target = torch.tensor([1, 9, 0, 2, 4, 4])

    def program():
        x = (torch.randn(6, 10) * 5).requires_grad_()
        F.cross_entropy(x, target, **options).backward()
        return [x.grad]

    agree(program, 2e-6, 2e-6)


def test_classes_in_bytes_and_out_of_order():
    scores, target = torch.randn(5, 8).t(), torch.tensor([[1, 2], [0, 4], [3, 3], [1, 1]])

    def program():
        both = torch.stack([scores, scores * 2]).log_softmax(2)
        found = F.nll_loss(both.transpose(1, 2)[:, :, ::2], target.t())
        return [found, F.nll_loss(scores, target.to(torch.uint8).view(-1))]

    agree(program, 2e-6, 2e-6)


@pytest.mark.usefixtures("pieces")
def test_a_class_out_of_range_in_an_image_is_the_kernels_error():
    def program():
        with pytest.raises(IndexError, match="Target 7 is out of bounds"):
            F.cross_entropy(torch.randn(1, 3, 1, 2), torch.tensor([[[0, 7]]])).item()

    run_both(program)


@pytest.mark.usefixtures("pieces")
@pytest.mark.parametrize("made", [False, True])
@pytest.mark.parametrize("target", [-1, 5, 2**40, -100])
def test_classes_are_looked_at_first_unless_the_plan_makes_them(target, made):
    def program():
        w = torch.randn(4, 5, requires_grad=True)
        y = torch.tensor([0, 4, target, 1])
        loss = F.cross_entropy(torch.ones(4, 4) @ w, y + 0 if made else y)
        if target == -100:
            loss.backward()
            assert w.grad.isfinite().all()
            return
        with pytest.raises(IndexError, match=f"Target {target} is out of bounds"):
            loss.item()

    for plan, _ in run_both(program):
        leaving = plan.built.leaving
        losses = [step for step in plan.built.steps if step.call.op.name == "nll_loss"]
        if leaving is not None and losses and (slot := losses[0].outs[0][0]) in leaving.ready:
            assert (leaving.ready[slot] > leaving.settled) == (not made)


@pytest.mark.usefixtures("pieces")
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weighted", [False, True])
def test_probabilities(reduction, weighted):
    def program():
        found = []
        for kind in (torch.float32, torch.float64):
            p = torch.rand(3, 41, dtype=kind)
            p[0, 0], p[1, 1], p[2, 2] = 0.0, 1.0, 1e-30
            p.requires_grad_()
            t = (torch.rand(3, 41) > 0.5).to(kind)
            w = torch.rand(3, 41, dtype=kind) if weighted else None
            loss = F.binary_cross_entropy(p, t, w, reduction=reduction)
            loss.sum().backward()
            found += [loss, p.grad]
        return found

    agree(program, 2e-6, 2e-6)


@pytest.mark.usefixtures("pieces")
def test_a_probability_beyond_one_is_the_kernels_error():
    for bad in (1.5, -0.1, float("nan")):
        p = torch.full((40,), 0.5)
        p[7] = bad

        def program(p=p):
            with pytest.raises(RuntimeError, match="between 0 and 1"):
                F.binary_cross_entropy(p, torch.zeros(40)).item()

        run_both(program)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_logits(reduction):
    def program():
        x = (torch.randn(5, 9) * 8).requires_grad_()
        t = torch.rand(5, 9)
        loss = F.binary_cross_entropy_with_logits(x, t, reduction=reduction, pos_weight=t[0] + 1)
        loss.sum().backward()
        return [loss, x.grad]

    agree(program, 2e-6, 2e-6)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"])
def test_distances(name, reduction):
    def program():
        found = []
        for kind in (torch.float32, torch.float64):
            x = torch.randn(7, 33, dtype=kind, requires_grad=True)
            loss = getattr(F, name)(x, torch.randn(7, 33, dtype=kind), reduction=reduction)
            loss.sum().backward()
            found += [loss, x.grad]
        return found

    agree(program, 2e-6, 2e-6)
