from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import cresset as torch
from cresset.core import graph
from cresset.core.fingerprint import fingerprint
from cresset.core.history import HISTORY
from cresset.core.modes import PROCESS
from cresset.core.plan import EARLY

native = pytest.mark.skipif(
    PROCESS.eager or not PROCESS.compile, reason="nothing is compiled in this mode"
)


@pytest.fixture(autouse=True)
def _as_new():
    graph.flush()
    graph.RECORDER.cache.clear()
    yield
    graph.flush()
    graph.RECORDER.history = None
    HISTORY._before.clear()


def step() -> float:
    """A program that is heavy enough to be compiled when it is met for the third time."""
    x = torch.ones(400, 300)
    return ((x * 2 + 1).exp().tanh() @ torch.ones(300, 4)).sum().item()


def tier() -> tuple[int, str]:
    plans = [plan for _, plan in graph.RECORDER.cache.items() if len(plan.steps) > 3]
    (plan,) = plans
    return plan.seen, plan.tier


@native
@pytest.mark.parametrize("before", [1, EARLY - 1, EARLY, EARLY + 4])
def test_counts_go_on_where_they_were(before):
    for _ in range(before):
        step()
    plans = HISTORY.plans()
    HISTORY.recall(plans)
    step()
    assert tier() == (before + 1, "native" if before + 1 >= EARLY else "reference")


@native
def test_counts_of_programs_that_did_not_come_back_are_passed_on():
    for _ in range(EARLY):
        step()
    plans = HISTORY.plans()
    HISTORY.recall(plans)
    torch.ones(2).sum().item()
    again = HISTORY.plans()
    assert plans.items() <= again.items() and len(again) == len(plans) + 1


def test_what_was_met_here_is_forgotten_when_a_history_is_taken_over():
    step()
    HISTORY.recall({})
    step()
    assert {seen for seen, _ in HISTORY.plans().values()} == {1}


def test_a_program_has_one_fingerprint_in_every_process():
    root = str(Path(__file__).parents[2])
    program = (
        f"import sys; sys.path.insert(0, {root!r})\n"
        "from tests.core.test_history import *\n"
        "step(); print(*sorted(HISTORY.plans()))"
    )
    runs = [
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    assert runs[0].stdout == runs[1].stdout and len(runs[0].stdout.split()) >= 1


def test_a_fingerprint_tells_structures_apart():
    a = torch.zeros(2, 3)
    things = [
        a._spec, a.t()._spec, a.double()._spec, a[1:]._spec, (1, 2), (1, (2,)), (1, "2"), 1, True,
        1.0, None, "None", np.zeros(2), np.zeros(2, "f4"), np.zeros((2, 1)), np.sum, len, slice(2),
    ]  # fmt: skip
    marks = [fingerprint(thing) for thing in things]
    assert None not in marks and len(set(marks)) == len(things)
    assert marks == [fingerprint(thing) for thing in things]


@pytest.mark.parametrize("unknown", [object(), lambda: 1, (1, object())])
def test_what_has_no_lasting_name_has_no_fingerprint(unknown):
    assert fingerprint(unknown) is None
