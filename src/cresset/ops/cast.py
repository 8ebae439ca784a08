"""Conversions: dtype, device, memory format; clone and copies between tensors."""

from __future__ import annotations

from typing import Any

from cresset import dtypes
from cresset.core.spec import Spec, dense, like
from cresset.core.spec import spec as make_spec
from cresset.device import device
from cresset.dtypes import dtype
from cresset.ops.creation import resolve_device
from cresset.ops.inplace import assign, check_overlap
from cresset.ops.registry import (
    Op,
    Result,
    Tensor,
    apply,
    broadcast_shapes,
    memory_format_order,
)
from cresset.ops.view import expand
from cresset.tensor import memory_format as MemoryFormat


def _cast_kernel(xp: Any, x: Any, d: dtype, keep: bool) -> Any:
    if d.category < dtypes.COMPLEX and x.dtype.kind == "c":
        x = x.real if d is not dtypes.bool_ else x != 0
    if d is dtypes.bfloat16:
        return x
    if x.dtype == d.np:
        return x.copy()
    if d.category == dtypes.INT and x.dtype.kind == "f" and d.itemsize < 8:
        # Out of range it wraps as C does, which goes through a wider whole number.
        return x.astype(xp.int64 if d is dtypes.uint8 else xp.int32).astype(d.np)
    if d is dtypes.float16 and x.dtype == xp.float64:
        x = x.astype(xp.float32)  # PyTorch rounds twice
    return x.astype(d.np)


def _cast_infer(s: Spec, d: dtype, keep: bool) -> Result:
    return Result((like(s, d) if keep else dense(d, s.shape, s.device),))


def _cast_grad(n: Any, g: Tensor) -> Tensor:
    return cast(g, n.call.specs[0].dtype)


CAST = Op("cast", _cast_infer, _cast_kernel, vjp=(_cast_grad,), family="pointwise",
          grad_name="ToCopyBackward0")  # fmt: skip


def cast(x: Tensor, d: dtype) -> Tensor:
    """``x`` in another dtype; ``x`` itself if it has that dtype."""
    return x if x._spec.dtype is d else apply(CAST, (x,), (d, True))


def _move_infer(s: Spec, where: device) -> Spec:
    return dense(s.dtype, s.shape, where)


def _move_kernel(xp: Any, x: Any, where: device) -> Any:
    return xp.array(x)


MOVE = Op("to_device", _move_infer, _move_kernel, raw=True, grad_name="ToCopyBackward0",
          vjp=(lambda n, g: move(g, n.call.specs[0].device),))  # fmt: skip


def move(x: Tensor, where: device) -> Tensor:
    """``x`` on another device; ``x`` itself if it is there."""
    if x._spec.device is where:
        return x
    from cresset.runtime import backend

    backend(where)  # raises if there is no such device
    return apply(MOVE, (x,), (where,))


def _format_infer(s: Spec, order: tuple[int, ...]) -> Spec:
    stride, step = [0] * s.ndim, 1
    for d in reversed(order):
        stride[d] = step
        step *= max(s.shape[d], 1)
    return make_spec(s.dtype, s.shape, tuple(stride), 0, s.device)


REFORMAT = Op("clone_format", _format_infer, lambda xp, x, order: x.copy(), raw=True,
              vjp=(lambda n, g: g,), grad_name="CloneBackward0")  # fmt: skip
CLONE = Op("clone", lambda s: like(s), lambda xp, x: x.copy(), raw=True, vjp=(lambda n, g: g,))


def clone(input: Tensor, *, memory_format: Any = None) -> Tensor:
    """A copy that autograd sees through.

    >>> import cresset as torch
    >>> x = torch.tensor([1., 2.])
    >>> y = x.clone(); y += 1; x
    tensor([1., 2.])
    """
    name = getattr(memory_format, "name", "preserve_format")
    if name == "preserve_format":
        return apply(CLONE, (input,))
    return apply(REFORMAT, (input,), (memory_format_order(name, input.ndim),))


