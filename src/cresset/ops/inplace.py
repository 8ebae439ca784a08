"""Writing: every in-place method, ``out=`` and index assignment end here.

``assign(x, result)`` makes ``x`` hold ``result``. If ``x`` is a whole storage, the storage merely
takes a newer name in the graph; if it is a view, a ``write`` node makes the next version of the
base. Memory that NumPy also shows is written at once.

Autograd sees the functional truth: after a write, ``x`` was made by the op that made ``result``.
When ``x`` is a view, its base was made by CopySlices, and every view of that base gets new history
(an AsStrided of the base) when it is next used.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cresset.core import graph
from cresset.core.call import CALLS, Call, Result, intern
from cresset.core.modes import THREAD
from cresset.core.spec import Spec, dense
from cresset.core.tape import Node, edge_of, new_node
from cresset.ops.registry import COPY, Op, Tensor, apply, backend
from cresset.tensor import view_of, wrap


def _write_kernel(
    xp: Any, base: Any, source: Any, shape: Any, stride: Any, offset: int, in_place: bool = False
) -> Any:
    if not in_place:
        base = base.copy()
    item = base.itemsize
    if source.size:
        window = xp.lib.stride_tricks.as_strided(
            base[offset:], shape, tuple(s * item for s in stride)
        )
        window[...] = source
    return base


def _write_infer(base: Spec, source: Spec, shape: Any, stride: Any, offset: int) -> Result:
    return Result((base,))


def _write_grad(node: Node, g: Tensor) -> tuple:
    shape, stride, offset = node.call.params
    zeros = filled(0, dense(g.dtype, shape, g.device))
    needs_base, needs_source = node.needs
    base = write_flat(g, zeros, shape, stride, offset) if needs_base else None
    return base, as_strided(g, shape, stride, offset) if needs_source else None


#: ``write(base, source, shape, stride, offset)``: a flat base with a strided region replaced.
WRITE = Op("write", _write_infer, _write_kernel, vjp=_write_grad, raw=True, writes=True)


def write_flat(base: Tensor, source: Tensor, shape: Any, stride: Any, offset: int) -> Tensor:
    """A copy of the flat tensor ``base`` with a strided region taken from ``source``."""
    return apply(WRITE, (base, source), (tuple(shape), tuple(stride), offset))


# -- views of any geometry -------------------------------------------------------------------------


def filled(value: Any, spec: Spec) -> Tensor:
    """A tensor of one value with this (dense) spec, as a recorded fill."""
    return apply(FILL, (value,), (spec,))


def _fill_kernel(xp: Any, value: Any, spec: Spec) -> Any:
    if spec.dtype.name == "bfloat16":
        return xp.full(spec.shape, value, xp.float32)
    if value == 0:
        return xp.zeros(spec.shape, spec.dtype.np)
    return xp.full(spec.shape, value).astype(spec.dtype.np)


def _fill_infer(value: Spec, spec: Spec) -> Result:
    return Result((spec,), spec.dtype)


#: ``fill(number, spec)``: a tensor of one value.
FILL = Op("fill", _fill_infer, _fill_kernel, family="pointwise")


def as_strided(x: Tensor, size: Any, stride: Any, storage_offset: int | None = None) -> Tensor:
    """A view of ``x``'s storage with the given size, stride and offset (in elements).

    >>> import cresset as torch
    >>> torch.as_strided(torch.arange(6), (2, 2), (3, 1), 1)
    tensor([[1, 2],
            [4, 5]])
    """
    from cresset.core.spec import spec as make_spec

    old = x._spec
    size, stride = tuple(size), tuple(stride)
    offset = old.offset if storage_offset is None else storage_offset
    if len(size) != len(stride):
        raise RuntimeError("mismatch in length of strides and shape")
    if any(s < 0 for s in stride):
        raise RuntimeError("as_strided: Negative strides are not supported at the moment, "
                           f"got strides: {list(stride)}")  # fmt: skip
    new = make_spec(old.dtype, size, stride, offset, old.device)
    room = x._storage.size * x._storage.dtype.itemsize // old.dtype.itemsize
    if new.numel and offset + new.extent > room:
        raise RuntimeError(
            f"setStorage: sizes {list(size)}, strides {list(stride)}, storage offset {offset}, and "
            f"itemsize {old.dtype.itemsize} requiring a storage size of "
            f"{(offset + new.extent) * old.dtype.itemsize} are out of bounds for storage of size "
            f"{x._storage.size * x._storage.dtype.itemsize}"
        )
    return record_view(AS_STRIDED, x, new)


def record_view(op: Op, x: Tensor, new: Spec, params: tuple = ()) -> Tensor:
    """A view of ``x`` with spec ``new``; views cost no node in the graph, only one on the tape."""
    view = view_of(x, new)
    if x._requires_grad and THREAD.grad:
        new_node(op, _view_call(op, params, x._spec, new), (x,), (view,))
    if x._inference:
        view._inference = True
    return view


def _view_call(op: Op, params: tuple, old: Spec, new: Spec) -> Call:
    """The Call of a view: one object per geometry, as for ops that run."""
    key = (new, *params)
    call = CALLS.get((op, key, (old,)))
    if call is None:
        call = intern(op, key, (old,), Call(op, params, (old,), Result((new,))))
    return call


def flat_window(g: Tensor, base: Spec) -> Tensor:
    """Gradient ``g`` of a tensor with spec ``base``, laid out as the storage behind that tensor."""
    if base.contiguous:
        return contiguous(g).reshape(-1)  # type: ignore[attr-defined]
    flat = filled(0, dense(g.dtype, (base.extent,), g.device))
    return write_flat(flat, g, base.shape, base.stride, 0)


def contiguous(x: Tensor, memory_format: Any = None) -> Tensor:
    """``x`` itself if it is row-major, else a row-major copy.

    >>> import cresset as torch
    >>> torch.zeros(2, 3).t().contiguous().stride()
    (2, 1)
    """
    if memory_format is not None and memory_format.name.startswith("channels_last"):
        if x.is_contiguous(memory_format):
            return x
        return x.to(memory_format=memory_format)  # type: ignore[attr-defined]
    return x if x._spec.contiguous else apply(CONTIGUOUS, (x,))


CONTIGUOUS = Op(
    "contiguous",
    COPY.infer,
    COPY.kernel,
    vjp=(lambda n, g: g,),
    raw=True,
    grad_name="CloneBackward0",
)


def _as_strided_grad(node: Node, g: Tensor) -> tuple:
    """Add each gradient element to the place it was read from (places may repeat)."""
    base, view = node.call.specs[0], node.call.outs[0]
    flat = apply(SUM_INTO, (g,), (base.extent, view.shape, view.stride, view.offset - base.offset))
    return (as_strided(flat, base.shape, base.stride, 0),)


def _sum_into_kernel(xp: Any, g: Any, count: int, shape: Any, stride: Any, offset: int) -> Any:
    where = xp.full(shape, offset, xp.int64)
    for d, (n, s) in enumerate(zip(shape, stride, strict=True)):
        where += (xp.arange(n) * s).reshape((n,) + (1,) * (len(shape) - d - 1))
    flat = xp.zeros(count, g.dtype)
    xp.add.at(flat, where.reshape(-1), g.reshape(-1))
    return flat


SUM_INTO = Op(
    "sum_into",
    lambda g, count, shape, stride, offset: dense(g.dtype, (count,), g.device),
    _sum_into_kernel,
    vjp=(lambda n, g: as_strided(g, *n.call.params[1:]),),
    grad_name="AsStridedBackwardBackward0",
)
AS_STRIDED = Op("as_strided", lambda s: s, vjp=_as_strided_grad)


# -- assignment ------------------------------------------------------------------------------------


def _copy_slices_grad(node: Node, g: Tensor) -> tuple:
    base, view = node.call.specs[0], node.call.params[0]
    offset = view.offset - base.offset
    flat = flat_window(g, base)
    zeros = filled(0, dense(g.dtype, view.shape, g.device))
    to_base = None
    if node.edges[0] is not None:
        to_base = write_flat(flat, zeros, view.shape, view.stride, offset)
        to_base = as_strided(to_base, base.shape, base.stride, 0)
    to_source = as_strided(flat, view.shape, view.stride, offset) if node.edges[1] else None
    return to_base, to_source


COPY_SLICES = Op("copy_slices", lambda base, source, view: base, vjp=_copy_slices_grad,
                 grad_name="CopySlices")  # fmt: skip


def check_writable(x: Tensor, history: bool, overlap: bool = False) -> None:
    """Raise where PyTorch refuses an in-place operation on ``x``.

    ``overlap``: elements of ``x`` may share memory, as for a write of one value everywhere.
    """
    if x._inference and not THREAD.inference:
        raise RuntimeError(
            "Inplace update to inference tensor outside InferenceMode is not allowed."
            "You can make a clone to get a normal tensor before doing inplace update."
            "See https://github.com/pytorch/rfcs/pull/17 for more details."
        )
    if x._sibling is not None and THREAD.grad and x._requires_grad:
        number, name, *alone = x._sibling
        reason = (
            "was created inside a custom Function (or because an input was returned as-is) and the "
            "autograd logic to handle view+inplace would override the custom backward associated "
            "with the custom Function, leading to incorrect gradients. This behavior is forbidden. "
            "You can fix this by cloning the output of the custom Function."
            if alone
            else "is the output of a function that returns multiple views. Such functions do not "
            "allow the output views to be modified inplace. You should replace the inplace "
            "operation by an out-of-place one."
        )
        raise RuntimeError(
            f"Output {number} of {name} is a view and is being modified inplace. This view {reason}"
        )
    if THREAD.grad and x._requires_grad:
        if x.grad_fn is None:
            raise RuntimeError(
                "a leaf Variable that requires grad is being used in an in-place operation."
            )
    if THREAD.grad and history and x._base is not None and x._base._requires_grad:
        if x._base.grad_fn is None:
            raise RuntimeError(
                "a view of a leaf Variable that requires grad is being used in an in-place "
                "operation."
            )
    spec = x._spec
    if overlap:
        return
    if spec.numel > 1 and any(
        s == 0 and n > 1 for n, s in zip(spec.shape, spec.stride, strict=True)
    ):
        raise RuntimeError(
            "unsupported operation: more than one element of the written-to tensor refers to a "
            "single memory location. Please clone() the tensor before performing the operation."
        )


def check_overlap(x: Tensor, other: Any) -> None:
    """Raise if ``other`` shows part of the memory of ``x``, which is about to be written, or all of
    it in another order. As in PyTorch, tensors with gaps are not looked at."""
    if not isinstance(other, Tensor) or other._storage is not x._storage:
        return
    a, b = x._spec, other._spec
    if a is b or not a.numel or not b.numel:
        return
    if not all(s.contiguous or s.memory_order() for s in (a, b)):
        return
    if a.offset >= b.offset + b.numel or b.offset >= a.offset + a.numel:
        return
    if (a.offset, a.numel) == (b.offset, b.numel) and a.stride == b.stride:
        return
    if a.contiguous and b.contiguous and (a.offset, a.numel) == (b.offset, b.numel):
        return
    raise RuntimeError(
        "unsupported operation: some elements of the input tensor and the written-to tensor refer "
        "to a single memory location. Please clone() the tensor before performing the operation."
    )


def assign(
    x: Tensor, result: Tensor, grad_name: str = "CopyBackwards", overlap: bool = False
) -> Tensor:
    """Make ``x`` hold ``result``, a temporary nobody else sees; returns ``x``.

    ``grad_name``: what PyTorch calls the node if ``x`` had history and ``result`` has none.
    ``overlap``: see ``check_writable``.
    """
    if result is x:
        return x
    history = THREAD.grad and (x._requires_grad or result._requires_grad)
    check_writable(x, history, overlap)
    have, want = result._spec, x._spec
    if have.shape != want.shape:
        raise RuntimeError(
            f"output with shape {list(want.shape)} doesn't match the broadcast shape "
            f"{list(have.shape)}"
        )
    if have.dtype is not want.dtype:
        if have.dtype.category > want.dtype.category:
            raise RuntimeError(
                f"result type {_scalar_name(have)} can't be cast to the desired output type "
                f"{_scalar_name(want)}"
            )
        result = result.to(want.dtype)  # type: ignore[attr-defined]
    write(x, result)
    if history:
        _take_history(x, result if result._requires_grad else _overwritten(x, result, grad_name))
    return x


def _zeros_grad(node: Node, g: Tensor) -> tuple:
    return (filled(0, dense(g.dtype, g.shape, g.device)),)


_OVERWRITES: dict[str, Op] = {}


def _overwritten(x: Tensor, result: Tensor, grad_name: str) -> Tensor:
    """``result`` as the output of a node on ``x``'s history whose gradient is 0.

    In PyTorch a tensor that required a gradient still does after all of it was overwritten.
    """
    op = _OVERWRITES.get(grad_name)
    if op is None:
        op = Op("overwrite", lambda s: s, vjp=_zeros_grad, grad_name=grad_name)
        _OVERWRITES[grad_name] = op
    # A view's base gets CopySlices, and what was written has no history of its own there.
    if x._base is not None and _same_history(x):
        return result
    new_node(op, _view_call(op, (), x._spec, x._spec), (x,), (alias := result._alias(),))
    return alias


def write(x: Tensor, result: Tensor) -> None:
    """Put the values of ``result`` (same shape and dtype) where ``x`` lies; no history."""
    storage, spec = x._storage, x._spec
    fresh = result._storage
    if storage.exported and storage.shared():
        target = backend(spec.device).view(graph.materialize(storage), spec)
        target[...] = result._array()
        storage.epoch = -1
    elif (
        result._spec is spec
        and spec.offset == 0
        and spec.numel == storage.size == fresh.size
        and fresh is not storage
        and not fresh.exported
        and result._base is None
        and storage.dtype is fresh.dtype
    ):
        graph.rebind(storage, fresh)
    else:
        room = storage.size * storage.dtype.itemsize // spec.dtype.itemsize
        flat = wrap(storage, dense(spec.dtype, (room,), spec.device))
        changed = graph_write(flat, result, spec)
        graph.rebind(storage, changed._storage)
    x._bump_version()


def graph_write(flat: Tensor, result: Tensor, spec: Spec) -> Tensor:
    grad, THREAD.grad = THREAD.grad, False
    try:
        return write_flat(flat, result, spec.shape, spec.stride, spec.offset)
    finally:
        THREAD.grad = grad


def _take_history(x: Tensor, result: Tensor) -> None:
    """Give ``x`` (or, for a view, its base) the history of what was written."""
    node = result._grad_fn
    if x._base is None or not _same_history(x):
        if node is not None:
            _repoint_saved(node, result, x)
        x._grad_fn, x._output_nr = node, result._output_nr
        x._requires_grad = result._requires_grad
        x._generation += 1
        return
    base = x._base
    params, specs = (x._spec,), (base._spec, result._spec)
    call = CALLS.get((COPY_SLICES, params, specs))
    if call is None:
        call = Call(COPY_SLICES, params, specs, Result((base._spec,)))
        intern(COPY_SLICES, params, specs, call)
    copied = base._alias()
    new_node(COPY_SLICES, call, (_edge_holder(base), _edge_holder(result)), (copied,))
    base._grad_fn, base._output_nr = copied._grad_fn, 0
    base._requires_grad = True
    base._generation += 1
    x._requires_grad = True


def _same_history(x: Tensor) -> bool:
    return x._own_version is None


def _edge_holder(t: Tensor) -> Tensor:
    """A stand-in with the tensor's present edge, as the tensor itself gets another one."""
    edge = edge_of(t)
    holder = t._alias()
    if edge is not None:
        if edge[0] is t:
            return t
        holder._requires_grad = True
        holder._grad_fn, holder._output_nr = edge
    return holder


