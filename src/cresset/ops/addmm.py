"""A matrix product added to something: ``beta * input + alpha * product``, one node each.

Each is a composite of its product, a multiplication and an addition. ``beta`` and ``alpha`` are
operands; whether they are 0 or 1 is structure, as then a step is left out (with ``beta=0`` even a
NaN in ``input`` does not count).
"""

from __future__ import annotations

from typing import Any

from cresset import dtypes
from cresset.core.spec import Spec
from cresset.ops.elementwise import C_NAMES
from cresset.ops.inplace import into, scalar_name, written
from cresset.ops.matmul import BMM, MM, MV, outer
from cresset.ops.pointwise import add, conj, mul
from cresset.ops.reduce import SUM_DIM, reduce_to
from cresset.ops.registry import Op, Tensor, apply
from cresset.ops.view import expand, t, transpose, unsqueeze

# -- checks ----------------------------------------------------------------------------------------


def _check_fit(x: Spec, shape: tuple[int, ...]) -> None:
    """Whether ``x`` can be expanded to the shape of the product."""
    have = x.shape
    if len(have) > len(shape):
        raise RuntimeError(
            f"expand(torch.{x.dtype.torch_type}{{{list(have)}}}, size={list(shape)}): the number "
            f"of sizes provided ({len(shape)}) must be greater or equal to the number of "
            f"dimensions in the tensor ({len(have)})"
        )
    shift = len(shape) - len(have)
    for i in range(len(have) - 1, -1, -1):
        if have[i] not in (1, shape[shift + i]):
            raise RuntimeError(
                f"The expanded size of the tensor ({shape[shift + i]}) must match the existing "
                f"size ({have[i]}) at non-singleton dimension {shift + i}.  Target sizes: "
                f"{list(shape)}.  Tensor sizes: {list(have)}"
            )


def _check_addmm(x: Spec, a: Spec, b: Spec) -> tuple[int, ...]:
    for s, name in ((a, "mat1"), (b, "mat2")):
        if s.ndim != 2:
            raise RuntimeError(f"{name} must be a matrix, got {s.ndim}-D tensor")
    if a.shape[1] != b.shape[0]:
        raise RuntimeError(
            f"mat1 and mat2 shapes cannot be multiplied ({a.shape[0]}x{a.shape[1]} and "
            f"{b.shape[0]}x{b.shape[1]})"
        )
    for first, second, which in ((x, b, "self"), (a, b, "mat1")):
        if first.dtype is not second.dtype:
            raise RuntimeError(
                f"{which} and mat2 must have the same dtype, but got "
                f"{scalar_name(first.dtype)} and {scalar_name(second.dtype)}"
            )
    return (a.shape[0], b.shape[1])


def _check_addbmm(x: Spec, a: Spec, b: Spec) -> tuple[int, ...]:
    for s, name in ((a, "batch1"), (b, "batch2")):
        if s.ndim != 3:
            raise RuntimeError(f"{name} must be a 3D tensor")
    if a.shape[0] != b.shape[0]:
        raise RuntimeError(
            f"batch1 and batch2 must have same number of batches, got {a.shape[0]} and {b.shape[0]}"
        )
    if a.shape[2] != b.shape[1]:
        raise RuntimeError(
            f"Incompatible matrix sizes for bmm ({a.shape[1]}x{a.shape[2]} and "
            f"{b.shape[1]}x{b.shape[2]})"
        )
    if x.dtype is not b.dtype:
        raise RuntimeError(
            "self and mat2 must have the same dtype, but got "
            f"{scalar_name(x.dtype)} and {scalar_name(b.dtype)}"
        )
    return (a.shape[1], b.shape[2])


def _check_baddbmm(x: Spec, a: Spec, b: Spec) -> tuple[int, ...]:
    if x.dtype is not a.dtype and a.dtype is b.dtype:
        kinds = (C_NAMES[s.dtype.name] for s in (x, a, b))
        raise RuntimeError(
            "Input dtypes must be the same, got: input {}, batch1: {}, batch2: {}".format(*kinds)
        )
    return (*a.shape[:2], b.shape[2]) if a.ndim == b.ndim == 3 else x.shape


