"""Matrix products: the primitives (``mm``, ``bmm``, ``mv``, ``dot``), ``matmul`` and ``linear``.

``linear`` is one node with one backward node: a dense layer is the commonest op there is.
"""

from __future__ import annotations

import math
from typing import Any

from cresset import dtypes
from cresset.core.spec import Spec, dense
from cresset.ops.elementwise import C_NAMES, into_typed, not_a_tensor, not_implemented
from cresset.ops.inplace import into, scalar_name
from cresset.ops.pointwise import conj, mul
from cresset.ops.reduce import SUM_DIM
from cresset.ops.registry import (
    Op,
    Result,
    Tensor,
    apply,
    broadcast_shapes,
    common_device,
)
from cresset.ops.view import (
    SQUEEZE_DIM_IN_PLACE,
    expand,
    reshape,
    t,
    transpose,
    unsafe_view,
    unsqueeze,
    view,
)


def same_dtype(a: Spec, b: Spec) -> None:
    """Matrix products do not promote."""
    if a.dtype is not b.dtype:
        raise RuntimeError(
            f"expected m1 and m2 to have the same dtype, but got: {_c_name(a)} != {_c_name(b)}"
        )


def _c_name(s: Spec) -> str:
    return C_NAMES[s.dtype.name]


_KINDS = {dtypes.BOOL: "bool", dtypes.INT: "int", dtypes.FLOAT: "float"}


def _tensors(name: str, a: Spec, b: Spec, second: str) -> None:
    """Products are of tensors, never of numbers."""
    for position, (s, argument) in enumerate(((a, "input"), (b, second)), 1):
        if s.number is not None:
            raise TypeError(
                f"{name}(): argument '{argument}' (position {position}) must be Tensor, not "
                f"{_KINDS.get(s.number, 'complex')}"
            )


def _no_bool(d: Any, label: str, *sizes: int) -> None:
    """PyTorch has no product of truth values, but an empty one passes."""
    if d is dtypes.bool_ and all(sizes):
        raise not_implemented(label, d)


def _times(shape: Any) -> str:
    return "x".join(map(str, shape))


def _mm_infer(a: Spec, b: Spec) -> Result:
    _tensors("mm", a, b, "mat2")
    if a.ndim != 2 or b.ndim != 2:
        which = "self" if a.ndim != 2 else "mat2"
        raise RuntimeError(f"{which} must be a matrix")
    if a.shape[1] != b.shape[0]:
        raise RuntimeError(
            f"mat1 and mat2 shapes cannot be multiplied ({_times(a.shape)} and {_times(b.shape)})"
        )
    same_dtype(a, b)
    where = common_device(a, b)
    _no_bool(a.dtype, "addmm_impl_cpu_", *a.shape, b.shape[1])
    return Result((dense(a.dtype, (a.shape[0], b.shape[1]), where),))


def _mm_kernel(xp: Any, a: Any, b: Any) -> Any:
    return xp.matmul(a, b)


#: (m, k) times (k, n).
MM = Op(
    "mm", _mm_infer, _mm_kernel, family="matmul", save=(0, 1), save_if=(1, 0),
    vjp=(
        lambda n, g, a, b: apply(MM, (g, conj(t(b)))),
        lambda n, g, a, b: apply(MM, (conj(t(a)), g)),
    ),
)  # fmt: skip


def _bmm_infer(a: Spec, b: Spec) -> Result:
    _tensors("bmm", a, b, "mat2")
    for s, name in ((a, "batch1"), (b, "batch2")):
        if s.ndim != 3:
            raise RuntimeError(f"{name} must be a 3D tensor")
    if a.shape[0] != b.shape[0] or a.shape[2] != b.shape[1]:
        raise RuntimeError(
            f"Expected size for first two dimensions of batch2 tensor to be: "
            f"[{a.shape[0]}, {a.shape[2]}] but got: [{b.shape[0]}, {b.shape[1]}]."
        )
    if a.dtype is not b.dtype:
        raise RuntimeError(
            f"expected scalar type {scalar_name(a.dtype)} but found {scalar_name(b.dtype)}"
        )
    _no_bool(a.dtype, "bmm", *a.shape, b.shape[2])
    return Result((dense(a.dtype, (a.shape[0], a.shape[1], b.shape[2]), common_device(a, b)),))