def _repoint_saved(node: Node, result: Tensor, x: Tensor) -> None:
    """The node saved its output, which now lives in ``x``: later writes to ``x`` must be
    noticed."""
    for i, saved in enumerate(node.saved):
        if saved is not None and saved._storage is result._storage:
            saved._storage, saved._spec = x._storage, x._spec
            saved._own_version = x._own_version
            versions = list(node.versions)
            versions[i] = x._version
            node.versions = tuple(versions)


def regenerate_history(view: Tensor) -> None:
    """New history for a view whose base was written in place."""
    base = view._base
    assert base is not None
    view._base_generation = base._generation
    if not base._requires_grad:
        return
    call = _view_call(AS_STRIDED, (), base._spec, view._spec)
    new_node(AS_STRIDED, call, (_edge_holder(base),), (view,))


def _scalar_name(spec: Spec) -> str:
    """``Float``, ``Long`` ...: the dtype as PyTorch's messages name it."""
    return scalar_name(spec.dtype)


def scalar_name(d: Any) -> str:
    """``Float``, ``Long`` ...: the dtype as PyTorch's messages name it."""
    return {
        "ComplexFloatTensor": "ComplexFloat", "ComplexDoubleTensor": "ComplexDouble",
    }.get(d.torch_type, d.torch_type[: -len("Tensor")])  # fmt: skip


