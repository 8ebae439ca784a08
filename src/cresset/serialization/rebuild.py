"""Tensors from their parts: the functions that pickles of tensors call.

Two kinds of pickle hold tensors. In a file of ``save`` the numbers lie beside the pickle and the
pickle names a storage, so views of one storage stay views of one storage; these functions carry
the names PyTorch gives them (see ``names``) and take a ``TypedStorage``. Outside ``save``
(``pickle.dumps``, ``multiprocessing``) a tensor carries its own numbers: ``reduce_tensor`` takes it
apart, ``rebuild_tensor`` puts it together.

Arguments may come from a hostile file: geometry is checked against the storage here.
"""

from __future__ import annotations

import copy
import inspect
import math
import reprlib
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from cresset import dtypes
from cresset.core import graph
from cresset.core.spec import contiguous_stride
from cresset.core.spec import spec as make_spec
from cresset.core.storage import Storage
from cresset.device import device
from cresset.dtypes import dtype
from cresset.runtime import backend
from cresset.size import Size
from cresset.tensor import Tensor, layout, strided, wrap


class TypedStorage(NamedTuple):
    """A storage together with the element type under which a file knows it."""

    storage: Storage
    dtype: dtype

    @property
    def numel(self) -> int:
        """Elements of ``dtype`` in the storage."""
        return self.storage.size * self.storage.dtype.itemsize // self.dtype.itemsize


_PACKAGE = __name__.partition(".")[0] + "."
#: Sizes and strides are 64-bit numbers, and NumPy has no more than 64 dimensions.
_MOST, _MOST_DIMENSIONS = 1 << 63, 64
#: Storages that were conjugated or negated, by the storage they were made of.
_copies: WeakKeyDictionary[Storage, dict[tuple[bool, bool], Storage]] = WeakKeyDictionary()


# -- in files of ``save`` ---------------------------------------------------------------------


def rebuild_tensor_v1(storage: TypedStorage, offset: int, size: Any, stride: Any) -> Tensor:
    """A tensor that views a storage (``torch._utils._rebuild_tensor``, of old files)."""
    if not isinstance(storage, TypedStorage):
        raise TypeError(f"expected a storage, but got {type(storage).__name__}")
    for name, value in (("size", size), ("stride", stride)):
        if not isinstance(value, (tuple, list)):
            raise TypeError(f"expected a tuple as {name}, but got {type(value).__name__}")
    numbers = (offset, *size, *stride)
    if not all(type(n) is int for n in numbers):
        raise TypeError("sizes, strides and the storage offset must be ints")
    if len(size) != len(stride) or not all(0 <= n < _MOST for n in numbers):
        raise RuntimeError(
            f"Trying to create tensor with invalid geometry: sizes {reprlib.repr(list(size))}, "
            f"strides {reprlib.repr(list(stride))}, storage offset {reprlib.repr(offset)}"
        )
    if len(size) > _MOST_DIMENSIONS:
        raise RuntimeError(f"tensors of {len(size)} dimensions are not supported, only of 64")
    if math.prod(size) >= _MOST:
        raise RuntimeError("numel: integer multiplication overflow")
    itemsize = storage.dtype.itemsize
    needed = 0
    if 0 not in size:
        needed = offset + 1 + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
    if needed > storage.numel:
        raise RuntimeError(
            f"setStorage: sizes {list(size)}, strides {list(stride)}, storage offset {offset}, and "
            f"itemsize {itemsize} requiring a storage size of {needed * itemsize} are out of "
            f"bounds for storage of size {storage.numel * itemsize}"
        )
    where = storage.storage.device
    return wrap(storage.storage, make_spec(storage.dtype, Size(size), tuple(stride), offset, where))


def rebuild_tensor_v2(
    storage: TypedStorage,
    offset: int,
    size: Any,
    stride: Any,
    requires_grad: bool,
    backward_hooks: Any,
    metadata: dict | None = None,
) -> Tensor:
    """A tensor that views a storage (``torch._utils._rebuild_tensor_v2``)."""
    tensor = rebuild_tensor_v1(storage, offset, size, stride)
    if metadata:
        # PyTorch saves lazily conjugated or negated views as their base and a flag.
        tensor = wrap(_changed(storage.storage, metadata), tensor._spec)
    if requires_grad:
        tensor.requires_grad_()
    return tensor


