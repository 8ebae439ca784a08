"""The loader gives PyTorch's batches in PyTorch's order, and fails in PyTorch's words."""

from __future__ import annotations

import pickle
import random
import types
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import cresset
from cresset.compiler import threads
from cresset.core import graph
from cresset.core.modes import PROCESS

from .samples import Calls, Rows

torch = pytest.importorskip("torch")


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


def test_stop_iteration_in_a_map_style_dataset_ends_the_pass_as_in_pytorch() -> None:
    def sample(i: int) -> int:
        if i == 2:
            raise StopIteration
        return i

    def program(lib: Any) -> Any:
        return [list(lib.utils.data.DataLoader(Calls(sample), num_workers=n)) for n in (0, 1)]

    assert outcome(cresset, program) == outcome(torch, program)


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


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of PyTorch's
def test_workers_without_prefetching_are_refused_in_pytorchs_words() -> None:
    def program(lib: Any) -> Any:
        return list(lib.utils.data.DataLoader(Rows([1]), num_workers=1, prefetch_factor=0))

    ours, theirs = outcome(cresset, program), outcome(torch, program)
    assert theirs[0] == "AssertionError"
    assert ours == theirs


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


class _Looking(cresset.utils.data.Dataset):
    """Tells at each sample whether a step of training is under way."""

    def __init__(self) -> None:
        self.seen: list[bool] = []

    def __len__(self) -> int:
        return 640

    def __getitem__(self, index: int) -> tuple[cresset.Tensor, int]:
        self.seen.append(graph.RECORDER.left is not None)
        return cresset.full((20,), float(index)), index % 10


@pytest.mark.skipif(
    PROCESS.eager or PROCESS.check or not PROCESS.compile or not threads.available(),
    reason="no step goes on beside Python",
)
def test_without_workers_samples_are_fetched_while_a_step_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(PROCESS, "_threads", 2)
    monkeypatch.setattr(threads, "_STALL", float("inf"))
    monkeypatch.setattr(threads.POOL, "_alone", 0)
    net = cresset.nn.Sequential(
        cresset.nn.Linear(20, 128), cresset.nn.ReLU(), cresset.nn.Linear(128, 10)
    )
    optimizer, data = cresset.optim.SGD(net.parameters(), lr=1e-6), _Looking()
    for _ in range(8):
        data.seen.clear()
        for x, y in cresset.utils.data.DataLoader(data, batch_size=16, shuffle=True):
            optimizer.zero_grad()
            cresset.nn.functional.cross_entropy(net(x), y).backward()
            optimizer.step()
    assert sum(data.seen) >= 0.9 * len(data)
