"""Streams and events: one order of work, and contexts that put back what was before."""

from __future__ import annotations

import pytest

import cresset as torch
from cresset import cuda
from cresset.core import graph


def test_streams_are_told_apart_and_the_default_one_is_one():
    a, b = cuda.Stream(), cuda.Stream(device=1)
    assert a != b and a == a and a != cuda.default_stream()
    assert cuda.default_stream() == cuda.current_stream() == cuda.default_stream(0)
    assert cuda.default_stream(1) != cuda.default_stream(0)
    assert len({a, b, cuda.default_stream(), cuda.default_stream("cuda:0")}) == 3
    assert (b.device, cuda.default_stream().cuda_stream) == (torch.device("cuda:1"), 0)
    assert repr(cuda.default_stream(1)) == "<torch.cuda.Stream device=cuda:1 cuda_stream=0x0>"


def test_a_stream_context_selects_stream_and_device_and_puts_both_back():
    a, b = cuda.Stream(), cuda.Stream(device=1)
    with cuda.stream(a):
        assert cuda.current_stream() == a
        with cuda.stream(b):
            assert (cuda.current_device(), cuda.current_stream()) == (1, b)
            assert cuda.current_stream(0) == a
            with cuda.stream(None):
                assert cuda.current_stream() == b
        assert (cuda.current_device(), cuda.current_stream()) == (0, a)
        with b, a, b:
            assert cuda.current_stream() == b
        assert cuda.current_stream() == a
    assert cuda.current_stream() == cuda.default_stream()
    with pytest.raises(KeyError), b:
        raise KeyError
    assert cuda.current_device() == 0


def test_work_on_side_streams_is_seen_after_they_are_waited_for():
    side = cuda.Stream()
    x = torch.ones(3, device="cuda")
    with cuda.stream(side):
        side.wait_stream(cuda.default_stream())
        y = x * 2
        done = side.record_event()
    cuda.current_stream().wait_event(done)
    assert (y + x).tolist() == [3, 3, 3]
    assert side.query() and done.query()


def test_waiting_runs_what_was_recorded():
    for wait in (
        cuda.synchronize, cuda.Stream().synchronize, cuda.Event().synchronize, cuda.Stream().query,
        lambda: cuda.synchronize(1), lambda: cuda.Event(enable_timing=True).record(),
    ):  # fmt: skip
        x = torch.ones(3, device="cuda") + 1
        wait()
        assert not graph.is_pending(x._storage)


def test_events_measure_the_work_between_them():
    start, end = cuda.Event(enable_timing=True), cuda.Event(enable_timing=True)
    start.record()
    x = torch.ones(200, 200, device="cuda")
    for _ in range(5):
        x = x @ x * 0.001
    end.record()
    cuda.synchronize()
    assert 0 < start.elapsed_time(end) < 60_000
    assert start.elapsed_time(end) == -end.elapsed_time(start)


def test_events_that_took_no_time_are_refused():
    timed = cuda.Event(enable_timing=True)
    with pytest.raises(RuntimeError, match="Both events must be created with argument 'enable_t"):
        cuda.Event().elapsed_time(timed)
    with pytest.raises(RuntimeError, match="Both events must be recorded before calculating"):
        timed.elapsed_time(timed)
