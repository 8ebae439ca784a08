"""The safetensors format: named tensors, and nothing that could be run.

The same functions as ``safetensors.torch``, for programs that import Cresset under its own name.
(Where Cresset goes by the name of ``torch``, under ``python -m cresset``, that module itself
works.) The format is the library's business: it writes the files, and it checks what it reads
before a single number is looked at. Numbers are then read straight into their tensors' memory.

>>> import tempfile
>>> import cresset as torch
>>> from cresset.serialization.safetensors import load_file, save_file
>>> with tempfile.TemporaryDirectory() as folder:
...     save_file({'weight': torch.arange(3)}, f'{folder}/x.safetensors')
...     load_file(f'{folder}/x.safetensors')
{'weight': tensor([0, 1, 2])}
"""

from __future__ import annotations

import os
from typing import Any, BinaryIO

import numpy as np

from cresset import dtypes
from cresset.core import graph
from cresset.core.spec import dense
from cresset.core.storage import Storage
from cresset.device import CPU
from cresset.dtypes import dtype
from cresset.runtime import backend
from cresset.serialization.location import UntypedStorage, restorer
from cresset.serialization.replacing import replacing_by_name
from cresset.size import Size
from cresset.tensor import Tensor, wrap

#: The format's names of dtypes.
_CODES = {
    code: dtypes._by_name(name)
    for code, name in {
        "BOOL": "bool", "U8": "uint8", "I8": "int8", "I16": "int16", "I32": "int32",
        "I64": "int64", "F16": "float16", "BF16": "bfloat16", "F32": "float32",
        "F64": "float64", "C64": "complex64",
    }.items()
}  # fmt: skip
_WRITABLE = frozenset(_CODES.values())


def save_file(
    tensors: dict[str, Tensor],
    filename: str | os.PathLike[str],
    metadata: dict[str, str] | None = None,
) -> None:
    """Write tensors under their names to ``filename``, which is replaced in one step.

    ``metadata`` are texts that go along; loading ignores them.

    Raises ValueError for what is not a dict of contiguous tensors of a dtype of the format,
    RuntimeError for tensors that share memory (save one of them), ImportError without the library.
    """
    specs, held = _described(tensors)
    with replacing_by_name(filename) as beside:
        _library().serialize_file(specs, beside, metadata=metadata)
    del held


def save(tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> bytes:
    """The bytes that ``save_file`` writes.

    >>> import cresset as torch
    >>> load(save({'one': torch.ones(1)}))
    {'one': tensor([1.])}
    """
    specs, held = _described(tensors)
    data = bytes(_library().serialize(specs, metadata=metadata))
    del held
    return data


def load_file(filename: str | os.PathLike[str], device: Any = "cpu") -> dict[str, Tensor]:
    """The tensors of a file by name, on ``device``.

    Raises ``safetensors.SafetensorError`` for a damaged file, RuntimeError for dtypes that Cresset
    lacks, FileNotFoundError, ImportError without the library.
    """
    with _library().safe_open(os.fspath(filename), framework="np") as opened:
        entries = []
        for name in opened.offset_keys():  # in the order of their numbers
            part = opened.get_slice(name)
            entries.append((name, part.get_dtype(), part.get_shape()))
    with open(filename, "rb") as f:
        return _read(f, entries, device)


def load(data: bytes) -> dict[str, Tensor]:
    """The tensors in the bytes of a file."""
    found = {name: view for name, view in _library().deserialize(data)}
    tensors = {}
    for name, view in found.items():
        values = np.frombuffer(bytes(view["data"]), np.uint8).copy()
        tensors[name] = _tensor(values, _known(name, view["dtype"]), view["shape"], "cpu")
    return tensors


def _library() -> Any:
    try:
        import safetensors
    except ImportError:
        raise ImportError(
            "files of this format need the package safetensors: pip install 'cresset[safetensors]'"
        ) from None
    return safetensors


def _described(tensors: Any) -> tuple[dict[str, Any], list[np.ndarray]]:
    """What the library takes: dtype, shape and memory by name; and the arrays with the memory."""
    if not isinstance(tensors, dict):
        raise ValueError(f"Expected a dict of [str, torch.Tensor] but received {type(tensors)}")
    specs: dict[str, Any] = {}
    held: list[np.ndarray] = []
    owners: dict[int, str] = {}
    for name, tensor in tensors.items():
        if not isinstance(tensor, Tensor):
            raise ValueError(
                f"Key `{name}` is invalid, expected torch.Tensor but received {type(tensor)}"
            )
        spec = tensor._spec
        if spec.dtype not in _WRITABLE:
            raise ValueError(f"`{name}` is of {spec.dtype}, which the format does not have")
        if not spec.contiguous:
            raise ValueError(
                f"You are trying to save a non contiguous tensor: `{name}` which is not allowed. "
                "Call .contiguous() on it first"
            )
        first = owners.setdefault(id(tensor._storage), name)
        if first != name and spec.numel:
            raise RuntimeError(
                f"Some tensors share memory: {first!r} and {name!r}. They would be written twice "
                "and be two after loading; save one of them, or a clone()"
            )
        host = backend(spec.device).to_host(graph.materialize(tensor._storage))
        values = host.view(spec.dtype.np)[spec.offset : spec.offset + spec.numel]
        held.append(values)
        specs[name] = _spec(spec.dtype, list(spec.shape), values)
    return specs, held


def _spec(kind: dtype, shape: list[int], values: np.ndarray) -> Any:
    library = _library()
    if hasattr(library, "TensorSpec"):
        return library.TensorSpec(
            dtype=kind.name, shape=shape, data_ptr=values.ctypes.data, data_len=values.nbytes
        )
    return {"dtype": kind.name, "shape": shape, "data": values.tobytes()}


def _known(name: str, code: str) -> dtype:
    if code not in _CODES:
        raise RuntimeError(f"`{name}` is of dtype {code}, which Cresset does not have")
    return _CODES[code]


def _read(f: BinaryIO, entries: list[tuple[str, str, list[int]]], device: Any) -> dict[str, Tensor]:
    """The numbers: they follow one another without gaps, as the library has made sure."""
    f.seek(8 + int.from_bytes(f.read(8), "little"))
    tensors = {}
    for name, code, shape in entries:
        kind = _known(name, code)
        values = np.empty(Size(shape).numel() * kind.itemsize, np.uint8)
        target, done = values.data.cast("B") if values.size else memoryview(b""), 0
        while done < len(target):
            count = f.readinto(target[done:])  # type: ignore[attr-defined]
            if not count:
                raise RuntimeError(f"the file ends within the numbers of `{name}`")
            done += count
        tensors[name] = _tensor(values, kind, shape, device)
    return tensors


def _tensor(values: np.ndarray, kind: dtype, shape: list[int], device: Any) -> Tensor:
    storage = Storage(kind, values.size // kind.itemsize, CPU, values.view(kind.np))
    home = restorer(device)(UntypedStorage(storage), "cpu")._storage
    return wrap(home, dense(kind, Size(shape), home.device))