#: (n, m, k) times (n, k, p).
BMM = Op(
    "bmm", _bmm_infer, _mm_kernel, family="matmul", save=(0, 1), save_if=(1, 0),
    vjp=(
        lambda n, g, a, b: apply(BMM, (g, conj(transpose(b, 1, 2)))),
        lambda n, g, a, b: apply(BMM, (conj(transpose(a, 1, 2)), g)),
    ),
)  # fmt: skip


def _mv_infer(a: Spec, v: Spec) -> Result:
    _tensors("mv", a, v, "vec")
    if a.ndim != 2 or v.ndim != 1:
        raise RuntimeError(f"vector + matrix @ vector expected, got 1, {a.ndim}, {v.ndim}")
    if a.shape[1] != v.shape[0]:
        raise RuntimeError(
            f"size mismatch, got input ({a.shape[0]}), mat ({_times(a.shape)}), vec ({v.shape[0]})"
        )
    if a.dtype is not v.dtype:
        matrix, vector = scalar_name(a.dtype), scalar_name(v.dtype)
        raise RuntimeError(
            "addmv input tensors must have the same dtype, but got "
            f"{vector}, {matrix}, and {vector}"
        )
    _no_bool(a.dtype, "addmv_impl_cpu", *a.shape)
    return Result((dense(a.dtype, (a.shape[0],), common_device(a, v)),))


#: (m, k) times (k).
MV = Op(
    "mv", _mv_infer, _mm_kernel, family="matmul", save=(0, 1), save_if=(1, 0),
    vjp=(
        lambda n, g, a, v: mul(unsqueeze(g, 1), conj(unsqueeze(v, 0))),
        lambda n, g, a, v: apply(MV, (conj(t(a)), g)),
    ),
)  # fmt: skip


def _dot_infer(a: Spec, b: Spec) -> Result:
    _tensors("dot", a, b, "tensor")
    if a.ndim != 1 or b.ndim != 1:
        raise RuntimeError(f"1D tensors expected, but got {a.ndim}D and {b.ndim}D tensors")
    if a.dtype is not b.dtype:
        raise RuntimeError(
            "dot : expected both vectors to have same dtype, but found "
            f"{scalar_name(a.dtype)} and {scalar_name(b.dtype)}"
        )
    if a.shape != b.shape:
        raise RuntimeError(
            "inconsistent tensor size, expected tensor "
            f"[{a.shape[0]}] and src [{b.shape[0]}] to have the same number of elements, but got "
            f"{a.shape[0]} and {b.shape[0]} elements respectively"
        )
    _no_bool(a.dtype, "dot")
    return Result((dense(a.dtype, (), common_device(a, b)),))


DOT = Op(
    "dot", _dot_infer, lambda xp, a, b: xp.dot(a, b), family="matmul", save=(0, 1),
    save_if=(1, 0), vjp=(lambda n, g, a, b: mul(g, conj(b)), lambda n, g, a, b: mul(g, conj(a))),
)  # fmt: skip


