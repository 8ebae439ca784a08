"""Distributions over a few outcomes: Bernoulli, Categorical, OneHotCategorical, Geometric, Poisson.

Those with ``probs`` also take ``logits``, whichever the program has; the other is computed when
asked for.
"""

from __future__ import annotations

import math
from typing import Any

from cresset import dtypes
from cresset.autograd import no_grad
from cresset.distributions import constraints
from cresset.distributions.distribution import Distribution, derived, together
from cresset.ops.embedding import one_hot
from cresset.ops.pair_loss import binary_cross_entropy_with_logits
from cresset.ops.random import bernoulli, multinomial, poisson
from cresset.size import Size
from cresset.tensor import Tensor


def _clamped(probs: Any) -> Any:
    eps = dtypes.finfo(probs.dtype).eps
    return probs.clamp(min=eps, max=1 - eps)


def _one_of(probs: Any, logits: Any) -> None:
    if (probs is None) == (logits is None):
        raise ValueError("Either `probs` or `logits` must be specified, but not both.")


def _yes_of_logits(d: Any) -> Any:
    return d.logits.sigmoid()


def _logits_of_yes(d: Any) -> Any:
    p = _clamped(d.probs)
    return p.log() - (-p).log1p()


class _Binary(Distribution):
    """``probs`` or ``logits`` of a yes."""

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: Any = None) -> None:
        _one_of(probs, logits)
        name = "logits" if probs is None else "probs"
        (value,) = together(logits if probs is None else probs)
        self.__dict__[name] = value
        self._param = value
        super().__init__(value.shape, (), validate_args)

    def __getattr__(self, name: str) -> Any:
        return derived(self, name, {"probs": _yes_of_logits, "logits": _logits_of_yes})


class Bernoulli(_Binary):
    """1 with probability ``probs``, else 0.

    >>> import cresset as torch
    >>> torch.distributions.Bernoulli(0.25).log_prob(torch.tensor(1.))
    tensor(-1.3863)
    """

    support = constraints.boolean

    @property
    def mean(self) -> Tensor:
        return self.probs

    @property
    def variance(self) -> Tensor:
        return self.probs * (1 - self.probs)

    def sample(self, sample_shape: Any = Size()) -> Tensor:
        with no_grad():
            return bernoulli(self.probs.expand(self._extended_shape(sample_shape)))

    def log_prob(self, value: Any) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        logits, value = together(self.logits, value)
        return -binary_cross_entropy_with_logits(logits, value, reduction="none")  # type: ignore[operator]

    def entropy(self) -> Tensor:
        return binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none")


class Geometric(_Binary):
    """Failures before the first success."""

    support = constraints.nonnegative_integer

    @property
    def mean(self) -> Tensor:
        return 1.0 / self.probs - 1.0

    @property
    def variance(self) -> Tensor:
        return (1.0 / self.probs - 1.0) / self.probs

    def sample(self, sample_shape: Any = Size()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        tiny = dtypes.finfo(self.probs.dtype).tiny
        with no_grad():
            u = self.probs.new_empty(shape).uniform_(tiny, 1)
            return (u.log() / (-self.probs).log1p()).floor()

    def log_prob(self, value: Any) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return value * (-self.probs).log1p() + self.probs.log()

    def entropy(self) -> Tensor:
        logits, probs = self.logits, self.probs
        return binary_cross_entropy_with_logits(logits, probs, reduction="none") / probs  # type: ignore[operator]


class Categorical(Distribution):
    """One of K outcomes, numbered from 0; ``probs`` are divided by their sum.

    Shapes: probs (*, K), samples (*).

    >>> import cresset as torch
    >>> m = torch.distributions.Categorical(torch.tensor([0.25, 0.75]))
    >>> m.log_prob(torch.tensor([0, 1]))
    tensor([-1.3863, -0.2877])
    """

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: Any = None) -> None:
        _one_of(probs, logits)
        if probs is not None:
            if probs.dim() < 1:
                raise ValueError("`probs` parameter must be at least one-dimensional.")
            self.probs = probs / probs.sum(-1, keepdim=True)
        else:
            if logits.dim() < 1:
                raise ValueError("`logits` parameter must be at least one-dimensional.")
            self.logits = logits - logits.logsumexp(dim=-1, keepdim=True)
        self._param = self.__dict__.get("probs", self.__dict__.get("logits"))
        self._num_events = self._param.size(-1)
        super().__init__(self._param.shape[:-1], (), validate_args)

    def __getattr__(self, name: str) -> Any:
        return derived(
            self,
            name,
            {
                "probs": lambda d: d.logits.softmax(-1),
                "logits": lambda d: _clamped(d.probs).log(),
            },
        )

    @property
    def support(self) -> Any:  # type: ignore[override]
        return constraints.integer_interval(0, self._num_events - 1)

    @property
    def param_shape(self) -> Size:
        return self._param.size()

    @property
    def mean(self) -> Tensor:
        return self._param.new_full(self._extended_shape(), math.nan)

    variance = mean

    @property
    def mode(self) -> Tensor:
        return self.probs.argmax(dim=-1)

    def sample(self, sample_shape: Any = Size()) -> Tensor:
        shape = Size(sample_shape)
        with no_grad():
            rows = self.probs.reshape(-1, self._num_events)
            drawn: Any = multinomial(rows, shape.numel(), True)
            return drawn.T.reshape(self._extended_shape(shape))

    def log_prob(self, value: Any) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        logits = self.logits
        shape = (value.unsqueeze(-1) + logits[..., :1].detach()).shape[:-1]
        index = value.long().expand(shape).unsqueeze(-1)
        return logits.expand((*shape, self._num_events)).gather(-1, index).squeeze(-1)

    def entropy(self) -> Tensor:
        logits = self.logits.clamp(min=dtypes.finfo(self.logits.dtype).min)
        return -(logits * self.probs).sum(-1)


class OneHotCategorical(Distribution):
    """One of K outcomes as a vector with a single 1."""

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}
    support = constraints.one_hot

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: Any = None) -> None:
        self._categorical = Categorical(probs, logits, validate_args)
        shape = self._categorical.param_shape
        super().__init__(shape[:-1], shape[-1:], validate_args)

    @property
    def probs(self) -> Tensor:
        return self._categorical.probs

    @property
    def logits(self) -> Tensor:
        return self._categorical.logits

    @property
    def mean(self) -> Tensor:
        return self.probs

    @property
    def variance(self) -> Tensor:
        return self.probs * (1 - self.probs)  # type: ignore[operator,return-value]

    def sample(self, sample_shape: Any = Size()) -> Tensor:
        drawn = self._categorical.sample(sample_shape)
        return one_hot(drawn, self._event_shape[0]).to(self.probs.dtype)

    def log_prob(self, value: Any) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return self._categorical.log_prob(value.max(-1)[1])

    def entropy(self) -> Tensor:
        return self._categorical.entropy()


class Poisson(Distribution):
    """Counts of events at a ``rate``."""

    arg_constraints = {"rate": constraints.nonnegative}
    support = constraints.nonnegative_integer
    rate: Any

    def __init__(self, rate: Any, validate_args: bool | None = None) -> None:
        (self.rate,) = together(rate)
        super().__init__(self.rate.shape, (), validate_args)

    @property
    def mean(self) -> Tensor:
        return self.rate

    variance = mean

    def sample(self, sample_shape: Any = Size()) -> Tensor:
        with no_grad():
            return poisson(self.rate.expand(self._extended_shape(sample_shape)))

    def log_prob(self, value: Any) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        rate, value = together(self.rate, value)
        return value.xlogy(rate) - rate - (value + 1).lgamma()
