"""Which forward passes may be replayed: those whose code only computes.

A replayed forward pass does not run its Python code, so that code must do nothing but record ops,
and what it records must follow from what ``forwards.py`` compares: the arguments' specs, the
modules' attributes, the functions it calls. This file reads the byte code of a user's ``forward``
and says whether that is so, and which names outside of it matter. Layers of this package are known
to be fit, but for a few that are named here.

Everything is an allow-list: an instruction, a name or a value of an unknown kind makes the forward
pass run as it is written, every time. What shows only when it runs (values looked at, writes,
random numbers, tensors from elsewhere) is noticed in ``ops/stretch.py``.
"""

from __future__ import annotations

import builtins
import dis
import functools
import math
import re
import sys
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple

from cresset.device import device
from cresset.dtypes import dtype
from cresset.tensor import Tensor

_PACKAGE = __name__.split(".")[0] + "."

#: Instructions that move values, call and jump. Writing an attribute, an item or a global name,
#: importing, yielding and catching errors are not among them (RERAISE ends a comprehension that was
#: inlined, after an error).
_INSTRUCTIONS = re.compile(
    "LOAD_(FAST|CONST|GLOBAL|ATTR|METHOD|DEREF|CLOSURE|ASSERTION_ERROR|SMALL_INT)|STORE_FAST|"
    "BINARY_|INPLACE_|UNARY_|COMPARE_OP|IS_OP|CONTAINS_OP|TO_BOOL|CALL$|CALL_(FUNCTION|METHOD|KW)|"
    "PRECALL|KW_NAMES|PUSH_NULL|RETURN_|POP_|COPY$|SWAP|DUP_|ROT_|BUILD_(TUPLE|LIST|SLICE)|"
    "LIST_(EXTEND|APPEND|TO_TUPLE)|UNPACK_SEQUENCE|GET_ITER|FOR_ITER|END_FOR|JUMP_|RESUME|CACHE|"
    "NOP|EXTENDED_ARG|MAKE_FUNCTION|MAKE_CELL|COPY_FREE_VARS|NOT_TAKEN|RERAISE"
)
_GENERATORS = 0x20 | 0x80 | 0x100 | 0x200
_BUILTINS = (
    len, range, isinstance, min, max, sum, abs, zip, enumerate, reversed, int, float, bool, tuple,
    list, round,
)  # fmt: skip
_CONSTANTS = (int, float, bool, str, type(None), dtype, device)
#: Methods of local lists and tuples, and of modules, that change nothing.
_METHODS = frozenset(
    ("append", "extend", "index", "items", "values", "keys", "forward", "children", "modules",
     "named_children", "named_modules", "parameters", "named_parameters", "training")
)  # fmt: skip
#: Properties and methods of tensors that tell what the spec says, or are views.
_GEOMETRY = frozenset(
    ("shape", "ndim", "size", "dim", "numel", "stride", "dtype", "device", "is_contiguous", "T",
     "detach")
)  # fmt: skip
#: In the package of ops, but not fit: they look at values, or outside.
_EFFECTS = frozenset(("item", "tolist", "numpy", "data_ptr", "from_numpy", "apply", "backward"))


class Reading(NamedTuple):
    """What the forward passes of some module classes read besides their arguments."""

    #: (namespace, name, value): what must still be found there for the pass to be the same.
    found: tuple[tuple[Any, str, Any], ...]
    #: Names that may be attributes of a module, and those that can be nothing else.
    names: frozenset[str]
    attributes: frozenset[str]


def is_constant(value: Any) -> bool:
    """A value that cannot change by itself."""
    if isinstance(value, tuple):
        return all(map(is_constant, value))
    return value.__class__ in _CONSTANTS


def is_watched() -> bool:
    """Whether a debugger may want to see every line."""
    return _trace() is not None or _debugger() is not None


def _no_debugger() -> None:
    """Python before 3.12 knows debuggers by their trace function alone."""


_trace = sys.gettrace
_debugger: Any = _no_debugger
if sys.version_info >= (3, 12):
    _debugger = functools.partial(sys.monitoring.get_tool, sys.monitoring.DEBUGGER_ID)


_UNREAD: Any = object()
_readings: dict[tuple, Reading | None] = {}


def holds(reading: Reading) -> bool:
    """Whether everything is still found where it was read."""
    for space, name, value in reading.found:  # noqa: SIM110  (this is faster)
        if space.get(name) is not value:
            return False
    return True


def read_forwards(
    kinds: frozenset[type], attributes: tuple[FunctionType, ...] = ()
) -> Reading | None:
    """What ``forward`` of these module classes reads; None if one may do more than compute.

    ``attributes`` are functions that are attributes of the modules.
    """
    forwards = [_in_class(kind, "forward") for kind in kinds]
    functions = [held[1] for held in forwards if held and isinstance(held[1], FunctionType)]
    if len(functions) < len(kinds):
        return None
    key = kinds, tuple(functions), attributes
    known = _readings.get(key, _UNREAD)
    if known is _UNREAD or known is not None and not holds(known):
        if len(_readings) > 500:
            _readings.clear()
        reader = _Reader(kinds)
        good = all([reader.read_class(held) for held in forwards])
        good = good and all(map(reader.fits, attributes))
        _readings[key] = reader.reading() if good else None
    return _readings[key]


