"""Making tensors: from data, from a value, from a range; and sharing memory with NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np

from cresset import dtypes
from cresset.core import graph
from cresset.core.spec import Spec, contiguous_stride, dense, like
from cresset.core.spec import spec as make_spec
from cresset.core.storage import Storage
from cresset.device import CPU, device, get_default_device
from cresset.dtypes import as_dtype, dtype
from cresset.ops.host_data import check_fits, check_range, dtype_of, encode, host_data, python_dtype
from cresset.ops.inplace import FILL, into
from cresset.ops.registry import Tensor, apply, as_shape, backend, memory_format_order
from cresset.runtime import backend as backend_of
from cresset.size import Size
from cresset.tensor import from_array, wrap

Device = device | str | int | None
_ONLY_FLOATS = "Only Tensors of floating point and complex dtype can require gradients"


def resolve_device(where: Device) -> device:
    """A device with its index filled in; the default device for None.

    RuntimeError if it is not there.
    """
    found = get_default_device() if where is None else device(where)
    if found.type == "cuda" and found.index is None:
        from cresset.runtime import current

        found = device("cuda", current.index)
    backend_of(found)
    return found


def finish(tensor: Tensor, requires_grad: bool, out: Tensor | None = None) -> Tensor:
    """What every factory ends with: ``out=`` and ``requires_grad=``."""
    if out is not None:
        into(out, tensor)
        tensor = out
    if requires_grad:
        if tensor._spec.dtype.category < dtypes.FLOAT:
            raise RuntimeError(_ONLY_FLOATS)
        tensor.requires_grad_()
    return tensor


def from_host(array: np.ndarray, d: dtype, where: device, requires_grad: bool = False) -> Tensor:
    """A tensor of a fresh NumPy array, moved to its device."""
    if where is CPU:
        result = from_array(array, d)
    else:
        buffer = backend_of(where).from_host(np.ascontiguousarray(array, d.np))
        result = wrap(Storage(d, buffer.size, where, buffer), dense(d, Size(array.shape), where))
    if requires_grad:
        result.requires_grad_()
    return result


# -- from data -------------------------------------------------------------------------------------


def tensor(
    data: Any,
    *,
    dtype: dtype | None = None,
    device: Device = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """A new tensor with a copy of ``data`` (nested sequences, numbers, arrays).

    Python floats become the default dtype, ints int64; NumPy arrays keep their dtype.

    >>> import cresset as torch
    >>> torch.tensor([[1, 2], [3, 4]])
    tensor([[1, 2],
            [3, 4]])
    >>> torch.tensor([1, 2.5], dtype=torch.float64)
    tensor([1.0000, 2.5000], dtype=torch.float64)
    """
    if isinstance(data, Tensor):
        import warnings

        warnings.warn(
            "To copy construct from a tensor, it is recommended to use "
            "sourceTensor.detach().clone() or sourceTensor.detach().clone().requires_grad_(True), "
            "rather than torch.tensor(sourceTensor).",
            UserWarning,
            stacklevel=2,
        )
        if device is None:
            device = data.device
    wanted = None if dtype is None else as_dtype("tensor", dtype)
    array, implied = host_data(data, wanted)
    d = implied if wanted is None else wanted
    if wanted is not None and not isinstance(data, (np.ndarray, np.generic, Tensor)):
        check_range(array, wanted)
    if requires_grad and d.category < dtypes.FLOAT:
        raise RuntimeError(_ONLY_FLOATS)
    return from_host(encode(array, d), d, resolve_device(device), requires_grad)


def as_tensor(data: Any, dtype: dtype | None = None, device: Device = None) -> Tensor:
    """``data`` as a tensor, sharing memory (and the tape) where no conversion is needed.

    >>> import cresset as torch
    >>> torch.as_tensor([1, 2])
    tensor([1, 2])
    """
    if isinstance(data, Tensor):
        return data.to(device=device, dtype=dtype)  # type: ignore[attr-defined]
    if isinstance(data, np.ndarray):
        shared = from_numpy(data)
        return shared.to(device=resolve_device(device), dtype=dtype)  # type: ignore[attr-defined]
    return tensor(data, dtype=dtype, device=device)


def from_numpy(ndarray: np.ndarray, dtype: dtype | None = None) -> Tensor:
    """A tensor over the array's memory: a write on one side is seen on the other.

    >>> import cresset as torch, numpy as np
    >>> a = np.ones(2)
    >>> t = torch.from_numpy(a)
    >>> a += 1
    >>> t
    tensor([2., 2.], dtype=torch.float64)
    """
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type(ndarray).__name__})")
    d = dtype or dtype_of(ndarray)
    item = ndarray.itemsize
    if any(s % item for s in ndarray.strides):
        raise ValueError(
            "given numpy array strides not a multiple of the element byte size. Copy the numpy "
            "array to reallocate the memory."
        )
    if not ndarray.flags.writeable:
        import warnings

        warnings.warn(
            "The given NumPy array is not writable, and PyTorch does not support non-writable "
            "tensors. This means writing to this tensor will result in undefined behavior. You may "
            "want to copy the array to protect its data or make it writable before converting it "
            "to a tensor. This type of warning will be suppressed for the rest of this program.",
            UserWarning,
            stacklevel=2,
        )
    shape = Size(ndarray.shape)
    if ndarray.size == 0:
        buffer = ndarray.reshape(-1)
        stride = tuple(s // item for s in ndarray.strides)
    elif ndarray.flags.c_contiguous:
        buffer = ndarray.reshape(-1)
        stride = contiguous_stride(shape)
    else:
        stride = tuple(s // item for s in ndarray.strides)
        extent = 1 + sum((n - 1) * s for n, s in zip(shape, stride, strict=True))
        buffer = np.lib.stride_tricks.as_strided(ndarray, (extent,), (item,))
    storage = Storage(d, buffer.size, CPU, buffer)
    storage.export()
    return wrap(storage, make_spec(d, shape, stride, 0, CPU))


# -- from a value ----------------------------------------------------------------------------------


def _filled(shape: Any, value: Any, d: dtype, where: device) -> Tensor:
    return apply(FILL, (value,), (dense(d, as_shape(shape), where),))


def _sizes(name: str, size: tuple, named: Any) -> tuple[int, ...]:
    """The shape a factory was asked for, as numbers or as one sequence, or by keyword."""
    if not size:
        if named is None:
            raise TypeError(f'{name}() missing 1 required positional arguments: "size"')
        size = (named,)
    if size[0] is True or size[0] is False:
        raise TypeError(f"{name}(): argument 'size' (position 1) must be tuple of ints, not bool")
    shape = as_shape(size)
    _check_shape(shape, name)
    return shape


def _check_shape(shape: tuple[int, ...], name: str = "") -> None:
    for n in shape:
        if n < 0:
            if name == "zeros":
                raise RuntimeError("zeros: Dimension size must be non-negative.")
            raise RuntimeError(
                f"Trying to create tensor with negative dimension {n}: {list(shape)}"
            )


def _value_factory(name: str, value: int, doc: str) -> Any:
    def factory(
        *sizes: Any,
        size: Any = None,
        out: Tensor | None = None,
        dtype: dtype | None = None,
        layout: Any = None,
        device: Device = None,
        requires_grad: bool = False,
        pin_memory: bool = False,
        memory_format: Any = None,
        names: Any = None,
    ) -> Tensor:
        shape = _sizes(name, sizes, size)
        d = as_dtype(name, dtype) if dtype is not None else None
        d = d or (out.dtype if out is not None else dtypes.get_default_dtype())
        return finish(_filled((shape,), value, d, resolve_device(device)), requires_grad, out)

    factory.__name__ = factory.__qualname__ = name
    factory.__doc__ = doc
    return factory


zeros = _value_factory(
    "zeros",
    0,
    """A tensor of zeros.

    >>> import cresset as torch
    >>> torch.zeros(2, 3, dtype=torch.int64)
    tensor([[0, 0, 0],
            [0, 0, 0]])
    """,
)
ones = _value_factory(
    "ones",
    1,
    """A tensor of ones.

    >>> import cresset as torch
    >>> torch.ones(2)
    tensor([1., 1.])
    """,
)


def empty(
    *sizes: Any,
    size: Any = None,
    out: Tensor | None = None,
    dtype: dtype | None = None,
    layout: Any = None,
    device: Device = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """A tensor whose values are whatever the memory held.

    >>> import cresset as torch
    >>> torch.empty(2, 3).shape
    torch.Size([2, 3])
    """
    shape = _sizes("empty", sizes, size)
    if out is not None:
        return out.resize_(shape)  # type: ignore[attr-defined]
    d, where = dtype or dtypes.get_default_dtype(), resolve_device(device)
    d = as_dtype("empty", d)
    spec = dense(d, shape, where)
    if memory_format is not None and memory_format.name.startswith("channels_last"):
        spec = make_spec(d, shape, _stride_like(spec, memory_format.name), 0, where)
    buffer = backend(where).empty(spec.numel, d.np)
    return finish(wrap(Storage(d, spec.numel, where, buffer), spec), requires_grad)


def empty_permuted(size: Any, physical_layout: Any, **options: Any) -> Tensor:
    """An uninitialised tensor whose dimensions lie in memory in the order ``physical_layout``.

    >>> import cresset as torch
    >>> torch.empty_permuted((2, 3), (1, 0)).stride()
    (1, 2)
    """
    size, order = tuple(size), tuple(physical_layout)
    packed = contiguous_stride(tuple(size[i] for i in order))
    return empty_strided(size, [packed[order.index(i)] for i in range(len(size))], **options)


def empty_strided(
    size: Any, stride: Any, *, dtype: dtype | None = None, device: Device = None,
    requires_grad: bool = False, layout: Any = None, pin_memory: bool = False,
) -> Tensor:  # fmt: skip
    """An uninitialised tensor with the given size and stride."""
    if len(size) != len(stride):
        raise RuntimeError(
            f"dimensionality of sizes ({len(size)}) must match dimensionality of strides "
            f"({len(stride)})"
        )
    d, where = dtype or dtypes.get_default_dtype(), resolve_device(device)
    spec = make_spec(d, tuple(size), tuple(stride), 0, where)
    buffer = backend(where).empty(spec.extent, d.np)
    return finish(wrap(Storage(d, spec.extent, where, buffer), spec), requires_grad)


def full(
    size: Any,
    fill_value: Any,
    *,
    out: Tensor | None = None,
    dtype: dtype | None = None,
    layout: Any = None,
    device: Device = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """A tensor of one value; the dtype is that of the value unless given.

    >>> import cresset as torch
    >>> torch.full((2,), 3.5)
    tensor([3.5000, 3.5000])
    """
    if isinstance(fill_value, Tensor):
        dtype = dtype or fill_value.dtype
        fill_value = fill_value.item()
    if isinstance(size, int):
        raise TypeError("full(): argument 'size' (position 1) must be tuple of ints, not int")
    d = None if dtype is None else as_dtype("full", dtype)
    d = d or (out.dtype if out is not None else python_dtype(np.asarray(fill_value)))
    if d.category == dtypes.INT and isinstance(fill_value, (int, float)):
        check_fits(fill_value, d)
    shape = as_shape((size,))
    _check_shape(shape)
    return finish(_filled((shape,), fill_value, d, resolve_device(device)), requires_grad, out)


def _stride_like(spec: Spec, memory_format: str) -> tuple[int, ...]:
    """The strides of a fresh tensor shaped as ``spec``."""
    if memory_format == "preserve_format":
        return like(spec).stride
    order = memory_format_order(memory_format, len(spec.shape))
    packed = contiguous_stride(tuple(spec.shape[i] for i in order))
    return tuple(packed[order.index(i)] for i in range(len(order)))


def _like(name: str, make: Any, doc: str) -> Any:
    def factory(
        input: Tensor,
        *args: Any,
        dtype: dtype | None = None,
        layout: Any = None,
        device: Device = None,
        requires_grad: bool = False,
        memory_format: Any = None,
        pin_memory: bool = False,
    ) -> Tensor:
        if not isinstance(input, Tensor):
            raise TypeError(
                f"{name}(): argument 'input' (position 1) must be Tensor, not "
                f"{type(input).__name__}"
            )
        spec = input._spec
        result = make(
            spec.shape, *args, dtype=dtype or spec.dtype,
            device=spec.device if device is None else device,
        )  # fmt: skip
        if not spec.contiguous or memory_format is not None:
            # All elements are alike, so another memory order is only another way to look at them.
            new = result._spec
            stride = _stride_like(spec, getattr(memory_format, "name", "preserve_format"))
            result = wrap(result._storage, make_spec(new.dtype, new.shape, stride, 0, new.device))
        return finish(result, requires_grad)

    factory.__name__ = factory.__qualname__ = name
    factory.__doc__ = doc
    return factory


zeros_like = _like("zeros_like", zeros, "Zeros with the shape, dtype and device of ``input``.")
ones_like = _like("ones_like", ones, "Ones with the shape, dtype and device of ``input``.")
empty_like = _like("empty_like", empty, "An uninitialised tensor shaped as ``input``.")
full_like = _like("full_like", full, "``full`` with the shape, dtype and device of ``input``.")


def _new(make: Any) -> Any:
    def method(self: Tensor, *args: Any, dtype: dtype | None = None, device: Device = None,
               requires_grad: bool = False, layout: Any = None, pin_memory: bool = False,
               size: Any = None) -> Tensor:  # fmt: skip
        if size is not None:
            args = (size, *args)
        spec = self._spec
        return make(
            *args, dtype=dtype or spec.dtype, device=spec.device if device is None else device,
            requires_grad=requires_grad,
        )  # fmt: skip

    method.__name__ = method.__qualname__ = f"new_{make.__name__}"
    method.__doc__ = f"``{make.__name__}`` with this tensor's dtype and device."
    return method


new_zeros, new_ones, new_empty = _new(zeros), _new(ones), _new(empty)
new_full, new_tensor = _new(full), _new(tensor)


def new_empty_strided(self: Tensor, size: Any, stride: Any, **options: Any) -> Tensor:
    """``empty_strided`` with this tensor's dtype and device."""
    return empty_strided(size, stride, **{"dtype": self.dtype, "device": self.device, **options})


