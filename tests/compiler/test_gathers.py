"""Reading and writing at places that tensors name, against the kernels."""

from __future__ import annotations

import pytest

import cresset as torch
from cresset.core.modes import PROCESS

from .both import agree, fallbacks, run_both

pytestmark = [
    pytest.mark.skipif(PROCESS.eager, reason="eager mode compiles nothing"),
    pytest.mark.usefixtures("pieces"),
]

DTYPES = [torch.bool, torch.uint8, torch.int64, torch.float16, torch.bfloat16, torch.float32,
          torch.float64, torch.complex64]  # fmt: skip
ADDED = [torch.uint8, torch.int32, torch.int64, torch.float32, torch.float64]


def _values(kind, *shape):
    return (torch.rand(shape) * 9 - 3).to(kind)


@pytest.mark.parametrize("kind", DTYPES)
@pytest.mark.parametrize("index", [torch.int64, torch.int32])
def test_one_index_per_element(kind, index):
    x, source = _values(kind, 5, 6, 4), _values(kind, 4, 6, 4)
    at = torch.randint(0, 4, (3, 6, 2)).to(index)
    unlike = torch.arange(3).view(3, 1, 1).expand(3, 6, 2).to(index)

    def program():
        found = [
            x.gather(0, at), x.gather(2, at), x.transpose(0, 2).gather(1, at),
            x.scatter(0, unlike, source), torch.zeros(5).scatter(0, at[0, :, 0] * 0 + 2, 1.5),
        ]  # fmt: skip
        if kind is not torch.complex64:
            found += [x.scatter(2, at, 1), x.scatter(0, unlike, 3)]
        return found

    agree(program)


@pytest.mark.parametrize("kind", ADDED)
def test_sums_at_one_index_per_element(kind):
    x, source, at = _values(kind, 5, 6), _values(kind, 5, 6), torch.randint(0, 5, (4, 6))
    agree(lambda: [x.scatter_add(0, at, source), x.scatter_add(1, at[:, :2], source)])


@pytest.mark.parametrize("kind", DTYPES)
def test_whole_slices(kind):
    x, source = _values(kind, 5, 6, 4), _values(kind, 5, 3, 4)
    at = torch.tensor([4, 0, 2])

    def program():
        found = [
            x.index_select(1, at), x.index_select(2, at[1:].int()),
            x.transpose(0, 1).index_select(0, at), x.index_copy(1, at, source),
            torch.arange(5).index_select(0, at[0]),
        ]  # fmt: skip
        if kind is not torch.complex64:
            found += [x.index_fill(1, at - 3, 2), x.index_fill(0, at, x[0, 0, 0])]
        return found

    agree(program)


@pytest.mark.parametrize("kind", ADDED)
def test_sums_of_whole_slices(kind):
    x, source, at = _values(kind, 5, 6), _values(kind, 4, 6), torch.tensor([1, 1, 4, 1])
    agree(lambda: [x.index_add(0, at, source), x.index_add(1, at, source.t()[:5], alpha=2)])


@pytest.mark.parametrize("kind", DTYPES)
def test_several_indices(kind):
    x = _values(kind, 4, 5, 6)
    i, j, row = torch.tensor([[0, -1], [2, 3]]), torch.tensor([1, -5]), torch.tensor([3, 0, 1])
    value = _values(kind, 2, 2)

    def program():
        y, z = x.clone(), x.transpose(0, 2).contiguous()
        y[i, j, -1] = value
        z[:, row] = value[0, 0]
        return [
            x[i], x[i, j], x[:, row], x[..., row], x[i, :, j], x[:, i, j], x[row, row, row],
            x[row[0]], x.transpose(0, 2)[row, 1:, row], x[torch.arange(4), torch.arange(4)], y, z,
        ]  # fmt: skip

    agree(program)


def test_numbers_are_written_in_the_dtype_of_the_tensor():
    at = torch.tensor([1, 3])

    def program():
        found = []
        for kind in (torch.uint8, torch.int64, torch.float16, torch.bfloat16, torch.float64):
            x = torch.zeros(5, dtype=kind)
            x[at] = 2
            y = x.clone()
            y[at] = True
            found += [x, y]
        big = torch.zeros(4, dtype=torch.int64)
        big[at] = 2**62 + 1
        return [*found, big]

    assert agree(program)[-1].tolist() == [0, 2**62 + 1, 0, 2**62 + 1]


def test_added_at_several_indices():
    i, j = torch.tensor([0, 1, 1, 1]), torch.tensor([2, 0, 0, -3])

    def program():
        x = torch.zeros(2, 3)
        y = torch.zeros(2, 3, dtype=torch.int64)
        return [
            x.index_put((i, j), torch.tensor([1.0, 2.0, 3.0, 4.0]), accumulate=True),
            y.index_put((i,), torch.tensor([1, 2, 3]), accumulate=True),
        ]  # fmt: skip

    first, second = agree(program)
    assert first.tolist() == [[0, 0, 1], [9, 0, 0]] and second.tolist() == [[1, 2, 3], [3, 6, 9]]


def test_gradients_go_where_values_came_from():
    at, i = torch.randint(0, 5, (5, 6)), torch.randint(0, 5, (7,))

    def program():
        x = torch.randn(5, 6, requires_grad=True)
        found = x.gather(0, at).tanh().sum() + (x[i] * x[i, 2:3]).sum()
        (found + x.index_select(1, i).exp().sum() + x.scatter(0, at, 2.0).sum()).backward()
        return [x.grad]

    agree(program, 2e-6, 2e-6)


ERRORS = [
    (lambda x, i: x.gather(0, i), RuntimeError, "index 9 is out of bounds"),
    (lambda x, i: x.scatter(0, i, 1.0), RuntimeError, "index 9 is out of bounds"),
    (lambda x, i: x.index_select(0, i), IndexError, "index out of range in self"),
    (lambda x, i: x[i], IndexError, "index 9 is out of bounds for dimension 0 with size 5"),
    (lambda x, i: x.index_add(0, i, torch.ones(2)), RuntimeError, "index 9 is out of bounds"),
    (lambda x, i: x.index_put((i,), torch.ones(2)), IndexError, "index 9 is out of bounds"),
]


@pytest.mark.parametrize("call, kind, words", ERRORS)
def test_an_index_out_of_range_is_the_kernels_error(call, kind, words):
    x = torch.arange(5.0)

    def program():
        with pytest.raises(kind, match=words):
            call(x, torch.tensor([1, 9])).tolist()
        with pytest.raises(kind):
            call(x, torch.tensor([-9, 1])).tolist()
        return (x * 2).tolist()

    seen = run_both(program)
    assert not fallbacks(seen)
    assert x.tolist() == [0, 1, 2, 3, 4]
