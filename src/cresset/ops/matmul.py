"""Matrix products: two primitives (``mm``, ``bmm``) and what is built from them.

``linear`` is one node with one backward node: a dense layer is the commonest op there is.
"""

from __future__ import annotations

import math
from typing import Any

from cresset import dtypes
from cresset.core.spec import Spec, dense
from cresset.ops.inplace import into, scalar_name
from cresset.ops.pointwise import add, conj, mul
from cresset.ops.reduce import SUM_DIM
from cresset.ops.reduce import sum as sum_
from cresset.ops.registry import (
    Op,
    Result,
    Tensor,
    apply,
    broadcast_shapes,
    common_device,
)
from cresset.ops.view import expand, reshape, squeeze, t, transpose, unsqueeze


def same_dtype(a: Spec, b: Spec) -> None:
    """Matrix products do not promote."""
    if a.dtype is not b.dtype:
        raise RuntimeError(
            f"expected m1 and m2 to have the same dtype, but got: {_c_name(a)} != {_c_name(b)}"
        )


_C_NAMES = {
    "float32": "float", "float64": "double", "int64": "long long", "int32": "int",
    "int16": "short int", "int8": "signed char", "uint8": "unsigned char", "bool": "bool",
    "float16": "c10::Half", "bfloat16": "c10::BFloat16", "complex64": "c10::complex<float>",
    "complex128": "c10::complex<double>",
}  # fmt: skip


def _c_name(s: Spec) -> str:
    return _C_NAMES[s.dtype.name]


def _scalar_name(s: Spec) -> str:
    """PyTorch's name of an element type: ``Float``, ``Long``."""
    return s.dtype.torch_type.removesuffix("Tensor")


def _times(shape: Any) -> str:
    return "x".join(map(str, shape))


def _mm_infer(a: Spec, b: Spec) -> Result:
    if a.ndim != 2 or b.ndim != 2:
        which = "self" if a.ndim != 2 else "mat2"
        raise RuntimeError(f"{which} must be a matrix")
    if a.shape[1] != b.shape[0]:
        raise RuntimeError(
            f"mat1 and mat2 shapes cannot be multiplied ({_times(a.shape)} and {_times(b.shape)})"
        )
    same_dtype(a, b)
    where = common_device(a, b)
    if a.dtype is dtypes.bool_:
        raise RuntimeError(f"\"addmm_impl_cpu_\" not implemented for '{scalar_name(a.dtype)}'")
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
    for s, name in ((a, "batch1"), (b, "batch2")):
        if s.ndim != 3:
            raise RuntimeError(f"{name} must be a 3D tensor")
    if a.shape[0] != b.shape[0] or a.shape[2] != b.shape[1]:
        raise RuntimeError(
            f"Expected size for first two dimensions of batch2 tensor to be: "
            f"[{a.shape[0]}, {a.shape[2]}] but got: [{b.shape[0]}, {b.shape[1]}]."
        )
    same_dtype(a, b)
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
    if a.ndim != 2 or v.ndim != 1:
        raise RuntimeError(f"vector + matrix @ vector expected, got {v.ndim}, {a.ndim}, {v.ndim}")
    if a.shape[1] != v.shape[0]:
        raise RuntimeError(f"size mismatch, got input ({a.shape[0]}), mat ({_times(a.shape)}), vec ({v.shape[0]})")  # noqa: E501  # fmt: skip
    same_dtype(a, v)
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
    return into(out, apply(MM, (input, mat2)))