def mm(input: Tensor, mat2: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Matrix product of (m, k) and (k, n).

    >>> import cresset as torch
    >>> torch.mm(torch.ones(2, 3), torch.ones(3, 2))
    tensor([[3., 3.],
            [3., 3.]])
    """
    return into_typed(out, apply(MM, (input, mat2)))


def bmm(input: Tensor, mat2: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Matrix products of a batch: (b, m, k) and (b, k, n).

    >>> import cresset as torch
    >>> torch.bmm(torch.ones(2, 1, 3), torch.ones(2, 3, 1)).shape
    torch.Size([2, 1, 1])
    """
    return into_typed(out, apply(BMM, (input, mat2)))


def mv(input: Tensor, vec: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Matrix (m, k) times vector (k).

    >>> import cresset as torch
    >>> torch.mv(torch.eye(2), torch.tensor([1., 2.]))
    tensor([1., 2.])
    """
    return into(out, apply(MV, (input, vec)))


def dot(input: Tensor, tensor: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Inner product of two vectors (no conjugation).

    >>> import cresset as torch
    >>> torch.dot(torch.tensor([1., 2.]), torch.tensor([3., 4.]))
    tensor(11.)
    """
    return into(out, apply(DOT, (input, tensor)))


def outer(input: Tensor, vec2: Tensor, *, out: Tensor | None = None) -> Tensor:
    """All products of the elements of two vectors.

    >>> import cresset as torch
    >>> torch.outer(torch.tensor([1, 2]), torch.tensor([1, 10]))
    tensor([[ 1, 10],
            [ 2, 20]])
    """
    for x, name in ((input, "self"), (vec2, "vec2")):
        if x.ndim != 1:
            raise RuntimeError(f"outer: Expected 1-D argument {name}, but got {x.ndim}-D")
    return into(out, mul(unsqueeze(input, 1), vec2))


ger = outer


def matmul(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The matrix product with NumPy's rules: vectors are rows or columns, batches broadcast.

    >>> import cresset as torch
    >>> torch.matmul(torch.ones(5, 2, 3), torch.ones(3, 4)).shape
    torch.Size([5, 2, 4])
    """
    if not isinstance(other, Tensor):
        raise TypeError(
            f"matmul(): argument 'other' (position 2) must be Tensor, not {type(other).__name__}"
        )
    result = _matmul(input, other)
    return result if out is None else into(out, result)


def _matmul(a: Tensor, b: Tensor) -> Tensor:
    na, nb = len(a._spec.shape), len(b._spec.shape)
    if na == 2 and nb == 2:
        return apply(MM, (a, b))
    if na == 0 or nb == 0:
        raise RuntimeError(
            f"both arguments to matmul need to be at least 1D, but they are {na}D and {nb}D"
        )
    if na == 1 and nb == 1:
        return apply(DOT, (a, b))
    if na == 2 and nb == 1:
        return apply(MV, (a, b))
    if na == 1 and nb == 2:
        return view(SQUEEZE_DIM_IN_PLACE, apply(MM, (unsqueeze(a, 0), b)), ((0,),))
    if nb == 1:
        rows = a._spec.shape[:-1]
        flat = apply(MV, (reshape(a, (math.prod(rows), a._spec.shape[-1])), b))
        return unsafe_view(flat, rows)
    if nb == 2:
        rows = a._spec.shape[:-1]
        flat = apply(MM, (reshape(a, (math.prod(rows), a._spec.shape[-1])), b))
        return unsafe_view(flat, (*rows, b._spec.shape[-1]))
    vector = na == 1
    if vector:
        a = unsqueeze(a, 0)
    batch = broadcast_shapes(a._spec.shape[:-2], b._spec.shape[:-2])
    m, k = a._spec.shape[-2:]
    k2, n = b._spec.shape[-2:]
    count = math.prod(batch)
    a3 = reshape(expand(a, (*batch, m, k)), (count, m, k))
    b3 = reshape(expand(b, (*batch, k2, n)), (count, k2, n))
    return unsafe_view(apply(BMM, (a3, b3)), (*batch, n) if vector else (*batch, m, n))


def __matmul__(self: Tensor, other: Any) -> Any:
    return _matmul(self, other) if isinstance(other, Tensor) else NotImplemented


def vdot(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Inner product with the first vector conjugated.

    >>> import cresset as torch
    >>> torch.vdot(torch.tensor([1j]), torch.tensor([2j]))
    tensor(2.+0.j)
    """
    return into(out, apply(DOT, (conj(input), other)))


# -- the dense layer -------------------------------------------------------------------------------


def _check_bias(bias: tuple[int, ...], rows: tuple[int, int]) -> None:
    """The bias expands to the rows of the result."""
    if len(bias) > 2 or any(n not in (1, m) for n, m in zip(bias[::-1], rows[::-1], strict=False)):
        raise RuntimeError(
            f"The expanded size of the tensor ({rows[1]}) must match the existing size "
            f"({bias[-1]}) at non-singleton dimension 1.  Target sizes: {list(rows)}.  Tensor "
            f"sizes: {list(bias)}"
        )


def _linear_infer(bias: Spec, x: Spec, weight: Spec) -> Result:
    if weight.ndim != 2:
        raise RuntimeError("weight must be a matrix")
    if not x.shape or x.shape[-1] != weight.shape[1]:
        rows = (math.prod(x.shape[:-1]), x.shape[-1]) if x.shape else ()
        raise RuntimeError(
            f"mat1 and mat2 shapes cannot be multiplied ({_times(rows)} and "
            f"{weight.shape[1]}x{weight.shape[0]})"
        )
    if x.dtype is not weight.dtype:
        raise RuntimeError(
            "mat1 and mat2 must have the same dtype, but got "
            f"{scalar_name(x.dtype)} and {scalar_name(weight.dtype)}"
        )
    if bias.dtype is not x.dtype:
        raise RuntimeError(
            "self and mat2 must have the same dtype, but got "
            f"{scalar_name(bias.dtype)} and {scalar_name(weight.dtype)}"
        )
    if bias.shape not in ((weight.shape[0],), (1,), ()):
        _check_bias(bias.shape, (math.prod(x.shape[:-1]), weight.shape[0]))
    where = common_device(bias, x, weight)
    return Result((dense(x.dtype, (*x.shape[:-1], weight.shape[0]), where),))


def _linear_kernel(xp: Any, bias: Any, x: Any, weight: Any) -> Any:
    product = xp.matmul(x, weight.T)
    product += bias
    return product


def _linear_grad(n: Any, g: Tensor, x: Tensor | None, weight: Tensor | None) -> tuple:
    needs = n.needs
    operands = (g, g if x is None else x, g if weight is None else weight)
    parts = iter(apply(LINEAR_GRAD, operands, (needs,)))
    return tuple(next(parts) if needed else None for needed in needs)


def _linear_grad_body(g: Tensor, x: Tensor, weight: Tensor, needs: tuple) -> tuple:
    """(bias, input, weight) gradients, those that are needed."""
    wide = g._spec.shape[-1]
    rows = g if g.ndim == 2 else reshape(g, (-1, wide))
    results = []
    if needs[0]:
        results.append(apply(SUM_DIM, (rows,), ((0,), False, rows._spec.dtype)))
    if needs[1]:
        results.append(_matmul(g, conj(weight)))
    if needs[2]:
        flat = x if x.ndim == 2 else reshape(x, (-1, x._spec.shape[-1]))
        results.append(apply(MM, (t(rows), conj(flat))))
    return tuple(results)


LINEAR_GRAD = Op("linear_backward", None, body=_linear_grad_body, multi=True)
#: ``x @ weight.T + bias`` with operands (bias, x, weight), in PyTorch's order of next_functions.
LINEAR = Op(
    "linear", _linear_infer, _linear_kernel, vjp=_linear_grad, save=(1, 2), save_if=(2, 1),
    grad_name="AddmmBackward0", family="matmul",
)  # fmt: skip


#: The same for inputs of more than two dimensions, under the names of PyTorch's last step.
LINEAR_ROWS, LINEAR_SUM = (
    Op("linear", _linear_infer, _linear_kernel, vjp=_linear_grad, save=(1, 2), save_if=(2, 1),
       grad_name=name, family="matmul")
    for name in ("ViewBackward0", "AddBackward0")
)  # fmt: skip


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    r"""``input @ weight.T + bias``.

    Shapes: input (*, in), weight (out, in), bias (out), result (*, out).

    >>> import cresset as torch
    >>> torch.nn.functional.linear(torch.ones(1, 3), torch.ones(2, 3), torch.tensor([0., 1.]))
    tensor([[3., 4.]])
    """
    if bias is None:
        if not isinstance(input, Tensor):
            raise not_a_tensor("linear", input)
        return _matmul(input, t(weight))
    try:
        spec = input._spec
    except AttributeError:
        raise not_a_tensor("linear", input) from None
    if len(spec.shape) == 2:
        return apply(LINEAR, (bias, input, weight))
    if len(spec.shape) == 1:
        return reshape(apply(LINEAR, (bias, unsqueeze(input, 0), weight)), (-1,))
    return apply(LINEAR_ROWS if spec.contiguous else LINEAR_SUM, (bias, input, weight))


TORCH = ("mm", "bmm", "mv", "dot", "vdot", "outer", "ger", "matmul")
METHODS = (*TORCH, "__matmul__")
