"""Every layer beside PyTorch's: the same weights from one seed, text, state, values, gradients."""

from __future__ import annotations

import warnings
import zlib
from typing import Any

import numpy as np
import pytest

import cresset

from .table_layers import CASES


def _arrays(expression: str, inputs: tuple) -> list[np.ndarray]:
    chance = np.random.default_rng(zlib.crc32(expression.encode()))
    arrays = []
    for kind, shape in inputs:
        if kind == "normal":
            array: Any = chance.standard_normal(shape)
        elif kind == "unit":
            array = chance.uniform(0.05, 0.95, shape)
        elif kind == "sign":
            array = np.where(chance.random(shape) < 0.5, -1.0, 1.0)
        elif kind == "bits":
            array = chance.random(shape) < 0.5
        else:
            arrays.append(chance.integers(0, kind[1], shape))
            continue
        arrays.append(array.astype(np.float32))
    return arrays


def _flat(result: Any) -> list:
    if isinstance(result, (tuple, list)):
        return [x for part in result for x in _flat(part)]
    return [] if result is None else [result]


def _numbers(tensors: Any) -> list[np.ndarray]:
    return [x.detach().numpy().copy() for x in tensors]


def _run(T: Any, expression: str, arrays: list[np.ndarray]) -> tuple:
    T.manual_seed(3)
    layer = eval(expression, {"nn": T.nn, "torch": T})
    first = repr(layer), list(layer.state_dict()), _numbers(layer.parameters())
    found = []
    for mode in ("train", "eval"):
        getattr(layer, mode)()
        inputs = [T.from_numpy(a.copy()) for a in arrays]
        for x in inputs[:1] if "Loss" in expression else inputs:
            if x.is_floating_point():
                x.requires_grad_()
        T.manual_seed(7)
        outs = _flat(layer(*inputs))
        found += _numbers(outs)
        total = sum(
            (y * T.arange(1.0, y.numel() + 1).reshape(y.shape)).sum()
            for y in outs
            if y.requires_grad
        )
        if isinstance(total, T.Tensor):
            layer.zero_grad()
            total.backward()
            gradients = [x.grad for x in (*inputs, *layer.parameters())]
            found += _numbers(g for g in gradients if g is not None)
        found += _numbers(layer.buffers())
    return (*first, found)


@pytest.mark.parametrize(("expression", "inputs"), CASES, ids=[c[0] for c in CASES])
def test_a_layer_is_pytorchs(expression: str, inputs: tuple) -> None:
    torch = pytest.importorskip("torch")
    arrays = _arrays(expression, inputs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours, theirs = (_run(T, expression, arrays) for T in (cresset, torch))
    assert ours[0] == theirs[0]
    assert ours[1] == theirs[1]
    for a, b in zip(ours[2], theirs[2], strict=True):
        np.testing.assert_array_equal(a, b)  # initial weights, to the bit
    for a, b in zip(ours[3], theirs[3], strict=True):
        assert a.dtype == b.dtype
        largest = float(np.abs(b).max(initial=0))
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-4 * largest + 1e-6)


def test_known_values() -> None:
    cresset.manual_seed(0)
    layer = cresset.nn.Linear(2, 1)
    assert layer.weight.tolist() == [[-0.005293981172144413, 0.37932288646698]]
    assert repr(layer) == "Linear(in_features=2, out_features=1, bias=True)"
