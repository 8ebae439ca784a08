"""How a batch gets from a worker to the main process: by memory that both map.

Batches are mostly lists and dicts of tensors, which are taken apart into a *form* (containers,
dtypes, shapes), single values, and arrays. Anything else is pickled, its arrays apart (protocol 5).
Only the form and the values go through the pipe. Small arrays go along; larger ones are written to
a *slot*: an anonymous file that the worker maps once, as the main process does when it first hears
of it. Nothing has a name that could be left behind, and what a worker sent before it died can still
be read.

A slot is used again and again. What is large stays where it is: the tensors of the batch lie in the
slot, and when the last of them is gone the slot goes back to the worker, with the next task. What
is smaller is copied out, which costs less than watching over it. If all slots are on loan, as with
a program that keeps its batches, a batch gets a file of its own.

Sending happens in the worker's own thread. So what cannot be pickled fails there, where it can be
reported, and a message is never half-way in a thread's queue when the worker ends.
"""

from __future__ import annotations

import collections
import contextlib
import io
import os
import pickle
import weakref
from functools import lru_cache, partial
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler, recv_handle, send_handle
from typing import Any, NamedTuple

import numpy as np

from cresset import dtypes
from cresset.core import graph
from cresset.core.spec import Spec, contiguous_stride
from cresset.core.spec import spec as make_spec
from cresset.core.storage import Storage
from cresset.device import CPU
from cresset.dtypes import dtype
from cresset.runtime import shared
from cresset.size import Size
from cresset.tensor import Tensor, wrap

#: Up to this many bytes the pipe is quicker than a slot.
INLINE = 4 << 10
#: Up to this many bytes are copied out of a slot.
COPIED = 256 << 10


# -- taking apart ----------------------------------------------------------------------------------


class Packed(NamedTuple):
    """A message in parts: ``parts`` are arrays of bytes, or bytes."""

    #: None: ``parts`` are a pickle and its buffers, and ``values`` their lengths.
    form: tuple | None
    values: list[Any]
    parts: list[Any]


class _Odd(Exception):
    """Not made of plain containers, numbers, strings, arrays and tensors."""


_VALUES = frozenset({int, float, bool, str, bytes, type(None)})
_DTYPES = {d.name: d for d in vars(dtypes).values() if isinstance(d, dtype)}


def packed(data: Any) -> Packed:
    """``data`` in parts; raises what pickling raises."""
    values: list[Any] = []
    tensors: list[Tensor] = []
    try:
        form = _form(data, values, tensors)
    except (_Odd, RecursionError):
        return _pickled(data)
    if len(set(map(id, tensors))) < len(tensors):
        return _pickled(data)  # one tensor twice must stay one
    return Packed(form, values, [_elements(x).view(np.uint8) for x in tensors])


def _form(data: Any, values: list[Any], tensors: list[Tensor]) -> tuple:
    kind = type(data)
    if kind is Tensor:
        spec = data._spec
        if spec.device is not CPU or data._requires_grad or spec.extent > spec.numel:
            raise _Odd
        tensors.append(data)
        return "tensor", spec.dtype.name, tuple(spec.shape), spec.stride
    if kind in _VALUES:
        values.append(data)
        return ("value",)
    if kind is list or kind is tuple:
        return kind.__name__, *[_form(part, values, tensors) for part in data]
    if kind is dict:
        if not all(type(key) in (str, int) for key in data):
            raise _Odd
        return "dict", tuple(data), *[_form(part, values, tensors) for part in data.values()]
    raise _Odd


def _elements(x: Tensor) -> np.ndarray:
    """The elements in memory order, of a tensor without gaps."""
    spec = x._spec
    buffer = graph.materialize(x._storage)
    buffer = buffer if buffer.dtype == spec.dtype.np else buffer.view(spec.dtype.np)
    return buffer[spec.offset : spec.offset + spec.extent]


def _pickled(data: Any) -> Packed:
    buffers: list[pickle.PickleBuffer] = []
    stream = io.BytesIO()
    _Pickler(stream, 5, True, buffers.append).dump(data)
    parts = [stream.getbuffer(), *[buffer.raw() for buffer in buffers]]
    return Packed(None, [len(part) for part in parts], parts)


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
        values = _elements(x)
    return _rebuild, (values, spec.dtype, tuple(spec.shape), stride, x.requires_grad)


