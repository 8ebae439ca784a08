"""Distributions over real numbers: Normal, its multivariate form, Uniform, Exponential, Laplace.

Draws use PyTorch's recipes, so a seed gives PyTorch's samples.
"""

from __future__ import annotations

import math
from typing import Any

from cresset import dtypes
from cresset.autograd import no_grad
from cresset.distributions import constraints
from cresset.distributions.distribution import Distribution, derived, together
from cresset.ops.factor import cholesky
from cresset.ops.linalg import inv, solve
from cresset.ops.matmul import matmul
from cresset.ops.random import normal
from cresset.ops.random import rand as _rand
from cresset.size import Size
from cresset.tensor import Tensor

_LOG_2PI = math.log(2 * math.pi)
_EULER = 0.57721566490153286060


def _standard_normal(shape: Any, like: Any) -> Tensor:
    return normal(like.new_zeros(shape), like.new_ones(shape))


class Normal(Distribution):
    r"""The Gaussian with mean ``loc`` and standard deviation ``scale``.

    >>> import cresset as torch
    >>> n = torch.distributions.Normal(torch.zeros(2), 1.)
    >>> n.log_prob(torch.zeros(2))
    tensor([-0.9189, -0.9189])
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    has_rsample = True
    loc: Any
    scale: Any

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self.loc, self.scale = together(loc, scale)
        super().__init__(self.loc.shape, (), validate_args)

    @property
    def mean(self) -> Tensor:
        return self.loc

    mode = mean

    @property
    def stddev(self) -> Tensor:
        return self.scale

    @property
    def variance(self) -> Tensor:
        return self.scale.pow(2)

    def sample(self, sample_shape: Any = Size()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        with no_grad():
            return normal(self.loc.expand(shape), self.scale.expand(shape))

    def rsample(self, sample_shape: Any = Size()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        return self.loc + _standard_normal(shape, self.loc) * self.scale

    def log_prob(self, value: Any) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return (
            -((value - self.loc) ** 2) / (2 * self.variance) - self.scale.log() - _LOG_2PI / 2  # type: ignore[operator]
        )

    def cdf(self, value: Any) -> Tensor:
        return 0.5 * (1 + ((value - self.loc) * self.scale.reciprocal() / math.sqrt(2)).erf())

    def icdf(self, value: Any) -> Tensor:
        return self.loc + self.scale * (2 * value - 1).erfinv() * math.sqrt(2)

    def entropy(self) -> Tensor:
        return 0.5 + 0.5 * _LOG_2PI + self.scale.log()


class Uniform(Distribution):
    """Every number from ``low`` to just under ``high`` alike."""

    has_rsample = True
    low: Any
    high: Any

    def __init__(self, low: Any, high: Any, validate_args: bool | None = None) -> None:
        self.low, self.high = together(low, high)
        super().__init__(self.low.shape, (), validate_args)
        if self._validate_args and not bool((self.low < self.high).all()):
            raise ValueError("Uniform is not defined when low>= high")

    arg_constraints = {"low": constraints.real, "high": constraints.real}

    @property
    def support(self) -> Any:  # type: ignore[override]
        return constraints.interval(self.low, self.high)

    @property
    def mean(self) -> Tensor:
        return (self.high + self.low) / 2

    @property
    def variance(self) -> Tensor:
        return (self.high - self.low).pow(2) / 12

    def rsample(self, sample_shape: Any = Size()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        drawn = _rand(shape, dtype=self.low.dtype, device=self.low.device)
        return self.low + drawn * (self.high - self.low)

    def log_prob(self, value: Any) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        inside = self.low.le(value).type_as(self.low) * self.high.gt(value).type_as(self.low)
        return inside.log() - (self.high - self.low).log()

    def cdf(self, value: Any) -> Tensor:
        return ((value - self.low) / (self.high - self.low)).clamp(min=0, max=1)

    def icdf(self, value: Any) -> Tensor:
        return value * (self.high - self.low) + self.low

    def entropy(self) -> Tensor:
        return (self.high - self.low).log()


class Exponential(Distribution):
    """Waiting times at a ``rate`` per unit."""

    arg_constraints = {"rate": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True
    rate: Any

    def __init__(self, rate: Any, validate_args: bool | None = None) -> None:
        (self.rate,) = together(rate)
        super().__init__(self.rate.shape, (), validate_args)

    @property
    def mean(self) -> Tensor:
        return self.rate.reciprocal()

    stddev = mean

    @property
    def variance(self) -> Tensor:
        return self.rate.pow(-2)

    def rsample(self, sample_shape: Any = Size()) -> Tensor:
        return self.rate.new_empty(self._extended_shape(sample_shape)).exponential_() / self.rate

    def log_prob(self, value: Any) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return self.rate.log() - self.rate * value

    def cdf(self, value: Any) -> Tensor:
        return 1 - (-self.rate * value).exp()

    def icdf(self, value: Any) -> Tensor:
        return -(-value).log1p() / self.rate

    def entropy(self) -> Tensor:
        return 1.0 - self.rate.log()


class Laplace(Distribution):
    """The double exponential around ``loc``."""

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    has_rsample = True
    loc: Any
    scale: Any

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self.loc, self.scale = together(loc, scale)
        super().__init__(self.loc.shape, (), validate_args)

    @property
    def mean(self) -> Tensor:
        return self.loc

    mode = mean

    @property
    def variance(self) -> Tensor:
        return 2 * self.scale.pow(2)

    def rsample(self, sample_shape: Any = Size()) -> Tensor:
        eps = dtypes.finfo(self.loc.dtype).eps
        u = self.loc.new_empty(self._extended_shape(sample_shape)).uniform_(eps - 1, 1)
        return self.loc - self.scale * u.sign() * (-u.abs()).log1p()

    def log_prob(self, value: Any) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return -(2 * self.scale).log() - (value - self.loc).abs() / self.scale

    def cdf(self, value: Any) -> Tensor:
        away = value - self.loc
        return 0.5 - 0.5 * away.sign() * (-away.abs() / self.scale).expm1()

    def icdf(self, value: Any) -> Tensor:
        term = value - 0.5
        return self.loc - self.scale * term.sign() * (-2 * term.abs()).log1p()

    def entropy(self) -> Tensor:
        return 1 + (2 * self.scale).log()


class MultivariateNormal(Distribution):
    """A Gaussian vector, by its covariance, its inverse or a triangular factor ``scale_tril``."""

    arg_constraints = {
        "loc": constraints.real_vector,
        "covariance_matrix": constraints.positive_definite,
        "precision_matrix": constraints.positive_definite,
        "scale_tril": constraints.lower_cholesky,
    }
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self,
        loc: Any,
        covariance_matrix: Any = None,
        precision_matrix: Any = None,
        scale_tril: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        given = [m for m in (covariance_matrix, scale_tril, precision_matrix) if m is not None]
        if len(given) != 1:
            raise ValueError(
                "Exactly one of covariance_matrix or precision_matrix or scale_tril may be "
                "specified."
            )
        (matrix,) = given
        if matrix.dim() < 2:
            raise ValueError("the matrix must be at least two-dimensional")
        n = loc.shape[-1]
        batch = (matrix[..., 0] + loc).shape[:-1]
        self.loc = loc.expand((*batch, n))
        matrix = matrix.expand((*batch, n, n))
        if covariance_matrix is not None:
            self.covariance_matrix = matrix
        elif scale_tril is not None:
            self.scale_tril = matrix
        else:
            self.precision_matrix = matrix
        super().__init__(batch, (n,), validate_args)
        if scale_tril is not None:
            self._factor = matrix
        else:
            self._factor = cholesky(matrix if covariance_matrix is not None else inv(matrix))

    def __getattr__(self, name: str) -> Any:
        return derived(
            self,
            name,
            {
                "scale_tril": lambda d: d._factor,
                "covariance_matrix": lambda d: matmul(d._factor, d._factor.mT),
                "precision_matrix": lambda d: inv(d.covariance_matrix),
            },
        )

    @property
    def mean(self) -> Tensor:
        return self.loc

    mode = mean

    @property
    def variance(self) -> Tensor:
        return self._factor.pow(2).sum(-1)

    def rsample(self, sample_shape: Any = Size()) -> Tensor:
        eps = _standard_normal(self._extended_shape(sample_shape), self.loc)
        return self.loc + matmul(self._factor, eps.unsqueeze(-1)).squeeze(-1)  # type: ignore[attr-defined]

    def log_prob(self, value: Any) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        away = (value - self.loc).unsqueeze(-1)
        distance = solve(self._factor, away).squeeze(-1).pow(2).sum(-1)  # type: ignore[attr-defined]
        return -0.5 * (self._event_shape[0] * _LOG_2PI + distance) - self._half_log_det()  # type: ignore[operator]

    def entropy(self) -> Tensor:
        return 0.5 * self._event_shape[0] * (1.0 + _LOG_2PI) + self._half_log_det()

    def _half_log_det(self) -> Tensor:
        return self._factor.diagonal(0, -2, -1).log().sum(-1)
