"""Errors and values that user programs met while they were compared with PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cresset

MISMATCHED: dict[str, tuple[Any, str]] = {
    "weight": (
        lambda T: T.nn.functional.linear(T.ones(2, 3), T.ones(3, 3).double(), T.ones(3)),
        "mat1 and mat2 must have the same dtype, but got Float and Double",
    ),
    "bias": (
        lambda T: T.nn.functional.linear(T.ones(2, 3), T.ones(3, 3), T.ones(3).double()),
        "self and mat2 must have the same dtype, but got Double and Float",
    ),
}


@pytest.mark.parametrize("name", MISMATCHED)
def test_a_linear_layer_says_which_dtypes_differ(name: str) -> None:
    call, words = MISMATCHED[name]
    with pytest.raises(RuntimeError) as info:
        call(cresset)
    assert str(info.value) == words


CHANGED: dict[str, tuple[Any, str]] = {
    "a result": (lambda T, a: a.exp(), "Exp"),
    "an input": (lambda T, a: (a * 2).relu(), "Relu"),
}


@pytest.mark.parametrize("name", CHANGED)
def test_an_overwritten_saved_tensor_is_named_after_its_operation(name: str) -> None:
    make, operation = CHANGED[name]
    x = make(cresset, cresset.ones(3, requires_grad=True))
    x.add_(1)
    with pytest.raises(RuntimeError, match=f"which is output 0 of {operation}, is at version 1"):
        x.sum().backward()


def test_the_node_of_a_function_prints_with_its_home() -> None:
    class Twice(cresset.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * 2

    node = Twice.apply(cresset.ones(1, requires_grad=True)).grad_fn
    assert repr(node).startswith("<torch.autograd.function.TwiceBackward object at 0x")


LISTS: dict[str, tuple[Any, cresset.dtype]] = {
    "float32 and a number": (lambda T: [np.float32(1), 2], cresset.float32),
    "float64 and a number": (lambda T: [np.float64(1), 2], cresset.float64),
    "int32 and a fraction": (lambda T: [np.int32(1), 2.5], cresset.float32),
    "int32 alone": (lambda T: [np.int32(1)], cresset.int32),
    "tensors of two kinds": (lambda T: [T.tensor(1.0), T.tensor(2)], cresset.float32),
    "a tensor and a fraction": (lambda T: [T.tensor(1), 2.5], cresset.float32),
}


@pytest.mark.parametrize("name", LISTS)
def test_numpy_numbers_in_a_list_weigh_more_than_pythons(name: str) -> None:
    make, dtype = LISTS[name]
    assert cresset.tensor(make(cresset)).dtype is dtype