def _rebuild(
    values: np.ndarray, kind: dtype, shape: tuple[int, ...], stride: tuple[int, ...], grad: bool
) -> Tensor:
    tensor = _tensor(values, make_spec(kind, Size(shape), stride, 0, CPU))
    tensor._requires_grad = grad
    return tensor


def _tensor(values: np.ndarray, spec: Spec) -> Tensor:
    return wrap(Storage(spec.dtype, values.size, CPU, values), spec)


# -- putting together ------------------------------------------------------------------------------


class Parcel:
    """A message that has arrived; its arrays may still lie in a worker's slot."""

    def __init__(
        self, form: Any, values: list[Any], memory: Any, lent: bool, drop: Any = None
    ) -> None:
        self.form, self.values, self.memory = form, values, memory
        #: Whether tensors may lie in this memory; otherwise what to call when it was read.
        self.lent, self._drop = lent, drop

    def opened(self) -> Any:
        """The data; raises what its classes raise when they are made. Once only."""
        try:
            if self.form is None:
                return self._unpickled()
            layout = _layout(self.form)
            arrays = []
            for start, end, spec in layout:
                values = self.memory[start:end].view(spec.dtype.np)
                arrays.append(_tensor(values if self.lent else values.copy(), spec))
            return _joined(self.form, iter(self.values), iter(arrays))
        finally:
            self.drop()

    def _unpickled(self) -> Any:
        starts, _ = shared.places(self.values)
        parts = [self.memory[i : i + n] for i, n in zip(starts, self.values, strict=True)]
        buffers = parts[1:] if self.lent else [bytearray(part) for part in parts[1:]]
        return pickle.loads(parts[0], buffers=buffers)

    def drop(self) -> None:
        """Let go of the memory."""
        self.memory = None
        if self._drop is not None:
            self._drop()
            self._drop = None


@lru_cache(maxsize=256)
def _layout(form: tuple) -> list[tuple[int, int, Spec]]:
    """(start, end, spec) of each tensor."""
    specs: list[Spec] = []

    def collect(form: tuple) -> None:
        if form[0] == "tensor":
            _, name, shape, stride = form
            specs.append(make_spec(_DTYPES[name], Size(shape), stride, 0, CPU))
        elif form[0] != "value":
            for part in form[2:] if form[0] == "dict" else form[1:]:
                collect(part)

    collect(form)
    lengths = [spec.extent * spec.dtype.itemsize for spec in specs]
    starts, _ = shared.places(lengths)
    return [(i, i + n, spec) for i, n, spec in zip(starts, lengths, specs, strict=True)]


def _joined(form: tuple, values: Any, arrays: Any) -> Any:
    kind = form[0]
    if kind == "tensor":
        return next(arrays)
    if kind == "value":
        return next(values)
    if kind == "dict":
        return {key: _joined(f, values, arrays) for key, f in zip(form[1], form[2:], strict=True)}
    parts = [_joined(part, values, arrays) for part in form[1:]]
    return parts if kind == "list" else tuple(parts)


# -- the worker's side -----------------------------------------------------------------------------


