"""Several views at once: split, chunk, unbind. Autograd sees one node with several outputs."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
from typing import Any

from cresset.core.call import CALLS, Call, Result, intern
from cresset.core.modes import THREAD
from cresset.core.spec import dense
from cresset.core.tape import new_node
from cresset.ops.inplace import filled
from cresset.ops.parts import select, slice_dim
from cresset.ops.registry import Op, Tensor, wrap_dim


def _joined(n: Any, *grads: Tensor | None) -> tuple[Tensor]:
    """The gradients of parts side by side; zeros for those that nothing was made of."""
    from cresset.ops.join import cat, stack

    parts = [
        filled(0, dense(out.dtype, out.shape, out.device)) if g is None else g
        for g, out in zip(grads, n.call.outs, strict=True)
    ]
    return (stack(parts, n.call.params[0]) if n.op is UNBIND else cat(parts, n.call.params[0]),)


SPLIT, SPLIT_WITH_SIZES, UNSAFE_SPLIT, UNSAFE_SPLIT_WITH_SIZES, UNBIND = (
    Op(name, lambda s, dim: s, vjp=_joined, grad_name=f"{name}Backward0", multi=True)
    for name in ("Split", "SplitWithSizes", "UnsafeSplit", "UnsafeSplitWithSizes", "Unbind")
)


def _siblings(op: Op, input: Tensor, dim: int, make: Callable[[], list]) -> tuple[Tensor, ...]:
    """The views that ``make`` makes, as outputs of one node: then none may be written in place."""
    if not (input._requires_grad and THREAD.grad):
        return tuple(make())
    THREAD.grad = False
    try:
        views = tuple(make())
    finally:
        THREAD.grad = True
    specs = tuple([v._spec for v in views])
    call = CALLS.get((op, (dim, *specs), (input._spec,)))
    if call is None:
        call = Call(op, (dim,), (input._spec,), Result(specs))
        call = intern(op, (dim, *specs), (input._spec,), call)
    new_node(op, call, (input,), views)
    for i, view in enumerate(views):
        view._sibling = (i, op.name)
    return views


def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """The parts along a dimension, which disappears.

    >>> import cresset as torch
    >>> torch.unbind(torch.tensor([[1, 2], [3, 4]]))
    (tensor([1, 2]), tensor([3, 4]))
    """
    shape = input._spec.shape
    d = wrap_dim(dim, len(shape))
    if not shape:
        raise IndexError(f"Dimension specified as {d} but tensor has no dimensions")
    return _siblings(UNBIND, input, d, lambda: [select(input, d, i) for i in range(shape[d])])


def split(tensor: Tensor, split_size_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of ``split_size`` along a dimension (the last may be smaller), or of the given sizes.

    >>> import cresset as torch
    >>> torch.split(torch.arange(5), 2)
    (tensor([0, 1]), tensor([2, 3]), tensor([4]))
    """
    return _split(tensor, split_size_or_sections, dim, SPLIT, SPLIT_WITH_SIZES)


def unsafe_split(tensor: Tensor, split_size: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """``split`` into parts that may be written in place where autograd follows them."""
    return _alone(_split(tensor, split_size, dim, UNSAFE_SPLIT, UNSAFE_SPLIT_WITH_SIZES))


def unsafe_chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """``chunk`` into parts that may be written in place where autograd follows them."""
    return _alone(_chunk(input, chunks, dim, UNSAFE_SPLIT, UNSAFE_SPLIT_WITH_SIZES))


unsafe_split_with_sizes = unsafe_split


def _alone(parts: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    for part in parts:
        part._base = part._sibling = None
    return parts


def _split(tensor: Tensor, split_size_or_sections: Any, dim: int, one: Op, several: Op) -> tuple:
    if not tensor._spec.shape:
        raise RuntimeError("split expects at least a 1-dimensional tensor")
    d = wrap_dim(dim, len(tensor._spec.shape))
    n = tensor._spec.shape[d]
    if isinstance(split_size_or_sections, str):
        raise TypeError(
            "split_with_sizes(): argument 'split_sizes' (position 2) must be tuple of ints, not str"
        )
    if isinstance(split_size_or_sections, int):
        size = split_size_or_sections
        if size < 0:
            raise RuntimeError(
                f"split expects split_size be non-negative, but got split_size={size}"
            )
        if size == 0:
            if n:
                raise RuntimeError(
                    f"split_size can only be 0 if dimension size is 0, but got dimension size of {n}"  # noqa: E501
                )
            return (slice_dim(tensor, d, 0, 0),)
        starts = range(0, max(n, 1), size)
        return _siblings(
            one, tensor, d, lambda: [slice_dim(tensor, d, s, s + size) for s in starts]
        )
    sizes = [int(s) for s in split_size_or_sections]
    if sum(sizes) != n or any(s < 0 for s in sizes):
        raise RuntimeError(
            f"split_with_sizes expects split_sizes to sum exactly to {n} (input tensor's size at "
            f"dimension {d}), but got split_sizes={sizes}"
        )
    ends = list(accumulate(sizes))
    return _siblings(
        several, tensor, d,
        lambda: [slice_dim(tensor, d, b - a, b) for a, b in zip(sizes, ends, strict=True)],
    )  # fmt: skip


def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most ``chunks`` views of equal size along a dimension (the last may be smaller).

    >>> import cresset as torch
    >>> torch.chunk(torch.arange(5), 2)
    (tensor([0, 1, 2]), tensor([3, 4]))
    """
    return _chunk(input, chunks, dim, SPLIT, SPLIT_WITH_SIZES)


def _chunk(input: Tensor, chunks: int, dim: int, one: Op, several: Op) -> tuple[Tensor, ...]:
    if not input._spec.shape:
        raise RuntimeError("chunk expects at least a 1-dimensional tensor")
    if not hasattr(chunks, "__index__"):
        raise TypeError(
            f"chunk(): argument 'chunks' (position 1) must be int, not {type(chunks).__name__}"
        )
    if chunks <= 0:
        raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    n = input._spec.shape[wrap_dim(dim, len(input._spec.shape))]
    if n == 0:
        return _split(input, [0] * chunks, dim, one, several)
    return _split(input, -(-n // chunks), dim, one, several)


def tensor_split(input: Tensor, indices_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """``n`` parts whose sizes differ by at most 1, or parts between the given indices.

    >>> import cresset as torch
    >>> torch.tensor_split(torch.arange(5), 2)
    (tensor([0, 1, 2]), tensor([3, 4]))
    """
    if not input._spec.shape:
        raise RuntimeError(
            "tensor_split expected at least a 1-dimensional tensor, but got a tensor with 0 dims"
        )
    d = wrap_dim(dim, len(input._spec.shape))
    n = input._spec.shape[d]
    if isinstance(indices_or_sections, int):
        sections = indices_or_sections
        if sections <= 0:
            raise RuntimeError(f"number of sections must be larger than 0, got {sections}")
        cuts = [i * (n // sections) + min(i, n % sections) for i in range(sections + 1)]
    else:
        cuts = [0, *[int(i) for i in indices_or_sections], n]
    return tuple([slice_dim(input, d, a, b) for a, b in zip(cuts, cuts[1:], strict=False)])


def __iter__(self: Tensor) -> Any:
    """The parts along the first dimension."""
    if not self._spec.shape:
        raise TypeError("iteration over a 0-d tensor")
    return iter(unbind(self))


TORCH = (
    "unbind", "split", "chunk", "tensor_split", "unsafe_split", "unsafe_chunk",
    "unsafe_split_with_sizes",
)  # fmt: skip
METHODS = (*TORCH, "__iter__")