def bmm(input: Tensor, mat2: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Matrix products of a batch: (b, m, k) and (b, k, n).

    >>> import cresset as torch
    >>> torch.bmm(torch.ones(2, 1, 3), torch.ones(2, 3, 1)).shape
    torch.Size([2, 1, 1])
    """
    return into(out, apply(BMM, (input, mat2)))


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


def inner(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Sum of products over the last dimension of both.

    >>> import cresset as torch
    >>> torch.inner(torch.ones(2, 3), torch.ones(3))
    tensor([3., 3.])
    """
    if not input.shape or not other.shape:
        return into(out, mul(input, other))
    return into(out, tensordot(input, other, dims=([-1], [-1])))


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
        return squeeze(apply(MM, (unsqueeze(a, 0), b)), 0)
    if nb == 1:
        rows = a._spec.shape[:-1]
        return reshape(apply(MV, (reshape(a, (-1, a._spec.shape[-1])), b)), rows)
    if nb == 2:
        rows = a._spec.shape[:-1]
        flat = apply(MM, (reshape(a, (math.prod(rows), a._spec.shape[-1])), b))
        return reshape(flat, (*rows, b._spec.shape[-1]))
    vector = na == 1
    if vector:
        a = unsqueeze(a, 0)
    batch = broadcast_shapes(a._spec.shape[:-2], b._spec.shape[:-2])
    m, k = a._spec.shape[-2:]
    k2, n = b._spec.shape[-2:]
    count = math.prod(batch)
    a3 = reshape(expand(a, (*batch, m, k)), (count, m, k))
    b3 = reshape(expand(b, (*batch, k2, n)), (count, k2, n))
    result = reshape(apply(BMM, (a3, b3)), (*batch, m, n))
    return squeeze(result, -2) if vector else result


def __matmul__(self: Tensor, other: Any) -> Any:
    return _matmul(self, other) if isinstance(other, Tensor) else NotImplemented


def addmm(
    input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: Any = 1, alpha: Any = 1,
    out: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """``beta * input + alpha * (mat1 @ mat2)``.

    >>> import cresset as torch
    >>> torch.addmm(torch.ones(2), torch.eye(2), torch.eye(2))
    tensor([[2., 1.],
            [1., 2.]])
    """
    return into(out, _add_product(input, apply(MM, (mat1, mat2)), beta, alpha))


def addbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1,
           out: Tensor | None = None) -> Tensor:  # fmt: skip
    """``beta * input + alpha * sum over the batch of (batch1 @ batch2)``."""
    return into(out, _add_product(input, sum_(apply(BMM, (batch1, batch2)), 0), beta, alpha))


def baddbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1,
            out: Tensor | None = None) -> Tensor:  # fmt: skip
    """``beta * input + alpha * (batch1 @ batch2)``, batch by batch."""
    return into(out, _add_product(input, apply(BMM, (batch1, batch2)), beta, alpha))


def addmv(input: Tensor, mat: Tensor, vec: Tensor, *, beta: Any = 1, alpha: Any = 1,
          out: Tensor | None = None) -> Tensor:  # fmt: skip
    """``beta * input + alpha * (mat @ vec)``."""
    return into(out, _add_product(input, apply(MV, (mat, vec)), beta, alpha))


def addr(input: Tensor, vec1: Tensor, vec2: Tensor, *, beta: Any = 1, alpha: Any = 1,
         out: Tensor | None = None) -> Tensor:  # fmt: skip
    """``beta * input + alpha * outer(vec1, vec2)``."""
    return into(out, _add_product(input, outer(vec1, vec2), beta, alpha))


def _add_product(x: Tensor, product: Tensor, beta: Any, alpha: Any) -> Tensor:
    if alpha != 1:
        product = mul(product, alpha)
    if beta == 0:
        return expand(product, broadcast_shapes(x._spec.shape, product._spec.shape))
    return add(product, x if beta == 1 else mul(x, beta))


