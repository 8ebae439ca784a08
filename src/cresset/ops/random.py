"""Random tensors. Values are drawn when the op is called, so draws keep their place in the program;
they enter the graph as inputs, never as constants of a plan."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from cresset import dtypes
from cresset.device import device as Device
from cresset.dtypes import dtype
from cresset.ops.creation import empty_like, encode, from_host, resolve_device
from cresset.ops.elementwise import not_implemented
from cresset.ops.inplace import assign, into, scalar_name
from cresset.ops.registry import Tensor, as_shape
from cresset.random import recipes
from cresset.random.bounds import C_NAMES, check_uniform_bounds, integer_bounds
from cresset.random.generator import (
    Generator,
    default_generator,
    every_generator,
    generator_of,
)
from cresset.size import Size

# -- generators ------------------------------------------------------------------------------------


def manual_seed(seed: int) -> Generator:
    """Seed the default generators of all devices.

    >>> import cresset as torch
    >>> _ = torch.manual_seed(0)
    >>> torch.rand(2)
    tensor([0.4963, 0.7682])
    """
    seed = int(seed)
    for g in every_generator():
        g.manual_seed(seed)
    return default_generator


def seed() -> int:
    """Seed the default generators with a random number and return it."""
    value = default_generator.seed()
    for g in every_generator():
        g.manual_seed(value)
    return value


def initial_seed() -> int:
    """The seed of the default generator."""
    return default_generator.initial_seed()


def _state_tensor(g: Generator) -> Tensor:
    return from_host(g._get_state_array(), dtypes.uint8, Device("cpu"))


def get_rng_state() -> Tensor:
    """The default generator's state as a tensor of bytes."""
    return _state_tensor(default_generator)


def set_rng_state(new_state: Tensor) -> None:
    """Set the default generator's state."""
    _set_state(default_generator, new_state)


def _set_state(g: Generator, state: Tensor) -> Generator:
    if not isinstance(state, Tensor):
        raise TypeError(f"expected a torch.ByteTensor, but got {type(state)}")
    if state.dtype is not dtypes.uint8:
        raise TypeError("RNG state must be a torch.ByteTensor")
    g._set_state_array(state._host().copy())
    return g


Generator.get_state = _state_tensor  # type: ignore[attr-defined]
Generator.set_state = _set_state  # type: ignore[attr-defined]


@contextlib.contextmanager
def fork_rng(devices: Any = None, enabled: bool = True, **unused: Any) -> Iterator[None]:
    """Draws inside do not advance the generators outside."""
    if not enabled:
        yield
        return
    saved = [(g, g._get_state_array()) for g in every_generator()]
    try:
        yield
    finally:
        for g, state in saved:
            g._set_state_array(state)


def _pick(generator: Generator | None, where: Any) -> Generator:
    if generator is None:
        return generator_of(where)
    if generator.device.type != where.type:
        raise RuntimeError(
            f"Expected a '{where.type}' device type for generator but found "
            f"'{generator.device.type}'"
        )
    return generator


# -- making ----------------------------------------------------------------------------------------


def _coded(values: np.ndarray, d: dtype) -> np.ndarray:
    """Fresh samples in the storage form of a dtype; no second copy where they are in it."""
    return values if values.dtype == d.np else encode(values, d)


def _finish(values: np.ndarray, shape: tuple, d: dtype, where: Any, requires_grad: bool,
            out: Tensor | None) -> Tensor:  # fmt: skip
    result = from_host(_coded(values, d).reshape(shape), d, where)
    if out is not None:
        result = into(out, result)
    if requires_grad:
        result.requires_grad_()
    return result


def _float_type(d: dtype | None, out: Tensor | None, name: str) -> dtype:
    found = d or (out.dtype if out is not None else dtypes.get_default_dtype())
    if found.category < dtypes.FLOAT:
        raise not_implemented(name, found)
    return found


