"""The pickle inside a checkpoint: ordinary pickle, with storages kept aside.

A tensor is written as a call of PyTorch's rebuild function on a *persistent id*,
``('storage', FloatStorage, key, 'cpu', numel)``; the numbers follow in a record of their own. Each
storage is written once, however many tensors view it. Class references carry PyTorch's names (see
``names``); the C pickler insists on importing what it names, so the standard library's pure Python
one does the work.
"""

from __future__ import annotations

import codecs
import pickle
import warnings
from collections import OrderedDict
from types import FunctionType
from typing import Any

import numpy as np

from cresset.core import graph
from cresset.core.storage import Storage
from cresset.device import device
from cresset.dtypes import dtype, uint8
from cresset.runtime import backend
from cresset.serialization import names, rebuild
from cresset.serialization.location import UntypedStorage, location_tag
from cresset.serialization.names import StorageType
from cresset.serialization.rebuild import TypedStorage
from cresset.serialization.whole_modules import extra_state
from cresset.tensor import Tensor, layout

#: Types that never need a closer look; most objects of a checkpoint have one of these.
_PLAIN = frozenset(
    {str, int, float, bool, type(None), dict, list, tuple, OrderedDict, TypedStorage}
)


class StorageTable:
    """The storages met so far, numbered in order: what must be written beside the pickle."""

    def __init__(self, legacy: bool = False) -> None:
        self.storages: list[TypedStorage] = []
        self._keys: dict[int, str] = {}
        self._legacy = legacy

    def persistent_id(self, obj: Any) -> tuple | None:
        """The id written in place of a storage, None for anything else."""
        if obj.__class__ is TypedStorage:
            typed, kind = obj, names.STORAGE_TYPES[obj.dtype]
        elif isinstance(obj, UntypedStorage):
            typed = TypedStorage(obj._storage, uint8)
            kind = names.CONSTANTS["torch.storage.UntypedStorage"]
        else:
            return None
        key = self._keys.get(id(typed.storage))
        if key is None:
            key = self._keys[id(typed.storage)] = str(len(self.storages))
            self.storages.append(typed)
        elif self.storages[int(key)].dtype is not typed.dtype:
            raise RuntimeError(
                "Cannot save multiple tensors or storages that view the same data as different "
                "types"
            )
        found = ("storage", kind, key, location_tag(typed.storage), typed.numel)
        return (*found, None) if self._legacy else found


def storage_bytes(storage: Storage) -> np.ndarray:
    """The storage's memory as bytes on the host, after running whatever it waits for."""
    host = backend(storage.device).to_host(graph.materialize(storage))
    return np.ascontiguousarray(host).reshape(-1).view(np.uint8)


class _PyTorchNames:
    """What is mixed into a Python pickler so that it writes PyTorch's names and ids."""

    proto: int
    write: Any
    memoize: Any
    table: StorageTable
    #: Functions and classes made inside functions have no name to be found by.
    local_is_error: bool

    def persistent_id(self, obj: Any) -> Any:
        return self.table.persistent_id(obj)

    def reducer_override(self, obj: Any) -> Any:
        cls = type(obj)
        if cls in _PLAIN:
            return NotImplemented
        if isinstance(obj, Tensor):
            return reduce_by_storage(obj)
        if isinstance(obj, (dtype, StorageType)):
            return "constant"  # save_global below knows its name
        if cls is device:
            return device, (obj.type,) if obj.index is None else (obj.type, obj.index)
        if cls is layout:
            return rebuild.layout_of, (repr(obj),)
        if cls is bytes and self.proto < 3:
            # Before protocol 3 bytes had no opcode. PyTorch's safe loader knows this form only.
            return codecs.encode, (obj.decode("latin1"), "latin1")
        if (isinstance(obj, type) or callable(obj)) and names.pytorch_name(obj) is not None:
            return obj.__qualname__
        if hasattr(obj, "_modules") and hasattr(obj, "named_modules"):
            return reduce_module(obj, self.proto)
        if self.local_is_error and isinstance(obj, (type, FunctionType)):
            if "<locals>" in obj.__qualname__:
                raise AttributeError(f"Can't pickle local object {obj.__qualname__!r}")
        return NotImplemented

    def save_global(self, obj: Any, name: str | None = None) -> None:
        known = names.pytorch_name(obj)
        if known is None:
            super().save_global(obj, name)  # type: ignore[misc]
            return
        module, name = known
        self.write(pickle.GLOBAL + f"{module}\n{name}\n".encode())
        self.memoize(obj)


def reduce_by_storage(tensor: Any) -> tuple[Any, tuple]:
    """A tensor as a call of a rebuild function, its storage by reference."""
    if tensor._hooks:
        for hook in list(tensor._hooks.values()):
            warnings.warn(
                f"backward hook {hook!r} on tensor will not be serialized.  If this is expected, "
                "you can decorate the function with @torch.utils.hooks.unserializable_hook to "
                "suppress this warning",
                stacklevel=2,
            )
    state = rebuild.user_state(tensor)
    if rebuild.is_parameter(tensor):
        parts: tuple = (tensor._alias(), tensor.requires_grad, OrderedDict())
        if state:
            return rebuild.rebuild_parameter_with_state, (*parts, state)
        return rebuild.rebuild_parameter, parts
    spec = tensor._spec
    args: tuple = (
        TypedStorage(tensor._storage, spec.dtype),
        spec.offset,
        tuple(spec.shape),
        tuple(spec.stride),
        tensor.requires_grad,
        OrderedDict(),
    )
    cls: type = Tensor if rebuild.is_buffer(tensor) else type(tensor)
    if cls is Tensor and not state:
        return rebuild.rebuild_tensor_v2, args
    return rebuild.rebuild_from_type_v2, (rebuild.rebuild_tensor_v2, cls, args, state)


def reduce_module(module: Any, protocol: int) -> Any:
    """A module as pickle takes it apart, with the attributes that PyTorch's class looks for."""
    extra = extra_state(module)
    reduced = module.__reduce_ex__(protocol) if extra else NotImplemented
    if not isinstance(reduced, tuple) or len(reduced) < 3 or not isinstance(reduced[2], dict):
        return NotImplemented
    return (*reduced[:2], {**reduced[2], **extra}, *reduced[3:])


def make_pickler(f: Any, protocol: int, pickle_module: Any, table: StorageTable) -> Any:
    """A pickler of ``pickle_module`` that writes into ``f`` as PyTorch would."""
    base = pickle_module.Pickler
    if pickle_module is pickle:
        base = pickle._Pickler  # type: ignore[attr-defined]
    if not issubclass(base, pickle._Pickler):  # type: ignore[attr-defined]
        raise TypeError(
            f"pickle_module '{pickle_module.__name__}' has a Pickler written in C; save needs one "
            "that is a subclass of pickle._Pickler, such as pickle itself or dill"
        )
    pickler = type("Pickler", (_PyTorchNames, base), {})(f, protocol=protocol)
    pickler.table = table
    pickler.local_is_error = pickle_module is pickle  # dill, for one, can save them
    return pickler
