"""The loader gives PyTorch's batches in PyTorch's order, and fails in PyTorch's words."""

from __future__ import annotations

import gc
import os
import pickle
import random
import re
import signal
import subprocess
import sys
import time
import types
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import cresset

torch = pytest.importorskip("torch")


class Rows:
    """A map-style dataset over any list."""

    def __init__(self, rows: Any) -> None:
        self.rows = rows

    def __getitem__(self, i: int) -> Any:
        return self.rows[i]

    def __len__(self) -> int:
        return len(self.rows)


class Calls(Rows):
    """A dataset whose samples are computed by a function of the index."""

    def __getitem__(self, i: int) -> Any:
        return self.rows(i)

    def __len__(self) -> int:
        return 4


def outcome(lib: types.ModuleType, program: Callable[[Any], Any]) -> tuple[str, str]:
    """What a program gives (or how it fails) with one library."""
    lib.manual_seed(0)
    try:
        return "ok", repr(program(lib))
    except Exception as error:
        return type(error).__name__, str(error)


def epochs(lib: Any, **options: Any) -> Any:
    """Two passes over 23 numbers, then the default generator's next number."""
    data = lib.utils.data.TensorDataset(lib.arange(23), lib.arange(23) * 2.0)
    loader = lib.utils.data.DataLoader(data, batch_size=4, **options)
    batches = [(a.tolist(), b.tolist()) for _ in range(2) for a, b in loader]
    return len(loader), batches, lib.rand(1).item()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"shuffle": True},
        {"shuffle": True, "drop_last": True},
        {"shuffle": True, "num_workers": 2},
        {"shuffle": True, "num_workers": 2, "persistent_workers": True, "prefetch_factor": 1},
    ],
)
def test_batches_and_the_following_draw_are_pytorchs(options: dict[str, Any]) -> None:
    ours, theirs = (outcome(lib, lambda lib: epochs(lib, **options)) for lib in (cresset, torch))
    assert theirs[0] == "ok"
    assert ours == theirs


def test_a_generator_of_its_own_leaves_the_default_one_alone() -> None:
    def program(lib: Any) -> Any:
        return epochs(lib, shuffle=True, generator=lib.Generator().manual_seed(5))

    assert outcome(cresset, program) == outcome(torch, program)


def test_leaving_a_pass_half_way_keeps_later_passes_pytorchs_and_ends_the_workers() -> None:
    def program(lib: Any) -> Any:
        data = lib.utils.data.TensorDataset(lib.arange(23))
        loader = lib.utils.data.DataLoader(data, 2, shuffle=True, num_workers=2)
        seen = []
        for _ in range(2):
            for i, (batch,) in enumerate(loader):
                seen.append(batch.tolist())
                if i == 3:
                    break
        return seen, lib.rand(1).item()

    assert outcome(cresset, program) == outcome(torch, program)
    loader = cresset.utils.data.DataLoader(Rows(range(50)), num_workers=2)
    batches = iter(loader)
    next(batches)
    processes = batches.processes
    del batches
    assert [p.is_alive() for p in processes] == [False, False]


def test_workers_seed_torch_python_and_numpy_as_pytorch_does() -> None:
    def program(lib: Any) -> Any:
        def sample(i: int) -> Any:
            info = lib.utils.data.get_worker_info()
            return info.id, info.seed, random.random(), np.random.rand(), lib.rand(1).item()

        return list(lib.utils.data.DataLoader(Calls(sample), batch_size=None, num_workers=2))

    assert outcome(cresset, program) == outcome(torch, program)
    assert cresset.utils.data.get_worker_info() is None


@pytest.mark.parametrize("options", [{}, {"drop_last": True}, {"persistent_workers": True}])
def test_streams_are_shared_out_among_workers(options: dict[str, Any]) -> None:
    def program(lib: Any) -> Any:
        class Stream(lib.utils.data.IterableDataset):  # type: ignore[misc, name-defined]
            def __iter__(self) -> Any:
                info = lib.utils.data.get_worker_info()
                return iter(range(info.id, 11, info.num_workers))

        loader = lib.utils.data.DataLoader(Stream(), 2, num_workers=2, **options)
        return [[b.tolist() for b in loader] for _ in range(2)]

    assert outcome(cresset, program) == outcome(torch, program)


