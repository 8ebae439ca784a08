"""Reading a pickle without trusting it: what ``load(weights_only=True)`` uses.

A pickle is a program for a small stack machine, and ``pickle.load`` lets it import and call
anything. This interpreter knows only the instructions that a checkpoint needs. A name in the file
is looked up in a fixed table (``callables``, and what the user passed to ``add_safe_globals``);
nothing is ever imported. Only functions of the table are called, through others that check the
arguments, so that memory and time stay in proportion to the file.

An error message never shows more of the file than ``shown`` allows.
"""

from __future__ import annotations

import pickle
import struct
import warnings
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections import Counter, OrderedDict
from collections.abc import Callable
from pickle import UnpicklingError
from types import BuiltinFunctionType, MethodType
from typing import Any

from cresset.serialization import names, rebuild
from cresset.serialization.allowlist import user_table
from cresset.serialization.callables import CALLABLE, PASSIVE, Budget, checked, shown

#: Never allowed, not even by ``add_safe_globals``.
BLOCKED = frozenset({"sys", "os", "posix", "nt"})


#: What the steps below raise when the file's instructions make no sense.
_MALFORMED = (
    KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError, struct.error,
)  # fmt: skip
_CHUNK = 1 << 20
#: A module or a name within one.
_LONGEST_NAME = 1_000


