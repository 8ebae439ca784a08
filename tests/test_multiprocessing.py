"""torch.multiprocessing: Python's, with shared tensors and spawn.

Programs run in interpreters of their own."""

from __future__ import annotations

import pickle
import subprocess
import sys
import time
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import pytest

import cresset as torch
from cresset import multiprocessing

PROGRAM = """
import os
import sys
import time
import torch
import torch.multiprocessing as mp

def work(rank, size, queue):
    if sys.argv[1:] == ["raise"] and rank == 1:
        raise ValueError("no luck")
    if sys.argv[1:] == ["exit"] and rank == 1:
        sys.exit(3)
    if sys.argv[1:] == ["shout"] and rank == 1:
        raise ValueError("long " * 100_000)
    if sys.argv[1:2] == ["orphan"]:
        time.sleep(100)
    queue.put((rank, (torch.ones(2) * rank).tolist(), torch.__name__))

if __name__ == "__main__":
    queue = mp.get_context("spawn").SimpleQueue()
    if sys.argv[1:2] == ["orphan"]:
        print(*mp.spawn(work, args=(2, queue), nprocs=2, join=False).pids(), flush=True)
        time.sleep(float(sys.argv[2]))
        os._exit(0)
    try:
        mp.spawn(work, args=(2, queue), nprocs=2, join=True)
        print(sorted(queue.get() for _ in range(2)))
    except mp.ProcessException as e:
        print(type(e).__name__, e.error_index, str(e).strip().splitlines()[0])
        print(str(e).strip().splitlines()[-1])
"""


def _run(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, "-m", "cresset", str(program), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_spawned_processes_compute_and_are_bound(tmp_path: Path) -> None:
    done = _run(tmp_path)
    expected = "[(0, [0.0, 0.0], 'cresset'), (1, [1.0, 1.0], 'cresset')]\n"
    assert (done.stdout, done.stderr) == (expected, "")


def test_an_exception_in_a_process_is_raised_with_its_traceback(tmp_path: Path) -> None:
    assert _run(tmp_path, "raise").stdout.splitlines() == [
        "ProcessRaisedException 1 -- Process 1 terminated with the following error:",
        "ValueError: no luck",
    ]


def test_a_process_that_ends_with_a_status_is_an_error(tmp_path: Path) -> None:
    text = "process 1 terminated with exit code 3"
    assert _run(tmp_path, "exit").stdout.splitlines() == [f"ProcessExitedException 1 {text}", text]


def test_a_very_long_traceback_is_read_and_not_waited_for(tmp_path: Path) -> None:
    done = _run(tmp_path, "shout")
    assert done.stdout.splitlines()[0].startswith("ProcessRaisedException 1 ")
    assert len(done.stdout) > 300_000


@pytest.mark.parametrize("after", ["0", "2"])  # seconds: before they run, and (mostly) while
def test_processes_that_were_spawned_end_with_their_parent(tmp_path: Path, after: str) -> None:
    pids = [int(word) for word in _run(tmp_path, "orphan", after).stdout.split()]
    assert len(pids) == 2
    until = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() and not _is_zombie(pid) for pid in pids):
        assert time.monotonic() < until
        time.sleep(0.05)


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] in "ZX"
    except OSError:
        return True


SHARING = """
import torch
import torch.multiprocessing as mp

def work(rank, net, total, queue, back):
    with torch.no_grad():
        net.weight[rank] += 1 + rank
    total[rank] = 10 + rank
    x = queue.get()
    x[rank] += 5
    y = torch.arange(3.0)
    back.put((y, y[1:]))
    while y[2] != 7:  # the parent has seen it
        pass

if __name__ == "__main__":
    net = torch.nn.Linear(2, 2, bias=False)
    torch.nn.init.zeros_(net.weight)
    total, sent = torch.zeros(3)[1:], torch.zeros(2)
    context = mp.get_context("spawn")
    queue, back = context.Queue(), context.Queue()
    running = mp.spawn(work, args=(net, total, queue, back), nprocs=2, join=False)
    for _ in range(2):
        queue.put(sent)
    for _ in range(2):
        y, part = back.get()
        part.add_(1)
        print(y.tolist(), y.is_shared())
        y[2] = 7
    while not running.join():
        pass
    print(net.weight.tolist(), total.tolist(), sent.tolist(), total._base.tolist())
"""


def test_tensors_that_are_sent_are_shared_in_both_directions(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(SHARING)
    command = [sys.executable, "-m", "cresset", str(program)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.stdout.splitlines(), done.stderr) == (
        [
            "[0.0, 2.0, 3.0] True", "[0.0, 2.0, 3.0] True",
            "[[1.0, 1.0], [2.0, 2.0]] [10.0, 11.0] [5.0, 5.0] [0.0, 10.0, 11.0]",
        ],
        "",
    )  # fmt: skip


def _sent(data: Any) -> Any:
    """``data`` as a process receives it: here, this one."""
    return pickle.loads(ForkingPickler.dumps(data))


def test_views_of_one_storage_arrive_as_views_of_one_storage() -> None:
    base = torch.zeros(2, 3)
    a, b = _sent((base, base.t()[1:]))
    a.add_(1)
    assert b.tolist() == [[1, 1], [1, 1]]
    assert a._storage is b._storage is base._storage  # its own memory came back


def test_parameters_and_modules_are_sent_with_their_class_and_tied_weights() -> None:
    net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    net[1].weight = net[0].weight
    twin = _sent(net)
    assert twin[0].weight is twin[1].weight
    assert type(twin[0].weight) is torch.nn.Parameter
    assert twin[0].weight.requires_grad
    with torch.no_grad():
        twin[0].weight.fill_(3)
    assert net[1].weight.tolist() == [[3, 3], [3, 3]]


def test_a_tensor_with_history_is_not_sent() -> None:
    x = torch.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError, match="Cowardly refusing to serialize non-leaf tensor"):
        ForkingPickler.dumps(x * 2)
    assert _sent(x).requires_grad
    assert not _sent((x * 2).detach()).requires_grad


def test_exceptions_of_processes_can_be_sent_themselves() -> None:
    exited = multiprocessing.ProcessExitedException("ended", 1, 77, -9, "SIGKILL")
    raised = multiprocessing.ProcessRaisedException("failed", 2, 78)
    for error in (exited, raised):
        twin = pickle.loads(pickle.dumps(error))
        assert (type(twin), vars(twin)) == (type(error), vars(error))


def test_it_offers_what_pythons_module_offers() -> None:
    import multiprocessing as python

    assert multiprocessing.Process is python.Process
    multiprocessing.set_sharing_strategy("file_system")
    assert multiprocessing.get_sharing_strategy() == "file_system"
    with pytest.raises(AssertionError):
        multiprocessing.set_sharing_strategy("none")
    multiprocessing.set_sharing_strategy("file_descriptor")