def _check_addmv(x: Spec, a: Spec, v: Spec) -> tuple[int, ...]:
    if a.ndim != 2 or v.ndim != 1 or x.ndim > 1:
        raise RuntimeError(
            f"vector + matrix @ vector expected, got {max(x.ndim, 1)}, {a.ndim}, {v.ndim}"
        )
    if a.shape[1] != v.shape[0] or (x.numel != 1 and x.shape[0] != a.shape[0]):
        raise RuntimeError(
            f"size mismatch, got input ({x.numel}), mat ({a.shape[0]}x{a.shape[1]}), vec "
            f"({v.shape[0]})"
        )
    if not x.dtype is a.dtype is v.dtype:
        raise RuntimeError(
            "addmv input tensors must have the same dtype, but got "
            f"{scalar_name(x.dtype)}, {scalar_name(a.dtype)}, and {scalar_name(v.dtype)}"
        )
    return (a.shape[0],)


def _check_addr(x: Spec, u: Spec, v: Spec) -> tuple[int, ...]:
    for s, name in ((u, "vec1"), (v, "vec2")):
        if s.ndim != 1:
            raise RuntimeError(f"addr: Expected 1-D argument {name}, but got {s.ndim}-D")
    return (u.shape[0], v.shape[0])


# -- ops -------------------------------------------------------------------------------------------


def _summed(product: Tensor) -> Tensor:
    return apply(SUM_DIM, (product,), ((0,), False, product._spec.dtype))


def _times(x: Tensor, number: Any, one: bool) -> Tensor:
    return x if one else mul(x, number)


def _op(name: str, check: Any, product: Any, to_a: Any, to_b: Any) -> Op:
    """``check`` gives the product's shape, ``to_a(g, b)`` and ``to_b(g, a)`` its gradients."""

    def body(
        x: Tensor, a: Tensor, b: Tensor, beta: Any, alpha: Any, beta_is: Any, alpha_is_one: bool
    ) -> Tensor:
        _check_fit(x._spec, check(x._spec, a._spec, b._spec))
        result = _times(product(a, b), alpha, alpha_is_one)
        if beta_is == 0:
            return result
        return add(result, _times(x, beta, beta_is == 1))

    def vjp(n: Any, g: Tensor, a: Tensor, b: Tensor) -> tuple:
        beta_is, alpha_is_one = n.call.params
        x = n.call.specs[0]
        grads: list[Any] = [None] * 5
        if n.needs[0]:
            scaled = mul(g, 0) if beta_is == 0 else _times(g, _conj(n.numbers[3]), beta_is == 1)
            grads[0] = reduce_to(scaled, x.shape, x.dtype)
        g = _times(g, _conj(n.numbers[4]), alpha_is_one)
        if n.needs[1]:
            grads[1] = to_a(g, b)
        if n.needs[2]:
            grads[2] = to_b(g, a)
        return tuple(grads)

    return Op(name, None, body=body, vjp=vjp, save=(1, 2), save_if=(2, 1))


def _conj(number: Any) -> Any:
    return number.conjugate()


ADDMM = _op(
    "addmm", _check_addmm, lambda a, b: apply(MM, (a, b)),
    lambda g, b: apply(MM, (g, conj(t(b)))), lambda g, a: apply(MM, (conj(t(a)), g)),
)  # fmt: skip
BADDBMM = _op(
    "baddbmm", _check_baddbmm, lambda a, b: apply(BMM, (a, b)),
    lambda g, b: apply(BMM, (g, conj(transpose(b, 1, 2)))),
    lambda g, a: apply(BMM, (conj(transpose(a, 1, 2)), g)),
)  # fmt: skip


def _for_each(g: Tensor, batch: Tensor) -> Tensor:
    """One gradient for every product that was added up."""
    return expand(unsqueeze(g, 0), (batch._spec.shape[0], *g._spec.shape))