def raise_value_error(_: int) -> Any:
    raise ValueError("boom")


def raise_key_error(_: int) -> Any:
    raise KeyError("missing")


@pytest.mark.parametrize("sample", [raise_value_error, raise_key_error])
def test_a_workers_exception_comes_back_with_its_traceback(sample: Any) -> None:
    kind, text = outcome(
        cresset, lambda lib: list(lib.utils.data.DataLoader(Calls(sample), num_workers=1))
    )
    head = f"Caught {kind} in DataLoader worker process 0.\nOriginal Traceback (most recent call"
    assert kind in ("ValueError", "KeyError")
    assert text.startswith(head)
    assert f"in {sample.__name__}" in text


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
    assert time.monotonic() - start < 5
    why = caught.value.__cause__
    assert re.sub(r"pid \d+", "pid N", str(why)) == (
        "None" if cause is None else f"DataLoader worker (pid N) {cause}"
    )


def test_what_a_worker_sent_before_it_died_is_not_lost() -> None:
    def sample(i: int) -> Any:
        if i == 2:
            time.sleep(0.2)
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


def local_class(_: int) -> Any:
    class Local(Exception):
        pass

    raise Local("boo")


def raises(error: Exception) -> Callable[[int], Any]:
    def sample(_: int) -> Any:
        raise error

    return sample


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


def test_stop_iteration_in_a_map_style_dataset_ends_the_pass_as_in_pytorch() -> None:
    def sample(i: int) -> int:
        if i == 2:
            raise StopIteration
        return i

    def program(lib: Any) -> Any:
        return [list(lib.utils.data.DataLoader(Calls(sample), num_workers=n)) for n in (0, 1)]

    assert outcome(cresset, program) == outcome(torch, program)


def test_without_order_a_slow_batch_does_not_hold_up_the_others() -> None:
    def sample(i: int) -> int:
        time.sleep(0.5 if i == 0 else 0)
        return i

    loader = cresset.utils.data.DataLoader(
        Calls(sample), batch_size=None, num_workers=2, in_order=False
    )
    found = [x if isinstance(x, int) else x.item() for x in loader]
    assert sorted(found) == [0, 1, 2, 3]
    assert found[0] != 0
    ordered = cresset.utils.data.DataLoader(Calls(sample), batch_size=None, num_workers=2)
    assert list(ordered) == [0, 1, 2, 3]


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


def test_a_stream_longer_than_it_said_is_warned_of_as_in_pytorch() -> None:
    def program(lib: Any) -> Any:
        class Stream(lib.utils.data.IterableDataset):  # type: ignore[misc, name-defined]
            def __iter__(self) -> Any:
                return iter(range(3))

            def __len__(self) -> int:
                return 2

            def __repr__(self) -> str:
                return "stream"

        texts = []
        for workers in (0, 1):
            loader = lib.utils.data.DataLoader(Stream(), num_workers=workers)
            assert len(loader) == 2
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                list(loader)
            texts.append([str(w.message) for w in caught])
        return texts

    ours, theirs = outcome(cresset, program), outcome(torch, program)
    assert theirs[0] == "ok"
    assert ours == theirs


def test_batches_come_from_a_batch_sampler_and_collate_fn_of_the_users() -> None:
    def program(lib: Any) -> Any:
        batches = [[3, 1], [0], [2, 2, 2]]
        loader = lib.utils.data.DataLoader(
            Rows([10, 11, 12, 13]), batch_sampler=batches, collate_fn=tuple, num_workers=1
        )
        return list(loader), len(loader), loader.batch_size, loader.drop_last

    ours, theirs = outcome(cresset, program), outcome(torch, program)
    assert theirs[0] == "ok"
    assert ours == theirs


