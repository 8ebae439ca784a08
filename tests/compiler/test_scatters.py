"""Writes that reduce, and places in the flattened tensor, against the kernels."""

from __future__ import annotations

import pytest

import cresset as torch
from cresset.core.modes import PROCESS

from .both import agree

pytestmark = [
    pytest.mark.skipif(PROCESS.eager, reason="eager mode compiles nothing"),
    pytest.mark.usefixtures("pieces"),
]

KINDS = [torch.float32, torch.float64, torch.int64, torch.int16, torch.uint8, torch.bfloat16]
MODES = ["sum", "prod", "mean", "amax", "amin"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("keep", [True, False])
def test_reductions(mode, keep):
    def program():
        found = []
        for kind in KINDS:
            x, source = ((torch.rand(5, 6) * 5 - 1).to(kind) for _ in range(2))
            at, row = torch.randint(0, 5, (4, 6)), torch.randint(0, 6, (5, 3)).int()
            options = {"reduce": mode, "include_self": keep}
            found += [x.scatter_reduce(0, at, source, **options)]
            found += [x.t().scatter_reduce(0, row.t(), source.t(), **options)]
            found += [x[0].scatter_reduce(0, at[0] + 1, source[1], **options)]
        return found

    agree(program)


@pytest.mark.parametrize("mode", MODES)
def test_gradients(mode):
    def program():
        x = (torch.rand(4, 5) + 0.5).requires_grad_()
        source = (torch.rand(3, 5) + 0.5).requires_grad_()
        y = x.scatter_reduce(0, torch.randint(0, 4, (3, 5)), source, mode)
        (y * y).sum().backward()
        return [x.grad, source.grad]

    agree(program, 1e-5, 1e-6)


def test_nan_is_the_largest_and_the_smallest():
    reduce = torch.compile(lambda x, at, source, mode: (x * 1).scatter_reduce(0, at, source, mode))
    source, at = torch.tensor([float("nan"), 5.0, 2.0]), torch.tensor([0, 1, 1])
    for mode, last in (("amax", 5.0), ("amin", 1.0)):
        found = reduce(torch.ones(2), at, source, mode).tolist()
        assert found[0] != found[0] and found[1] == last


@pytest.mark.parametrize("kind", KINDS)
def test_places_in_the_flattened_tensor(kind):
    def program():
        x = (torch.rand(4, 6) * 9).to(kind)
        at = torch.randint(-24, 24, (3, 5))
        source = (torch.rand(3, 5) * 9).to(kind)
        return [x.take(at), x.t().contiguous().take(at.t()), x.put(at, source), x * 2]

    agree(program)


@pytest.mark.parametrize("kind", [torch.float32, torch.int64, torch.uint8])
def test_values_added_at_places(kind):
    x, at = torch.arange(24).to(kind).view(4, 6), torch.tensor([3, 3, -1, 0])
    agree(lambda: [(x + 1).put(at, torch.tensor([1, 2, 3, 4]).to(kind), True)])


def test_a_place_outside_is_pytorchs_error():
    reduce = torch.compile(lambda x, at: (x * 2).scatter_reduce(0, at, x, "amax"))
    assert reduce(torch.ones(3), torch.tensor([0, 1, 2])).tolist() == [2, 2, 2]
    with pytest.raises(RuntimeError, match="index 3 is out of bounds for dimension 0 with size 3"):
        reduce(torch.ones(3), torch.tensor([0, 1, 3])).tolist()
    take = torch.compile(lambda x, at: (x * 2).take(at))
    with pytest.raises(IndexError, match="tried to access index 9 on a tensor of 3 elements"):
        take(torch.ones(3), torch.tensor([9])).tolist()
