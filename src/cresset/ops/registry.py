"""``apply``: how every op is recorded, and the shape rules that families share.

``apply(OP, operands, params)`` looks the Call up (the op's checks and shape rule run when it is
new), appends a node to the graph, wraps the outputs, and puts a node on the tape if a gradient may
be asked for. It is the hot path of the whole package: about 2 us.
"""

from __future__ import annotations

from operator import index
from typing import Any

from cresset import dtypes
from cresset.core import graph
from cresset.core.call import CALLS, Call, Op, Result, intern
from cresset.core.modes import PROCESS, THREAD
from cresset.core.plan import from_bfloat16
from cresset.core.spec import Spec, dense, number_spec
from cresset.core.spec import spec as make_spec
from cresset.core.storage import Storage
from cresset.core.tape import new_node
from cresset.core.trace import trace
from cresset.device import CPU, device
from cresset.dtypes import dtype
from cresset.runtime import backend
from cresset.size import Size
from cresset.tensor import Tensor, wrap

#: A read of memory shared with NumPy takes a copy up to this size, and runs at once above it.
_SNAPSHOT_BYTES = 1 << 20
_new = object.__new__


def apply(op: Op, operands: tuple, params: tuple = ()) -> Any:
    """Record ``op`` on tensors and numbers; returns its output tensor, or a tuple of several."""
    specs = []
    args: list[Any] = []
    grad = False
    run_now = False
    for x in operands:
        if isinstance(x, Tensor):
            spec = x._spec
            storage = x._storage
            if spec.offset or storage.exported:
                spec, value, now = outside(spec, storage)
                run_now = run_now or now
                args.append(value)
            else:
                args.append(storage)
            specs.append(spec)
            if x._requires_grad:
                grad = True
        else:
            specs.append(number_spec(x))
            args.append(x)
    key = tuple(specs)
    call = CALLS.get((op, params, key)) or _new_call(op, params, key)
    if grad and op.kernel is None and op.vjp is None and THREAD.grad:
        # No derivative of its own: the body's ops go on the tape instead.
        assert op.body is not None
        return op.body(*operands, *params)
    storages = graph.record(call, args)
    if run_now:
        graph.flush("an op read a large tensor that shares memory with NumPy")
    many = op.multi or len(storages) != 1
    if many:
        outs = tuple([wrap(storage, spec) for storage, spec in zip(storages, call.outs)])  # noqa: B905
    else:
        out = _new(Tensor)
        out._storage = storages[0]
        out._spec = call.outs[0]
        outs = (out,)
    if grad and op.vjp is not None and THREAD.grad:
        new_node(op, call, operands, outs)
    if PROCESS.unusual and THREAD.inference:
        for out in outs:
            out._inference = True
    return outs if many else out


def _new_call(op: Op, params: tuple, specs: tuple[Spec, ...]) -> Call:
    """Check operands and make the Call; composites are traced here."""
    body = None
    if op.kernel is None:
        outs, body = trace(op, params, specs, wrap, dense_copy)
        result: Any = Result(outs)
    else:
        result = op.infer(*specs, *params)
        common_device(*specs)
    call = Call(op, params, specs, result)
    call.body = body
    return intern(op, params, specs, call)


def outside(spec: Spec, storage: Storage) -> tuple[Spec, Any, bool]:
    """An operand that starts inside its storage, or whose memory is visible outside.

    An existing buffer is passed from its offset on, so that the plan does not depend on where a
    batch starts. Shared memory is read now: as a copy if small, else the op must run at once.
    """
    if storage.exported and storage.shared():
        buffer = graph.materialize(storage)
        if spec.nbytes <= _SNAPSHOT_BYTES:
            home = backend(spec.device)
            copy = home.view(buffer, spec).copy().reshape(-1)
            graph.RECORDER.graph.nbytes += spec.nbytes
            return dense(spec.dtype, spec.shape, spec.device), copy, False
        return spec.at_zero(), _window(spec, storage, buffer), True
    if spec.offset and not graph.is_pending(storage):
        return spec.at_zero(), _window(spec, storage, graph.materialize(storage)), False
    return spec, storage, False


def _window(spec: Spec, storage: Storage, buffer: Any) -> Any:
    if buffer.dtype != spec.dtype.np:
        buffer = buffer.view(spec.dtype.np)
    return buffer[spec.offset : spec.offset + spec.extent]


def _copy_kernel(xp: Any, x: Any) -> Any:
    return x.copy()


COPY = Op("dense_copy", lambda s: dense(s.dtype, s.shape, s.device), _copy_kernel, raw=True)


