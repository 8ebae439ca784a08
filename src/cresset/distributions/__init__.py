"""Probability distributions: draw, score and compare.

The ones that programs of reinforcement learning and variational inference use most. Gamma and what
is built on it (Beta, Dirichlet, StudentT) are not here yet.

>>> import cresset as torch
>>> _ = torch.manual_seed(0)
>>> policy = torch.distributions.Categorical(torch.tensor([0.2, 0.8]))
>>> action = policy.sample()
>>> loss = -policy.log_prob(action)
"""

from __future__ import annotations

from cresset.distributions import constraints, kl
from cresset.distributions.continuous import (
    Exponential,
    Laplace,
    MultivariateNormal,
    Normal,
    Uniform,
)
from cresset.distributions.discrete import (
    Bernoulli,
    Categorical,
    Geometric,
    OneHotCategorical,
    Poisson,
)
from cresset.distributions.distribution import Distribution
from cresset.distributions.independent import Independent
from cresset.distributions.kl import kl_divergence, register_kl

__all__ = [
    "Bernoulli", "Categorical", "Distribution", "Exponential", "Geometric", "Independent",
    "Laplace", "MultivariateNormal", "Normal", "OneHotCategorical", "Poisson", "Uniform",
    "constraints", "kl", "kl_divergence", "register_kl",
]  # fmt: skip
