"""Checkpoints: ``save`` and ``load`` in PyTorch's file formats, both directions.

``saving``, ``loading``  the two functions       ``legacy``     files from before PyTorch 1.6
``archive_writer``  the zip container, out       ``archive``    and in
``pickler``    writing the pickle within         ``safe``       reading it without trust
``callables``  what such a pickle may call       ``allowlist``  what the user allows besides
``rebuild``    tensors from their parts          ``names``      PyTorch's names for our things
``location``   where storages go                 ``replacing``  a file replaced in one step
``byteorder``  files of big-endian machines      ``whole_modules``  PyTorch's modules' extras
``safetensors``  the format of that name         ``readahead``  large records, by two threads
``disk``       what is written, on its way to the disk
"""

from __future__ import annotations

from cresset.serialization.allowlist import (
    add_safe_globals,
    clear_safe_globals,
    get_safe_globals,
    safe_globals,
)
from cresset.serialization.byteorder import (
    LoadEndianness,
    get_default_load_endianness,
    set_default_load_endianness,
)
from cresset.serialization.loading import get_unsafe_globals_in_checkpoint, load
from cresset.serialization.location import (
    UntypedStorage,
    default_restore_location,
    location_tag,
)
from cresset.serialization.saving import save

__all__ = [
    "LoadEndianness",
    "UntypedStorage",
    "add_safe_globals",
    "clear_safe_globals",
    "default_restore_location",
    "get_default_load_endianness",
    "get_safe_globals",
    "get_unsafe_globals_in_checkpoint",
    "load",
    "location_tag",
    "safe_globals",
    "save",
    "set_default_load_endianness",
]