def rebuild_tensor_v3(
    storage: Any,
    offset: int,
    size: Any,
    stride: Any,
    requires_grad: bool,
    backward_hooks: Any,
    kind: Any,
    metadata: dict | None = None,
) -> Tensor:
    """A tensor of a dtype that has no storage type of its own."""
    if not isinstance(kind, dtype):
        name = str(kind) if type(kind).__name__ == "Lacking" else f"a {type(kind).__name__}"
        raise RuntimeError(f"the file holds a tensor of {name}, a dtype which Cresset lacks")
    raw = storage.storage if isinstance(storage, TypedStorage) else storage._storage
    typed = TypedStorage(raw, kind)
    return rebuild_tensor_v2(typed, offset, size, stride, requires_grad, backward_hooks, metadata)


def _refusing(what: str) -> Callable[..., Any]:
    def refuse(*args: Any) -> Any:
        raise RuntimeError(f"the file holds {what}, which Cresset does not have")

    return refuse


#: By what follows ``_rebuild_`` in their names: functions for other kinds of tensors.
UNSUPPORTED = {
    "qtensor": _refusing("a quantized tensor"),
    "sparse_tensor": _refusing("a sparse tensor"),
    "nested_tensor": _refusing("a nested tensor"),
    "meta_tensor_no_storage": _refusing("a tensor without values (device meta)"),
    "device_tensor_from_numpy": _refusing("a tensor of a device that is not there"),
    "device_tensor_from_cpu_tensor": _refusing("a tensor of a device that is not there"),
    "wrapper_subclass": _refusing("a tensor subclass without values"),
}


def _changed(storage: Storage, metadata: Any) -> Storage:
    """The storage with its values conjugated, negated or both; one copy of each kind."""
    if not isinstance(metadata, dict):
        raise TypeError(f"expected a dict of flags, but got {type(metadata).__name__}")
    conj, neg = metadata.get("conj") is True, metadata.get("neg") is True
    if not (conj or neg):
        return storage
    copies = _copies.setdefault(storage, {})
    if (conj, neg) not in copies:
        home = backend(storage.device)
        values = home.to_host(graph.materialize(storage))
        values = values.conj() if conj else values
        values = -values if neg else values
        copies[conj, neg] = Storage(
            storage.dtype, storage.size, storage.device, home.from_host(values)
        )
    return copies[conj, neg]


def rebuild_parameter(data: Tensor, requires_grad: bool, backward_hooks: Any = None) -> Any:
    """An ``nn.Parameter`` (``torch._utils._rebuild_parameter``)."""
    from cresset.nn.parameter import Parameter

    if not isinstance(data, Tensor):
        raise TypeError(f"expected a tensor, but got {type(data).__name__}")
    return Parameter(data, requires_grad is True)


def rebuild_parameter_with_state(
    data: Tensor, requires_grad: bool, backward_hooks: Any, state: Any
) -> Any:
    """An ``nn.Parameter`` with attributes that the user gave it."""
    parameter = rebuild_parameter(data, requires_grad)
    set_user_state(parameter, state)
    return parameter


def rebuild_from_type_v2(func: Any, cls: type, args: tuple, state: Any) -> Any:
    """A tensor of a subclass, or one with attributes (``torch._tensor._rebuild_from_type_v2``)."""
    tensor = func(*args)
    if type(tensor) is not cls:
        tensor = _as_class(tensor, cls)
    own = getattr(cls, "__setstate__", None)
    if own is not None and own is not getattr(Tensor, "__setstate__", None):
        tensor.__setstate__(state)
    else:
        set_user_state(tensor, state)
    return tensor


def layout_of(name: str) -> layout:
    """The memory layout of that name (``torch.serialization._get_layout``)."""
    if name != "torch.strided":
        raise RuntimeError(f"layout {name} is not supported, only torch.strided is")
    return strided


# -- attributes -------------------------------------------------------------------------------


@cache
def _own_fields(cls: type) -> frozenset[str]:
    return frozenset(name for base in cls.__mro__ for name in inspect.get_annotations(base))


def user_state(tensor: Tensor) -> dict[str, Any]:
    """The attributes that a user gave a tensor (those with a leading underscore are ours)."""
    cls: Any = type(tensor)
    own = _own_fields(cls)
    return {k: v for k, v in tensor.__dict__.items() if not k.startswith("_") and k not in own}


def set_user_state(tensor: Tensor, state: Any) -> None:
    """Give a tensor back its attributes. Fields of ours are never touched by a file."""
    parts = state if isinstance(state, tuple) and len(state) == 2 else (state,)
    for part in parts:  # (__dict__, slots)
        if part is None:
            continue
        if not isinstance(part, dict):
            raise TypeError(f"expected a dict as state, but got {type(part).__name__}")
        for name, value in part.items():
            if isinstance(name, str) and not name.startswith("_"):
                setattr(tensor, name, value)


