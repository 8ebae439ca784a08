"""A name for a structure that means the same in another process: a hash of what it is made of.

Programs and tapes are compared by the identity of interned objects, which says nothing outside of
this process. A fingerprint spells the objects out: an op by its name, a spec by its fields, a
traced body by its steps.

>>> fingerprint((1, "a")) == fingerprint((1, "a"))
True
>>> fingerprint((1, "a")) == fingerprint((1, "b"))
False
>>> fingerprint(object()) is None
True
"""

from __future__ import annotations

import functools
from hashlib import blake2b
from typing import Any

import numpy as np

from cresset.core.call import Body, Call, Op
from cresset.core.spec import Spec
from cresset.device import device
from cresset.dtypes import dtype


class _Unknown(Exception):
    """Something whose name would not mean the same elsewhere."""


def fingerprint(thing: Any) -> str | None:
    """A hash of 32 digits, or None for what holds objects of unknown kinds."""
    try:
        return blake2b(_spell(thing, {}), digest_size=16).hexdigest()
    except _Unknown:
        return None


def _spell(thing: Any, known: dict[int, bytes]) -> bytes:
    """A digest of one part; Calls come often, so theirs are kept in ``known``."""
    found = known.get(id(thing))
    if found is not None:
        return found
    parts = _parts(thing)
    digest = blake2b(digest_size=16)
    digest.update(type(thing).__name__.encode())
    for part in parts:
        piece = part if isinstance(part, bytes) else _spell(part, known)
        digest.update(len(piece).to_bytes(8, "little"))
        digest.update(piece)
    result = digest.digest()
    if isinstance(thing, (Call, Spec)):
        known[id(thing)] = result
    return result


def _parts(thing: Any) -> tuple:
    """What something is made of, down to bytes."""
    if thing is None or isinstance(thing, (bool, int, float, complex, str)):
        return (repr(thing).encode(),)
    if isinstance(thing, bytes):
        return (thing,)
    if isinstance(thing, (dtype, Op)):
        return (thing.name,)
    if isinstance(thing, Call):
        return (thing.op, thing.params, thing.specs, thing.body)
    if isinstance(thing, Spec):
        if thing.number is not None:
            return (thing.number,)
        return (thing.dtype, tuple(thing.shape), tuple(thing.stride), thing.offset, thing.device)
    if isinstance(thing, device):
        return (str(thing),)
    if isinstance(thing, Body):
        return (thing.steps, thing.inputs, thing.constants, thing.outputs)
    if isinstance(thing, (tuple, list)):
        if all([type(part) is int for part in thing]):  # most are: shapes, slots
            return (repr(tuple(thing)).encode(),)
        return tuple(thing)
    if isinstance(thing, np.ndarray):
        return (str(thing.dtype), thing.shape, np.ascontiguousarray(thing).tobytes())
    if isinstance(thing, functools.partial):
        return (thing.func, thing.args, tuple(sorted(thing.keywords.items())))
    if isinstance(thing, slice):
        return (thing.start, thing.stop, thing.step)
    name = getattr(thing, "__qualname__", None)
    if isinstance(name, str) and "<" not in name:  # a class or function that can be found by name
        return (str(getattr(thing, "__module__", "")), name)
    raise _Unknown
