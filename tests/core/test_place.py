"""Where the user's call was: the nearest frame outside the package, however often it comes."""

from __future__ import annotations

from threading import get_ident

import pytest

import cresset as torch
from cresset.core import graph
from cresset.core.modes import PROCESS
from cresset.core.place import line_of

pytestmark = pytest.mark.skipif(PROCESS.eager, reason="nothing waits")


def direct():
    return torch.nn.functional.nll_loss(torch.zeros(1, 2), torch.tensor([0]))


def by_a_module():
    return torch.nn.NLLLoss()(torch.zeros(1, 2), torch.tensor([0]))


def place_of(function):
    graph.flush()
    loss = function()
    (place,) = graph.RECORDER.graph.places.values()
    assert loss.item() == 0
    return place


@pytest.mark.parametrize("order", [(direct, by_a_module), (by_a_module, direct)])
def test_it_is_found_the_first_time_and_again(order):
    for function in (*order, *order, order[0], order[0]):
        place = place_of(function)
        code, _, thread = place
        assert code is function.__code__ and thread == get_ident()
        line = function.__code__.co_firstlineno + 1
        assert line_of(place) == f"{__file__}:{line}"


def test_a_module_of_the_users_is_outside():
    class Loss(torch.nn.Module):
        def forward(self, x):
            return direct()

    assert place_of(lambda: Loss()(torch.zeros(1)))[0] is direct.__code__


def test_where_nobody_is_there_is_no_line():
    assert line_of((None, 0, 0)) == "?:0"
