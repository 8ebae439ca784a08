"""Layers that learn their input's size, beside PyTorch's."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

import cresset

from .beside import same_story

LAYERS = {
    "nn.LazyLinear(3)": (4, 5), "nn.LazyLinear(3, bias=False)": (2, 4, 5),
    "nn.LazyConv1d(4, 3, 2, groups=2)": (2, 6, 9),
    "nn.LazyConv2d(4, (2, 3), bias=False)": (3, 5, 5),
    "nn.LazyConv3d(2, 2, padding=1, padding_mode='circular')": (1, 2, 3, 3, 3),
    "nn.LazyConvTranspose1d(4, 3, 2, 1, 1, 2)": (2, 6, 9),
    "nn.LazyConvTranspose2d(4, 2)": (1, 3, 4, 4), "nn.LazyConvTranspose3d(1, 1)": (1, 2, 2, 2, 2),
    "nn.LazyBatchNorm1d()": (4, 3), "nn.LazyBatchNorm2d(1e-3, 0.3, affine=False)": (4, 3, 2, 2),
    "nn.LazyBatchNorm3d(track_running_stats=False)": (4, 3, 2, 2, 2),
    "nn.LazyInstanceNorm1d()": (4, 3, 5), "nn.LazyInstanceNorm2d(affine=True)": (4, 3, 5, 2),
    "nn.LazyInstanceNorm3d(track_running_stats=True)": (4, 3, 2, 2, 2),
}  # fmt: skip


@pytest.mark.parametrize("expression", LAYERS)
def test_the_first_input_decides(expression: str) -> None:
    def story(T: Any) -> Any:
        layer = eval(expression, {"nn": T.nn})
        before = repr(layer), list(layer.state_dict()), type(layer).__name__
        hidden = [repr(v) for v in (*layer.parameters(), *layer.buffers())][:1]
        x = T.randn(*LAYERS[expression], generator=T.Generator().manual_seed(0))
        twin = layer if list(layer.buffers()) else copy.deepcopy(layer)
        T.manual_seed(3)
        out = layer(x)
        T.manual_seed(3)
        other = twin(x)
        return (
            before, hidden, out, other, repr(layer), type(layer).__name__,
            layer.state_dict(), len(layer._forward_pre_hooks), layer(x),
        )  # fmt: skip

    same_story(story, tolerance=1e-4)


STORIES: dict[str, Callable[[Any], Any]] = {
    "shape": lambda T: T.nn.LazyLinear(2).weight.shape,
    "text": lambda T: (T.nn.LazyLinear(2).weight, T.nn.LazyBatchNorm1d().running_mean),
    "has": lambda T: T.nn.LazyLinear(2).has_uninitialized_params(),
    "wrong dimensions": lambda T: T.nn.LazyConv2d(2, 2)(T.ones(3, 3)),
    "groups": lambda T: T.nn.LazyConv1d(4, 2, groups=2)(T.ones(1, 3, 5)),
    "materialized": lambda T: [
        p for p in [T.nn.parameter.UninitializedParameter()] if p.materialize((2, 0)) is None
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", STORIES)
def test_what_has_no_shape_yet(name: str) -> None:
    def story(T: Any) -> Any:
        found = STORIES[name](T)
        return [repr(x) for x in found] if isinstance(found, (tuple, list)) else found

    same_story(story)


def test_a_state_gives_the_shapes() -> None:
    def story(T: Any) -> Any:
        layer = T.nn.LazyLinear(2)
        given = {"weight": T.ones(2, 3), "bias": T.zeros(2)}
        return layer.load_state_dict(given), layer(T.ones(1, 3)), repr(layer), type(layer).__name__

    same_story(story)


def test_a_net_is_trained_after_a_dry_run() -> None:
    def story(T: Any) -> Any:
        net = T.nn.Sequential(T.nn.LazyConv1d(2, 2), T.nn.Flatten(), T.nn.LazyLinear(1))
        T.manual_seed(1)
        net(T.ones(1, 3, 4))
        optimizer = T.optim.SGD(net.parameters(), lr=0.1)
        net(T.ones(1, 3, 4)).sum().backward()
        optimizer.step()
        return [p.detach() for p in net.parameters()], repr(net)

    same_story(story)


def test_known_shapes() -> None:
    layer = cresset.nn.LazyLinear(2)
    assert repr(layer.weight) == "<UninitializedParameter>"
    assert layer(cresset.ones(4, 7)).shape == (4, 2)
    assert type(layer) is cresset.nn.Linear and layer.weight.shape == (2, 7)
