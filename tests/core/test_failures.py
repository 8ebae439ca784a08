"""A value that an op refuses: the error names the op, and nothing else is lost."""

from __future__ import annotations

import pytest

import cresset as torch
import cresset.nn.functional as F
from cresset.core.modes import PROCESS


@pytest.mark.parametrize("kind", ["SGD", "Adam"])
@pytest.mark.parametrize("bad_at", [(0,), (2,), (0, 5)])
def test_a_bad_target_leaves_parameters_and_optimiser_as_they_were(kind, bad_at):
    def train(skip):
        torch.manual_seed(0)
        net = torch.nn.Linear(3, 2)
        options = {"momentum": 0.9} if kind == "SGD" else {}
        optimizer = getattr(torch.optim, kind)(net.parameters(), lr=0.1, **options)
        x, good = torch.randn(4, 3), torch.tensor([0, 1, 0, 1])
        for i in range(8):
            if i in skip:
                optimizer.zero_grad()
                before = net.weight.detach().clone().tolist()
                with pytest.raises(IndexError, match="Target 7 is out of bounds"):
                    F.cross_entropy(net(x), torch.tensor([0, 1, 0, 7])).backward()
                    optimizer.step()
                assert net.weight.tolist() == before
            optimizer.zero_grad()
            F.cross_entropy(net(x), good).backward()
            optimizer.step()
        return net.weight.reshape(-1).tolist()

    # To rounding: a plan may be compiled between the two runs.
    assert train(bad_at) == pytest.approx(train(()), rel=1e-5)


def test_a_write_that_fails_leaves_what_was_there():
    x = torch.zeros(3)
    x[0] = 1.0
    x.tolist()
    with pytest.raises(IndexError):
        x.copy_(_bad())
        x.tolist()
    assert x.tolist() == [1.0, 0.0, 0.0]


def _bad():
    return F.nll_loss(torch.zeros(3, 2), torch.tensor([0, 1, 5]), reduction="none")


@pytest.mark.skipif(PROCESS.eager, reason="an eager op fails at once")
def test_what_does_not_depend_on_the_failure_is_there():
    a = torch.ones(2) * 3
    b = _bad()
    c = a + 1
    with pytest.raises(IndexError):
        b.tolist()
    assert a.tolist() == [3.0, 3.0]
    assert c.tolist() == [4.0, 4.0]
    with pytest.raises(IndexError):
        b.tolist()
