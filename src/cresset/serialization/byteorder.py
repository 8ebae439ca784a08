"""Which byte order the numbers of a file are in, and whether such files are read at all.

A zip checkpoint says it in a record of its own, ``byteorder``; one without it was written by a
little-endian machine, or has to be taken as ``set_default_load_endianness`` says. A file that says
``big`` is refused on a little-endian machine unless that function was called with ``BIG``: hardly
anybody has such a machine, so a file that claims one is more likely damaged or forged, and numbers
read in the wrong order look like numbers.
"""

from __future__ import annotations

import sys
from enum import Enum

_REFUSED = (
    "{} says that it was written by a big-endian machine. Cresset does not load such files by "
    "default: few exist, and a wrong byte order gives wrong numbers without an error. If you know "
    "that this one is right, call torch.serialization.set_default_load_endianness("
    "torch.serialization.LoadEndianness.BIG) before torch.load."
)


class LoadEndianness(Enum):
    """Byte orders: the machine's own, least significant byte first, most significant first."""

    NATIVE = 1
    LITTLE = 2
    BIG = 3


_default: LoadEndianness | None = None


def get_default_load_endianness() -> LoadEndianness | None:
    """What ``set_default_load_endianness`` set; None at first.

    >>> import cresset as torch
    >>> torch.serialization.get_default_load_endianness() is None
    True
    """
    return _default


def set_default_load_endianness(endianness: LoadEndianness | None) -> None:
    """The byte order of files that do not tell theirs; None stands for little-endian.

    ``LoadEndianness.BIG`` also lets ``load`` read files that say they are big-endian.

    >>> import cresset as torch
    >>> torch.serialization.set_default_load_endianness(torch.serialization.LoadEndianness.BIG)
    >>> torch.serialization.get_default_load_endianness()
    <LoadEndianness.BIG: 3>
    >>> torch.serialization.set_default_load_endianness(None)
    """
    global _default
    if endianness is not None and not isinstance(endianness, LoadEndianness):
        raise TypeError("Invalid argument type in function set_default_load_endianness")
    _default = endianness


def must_swap(record: bytes | None) -> bool:
    """Whether the numbers of an archive with this ``byteorder`` record have to be swapped."""
    if record is None:
        fallback = _default or LoadEndianness.LITTLE
        native = fallback is LoadEndianness.NATIVE
        order = sys.byteorder if native else fallback.name.lower()
    elif record in (b"little", b"big"):
        order = record.decode()
        refuse_big_endian(order == "big", "This file")
    else:
        raise ValueError("Unknown endianness type: " + record[:20].decode("utf-8", "replace"))
    return order != sys.byteorder


def refuse_big_endian(is_big: bool, what: str) -> None:
    """Raise for a file of a big-endian machine that the user has not asked for."""
    if is_big and sys.byteorder == "little" and _default is not LoadEndianness.BIG:
        raise RuntimeError(_REFUSED.format(what))
