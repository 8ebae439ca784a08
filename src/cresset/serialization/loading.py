"""``load``: an object from a file that ``save`` or PyTorch wrote.

The pickle is read by ``SafeUnpickler`` unless the user says ``weights_only=False``. Where it refers
to a storage, the numbers are read from their record, brought to where ``map_location`` says, and
remembered by key, so that tensors which shared memory share it again.
"""

from __future__ import annotations

import io
import os
import pickle
import re
import warnings
from contextlib import closing
from typing import Any

import numpy as np

from cresset.core.storage import Storage
from cresset.device import CPU
from cresset.dtypes import dtype
from cresset.serialization import legacy, names
from cresset.serialization.archive import ArchiveReader, is_archive
from cresset.serialization.byteorder import must_swap
from cresset.serialization.location import Restore, UntypedStorage, restorer
from cresset.serialization.rebuild import TypedStorage
from cresset.serialization.safe import SafeUnpickler, is_allowed, read_global

UNSAFE_MESSAGE = (
    "Re-running `torch.load` with `weights_only` set to `False` will likely succeed, but it can "
    "result in arbitrary code execution. Do it only if you got the file from a trusted source."
)
_DOCS_MESSAGE = (
    "\n\nCheck the documentation of torch.load to learn more about types accepted by default with "
    "weights_only https://pytorch.org/docs/stable/generated/torch.load.html."
)
_TRUE = ("1", "y", "yes", "true")


def load(
    f: Any,
    map_location: Any = None,
    pickle_module: Any = None,
    *,
    weights_only: bool | None = None,
    mmap: bool | None = None,
    **pickle_load_args: Any,
) -> Any:
    """Read what ``save`` (or ``torch.save`` of PyTorch) wrote to ``f``.

    ``f``: a path, or a file open for reading in binary mode that can seek.
    ``map_location``: where storages go, instead of where they were: a device or its name, a dict
    from old to new names, or ``function(storage, location)`` that returns a storage or None.
    ``weights_only``: True (the default) makes nothing but tensors, plain containers, and what
    ``add_safe_globals`` allowed. False runs the pickle, which can do anything: only for files you
    trust.
    ``mmap``: leave the numbers on disk until they are used (``f`` must be a path).

    Raises UnpicklingError for things that are not allowed, FileNotFoundError, EOFError for an empty
    file, RuntimeError for a damaged one, and for one of a big-endian machine unless
    ``torch.serialization.set_default_load_endianness`` allows it.

    >>> import io
    >>> import cresset as torch
    >>> file = io.BytesIO()
    >>> weight = torch.zeros(2, 2)
    >>> torch.save([weight, weight[0]], file)
    >>> _ = file.seek(0)
    >>> whole, row = torch.load(file, map_location='cpu')
    >>> _ = row.fill_(1)
    >>> whole
    tensor([[1., 1.],
            [0., 0.]])
    """
    weights_only = _decide(weights_only, pickle_module)
    if weights_only and pickle_load_args:
        warnings.warn("pickle_load_args only works if `weights_only=False`.", stacklevel=2)
    pickle_load_args.setdefault("encoding", "utf-8")
    trusted = None if weights_only else (pickle_module or pickle, pickle_load_args)
    is_path = isinstance(f, (str, os.PathLike))
    if mmap and not is_path:
        raise ValueError("f must be a file path in order to use the mmap argument")
    opened = open(f, "rb") if is_path else f
    try:
        _check_seekable(opened)
        restore = restorer(map_location)
        if is_archive(opened):
            return _load_archive(opened, restore, trusted, os.fspath(f) if mmap else None)
        if mmap:
            raise RuntimeError(
                "mmap can only be used with files saved with `torch.save("
                f"{os.fspath(f)}, _use_new_zipfile_serialization=True), please torch.save your "
                "checkpoint with this option in order to use mmap."
            )
        if weights_only and legacy.is_tar(opened):
            raise RuntimeError(
                "Cannot use ``weights_only=True`` with files saved in the legacy .tar format. "
                + UNSAFE_MESSAGE
            )
        return legacy.load(opened, restore, lambda s, p: _unpickler(s, p, trusted))
    except pickle.UnpicklingError as error:
        if trusted is None:
            raise pickle.UnpicklingError(_refusal(str(error))) from None
        raise
    finally:
        if is_path:
            opened.close()


