"""What a file may name and call when it is read without trust, each with its arguments checked.

A file chooses the arguments, so it could ask for more work than it has bytes: a set of the rows of
an expanded tensor with 2**60 rows, a text encoded a million times, a dict key made of tuples that
hold one another twice and so have 2**50 leaves to hash. Every function here therefore takes exactly
what honest files give it, keys are counted before they are hashed (``Budget.key``), and all
arguments together may not be longer than what was read of the file (``Budget.charge``).
"""

from __future__ import annotations

import codecs
import reprlib
from collections import Counter, OrderedDict
from collections.abc import Callable
from pickle import UnpicklingError
from types import BuiltinFunctionType, FunctionType
from typing import Any

from cresset.device import device
from cresset.dtypes import dtype
from cresset.serialization import names, rebuild
from cresset.serialization.allowlist import user_table
from cresset.size import Size
from cresset.tensor import Tensor

#: Leaves of one dict key. Hashing a tuple recurses in C, without a check of its depth.
_MOST_OF_A_KEY = 1_000
#: Numbers whose hash is not their own value can be made to collide, thousands in one bucket.
_HASH_MODULUS = (1 << 61) - 1
_MOST_ODD_KEYS = 10_000
#: Arguments may be this long before they are compared with the file.
_SLACK = 1 << 16

#: What has a short ``repr``, or one that ``reprlib`` can shorten.
_SHOWN = (
    str, bytes, int, float, type(None), type, dtype, device, names.StorageType, names.Lacking,
    FunctionType, BuiltinFunctionType,
)  # fmt: skip


def shown(value: Any) -> str:
    """A value of the file for an error message: short, whatever it is.

    A list of two lists that are one, and so on thirty times: its ``repr`` has a billion characters.
    """
    return reprlib.repr(value) if isinstance(value, _SHOWN) else f"a {type(value)}"


class Budget:
    """How much work a file may still ask for. ``consumed()`` tells the bytes read so far."""

    def __init__(self, consumed: Callable[[], int]) -> None:
        self._consumed = consumed
        self._charged = 0
        self._odd_keys = 0

    def charge(self, length: int) -> None:
        """Count ``length`` elements or bytes that a call is about to copy."""
        self._charged += length
        # Twice: a bytearray comes through bytes.
        if self._charged > _SLACK and self._charged > 2 * self._consumed():
            raise UnpicklingError("the file asks for more copies than it has bytes")

    def key(self, key: Any) -> Any:
        """A key of a dict or set, if it takes bounded time to hash."""
        if key.__class__ is str:
            return key
        if isinstance(key, tuple):
            left, stack = _MOST_OF_A_KEY, [key]
            while stack:
                found = stack.pop()
                left -= 1 + len(found)
                if left < 0:
                    raise UnpicklingError("a tuple that is a dict key or in a set is too large")
                stack.extend([part for part in found if isinstance(part, tuple)])
        if isinstance(key, complex) or (isinstance(key, int) and abs(key) >= _HASH_MODULUS):
            self._odd_keys += 1
            if self._odd_keys > _MOST_ODD_KEYS:
                raise UnpicklingError("too many keys of dicts and sets are very large numbers")
        return key


def _encode(budget: Budget, text: Any, encoding: Any) -> bytes:
    """``_codecs.encode`` as pickle uses it for bytes."""
    if type(text) is not str or encoding != "latin1":
        raise UnpicklingError(
            f"_codecs.encode may only make latin1 bytes, but got {shown(encoding)}"
        )
    budget.charge(len(text))
    return text.encode("latin1")


def _bytes(budget: Budget) -> bytes:
    return b""


def _bytearray(budget: Budget, data: Any = b"", encoding: Any = "latin-1") -> bytearray:
    if type(data) is str and encoding in ("latin-1", "latin1"):
        return bytearray(_encode(budget, data, "latin1"))
    if type(data) is not bytes:  # bytearray(10**12) would take that much memory
        raise UnpicklingError(f"bytearray may only be made of bytes, but got {type(data)}")
    budget.charge(len(data))
    return bytearray(data)