def to(self: Tensor, *args: Any, dtype: Any = None, device: Any = None, non_blocking: bool = False,
       copy: bool = False, memory_format: Any = None) -> Tensor:  # fmt: skip
    """The tensor in another dtype, on another device, or like another tensor.

    Returns ``self`` if nothing changes (unless ``copy``).

    >>> import cresset as torch
    >>> torch.tensor([1, 2]).to(torch.float64)
    tensor([1., 2.], dtype=torch.float64)
    """
    flags = []
    for arg in args:
        if isinstance(arg, (dtypes.dtype, type)):
            if dtype is not None:
                raise TypeError(
                    "to() received an invalid combination of arguments - got two dtypes"
                )
            dtype = arg
        elif isinstance(arg, Tensor):
            dtype, device = arg._spec.dtype, arg._spec.device
        elif isinstance(arg, bool):
            flags.append(arg)
        elif isinstance(arg, MemoryFormat):
            memory_format = arg
        elif arg is not None:
            device = arg
    if len(flags) > 1:
        copy = flags[1]
    result = self
    if device is not None:
        result = move(result, resolve_device(device))
    if dtype is not None:
        dtype = dtypes.as_dtype("to", dtype)
        if self._spec.dtype.is_complex and not dtype.is_complex and dtype.category != dtypes.BOOL:
            import warnings

            warnings.warn(
                "Casting complex values to real discards the imaginary part",
                UserWarning,
                stacklevel=2,
            )
        result = cast(result, dtype)
    if memory_format is not None and memory_format.name != "preserve_format":
        if not result.is_contiguous(memory_format):
            return clone(result, memory_format=memory_format)
    return clone(result) if copy and result is self else result


def type_(self: Tensor, dtype: Any = None, non_blocking: bool = False) -> Any:
    """The old type name without arguments; a conversion with a dtype or a type name."""
    if dtype is None:
        return self._type_name()
    if isinstance(dtype, str):
        name = dtype.removeprefix("torch.")
        where = "cpu"
        if name.startswith("cuda."):
            name, where = name[5:], "cuda"
        found = next((d for d in dtypes.ALL if d.torch_type == name), None)
        if found is None or not dtype.startswith("torch."):
            raise ValueError(f"invalid type: '{dtype}'")
        return to(self, where, found)
    if isinstance(dtype, type) and hasattr(dtype, "device_type"):
        return to(self, dtype.device_type, dtype.dtype)  # type: ignore[attr-defined]
    return to(self, dtype)


def type_as(self: Tensor, other: Tensor) -> Tensor:
    """``self`` in the dtype (and on the device) of ``other``."""
    return to(self, other)


def cpu(self: Tensor, memory_format: Any = None) -> Tensor:
    """The tensor in host memory; itself if it is there."""
    return to(self, "cpu")


def cuda(self: Tensor, device: Any = None, non_blocking: bool = False,
         memory_format: Any = None) -> Tensor:  # fmt: skip
    """The tensor on a CUDA device (the current one by default)."""
    return to(self, "cuda" if device is None else device)


def _as(d: dtype) -> Any:
    def method(self: Tensor, memory_format: Any = None) -> Tensor:
        return cast(self, d)

    method.__doc__ = f"The tensor as {d.name}."
    return method


float_, double, half, bfloat16 = (
    _as(d) for d in (dtypes.float32, dtypes.float64, dtypes.float16, dtypes.bfloat16)
)
long, int_, short, char, byte, bool_ = (
    _as(d)
    for d in (dtypes.int64, dtypes.int32, dtypes.int16, dtypes.int8, dtypes.uint8, dtypes.bool_)
)
cfloat, cdouble = _as(dtypes.complex64), _as(dtypes.complex128)


def copy_(self: Tensor, src: Any, non_blocking: bool = False) -> Tensor:
    """Write ``src`` (broadcast, converted) into this tensor.

    >>> import cresset as torch
    >>> torch.zeros(2, 2).copy_(torch.tensor([1, 2]))
    tensor([[1., 2.],
            [1., 2.]])
    """
    if isinstance(src, (bool, int, float, complex)):
        return self.fill_(src)  # type: ignore[attr-defined]
    if not isinstance(src, Tensor):
        raise TypeError(
            f"copy_(): argument 'other' (position 1) must be Tensor, not {type(src).__name__}"
        )
    spec = self._spec
    source = move(src, spec.device)
    source = cast(source, spec.dtype) if source._spec.dtype is not spec.dtype else source
    if src._storage is self._storage:
        check_overlap(self, src)
    if source._spec.shape != spec.shape:
        joint = broadcast_shapes(spec.shape, source._spec.shape)
        if joint != spec.shape:
            raise RuntimeError(
                f"output with shape {list(spec.shape)} doesn't match the broadcast shape "
                f"{list(joint)}"
            )
        source = expand(source, spec.shape)
    fresh = apply(CLONE_AS, (source,)) if source is src or source._base is not None else source
    if fresh is self:
        return self
    return assign(self, fresh)


CLONE_AS = Op("copy", lambda s: dense(s.dtype, s.shape, s.device), lambda xp, x: x.copy(), raw=True,
              vjp=(lambda n, g: g,), grad_name="CopyBackwards")  # fmt: skip

TORCH = ("clone",)
METHODS = (
    "to", "clone", "type=type_", "type_as", "cpu", "cuda", "copy_", "float=float_", "double",
    "half", "bfloat16", "long", "int=int_", "short", "char", "byte", "bool=bool_", "cfloat",
    "cdouble",
)  # fmt: skip