def written(
    x: Tensor, result: Tensor, inplace: bool = True, grad_name: str = "CopyBackwards",
    overlap: bool = False,
) -> Tensor:  # fmt: skip
    """``result``, or with ``inplace`` ``x`` holding it.

    If the derivative reads ``x`` as it was, the node keeps a copy of that, as PyTorch does.
    """
    if not inplace:
        return result
    node = result._grad_fn
    if node is not None and THREAD.grad:
        for i, which in enumerate(node.op.save):
            if which == 0 and node.saved[i] is x:
                kept = apply(COPY, (x._alias(),))
                node.saved = (*node.saved[:i], kept, *node.saved[i + 1 :])
                node.versions = (*node.versions[:i], kept._version, *node.versions[i + 1 :])
    return assign(x, result, grad_name, overlap)


#: Functions that have no derivative and leave the history of what they overwrite alone.
_UNTRACKED = {"logical_not", "logical_and", "logical_or", "logical_xor"}
#: Functions made of several ops that read their input: in place they work on a copy.
_COMPOSED = {"renorm", "mvlgamma"}
#: Writes that elements with shared memory do not disturb.
_OVERLAP = {"index_fill"}
#: Functions that PyTorch's names of nodes tell apart by whether the other operand is a tensor.
_COMPARED = {
    "eq", "ne", "lt", "le", "gt", "ge", "not_equal", "less", "less_equal", "greater",
    "greater_equal",
}  # fmt: skip