def _set(budget: Budget, items: Any = ()) -> set:
    if type(items) not in (list, tuple):
        raise UnpicklingError(f"a set may only be made of a list, but got {type(items)}")
    budget.charge(len(items))
    return {budget.key(item) for item in items}


def _ordered_dict(budget: Budget, items: Any = ()) -> OrderedDict:
    if type(items) is dict:
        items = list(items.items())
    if type(items) not in (list, tuple) or not all(
        type(pair) in (list, tuple) and len(pair) == 2 for pair in items
    ):
        raise UnpicklingError(
            f"an OrderedDict may only be made of a list of pairs, but got {shown(items)}"
        )
    budget.charge(len(items))
    return OrderedDict((budget.key(key), value) for key, value in items)


def _counter(budget: Budget, counts: Any = None) -> Counter:
    if counts is not None and type(counts) is not dict:
        raise UnpicklingError(f"a Counter may only be made of a dict, but got {type(counts)}")
    budget.charge(len(counts or ()))
    return Counter(counts)


def _complex(budget: Budget, real: Any = 0, imag: Any = 0) -> complex:
    if not (isinstance(real, (int, float)) and isinstance(imag, (int, float))):
        raise UnpicklingError("a complex number may only be made of two numbers")
    return complex(real, imag)


def _size(budget: Budget, numbers: Any = ()) -> Size:
    if not isinstance(numbers, (tuple, list)) or not all(type(n) is int for n in numbers):
        raise UnpicklingError("torch.Size may only be made of ints")
    budget.charge(len(numbers))
    return Size(numbers)


def _device(budget: Budget, kind: Any, index: Any = None) -> device:
    if not isinstance(kind, (str, device)) or not isinstance(index, (int, type(None))):
        raise UnpicklingError("torch.device may only be made of a name and a number")
    return device(kind, index)


def _layout(budget: Budget, name: Any) -> Any:
    if type(name) is not str:
        raise UnpicklingError("a layout has a name")
    return rebuild.layout_of(name)


def _tensor_part(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of ``rebuild``, which checks its arguments itself."""

    def call(budget: Budget, *args: Any) -> Any:
        return function(*args)

    return call


def _from_type(budget: Budget, func: Any, cls: Any, args: Any, state: Any) -> Any:
    """A tensor subclass or a tensor with attributes; both names must have passed the table."""
    if not any(func is known for known in names.REBUILD.values()):
        raise UnpicklingError(f"Trying to call reduce for unrecognized function {shown(func)}")
    if cls is not Tensor and not any(cls is found for found in user_table().values()):
        raise UnpicklingError(f"type {shown(cls)} was not an allowed global by default")
    if type(args) is not tuple:
        raise UnpicklingError(f"expected a tuple of arguments, but got {type(args)}")
    return rebuild.rebuild_from_type_v2(func, cls, args, state)


#: Names that may be called: what each means, and the function that a call of it runs instead.
_CALLS: tuple[tuple[str, Any, Callable[..., Any]], ...] = (
    *((name, function, _tensor_part(function)) for name, function in names.REBUILD.items()),
    ("torch._tensor._rebuild_from_type_v2", rebuild.rebuild_from_type_v2, _from_type),
    ("torch.serialization._get_layout", rebuild.layout_of, _layout),
    ("torch.Size", Size, _size),
    ("torch.device", device, _device),
    ("collections.OrderedDict", OrderedDict, _ordered_dict),
    ("collections.Counter", Counter, _counter),
    ("_codecs.encode", codecs.encode, _encode),
    ("builtins.bytes", bytes, _bytes),
    ("builtins.bytearray", bytearray, _bytearray),
    ("builtins.set", set, _set),
    ("builtins.complex", complex, _complex),
)
CALLABLE: dict[str, Any] = {name: thing for name, thing, _ in _CALLS}
CALLABLE["torch.nn.parameter.Parameter"] = rebuild.rebuild_parameter
#: Names that may only be passed on.
PASSIVE: dict[str, Any] = {**names.CONSTANTS, "torch.Tensor": Tensor}

_CHECKED = {id(thing): function for _, thing, function in reversed(_CALLS)}


def checked(thing: Any) -> Callable[..., Any] | None:
    """What to run when the file calls ``thing``; None if it may not call that."""
    return _CHECKED.get(id(thing))