def _decide(weights_only: bool | None, pickle_module: Any) -> bool:
    """Whether to read safely: the argument, unless the environment forces it."""
    force = os.environ.get("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "0").lower() in _TRUE
    force_not = os.environ.get("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "0").lower() in _TRUE
    if force and force_not:
        raise RuntimeError(
            "Only one of `TORCH_FORCE_WEIGHTS_ONLY_LOAD` or `TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD` "
            "should be set, but both were set."
        )
    if force:
        weights_only = True
    elif weights_only is None:
        weights_only = pickle_module is None and not force_not
    if weights_only and pickle_module is not None:
        raise RuntimeError("Can not safely load weights when explicit pickle_module is specified")
    return weights_only


def _check_seekable(f: Any) -> None:
    try:
        f.seek(f.tell())
    except (io.UnsupportedOperation, AttributeError) as error:
        if "seek" not in str(error) and "tell" not in str(error):
            raise
        raise type(error)(
            f"{error}. You can only torch.load from a file that is seekable. Please pre-load the "
            "data into a buffer like io.BytesIO and try to load from it instead."
        ) from None


def _unpickler(stream: Any, persistent_load: Any, trusted: tuple[Any, dict] | None) -> Any:
    """An unpickler for one pickle of ``stream``: the safe one, or ``(module, arguments)``'s."""
    if trusted is None:
        return SafeUnpickler(stream, persistent_load)
    module, arguments = trusted

    class Unpickler(module.Unpickler):  # type: ignore[name-defined]
        def find_class(self, module_name: str, name: str) -> Any:
            if names.is_pytorch_module(module_name):
                return names.resolve(module_name, name)
            return super().find_class(module_name, name)

    unpickler = Unpickler(stream, **arguments)
    if persistent_load is not None:
        unpickler.persistent_load = persistent_load
    return unpickler


def _load_archive(f: Any, restore: Restore, trusted: Any, mapped: Any) -> Any:
    with closing(ArchiveReader(f)) as archive:
        return _load_records(archive, restore, trusted, mapped)


def _load_records(archive: ArchiveReader, restore: Restore, trusted: Any, mapped: Any) -> Any:
    if "constants.pkl" in archive:
        if trusted is None:
            raise RuntimeError(
                "Cannot use ``weights_only=True`` with TorchScript archives passed to "
                "``torch.load``. " + UNSAFE_MESSAGE
            )
        raise RuntimeError("TorchScript archives are not supported; save a state_dict instead")
    storages = _ArchiveStorages(archive, restore, mapped)
    stream = io.BytesIO(archive.read("data.pkl"))
    return _unpickler(stream, storages.persistent_load, trusted).load()


class _ArchiveStorages:
    """The storages of an archive, read when the pickle first names them."""

    def __init__(self, archive: ArchiveReader, restore: Restore, mapped: Any) -> None:
        self._archive = archive
        self._restore = restore
        self._mapped = mapped
        self._loaded: dict[str, Storage] = {}
        self._swap = must_swap(archive.read("byteorder") if "byteorder" in archive else None)

    def persistent_load(self, saved: Any) -> TypedStorage | UntypedStorage:
        """The storage of ``('storage', storage type, key, location, elements)``."""
        kind, key, location, numel, _ = legacy.storage_id(saved)
        storage = self._loaded.get(key)
        if storage is None:
            read = Storage(kind.dtype, numel, CPU, self._read(f"data/{key}", kind.dtype, numel))
            storage = self._restore(UntypedStorage(read), location)._storage
            self._loaded[key] = storage
        return legacy.as_named(storage, kind)

    def _read(self, record: str, kind: dtype, numel: int) -> np.ndarray:
        archive = self._archive
        size, expected = archive.size(record), numel * kind.itemsize
        if size != expected:
            raise RuntimeError(
                f"record size ({size} bytes) does not match expected size ({expected} bytes = "
                f"{numel} elements * {kind.itemsize} bytes/element) for dtype {kind.name}"
            )
        if self._mapped and not self._swap and numel and archive.is_stored(record):
            offset = archive.offset(record)
            if offset % kind.itemsize == 0:
                # Copy on write: what a program writes stays in memory, the file is left alone.
                return np.asarray(np.memmap(self._mapped, kind.np, "c", offset, (numel,)))
        values = archive.read_array(record).view(kind.np)
        return values.byteswap() if self._swap else values


def _refusal(message: str) -> str:
    """The text of the safe loader's errors, with the ways out."""
    if re.search(r"GLOBAL (\S+) was not an allowed global by default", message):
        return (
            "Weights only load failed. This file can still be loaded, to do so you have two "
            "options, \033[1mdo those steps only if you trust the source of the checkpoint\033[0m. "
            f"\n\t(1) {UNSAFE_MESSAGE}\n\t(2) Alternatively, to load with `weights_only=True` "
            "please check the recommended steps in the following error message.\n"
            f"\tWeightsUnpickler error: {message}{_DOCS_MESSAGE}"
        )
    text = f"Weights only load failed. {UNSAFE_MESSAGE}\n"
    if not re.search(r"whose module (\S+) is blocked", message):
        text += "WeightsUnpickler error: "
    return f"{text}\n\n{message}{_DOCS_MESSAGE}"


def get_unsafe_globals_in_checkpoint(f: Any) -> list[str]:
    """The names in a checkpoint that ``load(weights_only=True)`` would refuse.

    Nothing of the file is run.
    """
    import pickletools

    is_path = isinstance(f, (str, os.PathLike))
    opened = open(f, "rb") if is_path else f
    try:
        if not is_archive(opened):
            raise ValueError("Expected input to be a checkpoint returned by torch.save")
        pickled = ArchiveReader(opened).read("data.pkl")
    finally:
        if is_path:
            opened.close()
    found = set()
    for opcode, argument, _ in pickletools.genops(pickled):
        if opcode.name == "GLOBAL":
            lines = iter(str(argument).split(" ", 1))
            found.add(".".join(read_global(lines.__next__)))
    return sorted(path for path in found if not is_allowed(path))