def dense_copy(x: Tensor) -> Tensor:
    """A row-major copy."""
    return apply(COPY, (x,))


# -- what shape rules share ------------------------------------------------------------------------


def common_device(*specs: Spec) -> device:
    """The device of the operands; 0-dim CPU tensors and numbers go anywhere."""
    found: device | None = None
    for spec in specs:
        if spec.number is not None or (not spec.shape and spec.device is CPU):
            continue
        if found is None:
            found = spec.device
        elif spec.device is not found:
            raise RuntimeError(
                "Expected all tensors to be on the same device, but found at least two devices, "
                f"{found} and {spec.device}!"
            )
    if found is None:
        found = next((s.device for s in specs if s.number is None), CPU)
    return found


def result_dtype(*specs: Spec) -> dtype:
    """PyTorch's promotion: tensors first, then 0-dim tensors, then Python numbers."""
    by_tensor: dtype | None = None
    by_zero: dtype | None = None
    by_number: dtype | None = None
    for spec in specs:
        if spec.number is not None:
            d = dtypes.of_number(spec.number)
            by_number = d if by_number is None else dtypes.promote(by_number, d)
        elif not spec.shape:
            by_zero = spec.dtype if by_zero is None else dtypes.promote(by_zero, spec.dtype)
        else:
            by_tensor = spec.dtype if by_tensor is None else dtypes.promote(by_tensor, spec.dtype)
    found = dtypes.combine(by_tensor, dtypes.combine(by_zero, by_number))
    assert found is not None
    return found


def broadcast_shapes(*shapes: tuple[int, ...]) -> Size:
    """The shape that all broadcast to; RuntimeError in PyTorch's words if there is none."""
    ndim = max((len(s) for s in shapes), default=0)
    result = [1] * ndim
    for shape in shapes:
        shift = ndim - len(shape)
        for i, n in enumerate(shape):
            have = result[shift + i]
            if n != have:
                if have == 1:
                    result[shift + i] = n
                elif n != 1:
                    raise RuntimeError(
                        f"The size of tensor a ({have}) must match the size of tensor b ({n}) at "
                        f"non-singleton dimension {shift + i}"
                    )
    return Size(result)


def broadcast_out(specs: tuple[Spec, ...], d: dtype) -> Spec:
    """The output spec of an elementwise op: broadcast shape, memory order of a full-size
    operand."""
    where = common_device(*specs)
    tensors = [s for s in specs if s.number is None]
    shape = broadcast_shapes(*[s.shape for s in tensors])
    for s in tensors:
        if s.shape == shape:
            if s.contiguous or s.memory_order() is None:
                continue
            if all(t.stride == s.stride or t.shape != shape for t in tensors):
                return make_spec(d, shape, s.stride, 0, where)
            break
    return dense(d, shape, where)


def wrap_dim(dim: int, ndim: int) -> int:
    """A dimension number in [0, ndim); IndexError in PyTorch's words."""
    bound = max(ndim, 1)
    if not -bound <= dim < bound:
        raise IndexError(
            f"Dimension out of range (expected to be in range of [{-bound}, {bound - 1}], "
            f"but got {dim})"
        )
    return dim % bound


def as_shape(sizes: Any) -> tuple[int, ...]:
    """``f(2, 3)``, ``f((2, 3))``, ``f(torch.Size([2, 3]))``: the sizes as a tuple of ints."""
    if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)):
        sizes = sizes[0]
    return tuple([s if s.__class__ is int else index(s) for s in sizes])


def hashable(value: Any) -> Any:
    """A list of sizes as a tuple, so that static arguments can be looked up."""
    return tuple(value) if isinstance(value, list) else value


def memory_format_order(name: str, ndim: int) -> tuple[int, ...]:
    """Dimensions from slowest to fastest in a memory format."""
    if name == "channels_last":
        if ndim != 4:
            raise RuntimeError("required rank 4 tensor to use channels_last format")
        return (0, 2, 3, 1)
    if name == "channels_last_3d":
        if ndim != 5:
            raise RuntimeError("required rank 5 tensor to use channels_last_3d format")
        return (0, 2, 3, 4, 1)
    return tuple(range(ndim))


__all__ = [
    "COPY", "CPU", "Op", "Result", "Spec", "Tensor", "apply", "as_shape", "backend",
    "broadcast_out", "broadcast_shapes", "common_device", "dense", "dense_copy", "from_bfloat16",
    "hashable", "make_spec", "memory_format_order", "number_spec", "outside", "result_dtype",
    "wrap_dim",
]  # fmt: skip
