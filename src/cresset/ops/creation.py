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
from cresset.dtypes import dtype
from cresset.ops.inplace import FILL, into
from cresset.ops.registry import Tensor, apply, as_shape, backend, memory_format_order
from cresset.runtime import backend as backend_of
from cresset.size import Size
from cresset.tensor import from_array, wrap

Device = device | str | int | None


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


def encode(array: np.ndarray, d: dtype) -> np.ndarray:
    """Host values in the storage form of a dtype (rounds to bfloat16; integers wrap)."""
    from cresset.core.plan import to_bfloat16

    if d is dtypes.bfloat16:
        return to_bfloat16(np, array)
    with np.errstate(all="ignore"):
        return array.astype(d.np)


# -- from data -------------------------------------------------------------------------------------


def _leaf(data: Any) -> Any:
    """The first scalar inside nested sequences."""
    while isinstance(data, (list, tuple)) and len(data):
        data = data[0]
    return data


def _numbers(data: Any) -> np.ndarray:
    """Nested sequences that NumPy makes no numbers of: large ints beside floats, or an error."""
    if isinstance(_leaf(data), str):
        raise ValueError("too many dimensions 'str'")
    kinds = set()
    waiting = [data]
    while waiting:
        item = waiting.pop()
        if isinstance(item, (list, tuple)):
            waiting.extend(reversed(item))
        elif isinstance(item, str):
            raise TypeError("new(): invalid data type 'str'")
        elif isinstance(item, (bool, int, float, complex, np.ndarray, np.generic)):
            kinds.add(np.asarray(item).dtype.kind if not isinstance(item, int) else "i")
        else:
            raise RuntimeError(f"Could not infer dtype of {type(item).__name__}")
    if not kinds & set("fc"):
        raise ValueError("Overflow when unpacking long long")
    return np.array(data, np.complex128 if "c" in kinds else np.float64)


def _host_data(data: Any) -> tuple[np.ndarray, dtype]:
    """Nested sequences, scalars, arrays or tensors as a NumPy array, with the dtype they imply."""
    if isinstance(data, Tensor):
        return data._host(), data._spec.dtype
    if isinstance(data, np.ndarray):
        return data, _dtype_of(data)
    if isinstance(data, np.generic):
        return np.asarray(data), dtypes.from_numpy_dtype(data.dtype)
    if isinstance(data, (list, tuple, range)):
        data = [x._host() if isinstance(x, Tensor) else _unwrap(x) for x in data]
        _check_lengths(data)
        if _has_strings(data):
            raise ValueError("too many dimensions 'str'")
        try:
            array = np.array(data)
        except ValueError as error:
            raise ValueError(str(error)) from None
        if array.dtype == object or array.dtype.kind in "USO":
            array = _numbers(data)
        if array.size == 0 and array.dtype == np.float64:
            return array, dtypes.get_default_dtype()
        first = _leaf(data)
        if type(first) in (bool, int, float) and (
            array.dtype == np.uint64
            or (array.dtype == np.float64 and not (np.abs(array) < 2.0**63).all())
        ):  # NumPy made something else of ints beyond 64 bits
            array = _numbers(data)
        if isinstance(first, np.ndarray) or (
            isinstance(first, np.generic) and not isinstance(first, (float, complex))
        ) or type(first) in (np.float64, np.complex128):  # fmt: skip
            return array, _joint_dtype(data, array)
        return array, _python_dtype(array)
    if isinstance(data, (bool, int, float, complex)):
        if isinstance(data, int) and not -(2**63) <= data < 2**63:
            raise ValueError("Overflow when unpacking long long")
        array = np.array(data)
        return array, _python_dtype(array)
    if hasattr(data, "__array__"):
        return _host_data(np.asarray(data))
    if (
        hasattr(data, "__getitem__")
        and hasattr(data, "__len__")
        and not isinstance(data, (str, bytes, dict))
    ):
        return _host_data([data[i] for i in range(len(data))])
    if isinstance(data, (str, bytes)):
        raise TypeError(f"new(): invalid data type '{type(data).__name__}'")
    raise RuntimeError(f"Could not infer dtype of {type(data).__name__}")


def _dtype_of(array: np.ndarray) -> dtype:
    """The dtype of an array's elements; an error in PyTorch's words where its memory is odd."""
    if array.dtype.byteorder == ">":
        raise ValueError(
            "given numpy array has byte order different from the native byte order. Conversion "
            "between byte orders is currently not supported."
        )
    if array.size and any(s < 0 for s in array.strides):
        raise ValueError(
            "At least one stride in the given numpy array is negative, and tensors with negative "
            "strides are not currently supported. (You can probably work around this by making a "
            "copy of your array  with array.copy().) "
        )
    return dtypes.from_numpy_dtype(array.dtype)