def eye(
    n: int, m: int | None = None, *, out: Tensor | None = None, dtype: dtype | None = None,
    layout: Any = None, device: Device = None, requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:  # fmt: skip
    """Ones on the diagonal of an ``n`` by ``m`` matrix of zeros.

    >>> import cresset as torch
    >>> torch.eye(2)
    tensor([[1., 0.],
            [0., 1.]])
    """
    d = dtype or dtypes.get_default_dtype()
    m = n if m is None else m
    for size, letter in ((n, "n"), (m, "m")):
        if size < 0:
            raise RuntimeError(f"{letter} must be greater or equal to 0, got {size}")
    result = from_host(encode(np.eye(n, m), d), d, resolve_device(device))
    return finish(result, requires_grad, out)


def complex_(real: Tensor, imag: Tensor, *, out: Tensor | None = None) -> Tensor:
    """``real + 1j * imag``."""
    from cresset.ops.pointwise import add, mul

    floats = (dtypes.float16, dtypes.float32, dtypes.float64)
    if real.dtype not in floats or imag.dtype not in floats:
        raise RuntimeError(
            "Expected both inputs to be Half, Float or Double tensors but got "
            f"{real.dtype.torch_type[:-6]} and {imag.dtype.torch_type[:-6]}"
        )
    if real.dtype is not imag.dtype:
        raise RuntimeError(
            f"Expected object of scalar type {real.dtype.torch_type[:-6]} but got scalar type "
            f"{imag.dtype.torch_type[:-6]} for second argument"
        )
    return into(out, add(real, mul(imag, 1j)))


# -- the legacy constructors -----------------------------------------------------------------------


def legacy_new(cls: type, *args: Any, device: Device = None, dtype: dtype | None = None) -> Tensor:
    """``Tensor()``, ``Tensor(2, 3)``, ``Tensor([1, 2])``, ``Tensor(array)``, ``Tensor(tensor)``."""
    d = dtype or dtypes.get_default_dtype()
    if len(args) == 1 and not isinstance(args[0], int):
        data = args[0]
        if isinstance(data, Size):
            made = empty(tuple(data), dtype=d, device=device)
        elif isinstance(data, Tensor):
            if data.dtype is not d:
                raise (
                    TypeError(f"expected {_legacy_name(d)} (got {data._type_name()})")
                    if cls is not Tensor
                    else TypeError(
                        f"expected TensorOptions(dtype={d.name}, device=cpu, layout=Strided, "
                        "requires_grad=false (default), pinned_memory=false (default), "
                        f"memory_format=(nullopt)) (got TensorOptions(dtype={data.dtype.name}, ...))"  # noqa: E501
                    )
                )
            made = data._alias()
        else:
            if isinstance(data, float):
                raise TypeError("new(): data must be a sequence (got float)")
            array, _ = host_data(data)
            made = from_host(encode(array, d), d, resolve_device(device))
    else:
        made = empty(*args, dtype=d, device=device) if args else empty(0, dtype=d, device=device)
    if cls is Tensor:
        return made
    result = object.__new__(cls)
    result.__dict__.update(made.__dict__)
    return result


def _legacy_name(d: dtype) -> str:
    return f"torch.{d.torch_type}"


Tensor._legacy_new = staticmethod(legacy_new)


class _LegacyType(type):
    """Makes ``isinstance(x, torch.FloatTensor)`` ask for dtype and device."""

    def __instancecheck__(cls, x: Any) -> bool:
        return (
            isinstance(x, Tensor)
            and x._spec.dtype is cls.dtype  # type: ignore[attr-defined]
            and x._spec.device.type == cls.device_type  # type: ignore[attr-defined]
        )

    def __repr__(cls) -> str:
        return f"<class '{cls.__module__}.{cls.__name__}'>"


def legacy_types(device_type: str = "cpu") -> dict[str, Any]:
    """``FloatTensor``, ``LongTensor`` ...: the old constructors, one per dtype."""
    made = {}
    module = "torch" if device_type == "cpu" else "torch.cuda"
    for d in dtypes.ALL:
        if d.is_complex:
            continue

        def new(cls: Any, *args: Any, device: Device = None) -> Tensor:
            where = device if device is not None else cls.device_type
            return legacy_new(Tensor, *args, device=where, dtype=cls.dtype)

        made[d.torch_type] = _LegacyType(
            d.torch_type, (), {"__new__": new, "dtype": d, "device_type": device_type,
                               "__module__": module}
        )  # fmt: skip
    return made


def materialized(x: Tensor) -> Tensor:
    """The tensor itself, its value computed."""
    graph.materialize(x._storage)
    return x


def scalar_tensor(s: Any, *, dtype: dtype | None = None, device: Device = None,
                  layout: Any = None, pin_memory: bool = False,
                  requires_grad: bool = False) -> Tensor:  # fmt: skip
    """A 0-dim tensor of a number."""
    d = dtype or dtypes.get_default_dtype()
    return tensor(s, dtype=d, device=device, requires_grad=requires_grad)


TORCH = (
    "as_tensor", "complex=complex_", "empty", "empty_like", "empty_permuted", "empty_strided",
    "eye", "from_numpy", "full", "full_like", "ones",
    "ones_like", "scalar_tensor", "tensor", "zeros", "zeros_like",
)  # fmt: skip
METHODS = ("new_empty_strided", "new_empty", "new_full", "new_ones", "new_tensor", "new_zeros")