def _as_class(tensor: Tensor, cls: type) -> Any:
    if not (isinstance(cls, type) and issubclass(cls, Tensor)):
        raise TypeError(f"expected a subclass of Tensor, but got {cls!r}")
    result = object.__new__(cls)
    result.__dict__.update(tensor.__dict__)
    return result


# -- outside ``save`` -------------------------------------------------------------------------


def reduce_tensor(tensor: Tensor) -> tuple[Any, tuple]:
    """What ``Tensor.__reduce_ex__`` returns: a function and its arguments.

    The part of the storage that the tensor spans goes along, with the tensor's strides; sharing
    with other tensors does not.

    >>> import pickle
    >>> import cresset as torch
    >>> pickle.loads(pickle.dumps(torch.arange(6).view(2, 3).t()))
    tensor([[0, 3],
            [1, 4],
            [2, 5]])
    """
    spec = tensor._spec
    host = backend(spec.device).to_host(graph.materialize(tensor._storage))
    if host.dtype != spec.dtype.np:
        host = host.view(spec.dtype.np)
    span = host[spec.offset : spec.offset + spec.extent] if spec.numel else host[:0]
    args = (span.copy(), spec.dtype.name, tuple(spec.shape), spec.stride, str(spec.device))
    cls: type = type(tensor)
    if cls is not Tensor and is_parameter(tensor):
        cls = _parameter_class()
    return rebuild_tensor, (*args, tensor.requires_grad, cls, user_state(tensor))


def rebuild_tensor(
    values: np.ndarray,
    dtype_name: str,
    shape: tuple[int, ...],
    stride: tuple[int, ...] | None = None,
    where: str = "cpu",
    requires_grad: bool = False,
    cls: type = Tensor,
    state: dict[str, Any] | None = None,
) -> Any:
    """The tensor that ``reduce_tensor`` took apart."""
    kind = dtypes._by_name(dtype_name)
    home = device(where)
    buffer = backend(home).from_host(np.asarray(values).astype(kind.np, copy=False))
    storage = TypedStorage(Storage(kind, buffer.size, home, buffer), kind)
    stride = contiguous_stride(shape) if stride is None else stride
    tensor: Any = rebuild_tensor_v1(storage, 0, shape, stride)
    if cls is not Tensor:
        is_parameter = getattr(cls, "__name__", "") == "Parameter"
        tensor = rebuild_parameter(tensor, False) if is_parameter else _as_class(tensor, cls)
    if requires_grad:
        tensor.requires_grad_()
    set_user_state(tensor, state)
    return tensor


def deepcopy_tensor(tensor: Tensor, memo: dict[int, Any]) -> Any:
    """What ``Tensor.__deepcopy__`` returns: an equal tensor with memory of its own.

    Views copied under one ``memo`` share the copied storage as they share the original.
    RuntimeError for tensors that an op made while gradients were recorded.
    """
    if id(tensor) in memo:
        return memo[id(tensor)]
    if not tensor.is_leaf:
        raise RuntimeError(
            "Only Tensors created explicitly by the user (graph leaves) support the deepcopy "
            "protocol at the moment.  If you were attempting to deepcopy a module, this may be "
            "because of a torch.nn.utils.weight_norm usage, see "
            "https://github.com/pytorch/pytorch/pull/103001"
        )
    source = tensor._storage
    storage = memo.get(id(source))
    if storage is None:
        home = backend(source.device)
        buffer = home.from_host(home.to_host(graph.materialize(source)))
        storage = memo[id(source)] = Storage(source.dtype, source.size, source.device, buffer)
    result: Any = wrap(storage, tensor._spec)
    if type(tensor) is not Tensor:
        result = _as_class(result, type(tensor))
    memo[id(tensor)] = result
    result._requires_grad = tensor.requires_grad
    if tensor._grad is not None:
        result._grad = copy.deepcopy(tensor._grad, memo)
    for name, value in user_state(tensor).items():
        setattr(result, name, copy.deepcopy(value, memo))
    return result


def _parameter_class() -> type:
    from cresset.nn.parameter import Parameter

    return Parameter


def is_parameter(tensor: Any) -> bool:
    """Whether this is an ``nn.Parameter``."""
    return _is_of_nn(tensor, "Parameter")


def is_buffer(tensor: Any) -> bool:
    """Whether this is an ``nn.Buffer``; in files these are plain tensors."""
    return _is_of_nn(tensor, "Buffer")


def _is_of_nn(tensor: Any, name: str) -> bool:
    """Told by name: whoever made one has imported ``nn``, so there is no need to do it here."""
    return any(
        base.__name__ == name and base.__module__.startswith(_PACKAGE)
        for base in type(tensor).__mro__
    )