ADDBMM = _op(
    "addbmm", _check_addbmm, lambda a, b: _summed(apply(BMM, (a, b))),
    lambda g, b: apply(BMM, (_for_each(g, b), conj(transpose(b, 1, 2)))),
    lambda g, a: apply(BMM, (conj(transpose(a, 1, 2)), _for_each(g, a))),
)  # fmt: skip
ADDMV = _op(
    "addmv", _check_addmv, lambda a, v: apply(MV, (a, v)),
    lambda g, v: mul(unsqueeze(g, 1), conj(v)), lambda g, a: apply(MV, (conj(t(a)), g)),
)  # fmt: skip
ADDR = _op(
    "addr", _check_addr, outer,
    lambda g, v: apply(MV, (g, conj(v))), lambda g, u: apply(MV, (t(g), conj(u))),
)  # fmt: skip


# -- functions -------------------------------------------------------------------------------------


def _number(value: Any, d: Any) -> Any:
    """A factor of integers is cut to an integer."""
    return int(value) if d.category <= dtypes.INT else value


def _run(
    op: Op, x: Tensor, a: Tensor, b: Tensor, beta: Any, alpha: Any, out: Tensor | None
) -> Tensor:
    d = a._spec.dtype
    beta, alpha = _number(beta, d), _number(alpha, d)
    params = (beta if beta in (0, 1) else None, alpha == 1)
    return into(out, apply(op, (x, a, b, beta, alpha), params))


def addmm(
    input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: Any = 1, alpha: Any = 1,
    out: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """``beta * input + alpha * (mat1 @ mat2)``; ``input`` is broadcast.

    >>> import cresset as torch
    >>> torch.addmm(torch.ones(2), torch.eye(2), torch.eye(2))
    tensor([[2., 1.],
            [1., 2.]])
    """
    return _run(ADDMM, input, mat1, mat2, beta, alpha, out)


def addbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1,
           out: Tensor | None = None) -> Tensor:  # fmt: skip
    """``beta * input + alpha * sum over the batch of (batch1 @ batch2)``.

    >>> import cresset as torch
    >>> torch.addbmm(torch.zeros(1, 1), torch.ones(2, 1, 3), torch.ones(2, 3, 1))
    tensor([[6.]])
    """
    return _run(ADDBMM, input, batch1, batch2, beta, alpha, out)


def baddbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1,
            out: Tensor | None = None) -> Tensor:  # fmt: skip
    """``beta * input + alpha * (batch1 @ batch2)``, batch by batch.

    >>> import cresset as torch
    >>> torch.baddbmm(torch.ones(1), torch.ones(2, 1, 3), torch.ones(2, 3, 1)).flatten()
    tensor([4., 4.])
    """
    return _run(BADDBMM, input, batch1, batch2, beta, alpha, out)


def addmv(input: Tensor, mat: Tensor, vec: Tensor, *, beta: Any = 1, alpha: Any = 1,
          out: Tensor | None = None) -> Tensor:  # fmt: skip
    """``beta * input + alpha * (mat @ vec)``.

    >>> import cresset as torch
    >>> torch.addmv(torch.ones(2), torch.eye(2), torch.tensor([1., 2.]))
    tensor([2., 3.])
    """
    return _run(ADDMV, input, mat, vec, beta, alpha, out)


def addr(input: Tensor, vec1: Tensor, vec2: Tensor, *, beta: Any = 1, alpha: Any = 1,
         out: Tensor | None = None) -> Tensor:  # fmt: skip
    """``beta * input + alpha * outer(vec1, vec2)``.

    >>> import cresset as torch
    >>> torch.addr(torch.zeros(1, 2), torch.tensor([2.]), torch.tensor([1., 3.]))
    tensor([[2., 6.]])
    """
    return _run(ADDR, input, vec1, vec2, beta, alpha, out)


def addmm_(self: Tensor, mat1: Tensor, mat2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """In-place version of ``addmm``: the shape must be that of the product already."""
    if mat1.ndim == mat2.ndim == 2 and mat1.shape[1] == mat2.shape[0]:
        shape = [mat1.shape[0], mat2.shape[1]]
        if list(self.shape) != shape:
            raise RuntimeError(
                f"Bad in-place call: input tensor size {list(self.shape)} and output tensor size "
                f"{shape} should match"
            )
    return written(self, addmm(self, mat1, mat2, beta=beta, alpha=alpha))


TORCH = ("addmm", "addbmm", "baddbmm", "addmv", "addr")
METHODS = (*TORCH, "addmm_")
IN_PLACE = ("addbmm", "baddbmm", "addmv", "addr")
