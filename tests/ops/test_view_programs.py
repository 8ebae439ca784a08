"""Random programs of views, indexing and writes, run three times: recorded, eager, PyTorch.

A program is a list of steps on a growing list of tensors. Each step names a tensor by a number
(taken modulo how many there are) and what to do; what does not fit the tensor's shape is turned
into something that does, from the shape alone, so all three runs do the same. At the end *every*
tensor is compared, as a write through one view must show in all others, and in no copy. With
gradients on, the program starts from a product of a leaf, and the leaf's gradient is compared.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import cresset
from cresset.core.modes import PROCESS

torch = pytest.importorskip("torch")

SHAPES = ((4,), (3, 4), (2, 3, 2), (1, 5), (2, 1, 3))
SMALL = st.integers(-6, 6)
STEP = st.tuples(st.integers(0, 20), st.integers(0, 40), SMALL, SMALL, SMALL)
PROGRAM = st.tuples(st.sampled_from(SHAPES), st.lists(STEP, min_size=1, max_size=9))


def _slice(a: int, b: int, c: int) -> slice:
    return slice(a if a else None, b if b else None, abs(c) % 3 + 1)


def _index(t: Any, n: int, *numbers: int) -> Any:
    return t.tensor([i % n for i in numbers], dtype=t.int64)


# Steps give a new tensor, or None after a write. ``x`` has at least one dimension and no empty one.


def _select(t: Any, x: Any, a: int, b: int, c: int) -> Any:
    return x[a % x.shape[0]]


def _cut(t: Any, x: Any, a: int, b: int, c: int) -> Any:
    return x[_slice(a, b, c)]


def _cut_last(t: Any, x: Any, a: int, b: int, c: int) -> Any:
    return x[..., _slice(a, b, c)]


def _mixed(t: Any, x: Any, a: int, b: int, c: int) -> Any:
    return x[None, _slice(a, b, c), ..., c % x.shape[-1]] if x.ndim > 1 else x[None, :, None]


def _reversed_dims(t: Any, x: Any, a: int, b: int, c: int) -> Any:
    return x.permute(*range(x.ndim - 1, -1, -1))


def _transpose(t: Any, x: Any, a: int, b: int, c: int) -> Any:
    return x.transpose(a % x.ndim, b % x.ndim)


def _flat(t: Any, x: Any, a: int, b: int, c: int) -> Any:
    return x.reshape(-1)  # a view or a copy, as strides have it


def _expand(t: Any, x: Any, a: int, b: int, c: int) -> Any:
    return x.unsqueeze(0).expand(2, *x.shape)


def _diagonal(t: Any, x: Any, a: int, b: int, c: int) -> Any:
    return x.diagonal() if x.ndim > 1 else x.unfold(0, 1, 1)


def _windows(t: Any, x: Any, a: int, b: int, c: int) -> Any:
    return x.unfold(0, abs(a) % x.shape[0] + 1, abs(b) % 2 + 1)


def _part(t: Any, x: Any, a: int, b: int, c: int) -> Any:
    if x.requires_grad:
        # PyTorch refuses writes under autograd to one of several views from one call.
        start = b % x.shape[a % x.ndim]
        return x.narrow(a % x.ndim, start, 1)
    parts = x.chunk(2, a % x.ndim)
    return parts[b % len(parts)]


def _gathered(t: Any, x: Any, a: int, b: int, c: int) -> Any:
    return x[_index(t, x.shape[0], a, b, c)]


def _gathered_pairs(t: Any, x: Any, a: int, b: int, c: int) -> Any:
    if x.ndim < 2:
        return x[[a % x.shape[0]]]
    return x[_index(t, x.shape[0], a, b), ..., _index(t, x.shape[-1], b, c)]


def _masked(t: Any, x: Any, a: int, b: int, c: int) -> Any:
    return x[x > a]


def _copied(t: Any, x: Any, a: int, b: int, c: int) -> Any:
    return x.clone()


def _computed(t: Any, x: Any, a: int, b: int, c: int) -> Any:
    return x * 2 + a


def _joined(t: Any, x: Any, a: int, b: int, c: int) -> Any:
    return t.cat([x, x[:1]])


def _set_number(t: Any, x: Any, a: int, b: int, c: int) -> None:
    x[a % x.shape[0]] = b


def _set_slice(t: Any, x: Any, a: int, b: int, c: int) -> None:
    x[..., _slice(a, b, c)] = c


def _set_row(t: Any, x: Any, a: int, b: int, c: int) -> None:
    x[a % x.shape[0]] = x[b % x.shape[0]].clone() * 2


def _set_gathered(t: Any, x: Any, a: int, b: int, c: int) -> None:
    x[_index(t, x.shape[0], a, a)] = float(b)


def _set_masked(t: Any, x: Any, a: int, b: int, c: int) -> None:
    x[x > a] = b


def _set_masked_values(t: Any, x: Any, a: int, b: int, c: int) -> None:
    x[x > a] = x[x > a] - b


def _add_in_place(t: Any, x: Any, a: int, b: int, c: int) -> None:
    x += a


def _scale_in_place(t: Any, x: Any, a: int, b: int, c: int) -> None:
    x[a % x.shape[0]].mul_(b % 3 - 1)


def _square_in_place(t: Any, x: Any, a: int, b: int, c: int) -> None:
    x.mul_(x.detach().clamp(-2, 2))


def _fill(t: Any, x: Any, a: int, b: int, c: int) -> None:
    x.fill_(a)


def _copy_flipped(t: Any, x: Any, a: int, b: int, c: int) -> None:
    x.copy_(x.flip(0))


def _index_add(t: Any, x: Any, a: int, b: int, c: int) -> None:
    x.index_add_(0, _index(t, x.shape[0], a), x[b % x.shape[0]].unsqueeze(0).clone())


def _put(t: Any, x: Any, a: int, b: int, c: int) -> None:
    values = t.tensor([float(b), float(c)], dtype=x.dtype).reshape(2, *(1,) * (x.ndim - 1))
    x.index_put_((_index(t, x.shape[0], a, b),), values.expand(2, *x.shape[1:]), accumulate=True)


VIEWS = (_select, _cut, _cut_last, _mixed, _reversed_dims, _transpose, _flat, _diagonal, _part,
         _expand, _windows, _gathered, _gathered_pairs, _masked, _copied, _computed,
         _joined)  # fmt: skip
WRITES = (_set_number, _set_slice, _set_row, _set_gathered, _set_masked, _set_masked_values,
          _add_in_place, _scale_in_place, _square_in_place, _fill, _copy_flipped, _index_add,
          _put)  # fmt: skip
STEPS = VIEWS + WRITES


def _overlaps(x: Any) -> bool:
    """Elements may share memory: PyTorch refuses such writes only where it can tell."""
    return any(s == 0 and n > 1 for n, s in zip(x.shape, x.stride(), strict=True)) or (
        x.numel() > 1 and _window_like(x)
    )


def _window_like(x: Any) -> bool:
    places = np.zeros(tuple(x.shape), np.int64)
    for d, (n, s) in enumerate(zip(x.shape, x.stride(), strict=True)):
        places += (np.arange(n) * s).reshape((n,) + (1,) * (x.ndim - d - 1))
    return len(np.unique(places)) < places.size


def run(t: Any, shape: tuple, steps: list[tuple], grad: bool) -> list[Any]:
    """The final values of all tensors (and the gradient), as arrays; an error as its type."""
    size = int(np.prod(shape))
    leaf = (t.arange(size, dtype=t.float64).reshape(shape) - size // 3).requires_grad_(grad)
    tensors = [leaf * 1 if grad else leaf]
    for which, kind, a, b, c in steps:
        step = STEPS[kind % len(STEPS)]
        x = tensors[which % len(tensors)]
        if not x.ndim or not x.numel() or (step in WRITES and _overlaps(x)):
            continue
        new = step(t, x, a, b, c)
        if new is not None:
            tensors.append(new)
    results = [x.detach().numpy().copy() for x in tensors]
    if grad:
        total = sum((x * x).sum() for x in tensors)
        total.backward()
        results.append(leaf.grad.numpy().copy())
    return results


def three_ways(shape: tuple, steps: list[tuple], grad: bool) -> None:
    wanted = run(torch, shape, steps, grad)
    recorded = run(cresset, shape, steps, grad)
    before, PROCESS.eager = PROCESS.eager, True
    try:
        eager = run(cresset, shape, steps, grad)
    finally:
        PROCESS.eager = before
    for name, found in (("recorded", recorded), ("eager", eager)):
        assert len(found) == len(wanted)
        for i, (mine, theirs) in enumerate(zip(found, wanted, strict=True)):
            np.testing.assert_allclose(mine, theirs, rtol=1e-12, err_msg=f"{name}, tensor {i}")


FEW = settings(
    max_examples=120, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)


@FEW
@given(PROGRAM)
def test_views_indexing_and_writes_agree_with_pytorch_in_both_modes(program):
    three_ways(*program, grad=False)


@FEW
@given(PROGRAM)
def test_gradients_through_views_and_writes_agree_with_pytorch(program):
    three_ways(*program, grad=True)
