"""Jacobians, Hessians and products with them, for functions of tensors
(``autograd.functional``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cresset.autograd.backward import grad
from cresset.autograd.grad_mode import enable_grad
from cresset.ops.view import reshape
from cresset.tensor import Tensor


def _as_tuple(x: Any, argument: str, function: str) -> tuple[tuple, bool]:
    if isinstance(x, (tuple, list)):
        items: tuple = tuple(x)
        single = False
    else:
        items, single = (x,), True
    for i, item in enumerate(items):
        if not isinstance(item, Tensor):
            raise TypeError(
                f"The {argument} given to {function} must be either a Tensor or a tuple of Tensors "
                f"but the value at index {i} has type {type(item)}."
            )
    return items, single


def _fresh(inputs: tuple, create_graph: bool) -> tuple:
    """Inputs to differentiate: the given ones, or copies cut off from the tape."""
    if create_graph:
        return tuple(
            x.view_as(x) if x._requires_grad else x.detach().requires_grad_()  # type: ignore[attr-defined]
            for x in inputs
        )
    return tuple(x.detach().requires_grad_() for x in inputs)


def _zeros(x: Tensor) -> Tensor:
    return x.new_zeros(x.shape)  # type: ignore[attr-defined]


def _run(
    func: Callable, inputs: Any, create_graph: bool, name: str
) -> tuple[tuple, bool, tuple, bool]:
    given, single_in = _as_tuple(inputs, "inputs", name)
    fresh = _fresh(given, create_graph)
    outputs = func(*fresh)
    outs, single_out = _as_tuple(outputs, "outputs of the user-provided function", name)
    return fresh, single_in, outs, single_out


def _unpack(parts: Any, single: bool) -> Any:
    return parts[0] if single else tuple(parts)


def _gradients(
    out: Tensor, inputs: tuple, vector: Tensor, create_graph: bool, strict: bool = False
) -> tuple:
    if not out._requires_grad:
        if strict:
            raise RuntimeError(
                "Output 0 of the user-provided function does not require gradients. The outputs "
                "must be computed in a differentiable manner from the input when running in strict "
                "mode."
            )
        return tuple(_zeros(x) for x in inputs)
    found = grad(
        out, inputs, vector, retain_graph=True, create_graph=create_graph, allow_unused=True
    )
    return tuple(_zeros(x) if g is None else g for g, x in zip(found, inputs, strict=True))


def jacobian(
    func: Callable, inputs: Any, create_graph: bool = False, strict: bool = False,
    vectorize: bool = False, strategy: str = "reverse-mode",
) -> Any:  # fmt: skip
    """All derivatives of every output element by every input element.

    For one input of shape s and one output of shape r the result has shape (*r, *s); tuples in or
    out give tuples.

    >>> import cresset as torch
    >>> torch.autograd.functional.jacobian(lambda x: x ** 2, torch.tensor([1., 2.]))
    tensor([[2., 0.],
            [0., 4.]])
    """
    from cresset.ops.join import stack

    with enable_grad():
        fresh, single_in, outs, single_out = _run(func, inputs, create_graph, "jacobian")
        rows = []
        for out in outs:
            columns: list[list[Tensor]] = [[] for _ in fresh]
            flat = reshape(out, (-1,))
            for i in range(out.numel()):
                basis = _zeros(flat)
                basis[i] = 1  # type: ignore[index]
                parts = _gradients(flat, fresh, basis, create_graph, strict)
                for column, part in zip(columns, parts, strict=True):
                    column.append(part)
            rows.append(tuple(
                reshape(stack(c), (*out.shape, *x.shape)) if c else x.new_zeros((*out.shape, *x.shape))  # noqa: E501
                for c, x in zip(columns, fresh, strict=True)
            ))  # fmt: skip
        if not create_graph:
            rows = [tuple(p.detach() for p in row) for row in rows]
        return _unpack([_unpack(row, single_in) for row in rows], single_out)


def hessian(
    func: Callable, inputs: Any, create_graph: bool = False, strict: bool = False,
    vectorize: bool = False, outer_jacobian_strategy: str = "reverse-mode",
) -> Any:  # fmt: skip
    """All second derivatives of a scalar function.

    >>> import cresset as torch
    >>> torch.autograd.functional.hessian(lambda x: (x ** 3).sum(), torch.tensor([1., 2.]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    given, single = _as_tuple(inputs, "inputs", "hessian")

    def gradient(*xs: Tensor) -> Any:
        out = func(*xs)
        if not isinstance(out, Tensor):
            raise RuntimeError("The function given to hessian should return a single Tensor")
        if out.numel() != 1:
            raise RuntimeError("The Tensor returned by the function given to hessian should contain a single element")  # noqa: E501  # fmt: skip
        return _gradients(reshape(out, ()), xs, out.new_ones(()), True, strict)  # type: ignore[attr-defined]

    parts = jacobian(gradient, given, create_graph, False)
    return parts[0][0] if single else parts


def vjp(
    func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple:
    """``(outputs, v^T J)``: the outputs and the vector-Jacobian product.

    >>> import cresset as torch
    >>> torch.autograd.functional.vjp(lambda x: x * 2, torch.ones(2), torch.ones(2))
    (tensor([2., 2.]), tensor([2., 2.]))
    """
    with enable_grad():
        fresh, single_in, outs, single_out = _run(func, inputs, create_graph, "vjp")
        if v is None:
            if len(outs) != 1 or outs[0].numel() != 1:
                raise RuntimeError(
                    "The vector v can only be None if the user-provided function returns a single "
                    "Tensor with a single element."
                )
            vectors: tuple = (outs[0].new_ones(outs[0].shape),)  # type: ignore[attr-defined]
        else:
            vectors, _ = _as_tuple(v, "v", "vjp")
        total: list = [None] * len(fresh)
        for out, vector in zip(outs, vectors, strict=True):
            for i, part in enumerate(_gradients(out, fresh, vector, create_graph, strict)):
                total[i] = part if total[i] is None else total[i] + part
    if not create_graph:
        outs = tuple(o.detach() for o in outs)
        total = [t.detach() for t in total]
    return _unpack(outs, single_out), _unpack(total, single_in)


def jvp(
    func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple:
    """``(outputs, J v)``: by differentiating the vector-Jacobian product in its vector.

    >>> import cresset as torch
    >>> torch.autograd.functional.jvp(lambda x: x ** 2, torch.tensor([3.]), torch.ones(1))
    (tensor([9.]), tensor([6.]))
    """
    with enable_grad():
        fresh, single_in, outs, single_out = _run(func, inputs, create_graph, "jvp")
        if v is None:
            if len(fresh) != 1 or fresh[0].numel() != 1:
                raise RuntimeError(
                    "The vector v can only be None if the input to the user-provided function is a "
                    "single Tensor with a single element."
                )
            vectors: tuple = (fresh[0].new_ones(fresh[0].shape),)  # type: ignore[attr-defined]
        else:
            vectors, _ = _as_tuple(v, "v", "jvp")
        results = []
        for out in outs:
            dual = _zeros(out).requires_grad_()
            products = _gradients(out, fresh, dual, True, strict)
            total = None
            for product, vector in zip(products, vectors, strict=True):
                if product._requires_grad:
                    (part,) = grad(product, dual, vector, retain_graph=True,
                                   create_graph=create_graph, allow_unused=True)  # fmt: skip
                    if part is not None:
                        total = part if total is None else total + part
            results.append(_zeros(out) if total is None else total)
    if not create_graph:
        outs = tuple(o.detach() for o in outs)
        results = [r.detach() for r in results]
    return _unpack(outs, single_out), _unpack(results, single_out)


def vhp(func: Callable, inputs: Any, v: Any = None, create_graph: bool = False,
        strict: bool = False) -> tuple:  # fmt: skip
    """``(output, v^T H)`` for a scalar function."""
    given, single = _as_tuple(inputs, "inputs", "vhp")

    def gradient(*xs: Tensor) -> Any:
        out = func(*xs)
        return _gradients(reshape(out, ()), xs, out.new_ones(()), True, strict)

    vectors = v if isinstance(v, (tuple, list)) or v is None else (v,)
    _, product = vjp(gradient, given, vectors, create_graph, False)
    return func(*given), _unpack(product, single)


hvp = vhp  # the Hessian is symmetric
