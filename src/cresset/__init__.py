"""Cresset: PyTorch's API and numbers, from source one person can read, compiled as it runs.

>>> import cresset as torch
>>> x = torch.ones(2, 2, requires_grad=True)
>>> (x * x * 3).mean().backward()
>>> x.grad
tensor([[1.5000, 1.5000],
        [1.5000, 1.5000]])
"""

from __future__ import annotations

import math as _math
import sys as _sys
import types as _types
from typing import Any as _Any

import cresset.ops.methods as _methods
from cresset import dtypes as _dtypes
from cresset import random, version
from cresset.autograd import (
    Variable,
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from cresset.autograd.anomaly import is_anomaly_enabled
from cresset.compilation import compile
from cresset.core import graph as _graph
from cresset.device import device, get_default_device, set_default_device
from cresset.dtypes import dtype, finfo, get_default_dtype, iinfo
from cresset.namespace import (
    can_cast,
    get_num_interop_threads,
    get_num_threads,
    is_complex,
    is_floating_point,
    is_nonzero,
    is_storage,
    is_tensor,
    numel,
    promote_types,
    result_type,
    set_default_dtype,
    set_default_tensor_type,
    set_float32_matmul_precision,
    set_num_interop_threads,
    set_num_threads,
    typename,
    use_deterministic_algorithms,
)
from cresset.ops.creation import legacy_types as _legacy_types
from cresset.ops.linalg import LINALG as _LINALG
from cresset.ops.math import SPECIAL as _SPECIAL
from cresset.ops.random import fork_rng as _fork_rng
from cresset.printing import get_printoptions, set_printoptions
from cresset.size import Size
from cresset.tensor import (
    Tensor,
    channels_last,
    channels_last_3d,
    contiguous_format,
    layout,
    memory_format,
    preserve_format,
    strided,
)
from cresset.version import __version__

globals().update({d.name: d for d in _dtypes.ALL})
globals().update(_dtypes.ALIASES)
globals().update(_methods.NAMESPACE)
globals().update(_legacy_types())
bool = _dtypes.bool_  # noqa: A001
pi, e, inf, nan, newaxis = _math.pi, _math.e, _math.inf, _math.nan, None


def _table(name: str, entries: dict[str, _Any]) -> _types.ModuleType:
    """A module made of a table of functions, importable by name."""
    module = _types.ModuleType(f"{__name__}.{name}", f"``torch.{name}``")
    module.__dict__.update(entries)
    _sys.modules[module.__name__] = module
    return module


linalg = _table("linalg", _LINALG)
special = _table("special", _SPECIAL)
for _name in ("manual_seed", "seed", "initial_seed", "get_rng_state", "set_rng_state"):
    setattr(random, _name, _methods.NAMESPACE[_name])
random.fork_rng = _fork_rng  # type: ignore[attr-defined]

#: Modules that load when they are first used: importing Cresset stays quick.
_LAZY = (
    "nn", "optim", "utils", "cuda", "backends", "testing", "autograd", "serialization", "vision",
    "compat", "accelerator", "compiler", "distributions", "hub", "multiprocessing",
)  # fmt: skip
_LAZY_NAMES = {"save": "serialization", "load": "serialization", "explain": "compiler"}


def _compiler(program: _Any, plan: _Any) -> _Any:
    """The compiler loads (and with it llvmlite) when the first plan is to be compiled."""
    from cresset.compiler import compile_plan

    return compile_plan(program, plan)


_graph.RECORDER.compiler = _compiler


def __getattr__(name: str) -> _Any:
    import importlib

    if name in _LAZY:
        module = importlib.import_module(f"{__name__}.{name}")
        globals()[name] = module
        from cresset.compat.missing import explain

        explain()
        return module
    if name in _LAZY_NAMES:
        value = getattr(importlib.import_module(f"{__name__}.{_LAZY_NAMES[name]}"), name)
        globals()[name] = value
        return value
    from cresset.compat.missing import missing

    known = [n for n in globals() if not n.startswith("_")] + [*_LAZY, *_LAZY_NAMES]
    raise missing("torch", name, known)


__all__ = [
    "Size", "Tensor", "Variable", "can_cast", "channels_last", "channels_last_3d", "compile",
    "contiguous_format", "device", "dtype", "enable_grad", "finfo",
    "get_default_device", "get_default_dtype", "get_num_interop_threads", "get_num_threads",
    "get_printoptions", "iinfo", "inference_mode", "is_anomaly_enabled", "is_complex",
    "is_floating_point", "is_grad_enabled", "is_inference_mode_enabled", "is_nonzero", "is_storage",
    "is_tensor", "layout", "memory_format", "no_grad", "numel", "preserve_format", "promote_types",
    "result_type", "set_default_device", "set_default_dtype", "set_default_tensor_type",
    "set_float32_matmul_precision", "set_grad_enabled", "set_num_interop_threads",
    "set_num_threads", "set_printoptions", "strided", "typename", "use_deterministic_algorithms",
    *_methods.NAMESPACE,
]  # fmt: skip

del annotations  # a name of this source, not of the API