def _draw(recipe: Any, g: Generator, count: int, d: dtype, *bounds: float) -> np.ndarray:
    """Samples for a dtype. Half types are drawn as float32 and rounded."""
    if d.is_complex:
        if recipe is recipes.normal:
            # A complex normal number of variance 1 has parts of variance 1/2.
            mean, std = bounds or (0.0, 1.0)
            bounds = (mean, std / math.sqrt(2))
        pairs = recipe(g, 2 * count, d is dtypes.complex128, *bounds)
        return pairs[0::2] + 1j * pairs[1::2]
    half = d.itemsize == 2
    if recipe is recipes.normal:
        mean, std = bounds or (0.0, 1.0)
        return recipes.normal(g, count, d is dtypes.float64, mean, std, half)
    values = recipe(g, count, d is dtypes.float64, *bounds)
    if half:
        low, high = bounds or (0.0, 1.0)
        top = encode(np.array(high, np.float32), d)
        # What rounds up to the open end becomes the other end.
        values = np.where(encode(values, d) == top, low, values)
    return values


def _sampler(name: str, recipe: Any, doc: str) -> Any:
    def function(
        *size: Any, generator: Generator | None = None, out: Tensor | None = None,
        dtype: dtype | None = None, layout: Any = None, device: Any = None,
        requires_grad: bool = False, pin_memory: bool = False, names: Any = None,
    ) -> Tensor:  # fmt: skip
        shape = as_shape(size)
        if any(n < 0 for n in shape):
            raise RuntimeError(
                f"Trying to create tensor with negative dimension {min(shape)}: {list(shape)}"
            )
        d = _float_type(
            dtype, out, "check_uniform_bounds" if name == "rand" else "normal_kernel_cpu"
        )
        where = resolve_device(device)
        g = _pick(generator, where)
        count = Size(shape).numel()
        values = _draw(recipe, g, count, d)
        return _finish(values, shape, d, where, requires_grad, out)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function


rand = _sampler(
    "rand", recipes.uniform,
    """Uniform numbers in [0, 1).

    >>> import cresset as torch
    >>> _ = torch.manual_seed(0)
    >>> torch.rand(2)
    tensor([0.4963, 0.7682])
    """,
)  # fmt: skip
randn = _sampler(
    "randn", recipes.normal,
    """Normal numbers with mean 0 and variance 1.

    >>> import cresset as torch
    >>> _ = torch.manual_seed(0)
    >>> torch.randn(2)
    tensor([ 1.5410, -0.2934])
    """,
)  # fmt: skip


def _like(make: Any, fill: str) -> Any:
    def function(input: Tensor, *, dtype: dtype | None = None, layout: Any = None,
                 device: Any = None, requires_grad: bool = False, memory_format: Any = None,
                 generator: Generator | None = None) -> Tensor:  # fmt: skip
        if not input._spec.contiguous or memory_format is not None:
            like = empty_like(input, dtype=dtype, device=device, memory_format=memory_format)
            getattr(like, fill)(generator=generator)
            return like.requires_grad_(requires_grad)
        return make(
            tuple(input.shape), dtype=dtype or input.dtype, device=device or input.device,
            requires_grad=requires_grad, generator=generator,
        )  # fmt: skip

    function.__name__ = function.__qualname__ = make.__name__ + "_like"
    function.__doc__ = f"``{make.__name__}`` with the shape, dtype and device of ``input``."
    return function


rand_like, randn_like = _like(rand, "uniform_"), _like(randn, "normal_")


def randint(
    low: Any, high: Any = None, size: Any = None, *, generator: Generator | None = None,
    out: Tensor | None = None, dtype: dtype | None = None, layout: Any = None, device: Any = None,
    requires_grad: bool = False, pin_memory: bool = False,
) -> Tensor:  # fmt: skip
    """Integers in [low, high); ``randint(high, size)`` starts at 0.

    >>> import cresset as torch
    >>> _ = torch.manual_seed(0)
    >>> torch.randint(10, (3,))
    tensor([4, 9, 3])
    """
    if size is None and high is not None and not isinstance(high, int):
        low, high, size = 0, low, high
    elif high is None:
        low, high = 0, low
    d = dtype or (out.dtype if out is not None else dtypes.int64)
    low, high = integer_bounds(int(low), int(high), d)
    where = resolve_device(device)
    shape = as_shape((size,))
    values = recipes.integers(_pick(generator, where), Size(shape).numel(), low, high)
    return _finish(values, shape, d, where, requires_grad, out)


