"""Views: the same memory seen with another geometry. They cost no node in the graph.

A view op is a rule from one spec to another (``geometry(spec, *params)``), kept in a table of
results, plus its derivative. Where the derivative is not given, the gradient is written into zeros
of the operand's shape, at the place the same rule gives on a dense operand.

Here is that mechanism, and the views of all elements. Parts of a tensor are in ``parts.py``,
several parts at once in ``split.py``, other dtypes of the same bytes in ``reinterpret.py``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from cresset.core.spec import Spec, dense
from cresset.core.spec import spec as make_spec
from cresset.ops.inplace import SUM_INTO, contiguous, filled, record_view, write_flat
from cresset.ops.registry import Op, Tensor, apply, as_shape, wrap_dim
from cresset.tensor import view_of

_seen: dict[tuple, Spec] = {}
_MOST_SEEN = 20_000


def view(op: Op, x: Tensor, params: tuple) -> Tensor:
    """Record a view op: look its geometry up, share the storage."""
    key = (op, params, x._spec)
    new = _seen.get(key)
    if new is None:
        new = op.infer(x._spec, *params)
        if len(_seen) >= _MOST_SEEN:
            _seen.clear()
        _seen[key] = new
    if x._requires_grad or x._inference:
        return record_view(op, x, new, params)
    return view_of(x, new)


def _into_zeros(n: Any, g: Tensor) -> Tensor:
    """The gradient at its place in zeros of the operand's shape."""
    whole = n.call.specs[0]
    base = dense(g.dtype, whole.shape, g.device)
    place = n.op.infer(base, *n.call.params)
    zeros = filled(0, dense(g.dtype, (base.numel,), g.device))
    flat = write_flat(zeros, g, place.shape, place.stride, place.offset)
    return reshape(flat, whole.shape)


def summed_into_zeros(n: Any, g: Tensor) -> Tensor:
    """As ``_into_zeros`` for views whose elements overlap: what meets is added."""
    whole = n.call.specs[0]
    base = dense(g.dtype, whole.shape, g.device)
    place = n.op.infer(base, *n.call.params)
    flat = apply(SUM_INTO, (g,), (base.numel, place.shape, place.stride, place.offset))
    return reshape(flat, whole.shape)


def view_op(name: str, geometry: Callable[..., Spec], vjp: Any = _into_zeros,
             grad_name: str | None = None) -> Op:  # fmt: skip
    """A view op from its rule of geometry and its derivative."""
    return Op(name, geometry, vjp=(vjp,), grad_name=grad_name, family="view")


def respec(
    spec: Spec, shape: Sequence[int], stride: Sequence[int], offset: int | None = None
) -> Spec:
    """``spec`` with another shape and stride (and offset, if given)."""
    return make_spec(
        spec.dtype, tuple(shape), tuple(stride), spec.offset if offset is None else offset,
        spec.device,
    )  # fmt: skip


# -- the same elements under another shape ---------------------------------------------------------