def in_place(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The trailing-underscore method of a function: ``add_`` from ``add``."""

    name = function.__name__
    overlap = name in _OVERLAP
    grad_name = "".join(w.title() for w in name.split("_")) + "Backward0"

    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if self._requires_grad and THREAD.grad and self._base is None and self._grad_fn is None:
            check_writable(self, True)
        for x in args:
            if x.__class__ is Tensor and x._storage is self._storage and x is not self:
                check_overlap(self, x)
        return written(self, function(self, *args, **kwargs), True, grad_name, overlap)

    def compared(self: Tensor, other: Any) -> Tensor:
        if self._requires_grad and THREAD.grad and self._base is None and self._grad_fn is None:
            check_writable(self, True)
        number = grad_name if not isinstance(other, Tensor) else grad_name[:-1] + "1"
        return written(self, function(self, other), True, number)

    def composed(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        kept = self.clone() if self._requires_grad and THREAD.grad else self  # type: ignore[attr-defined]
        return written(self, function(kept, *args, **kwargs))

    def untracked(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        result = function(self, *args, **kwargs)
        before, THREAD.grad = THREAD.grad, False
        try:
            return written(self, result)
        finally:
            THREAD.grad = before

    if name in _COMPARED:
        method = compared
    elif name in _COMPOSED:
        method = composed
    elif name in _UNTRACKED:
        method = untracked
    method.__name__ = method.__qualname__ = name + "_"
    method.__doc__ = f"In-place version of ``{function.__name__}``."
    return method


def into(out: Tensor | None, result: Tensor, *operands: Any) -> Tensor:
    """What ``out=`` does: put ``result`` into ``out`` (resized if need be) and return ``out``.

    ``operands``, where given, may be ``out`` itself but not overlap with it otherwise.
    """
    if out is None:
        return result
    if not isinstance(out, Tensor):
        raise TypeError(f"argument 'out' must be Tensor, not {type(out).__name__}")
    for x in operands:
        check_overlap(out, x)
    if THREAD.grad and (out._requires_grad or result._requires_grad):
        raise RuntimeError(
            "functions with out=... arguments don't support automatic differentiation, but one of "
            "the arguments requires grad."
        )
    if result._spec.device is not out._spec.device:
        raise RuntimeError(
            f"Expected out tensor to have device {result._spec.device}, but got "
            f"{out._spec.device} instead"
        )
    if out._spec.shape != result._spec.shape:
        if out._spec.numel:
            import warnings

            warnings.warn(
                f"An output with one or more elements was resized since it had shape "
                f"{list(out.shape)}, which does not match the required output shape "
                f"{list(result.shape)}. This behavior is deprecated, and in a future PyTorch "
                "release outputs will not be resized unless they have zero elements. You can "
                "explicitly reuse an out tensor t by resizing it, inplace, to zero elements with "
                "t.resize_(0).",
                UserWarning,
                stacklevel=3,
            )
        out.resize_(result._spec.shape)  # type: ignore[attr-defined]
    return assign(out, result)


TORCH = ("as_strided",)
METHODS = ("as_strided", "contiguous")