def randint_like(
    input: Tensor,
    low: Any,
    high: Any = None,
    *,
    dtype: dtype | None = None,
    device: Any = None,
    requires_grad: bool = False,
    **unused: Any,
) -> Tensor:
    """``randint`` with the shape, dtype and device of ``input``."""
    if high is None:
        low, high = 0, low
    if not input._spec.contiguous:
        like = empty_like(input, dtype=dtype, device=device)
        return like.random_(low, high).requires_grad_(requires_grad)  # type: ignore[attr-defined]
    return randint(low, high, tuple(input.shape), dtype=dtype or input.dtype,
                   device=device or input.device, requires_grad=requires_grad)  # fmt: skip


def rrelu_slopes(input: Tensor, lower: float, upper: float) -> Tensor:
    """Slopes for the elements of ``input`` that are not positive, drawn in order; 1 elsewhere.

    How many are drawn depends on the values, so this looks at them.
    """
    values = input._host()
    slopes = np.ones(values.shape)
    below = values <= 0
    g = generator_of(input.device)
    low, high = input.dtype.compute.type(lower).item(), input.dtype.compute.type(upper).item()
    slopes[below] = g.doubles(int(below.sum())) * (high - low) + low
    return _finish(slopes.reshape(-1), tuple(values.shape), input.dtype, input.device, False, None)


def randperm(
    n: int, *, generator: Generator | None = None, out: Tensor | None = None,
    dtype: dtype | None = None, layout: Any = None, device: Any = None,
    requires_grad: bool = False, pin_memory: bool = False,
) -> Tensor:  # fmt: skip
    """The integers below ``n`` in random order.

    >>> import cresset as torch
    >>> _ = torch.manual_seed(0)
    >>> torch.randperm(4)
    tensor([0, 1, 3, 2])
    """
    if n < 0:
        raise RuntimeError(f"n must be non-negative, got {n}")
    where = resolve_device(device)
    values = recipes.permutation(_pick(generator, where), n)
    return _finish(values, (n,), dtype or dtypes.int64, where, requires_grad, out)


def normal(
    mean: Any = 0.0, std: Any = 1.0, size: Any = None, *, generator: Generator | None = None,
    out: Tensor | None = None, dtype: dtype | None = None, device: Any = None, **unused: Any,
) -> Tensor:  # fmt: skip
    """Normal numbers with mean and deviation per element (tensors), or of a given ``size``."""
    for x in (mean, std):
        if isinstance(x, Tensor):
            d = x.dtype
            where = x.device
            break
    else:
        d, where = dtype or dtypes.get_default_dtype(), resolve_device(device)
    if isinstance(std, Tensor):
        if std.numel() and bool((std < 0).any()):  # type: ignore[operator]
            raise RuntimeError("normal expects all elements of std >= 0.0")
    elif std < 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std:g}")
    if size is not None:
        shape = as_shape((size,))
        g = _pick(generator, where)
        count = Size(shape).numel()
        values = _draw(recipes.normal, g, count, d, float(mean), float(std))
        return _finish(values, shape, d, where, False, out)
    shape = (mean + std * 0 if isinstance(mean, Tensor) else std + 0 * mean).shape  # type: ignore[operator]
    base = randn(tuple(shape), generator=generator, dtype=d, device=where)
    return into(out, base * std + mean)  # type: ignore[operator]


def bernoulli(input: Tensor, p: Any = None, *, generator: Generator | None = None,
              out: Tensor | None = None) -> Tensor:  # fmt: skip
    """1 with the probability given by each element, else 0."""
    if p is not None:
        return bernoulli_(input.clone(), p, generator=generator)  # type: ignore[attr-defined]
    if input.dtype.category != dtypes.FLOAT:
        raise not_implemented("bernoulli_tensor_cpu_p_", input.dtype)
    probabilities = input._host()
    if probabilities.size and not (probabilities.min() >= 0 and probabilities.max() <= 1):
        raise RuntimeError("Expected p_in >= 0 && p_in <= 1 to be true, but got false.")
    g = _pick(generator, input.device)
    hits = recipes.bernoulli_each(g, probabilities.reshape(-1))
    return _finish(hits, tuple(input.shape), input.dtype, input.device, False, out)


