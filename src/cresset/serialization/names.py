"""The names by which PyTorch's files know things, both ways.

A pickle refers to classes and functions as ``module name``. Files that PyTorch shall load must
speak of ``torch FloatStorage`` and ``torch._utils _rebuild_tensor_v2``, and files it wrote do.
``OBJECTS`` holds what a tensor is made of under those names. Modules, optimisers and the rest go by
their public place: ``torch.nn.Linear`` is ``cresset.nn.Linear``, whichever file defines it.
"""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
from typing import Any

from cresset import dtypes
from cresset.device import device
from cresset.dtypes import dtype
from cresset.serialization import rebuild
from cresset.size import Size
from cresset.tensor import Tensor

_PACKAGE = __name__.partition(".")[0]


@dataclass(frozen=True, eq=False)
class StorageType:
    """Stands for ``torch.FloatStorage`` and its kind: an element type, by its name in files."""

    name: str
    dtype: dtype

    def __str__(self) -> str:
        return f"StorageType(dtype={self.dtype})"


STORAGE_TYPES = {d: StorageType(d.torch_type.replace("Tensor", "Storage"), d) for d in dtypes.ALL}


@dataclass(frozen=True, eq=False)
class Lacking:
    """Stands for a dtype of PyTorch's (or what belongs to it) that Cresset does not have."""

    name: str

    def __str__(self) -> str:
        return f"torch.{self.name}"


_LACKING = (
    "uint16", "uint32", "uint64", "complex32", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2",
    "float8_e5m2fnuz", "float8_e8m0fnu", "float4_e2m1fn_x2", "quint8", "qint8", "qint32",
    "quint4x2", "quint2x4", "bits8", "bits16", "bits1x8", "bits2x4", "bits4x2",
    "per_tensor_affine", "per_channel_affine", "QUInt8Storage", "QInt8Storage", "QInt32Storage",
)  # fmt: skip

#: Functions that a file may call to make a tensor.
REBUILD: dict[str, Any] = {
    "torch._utils._rebuild_tensor": rebuild.rebuild_tensor_v1,
    "torch._utils._rebuild_tensor_v2": rebuild.rebuild_tensor_v2,
    "torch._utils._rebuild_tensor_v3": rebuild.rebuild_tensor_v3,
    **{f"torch._utils._rebuild_{kind}": f for kind, f in rebuild.UNSUPPORTED.items()},
    "torch._utils._rebuild_parameter": rebuild.rebuild_parameter,
    "torch._utils._rebuild_parameter_with_state": rebuild.rebuild_parameter_with_state,
}

#: Constants: element types under their two kinds of name.
CONSTANTS: dict[str, Any] = {
    **{f"torch.{name}": Lacking(name) for name in _LACKING},
    **{f"torch.{d.name}": d for d in dtypes.ALL},
    **{f"torch.{s.name}": s for s in STORAGE_TYPES.values()},
    **{f"torch.cuda.{s.name}": s for s in STORAGE_TYPES.values()},
    "torch.storage.UntypedStorage": StorageType("storage.UntypedStorage", dtypes.uint8),
}

OBJECTS: dict[str, Any] = {
    **REBUILD,
    **CONSTANTS,
    "torch._tensor._rebuild_from_type_v2": rebuild.rebuild_from_type_v2,
    "torch.serialization._get_layout": rebuild.layout_of,
    "torch.Size": Size,
    "torch.device": device,
    "torch.Tensor": Tensor,
}

_NAMES: dict[int, str] = {}
for _name, _object in OBJECTS.items():
    _NAMES.setdefault(id(_object), _name)

#: Classes that are in no public place: PyTorch's module and name, and ours.
_INNER = {("torch.nn.modules.linear", "NonDynamicallyQuantizableLinear"): "nn.attention"}

#: Public places of PyTorch's API, looked through in this order.
_PUBLIC = ("nn", "nn.functional", "optim", "optim.lr_scheduler", "utils.data", "")


def canonical(module: str, name: str) -> str:
    """One spelling for things PyTorch defines in inner files: ``torch.nn.Linear``."""
    for inner, public in (("torch.nn.modules.", "torch.nn"), ("torch.nn.parameter", "torch.nn")):
        if module.startswith(inner):
            return f"{public}.{name}"
    if module.startswith("torch.optim.") and module != "torch.optim.lr_scheduler":
        return f"torch.optim.{name}"
    if module.startswith("torch.utils.data."):
        return f"torch.utils.data.{name}"
    return f"{module}.{name}"


def pytorch_name(obj: Any) -> tuple[str, str] | None:
    """``(module, name)`` under which PyTorch knows one of our classes or functions, or None."""
    found = _NAMES.get(id(obj))
    if found is not None:
        module, _, name = found.rpartition(".")
        return module, name
    home = getattr(obj, "__module__", None)
    name = getattr(obj, "__qualname__", "")
    if not isinstance(home, str) or not name or not (home + ".").startswith(_PACKAGE + "."):
        return None
    for place in _PUBLIC:
        namespace = sys.modules.get(f"{_PACKAGE}.{place}".rstrip("."))
        if namespace is not None and getattr(namespace, name, None) is obj:
            return f"torch.{place}".rstrip("."), name
    for theirs, place in _INNER.items():
        if home == f"{_PACKAGE}.{place}" and name == theirs[1]:
            return theirs
    return None


def resolve(module: str, name: str) -> Any:
    """What a trusted pickle means by one of PyTorch's names. AttributeError if we lack it."""
    known = OBJECTS.get(f"{module}.{name}")
    if known is not None:
        return known
    package, _, rest = module.partition(".")
    if package == "torchvision":
        places = [f"vision.{rest}".rstrip(".")]
    else:
        places = [canonical(module, name)[len("torch.") : -len(name) - 1], rest]
        places += [_INNER[module, name]] if (module, name) in _INNER else []
    for place in places:
        try:
            found: Any = importlib.import_module(f"{_PACKAGE}.{place}".rstrip("."))
            for part in name.split("."):
                found = getattr(found, part)
            return found
        except (ImportError, AttributeError):
            continue
    raise AttributeError(f"Can't get attribute '{name}' on '{module}': Cresset has no such thing")


def is_pytorch_module(module: str) -> bool:
    """Whether a module name in a pickle means PyTorch or torchvision."""
    return module.partition(".")[0] in ("torch", "torchvision")
