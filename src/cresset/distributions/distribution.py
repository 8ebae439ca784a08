"""The base of all distributions: shapes, checks, and what follows from one another.

A distribution is a batch (``batch_shape``) of independent draws of one event (``event_shape``).
Parameters are broadcast together when it is made. ``rsample`` draws so that gradients reach the
parameters; ``sample`` draws without gradients.
"""

from __future__ import annotations

from typing import Any

from cresset.autograd import enable_grad, no_grad
from cresset.ops.creation import as_tensor
from cresset.ops.grids import broadcast_tensors
from cresset.size import Size
from cresset.tensor import Tensor


def together(*parameters: Any) -> tuple[Any, ...]:
    """Numbers and tensors as tensors of one dtype, broadcast against each other."""
    like = next((p for p in parameters if isinstance(p, Tensor)), None)
    made = [
        p
        if isinstance(p, Tensor)
        else as_tensor(float(p))
        if like is None
        else as_tensor(p, dtype=like.dtype, device=like.device)
        for p in parameters
    ]
    return tuple(broadcast_tensors(*made))


def derived(distribution: Any, name: str, ways: dict[str, Any]) -> Any:
    """For ``__getattr__``: a description of the parameters that was not given, kept once made."""
    held = distribution.__dict__
    if name not in ways or "_event_shape" not in held and "_param" not in held:
        kind = type(distribution).__name__
        raise AttributeError(f"'{kind}' object has no attribute '{name}'")
    with enable_grad():  # it may first be asked for inside sample(), which draws without gradients
        held[name] = ways[name](distribution)
    return held[name]


class Distribution:
    """A probability distribution over tensors.

    ``arg_constraints`` names the parameters and what they may be; a parameter that breaks its
    constraint raises ValueError. ``validate_args=False`` skips these checks.
    """

    has_rsample = False
    arg_constraints: dict[str, Any] = {}
    support: Any = None
    _validate_args = True

    def __init__(
        self, batch_shape: Any = (), event_shape: Any = (), validate_args: bool | None = None
    ) -> None:
        self._batch_shape, self._event_shape = Size(batch_shape), Size(event_shape)
        if validate_args is not None:
            self._validate_args = validate_args
        if self._validate_args:
            self._check_parameters()

    def _check_parameters(self) -> None:
        for name, constraint in self.arg_constraints.items():
            value = self.__dict__.get(name)
            if value is None or bool(constraint.check(value.detach()).all()):
                continue
            raise ValueError(
                f"Expected parameter {name} ({type(value).__name__} of shape "
                f"{tuple(value.shape)}) of distribution {self!r} to satisfy the constraint "
                f"{constraint!r}, but found invalid values:\n{value}"
            )

    @staticmethod
    def set_default_validate_args(value: bool) -> None:
        """Whether distributions check their parameters from now on."""
        if value not in (True, False):
            raise ValueError
        Distribution._validate_args = value

    @property
    def batch_shape(self) -> Size:
        return self._batch_shape

    @property
    def event_shape(self) -> Size:
        return self._event_shape

    @property
    def mean(self) -> Tensor:
        raise NotImplementedError

    @property
    def mode(self) -> Tensor:
        raise NotImplementedError(f"{type(self)} does not implement mode")

    @property
    def variance(self) -> Tensor:
        raise NotImplementedError

    @property
    def stddev(self) -> Tensor:
        return self.variance.sqrt()  # type: ignore[attr-defined]

    def rsample(self, sample_shape: Any = Size()) -> Tensor:
        """Draws through which gradients flow to the parameters."""
        raise NotImplementedError

    def sample(self, sample_shape: Any = Size()) -> Tensor:
        """Draws of shape ``sample_shape + batch_shape + event_shape``."""
        with no_grad():
            return self.rsample(sample_shape)

    def sample_n(self, n: int) -> Tensor:
        """The old name of ``sample((n,))``."""
        return self.sample(Size((n,)))

    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the density (or mass) at ``value``."""
        raise NotImplementedError

    def cdf(self, value: Tensor) -> Tensor:
        raise NotImplementedError

    def icdf(self, value: Tensor) -> Tensor:
        raise NotImplementedError

    def entropy(self) -> Tensor:
        raise NotImplementedError

    def perplexity(self) -> Tensor:
        """``exp(entropy)``."""
        return self.entropy().exp()  # type: ignore[attr-defined]

    def _extended_shape(self, sample_shape: Any = Size()) -> Size:
        return Size((*sample_shape, *self._batch_shape, *self._event_shape))

    def _validate_sample(self, value: Tensor) -> None:
        if not isinstance(value, Tensor):
            raise ValueError("The value argument to log_prob must be a Tensor")
        expected = (*self._batch_shape, *self._event_shape)
        for n, m in zip(reversed(value.shape), reversed(expected), strict=False):
            if n != 1 and m != 1 and n != m:
                raise ValueError(
                    f"Value is not broadcastable with batch_shape+event_shape: {value.shape} vs "
                    f"{Size(expected)}."
                )
        support = self.support
        if support is not None and not bool(support.check(value.detach()).all()):
            raise ValueError(
                f"Expected value argument ({type(value).__name__} of shape {tuple(value.shape)}) "
                f"to be within the support ({support!r}) of the distribution {self!r}, but found "
                f"invalid values:\n{value}"
            )

    def __repr__(self) -> str:
        held = [name for name in self.arg_constraints if name in self.__dict__]
        parts = [
            f"{k}: {v if v.numel() == 1 else v.size()}" for k in held for v in (self.__dict__[k],)
        ]
        return f"{type(self).__name__}({', '.join(parts)})"
