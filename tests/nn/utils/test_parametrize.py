"""Parametrizations, weight and spectral normalisation beside PyTorch's."""

from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import pytest

import cresset

from ..beside import same_story

STORIES: dict[str, Callable[[Any], Any]] = {}


def story(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    STORIES[function.__name__] = function
    return function


def symmetric(T: Any) -> Any:
    class Symmetric(T.nn.Module):
        def forward(self, x: Any) -> Any:
            return x.triu() + x.triu(1).transpose(-1, -2)

        def right_inverse(self, x: Any) -> Any:
            return x.triu()

    return Symmetric()


def double(T: Any, inverse: bool = True) -> Any:
    class Double(T.nn.Module):
        def forward(self, x: Any) -> Any:
            return x * 2

        def right_inverse(self, x: Any) -> Any:
            if not inverse:
                raise NotImplementedError
            return x / 2

    return Double()


def product(T: Any) -> Any:
    """A matrix as the product of a column and a row."""

    class Product(T.nn.Module):
        def forward(self, a: Any, b: Any) -> Any:
            return a @ b

        def right_inverse(self, x: Any) -> Any:
            return x[:, :1] * 1, x[:1] * 1

    return Product()


def layer(T: Any, out: int = 3) -> Any:
    made = T.nn.Linear(3, out)
    with T.no_grad():
        made.weight.copy_(T.arange(3.0 * out).view(out, 3) - 2)
    return made


@story
def a_parameter_is_computed(T: Any) -> Any:
    P, m = T.nn.utils.parametrize, layer(T)
    same = P.register_parametrization(m, "weight", symmetric(T)) is m
    m(T.ones(2, 3)).sum().backward()
    return (
        same, m.weight, m.parametrizations.weight.original,
        m.parametrizations.weight.original.grad, list(m.state_dict()), repr(m),
        [k for k, _ in m.named_parameters()], type(m).__name__, P.is_parametrized(m),
        P.is_parametrized(m, "weight"), P.is_parametrized(m, "bias"),
        P.type_before_parametrizations(m).__name__, m.parametrizations.weight.unsafe,
    )  # fmt: skip


@story
def several_are_chained(T: Any) -> Any:
    P, m = T.nn.utils.parametrize, layer(T)
    P.register_parametrization(m, "weight", symmetric(T))
    P.register_parametrization(m, "weight", double(T))
    P.register_parametrization(m, "bias", double(T, inverse=False))
    m.weight = T.eye(3)
    return m.weight, m.parametrizations.weight.original, m.bias, len(m.parametrizations.weight)


@story
def assigning_needs_an_inverse(T: Any) -> Any:
    P, m = T.nn.utils.parametrize, layer(T)
    P.register_parametrization(m, "weight", T.nn.Identity())
    m.weight = T.eye(3)


@story
def several_originals(T: Any) -> Any:
    P, m = T.nn.utils.parametrize, layer(T)
    P.register_parametrization(m, "weight", product(T))
    m(T.ones(2, 3)).sum().backward()
    state = m.state_dict()
    grads = [p.grad for p in m.parameters()]
    m.weight = T.ones(3, 3) * 4
    return list(state), grads, m.weight, m.parametrizations.weight.ntensors


@story
def removing_keeps_the_value(T: Any) -> Any:
    P, m = T.nn.utils.parametrize, layer(T)
    original = m.weight
    P.register_parametrization(m, "weight", double(T, inverse=False))
    P.remove_parametrizations(m, "weight")
    return (
        m.weight, m.weight is original, type(m).__name__, list(m.state_dict()),
        hasattr(m, "parametrizations"), m(T.ones(1, 3)),
    )  # fmt: skip


@story
def removing_can_give_the_original_back(T: Any) -> Any:
    P, m = T.nn.utils.parametrize, layer(T)
    P.register_parametrization(m, "weight", double(T, inverse=False))
    P.register_parametrization(m, "bias", double(T))
    P.remove_parametrizations(m, "weight", leave_parametrized=False)
    return m.weight, type(m).__name__, list(m.state_dict())


@story
def removing_several_originals(T: Any) -> Any:
    P, m = T.nn.utils.parametrize, layer(T)
    P.register_parametrization(m, "weight", product(T))
    P.remove_parametrizations(m, "weight")
    first = m.weight, type(m.weight).__name__
    P.register_parametrization(m, "weight", product(T))
    with pytest.raises(ValueError, match="Cannot leave unparametrized"):
        P.remove_parametrizations(m, "weight", leave_parametrized=False)
    return first


@story
def caching_computes_once(T: Any) -> Any:
    P, m, calls = T.nn.utils.parametrize, layer(T), []

    class Counting(T.nn.Module):
        def forward(self, x: Any) -> Any:
            calls.append(1)
            return x + 0

    P.register_parametrization(m, "weight", Counting())
    calls.clear()
    m.weight, m.weight
    with P.cached():
        same = m.weight is m.weight
    m.weight
    return len(calls), same


@story
def a_copy_is_parametrized_too(T: Any) -> Any:
    P, m = T.nn.utils.parametrize, layer(T)
    P.register_parametrization(m, "weight", double(T))
    twin = copy.deepcopy(m)
    twin.weight = T.zeros(3, 3)
    return twin.weight, m.weight, type(twin).__name__


@story
def states_go_from_copy_to_copy(T: Any) -> Any:
    P, m, other = T.nn.utils.parametrize, layer(T), T.nn.Linear(3, 3)
    for x in (m, other):
        P.register_parametrization(x, "weight", symmetric(T))
    return other.load_state_dict(m.state_dict()), other.weight


@story
def parametrizations_are_transferred(T: Any) -> Any:
    P, m, other = T.nn.utils.parametrize, layer(T), T.nn.Linear(3, 3)
    P.register_parametrization(m, "weight", symmetric(T))
    P.transfer_parametrizations_and_params(m, other)
    return other.weight, list(other.state_dict())


@story
def buffers_can_be_parametrized(T: Any) -> Any:
    m = T.nn.BatchNorm1d(2)
    T.nn.utils.parametrize.register_parametrization(m, "running_var", double(T))
    return m.running_var, list(m.state_dict()), [k for k, _ in m.named_buffers()]


def refused(prepare: Callable[[Any, Any, Any], Any]) -> Callable[[Any], Any]:
    return lambda T: prepare(T, T.nn.utils.parametrize, layer(T))


def changing(T: Any, change: Callable[[Any], Any]) -> Any:
    class Changing(T.nn.Module):
        def forward(self, x: Any) -> Any:
            return change(x)

    return Changing()


STORIES["no such parameter"] = refused(
    lambda T, P, m: P.register_parametrization(m, "w", T.nn.Identity())
)
STORIES["not parametrized"] = refused(lambda T, P, m: P.remove_parametrizations(m, "weight"))
STORIES["another dtype"] = refused(
    lambda T, P, m: P.register_parametrization(m, "weight", changing(T, lambda x: x.double()))
)
STORIES["another shape"] = refused(
    lambda T, P, m: P.register_parametrization(m, "weight", changing(T, lambda x: x[:1]))
)
STORIES["no tensor"] = refused(
    lambda T, P, m: P.register_parametrization(m, "weight", changing(T, lambda x: 3))
)
STORIES["unsafe"] = refused(
    lambda T, P, m: (
        P.register_parametrization(m, "weight", changing(T, lambda x: x[:1]), unsafe=True).weight
    )
)
STORIES["pickled"] = refused(
    lambda T, P, m: pickle.dumps(P.register_parametrization(m, "weight", T.nn.Identity()))
)


# -- weight and spectral normalisation ------------------------------------------------------------


def weights(name: str, new: bool, *args: Any, **options: Any) -> Callable[[Any], Any]:
    """A story of steps with a normalised weight."""

    def told(T: Any) -> Any:
        source = T.nn.utils.parametrizations if new else T.nn.utils
        found = []
        for made in (layer(T, 2), T.nn.Conv1d(3, 4, 2), T.nn.ConvTranspose1d(3, 4, 2)):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                m = getattr(source, name)(made, *args, **options)
            x = T.ones(2, 3) if made.weight.ndim == 2 else T.arange(12.0).view(1, 3, 4)
            for _ in range(2):
                m.zero_grad()
                out = m(x)
                (out * T.arange(out.numel()).view(out.shape)).sum().backward()
                found += [out, [p.grad for p in m.parameters()], [b.clone() for b in m.buffers()]]
            m.eval()
            found += [m(x), m.weight, list(m.state_dict()), repr(m)]
            if new:
                T.nn.utils.parametrize.remove_parametrizations(m, "weight")
            else:
                getattr(T.nn.utils, "remove_" + name)(m)
            found += [m(x), list(m.state_dict()), len(m._forward_pre_hooks)]
        return found

    return told


for _new in (True, False):
    _form = "new" if _new else "old"
    for _dim in (0, 1, None):
        STORIES[f"weight_norm {_form} {_dim}"] = weights("weight_norm", _new, dim=_dim)
        STORIES[f"spectral_norm {_form} {_dim}"] = weights("spectral_norm", _new, dim=_dim)
STORIES["more iterations"] = weights("spectral_norm", True, n_power_iterations=3, eps=1e-6)
STORIES["names of nodes"] = lambda T: [
    T.nn.utils.parametrizations.weight_norm(T.nn.Conv1d(3, 4, 2), dim=d).weight.grad_fn.name()
    for d in (0, 1, 2)
]
STORIES["no iterations"] = lambda T: T.nn.utils.parametrizations.spectral_norm(
    T.nn.Linear(2, 2), n_power_iterations=0
)
STORIES["a wrong dimension"] = lambda T: T.nn.utils.parametrizations.spectral_norm(
    T.nn.Linear(2, 2), dim=2
)
STORIES["nothing to normalise"] = lambda T: T.nn.utils.parametrizations.spectral_norm(T.nn.ReLU())
STORIES["twice"] = lambda T: T.nn.utils.spectral_norm(T.nn.utils.spectral_norm(layer(T)))
STORIES["weight norm twice"] = lambda T: T.nn.utils.weight_norm(T.nn.utils.weight_norm(layer(T)))
STORIES["nothing to remove"] = lambda T: T.nn.utils.remove_weight_norm(T.nn.Linear(1, 1))
STORIES["no spectral norm"] = lambda T: T.nn.utils.remove_spectral_norm(T.nn.Linear(1, 1))


@story
def an_old_state_is_taken_in(T: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        old = T.nn.utils.weight_norm(layer(T))
    new = T.nn.utils.parametrizations.weight_norm(T.nn.Linear(3, 3))
    return new.load_state_dict(old.state_dict()), new.weight


@pytest.mark.parametrize("name", STORIES)
def test_parametrizations_are_pytorchs(name: str) -> None:
    same_story(STORIES[name], tolerance=2e-4)


def test_a_length_and_a_direction() -> None:
    made = cresset.nn.Linear(2, 1, bias=False)
    with cresset.no_grad():
        made.weight.copy_(cresset.tensor([[3.0, 4.0]]))
    cresset.nn.utils.parametrizations.weight_norm(made)
    originals = made.parametrizations.weight
    assert originals.original0.tolist() == [[5.0]]
    with cresset.no_grad():
        originals.original0.fill_(10.0)
    assert made.weight.tolist() == [[6.0, 8.0]]