def test_a_warning_says_when_there_are_too_many_workers() -> None:
    def program(lib: Any) -> Any:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            lib.utils.data.DataLoader(Rows([1]), num_workers=500)
        return [(w.category.__name__, str(w.message)) for w in caught]

    ours, theirs = outcome(cresset, program), outcome(torch, program)
    assert "will create 500 worker processes" in theirs[1]
    assert ours == theirs


def test_pin_memory_without_an_accelerator_warns_and_changes_nothing() -> None:
    def program(lib: Any) -> Any:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = list(lib.utils.data.DataLoader(Rows([1, 2]), pin_memory=True))
        return found, [str(w.message) for w in caught]

    ours, theirs = outcome(cresset, program), outcome(torch, program)
    assert "no accelerator is found" in theirs[1]
    assert ours == theirs


def test_a_timeout_needs_workers_and_an_iterator_cannot_be_pickled() -> None:
    def timeout(lib: Any) -> Any:
        return iter(lib.utils.data.DataLoader(Rows([1]), timeout=3))

    def pickled(lib: Any) -> Any:
        return pickle.dumps(iter(lib.utils.data.DataLoader(Rows([1]))))

    for program in (timeout, pickled):
        ours, theirs = outcome(cresset, program), outcome(torch, program)
        assert theirs[0] in ("AssertionError", "NotImplementedError")
        assert ours == theirs


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
    assert time.monotonic() - start < 3


def test_worker_info_is_complete_and_cannot_be_changed() -> None:
    def program(lib: Any) -> Any:
        def sample(i: int) -> Any:
            info = lib.utils.data.get_worker_info()
            assert len(info.dataset) == 4
            try:
                info.id = 5
            except Exception as error:
                return info.num_workers, info.worker_method, type(error).__name__, str(error)

        return list(lib.utils.data.DataLoader(Calls(sample), batch_size=None, num_workers=1))

    ours, theirs = outcome(cresset, program), outcome(torch, program)
    assert theirs[0] == "ok"
    assert ours == theirs


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


@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 0},
        {"batch_size": 2.5},
        {"num_workers": -1},
        {"timeout": -1},
        {"prefetch_factor": 2},
        {"num_workers": 1, "prefetch_factor": -1},
        {"persistent_workers": True},
        {"shuffle": True, "sampler": [1]},
        {"batch_sampler": [[1]], "batch_size": 2},
        {"batch_size": None, "drop_last": True},
        {"multiprocessing_context": "fork"},
        {"num_workers": 1, "multiprocessing_context": "bogus"},
        {"num_workers": 1, "multiprocessing_context": 3},
    ],
    ids=str,
)
def test_wrong_options_are_refused_in_pytorchs_words(options: dict[str, Any]) -> None:
    def program(lib: Any) -> Any:
        return len(lib.utils.data.DataLoader(Rows([1, 2]), **options))

    ours, theirs = outcome(cresset, program), outcome(torch, program)
    assert theirs[0] != "ok"
    assert ours == theirs


@pytest.mark.parametrize("name", ["batch_size", "sampler", "dataset", "persistent_workers"])
def test_what_the_samplers_were_made_from_cannot_be_set_later(name: str) -> None:
    def program(lib: Any) -> Any:
        setattr(lib.utils.data.DataLoader(Rows([1])), name, None)

    ours, theirs = outcome(cresset, program), outcome(torch, program)
    assert theirs[0] == "ValueError"
    assert ours == theirs


def test_iterators_have_no_next_method_outside_legacy_mode() -> None:
    ours, theirs = (
        outcome(lib, lambda lib: iter(lib.utils.data.DataLoader(Rows([1]))).next())
        for lib in (cresset, torch)
    )
    assert theirs[0] == "AttributeError"
    assert ours == theirs


def test_the_old_submodules_can_be_imported() -> None:
    from cresset.utils.data.dataset import Dataset
    from cresset.utils.data.distributed import DistributedSampler

    assert Dataset is cresset.utils.data.Dataset
    assert DistributedSampler is cresset.utils.data.DistributedSampler