# -- the dense layer -------------------------------------------------------------------------------


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
            f"{_scalar_name(x)} and {_scalar_name(weight)}"
        )
    if bias.dtype is not x.dtype:
        raise RuntimeError(
            "self and mat2 must have the same dtype, but got "
            f"{_scalar_name(bias)} and {_scalar_name(weight)}"
        )
    broadcast_shapes(bias.shape, (weight.shape[0],))
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


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    r"""``input @ weight.T + bias``.

    Shapes: input (*, in), weight (out, in), bias (out), result (*, out).

    >>> import cresset as torch
    >>> torch.nn.functional.linear(torch.ones(1, 3), torch.ones(2, 3), torch.tensor([0., 1.]))
    tensor([[3., 4.]])
    """
    if bias is None:
        return _matmul(input, t(weight))
    if len(input._spec.shape) == 1:
        return add(_matmul(weight, input), bias)
    return apply(LINEAR, (bias, input, weight))


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``input1[i] weight[o, i, j] input2[j] + bias[o]`` over the last dimensions."""
    result = einsum("...i,oij,...j->...o", input1, weight, input2)
    return result if bias is None else add(result, bias)


# -- contractions ----------------------------------------------------------------------------------


def tensordot(a: Tensor, b: Tensor, dims: Any = 2, out: Tensor | None = None) -> Tensor:
    """Sum of products over ``dims``: a number of trailing/leading ones, or two lists.

    >>> import cresset as torch
    >>> torch.tensordot(torch.ones(2, 3, 4), torch.ones(3, 4, 5)).shape
    torch.Size([2, 5])
    """
    if isinstance(dims, Tensor):
        dims = dims.tolist()
    if isinstance(dims, int):
        if dims < 0:
            raise RuntimeError(f"tensordot expects dims >= 0, but got dims={dims}")
        if dims > min(a.ndim, b.ndim):
            raise RuntimeError(f"tensordot expects dims < ndim_a or ndim_b, but got dims={dims}")
        in_a, in_b = list(range(a.ndim - dims, a.ndim)), list(range(dims))
    else:
        in_a, in_b = ([d] if isinstance(d, int) else list(d) for d in dims)
    in_a = [d % a.ndim for d in in_a]
    in_b = [d % b.ndim for d in in_b]
    for i, j in zip(in_a, in_b, strict=True):
        if a.shape[i] != b.shape[j]:
            raise RuntimeError(
                f"contracted dimensions need to match, but first has size {a.shape[i]} in dim {i} "
                f"and second has size {b.shape[j]} in dim {j}"
            )
    free_a = [i for i in range(a.ndim) if i not in in_a]
    free_b = [j for j in range(b.ndim) if j not in in_b]
    inner_size = math.prod(a.shape[i] for i in in_a)
    left = reshape(a.permute(free_a + in_a), (math.prod(a.shape[i] for i in free_a), inner_size))  # type: ignore[attr-defined]
    right = reshape(b.permute(in_b + free_b), (inner_size, math.prod(b.shape[j] for j in free_b)))  # type: ignore[attr-defined]
    shape = [a.shape[i] for i in free_a] + [b.shape[j] for j in free_b]
    return into(out, reshape(apply(MM, (left, right)), shape))


def einsum(equation: Any, *operands: Any) -> Tensor:
    """Einstein summation: products summed over the indices missing on the right.

    >>> import cresset as torch
    >>> torch.einsum('ij,jk->ik', torch.ones(2, 3), torch.ones(3, 4)).shape
    torch.Size([2, 4])
    """
    if not isinstance(equation, str):
        equation, operands = _from_sublists((equation, *operands))
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = tuple(operands[0])
    terms, result = _parse(equation, operands)
    sizes: dict[str, int] = {}
    for term, x in zip(terms, operands, strict=True):
        for label, n in zip(term, x.shape, strict=True):
            have = sizes.get(label, 1)
            if have != 1 and n not in (1, have):
                raise RuntimeError(
                    f"einsum(): subscript {label} has size {n} for operand "
                    f"{operands.index(x)} which does not broadcast with previously seen size {have}"
                )
            sizes[label] = max(have, n) if n != 0 and have != 0 else 0
    current, labels = _diagonals(operands[0], terms[0])
    for i in range(1, len(operands)):
        x, more = _diagonals(operands[i], terms[i])
        later = set(result).union(*terms[i + 1 :]) if terms[i + 1 :] else set(result)
        current, labels = _contract(current, labels, x, more, later)
    drop = [i for i, label in enumerate(labels) if label not in result]
    if drop:
        current = sum_(current, drop)
        labels = [label for label in labels if label in result]
    return current.permute([labels.index(label) for label in result])  # type: ignore[attr-defined]


def _from_sublists(args: tuple) -> tuple[str, tuple]:
    """The alternating operand/sublist form as an equation."""

    def letters(sublist: Any) -> str:
        return "".join("..." if s is Ellipsis else chr(ord("a") + s if s < 26 else ord("A") + s - 26)  # noqa: E501
                       for s in sublist)  # fmt: skip

    operands, terms = args[0::2], args[1::2]
    if len(args) % 2:
        return ",".join(map(letters, terms)) + "->" + letters(operands[-1]), operands[:-1]
    return ",".join(map(letters, terms)), operands


def _parse(equation: str, operands: tuple) -> tuple[list[str], str]:
    """Labels per operand and of the result; '...' becomes labels of its own."""
    text = equation.replace(" ", "")
    left, arrow, right = text.partition("->")
    terms = left.split(",")
    if len(terms) != len(operands):
        raise RuntimeError(
            "einsum(): more operands were provided than specified in the equation"
            if len(terms) < len(operands)
            else "einsum(): fewer operands were provided than specified in the equation"
        )
    widest = 0
    for term, x in zip(terms, operands, strict=True):
        if "..." in term:
            widest = max(widest, x.ndim - len(term) + 3)
    hidden = [chr(0x100 + i) for i in range(widest)]
    full = []
    for i, (term, x) in enumerate(zip(terms, operands, strict=True)):
        if "..." in term:
            n = x.ndim - len(term) + 3
            term = term.replace("...", "".join(hidden[widest - n :]))
        if len(term) != x.ndim:
            raise RuntimeError(
                f"einsum(): the number of subscripts in the equation ({len(term)}) does not match "
                f"the number of dimensions ({x.ndim}) for operand {i} and no ellipsis was given"
            )
        full.append(term)
    every = "".join(full)
    if arrow:
        result = right.replace("...", "".join(hidden))
        for label in result:
            if label not in every:
                raise RuntimeError(
                    f"einsum(): output subscript {label} does not appear in the equation for any "
                    "input operand"
                )
    else:
        once = sorted(c for c in set(every) if every.count(c) == 1 and c not in hidden)
        result = "".join(hidden) + "".join(once)
    return full, result


def _diagonals(x: Tensor, term: str) -> tuple[Tensor, list[str]]:
    """Repeated labels within one operand select a diagonal."""
    labels = list(term)
    for label in dict.fromkeys(term):
        while labels.count(label) > 1:
            i = labels.index(label)
            j = labels.index(label, i + 1)
            x = x.diagonal(0, i, j)  # type: ignore[attr-defined]
            labels = [c for k, c in enumerate(labels) if k not in (i, j)] + [label]
    return x, labels


def _contract(
    a: Tensor, la: list[str], b: Tensor, lb: list[str], later: set[str]
) -> tuple[Tensor, list[str]]:
    """Multiply two operands, summing the labels that nothing needs afterwards, by one bmm."""
    shared = [c for c in la if c in lb]
    # A broadcast label of size 1 on one side cannot be contracted by a matrix product.
    for c in list(shared):
        na, nb = a.shape[la.index(c)], b.shape[lb.index(c)]
        if na != nb:
            n = max(na, nb)
            if na == 1:
                a = a.expand([n if k == c else s for k, s in zip(la, a.shape, strict=True)])  # type: ignore[attr-defined]
            else:
                b = b.expand([n if k == c else s for k, s in zip(lb, b.shape, strict=True)])  # type: ignore[attr-defined]
    for x_labels, other in ((la, lb), (lb, la)):
        lone = [c for c in x_labels if c not in other and c not in later]
        if lone:
            dims = [x_labels.index(c) for c in lone]
            if x_labels is la:
                a = sum_(a, dims)
                la = [c for c in la if c not in lone]
            else:
                b = sum_(b, dims)
                lb = [c for c in lb if c not in lone]
    batch = [c for c in shared if c in later]
    inner_ = [c for c in shared if c not in later]
    free_a = [c for c in la if c not in shared]
    free_b = [c for c in lb if c not in shared]
    size = dict(zip(la, a.shape, strict=True)) | dict(zip(lb, b.shape, strict=True))

    def count(labels: list[str]) -> int:
        return math.prod(size[c] for c in labels)

    left = a.permute([la.index(c) for c in batch + free_a + inner_])  # type: ignore[attr-defined]
    right = b.permute([lb.index(c) for c in batch + inner_ + free_b])  # type: ignore[attr-defined]
    product = apply(
        BMM,
        (
            reshape(left, (count(batch), count(free_a), count(inner_))),
            reshape(right, (count(batch), count(inner_), count(free_b))),
        ),
    )
    labels = batch + free_a + free_b
    return reshape(product, [size[c] for c in labels]), labels


def chain_matmul(*matrices: Tensor, out: Tensor | None = None) -> Tensor:
    """The product of several matrices, left to right."""
    result = matrices[0]
    for m in matrices[1:]:
        result = apply(MM, (result, m))
    return into(out, result)


def vdot(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Inner product with the first vector conjugated."""
    return into(out, apply(DOT, (conj(input), other)))


TORCH = (
    "mm", "bmm", "mv", "dot", "vdot", "inner", "outer", "ger", "matmul", "addmm", "addbmm",
    "baddbmm", "addmv", "addr", "bilinear", "tensordot", "einsum", "chain_matmul",
)  # fmt: skip
METHODS = (
    "mm", "bmm", "mv", "dot", "vdot", "inner", "outer", "ger", "matmul", "addmm", "addbmm",
    "baddbmm", "addmv", "addr", "__matmul__",
)  # fmt: skip
IN_PLACE = ("addmm", "addbmm", "baddbmm", "addmv", "addr")
