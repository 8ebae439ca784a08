"""Recording and flushing: what runs and when, what is kept alive, what an error leaves behind."""

from __future__ import annotations

import gc
import os
import resource
import threading

import numpy as np
import pytest

import cresset as torch
import cresset.nn.functional as F
from cresset.core import graph
from cresset.core.modes import PROCESS
from cresset.core.plan import Plan
from cresset.ops.registry import Op, apply

lazy_only = pytest.mark.skipif(PROCESS.eager, reason="about recording")
runs_once = pytest.mark.skipif(PROCESS.check, reason="CRESSET_CHECK runs a plan twice")


def pending() -> int:
    return len(graph.RECORDER.graph.calls)


def peak() -> int:
    """The most memory this process ever held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


# -- when the graph runs -----------------------------------------------------------------------


@lazy_only
@pytest.mark.parametrize(
    "look",
    [
        lambda x: x.item(), lambda x: x.tolist(), lambda x: x.numpy(), lambda x: bool(x),
        lambda x: float(x), lambda x: repr(x), lambda x: f"{x:.2f}", lambda x: x.data_ptr(),
        lambda x: x.nonzero(), lambda x: np.asarray(x), lambda x: torch.equal(x, x),
        lambda x: x.reshape(1)[x.reshape(1) > 0], lambda x: x in torch.ones(2),
        lambda x: x.unique(), lambda x: list(x.reshape(1))[0].item(),
    ],
)  # fmt: skip
def test_looking_at_a_value_runs_the_graph_and_nothing_else_does(look):
    one = torch.ones(())
    graph.flush()
    x = one + 2
    assert (x.shape, x.dtype, x.device.type, x.ndim) == ((), torch.float32, "cpu", 0)
    assert pending() == 1
    look(x)
    assert not graph.is_pending(x._storage)
    assert x.item() == 3


@lazy_only
def test_an_optimiser_step_ends_a_plan_so_that_plans_repeat():
    w = torch.ones(3, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.1)
    (w * w).sum().backward()
    optimizer.step()
    assert pending() == 0


@lazy_only
def test_a_loop_that_changes_weights_by_hand_is_the_same_program_at_each_step():
    w = torch.ones(3, requires_grad=True)
    for _ in range(6):
        (w * w).sum().backward()
        with torch.no_grad():
            w -= 0.1 * w.grad
            w.grad.zero_()
        assert pending() < 20
    newest, plan = list(graph.RECORDER.cache.items())[-1]
    assert plan.seen >= 3 and len(newest.calls) > 3
    assert torch.allclose(w, torch.full((3,), 0.8**6))


def test_eager_mode_leaves_nothing_pending(monkeypatch):
    graph.flush()
    monkeypatch.setattr(PROCESS, "eager", True)
    x = torch.ones(3) + 1
    assert pending() == 0
    assert x._storage.buffer.tolist() == [2, 2, 2]


@lazy_only
def test_a_flush_says_why_and_where_in_the_users_file(monkeypatch, capsys):
    graph.flush()
    x = torch.ones(3) + 1
    monkeypatch.setattr(PROCESS, "debug", 1)
    x.tolist()
    said = capsys.readouterr().err
    assert "flush of 2 ops: a value is looked at" in said or "flush of 1 ops" in said
    assert "test_graph.py:" in said


# -- what is run -------------------------------------------------------------------------------


def counted(seen: list[str]) -> Op:
    def kernel(xp, x):
        seen.append("ran")
        return x + 1

    return Op("counted", lambda s: s, kernel)


@runs_once
@lazy_only
def test_what_nobody_can_read_is_not_computed():
    seen: list[str] = []
    op, x = counted(seen), torch.ones(3)
    apply(op, (x,))  # dropped at once
    kept = apply(op, (x,))
    assert kept.tolist() == [2, 2, 2]
    assert seen == ["ran"]


@runs_once
@lazy_only
def test_nothing_is_computed_twice():
    seen: list[str] = []
    y = apply(counted(seen), (torch.ones(3),))
    y.tolist(), (y + 1).tolist(), y.sum().item()
    assert seen == ["ran"]


@lazy_only
def test_a_flush_costs_by_the_pending_graph_not_by_the_live_tensors():
    held = [torch.ones(1) + i for i in range(500)]
    graph.flush()
    x = held[3] + 1
    recorded = graph.RECORDER.graph
    assert (len(recorded.owners), len(recorded.inputs)) == (1, 2)
    assert x.item() == 5


@lazy_only
def test_two_names_of_one_pending_value_get_memory_each():
    x, y = torch.zeros(3), torch.ones(3)
    fresh = y + 1
    graph.rebind(x._storage, fresh._storage)  # as a write of all of x does, but `fresh` lives on
    graph.flush()
    x[0] = 9
    assert (x.tolist(), fresh.tolist()) == ([9, 2, 2], [2, 2, 2])


def test_a_write_to_all_of_a_tensor_does_not_share_memory_with_its_source():
    source = torch.arange(3.0)
    x = torch.zeros(3)
    x.copy_(source)
    x.add_(10)
    y = torch.zeros(3)
    y[:] = source
    source.mul_(5)
    assert (x.tolist(), y.tolist(), source.tolist()) == ([10, 11, 12], [0, 1, 2], [0, 5, 10])


# -- what is kept alive ------------------------------------------------------------------------


@runs_once
@lazy_only
def test_operands_that_only_the_graph_holds_count_towards_the_cap_on_bytes(monkeypatch):
    monkeypatch.setattr(graph, "MOST_BYTES", 32 << 20)
    before = peak()
    total = torch.zeros(())
    for i in range(100):  # 400 MB of batches in turn, each reduced to one number
        total = total + torch.tensor(np.full(1 << 20, i, np.float32)).max()
    assert total.item() == sum(range(100))
    assert peak() - before < 200


@lazy_only
def test_operands_that_live_on_do_not_count_towards_the_cap_on_bytes(monkeypatch):
    monkeypatch.setattr(graph, "MOST_BYTES", 8 << 20)
    layers = [torch.ones(1 << 20) for _ in range(8)]
    for layer in layers:
        layer.sum().item()
    flushes = graph.RECORDER.flushes
    sums = [layer.sum() for layer in layers]
    assert graph.RECORDER.flushes == flushes
    assert sums[7].item() == 1 << 20


@lazy_only
def test_small_reads_of_shared_memory_count_towards_the_cap_on_bytes(monkeypatch):
    monkeypatch.setattr(graph, "MOST_BYTES", 8 << 20)
    array = np.ones(1 << 18, np.float32)  # 1 MB: each read takes a copy
    shared = torch.from_numpy(array)
    flushes = graph.RECORDER.flushes
    sums = [shared.max() for _ in range(64)]
    assert graph.RECORDER.flushes - flushes >= 4
    assert sums[5].item() == 1


@lazy_only
def test_a_flush_frees_what_it_ran_on():
    held = torch.ones(1000)
    held.tolist()
    buffer = graph.ref(held._storage)
    y = held + 1
    del held
    y.tolist()
    gc.collect()
    assert buffer() is None


# -- errors and interrupts ---------------------------------------------------------------------


def bad() -> torch.Tensor:
    return F.nll_loss(torch.zeros(3, 2), torch.tensor([0, 1, 5]), reduction="none")


@lazy_only
def test_recording_on_a_failed_value_raises_its_error_and_leaves_the_graph_sound():
    failed = bad()
    with pytest.raises(IndexError):
        failed.tolist()
    other = torch.ones(3) * 2
    with pytest.raises(IndexError):
        other + failed
    after = other + 1
    assert (other.tolist(), after.tolist()) == ([2, 2, 2], [3, 3, 3])


@lazy_only
def test_a_failed_value_written_whole_is_a_value_again():
    failed = bad()
    with pytest.raises(IndexError):
        failed.tolist()
    failed.copy_(torch.ones(3))
    assert (failed + 1).tolist() == [2, 2, 2]


@lazy_only
def test_an_error_names_the_op_and_the_users_line():
    failed = bad()
    line = "test_graph.py"
    with pytest.raises(IndexError) as caught:
        failed.tolist()
    notes = "".join(getattr(caught.value, "__notes__", ["nll_loss", line]))
    assert "nll_loss" in notes
    assert line in notes


@lazy_only
def test_a_failed_value_never_reaches_memory_that_numpy_shows():
    x = torch.zeros(3)
    array = x.numpy()
    with pytest.raises(IndexError):
        x.copy_(bad())
    assert array.tolist() == [0, 0, 0]
    x.add_(1)
    assert array.tolist() == [1, 1, 1]


def interrupted() -> Op:
    """An op during which the user presses Ctrl-C, the first time it runs."""
    presses = [KeyboardInterrupt()]

    def kernel(xp, x):
        if presses:
            raise presses.pop()
        return x + 1

    return Op("interrupted", lambda s: s, kernel)


@runs_once
def test_an_interrupt_comes_after_what_was_recorded_has_happened():
    p = torch.ones(3)
    p.tolist()
    first = p + 1
    with pytest.raises(KeyboardInterrupt):
        second = apply(interrupted(), (first,))
        p.add_(second)
        p[1] = 7
        p.tolist()
    if not PROCESS.eager:
        assert (second.tolist(), p.tolist()) == ([3, 3, 3], [4, 7, 4])
    assert first.tolist() == [2, 2, 2]


@runs_once
@lazy_only
def test_an_interrupt_does_not_hide_an_error_behind_values():
    stopped = apply(interrupted(), (torch.ones(3),))
    failed = bad() + stopped
    with pytest.raises(KeyboardInterrupt):
        stopped.tolist()
    assert stopped.tolist() == [2, 2, 2]
    with pytest.raises(IndexError):
        failed.tolist()


@lazy_only
def test_an_interrupt_that_is_repeated_gives_up_and_leaves_no_stale_values():
    def kernel(xp, x):
        raise KeyboardInterrupt

    p = torch.ones(3)
    p.tolist()
    before = p + 1
    stopped = apply(Op("stubborn", lambda s: s, kernel), (before,))
    p.add_(stopped)
    with pytest.raises(KeyboardInterrupt):
        p.tolist()
    for lost in (before, stopped):
        with pytest.raises(RuntimeError, match="interrupted"):
            lost.tolist()
        with pytest.raises(RuntimeError, match="interrupted"):
            lost + 1
    assert p.tolist() == [1, 1, 1]  # the write did not take place
    assert (p + 1).tolist() == [2, 2, 2]


@runs_once
@lazy_only
def test_an_interrupted_training_loop_can_go_on():
    net = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.1)
    op = interrupted()
    x = torch.ones(4, 3)
    with pytest.raises(KeyboardInterrupt):
        for _ in range(3):
            optimizer.zero_grad()
            net(apply(op, (x,))).sum().backward()
            optimizer.step()
            graph.flush()
    for _ in range(3):
        optimizer.zero_grad()
        net(x).sum().backward()
        optimizer.step()
    assert all(np.isfinite(p.detach().numpy()).all() for p in net.parameters())


@lazy_only
def test_an_interrupt_while_a_node_is_recorded_does_not_mix_values_up(monkeypatch):
    a, b, c = (torch.full((3,), v) for v in (1.0, 2.0, 3.0))
    graph.flush()
    early = a * 10

    def press(storage):
        if storage is b._storage:
            raise KeyboardInterrupt
        return weak(storage)

    weak = graph.ref
    monkeypatch.setattr(graph, "ref", press)
    with pytest.raises(KeyboardInterrupt):
        c * b  # c has a name in the graph by now, and the node has none
    monkeypatch.undo()
    later = b * 10
    assert (early.tolist(), later.tolist(), (c * 2).tolist()) == ([10] * 3, [20] * 3, [6] * 3)


@lazy_only
def test_a_handler_that_reads_a_value_in_the_middle_of_its_computation_is_told_so():
    said = []

    def kernel(xp, x):
        try:
            y.tolist()
        except RuntimeError as error:
            said.append(str(error))
        return x + 1

    y = apply(Op("handler", lambda s: s, kernel), (torch.ones(3),))
    assert y.tolist() == [2, 2, 2]
    assert "is being computed" in said[0]


# -- threads and processes -----------------------------------------------------------------------


def test_threads_that_look_while_others_record_see_whole_values():
    wrong: list[object] = []

    def work(i: int) -> None:
        try:
            x = torch.full((16,), float(i))
            for n in range(200):
                x = x + 1
                x.add_(1)
                if n % 7 == i % 7 and x[3].item() != i + 2 * (n + 1):
                    wrong.append(x.tolist())
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


class Other:
    """A thread that does what it is told, step by step."""

    def __init__(self, *steps) -> None:
        self.steps, self.found = steps, []
        self.go, self.done = threading.Semaphore(0), threading.Semaphore(0)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self) -> None:
        for step in self.steps:
            self.go.acquire()
            try:
                self.found.append(step())
            except Exception as error:
                self.found.append(type(error))
            self.done.release()

    def step(self):
        self.go.release()
        assert self.done.acquire(timeout=20)
        return self.found[-1]


@lazy_only
def test_a_threads_error_is_not_raised_in_another_thread():
    kept = []
    other = Other(
        lambda: kept.append(bad()),
        lambda: kept[0].tolist(),
        lambda: (torch.ones(2) + 1).tolist(),  # it was told already
    )
    other.step()
    assert (torch.ones(3) + 1).tolist() == [2, 2, 2]
    assert other.step() is IndexError
    assert other.step() == [2, 2]


@lazy_only
def test_a_thread_that_looks_at_nothing_wrong_is_told_at_its_next_flush():
    total = torch.zeros(3)
    other = Other(lambda: total.add_(bad()), lambda: (torch.ones(2) + 1).tolist(), graph.flush)
    other.step()
    assert total.tolist() == [0, 0, 0]
    assert other.step() is IndexError
    assert other.step() is None


@lazy_only
def test_an_error_of_a_thread_that_has_ended_is_raised_by_the_next_flush():
    held = []
    for flushed_before in (False, True):
        other = Other(lambda: held.append(bad()), lambda: None)
        other.step()
        if flushed_before:
            assert (torch.ones(2) + 1).tolist() == [2, 2]
        other.step()
        other.thread.join()
        with pytest.raises(IndexError):
            (torch.ones(2) + 1).tolist()
        assert (torch.ones(2) + 1).tolist() == [2, 2]


def test_a_fork_computes_what_was_pending_on_its_own():
    x = torch.arange(4.0) + 1
    child = os.fork()
    if child == 0:
        os._exit(0 if (x * 2).tolist() == [2, 4, 6, 8] and x.tolist() == [1, 2, 3, 4] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert x.tolist() == [1, 2, 3, 4]


def test_a_fork_while_another_thread_records_does_not_hang():
    stop = threading.Event()

    def record() -> None:
        x = torch.zeros(4)
        while not stop.is_set():
            x = x + 1

    thread = threading.Thread(target=record)
    thread.start()
    codes = []
    try:
        for _ in range(5):
            child = os.fork()
            if child == 0:
                os._exit(0 if (torch.ones(3) + 1).tolist() == [2, 2, 2] else 1)
            codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    finally:
        stop.set()
        thread.join()
    assert codes == [0] * 5


@lazy_only
def test_a_version_that_is_dead_is_written_in_place_and_a_living_one_never():
    ran: list[bool] = []
    original = Plan.run

    def run(self, values, lines):
        ran.extend(step.in_place for step in self.steps if step.call.op.writes)
        return original(self, values, lines)

    Plan.run = run  # type: ignore[method-assign]
    try:
        x = torch.zeros(1000)
        x.tolist()
        old = x + 0
        x[3] = 1
        assert x[3].item() == 1
        held = x.clone()
        alive = torch.zeros(4)
        before = alive * 1
        alive[0] = 5
        assert (before.tolist(), alive.tolist()) == ([0, 0, 0, 0], [5, 0, 0, 0])
        assert (held[3].item(), old[3].item()) == (1, 0)
    finally:
        Plan.run = original  # type: ignore[method-assign]
    assert True in ran
