"""Kullback-Leibler divergences ``E_p[log p - log q]`` in closed form, by pairs of classes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from cresset.distributions.continuous import (
    Exponential,
    Laplace,
    MultivariateNormal,
    Normal,
    Uniform,
)
from cresset.distributions.discrete import Bernoulli, Categorical, OneHotCategorical, Poisson
from cresset.distributions.distribution import Distribution
from cresset.distributions.independent import Independent
from cresset.ops.activation import softplus
from cresset.ops.linalg import solve
from cresset.tensor import Tensor

_REGISTRY: dict[tuple[type, type], Callable[[Any, Any], Tensor]] = {}


def register_kl(type_p: type, type_q: type) -> Callable[[Any], Any]:
    """A decorator: the function below gives the divergence for these two classes."""

    def keep(function: Any) -> Any:
        _REGISTRY[type_p, type_q] = function
        return function

    return keep


def kl_divergence(p: Distribution, q: Distribution) -> Tensor:
    """``KL(p || q)``, of the distributions' batch shape.

    >>> import cresset as torch
    >>> from cresset.distributions import Normal, kl_divergence
    >>> kl_divergence(Normal(1., 1.), Normal(0., 1.))
    tensor(0.5000)
    """
    for kind_p in type(p).__mro__:
        for kind_q in type(q).__mro__:
            if (kind_p, kind_q) in _REGISTRY:
                return _REGISTRY[kind_p, kind_q](p, q)
    raise NotImplementedError(
        f"No KL(p || q) is implemented for p type {type(p).__name__} and q type {type(q).__name__}"
    )


@register_kl(Normal, Normal)
def _normal(p: Any, q: Any) -> Tensor:
    ratio = (p.scale / q.scale).pow(2)
    return 0.5 * (ratio + ((p.loc - q.loc) / q.scale).pow(2) - 1 - ratio.log())


@register_kl(Bernoulli, Bernoulli)
def _bernoulli(p: Any, q: Any) -> Tensor:
    yes: Any = softplus(-q.logits) - softplus(-p.logits)  # type: ignore[operator]
    no: Any = softplus(q.logits) - softplus(p.logits)  # type: ignore[operator]
    t1 = p.probs * (yes + p.logits - p.logits)
    t1 = t1.where(q.probs != 0, t1.new_full((), math.inf)).where(p.probs != 0, t1.new_zeros(()))
    t2 = (1 - p.probs) * no
    t2 = t2.where(q.probs != 1, t2.new_full((), math.inf)).where(p.probs != 1, t2.new_zeros(()))
    return t1 + t2


@register_kl(Categorical, Categorical)
def _categorical(p: Any, q: Any) -> Tensor:
    t = p.probs * (p.logits - q.logits)
    t = t.masked_fill((q.probs == 0).expand_as(t), math.inf)
    return t.masked_fill((p.probs == 0).expand_as(t), 0).sum(-1)


@register_kl(OneHotCategorical, OneHotCategorical)
def _one_hot(p: Any, q: Any) -> Tensor:
    return _categorical(p._categorical, q._categorical)


@register_kl(Uniform, Uniform)
def _uniform(p: Any, q: Any) -> Tensor:
    result = ((q.high - q.low) / (p.high - p.low)).log()
    return result.masked_fill((q.low > p.low) | (q.high < p.high), math.inf)


@register_kl(Exponential, Exponential)
def _exponential(p: Any, q: Any) -> Tensor:
    ratio = q.rate / p.rate
    return -ratio.log() + ratio - 1


@register_kl(Laplace, Laplace)
def _laplace(p: Any, q: Any) -> Tensor:
    ratio, away = p.scale / q.scale, (p.loc - q.loc).abs()
    return -ratio.log() + away / q.scale + ratio * (-away / p.scale).exp() - 1


@register_kl(Poisson, Poisson)
def _poisson(p: Any, q: Any) -> Tensor:
    return p.rate * (p.rate.log() - q.rate.log()) - (p.rate - q.rate)


@register_kl(MultivariateNormal, MultivariateNormal)
def _multivariate(p: Any, q: Any) -> Tensor:
    n = p.event_shape[0]
    spread = solve(q.scale_tril, p.scale_tril).pow(2).sum((-2, -1))  # type: ignore[attr-defined]
    away = solve(q.scale_tril, (q.loc - p.loc).unsqueeze(-1)).squeeze(-1).pow(2).sum(-1)  # type: ignore[attr-defined]
    return q._half_log_det() - p._half_log_det() + 0.5 * (spread + away - n)


@register_kl(Independent, Independent)
def _independent(p: Any, q: Any) -> Tensor:
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise NotImplementedError
    each = kl_divergence(p.base_dist, q.base_dist)
    return each.flatten(-p.reinterpreted_batch_ndims).sum(-1)  # type: ignore[attr-defined]
