"""Files in the IDX format of MNIST.

A big-endian header (magic number: element type and number of dimensions; then each size as 32
bits) followed by the elements, the last index fastest. A file whose length is not what its header
says is refused before memory is taken for it.
"""

from __future__ import annotations

import numpy as np

from cresset import dtypes
from cresset.ops.creation import from_numpy
from cresset.tensor import Tensor

#: The third byte of the magic number. Elements are big-endian.
IDX_TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


def read_sn3_pascalvincent_tensor(path: str, strict: bool = True) -> Tensor:
    """Reads an IDX file of one to three dimensions.

    Raises:
        RuntimeError: not such a file, or not as long as its header says. (``strict`` is accepted
            for compatibility: a length that is wrong is always an error.)
    """
    with open(path, "rb") as f:
        content = f.read()
    kind, ndim = int.from_bytes(content[:3], "big"), content[3] if len(content) > 3 else 0
    start = 4 * (ndim + 1)
    if kind not in IDX_TYPES or not 1 <= ndim <= 3 or len(content) < start:
        raise RuntimeError(f"{path} is not an IDX file of 1 to 3 dimensions")
    shape = np.frombuffer(content, ">u4", ndim, offset=4).tolist()
    dtype = np.dtype(IDX_TYPES[kind])
    expected = start + dtype.itemsize * int(np.prod(shape, dtype=object))
    if len(content) != expected:
        raise RuntimeError(
            f"{path} should have {expected} bytes for its shape {shape}, but has {len(content)}"
        )
    elements = np.frombuffer(content, dtype, offset=start).reshape(shape)
    return from_numpy(elements.astype(dtype.newbyteorder("=")))  # a copy, so it can be written to


def _read_bytes(path: str, ndim: int, plural: str) -> Tensor:
    x = read_sn3_pascalvincent_tensor(path, strict=False)
    if x.dtype != dtypes.uint8:
        raise TypeError(f"x should be of dtype torch.uint8 instead of {x.dtype}")
    if x.ndim != ndim:
        raise ValueError(f"x should have {ndim} dimension{plural} instead of {x.ndim}")
    return x


def read_label_file(path: str) -> Tensor:
    """The classes in an IDX file, as int64 (N)."""
    return _read_bytes(path, 1, "").to(dtypes.int64)


def read_image_file(path: str) -> Tensor:
    """The images in an IDX file, as uint8 (N, height, width)."""
    return _read_bytes(path, 3, "")