def _joint_dtype(data: Any, array: np.ndarray) -> dtype:
    """The dtype of a list that begins with NumPy's values: Python's numbers in it weigh less."""
    kinds = {type(x): x for x in data}
    if any(issubclass(kind, (list, tuple)) for kind in kinds) or not any(
        kind in (bool, int, float, complex) or getattr(x, "shape", None) == ()
        for kind, x in kinds.items()
    ):
        return dtypes.from_numpy_dtype(array.dtype)
    found = None
    for x in data:
        own = (
            dtypes.from_numpy_dtype(x.dtype)
            if hasattr(x, "dtype")
            else _python_dtype(np.asarray(x))
        )
        found = own if found is None else dtypes.promote(found, own)
    assert found is not None
    return found


def _unwrap(x: Any) -> Any:
    if isinstance(x, (list, tuple)):
        return [y._host() if isinstance(y, Tensor) else _unwrap(y) for y in x]
    return x


def _has_strings(data: Any) -> bool:
    return isinstance(_leaf(data), (str, bytes))


def _check_lengths(data: list, depth: int = 0) -> None:
    """Ragged nesting is an error in PyTorch's words."""
    if not data:
        return
    lengths = (
        [len(x) if isinstance(x, (list, np.ndarray)) and np.ndim(x) else None for x in data]
        if any(isinstance(x, list) for x in data)
        else []
    )
    if not lengths:
        return
    for i, n in enumerate(lengths):
        if n is None:
            raise (
                TypeError(f"must be real number, not {type(data[0]).__name__}")
                if lengths[0] is not None
                else TypeError("only integer tensors of a single element can be converted")
            )
        if n != lengths[0]:
            raise ValueError(
                f"expected sequence of length {lengths[0]} at dim {depth + 1} (got {n})"
            )
        if isinstance(data[i], list):
            _check_lengths(data[i], depth + 1)


def _python_dtype(array: np.ndarray) -> dtype:
    kind = array.dtype.kind
    if kind == "f":
        return dtypes.get_default_dtype()
    if kind == "c":
        return dtypes.get_default_dtype().to_complex()
    return dtypes.bool_ if kind == "b" else dtypes.int64


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
    array, implied = _host_data(data)
    d = implied if dtype is None else dtype
    return from_host(encode(array, d).copy(), d, resolve_device(device), requires_grad)


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
    d = dtype or _dtype_of(ndarray)
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


def _check_shape(shape: tuple[int, ...]) -> None:
    for n in shape:
        if n < 0:
            raise RuntimeError(
                f"Trying to create tensor with negative dimension {n}: {list(shape)}"
            )


def _value_factory(name: str, value: int, doc: str) -> Any:
    def factory(
        *size: Any,
        out: Tensor | None = None,
        dtype: dtype | None = None,
        layout: Any = None,
        device: Device = None,
        requires_grad: bool = False,
        pin_memory: bool = False,
        memory_format: Any = None,
        names: Any = None,
    ) -> Tensor:
        shape = as_shape(size)
        _check_shape(shape)
        d = dtype or (out.dtype if out is not None else dtypes.get_default_dtype())
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
    *size: Any,
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
    if "size" in size:
        raise TypeError("empty(): invalid size")
    shape = as_shape(size)
    _check_shape(shape)
    if out is not None:
        return out.resize_(shape)  # type: ignore[attr-defined]
    d, where = dtype or dtypes.get_default_dtype(), resolve_device(device)
    spec = dense(d, shape, where)
    buffer = backend(where).empty(spec.numel, d.np)
    return finish(wrap(Storage(d, spec.numel, where, buffer), spec), requires_grad)


def empty_strided(
    size: Any, stride: Any, *, dtype: dtype | None = None, device: Device = None,
    requires_grad: bool = False, layout: Any = None, pin_memory: bool = False,
) -> Tensor:  # fmt: skip
    """An uninitialised tensor with the given size and stride."""
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
    d = dtype or (out.dtype if out is not None else _python_dtype(np.asarray(fill_value)))
    shape = (size,) if isinstance(size, int) else tuple(size)
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
            array, _ = _host_data(data)
            made = from_host(encode(array, d).copy(), d, resolve_device(device))
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
    "as_tensor", "complex=complex_", "empty", "empty_like", "empty_strided",
    "eye", "from_numpy", "full", "full_like", "ones",
    "ones_like", "scalar_tensor", "tensor", "zeros", "zeros_like",
)  # fmt: skip
METHODS = ("new_empty", "new_full", "new_ones", "new_tensor", "new_zeros")