class SafeUnpickler:
    """Reads one pickle from ``f``. ``persistent_load`` turns the file's storage ids to storages."""

    def __init__(self, f: Any, persistent_load: Callable[[Any], Any] | None = None) -> None:
        self._source = f
        self._persistent_load = persistent_load
        self._stack: list[Any] = []
        #: Stacks put aside at each MARK.
        self._marks: list[list[Any]] = []
        self._memo: dict[int, Any] = {}
        self._user = user_table()
        start = f.tell()
        self._budget = Budget(lambda: f.tell() - start)
        #: Whether code of the user's is running: its errors are passed on as they are.
        self._outside = False

    def load(self) -> Any:
        """The object that the pickle describes.

        Raises UnpicklingError for anything that is not allowed or malformed, EOFError where the
        file ends too early.
        """
        while True:
            code = self._source.read(1)
            if not code:
                raise EOFError("Ran out of input")
            step = _STEPS.get(code)
            try:
                if step is not None:
                    step(self)
                elif code == pickle.STOP:
                    return self._pop()
                else:
                    raise UnpicklingError(f"Unsupported operand {code[0]}")
            except _MALFORMED as error:
                if self._outside:
                    raise
                reason = f"{type(error).__name__}: {str(error)[:200]}"
                raise UnpicklingError(f"invalid pickle: {reason}") from error

    # -- reading and the stack ------------------------------------------------------------------

    def _read(self, count: int) -> bytes:
        parts = []
        while count > 0:  # in parts: a file object may allocate all that it is asked for
            part = self._source.read(min(count, _CHUNK))
            if not part:
                raise EOFError("Ran out of input")
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def _unpack(self, form: str) -> Any:
        return struct.unpack(form, self._read(struct.calcsize(form)))[0]

    def _line(self) -> str:
        line = self._source.readline(_LONGEST_NAME)
        if not line.endswith(b"\n"):
            if len(line) == _LONGEST_NAME:
                raise UnpicklingError("the name of a global is too long")
            raise EOFError("Ran out of input")
        return line[:-1].decode("utf-8")

    def _call_out(self, func: Any, *args: Any) -> Any:
        self._outside = True
        result = func(*args)
        self._outside = False
        return result

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _pop(self) -> Any:
        return self._stack.pop()

    def _pop_to_mark(self) -> list[Any]:
        items = self._stack
        self._stack = self._marks.pop()
        return items

    # -- names, calls, objects ------------------------------------------------------------------

    def _global(self) -> None:
        module, name = read_global(self._line)
        path = f"{module}.{name}"
        if module in BLOCKED:
            raise UnpicklingError(
                f"Trying to load unsupported GLOBAL {path} whose module {module} is blocked."
            )
        for table in (CALLABLE, PASSIVE, self._user):
            if path in table:
                return self._push(table[path])
        public = names.canonical(module, name)
        if public in self._user:
            return self._push(self._user[public])
        shown = path.removeprefix("builtins.")
        raise UnpicklingError(
            f"Unsupported global: GLOBAL {shown} was not an allowed global by default. Please use "
            f"`torch.serialization.add_safe_globals([{shown}])` or the "
            f"`torch.serialization.safe_globals([{shown}])` context manager to allowlist this "
            "global if you trust this class/function."
        )

    def _users(self, thing: Any) -> bool:
        return any(thing is t for t in self._user.values())

    def _reduce(self) -> None:
        args = self._pop()
        func = self._pop()
        known = checked(func)
        if type(args) is not tuple:
            raise UnpicklingError(f"expected a tuple of arguments, but got {type(args)}")
        if known is not None:
            self._push(known(self._budget, *args))
        elif self._users(func):
            self._push(self._call_out(func, *args))
        else:
            text = f"Trying to call reduce for unrecognized function {shown(func)}"
            if isinstance(func, (MethodType, BuiltinFunctionType)):
                text += f" which belongs to {shown(func.__self__)}"
            raise UnpicklingError(text)

    def _newobj(self) -> None:
        args = self._pop()
        cls = self._pop()
        if type(args) is not tuple:
            raise UnpicklingError(f"expected a tuple of arguments, but got {type(args)}")
        if cls is rebuild.rebuild_parameter:
            self._push(rebuild.rebuild_parameter(*args))
        elif isinstance(cls, type) and self._users(cls):
            self._push(self._call_out(cls.__new__, cls, *args))
        else:
            raise UnpicklingError(
                "Can only create new object for nn.Parameter or classes allowlisted via "
                f"`add_safe_globals` but got {shown(cls)}"
            )

    def _build(self) -> None:
        state = self._pop()
        target = self._stack[-1]
        if type(target) is OrderedDict:
            if not isinstance(state, dict):
                raise UnpicklingError(f"expected a dict as state, but got {type(state)}")
            target.__dict__.update(state)
        elif self._users(type(target)):
            if hasattr(target, "__setstate__"):
                self._call_out(target.__setstate__, state)
                return
            plain, slots = state if isinstance(state, tuple) and len(state) == 2 else (state, None)
            if plain:
                target.__dict__.update(plain)
            for name, value in (slots or {}).items():
                setattr(target, name, value)
        else:
            raise UnpicklingError(
                "Can only build Tensor, Parameter, OrderedDict or types allowlisted via "
                f"`add_safe_globals`, but got {type(target)}"
            )

    def _persid(self) -> None:
        saved = self._pop()
        if type(saved) is not tuple and type(saved) is not int:
            raise UnpicklingError(f"persistent_load id must be tuple or int, but got {type(saved)}")
        if type(saved) is tuple and saved and not _is_tag(saved[0]):
            raise UnpicklingError(
                f"Only persistent_load of storage is allowed, but got {type(saved[0])}"
            )
        if self._persistent_load is None:
            raise UnpicklingError("this pickle may not refer to storages")
        self._push(self._call_out(self._persistent_load, saved))

    # -- containers -----------------------------------------------------------------------------

    def _extend(self, items: list[Any], verb: str) -> None:
        target = self._stack[-1]
        if type(target) is not list:
            raise UnpicklingError(f"Can only {verb} lists, but got {type(target)}")
        target.extend(items)

    def _set_items(self, items: list[Any], verb: str) -> None:
        target = self._stack[-1]
        if type(target) not in (dict, OrderedDict, Counter):
            raise UnpicklingError(
                f"Can only {verb} for dict, collections.OrderedDict, collections.Counter, but got "
                f"{type(target)}"
            )
        key = self._budget.key
        for i in range(0, len(items), 2):
            target[key(items[i])] = items[i + 1]

    def _append(self) -> None:
        item = self._pop()
        self._extend([item], "append to")

    def _appends(self) -> None:
        self._extend(self._pop_to_mark(), "extend")

    def _setitem(self) -> None:
        value, key = self._pop(), self._pop()
        self._set_items([key, value], "SETITEM")

    def _setitems(self) -> None:
        self._set_items(self._pop_to_mark(), "SETITEMS")

    def _mark(self) -> None:
        self._marks.append(self._stack)
        self._stack = []

    def _tuple_of(self, count: int) -> None:
        items = tuple(self._pop() for _ in range(count))
        self._push(items[::-1])

    # -- numbers and text -----------------------------------------------------------------------

    def _proto(self) -> None:
        proto = self._unpack("<B")
        if proto != 2:
            warnings.warn(
                f"Detected pickle protocol {proto} in the checkpoint, which was not the default "
                "pickle protocol used by `torch.load` (2). The weights_only Unpickler might not "
                "support all instructions implemented by this protocol.",
                stacklevel=2,
            )

    def _long(self) -> None:
        self._push(int.from_bytes(self._read(self._unpack("<B")), "little", signed=True))

    def _text(self, length: int) -> None:
        self._push(self._read(length).decode("utf-8", "surrogatepass"))

    def _put(self, index: int) -> None:
        self._memo[index] = self._stack[-1]

    def _get(self, index: int) -> None:
        self._push(self._memo[index])


