"""What the parameters and the values of a distribution may be: ``check`` says which entries are.

The names, which appear in error messages, are PyTorch's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Check = Callable[[Any], Any]


class Constraint:
    """A named test of a tensor. ``event_dim`` trailing dimensions are judged together."""

    def __init__(self, name: str, check: Check, event_dim: int = 0, discrete: bool = False) -> None:
        self.name, self.check, self.event_dim, self.is_discrete = name, check, event_dim, discrete

    def __repr__(self) -> str:
        return self.name


def _all(x: Any) -> Any:
    return x.all(-1)


real = Constraint("Real()", lambda x: x == x)
real_vector = Constraint("IndependentConstraint(Real(), 1)", lambda x: _all(x == x), 1)
positive = Constraint("GreaterThan(lower_bound=0.0)", lambda x: x > 0)
nonnegative = Constraint("GreaterThanEq(lower_bound=0.0)", lambda x: x >= 0)
nonnegative_integer = Constraint(
    "IntegerGreaterThan(lower_bound=0)", lambda x: (x % 1 == 0) & (x >= 0), discrete=True
)
unit_interval = Constraint(
    "Interval(lower_bound=0.0, upper_bound=1.0)", lambda x: (x >= 0) & (x <= 1)
)
boolean = Constraint("Boolean()", lambda x: (x == 0) | (x == 1), discrete=True)
simplex = Constraint("Simplex()", lambda x: _all(x >= 0) & ((x.sum(-1) - 1).abs() < 1e-6), 1)
one_hot = Constraint(
    "OneHot()", lambda x: _all((x == 0) | (x == 1)) & x.sum(-1).eq(1), 1, discrete=True
)
lower_cholesky = Constraint(
    "LowerCholesky()",
    lambda x: (x.tril() == x).flatten(-2).all(-1) & _all(x.diagonal(0, -2, -1) > 0),
    2,
)
positive_definite = Constraint(
    "PositiveDefinite()",
    lambda x: (x - x.mT).abs().flatten(-2).amax(-1).lt(1e-6) & _all(_eigenvalues(x) > 0),
    2,
)


def _eigenvalues(x: Any) -> Any:
    from cresset.ops.factor import eigvalsh

    return eigvalsh(x)


def integer_interval(low: int, high: int) -> Constraint:
    """Whole numbers from ``low`` to ``high``, both included."""
    name = f"IntegerInterval(lower_bound={low}, upper_bound={high})"
    return Constraint(name, lambda x: (x % 1 == 0) & (x >= low) & (x <= high), discrete=True)


def interval(low: Any, high: Any) -> Constraint:
    """Numbers from ``low`` to ``high``, both included."""
    name = f"Interval(lower_bound={low}, upper_bound={high})"
    return Constraint(name, lambda x: (x >= low) & (x <= high))
