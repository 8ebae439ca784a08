"""Compiled plans as a user meets them."""

from __future__ import annotations

import subprocess
import sys

import pytest

import cresset as torch
from cresset.compiler import lowerings
from cresset.core import graph
from cresset.core.modes import PROCESS

pytestmark = pytest.mark.skipif(
    PROCESS.eager or not PROCESS.compile, reason="nothing is compiled in this mode"
)


def _train(steps):
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.MaxPool2d(2), torch.nn.Flatten(),
        torch.nn.Linear(4 * 13 * 13, 10),
    )  # fmt: skip
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    losses = []
    for _ in range(steps):
        x, y = torch.randn(8, 1, 28, 28), torch.randint(0, 10, (8,))
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses, [p.tolist() for p in net.parameters()]


def _tiers():
    return [plan.tier for plan in graph.RECORDER.cache._plans.values()]


def test_a_training_step_is_compiled_at_its_third_sight():
    graph.RECORDER.cache.clear()
    _train(2)
    assert "native" not in _tiers()
    graph.RECORDER.cache.clear()
    _train(8)
    assert "native" in _tiers()


def test_training_is_the_same_on_both_tiers_to_rounding(monkeypatch):
    compiled, _ = _train(30)
    monkeypatch.setattr(PROCESS, "compile", False)
    graph.RECORDER.cache.clear()
    reference, _ = _train(30)
    assert compiled == pytest.approx(reference, rel=1e-4)


def test_runs_repeat_bit_for_bit():
    graph.RECORDER.cache.clear()
    first = _train(12)
    graph.RECORDER.cache.clear()
    assert _train(12) == first


def test_outputs_do_not_lie_in_memory_that_is_held():
    graph.RECORDER.cache.clear()
    w = torch.ones(300, 300, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.1)
    held, expected = [], []
    for _ in range(8):
        optimizer.zero_grad()
        y = (w * 2 + 1).relu()
        y.mean().backward()
        held.append((y.detach(), w.detach().clone(), w.grad))
        expected.append([x[0, 0].item() for x in held[-1]])
        optimizer.step()
    assert [[x[0, 0].item() for x in row] for row in held] == expected


def test_a_lowering_that_breaks_leaves_the_first_tier(monkeypatch):
    def broken(*args):
        raise ValueError("no")

    monkeypatch.setitem(lowerings.LOWERINGS, "linear", broken)
    graph.RECORDER.cache.clear()
    with pytest.warns(RuntimeWarning, match="could not be compiled"):
        losses, _ = _train(6)
    assert len(losses) == 6


def test_llvmlite_is_not_loaded_before_it_is_needed():
    code = "import sys, cresset; (cresset.ones(3) * 2).tolist(); print('llvmlite' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
