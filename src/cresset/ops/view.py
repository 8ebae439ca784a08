"""Views: the same memory seen with another geometry. They cost no node in the graph.

A view op is a rule from one spec to another (``geometry(spec, *params)``), kept in a table of
results, plus its derivative. Where the derivative is not given, the gradient is written into zeros
of the operand's shape, at the place the same rule gives on a dense operand.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

from cresset.core.call import CALLS, Call, Result, intern
from cresset.core.modes import THREAD
from cresset.core.spec import Spec, dense
from cresset.core.spec import spec as make_spec
from cresset.core.tape import new_node
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


def _summed_into_zeros(n: Any, g: Tensor) -> Tensor:
    """As ``_into_zeros`` for views whose elements overlap: what meets is added."""
    whole = n.call.specs[0]
    base = dense(g.dtype, whole.shape, g.device)
    place = n.op.infer(base, *n.call.params)
    flat = apply(SUM_INTO, (g,), (base.numel, place.shape, place.stride, place.offset))
    return reshape(flat, whole.shape)


def _view_op(name: str, geometry: Callable[..., Spec], vjp: Any = _into_zeros,
             grad_name: str | None = None) -> Op:  # fmt: skip
    return Op(name, geometry, vjp=(vjp,), grad_name=grad_name, family="view")


def _with(
    spec: Spec, shape: Sequence[int], stride: Sequence[int], offset: int | None = None
) -> Spec:
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
    return None if i >= 0 else _with(spec, shape, stride)


def _view_geometry(spec: Spec, shape: tuple[int, ...]) -> Spec:
    new = viewed(spec, infer_size(shape, spec.numel))
    if new is None:
        raise RuntimeError(
            "view size is not compatible with input tensor's size and stride (at least one "
            "dimension spans across two contiguous subspaces). Use .reshape(...) instead."
        )
    return new


#: ``x[...]``: the whole tensor once more.
ALIAS = _view_op("alias", lambda spec: spec, lambda n, g: g)
VIEW = _view_op("view", _view_geometry, lambda n, g: reshape(g, n.call.specs[0].shape))


#: The reshaping of a result nobody else holds: a copy made by ``reshape``, a matrix product.
UNSAFE_VIEW = _view_op("view", _view_geometry, lambda n, g: reshape(g, n.call.specs[0].shape),
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
    return _with(spec, [spec.shape[d] for d in wrapped], [spec.stride[d] for d in wrapped])


def _permute_back(n: Any, g: Tensor) -> Tensor:
    dims = [d % len(g._spec.shape) for d in n.call.params[0]]
    return permute(g, [dims.index(i) for i in range(len(dims))])


PERMUTE = _view_op("permute", _permute_geometry, _permute_back)


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
    return _with(spec, shape, stride)


TRANSPOSE = _view_op("transpose", _transpose_geometry,
                     lambda n, g: transpose(g, *n.call.params))  # fmt: skip
#: ``transpose_``: its node has PyTorch's name for the in-place form.
TRANSPOSE_IN_PLACE = _view_op("transpose", _transpose_geometry,
                              lambda n, g: transpose(g, *n.call.params),
                              grad_name="TransposeBackward1")  # fmt: skip
T = _view_op("t", _transpose_geometry, lambda n, g: t(g), grad_name="TBackward0")


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
    return _with(spec, shape[::-1], stride[::-1])


EXPAND = _view_op("expand", _expand_geometry,
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
    return _with(spec, [spec.shape[i] for i in kept], [spec.stride[i] for i in kept])


SQUEEZE = _view_op("squeeze", _squeeze_geometry,
                   lambda n, g: reshape(g, n.call.specs[0].shape))  # fmt: skip
SQUEEZE_DIM = _view_op("squeeze", _squeeze_geometry,
                       lambda n, g: reshape(g, n.call.specs[0].shape),
                       "SqueezeBackward1")  # fmt: skip
SQUEEZE_DIMS = _view_op("squeeze", _squeeze_geometry,
                        lambda n, g: reshape(g, n.call.specs[0].shape),
                        "SqueezeBackward2")  # fmt: skip
#: ``squeeze_``, without and with dimensions: names of nodes as PyTorch has them.
SQUEEZE_IN_PLACE, SQUEEZE_DIM_IN_PLACE = (
    _view_op("squeeze", _squeeze_geometry, lambda n, g: reshape(g, n.call.specs[0].shape), name)
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
    return _with(
        spec, (*spec.shape[:d], 1, *spec.shape[d:]), (*spec.stride[:d], step, *spec.stride[d:])
    )


UNSQUEEZE = _view_op("unsqueeze", _unsqueeze_geometry,
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


# -- parts -----------------------------------------------------------------------------------------


def _select_geometry(spec: Spec, dim: int, index: int) -> Spec:
    return _with(
        spec,
        spec.shape[:dim] + spec.shape[dim + 1 :],
        spec.stride[:dim] + spec.stride[dim + 1 :],
        spec.offset + index * spec.stride[dim],
    )


SELECT = _view_op("select", _select_geometry)


def select(input: Tensor, dim: int, index: int) -> Tensor:
    """The part at ``index`` of one dimension, without that dimension.

    >>> import cresset as torch
    >>> torch.select(torch.tensor([[1, 2], [3, 4]]), 1, 0)
    tensor([1, 3])
    """
    shape = input._spec.shape
    if not shape:
        raise IndexError("select() cannot be applied to a 0-dim tensor.")
    d = wrap_dim(dim, len(shape))
    index = index.__index__()
    n = shape[d]
    if not -n <= index < n:
        raise IndexError(
            f"select(): index {index} out of range for tensor of size {list(shape)} at "
            f"dimension {d}"
        )
    params = (d, index % n)
    if input._requires_grad:
        return view(SELECT, input, params)
    # Loops select every index once: not worth a place in the table.
    return view_of(input, _select_geometry(input._spec, *params))


def _slice_geometry(spec: Spec, dim: int, start: int, length: int, step: int) -> Spec:
    shape, stride = list(spec.shape), list(spec.stride)
    offset = spec.offset + start * stride[dim]
    shape[dim] = length
    stride[dim] *= step
    return _with(spec, shape, stride, offset)


SLICE = _view_op("slice", _slice_geometry)


def slice_dim(input: Tensor, dim: int, start: Any, stop: Any, step: int = 1) -> Tensor:
    """``input[start:stop:step]`` along one dimension; bounds are clamped as for lists."""
    shape = input._spec.shape
    if step <= 0:
        raise ValueError("step must be greater than zero")
    start, stop, step = slice(start, stop, step).indices(shape[dim])
    length = max(0, -(-(stop - start) // step))
    params = (dim, start, length, step)
    if input._requires_grad:
        return view(SLICE, input, params)
    return view_of(input, _slice_geometry(input._spec, *params))


def narrow(input: Tensor, dim: int, start: Any, length: int) -> Tensor:
    """``length`` elements of one dimension from ``start`` on.

    >>> import cresset as torch
    >>> torch.narrow(torch.arange(5), 0, 1, 3)
    tensor([1, 2, 3])
    """
    shape = input._spec.shape
    if not shape:
        raise RuntimeError("narrow() cannot be applied to a 0-dim tensor.")
    d = wrap_dim(dim, len(shape))
    if length < 0:
        raise RuntimeError("narrow(): length must be non-negative.")
    start = int(start)
    n = shape[d]
    if not -n <= start <= n:
        raise IndexError(
            f"start out of range (expected to be in range of [{-n}, {n}], but got {start})"
        )
    if start < 0:
        start += n
    if start > n - length:
        raise RuntimeError(f"start ({start}) + length ({length}) exceeds dimension size ({n}).")
    return slice_dim(input, d, start, start + length)


def _diagonal_geometry(spec: Spec, offset: int, dim1: int, dim2: int) -> Spec:
    d1, d2 = wrap_dim(dim1, spec.ndim), wrap_dim(dim2, spec.ndim)
    if d1 == d2:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    rows, columns = spec.shape[d1], spec.shape[d2]
    n = min(rows, columns - offset) if offset >= 0 else min(rows + offset, columns)
    n = max(n, 0)
    start = spec.offset
    if n:
        start += offset * spec.stride[d2] if offset >= 0 else -offset * spec.stride[d1]
    rest = [i for i in range(spec.ndim) if i not in (d1, d2)]
    return _with(
        spec,
        [spec.shape[i] for i in rest] + [n],
        [spec.stride[i] for i in rest] + [spec.stride[d1] + spec.stride[d2]],
        start,
    )


DIAGONAL = _view_op("diagonal", _diagonal_geometry)


def diagonal(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """The diagonal over two dimensions, as the last dimension of a view.

    >>> import cresset as torch
    >>> torch.diagonal(torch.tensor([[1, 2], [3, 4]]))
    tensor([1, 4])
    """
    return view(DIAGONAL, input, (offset, dim1, dim2))


def _unfold_geometry(spec: Spec, dim: int, size: int, step: int) -> Spec:
    d = wrap_dim(dim, spec.ndim)
    n = spec.shape[d] if spec.shape else 1
    if size < 0:
        raise RuntimeError(f"size is {size} but must be >= 0")
    if size > n:
        raise RuntimeError(f"maximum size for tensor at dimension {d} is {n} but size is {size}")
    if step <= 0:
        raise RuntimeError(f"step is {step} but must be > 0")
    if not spec.shape:
        return _with(spec, (size,), (1,))
    shape, stride = list(spec.shape), list(spec.stride)
    shape[d], stride[d] = (n - size) // step + 1, spec.stride[d] * step
    return _with(spec, [*shape, size], [*stride, spec.stride[d]])


UNFOLD = _view_op("unfold", _unfold_geometry, _summed_into_zeros)


def unfold(input: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """All windows of ``size`` along a dimension, ``step`` apart, as a new last dimension.

    >>> import cresset as torch
    >>> torch.arange(5).unfold(0, 2, 2)
    tensor([[0, 1],
            [2, 3]])
    """
    return view(UNFOLD, input, (dimension, size, step))


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


def view_as_real(input: Tensor) -> Tensor:
    """A complex tensor as a real view with a last dimension of 2 (real, imaginary)."""
    if not input._spec.dtype.is_complex:
        raise RuntimeError("view_as_real is only supported for complex tensors")
    return view(AS_REAL, input, ())


def view_as_complex(input: Tensor) -> Tensor:
    """A real tensor whose last dimension is 2 as a complex view."""
    if not input._spec.dtype.is_floating_point:
        raise RuntimeError(
            "view_as_complex is only supported for half, float and double tensors, but got a "
            f"tensor of scalar type: {input._spec.dtype.torch_type[:-6]}"
        )
    return view(AS_COMPLEX, input, ())


def _as_real_geometry(spec: Spec) -> Spec:
    return make_spec(
        spec.dtype.to_real(), (*spec.shape, 2), (*[2 * s for s in spec.stride], 1),
        2 * spec.offset, spec.device,
    )  # fmt: skip


def _as_complex_geometry(spec: Spec) -> Spec:
    if not spec.shape or spec.shape[-1] != 2:
        raise RuntimeError("Tensor must have a last dimension of size 2")
    if spec.stride[-1] != 1:
        raise RuntimeError("Tensor must have a last dimension with stride 1")
    if spec.offset % 2 or any(s % 2 for s in spec.stride[:-1]):
        raise RuntimeError("Tensor must have a stride divisible by 2 for all but last dimension")
    return make_spec(
        spec.dtype.to_complex(), spec.shape[:-1], tuple(s // 2 for s in spec.stride[:-1]),
        spec.offset // 2, spec.device,
    )  # fmt: skip


AS_REAL = _view_op("view_as_real", _as_real_geometry,
                   lambda n, g: view_as_complex(contiguous(g)))  # fmt: skip
AS_COMPLEX = _view_op("view_as_complex", _as_complex_geometry,
                      lambda n, g: view_as_real(contiguous(g)))  # fmt: skip


def view_as_dtype(x: Tensor, dtype: Any) -> Tensor:
    """The same bytes as another dtype (``x.view(dtype)``); the last dimension scales."""
    old = x._spec
    a, b = old.dtype.itemsize, dtype.itemsize
    if a == b:
        new = make_spec(dtype, old.shape, old.stride, old.offset, old.device)
    elif not old.shape:
        raise RuntimeError(
            f"self.dim() cannot be 0 to view {old.dtype.torch_type[:-6]} as "
            f"{dtype.torch_type[:-6]} (different element sizes)"
        )
    elif b > a and old.shape[-1] % (b // a):
        raise RuntimeError(
            f"self.size(-1) must be divisible by {b // a} to view {old.dtype.torch_type[:-6]} as "
            f"{dtype.torch_type[:-6]} (different element sizes), but got {old.shape[-1]}"
        )
    elif old.stride[-1] != 1:
        raise RuntimeError(
            f"self.stride(-1) must be 1 to view {old.dtype.torch_type[:-6]} as "
            f"{dtype.torch_type[:-6]} (different element sizes), but got {old.stride[-1]}"
        )
    else:
        bytes_last = old.shape[-1] * a
        if bytes_last % b or (old.offset * a) % b or any((s * a) % b for s in old.stride[:-1]):
            raise RuntimeError(
                f"self.size(-1) must be divisible by {b // a} to view "
                f"{old.dtype.torch_type[:-6]} as {dtype.torch_type[:-6]} (different element "
                f"sizes), but got {old.shape[-1]}"
            )
        new = make_spec(
            dtype, (*old.shape[:-1], bytes_last // b),
            (*[s * a // b for s in old.stride[:-1]], 1), old.offset * a // b, old.device,
        )  # fmt: skip
    return view_of(x, new)


def view_method(self: Tensor, *shape: Any) -> Tensor:
    """The same memory under another shape, or as another dtype.

    >>> import cresset as torch
    >>> torch.arange(6).view(2, -1).shape
    torch.Size([2, 3])
    """
    from cresset.dtypes import dtype

    if len(shape) == 1 and isinstance(shape[0], dtype):
        return view_as_dtype(self, shape[0])
    if not shape:
        raise TypeError(
            "view() received an invalid combination of arguments - got (), but expected one of:\n"
            " * (torch.dtype dtype)\n * (tuple of ints size)\n"
        )
    return view(VIEW, self, (as_shape(shape),))


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


def __iter__(self: Tensor) -> Any:
    """The parts along the first dimension."""
    if not self._spec.shape:
        raise TypeError("iteration over a 0-d tensor")
    return iter(unbind(self))


#: Attributes rather than methods.
mT = property(_matrix_transpose)
T_property = property(numpy_T)

TORCH = (
    "reshape", "permute", "transpose", "swapaxes", "swapdims", "t", "movedim", "moveaxis",
    "broadcast_to", "squeeze", "unsqueeze", "flatten", "ravel", "unflatten", "select", "narrow",
    "diagonal", "unbind", "split", "chunk", "tensor_split",
    "unsafe_split", "unsafe_chunk", "unsafe_split_with_sizes", "view_as_real", "view_as_complex",
)  # fmt: skip
METHODS = (
    *TORCH, "view=view_method", "view_as", "reshape_as", "expand", "expand_as", "unfold", "__iter__",  # noqa: E501
    "mT", "T=T_property",
)  # fmt: skip
