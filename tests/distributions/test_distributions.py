"""Distributions draw PyTorch's samples and give PyTorch's numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import cresset


def _parameters(T: Any) -> tuple[Any, Any]:
    return T.tensor([0.3, -1.0, 2.0]), T.tensor([0.5, 1.0, 2.0])


#: Each makes one distribution of the module ``D`` from a vector ``a`` and positive numbers ``s``.
MADE: dict[str, Any] = {
    "Normal": lambda D, T, a, s: D.Normal(a, s),
    "Normal of numbers": lambda D, T, a, s: D.Normal(0.0, 1.0),
    "Uniform": lambda D, T, a, s: D.Uniform(a, a + s),
    "Exponential": lambda D, T, a, s: D.Exponential(s),
    "Laplace": lambda D, T, a, s: D.Laplace(a, s),
    "Bernoulli": lambda D, T, a, s: D.Bernoulli(s / 4),
    "Bernoulli by logits": lambda D, T, a, s: D.Bernoulli(logits=a),
    "Categorical": lambda D, T, a, s: D.Categorical(T.stack([s, s.flip(0)])),
    "Categorical by logits": lambda D, T, a, s: D.Categorical(logits=a),
    "OneHotCategorical": lambda D, T, a, s: D.OneHotCategorical(logits=a),
    "Geometric": lambda D, T, a, s: D.Geometric(s / 4),
    "Poisson": lambda D, T, a, s: D.Poisson(s),
    "MultivariateNormal": lambda D, T, a, s: D.MultivariateNormal(a, T.eye(3) + 0.1),
    "by a factor": lambda D, T, a, s: D.MultivariateNormal(a, scale_tril=T.diag(s)),
    "by precision": lambda D, T, a, s: D.MultivariateNormal(a, precision_matrix=T.diag(s)),
    "Independent": lambda D, T, a, s: D.Independent(D.Normal(a, s), 1),
}


def _report(T: Any, name: str) -> tuple[list[Any], list[np.ndarray]]:
    """What one distribution does: words, and numbers."""
    a, s = _parameters(T)
    T.manual_seed(3)
    d = MADE[name](T.distributions, T, a, s)
    words = [repr(d), tuple(d.batch_shape), tuple(d.event_shape)]
    x, many = d.sample(), d.sample((2, 3))
    numbers = [x, many, d.log_prob(x), d.log_prob(many)]
    for what in ("mean", "variance", "stddev", "entropy"):
        try:
            value = getattr(d, what)
            numbers.append(value() if callable(value) else value)
        except NotImplementedError:
            words.append("no " + what)
    if d.has_rsample:
        numbers.append(d.rsample((2,)))
    try:
        numbers += [d.cdf(x), d.icdf(d.cdf(x))]
    except NotImplementedError:
        words.append("no cdf")
    words.append(repr(d))
    return words, [v.numpy() for v in numbers]


@pytest.mark.parametrize("name", MADE)
def test_samples_and_numbers_are_pytorchs(name: str) -> None:
    torch = pytest.importorskip("torch")
    (ours, numbers), (theirs, expected) = _report(cresset, name), _report(torch, name)
    assert ours == theirs
    for got, want in zip(numbers, expected, strict=True):
        assert got.shape == want.shape and got.dtype == want.dtype
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


PAIRS = [n for n in MADE if n not in ("Geometric", "Normal of numbers")]


@pytest.mark.parametrize("name", PAIRS)
def test_divergences_are_pytorchs(name: str) -> None:
    torch = pytest.importorskip("torch")
    found = []
    for T in (cresset, torch):
        a, s = _parameters(T)
        p = MADE[name](T.distributions, T, a, s)
        q = MADE[name](T.distributions, T, a / 2, s / 2 + 1)
        found.append(T.distributions.kl_divergence(p, q).numpy())
    np.testing.assert_allclose(*found, rtol=1e-5, atol=1e-6)


ERRORS: dict[str, Any] = {
    "a negative scale": lambda D, T: D.Normal(0.0, -1.0),
    "a probability above one": lambda D, T: D.Bernoulli(1.5),
    "a negative weight": lambda D, T: D.Categorical(T.tensor([-1.0, 2.0])),
    "an outcome there is not": lambda D, T: D.Categorical(T.ones(2)).log_prob(T.tensor(3)),
    "half a yes": lambda D, T: D.Bernoulli(0.5).log_prob(T.tensor(0.3)),
    "neither parameter": lambda D, T: D.Bernoulli(),
    "both parameters": lambda D, T: D.Categorical(T.ones(2), T.ones(2)),
    "not a number": lambda D, T: D.Normal(T.tensor([math.nan]), 1.0),
    "the wrong shape": lambda D, T: D.Normal(T.zeros(2), 1.0).log_prob(T.zeros(3)),
    "no divergence": lambda D, T: D.kl_divergence(D.Uniform(0.0, 1.0), D.Laplace(0.0, 1.0)),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_have_pytorchs_words(name: str) -> None:
    torch = pytest.importorskip("torch")
    caught = []
    for T in (cresset, torch):
        with pytest.raises((ValueError, NotImplementedError)) as info:
            ERRORS[name](T.distributions, T)
        caught.append((info.type, str(info.value)))
    assert caught[0] == caught[1]


def test_a_policy_gradient_reaches_the_weights() -> None:
    w = cresset.tensor([0.1, 0.2], requires_grad=True)
    policy = cresset.distributions.Categorical(w.softmax(0))
    (-2 * policy.log_prob(cresset.tensor(1))).backward()
    np.testing.assert_allclose(w.grad.numpy(), [0.95004, -0.95004], rtol=1e-4)


def test_a_reparameterised_draw_has_a_gradient_and_a_plain_one_has_none() -> None:
    mean = cresset.zeros(2, requires_grad=True)
    normal = cresset.distributions.Normal(mean, 1.0)
    assert not normal.sample().requires_grad
    normal.rsample().sum().backward()
    assert mean.grad.tolist() == [1.0, 1.0]


def test_what_is_derived_inside_sample_still_carries_gradients() -> None:
    logits = cresset.zeros(3, requires_grad=True)
    policy = cresset.distributions.Categorical(logits=logits)
    policy.sample()
    assert policy.probs.requires_grad


def test_checks_can_be_switched_off() -> None:
    normal = cresset.distributions.Normal(0.0, -1.0, validate_args=False)
    assert normal.log_prob(cresset.tensor(0.0)).isnan()
