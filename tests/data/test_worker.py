"""Workers: whatever goes wrong in one is an error in the main process, at once and with its reason.

Nothing here needs PyTorch; what its loader does differently is said where it is.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import cresset

from .samples import Calls, Rows


@pytest.mark.parametrize(
    ("end", "cause"),
    [
        (lambda i: os.kill(os.getpid(), signal.SIGKILL), "is killed by signal: Killed. "),
        (lambda i: os.kill(os.getpid(), signal.SIGTERM), "is killed by signal: Terminated. "),
        (lambda i: os._exit(3), "exited unexpectedly with exit code 3. Details are lost due to "
         "multiprocessing. Rerunning with num_workers=0 may give better error trace."),
        (lambda i: os._exit(0), None),
    ],
    ids=["killed", "terminated", "exit 3", "exit 0"],
)  # fmt: skip
def test_a_worker_that_died_is_reported_at_once(end: Any, cause: str | None) -> None:
    loader = cresset.utils.data.DataLoader(Calls(end), num_workers=1)
    start = time.monotonic()
    with pytest.raises(
        RuntimeError, match=r"DataLoader worker \(pid\(s\) \d+\) exited unexpectedly$"
    ) as caught:
        list(loader)
    assert time.monotonic() - start < 15
    why = caught.value.__cause__
    assert re.sub(r"pid \d+", "pid N", str(why)) == (
        "None" if cause is None else f"DataLoader worker (pid N) {cause}"
    )


def test_what_a_worker_sent_before_it_died_is_not_lost() -> None:
    def sample(i: int) -> Any:
        if i == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return np.full(100_000, i)

    batches = iter(cresset.utils.data.DataLoader(Calls(sample), num_workers=1))
    assert [next(batches)[0, 5].item() for _ in range(2)] == [0, 1]
    with pytest.raises(RuntimeError, match="exited unexpectedly"):
        next(batches)
    assert next(batches, None) is None


def test_a_slow_worker_runs_into_the_timeout() -> None:
    data = Calls(lambda i: time.sleep(3))
    with pytest.raises(RuntimeError, match="DataLoader timed out after 0.3 seconds"):
        list(cresset.utils.data.DataLoader(data, num_workers=1, timeout=0.3))


class Message(Exception):
    message = "has a field of this name"

    def __init__(self, message: str) -> None:
        super().__init__(message)


class Two(Exception):
    def __init__(self, a: int, b: int) -> None:
        super().__init__(a, b)


def raises(error: Exception) -> Callable[[int], Any]:
    def sample(_: int) -> Any:
        raise error

    return sample


def local_class(_: int) -> Any:
    class Local(Exception):
        pass

    raise Local("boo")


@pytest.mark.parametrize(
    ("sample", "kind", "name"),
    [
        (raises(Two(1, 2)), RuntimeError, "Two"),
        (raises(Message("m")), Message, "Message"),
        (raises(UnicodeDecodeError("utf8", b"", 0, 1, "no")), RuntimeError, "UnicodeDecodeError"),
        (local_class, RuntimeError, "Local"),  # with PyTorch, these three hang
        (lambda _: lambda: 3, AttributeError, "AttributeError"),
        (lambda _: open(os.devnull), TypeError, "TypeError"),
    ],
    ids=["two arguments", "message", "five arguments", "local class", "lambda", "file"],
)
def test_what_cannot_be_made_again_or_sent_is_an_error_and_no_hang(
    sample: Any, kind: type, name: str
) -> None:
    loader = cresset.utils.data.DataLoader(Calls(sample), batch_size=None, num_workers=1)
    with pytest.raises(kind) as caught:
        list(loader)
    text = str(caught.value)
    assert text.startswith(f"Caught {name} in DataLoader worker process 0.\nOriginal Traceback")
    assert "Error" in text or name in text.splitlines()[-1]


def test_persistent_workers_go_on_after_an_error_and_after_a_death() -> None:
    fails = [lambda i: 1 // (i - 1), lambda i: os._exit(3) if i == 1 else i]
    for sample, kind in zip(fails, (ZeroDivisionError, RuntimeError), strict=True):
        loader = cresset.utils.data.DataLoader(
            Calls(sample), batch_size=None, num_workers=1, persistent_workers=True
        )
        for _ in range(2):
            batches = iter(loader)
            next(batches)
            with pytest.raises(kind):
                list(batches)
        del batches, loader


def test_an_error_in_worker_init_fn_is_the_first_batch() -> None:
    def refuse(worker: int) -> None:
        raise ValueError(f"worker {worker} refuses")

    loader = cresset.utils.data.DataLoader(Rows([1, 2]), num_workers=2, worker_init_fn=refuse)
    with pytest.raises(ValueError, match="worker 0 refuses"):
        list(loader)


def test_a_result_with_history_is_refused_in_pytorchs_words() -> None:
    x = cresset.ones(2, requires_grad=True)
    loader = cresset.utils.data.DataLoader(Calls(lambda i: x * 2), batch_size=None, num_workers=1)
    with pytest.raises(RuntimeError, match="Cowardly refusing to serialize non-leaf tensor"):
        list(loader)


def test_without_order_a_slow_batch_does_not_hold_up_the_others() -> None:
    others_came = multiprocessing.get_context("fork").Event()

    def sample(i: int) -> int:
        if i == 0:
            others_came.wait(30)
        return i

    batches = iter(
        cresset.utils.data.DataLoader(
            Calls(sample), batch_size=None, num_workers=2, in_order=False, timeout=20
        )
    )
    first = next(batches)
    others_came.set()
    assert first == 1
    assert sorted(batches) == [0, 2, 3]


@pytest.mark.filterwarnings("ignore:This DataLoader will create 3 worker")
@pytest.mark.parametrize("in_order", [True, False])
def test_streams_of_different_length_come_whole(in_order: bool) -> None:
    class Stream(cresset.utils.data.IterableDataset):
        def __iter__(self) -> Any:
            info = cresset.utils.data.get_worker_info()
            return iter(range(100 * info.id, 100 * info.id + [1, 7, 0][info.id]))

    loader = cresset.utils.data.DataLoader(
        Stream(), None, num_workers=3, in_order=in_order, persistent_workers=True
    )
    for _ in range(2):
        assert sorted(loader) == [0, *range(100, 107)]


def test_dropping_a_loader_ends_its_persistent_workers_without_the_garbage_collector() -> None:
    gc.disable()
    try:
        loader = cresset.utils.data.DataLoader(
            Rows(range(50)), num_workers=2, persistent_workers=True
        )
        next(iter(loader))
        processes = loader._iterator.processes
        del loader
        assert [p.is_alive() for p in processes] == [False, False]
    finally:
        gc.enable()


def test_an_iterator_in_a_cycle_ends_its_workers_when_it_is_collected() -> None:
    batches = iter(cresset.utils.data.DataLoader(Rows(range(50)), num_workers=2))
    processes = batches.processes
    batches.itself = batches
    del batches
    start = time.monotonic()
    gc.collect()
    assert [p.is_alive() for p in processes] == [False, False]
    assert time.monotonic() - start < 5


def test_workers_compute_on_one_thread() -> None:
    loader = cresset.utils.data.DataLoader(
        Calls(lambda i: cresset.get_num_threads()), batch_size=None, num_workers=1
    )
    assert list(loader) == [1] * 4


def test_workers_end_when_the_main_process_is_killed(tmp_path: Any) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import os, sys, signal, cresset as torch\n"
        "from cresset.data import worker\n"
        "worker._LOOK = 0.1\n"
        "class D:\n"
        "    def __len__(self): return 10_000\n"
        "    def __getitem__(self, i): return torch.zeros(7_000)\n"  # many, all through the pipe
        "batches = iter(torch.utils.data.DataLoader(D(), num_workers=2, prefetch_factor=50))\n"
        "next(batches)\n"
        "import time; time.sleep(0.5)\n"
        "print(*[p.pid for p in batches.processes], flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=60)
    pids = [int(word) for word in done.stdout.split()]
    assert len(pids) == 2
    for _ in range(100):
        if not any(is_running(pid) for pid in pids):
            break
        time.sleep(0.1)
    assert not any(is_running(pid) for pid in pids)


def is_running(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().split()[2] not in "ZX"
    except OSError:
        return False


def test_a_fork_that_drops_an_inherited_iterator_does_not_end_its_workers() -> None:
    batches = iter(cresset.utils.data.DataLoader(Rows(range(20)), num_workers=1))
    child = os.fork()
    if child == 0:
        batches._close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert len(list(batches)) == 20


def test_workers_run_ops_though_the_parents_threads_did_not_come_along() -> None:
    cresset.set_num_threads(2)
    net = cresset.nn.Linear(600, 600)
    x = cresset.ones(64, 600)

    def work() -> float:
        return net(net(x).relu()).sum().item()

    expected = [work() for _ in range(6)][-1]  # the plan is compiled on the way
    loader = cresset.utils.data.DataLoader(Calls(lambda i: work()), batch_size=None, num_workers=2)
    assert list(loader) == pytest.approx([expected] * 4, rel=1e-5)


def test_what_was_pending_before_the_fork_is_computed_once_and_seen_by_all() -> None:
    pending = cresset.arange(4.0) * 10
    loader = cresset.utils.data.DataLoader(Calls(lambda i: pending[i]), num_workers=2)
    assert cresset.cat(list(loader)).tolist() == [0, 10, 20, 30]


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_workers_that_are_fresh_processes_get_dataset_and_seed(method: str, tmp_path: Any) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import torch\n"
        "class D(torch.utils.data.Dataset):\n"
        "    def __len__(self): return 4\n"
        "    def __getitem__(self, i):\n"
        "        return torch.full((20_000,), float(i)), torch.utils.data.get_worker_info().id\n"
        "if __name__ == '__main__':\n"
        "    loader = torch.utils.data.DataLoader(D(), num_workers=2,\n"
        f"                                         multiprocessing_context='{method}')\n"
        "    print([(x[0, 7].item(), i.item()) for x, i in loader])\n"
    )
    command = [sys.executable, "-m", "cresset", str(program)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert (done.stdout, done.stderr) == ("[(0.0, 0), (1.0, 1), (2.0, 0), (3.0, 1)]\n", "")


class Fussy:
    """Can be made in a worker, and not in the main process."""

    main = os.getpid()

    def __init__(self, value: int) -> None:
        self.value = value

    def __setstate__(self, state: dict) -> None:
        if os.getpid() == self.main and state["value"] == 1:
            raise LookupError("not here")
        self.__dict__ = state


def test_a_batch_that_cannot_be_made_again_is_one_error_and_the_pass_goes_on() -> None:
    loader = cresset.utils.data.DataLoader(
        Calls(Fussy), batch_size=None, num_workers=2, persistent_workers=True
    )
    for _ in range(2):
        batches, found = iter(loader), []
        for _ in range(4):
            try:
                found.append(next(batches).value)
            except LookupError as error:
                found.append(str(error))
        assert found == [0, "not here", 2, 3]
        assert next(batches, None) is None
