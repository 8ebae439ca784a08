"""Compiled plans as a user meets them."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from weakref import ref

import numpy as np
import pytest

import cresset as torch
from cresset.compiler import lowerings, threads
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


# -- plans that go on beside Python ----------------------------------------------------------------

goes_on = pytest.mark.skipif(
    not threads.available() or PROCESS.check,
    reason="no pool of threads on this system, or plans are checked one by one",
)


class Training:
    """A net whose training steps are compiled."""

    def __init__(self, width=256):
        torch.manual_seed(0)
        self.net = torch.nn.Sequential(
            torch.nn.Linear(64, width), torch.nn.Tanh(), torch.nn.Linear(width, 10)
        )
        self.optimizer = torch.optim.SGD(self.net.parameters(), lr=0.05, momentum=0.9)
        self.x, self.y = torch.randn(128, 64), torch.randint(0, 10, (128,))
        for _ in range(40):
            self.step()

    def step(self):
        self.optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(self.net(self.x), self.y)
        loss.backward()
        self.optimizer.step()
        return loss

    def values(self):
        return [p.detach().clone().tolist() for p in self.net.parameters()]


@pytest.fixture
def training(monkeypatch):
    monkeypatch.setattr(threads.POOL, "_alone", 0)
    monkeypatch.setattr(threads, "_STALL", float("inf"))
    monkeypatch.setattr(PROCESS, "_threads", 2)
    graph.RECORDER.cache.clear()
    return Training()


@goes_on
def test_a_step_goes_on_beside_python_and_gives_the_same_bits(training, monkeypatch):
    losses = []
    for _ in range(20):
        losses.append(training.step())
        assert graph.RECORDER.left is not None
    there = [loss.item() for loss in losses], training.values()
    assert graph.RECORDER.left is None  # the copies were a plan of their own
    monkeypatch.setattr(graph.RECORDER, "leaves", False)
    graph.RECORDER.cache.clear()
    other = Training()
    assert ([other.step().item() for _ in range(20)], other.values()) == there


@goes_on
@pytest.mark.parametrize(
    "look",
    [
        lambda p: p.tolist(), lambda p: p.detach().numpy().tolist(), lambda p: p[3:5].sum().item(),
        lambda p: np.from_dlpack(p.detach()).tolist(), lambda p: p.grad.tolist(),
        lambda p: torch.utils.dlpack.from_dlpack(p.detach()).tolist(), repr,
        lambda p: pickle.loads(pickle.dumps(p)).tolist(),
    ],
)  # fmt: skip
def test_whoever_looks_sees_what_is_there_at_the_end(training, look):
    for parameter in training.net.parameters():
        loss = training.step()
        assert graph.RECORDER.left is not None
        seen = look(parameter)
        graph.flush()
        assert graph.RECORDER.left is None
        assert look(parameter) == seen
        assert loss.item() < 3


@goes_on
def test_what_numpy_may_change_is_read_first(training):
    x = torch.randn(128, 64)
    training.x = x
    for _ in range(40):
        training.step()
    before = training.values()
    training.step()
    assert graph.RECORDER.left is not None
    x.numpy()[:] = float("nan")
    assert training.values() != before
    assert all(torch.isfinite(p).all() for p in training.net.parameters())


@goes_on
def test_values_that_are_refused_are_told_at_the_step_and_change_nothing(training):
    good, before = training.y, training.values()
    for _ in range(3):
        training.y = torch.full((128,), 99)
        with pytest.raises(IndexError, match="Target 99 is out of bounds"):
            training.step()
        assert graph.RECORDER.left is None
        assert training.values() == before
        training.y = good
        training.step()
        assert graph.RECORDER.left is not None
        assert training.values() != before
        before = training.values()


@goes_on
@pytest.mark.parametrize("when", ["before", "after"])
def test_an_interrupt_while_a_step_is_begun_leaves_no_stale_values(training, monkeypatch, when):
    loss, real = training.step(), threads.POOL._leave

    def interrupted(*args):
        if when == "after":
            real(*args)
        raise KeyboardInterrupt

    before = training.values()
    monkeypatch.setattr(threads.POOL, "_leave", interrupted)
    with pytest.raises(KeyboardInterrupt):
        loss = training.step()
    monkeypatch.setattr(threads.POOL, "_leave", real)
    assert graph.RECORDER.left is None and threads.POOL.left is None
    assert (training.values() == before) == (when == "before")
    assert all(torch.isfinite(p).all() for p in training.net.parameters())
    assert loss.item() > 0
    for _ in range(3):
        assert training.step().item() > 0


@goes_on
def test_what_a_plan_holds_is_let_go_at_the_end(training):
    training.step()
    buffer = ref(training.net[0].weight.grad._storage.buffer)
    training.optimizer.zero_grad()
    assert buffer() is not None
    graph.flush()
    assert buffer() is None


@goes_on
def test_two_names_of_one_result_are_copied_although_the_plan_could_go_on(training):
    net, kept = training.net, torch.zeros(128, 10)
    for _ in range(40):
        training.optimizer.zero_grad()
        out = net(training.x)
        with torch.no_grad():
            kept.copy_(fresh := out * 2)
        torch.nn.functional.cross_entropy(out, training.y).backward()
        training.optimizer.step()
        assert kept.tolist() == fresh.tolist()
        with torch.no_grad():
            fresh.zero_()
        assert kept.abs().sum().item() > 0


@goes_on
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_fork_waits_for_the_step(training):
    training.step()
    assert graph.RECORDER.left is not None
    child = os.fork()
    if child == 0:
        same = graph.RECORDER.left is None and all(
            torch.isfinite(p).all() for p in training.net.parameters()
        )
        training.step()
        training.step().item()
        os._exit(0 if same else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@goes_on
def test_a_process_that_ends_in_the_middle_of_a_step_ends_well():
    script = (
        "import tests.compiler.test_native as t\n"
        "training = t.Training(2048)\n"
        "for _ in range(5): training.step()\n"
        "print(t.graph.RECORDER.left is not None)\n"
    )
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True,
            env={**os.environ, "CRESSET_NUM_THREADS": "2"},
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout in ("True\n", "False\n")  # False after a stall


@goes_on
def test_threads_that_train_and_look_see_whole_steps(training):
    stop, wrong = threading.Event(), []
    parameter = training.net[2].bias

    def look():
        while not stop.is_set():
            if not torch.isfinite(parameter.detach()).all():
                wrong.append(parameter.tolist())

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        for _ in range(200):
            training.step()
    finally:
        stop.set()
        watcher.join()
    assert not wrong


@goes_on
def test_with_one_thread_nothing_goes_on(training, monkeypatch):
    monkeypatch.setattr(PROCESS, "_threads", 1)
    training.step()
    assert graph.RECORDER.left is None
