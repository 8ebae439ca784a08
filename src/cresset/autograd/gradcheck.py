"""``gradcheck``: compare derivatives with central differences, element by element."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cresset.autograd.backward import grad
from cresset.ops.creation import tensor as make_tensor
from cresset.tensor import Tensor


class GradcheckError(RuntimeError):
    """A derivative disagrees with finite differences."""


def _tensors(x: Any) -> tuple:
    return tuple(x) if isinstance(x, (tuple, list)) else (x,)


def _differentiable(outs: Any) -> list[Tensor]:
    return [o for o in _tensors(outs) if isinstance(o, Tensor) and o._requires_grad]


def _numerical(func: Callable, inputs: tuple, x: Tensor, eps: float) -> list[np.ndarray]:
    """Per output: d out / d x as (x.numel(), out.numel()), by (f(x + e) - f(x - e)) / 2e."""
    values = x.detach().numpy().copy()
    steps = [eps] if not x.dtype.is_complex else [eps, 1j * eps]
    columns: list[list[np.ndarray]] = []
    position = next(i for i, t in enumerate(inputs) if t is x)

    def outputs(moved: np.ndarray) -> list[np.ndarray]:
        replaced = make_tensor(moved, dtype=x.dtype)
        replaced.requires_grad_()
        # As strided as the original, so that strided inputs are checked as such.
        args = list(inputs)
        args[position] = replaced
        return [
            o.detach().numpy().reshape(-1).copy() for o in _tensors(func(*args))
            if isinstance(o, Tensor)
        ]  # fmt: skip

    for index in np.ndindex(values.shape):
        per_output: list[np.ndarray] = []
        for step in steps:
            up, down = values.copy(), values.copy()
            up[index] += step
            down[index] -= step
            slopes = [(a - b) / (2 * eps) for a, b in zip(outputs(up), outputs(down), strict=True)]
            # For complex x PyTorch's convention is d/d(re) + i d/d(im), i.e. the conjugate
            # gradient.
            per_output = slopes if step == eps else [
                p + 1j * s for p, s in zip(per_output, slopes, strict=True)
            ]  # fmt: skip
        columns.append(per_output)
    count = len(columns[0]) if columns else 0
    return [np.array([c[k] for c in columns]) for k in range(count)]


def _analytical(out: Tensor, x: Tensor, nondet_tol: float) -> np.ndarray:
    """d out / d x as (x.numel(), out.numel()), one backward pass per output element."""
    rows = []
    for index in range(out.numel()):
        seed = np.zeros(out.numel(), out.detach().numpy().dtype)
        seed[index] = 1
        vector = make_tensor(seed.reshape(out.shape))
        (g,) = grad(out, x, vector, retain_graph=True, allow_unused=True)
        rows.append(np.zeros(x.numel()) if g is None else g.detach().numpy().reshape(-1).copy())
    return np.array(rows).T if rows else np.zeros((x.numel(), 0))


def gradcheck(
    func: Callable,
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_batched_forward_grad: bool = False,
    check_forward_ad: bool = False,
    check_backward_ad: bool = True,
    fast_mode: bool = False,
    masked: bool | None = None,
) -> bool:
    """Check gradients of ``func`` against finite differences for inputs that require grad.

    Inputs should be float64. Returns True, or raises GradcheckError (returns False if
    ``raise_exception`` is off).

    >>> import cresset as torch
    >>> x = torch.tensor([1., 2.], dtype=torch.float64, requires_grad=True)
    >>> torch.autograd.gradcheck(lambda x: x ** 2, (x,))
    True
    """
    given = _tensors(inputs)
    checked = [t for t in given if isinstance(t, Tensor) and t._requires_grad]
    try:
        if not checked:
            raise ValueError(
                "gradcheck expects at least one input tensor to require gradient, but none of the "
                "them have requires_grad=True."
            )
        every = [o for o in _tensors(func(*given)) if isinstance(o, Tensor)]
        for x in checked:
            numerical = _numerical(func, given, x, eps)
            for k, out in enumerate(every):
                if not out._requires_grad:
                    continue
                analytical = _analytical(out, x, nondet_tol)
                wanted = numerical[k]
                if out.dtype.is_complex and not x.dtype.is_complex:
                    analytical, wanted = analytical.real, wanted.real
                if not np.allclose(analytical, wanted, rtol, atol):
                    raise GradcheckError(
                        f"Jacobian mismatch for output {k} with respect to input "
                        f"{next(i for i, t in enumerate(given) if t is x)},"
                        f"\nnumerical:{wanted}\nanalytical:{analytical}\n"
                    )
        return True
    except GradcheckError:
        if raise_exception:
            raise
        return False


def gradgradcheck(
    func: Callable,
    inputs: Any,
    grad_outputs: Any = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    gen_non_contig_grad_outputs: bool = False,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    **unused: Any,
) -> bool:
    """Check second derivatives: ``gradcheck`` of the gradients of ``func``."""
    given = _tensors(inputs)
    outs = _differentiable(func(*given))
    if grad_outputs is None:
        rng = np.random.default_rng(0)
        vectors: Sequence = [
            make_tensor(rng.standard_normal(o.shape), dtype=o.dtype).requires_grad_() for o in outs
        ]
    else:
        vectors = _tensors(grad_outputs)
    count = len(given)

    def gradients(*args: Any) -> tuple:
        args, seeds = args[:count], args[count:]
        results = _differentiable(func(*args))
        wrt = [t for t in args if isinstance(t, Tensor) and t._requires_grad]
        found = grad(results, wrt, seeds, create_graph=True, allow_unused=True)
        return tuple(g for g in found if g is not None and g._requires_grad)

    return gradcheck(
        gradients, (*given, *vectors), eps=eps, atol=atol, rtol=rtol,
        raise_exception=raise_exception, nondet_tol=nondet_tol,
    )  # fmt: skip