def infer_size(shape: tuple[int, ...], numel: int) -> tuple[int, ...]:
    """Fill in a single -1; RuntimeError in PyTorch's words if it cannot be done."""
    if -1 not in shape:
        if any(n < 0 for n in shape):
            i = next(i for i, n in enumerate(shape) if n < 0)
            raise RuntimeError(
                f"invalid shape dimension {shape[i]} at index {i} of shape {list(shape)}"
            )
        if math.prod(shape) != numel:
            raise RuntimeError(f"shape '{list(shape)}' is invalid for input of size {numel}")
        return shape
    if shape.count(-1) > 1:
        raise RuntimeError("only one dimension can be inferred")
    if any(n < -1 for n in shape):
        raise RuntimeError(f"invalid shape dimension {min(shape)}")
    rest = math.prod(n for n in shape if n != -1)
    if rest == 0 and numel == 0:
        raise RuntimeError(
            f"cannot reshape tensor of 0 elements into shape {list(shape)} because the unspecified "
            "dimension size -1 can be any value and is ambiguous"
        )
    if rest == 0 or numel % rest:
        raise RuntimeError(f"shape '{list(shape)}' is invalid for input of size {numel}")
    return tuple(numel // rest if n == -1 else n for n in shape)


def viewed(spec: Spec, shape: tuple[int, ...]) -> Spec | None:
    """The spec with that shape over the same memory, or None if only a copy can have it."""
    if spec.contiguous:
        return make_spec(
            spec.dtype, shape, dense(spec.dtype, shape).stride, spec.offset, spec.device
        )
    # Walk both shapes from the last dimension; each run of old dimensions that is contiguous in
    # itself must be cut up evenly by new ones.
    stride = [0] * len(shape)
    i = len(shape) - 1
    run = 1
    base = spec.stride[-1] if spec.shape else 1
    for d in range(len(spec.shape) - 1, -1, -1):
        run *= spec.shape[d]
        last = d == 0
        if last or (spec.shape[d - 1] != 1 and spec.stride[d - 1] != run * base):
            step = 1
            while i >= 0 and (step < run or shape[i] == 1):
                stride[i] = step * base
                step *= shape[i]
                i -= 1
            if step != run:
                return None
            if not last:
                run, base = 1, spec.stride[d - 1]
    return None if i >= 0 else respec(spec, shape, stride)


def _view_geometry(spec: Spec, shape: tuple[int, ...]) -> Spec:
    new = viewed(spec, infer_size(shape, spec.numel))
    if new is None:
        raise RuntimeError(
            "view size is not compatible with input tensor's size and stride (at least one "
            "dimension spans across two contiguous subspaces). Use .reshape(...) instead."
        )
    return new


#: ``x[...]``: the whole tensor once more.
ALIAS = view_op("alias", lambda spec: spec, lambda n, g: g)
VIEW = view_op("view", _view_geometry, lambda n, g: reshape(g, n.call.specs[0].shape))


#: The reshaping of a result nobody else holds: a copy made by ``reshape``, a matrix product.
UNSAFE_VIEW = view_op("view", _view_geometry, lambda n, g: reshape(g, n.call.specs[0].shape),
                       grad_name="UnsafeViewBackward0")  # fmt: skip


def unsafe_view(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """``x.view(shape)`` for an ``x`` that only the caller holds: the result is nobody's view."""
    result = view(UNSAFE_VIEW, x, (shape,))
    result._base = None
    return result


def view_as_shape(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """``x.view(shape)``."""
    return view(VIEW, x, (shape,))


def reshape(input: Tensor, *shape: Any) -> Tensor:
    """The elements in another shape: a view where possible, else a copy. One size may be -1.

    >>> import cresset as torch
    >>> torch.reshape(torch.arange(4), (2, -1))
    tensor([[0, 1],
            [2, 3]])
    """
    wanted = infer_size(as_shape(shape), input._spec.numel)
    if viewed(input._spec, wanted) is None:
        return unsafe_view(contiguous(input), wanted)
    return view(VIEW, input, (wanted,))


def _permute_geometry(spec: Spec, dims: tuple[int, ...]) -> Spec:
    ndim = spec.ndim
    if len(dims) != ndim:
        raise RuntimeError(
            "permute(sparse_coo): number of dimensions in the tensor input does not match the "
            f"length of the desired ordering of dimensions i.e. input.dim() = {ndim} is not equal "
            f"to len(dims) = {len(dims)}"
        )
    wrapped = [wrap_dim(d, ndim) for d in dims]
    if len(set(wrapped)) != len(wrapped):
        raise RuntimeError("permute(): duplicate dims are not allowed.")
    return respec(spec, [spec.shape[d] for d in wrapped], [spec.stride[d] for d in wrapped])


def _permute_back(n: Any, g: Tensor) -> Tensor:
    dims = [d % len(g._spec.shape) for d in n.call.params[0]]
    return permute(g, [dims.index(i) for i in range(len(dims))])


PERMUTE = view_op("permute", _permute_geometry, _permute_back)


def permute(input: Tensor, *sizes: Any, dims: Any = ()) -> Tensor:
    """The dimensions in another order.

    >>> import cresset as torch
    >>> torch.permute(torch.zeros(2, 3, 5), (2, 0, 1)).shape
    torch.Size([5, 2, 3])
    """
    return view(PERMUTE, input, (as_shape(sizes or (dims,)),))


def _transpose_geometry(spec: Spec, dim0: int, dim1: int) -> Spec:
    dim0, dim1 = wrap_dim(dim0, spec.ndim), wrap_dim(dim1, spec.ndim)
    if not spec.shape:
        return spec
    shape, stride = list(spec.shape), list(spec.stride)
    shape[dim0], shape[dim1] = shape[dim1], shape[dim0]
    stride[dim0], stride[dim1] = stride[dim1], stride[dim0]
    return respec(spec, shape, stride)


TRANSPOSE = view_op("transpose", _transpose_geometry,
                     lambda n, g: transpose(g, *n.call.params))  # fmt: skip
#: ``transpose_``: its node has PyTorch's name for the in-place form.
TRANSPOSE_IN_PLACE = view_op("transpose", _transpose_geometry,
                              lambda n, g: transpose(g, *n.call.params),
                              grad_name="TransposeBackward1")  # fmt: skip
T = view_op("t", _transpose_geometry, lambda n, g: t(g), grad_name="TBackward0")


def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Two dimensions exchanged.

    >>> import cresset as torch
    >>> torch.transpose(torch.zeros(2, 3), 0, 1).shape
    torch.Size([3, 2])
    """
    return view(TRANSPOSE, input, (dim0, dim1))


swapaxes = swapdims = transpose


def t(input: Tensor) -> Tensor:
    """The transpose of a matrix; tensors of fewer dimensions are returned as they are.

    >>> import cresset as torch
    >>> torch.t(torch.zeros(2, 3)).shape
    torch.Size([3, 2])
    """
    ndim = len(input._spec.shape)
    if ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {ndim}D")
    return view(T, input, (0, 1) if ndim == 2 else (0, 0))


def numpy_T(input: Tensor) -> Tensor:
    """All dimensions reversed (``x.T``)."""
    return permute(input, tuple(range(len(input._spec.shape) - 1, -1, -1)))


def movedim(input: Tensor, source: Any, destination: Any) -> Tensor:
    """Dimensions moved to new places, the others keeping their order.

    >>> import cresset as torch
    >>> torch.movedim(torch.zeros(2, 3, 5), 0, -1).shape
    torch.Size([3, 5, 2])
    """
    ndim = len(input._spec.shape)
    from_ = [source] if isinstance(source, int) else list(source)
    to = [destination] if isinstance(destination, int) else list(destination)
    if len(from_) != len(to):
        raise RuntimeError(
            "movedim: Invalid source or destination dims: source "
            f"({from_} dims) should contain the same number of dims as destination ({to} dims)"
        )
    from_ = [wrap_dim(d, ndim) for d in from_]
    to = [wrap_dim(d, ndim) for d in to]
    if not ndim:
        return view(ALIAS, input, ())
    order: list[int | None] = [None] * ndim
    for a, b in zip(from_, to, strict=True):
        order[b] = a
    rest = iter(d for d in range(ndim) if d not in from_)
    return permute(input, [next(rest) if d is None else d for d in order])


moveaxis = movedim


def _expand_geometry(spec: Spec, sizes: tuple[int, ...]) -> Spec:
    extra = len(sizes) - spec.ndim
    if extra < 0:
        raise RuntimeError(
            f"expand(torch.{spec.dtype.torch_type}{{{list(spec.shape)}}}, size={list(sizes)}): the number "  # noqa: E501
            f"of sizes provided ({len(sizes)}) must be greater or equal to the number of dimensions "  # noqa: E501
            f"in the tensor ({spec.ndim})"
        )
    shape, stride = [], []
    # From the last dimension on, as PyTorch reports the first that does not fit there.
    for i, n in reversed(list(enumerate(sizes))):
        if i < extra:
            if n < 0:
                raise RuntimeError(
                    f"The expanded size of the tensor ({n}) isn't allowed in a leading, "
                    f"non-existing dimension {i}"
                )
            shape.append(n)
            stride.append(0)
            continue
        have, step = spec.shape[i - extra], spec.stride[i - extra]
        if n == -1 or n == have:
            shape.append(have)
            stride.append(step)
        elif have == 1:
            shape.append(n)
            stride.append(0)
        else:
            raise RuntimeError(
                f"The expanded size of the tensor ({n}) must match the existing size ({have}) at "
                f"non-singleton dimension {i}.  Target sizes: {list(sizes)}.  Tensor sizes: "
                f"{list(spec.shape)}"
            )
    return respec(spec, shape[::-1], stride[::-1])


EXPAND = view_op("expand", _expand_geometry,
                  lambda n, g: g._reduce_to(n.call.specs[0].shape, g.dtype))  # fmt: skip


def expand(input: Tensor, *sizes: Any) -> Tensor:
    """Dimensions of size 1 repeated without copying; -1 keeps a size.

    >>> import cresset as torch
    >>> torch.tensor([[1], [2]]).expand(2, 3)
    tensor([[1, 1, 1],
            [2, 2, 2]])
    """
    return view(EXPAND, input, (as_shape(sizes),))


def broadcast_to(input: Tensor, size: Any) -> Tensor:
    """``input.expand(size)``."""
    return expand(input, *as_shape((size,)))


def _squeeze_geometry(spec: Spec, dims: tuple[int, ...] | None) -> Spec:
    if dims is not None:
        drop = {wrap_dim(d, spec.ndim) for d in dims}
    else:
        drop = set(range(spec.ndim))
    kept = [i for i in range(spec.ndim) if not (i in drop and spec.shape[i] == 1)]
    return respec(spec, [spec.shape[i] for i in kept], [spec.stride[i] for i in kept])


SQUEEZE = view_op("squeeze", _squeeze_geometry,
                   lambda n, g: reshape(g, n.call.specs[0].shape))  # fmt: skip
SQUEEZE_DIM = view_op("squeeze", _squeeze_geometry,
                       lambda n, g: reshape(g, n.call.specs[0].shape),
                       "SqueezeBackward1")  # fmt: skip
SQUEEZE_DIMS = view_op("squeeze", _squeeze_geometry,
                        lambda n, g: reshape(g, n.call.specs[0].shape),
                        "SqueezeBackward2")  # fmt: skip
#: ``squeeze_``, without and with dimensions: names of nodes as PyTorch has them.
SQUEEZE_IN_PLACE, SQUEEZE_DIM_IN_PLACE = (
    view_op("squeeze", _squeeze_geometry, lambda n, g: reshape(g, n.call.specs[0].shape), name)
    for name in ("SqueezeBackward3", "SqueezeBackward4")
)


def squeeze(input: Tensor, dim: Any = None) -> Tensor:
    """Dimensions of size 1 removed: all of them, or those given.

    >>> import cresset as torch
    >>> torch.squeeze(torch.zeros(2, 1, 3, 1)).shape, torch.squeeze(torch.zeros(1, 1), 0).shape
    (torch.Size([2, 3]), torch.Size([1]))
    """
    if dim is None:
        return view(SQUEEZE, input, (None,))
    if isinstance(dim, int):
        return view(SQUEEZE_DIM, input, ((dim,),))
    return view(SQUEEZE_DIMS, input, (tuple(dim),))


def _unsqueeze_geometry(spec: Spec, dim: int) -> Spec:
    d = wrap_dim(dim, spec.ndim + 1)
    step = spec.shape[d] * spec.stride[d] if d < spec.ndim else 1
    return respec(
        spec, (*spec.shape[:d], 1, *spec.shape[d:]), (*spec.stride[:d], step, *spec.stride[d:])
    )


UNSQUEEZE = view_op("unsqueeze", _unsqueeze_geometry,
                     lambda n, g: squeeze(g, n.call.params[0]))  # fmt: skip


def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """A new dimension of size 1 at ``dim``.

    >>> import cresset as torch
    >>> torch.unsqueeze(torch.tensor([1, 2]), 1)
    tensor([[1],
            [2]])
    """
    return view(UNSQUEEZE, input, (dim,))


def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Dimensions ``start_dim`` to ``end_dim`` made one.

    >>> import cresset as torch
    >>> torch.flatten(torch.zeros(2, 3, 4), 1).shape
    torch.Size([2, 12])
    """
    shape = input._spec.shape
    first, last = wrap_dim(start_dim, len(shape)), wrap_dim(end_dim, len(shape))
    if first > last:
        raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
    if first == last and shape:
        return input
    return reshape(
        input,
        tuple(shape[:first]) + (math.prod(shape[first : last + 1]),) + tuple(shape[last + 1 :]),
    )


def ravel(input: Tensor) -> Tensor:
    """All elements in one dimension."""
    return view(VIEW, contiguous(input), ((input._spec.numel,),))


def unflatten(input: Tensor, dim: int, sizes: Any) -> Tensor:
    """One dimension split into several; one of ``sizes`` may be -1.

    >>> import cresset as torch
    >>> torch.unflatten(torch.zeros(3, 4, 1), 1, (2, 2)).shape
    torch.Size([3, 2, 2, 1])
    """
    shape = input._spec.shape
    d = wrap_dim(dim, len(shape))
    sizes = as_shape((sizes,))
    if not shape:
        raise RuntimeError("unflatten got an unexpected error:")
    try:
        inner = infer_size(sizes, shape[d])
    except RuntimeError:
        raise RuntimeError(
            f"unflatten: Provided sizes {list(sizes)} don't multiply up to the size of dim "
            f"{d} ({shape[d]}) in the input tensor"
        ) from None
    return view(VIEW, input, (tuple(shape[:d]) + inner + tuple(shape[d + 1 :]),))


def view_as(self: Tensor, other: Tensor) -> Tensor:
    """``self.view(other.size())``."""
    return view(VIEW, self, (tuple(other._spec.shape),))


def reshape_as(self: Tensor, other: Tensor) -> Tensor:
    """``self.reshape(other.size())``."""
    return reshape(self, other._spec.shape)


def expand_as(self: Tensor, other: Tensor) -> Tensor:
    """``self.expand(other.size())``."""
    return expand(self, other._spec.shape)


def _matrix_transpose(self: Tensor) -> Tensor:
    """The last two dimensions exchanged (``x.mT``)."""
    if self.ndim == 1:
        raise RuntimeError(
            "tensor.mT is only supported on matrices or batches of matrices. Got "
            f"{self.ndim}-D tensor."
        )
    return transpose(self, -2, -1) if self.ndim else self


#: Attributes rather than methods.
mT = property(_matrix_transpose)
T_property = property(numpy_T)

TORCH = (
    "reshape", "permute", "transpose", "swapaxes", "swapdims", "t", "movedim", "moveaxis",
    "broadcast_to", "squeeze", "unsqueeze", "flatten", "ravel", "unflatten",
)  # fmt: skip
METHODS = (*TORCH, "view_as", "reshape_as", "expand", "expand_as", "mT", "T=T_property")
