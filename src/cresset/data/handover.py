"""How a batch gets from a worker to the main process: by memory that both map.

A message is pickled with its arrays kept apart (pickle protocol 5). Small messages go through the
pipe whole. Large ones are written to an anonymous file, whose descriptor goes through the pipe, and
the batch's tensors then lie in that file: nothing is copied, nothing has a name that could be left
behind, and what a worker sent before it died can still be read.

Sending happens in the worker's own thread. So what cannot be pickled fails there, where it can be
reported, and a message is never half-way in a thread's queue when the worker ends.
"""

from __future__ import annotations

import io
import os
import pickle
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler, recv_handle, send_handle
from typing import Any

import numpy as np

from cresset.core import graph
from cresset.core.spec import contiguous_stride
from cresset.core.spec import spec as make_spec
from cresset.core.storage import Storage
from cresset.device import CPU
from cresset.dtypes import dtype
from cresset.runtime import shared
from cresset.size import Size
from cresset.tensor import Tensor, wrap

#: Up to this many bytes the pipe is quicker than a file.
INLINE = 32 << 10


class _Pickler(ForkingPickler):
    """Takes tensors apart without copying them."""

    def reducer_override(self, obj: Any) -> Any:
        if type(obj) is Tensor and obj.device is CPU:
            return _reduce(obj)
        return NotImplemented


def _reduce(x: Tensor) -> tuple:
    if x.requires_grad and not x.is_leaf:
        raise RuntimeError(
            "Cowardly refusing to serialize non-leaf tensor which requires_grad, since autograd "
            "does not support crossing process boundaries.  If you just want to transfer the data, "
            "call detach() on the tensor before serializing (e.g., putting it on the queue)."
        )
    spec = x._spec
    stride = spec.stride
    if spec.extent > spec.numel:  # gaps would travel along
        values, stride = np.ascontiguousarray(x._array()).reshape(-1), contiguous_stride(spec.shape)
    else:
        buffer = graph.materialize(x._storage)
        buffer = buffer if buffer.dtype == spec.dtype.np else buffer.view(spec.dtype.np)
        values = buffer[spec.offset : spec.offset + spec.extent]
    return _rebuild, (values, spec.dtype, tuple(spec.shape), stride, x.requires_grad)


def _rebuild(
    values: np.ndarray, kind: dtype, shape: tuple[int, ...], stride: tuple[int, ...], grad: bool
) -> Tensor:
    tensor = wrap(
        Storage(kind, values.size, CPU, values), make_spec(kind, Size(shape), stride, 0, CPU)
    )
    tensor._requires_grad = grad
    return tensor


def packed(data: Any) -> list[Any]:
    """``data`` as bytes-like parts; raises what pickling raises."""
    buffers: list[pickle.PickleBuffer] = []
    stream = io.BytesIO()
    _Pickler(stream, 5, True, buffers.append).dump(data)
    return [stream.getbuffer(), *[buffer.raw() for buffer in buffers]]


def send(pipe: Connection, label: Any, parts: list[Any], receiver: int) -> None:
    """Send packed parts to the process with id ``receiver``; ``label`` should be small."""
    lengths = [len(part) for part in parts]
    if sum(lengths) <= INLINE or not shared.AVAILABLE:
        pipe.send((label, [bytearray(part) for part in parts], None))
        return
    fd = shared.written(parts)
    try:
        pipe.send((label, None, lengths))
        send_handle(pipe, fd, receiver)
    finally:
        os.close(fd)


def receive(pipe: Connection) -> tuple[Any, list[Any]]:
    """(label, parts) as sent; EOFError or OSError if the other side has gone."""
    label, parts, lengths = pipe.recv()
    if parts is None:
        starts, size = shared.places(lengths)
        fd = recv_handle(pipe)
        try:
            memory = memoryview(shared.mapped(fd, size))  # type: ignore[arg-type]
        finally:
            os.close(fd)
        parts = [memory[i : i + n] for i, n in zip(starts, lengths, strict=True)]
    return label, parts


def unpacked(parts: list[Any]) -> Any:
    """The data that was packed into ``parts``; raises what its classes raise when they are made."""
    return pickle.loads(parts[0], buffers=parts[1:])
