"""Calls with other parameters, and normalisation built into the layer before, beside PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import cresset

from ..beside import same_story

STORIES: dict[str, Callable[[Any], Any]] = {}


def story(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    STORIES[function.__name__] = function
    return function


def call(T: Any) -> Callable[..., Any]:
    return T.nn.utils.stateless.functional_call


@story
def given_values_are_used_and_differentiated(T: Any) -> Any:
    layer = T.nn.Linear(2, 1)
    own = layer.weight
    weight = T.tensor([[2.0, 3.0]], requires_grad=True)
    out = call(T)(layer, {"weight": weight}, (T.ones(1, 2),))
    out.sum().backward()
    return out - layer.bias, weight.grad, own.grad, layer.weight is own


@story
def buffers_that_change_are_given_back(T: Any) -> Any:
    layer = T.nn.BatchNorm1d(2)
    given = {"running_mean": T.ones(2), "num_batches_tracked": T.tensor(5)}
    call(T)(layer, given, T.arange(4.0).view(2, 2))
    return given, layer.running_mean, layer.num_batches_tracked


@story
def keyword_arguments(T: Any) -> Any:
    class Scale(T.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.by = T.nn.Parameter(T.ones(1))

        def forward(self, x: Any, plus: float = 0.0) -> Any:
            return x * self.by + plus

    return call(T)(Scale(), {"by": T.tensor([3.0])}, T.ones(1), {"plus": 2.0})


def shared(T: Any) -> Any:
    net = T.nn.Sequential(T.nn.Linear(1, 1, bias=False), T.nn.Linear(1, 1, bias=False))
    net[1].weight = net[0].weight
    return net


STORIES["tied"] = lambda T: call(T)(shared(T), {"0.weight": T.full((1, 1), 3.0)}, T.ones(1, 1))
STORIES["tied twice"] = lambda T: call(T)(
    shared(T), {"0.weight": T.ones(1, 1), "1.weight": T.zeros(1, 1)}, T.ones(1, 1)
)
STORIES["untied"] = lambda T: call(T)(
    shared(T), {"0.weight": T.full((1, 1), 2.0), "1.weight": T.full((1, 1), 5.0)}, T.ones(1, 1),
    tie_weights=False,
)  # fmt: skip
STORIES["missing"] = lambda T: call(T)(
    T.nn.Linear(1, 1), {"weight": T.ones(1, 1)}, T.ones(1), strict=True
)
STORIES["unexpected"] = lambda T: call(T)(
    T.nn.Linear(1, 1), {"weight": T.ones(1, 1), "bias": T.ones(1), "x": T.ones(1)}, T.ones(1),
    strict=True,
)  # fmt: skip
STORIES["values come back after an error"] = lambda T: (
    lambda m: [
        pytest.raises(Exception, call(T), m, {"weight": T.ones(3, 3)}, T.ones(1)) and None,
        tuple(m.weight.shape),
    ]  # fmt: skip
)(T.nn.Linear(1, 1))


def normalised(T: Any, d: int, transpose: bool = False, **options: Any) -> Any:
    bn = getattr(T.nn, f"BatchNorm{d}d")(4, **options)
    with T.no_grad():
        bn(T.arange(4.0 * 2 * 3**d).view(2, 4, *(3,) * d))
        for p in bn.parameters():
            p.copy_(T.arange(4.0) - 1.5)
    return bn.eval()


@story
def a_convolution_takes_over_the_normalisation(T: Any) -> Any:
    found = []
    for conv, bn in (
        (T.nn.Conv2d(2, 4, 2), normalised(T, 2)),
        (T.nn.Conv1d(2, 4, 1, bias=False), normalised(T, 1, affine=False)),
    ):
        fused = T.nn.utils.fuse_conv_bn_eval(conv.eval(), bn)
        x = T.arange(2.0 * 3 ** (conv.weight.ndim - 2)).view(1, 2, *(3,) * (conv.weight.ndim - 2))
        found += [fused(x), bn(conv(x)), fused.weight.requires_grad, fused.bias.requires_grad]
    turned = T.nn.ConvTranspose2d(2, 4, 2).eval()
    fused = T.nn.utils.fuse_conv_bn_eval(turned, normalised(T, 2), transpose=True)
    return found, fused(T.ones(1, 2, 2, 2)), repr(fused)


@story
def a_dense_layer_takes_over_the_normalisation(T: Any) -> Any:
    bn = T.nn.BatchNorm1d(3)
    bn(T.arange(6.0).view(2, 3))
    layer = T.nn.Linear(2, 3).eval()
    fused = T.nn.utils.fuse_linear_bn_eval(layer, bn.eval())
    return fused(T.ones(1, 2)), bn(layer(T.ones(1, 2))), fused.bias.requires_grad


STORIES["in training"] = lambda T: T.nn.utils.fuse_conv_bn_eval(
    T.nn.Conv1d(1, 1, 1), T.nn.BatchNorm1d(1)
)
STORIES["other sizes"] = lambda T: T.nn.utils.fuse_linear_bn_eval(
    T.nn.Linear(2, 3).eval(), T.nn.BatchNorm1d(2).eval()
)
STORIES["no statistics"] = lambda T: T.nn.utils.fuse_conv_bn_eval(
    T.nn.Conv1d(1, 1, 1).eval(), T.nn.BatchNorm1d(1, track_running_stats=False).eval()
)


@pytest.mark.parametrize("name", STORIES)
def test_is_pytorchs(name: str) -> None:
    same_story(STORIES[name], tolerance=1e-4)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_known_value() -> None:
    layer = cresset.nn.Linear(1, 1, bias=False)
    out = call(cresset)(layer, {"weight": cresset.tensor([[3.0]])}, cresset.tensor([2.0]))
    assert out.tolist() == [6.0]
