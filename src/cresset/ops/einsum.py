"""Contractions: sums of products over chosen dimensions, brought to (batched) matrix products."""

from __future__ import annotations

import math
from typing import Any

from cresset.ops.inplace import into, scalar_name
from cresset.ops.matmul import BMM, DOT, MM
from cresset.ops.pointwise import add, mul
from cresset.ops.reduce import sum as sum_
from cresset.ops.registry import Tensor, apply, wrap_dim
from cresset.ops.view import reshape


def inner(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Sum of products over the last dimension of both.

    >>> import cresset as torch
    >>> torch.inner(torch.ones(2, 3), torch.ones(3))
    tensor([3., 3.])
    """
    if not input.shape or not other.shape:
        return into(out, mul(input, other))
    if input.shape[-1] != other.shape[-1]:
        raise RuntimeError(
            "inner() the last dimension must match on both input tensors but got shapes "
            f"{list(input.shape)} and {list(other.shape)}"
        )
    if input.ndim == other.ndim == 1:
        return into(out, apply(DOT, (input, other)))
    return into(out, tensordot(input, other, dims=([-1], [-1])))


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
        in_a, in_b = list(range(-dims, 0)), list(range(dims))
    else:
        in_a, in_b = ([d] if isinstance(d, int) else list(d) for d in dims)
    if len(in_a) != len(in_b):
        raise RuntimeError("both dimension lists should have same length")
    if a.dtype is not b.dtype:
        raise RuntimeError("both inputs should have same dtype")
    for i, j in zip(in_a, in_b, strict=True):
        n, m = (x.shape[wrap_dim(d, x.ndim)] for x, d in ((a, i), (b, j)))
        if n == m:
            continue
        if 1 not in (n, m):
            raise RuntimeError(
                f"contracted dimensions need to match, but first has size {n} in dim {i} and "
                f"second has size {m} in dim {j}"
            )
        # One element meets many: add those up first.
        if n == 1:
            b = sum_(b, j, True)
        else:
            a = sum_(a, i, True)
    in_a, in_b = ([wrap_dim(d, x.ndim) for d in dims_] for dims_, x in ((in_a, a), (in_b, b)))
    for found in (in_a, in_b):
        again = [d for i, d in enumerate(found) if d in found[:i]]
        if again:
            raise RuntimeError(f"dim {again[0]} appears multiple times in the list of dims")
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
    if not operands:
        raise ValueError(
            "einsum(): must specify the equation string and at least one operand, or at least one "
            "operand and its subscripts list"
        )
    if not isinstance(equation, str):
        equation, operands = _from_sublists((equation, *operands))
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = tuple(operands[0])
    terms, result = _parse(equation, operands)
    _check_sizes(terms, operands)
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


def _check_sizes(terms: list[str], operands: tuple) -> None:
    """Equal labels have equal sizes, but for 1 between operands."""
    sizes: dict[str, int] = {}
    for i, (term, x) in enumerate(zip(terms, operands, strict=True)):
        own: dict[str, int] = {}
        for label, n in zip(term, x.shape, strict=True):
            if own.setdefault(label, n) != n:
                raise RuntimeError(
                    f"einsum(): subscript {label} is repeated for operand {i} but the sizes don't "
                    f"match, {n} != {own[label]}"
                )
            have = sizes.get(label, 1)
            if have != 1 and n not in (1, have):
                raise RuntimeError(
                    f"einsum(): subscript {label} has size {n} for operand {i} which does not "
                    f"broadcast with previously seen size {have}"
                )
            sizes[label] = n if have == 1 else have
        first = operands[0].dtype
        if x.dtype is not first:
            raise RuntimeError(
                f"expected scalar type {scalar_name(first)} but found {scalar_name(x.dtype)}"
            )


def _check_letters(equation: str, start: int, text: str, where: str) -> None:
    """A term has letters and at most one ellipsis; ``start`` is its place in the equation."""
    seen = False
    i = 0
    while i < len(text):
        c = text[i]
        if c == ".":
            if seen:
                raise RuntimeError(
                    f"einsum(): found '.' for {where} "
                    + ("but an" if where == "output" else "for which an")
                    + (" ellipsis (...) was" if where == "output" else " ellipsis was")
                    + " already found"
                )
            if text[i : i + 3] != "...":
                kind = "ellipsis (...)" if where == "output" else "ellipsis"
                raise RuntimeError(
                    f"einsum(): found '.' for {where} that is not part of any {kind}"
                )
            seen = True
            i += 3
            continue
        if c != " " and not (c.isascii() and c.isalpha()):
            raise RuntimeError(
                f"einsum(): invalid subscript given at index {start + i} in the equation string, "
                "subscripts must be in [a-zA-Z]"
            )
        i += 1


def _parse(equation: str, operands: tuple) -> tuple[list[str], str]:
    """Labels per operand and of the result; '...' becomes labels of its own."""
    left, arrow, right = equation.partition("->")
    terms = left.split(",")
    start = 0
    for i, term in enumerate(terms):
        _check_letters(equation, start, term, f"operand {i}")
        start += len(term) + 1
    if len(terms) != len(operands):
        raise RuntimeError(
            "einsum(): more operands were provided than specified in the equation"
            if len(terms) < len(operands)
            else "einsum(): fewer operands were provided than specified in the equation"
        )
    terms = [term.replace(" ", "") for term in terms]
    widest = 0
    for term, x in zip(terms, operands, strict=True):
        if "..." in term:
            widest = max(widest, x.ndim - len(term) + 3)
    hidden = [chr(0x100 + i) for i in range(widest)]
    full = []
    for i, (term, x) in enumerate(zip(terms, operands, strict=True)):
        letters = len(term) - (3 if "..." in term else 0)
        if letters > x.ndim if "..." in term else letters != x.ndim:
            raise RuntimeError(
                f"einsum(): the number of subscripts in the equation ({letters}) "
                + ("is more than" if "..." in term else "does not match")
                + f" the number of dimensions ({x.ndim}) for operand {i}"
                + ("" if "..." in term else " and no ellipsis was given")
            )
        full.append(term.replace("...", "".join(hidden[widest - x.ndim + letters :])))
    every = "".join(full)
    if not arrow:
        once = sorted(c for c in set(every) if every.count(c) == 1 and c not in hidden)
        return full, "".join(hidden) + "".join(once)
    _check_letters(equation, len(left) + 2, right, "output")
    result = right.replace(" ", "").replace("...", "".join(hidden))
    for i, label in enumerate(result):
        if label in result[:i]:
            raise RuntimeError(
                f"einsum(): output subscript {label} appears more than once in the output"
            )
        if label not in every:
            raise RuntimeError(
                f"einsum(): output subscript {label} does not appear in the equation for any "
                "input operand"
            )
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


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``input1[i] weight[o, i, j] input2[j] + bias[o]`` over the last dimensions.

    >>> import cresset as torch
    >>> two, three = torch.tensor([[2.]]), torch.tensor([[3.]])
    >>> torch.nn.functional.bilinear(two, three, torch.ones(1, 1, 1))
    tensor([[6.]])
    """
    for i, (n, m) in enumerate(zip(input1.shape[:-1], input2.shape[:-1], strict=False)):
        if n != m:
            raise RuntimeError(
                f"bilinear(): input batch dimensions do not match at dim {i}: got {n} and {m}"
            )
    for i, x in ((1, input1), (2, input2)):
        if x.shape[-1] != weight.shape[i]:
            raise RuntimeError(
                f"bilinear(): input{i} size does not match weight size: got {x.shape[-1]} but "
                f"expected {weight.shape[i]}"
            )
    result = einsum("...i,oij,...j->...o", input1, weight, input2)
    return result if bias is None else add(result, bias)


TORCH = ("inner", "bilinear", "tensordot", "einsum")
METHODS = ("inner",)
