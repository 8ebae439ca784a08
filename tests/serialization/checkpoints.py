"""Shared by the tests of checkpoints: saving to memory, and taking archives apart."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cresset
from cresset.serialization import load, save

GOLDEN = Path(__file__).parent / "golden"


def saved(obj: Any, **kwargs: Any) -> bytes:
    """The bytes of a checkpoint of ``obj``."""
    f = io.BytesIO()
    save(obj, f, **kwargs)
    return f.getvalue()


def loaded(data: bytes, **kwargs: Any) -> Any:
    """What ``load`` makes of a checkpoint's bytes."""
    return load(io.BytesIO(data), **kwargs)


def repacked(data: bytes, edit: Callable[[dict], Any], compression: int = 0) -> bytes:
    """The checkpoint with its records changed by ``edit`` (a dict from name to bytes)."""
    with zipfile.ZipFile(io.BytesIO(data)) as old:
        records = {name: old.read(name) for name in old.namelist()}
    edit(records)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as new:
        for name, content in records.items():
            new.writestr(name, content)
    return out.getvalue()


def with_pickle(pickled: bytes) -> bytes:
    """A checkpoint (of one storage of three float32) whose pickle is this."""
    return repacked(
        saved(cresset.tensor([1.0, 2.0, 3.0])),
        lambda records: records.update({"archive/data.pkl": pickled}),
    )