def multinomial(
    input: Tensor,
    num_samples: int,
    replacement: bool = False,
    *,
    generator: Generator | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """Indices drawn with probability proportional to the weights in each row.

    >>> import cresset as torch
    >>> torch.multinomial(torch.tensor([0., 1.]), 1)
    tensor([1])
    """
    if input.ndim not in (1, 2):
        raise RuntimeError("prob_dist must be 1 or 2 dim")
    if input.dtype.category != dtypes.FLOAT:
        raise RuntimeError(
            "multinomial only supports floating-point dtypes for input, got: "
            f"{scalar_name(input.dtype)}"
        )
    if num_samples <= 0:
        raise RuntimeError("cannot sample n_sample <= 0 samples")
    weights = input.detach()._host()
    table = weights.reshape(1, -1) if weights.ndim == 1 else weights
    if not replacement and num_samples > table.shape[1]:
        raise RuntimeError(
            "cannot sample n_sample > prob_dist.size(-1) samples without replacement"
        )
    if not np.isfinite(table).all() or (table < 0).any():
        raise RuntimeError("probability tensor contains either `inf`, `nan` or element < 0")
    if (table.sum(-1) <= 0).any():
        raise RuntimeError("invalid multinomial distribution (sum of probabilities <= 0)")
    found = recipes.multinomial(_pick(generator, input.device), table, num_samples, replacement)
    shape = (num_samples,) if weights.ndim == 1 else found.shape
    return _finish(found, shape, dtypes.int64, input.device, False, out)


def poisson(input: Tensor, generator: Generator | None = None) -> Tensor:
    """A Poisson sample for each rate."""
    values = recipes.poisson(_pick(generator, input.device), input._host())
    return _finish(values, tuple(input.shape), input.dtype, input.device, False, None)


# -- filling ---------------------------------------------------------------------------------------


def _fill(self: Tensor, values: np.ndarray, grad_name: str) -> Tensor:
    """Write samples in memory order: a dense tensor is filled along its storage, as in PyTorch."""
    spec = self._spec
    coded = _coded(values, spec.dtype)
    order = None if spec.contiguous else spec.memory_order()
    if order is None:
        return assign(
            self, from_host(coded.reshape(spec.shape), spec.dtype, spec.device), grad_name
        )
    laid = coded.reshape([spec.shape[d] for d in order])
    back = [order.index(d) for d in range(len(order))]
    fresh = from_host(laid, spec.dtype, spec.device)
    return assign(self, fresh.permute(back).clone(), grad_name)  # type: ignore[attr-defined]


def uniform_(self: Tensor, from_: float = 0.0, to: float = 1.0, *,
             generator: Generator | None = None, **kwargs: Any) -> Tensor:  # fmt: skip
    """Uniform numbers in [from, to)."""
    low = float(kwargs.get("from", from_))
    high = float(to)
    if self.dtype.category < dtypes.FLOAT:
        raise not_implemented("check_uniform_bounds", self.dtype)
    check_uniform_bounds(low, high, self.dtype)
    g = _pick(generator, self.device)
    return _fill(
        self, _draw(recipes.uniform, g, self.numel(), self.dtype, low, high), "UniformBackward0"
    )


def normal_(self: Tensor, mean: float = 0.0, std: float = 1.0, *,
            generator: Generator | None = None) -> Tensor:  # fmt: skip
    """Normal numbers with ``mean`` and standard deviation ``std``."""
    if std < 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std:g}")
    if self.dtype.category < dtypes.FLOAT:
        raise not_implemented("normal_kernel_cpu", self.dtype)
    g = _pick(generator, self.device)
    if not self._spec.contiguous:  # PyTorch fills blocks of contiguous memory only
        if self.dtype.is_complex:
            parts = recipes.normal_pairs(g, 2 * self.numel()) * (std / math.sqrt(2)) + mean
            return _fill(self, parts[0::2] + 1j * parts[1::2], "NormalBackward0")
        return _fill(self, recipes.normal_pairs(g, self.numel()) * std + mean, "NormalBackward0")
    values = _draw(recipes.normal, g, self.numel(), self.dtype, float(mean), float(std))
    return _fill(self, values, "NormalBackward0")


def random_(self: Tensor, *bounds: Any, generator: Generator | None = None,
            **named: Any) -> Tensor:  # fmt: skip
    """Integers: ``random_()`` takes all non-negative ones of the dtype, ``random_(to)`` those below
    ``to``, ``random_(from, to)`` those in [from, to), up to the largest if ``to`` is None."""
    grad_name = "RandomBackward0"
    if len(bounds) == 1 and "to" not in named:
        bounds, grad_name = (0, *bounds), "RandomBackward1"
    start, to = (*bounds, None, None)[:2]
    start, to = named.get("from", start), named.get("to", to)
    g = _pick(generator, self.device)
    if start is None and to is None:
        if self.dtype.is_complex:
            raise not_implemented("random_kernel_cpu", self.dtype)
        return _fill(self, recipes.full_range(g, self.numel(), self.dtype.name), "RandomBackward2")
    low, high = integer_bounds(int(start or 0), None if to is None else int(to), self.dtype)
    return _fill(self, recipes.integers(g, self.numel(), low, high), grad_name)


