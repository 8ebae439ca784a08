"""``arange``, ``linspace`` and ``logspace`` to the bit."""

from __future__ import annotations

import random

import pytest

import cresset

DTYPES = ("float32", "float64", "float16", "bfloat16", "int64", "int32")


def _spans(count):
    chance = random.Random(0)
    for _ in range(count):
        low = chance.choice([-1, 0, chance.uniform(-5, 5)])
        yield low, low + chance.uniform(0.1, 10), chance.randint(0, 200), chance.uniform(0.01, 1)


@pytest.mark.parametrize("dtype", DTYPES)
def test_linspace_is_pytorchs(dtype):
    torch = pytest.importorskip("torch")
    for low, high, steps, _ in _spans(60):
        ours = cresset.linspace(low, high, steps, dtype=getattr(cresset, dtype))
        theirs = torch.linspace(low, high, steps, dtype=getattr(torch, dtype))
        assert ours.tolist() == theirs.tolist()


@pytest.mark.parametrize("dtype", DTYPES)
def test_arange_is_pytorchs(dtype):
    torch = pytest.importorskip("torch")
    for low, high, _, step in _spans(60):
        args = (low, high) if "int" in dtype else (low, high, step)
        ours = cresset.arange(*args, dtype=getattr(cresset, dtype))
        theirs = torch.arange(*args, dtype=getattr(torch, dtype))
        assert ours.tolist() == theirs.tolist()


def test_logspace_is_pytorchs():
    torch = pytest.importorskip("torch")
    for low, high, steps, _ in _spans(60):
        ours = cresset.logspace(low, high, steps, dtype=cresset.float64)
        theirs = torch.logspace(low, high, steps, dtype=torch.float64)
        assert ours.tolist() == theirs.tolist()
        # In float32 PyTorch's vector power is a few units off.
        ours, theirs = cresset.logspace(low, high, steps), torch.logspace(low, high, steps)
        assert ours.tolist() == pytest.approx(theirs.tolist(), rel=4e-6)


def test_known_values():
    assert cresset.linspace(0, 1, 4)[2].item() == 0.6666666269302368
    assert cresset.arange(0, 1, 0.3).tolist() == [
        0.0, 0.30000001192092896, 0.6000000238418579, 0.8999999761581421,
    ]  # fmt: skip
    assert cresset.arange(3, 0, -1).tolist() == [3, 2, 1]
    assert cresset.linspace(5, 1, 1).tolist() == [5.0]
    assert cresset.logspace(0, 2, 3, base=2).tolist() == [1.0, 2.0, 4.0]


@pytest.mark.parametrize(
    "call",
    [
        lambda T: T.arange(0, 3, 0),
        lambda T: T.arange(3, 0),
        lambda T: T.arange(0, float("inf")),
        lambda T: T.linspace(0, 1, -1),
        lambda T: T.arange(0, 1, 0.5, dtype=T.int64),
    ],
)
def test_errors_are_pytorchs(call):
    torch = pytest.importorskip("torch")
    with pytest.raises((RuntimeError, ValueError)) as theirs:
        call(torch)
    with pytest.raises(theirs.type) as ours:
        call(cresset)
    assert str(ours.value) == str(theirs.value).splitlines()[0]