def _is_tag(value: Any) -> bool:
    return isinstance(value, (str, bytes)) and value in ("storage", b"storage")


#: What each instruction does. Whatever is missing here is refused.
_STEPS: dict[bytes, Callable[[SafeUnpickler], Any]] = {
    pickle.PROTO: SafeUnpickler._proto,
    pickle.GLOBAL: SafeUnpickler._global,
    pickle.REDUCE: SafeUnpickler._reduce,
    pickle.NEWOBJ: SafeUnpickler._newobj,
    pickle.BUILD: SafeUnpickler._build,
    pickle.BINPERSID: SafeUnpickler._persid,
    pickle.APPEND: SafeUnpickler._append,
    pickle.APPENDS: SafeUnpickler._appends,
    pickle.SETITEM: SafeUnpickler._setitem,
    pickle.SETITEMS: SafeUnpickler._setitems,
    pickle.MARK: SafeUnpickler._mark,
    pickle.TUPLE: lambda m: m._push(tuple(m._pop_to_mark())),
    pickle.TUPLE1: lambda m: m._tuple_of(1),
    pickle.TUPLE2: lambda m: m._tuple_of(2),
    pickle.TUPLE3: lambda m: m._tuple_of(3),
    pickle.NONE: lambda m: m._push(None),
    pickle.NEWTRUE: lambda m: m._push(True),
    pickle.NEWFALSE: lambda m: m._push(False),
    pickle.EMPTY_TUPLE: lambda m: m._push(()),
    pickle.EMPTY_LIST: lambda m: m._push([]),
    pickle.EMPTY_DICT: lambda m: m._push({}),
    pickle.EMPTY_SET: lambda m: m._push(set()),
    pickle.BININT: lambda m: m._push(m._unpack("<i")),
    pickle.BININT1: lambda m: m._push(m._unpack("<B")),
    pickle.BININT2: lambda m: m._push(m._unpack("<H")),
    pickle.LONG1: SafeUnpickler._long,
    pickle.BINFLOAT: lambda m: m._push(m._unpack(">d")),
    pickle.BINUNICODE: lambda m: m._text(m._unpack("<I")),
    pickle.SHORT_BINSTRING: lambda m: m._text(m._unpack("<B")),
    pickle.BINSTRING: lambda m: m._text(m._unpack("<I")),
    pickle.BINGET: lambda m: m._get(m._unpack("<B")),
    pickle.LONG_BINGET: lambda m: m._get(m._unpack("<I")),
    pickle.BINPUT: lambda m: m._put(m._unpack("<B")),
    pickle.LONG_BINPUT: lambda m: m._put(m._unpack("<I")),
}


def read_global(line: Callable[[], str]) -> tuple[str, str]:
    """The two lines of a GLOBAL, with Python 2's names replaced by today's."""
    module, name = line(), line()
    if (module, name) in NAME_MAPPING:
        return NAME_MAPPING[module, name]
    return IMPORT_MAPPING.get(module, module), name


def is_allowed(path: str) -> bool:
    """Whether the safe loader knows a full name."""
    user = user_table()
    module, _, name = path.rpartition(".")
    known = path in CALLABLE or path in PASSIVE or path in user
    return known or names.canonical(module, name) in user
