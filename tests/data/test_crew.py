"""The main process and its workers never wait for each other, and nobody is left over."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pytest

import cresset
from cresset.data import crew, worker
from cresset.utils.data import DataLoader, Subset, TensorDataset

from .samples import Calls, Rows


def test_batches_of_many_indices_and_large_answers_do_not_lock_up() -> None:
    many = list(range(60_000))  # more than fits into a pipe, several times over
    loader = DataLoader(
        Rows(many), batch_sampler=[many] * 6, num_workers=2, prefetch_factor=3,
        collate_fn=lambda samples: bytes(300_000), timeout=60,
    )  # fmt: skip
    assert [len(batch) for batch in loader] == [300_000] * 6


@pytest.mark.parametrize(
    "indices",
    [
        [0, "name", (1, 2), None, 2.5],
        [np.int64(3), np.float32(1.5), 2**70],
        [cresset.tensor(2), cresset.tensor([1, 2])],
    ],
    ids=["plain", "numpy", "tensors"],
)
def test_samplers_may_give_anything(indices: list[Any]) -> None:
    def seen(workers: int) -> list[str]:
        loader = DataLoader(
            Calls(lambda i: (type(i).__name__, repr(i))), batch_size=None, sampler=indices,
            num_workers=workers,
        )  # fmt: skip
        return [repr(sample) for sample in loader]

    assert seen(1) == seen(0)


def test_a_quick_worker_that_waits_is_told_of_several_tasks_at_once() -> None:
    batches = iter(DataLoader(Rows(range(6)), batch_size=2, num_workers=1, prefetch_factor=3))
    list(batches)
    batches.crew = our_crew = crew.Crew(batches.loader, 0)
    (ours,) = our_crew.workers
    messages = []
    ours.say = lambda message: messages.append(message) or ours.tasks.send_bytes(message)
    ours.quick = True
    for number in range(3):
        assert messages == []
        our_crew.tell(0, number, [number])
    assert len(messages) == 1
    assert [our_crew.take()[1].opened().item() for _ in range(3)] == [0, 1, 2]
    ours.quick = False
    our_crew.tell(0, 3, [3])
    assert len(messages) == 2
    assert our_crew.take()[1].opened().item() == 3


def test_what_is_kept_back_is_sent_before_the_main_process_waits(monkeypatch: Any) -> None:
    monkeypatch.setattr(worker, "QUICK", 1e9)
    for prefetch in (1, 2, 7):
        loader = DataLoader(
            Rows(range(40)), num_workers=2, prefetch_factor=prefetch, timeout=60,
            persistent_workers=True,
        )  # fmt: skip
        for _ in range(2):
            assert [batch.item() for batch in loader] == list(range(40))


def test_a_worker_killed_from_outside_is_reported() -> None:
    batches = iter(DataLoader(Calls(lambda i: time.sleep(60) if i else i), num_workers=1))
    assert next(batches).item() == 0
    os.kill(batches.processes[0].pid, signal.SIGKILL)
    with pytest.raises(RuntimeError, match="exited unexpectedly") as caught:
        next(batches)
    assert "is killed by signal: Killed" in str(caught.value.__cause__)


def test_a_worker_is_missed_though_a_process_of_its_own_lives_on(monkeypatch: Any) -> None:
    monkeypatch.setattr(crew, "_LOOK", 0.2)
    ours, theirs = os.pipe()

    def sample(i: int) -> int:
        if i == 1:
            if os.fork() == 0:
                os.read(ours, 1)  # until the test has ended
                os._exit(0)
            os._exit(3)
        return i

    batches = iter(DataLoader(Calls(sample), num_workers=1))
    assert next(batches).item() == 0
    with pytest.raises(RuntimeError, match="exited unexpectedly") as caught:
        next(batches)
    assert "exit code 3" in str(caught.value.__cause__)
    os.write(theirs, b".")
    os.close(ours), os.close(theirs)


INTERRUPTED = """
import os, sys
import cresset as torch

class Slow:
    def __len__(self): return 10_000
    def __getitem__(self, i): return torch.zeros(100_000)

loader = torch.utils.data.DataLoader(Slow(), batch_size=2, num_workers=2, {options})
if __name__ == "__main__":
    for i, batch in enumerate(loader):
        if i == 3:
            print(*[p.pid for p in loader_processes()], flush=True)
""".replace("loader_processes()", "__import__('multiprocessing').active_children()")


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc and /dev/shm")
@pytest.mark.parametrize(
    "options",
    ["", "persistent_workers=True", "multiprocessing_context='spawn'"],
    ids=["forked", "persistent", "spawned"],
)
def test_ctrl_c_leaves_no_process_no_shared_memory_and_one_traceback(
    options: str, tmp_path: Any
) -> None:
    program = tmp_path / "program.py"
    program.write_text(INTERRUPTED.format(options=options))
    shared_before = set(os.listdir("/dev/shm"))
    process = subprocess.Popen(
        [sys.executable, program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    pids = [int(word) for word in process.stdout.readline().split()]
    assert len(pids) == 2
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the workers get it too
    _, errors = process.communicate(timeout=60)
    assert errors.count("Traceback (most recent call last)") == 1, errors
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert [pid for pid in pids if is_running(pid)] == []
    assert {name for name in os.listdir("/dev/shm") if "cresset" in name} <= shared_before


def is_running(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().split()[2] not in "ZX"
    except OSError:
        return False


@pytest.mark.parametrize("at", ["receive", "say"])
def test_persistent_workers_go_on_after_an_interrupt_at_any_moment(
    at: str, monkeypatch: Any
) -> None:
    loader = DataLoader(Rows(range(20)), num_workers=2, persistent_workers=True, timeout=30)
    batches, original = iter(loader), getattr(crew._Worker, at)
    next(batches)

    def interrupted(*args: Any) -> Any:
        original(*args)  # what was received is lost, what was sent is not noted
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(crew._Worker, at, interrupted)
        with pytest.raises(KeyboardInterrupt):
            list(batches)
    for _ in range(2):
        assert [batch.item() for batch in loader] == list(range(20))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_whole_batches_come_from_forked_and_spawned_workers(method: str) -> None:
    data = Subset(TensorDataset(cresset.arange(40.0).view(20, 2), cresset.arange(20)), range(19))
    data.indices = list(data.indices)
    loader = DataLoader(data, 4, num_workers=2, multiprocessing_context=method)
    batches = list(loader)
    assert cresset.cat([y for _, y in batches]).tolist() == list(range(19))
    assert cresset.cat([x[:, 1] for x, _ in batches]).tolist() == list(range(1, 39, 2))