class Outbox:
    """The worker's end: sends messages to the process with id ``receiver``."""

    def __init__(self, pipe: Connection, receiver: int, most: int) -> None:
        self.pipe, self.receiver = pipe, receiver
        #: So many slots at most.
        self.most = most
        self.slots: dict[int, np.ndarray] = {}
        self.free: list[int] = []
        self.made = 0

    def send(self, label: Any, message: Packed) -> None:
        """Send a message; ``label`` should be small."""
        form, values, parts = message
        starts, size = shared.places([len(part) for part in parts])
        place = None
        if size > INLINE and shared.AVAILABLE:
            with contextlib.suppress(OSError):  # no memory or no descriptor left: by the pipe
                place = self._placed(parts, starts, size)
        if place is None:
            memory = bytearray(size)
            if size:
                _fill(np.frombuffer(memory, np.uint8), starts, parts)
            self._say(label, form, values, memory, None)
            return
        number, fd, gone = place
        if fd is None:
            self._say(label, form, values, size, number)
            return
        try:
            self._say(label, form, values, size, number, gone)
            send_handle(self.pipe, fd, self.receiver)
        finally:
            os.close(fd)

    def _placed(
        self, parts: list[Any], starts: list[int], size: int
    ) -> tuple[int | None, int | None, int]:
        """Where the parts were written: the slot, its file if it is new, and the slot that had to
        go for it. (No slot: a file of its own.)"""
        number = self._slot(size)
        if number is None:
            return None, shared.written(parts), 0
        fd, gone = None, 0
        if number not in self.slots:
            fd = shared.anonymous_file(size)
            try:
                memory = shared.mapped(fd, size)
            except OSError:
                os.close(fd)
                raise
            gone = self._room()
            self.slots[number] = memory
        _fill(self.slots[number], starts, parts)
        return number, fd, gone

    def _say(self, *message: Any) -> None:
        self.pipe.send_bytes(pickle.dumps(message, 5))

    def _slot(self, size: int) -> int | None:
        """The smallest free slot that is large enough, or the number of one to be made."""
        fitting = [number for number in self.free if len(self.slots[number]) >= size]
        if fitting:
            best = min(fitting, key=lambda number: len(self.slots[number]))
            self.free.remove(best)
            return best
        if len(self.slots) >= self.most and not self.free:
            return None
        self.made += 1
        return self.made

    def _room(self) -> int:
        """Makes room for one slot more; the number of the one that had to go, too small by now."""
        if len(self.slots) < self.most:
            return 0
        gone = self.free.pop()
        del self.slots[gone]
        return gone

    def returned(self, numbers: list[int]) -> None:
        """Slots whose batches are gone; negative: never to be used again."""
        for number in numbers:
            if number > 0:
                self.free.append(number)
            else:
                del self.slots[-number]


def _fill(memory: np.ndarray, starts: list[int], parts: list[Any]) -> None:
    for start, part in zip(starts, parts, strict=True):
        if len(part):
            memory[start : start + len(part)] = np.frombuffer(part, np.uint8)


# -- the main process's side -----------------------------------------------------------------------

#: Counts forks of this process. A child inherits the mappings, and may look at a batch after its
#: parent has dropped it: slots that were on loan at a fork are not used again.
_FORKS = [0]


def _count_fork() -> None:
    _FORKS[0] += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_count_fork)


class _Loan:
    """A slot's memory, lent once: arrays over it keep it alive as their base."""

    def __init__(self, memory: np.ndarray) -> None:
        self.memory = memory
        self.__array_interface__ = memory.__array_interface__


class _Returned(weakref.ref):
    """Is put into a queue when the loan is gone, by C code alone: a ``__del__`` would swallow a
    Ctrl-C that comes while it runs."""

    __slots__ = ("forks", "number")
    number: int
    forks: int


class Inbox:
    """The main process's end of one worker's pipe."""

    def __init__(self, pipe: Connection) -> None:
        self.pipe = pipe
        self.slots: dict[int, np.ndarray] = {}
        #: Loans that are out, by slot; those that are over (any thread may append).
        self.lent: dict[int, _Returned] = {}
        self._over: collections.deque[Any] = collections.deque()
        #: Slots to be told of with the next task.
        self._returned: list[int] = []

    def receive(self) -> tuple[Any, Parcel]:
        """(label, message) as sent; EOFError or OSError if the other side has gone."""
        label, form, values, size, number, *fresh = pickle.loads(self.pipe.recv_bytes())
        if isinstance(size, bytearray):
            return label, Parcel(form, values, np.frombuffer(size, np.uint8), False)
        if fresh:
            memory = self._fetched(size)
            if number is None:
                return label, Parcel(form, values, memory, True)
            self.slots[number] = memory
            self.slots.pop(fresh[0], None)
        memory = self.slots[number]
        if size <= COPIED:
            back = partial(self._returned.append, number)
            return label, Parcel(form, values, memory, False, back)
        loan = _Loan(memory)
        self.lent[number] = returned = _Returned(loan, self._over.append)
        returned.number, returned.forks = number, _FORKS[0]
        return label, Parcel(form, values, np.asarray(loan), True)

    def _fetched(self, size: int) -> np.ndarray:
        fd = recv_handle(self.pipe)
        try:
            return shared.mapped(fd, size)  # type: ignore[arg-type]
        finally:
            os.close(fd)

    def returned(self) -> list[int]:
        """Slots that the worker may use again (negative: must not); to be told once."""
        numbers = self._returned.copy()
        self._returned.clear()
        while self._over:
            loan = self._over.popleft()
            del self.lent[loan.number]
            if loan.forks != _FORKS[0]:
                del self.slots[loan.number]
                numbers.append(-loan.number)
            else:
                numbers.append(loan.number)
        return numbers