def bernoulli_(self: Tensor, p: Any = 0.5, *, generator: Generator | None = None) -> Tensor:
    """1 with probability ``p`` (a number or a tensor), else 0."""
    if self.dtype.is_complex:
        kind = "tensor_cpu_self_" if isinstance(p, Tensor) else "scalar_cpu_"
        raise not_implemented("bernoulli_" + kind, self.dtype)
    g = _pick(generator, self.device)
    if isinstance(p, Tensor):
        chances = np.broadcast_to(p._host(), self.shape).reshape(-1)
        return _fill(self, recipes.bernoulli_each(g, chances), "BernoulliBackward1")
    if not 0 <= p <= 1:
        raise RuntimeError(f"bernoulli_ expects p to be in [0, 1], but got p={p:g}")
    return _fill(self, recipes.bernoulli(g, self.numel(), float(p)), "BernoulliBackward2")


def _need_floating(self: Tensor, name: str, kind: str) -> None:
    if self.dtype.category != dtypes.FLOAT:
        raise RuntimeError(
            f"{name} distribution is a continuous probability distribution. dtype must be a "
            f"floating point but you specified {kind}"
        )


def exponential_(self: Tensor, lambd: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Exponential numbers with rate ``lambd``."""
    _need_floating(self, "Exponential", scalar_name(self.dtype))
    if lambd <= 0.0:
        raise RuntimeError(f"exponential_ expects lambda > 0.0, but found lambda={lambd:g}")
    return _fill(
        self,
        recipes.exponential(_pick(generator, self.device), self.numel(), float(lambd)),
        "ExponentialBackward0",
    )


def geometric_(self: Tensor, p: float, *, generator: Generator | None = None) -> Tensor:
    """The number of trials up to the first success."""
    if self.dtype is dtypes.bool_ or self.dtype.is_complex:
        raise not_implemented("geometric_cpu", self.dtype)
    if not 0 < p < 1:
        raise RuntimeError(f"geometric_ expects p to be in (0, 1), but got p={p:g}")
    return _fill(
        self,
        recipes.geometric(_pick(generator, self.device), self.numel(), float(p)),
        "GeometricBackward0",
    )


def cauchy_(self: Tensor, median: float = 0.0, sigma: float = 1.0, *,
            generator: Generator | None = None) -> Tensor:  # fmt: skip
    """Cauchy numbers."""
    _need_floating(self, "Cauchy", C_NAMES[self.dtype.name])
    if sigma <= 0.0:
        raise RuntimeError(f"cauchy_ expects sigma > 0.0, but found sigma={sigma:g}")
    g = _pick(generator, self.device)
    return _fill(
        self, recipes.cauchy(g, self.numel(), float(median), float(sigma)), "CauchyBackward0"
    )


def log_normal_(self: Tensor, mean: float = 1.0, std: float = 2.0, *,
                generator: Generator | None = None) -> Tensor:  # fmt: skip
    """Numbers whose logarithm is normal."""
    if self.dtype.category != dtypes.FLOAT:
        raise not_implemented("log_normal_cpu", self.dtype)
    if std <= 0.0:
        raise RuntimeError(f"log_normal_ expects std > 0.0, but found std={std:g}")
    g = _pick(generator, self.device)
    return _fill(
        self, recipes.log_normal(g, self.numel(), float(mean), float(std)), "LogNormalBackward0"
    )


TORCH = (
    "manual_seed", "seed", "initial_seed", "get_rng_state", "set_rng_state", "rand", "randn",
    "rand_like", "randn_like", "randint", "randint_like", "randperm", "normal", "bernoulli",
    "multinomial", "poisson", "Generator", "default_generator",
)  # fmt: skip
METHODS = (
    "uniform_", "normal_", "random_", "bernoulli", "bernoulli_", "exponential_", "geometric_",
    "cauchy_", "log_normal_", "multinomial",
)  # fmt: skip
