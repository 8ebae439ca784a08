"""Samplers, splits and datasets: PyTorch's order, PyTorch's draws, PyTorch's refusals."""

from __future__ import annotations

import collections
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import cresset

torch = pytest.importorskip("torch")

Point = collections.namedtuple("Point", "x y")


def outcome(lib: Any, program: Callable[[Any, Any], Any]) -> tuple:
    """What a program gives (or how it fails) with one library, and its warnings."""
    lib.manual_seed(0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = "ok", repr(program(lib, lib.utils.data))
        except Exception as error:
            result = type(error).__name__, str(error)
    return *result, [(w.category, str(w.message)) for w in caught]


SAMPLERS: list[Callable[[Any, Any], Any]] = [
    lambda t, d: d.SequentialSampler(range(5)),
    lambda t, d: d.RandomSampler(range(10)),
    lambda t, d: d.RandomSampler(range(10), True, 70),
    lambda t, d: d.RandomSampler(range(10), num_samples=25),
    lambda t, d: d.RandomSampler(range(10), True, 64, t.Generator().manual_seed(2)),
    lambda t, d: d.SubsetRandomSampler([4, 5, 6, 7]),
    lambda t, d: d.WeightedRandomSampler([0.1, 0.9, 0.4], 7),
    lambda t, d: d.WeightedRandomSampler([0.1, 0.9, 0.4], 2, False),
    lambda t, d: d.BatchSampler(d.RandomSampler(range(10)), 3, False),
    lambda t, d: d.BatchSampler(range(10), 3, True),
    lambda t, d: d.DistributedSampler(range(10), 3, 1),
    lambda t, d: d.DistributedSampler(range(10), 3, 2, drop_last=True, seed=4),
    lambda t, d: d.DistributedSampler(range(2), 5, 4, shuffle=False),
]


@pytest.mark.parametrize("count", [None, 10, 15])
def test_a_generator_of_the_users_is_where_pytorch_leaves_it(count: Any) -> None:
    def program(lib: Any, data: Any) -> Any:
        g = lib.Generator().manual_seed(3)
        sampler = data.RandomSampler(range(10), num_samples=count, generator=g)
        return list(sampler), list(sampler), lib.rand(1, generator=g).item()

    assert outcome(cresset, program) == outcome(torch, program)


@pytest.mark.parametrize("make", SAMPLERS)
def test_samplers_give_pytorchs_indices_and_draw_as_often(make: Any) -> None:
    def program(lib: Any, data: Any) -> Any:
        sampler = make(lib, data)
        return list(sampler), list(sampler), len(sampler), lib.rand(1).item()

    ours, theirs = outcome(cresset, program), outcome(torch, program)
    assert theirs[0] == "ok"
    assert ours == theirs


@pytest.mark.parametrize(
    "make",
    [
        lambda d: d.RandomSampler([]),
        lambda d: d.RandomSampler(range(3), 1),
        lambda d: d.RandomSampler(range(3), num_samples=0),
        lambda d: d.WeightedRandomSampler([1.0], 0),
        lambda d: d.WeightedRandomSampler([[1.0]], 1),
        lambda d: d.BatchSampler([1], True, False),
        lambda d: d.BatchSampler([1], 1, 3),
        lambda d: d.DistributedSampler(range(2), 2, 2),
        lambda d: d.IterableDataset(),
        lambda d: d.Dataset()[0],
        lambda d: d.ConcatDataset([]),
        lambda d: d.ConcatDataset([[1]])[-5],
        lambda d: d.StackDataset(),
        lambda d: d.StackDataset([1], a=[1]),
        lambda d: d.StackDataset([1], [1, 2]),
        lambda d: d.random_split(range(10), [3, 3]),
        lambda d: d.random_split(range(10), [-0.2, 1.2]),
        lambda d: d.default_collate([object()]),
        lambda d: d.default_collate([np.array(["a"])]),
        lambda d: d.default_collate([[1], [1, 2]]),
    ],
)
def test_bad_input_is_refused_in_pytorchs_words(make: Any) -> None:
    ours, theirs = (outcome(lib, lambda _, data: list(make(data))) for lib in (cresset, torch))
    assert theirs[0] != "ok"
    assert ours == theirs


@pytest.mark.parametrize("parts", [[3, 7], [0.3, 0.7], [0.33, 0.33, 0.34], [10, 0], [0.01, 0.99]])
def test_random_split_gives_pytorchs_parts(parts: list) -> None:
    def program(lib: Any, data: Any) -> Any:
        own = data.random_split(range(10), parts, generator=lib.Generator().manual_seed(4))
        split = data.random_split(range(10), parts)
        return [list(s) for s in own], [list(s.indices) for s in split], lib.rand(1).item()

    ours, theirs = outcome(cresset, program), outcome(torch, program)
    assert theirs[0] == "ok"
    assert ours == theirs


def test_datasets_put_together_answer_as_pytorchs() -> None:
    def program(lib: Any, data: Any) -> Any:
        both = data.ConcatDataset([[1, 2], [3]])
        named, pairs = data.StackDataset(a=[1, 2], b=[3, 4]), data.StackDataset([1, 2], [3, 4])
        part = data.Subset([5, 6, 7], [2, 0])
        return (
            [both[2], both[-3], len(both), both.cumulative_sizes],
            [named[1], named.__getitems__([0, 1]), pairs[0], pairs.__getitems__([1, 0])],
            [part[0], len(part), part.__getitems__([1, 0])],
        )

    ours, theirs = outcome(cresset, program), outcome(torch, program)
    assert theirs[0] == "ok"
    assert ours == theirs


@pytest.mark.parametrize(
    "batch",
    [
        [(1, "a", 2.5), (3, "b", 0.5)],
        [{"a": 1, "b": [1, 2]}, {"a": 2, "b": [3, 4]}],
        [Point(1, 2.0), Point(2, 3.0)],
        [np.ones(3, "f"), np.zeros(3, "f")],
        [np.float32(1), np.float32(2)],
        [np.str_("a"), np.str_("b")],
        [True, False],
        [b"a", b"b"],
        [range(2), range(2)],
        [collections.OrderedDict(a=1)],
        [collections.defaultdict(list, a=1)],
    ],
    ids=str,
)
def test_samples_of_every_kind_collate_and_convert_as_in_pytorch(batch: list) -> None:
    def program(lib: Any, data: Any) -> Any:
        return data.default_collate(batch), data.default_convert(batch)

    ours, theirs = outcome(cresset, program), outcome(torch, program)
    assert theirs[0] == "ok"
    assert ours == theirs
