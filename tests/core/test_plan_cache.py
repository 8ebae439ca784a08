"""The cache of plans is bounded and drops what was not used for longest."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

import cresset as torch
from cresset.core import graph
from cresset.core.modes import PROCESS
from cresset.core.plan_cache import PlanCache


def plan() -> SimpleNamespace:
    return SimpleNamespace(seen=1)


def test_the_plan_unused_for_longest_goes_first():
    cache = PlanCache(most=2)
    cache.put("a", plan())
    cache.put("b", plan())
    cache.get("a")
    cache.put("c", plan())
    assert (cache.get("b"), len(cache)) == (None, 2)
    assert cache.get("a").seen == 3


def test_uses_and_misses_are_counted():
    cache = PlanCache()
    assert cache.get("a") is None
    cache.put("a", plan())
    assert [cache.get("a").seen for _ in range(3)] == [2, 3, 4]
    assert (cache.hits, cache.misses) == (3, 1)


@pytest.mark.skipif(PROCESS.eager, reason="about recording")
@pytest.mark.parametrize(
    "change",
    [
        lambda x: (x * 2).sum(0), lambda x: (x * 2).sum(1), lambda x: (x.double() * 2).sum(0),
        lambda x: (x * 2)[:1].sum(0), lambda x: (x * x).sum(0), lambda x: (x * 2j).sum(0).real,
        lambda x: (x.t() * 2).sum(0),
    ],
)  # fmt: skip
def test_programs_that_differ_in_structure_do_not_share_a_plan(change):
    x = torch.arange(4.0).reshape(2, 2)
    x.tolist()
    (x + 2).sum(0).tolist()
    before = graph.RECORDER.cache.misses
    graph.RECORDER.cache.clear()
    first = change(x).tolist()
    (x + 2).sum(0).tolist()
    assert graph.RECORDER.cache.misses >= before + 2
    assert change(x).tolist() == first


@pytest.mark.skipif(PROCESS.eager, reason="about recording")
def test_shapes_that_never_come_back_do_not_pile_up():
    for n in range(1, graph.RECORDER.cache.most + 100):
        (torch.ones(n) + 1).sum().item()
    assert len(graph.RECORDER.cache) == graph.RECORDER.cache.most