def is_ours(kind: type) -> bool:
    """A class of this package."""
    return kind.__module__.startswith(_PACKAGE)


def redefines(kind: type, name: str) -> bool:
    """Whether a user's class has a method of its own in place of ours."""
    held = _in_class(kind, name)
    return held is not None and held[0] is not object and not is_ours(held[0])


def _in_class(kind: type, name: str) -> tuple[type, Any] | None:
    for owner in kind.__mro__:
        if name in vars(owner):
            return owner, vars(owner)[name]
    return None


def _only_records(function: Any) -> bool:
    """A function of ours that records ops and does nothing else."""
    module = getattr(function, "__module__", None) or ""
    ours = module.startswith((_PACKAGE + "ops.", _PACKAGE + "nn.functional"))
    return ours and module != _PACKAGE + "ops.random" and function.__name__ not in _EFFECTS


def _is_tensor_method(name: str) -> bool:
    if name in _EFFECTS or name.endswith("_") and not name.startswith("__"):
        return False
    return name in _GEOMETRY or _only_records(getattr(Tensor, name, None))


class _Reader:
    """Reads functions, and those they call, on behalf of some module classes."""

    def __init__(self, kinds: frozenset[type]) -> None:
        self.kinds = kinds
        self.found: list[tuple[Any, str, Any]] = []
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self._seen: set[CodeType] = set()
        self._namespaces: list[ModuleType] = []

    def reading(self) -> Reading:
        found = {(id(space), name): (space, name, value) for space, name, value in self.found}
        return Reading(tuple(found.values()), frozenset(self.names), frozenset(self.attributes))

    def read_class(self, held: Any) -> bool:
        """A ``forward``, with the class that has it."""
        owner, forward = held
        self.found.append((vars(owner), "forward", forward))
        return is_ours(owner) or self._read(forward)

    def _read(self, function: FunctionType) -> bool:
        """Whether a function only computes; notes what it reads."""
        code = function.__code__
        if code in self._seen:
            return True
        for cell in function.__closure__ or ():
            value = _Cell(cell).get("")
            if not self.fits(value):
                return False
            self.found.append((_Cell(cell), "", value))
        defaults = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
        return all(map(is_constant, defaults)) and self._read_code(code, function)

    def _read_code(self, code: CodeType, function: FunctionType) -> bool:
        self._seen.add(code)
        if code.co_flags & _GENERATORS:
            return False
        attributes = []
        for instruction in dis.get_instructions(code):
            if not _INSTRUCTIONS.match(instruction.opname):
                return False
            if instruction.opname == "LOAD_GLOBAL":
                if not self._read_global(str(instruction.argval), function):
                    return False
            elif instruction.opname in ("LOAD_ATTR", "LOAD_METHOD"):
                attributes.append(str(instruction.argval))
        inner = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
        return all([self._read_code(part, function) for part in inner]) and all(
            [self._read_attribute(name) for name in attributes]
        )

    def _read_global(self, name: str, function: FunctionType) -> bool:
        space: Any = function.__globals__
        if name not in space:
            space = vars(builtins)
        if name not in space:
            return False
        self.found.append((space, name, space[name]))
        return self.fits(space[name])

    def _read_attribute(self, name: str) -> bool:
        """A name after a dot must be fit whatever may stand before it."""
        known = name in _METHODS or _is_tensor_method(name)
        if not known and hasattr(Tensor, name):
            return False
        for kind in self.kinds:
            held = _in_class(kind, name)
            if held is None:
                continue
            owner, value = held
            if not is_ours(owner):
                self.found.append((vars(owner), name, value))
                function = isinstance(value, FunctionType)
                if not (self._read(value) if function else is_constant(value)):
                    return False
            elif not known:
                return False
            known = True
        for space in self._namespaces:
            if name in vars(space):
                value = vars(space)[name]
                self.found.append((vars(space), name, value))
                if not self.fits(value):
                    return False
                known = True
        self.names.add(name)
        if not known:
            self.attributes.add(name)
        return True

    def fits(self, value: Any) -> bool:
        """Whether a value from outside may be used."""
        if isinstance(value, ModuleType):
            if value is not math and not (value.__name__ + ".").startswith(_PACKAGE):
                return False
            if value not in self._namespaces:
                self._namespaces.append(value)
            return True
        if isinstance(value, FunctionType):
            if value.__module__.startswith(_PACKAGE):
                return _only_records(value)
            return self._read(value)
        if isinstance(value, type):
            ours = value is Tensor or value.__module__.startswith(_PACKAGE + "nn.")
            return ours or value in _BUILTINS
        if isinstance(value, BuiltinFunctionType):
            return value in _BUILTINS or value.__module__ == "math"
        return is_constant(value)


class _Cell(NamedTuple):
    """A closure's variable, read as a namespace is."""

    cell: Any

    def get(self, name: str) -> Any:
        try:
            return self.cell.cell_contents
        except ValueError:
            return self
