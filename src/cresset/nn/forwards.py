"""Forward passes seen before: played as one node instead of running their code.

The first call of a module runs its ``forward`` and keeps what it recorded as a stretch
(``ops/stretch.py``), if the code only computes (``purity.py``). From then on a call with arguments
of the same specs, on a module tree of the same state, plays the stretch: for a small network that
takes a quarter of the time, and most of a training step's Python is the forward pass.

What must stay true: nobody can tell. Whatever could make the code record something else is compared
at each call: the arguments' and parameters' specs, ``requires_grad``, the attributes of all modules
in the tree, hooks, the functions that the code calls. A debugger sees every line run.
``CRESSET_CHECK=1`` runs the code every time and compares.
"""

from __future__ import annotations

from types import FunctionType
from typing import Any
from weakref import ref

from cresset.core.call import SETTING
from cresset.core.modes import PROCESS, THREAD
from cresset.device import get_default_device
from cresset.nn.purity import (
    Reading,
    holds,
    is_constant,
    is_ours,
    is_watched,
    read_forwards,
    redefines,
)
from cresset.nn.tables import CHANGES
from cresset.ops.replayed import is_ordinary, replay, same, whole
from cresset.ops.stretch import StretchCall, capture
from cresset.random.generator import default_generator
from cresset.tensor import Tensor

#: Signatures of one module that are kept, and passes of each (training, evaluation, some frozen).
_MOST_SIGNATURES = 256
_MOST_ALIKE = 4
_MOST_MODULES = 500
#: Methods that decide what a call or an attribute means.
_CUSTOMS = ("__call__", "__getattr__", "__getattribute__", "__setattr__")
#: Of this package, but their calls do more than record.
_UNFIT = ("cresset.nn.parallel", "cresset.nn.optimized", "cresset.nn.lazy")


class Untried:
    """Stands in a module that was not called yet."""

    def __call__(self, module: Any, args: tuple, kwargs: dict) -> Any:
        if PROCESS.eager or THREAD.plain or "_is_replica" in module.__dict__:
            return module.forward(*args, **kwargs)
        if is_ours(type(module)) and not module._modules:
            module.__dict__["_forwards"] = None  # a layer is one op or two
            return module.forward(*args, **kwargs)
        module.__dict__["_forwards"] = forwards = Forwards(module)
        return forwards(module, args, kwargs)


class Known:
    """A forward pass for arguments of certain specs, and what it depends on besides."""

    __slots__ = ("call", "places", "parameters", "specs", "needs", "tree", "state", "changes")

    def __init__(self, tree: Tree, state: list) -> None:
        #: What plays it; None if only running the code will do.
        self.call: StretchCall | None = None
        #: Positions of the arguments that the stretch reads; its other operands are parameters.
        self.places: list[int] = []
        self.parameters: list[Tensor] = []
        self.specs: list[Any] = []
        self.needs: list[bool] = []
        self.tree = tree
        self.state = state
        self.changes = CHANGES.count

    def take(self, call: StretchCall, operands: list[Tensor], places: list[int]) -> None:
        """The stretch, and its operands: first the arguments at these places."""
        self.call, self.places = call, places
        self.parameters = operands[len(places) :]
        self.specs = [x._spec for x in self.parameters]
        self.needs = [x._requires_grad for x in self.parameters]

    def holds(self, module: Any) -> bool:
        """Whether the code would record the same ops."""
        if self.changes != CHANGES.count:
            if self.changes == -CHANGES.count or not self._settle(module):
                return False
        if [x._spec for x in self.parameters] != self.specs:
            return False
        if [x._requires_grad for x in self.parameters] != self.needs:
            return False
        return holds(self.tree.reading)

    def _settle(self, module: Any) -> bool:
        """Compare the modules' attributes after some module's were written; remember the answer."""
        now = CHANGES.count
        same = _all_same(self.tree.state(module), self.state)
        self.changes = now if same else -now
        return same

    def is_outdated(self, module: Any) -> bool:
        """Whether tensors or modules were replaced, and not just numbers and flags."""
        state = self.tree.state(module)
        return len(state) != len(self.state) or any(
            a is not b and not (is_constant(a) and is_constant(b))
            for a, b in zip(state, self.state, strict=True)
        )

    def play(self, args: tuple) -> Tensor | None:
        """The result; None if only running the code will do."""
        if self.call is None:
            return None
        return replay(self.call, [*[args[i] for i in self.places], *self.parameters])


class Forwards:
    """The forward passes of one module that were seen."""

    __slots__ = ("module", "known")

    def __init__(self, module: Any) -> None:
        self.module = ref(module)
        #: By the arguments' specs.
        self.known: dict[tuple, list[Known]] = {}

    def __call__(self, module: Any, args: tuple, kwargs: dict) -> Any:
        if (
            kwargs or THREAD.plain or PROCESS.eager or is_watched()
            or self.module() is not module or PROCESS.unusual and not is_ordinary(args)
        ):  # fmt: skip
            return module.forward(*args, **kwargs)
        key = _signature(args)
        if key is None:
            return module.forward(*args)
        for known in self.known.get(key, ()):
            if known.holds(module):
                played = self._check(module, known, args) if PROCESS.check else known.play(args)
                return _run_plainly(module, args) if played is None else played
        return self._meet(module, key, args)

    def _meet(self, module: Any, key: tuple, args: tuple) -> Any:
        """Run a pass that was not seen before, and keep it."""
        result, known = _look(module, args)
        if known is None:
            return result
        if len(self.known) >= _MOST_SIGNATURES:
            self.known.clear()
        older = [k for k in self.known.get(key, ()) if not k.is_outdated(module)]
        self.known[key] = [known, *older[: _MOST_ALIKE - 1]]
        if known.call is None:
            return result
        played = known.play(args)
        return _run_plainly(module, args) if played is None else played

    def _check(self, module: Any, known: Known, args: tuple) -> Any:
        """Play, but first run the code and compare what it records."""
        result, again = _look(module, args)
        if again is None or again.call is None or known.call is None:
            return result
        operands = zip(again.parameters, known.parameters, strict=True)
        if not same(again.call, known.call) or any(a is not b for a, b in operands):
            raise RuntimeError(
                f"internal error: forward of {type(module).__name__} was to be replayed, but its "
                "code now records something else"
            )
        return known.play(args)


def _signature(args: tuple) -> tuple | None:
    """What the arguments are, for the code that gets them; None if that cannot be told."""
    parts: list[Any] = [THREAD.grad, THREAD.inference, SETTING.changes, get_default_device()]
    for x in args:
        if x.__class__ is Tensor:
            parts.append(x._spec.at_zero())
            parts.append(x._requires_grad)
        elif is_constant(x):
            parts.append(repr(x))
        else:
            return None
    return tuple(parts)


def _run_plainly(module: Any, args: tuple) -> Any:
    """Run the code as it ran when it was looked at: op by op, also in the modules below.

    What a program records must not depend on how often it did so before: a process that goes on
    from a checkpoint would meet other plans than the one that wrote it.
    """
    THREAD.plain = True
    try:
        return module.forward(*args)
    finally:
        THREAD.plain = False


def _look(module: Any, args: tuple) -> tuple[Any, Known | None]:
    """Run the code. If it can be played, what it recorded is taken back, with no result."""
    tree = Tree.of(module)
    if tree is None:
        module.__dict__["_forwards"] = None
        return module.forward(*args), None
    given = [whole(x) if isinstance(x, Tensor) else x for x in args]
    places = [i for i, x in enumerate(given) if isinstance(x, Tensor)]
    tensors = [*[given[i] for i in places], *tree.tensors(module)]
    state, drawn = tree.state(module), default_generator._get_state_array()

    def fit() -> bool:
        same = (default_generator._get_state_array() == drawn).all()
        return bool(same) and _all_same(tree.state(module), state)

    result, call, used = capture(lambda: module.forward(*given), tensors, fit)
    known = Known(tree, state)
    if call is not None:
        arguments = [places[i] for i in used if i < len(places)]
        known.take(call, [tensors[i] for i in used], arguments)
    return result, known


class Tree:
    """The modules that a forward pass may call, all of them fit."""

    __slots__ = ("below", "reading")

    def __init__(self, below: list[Any], reading: Reading) -> None:
        #: Without the module at the root: it holds this object.
        self.below = below
        self.reading = reading

    @staticmethod
    def of(root: Any) -> Tree | None:
        """The tree below ``root`` and it; None if its forward may do more than compute."""
        modules = list(root.modules())
        if len(modules) > _MOST_MODULES or not all(map(_is_fit, modules)):
            return None
        kinds = frozenset(map(type, modules))
        reading = read_forwards(kinds)
        if reading is None:
            return None
        held: set[str] = set()
        known = {id(module) for module in modules}
        functions = []
        for module in modules:
            fields = module.__dict__
            held.update(fields)
            ours = is_ours(type(module))
            for name in fields.keys() if ours else reading.names & fields.keys():
                value = fields[name]
                if isinstance(value, FunctionType):
                    functions.append(value)
                elif isinstance(value, Tensor) or id(value) in known or is_constant(value):
                    continue
                elif not ours or callable(value) and name != "_forwards":
                    return None
        if functions:
            reading = read_forwards(kinds, tuple(functions))
        if reading is None or not reading.attributes <= held:
            return None
        return Tree(modules[1:], reading)

    def tensors(self, root: Any) -> list[Tensor]:
        """Parameters, buffers and other tensors that are attributes, each once."""
        found: dict[int, Tensor] = {}
        for module in (root, *self.below):
            fields = module.__dict__
            for held in (fields, fields["_parameters"], fields["_buffers"]):
                found.update({id(x): x for x in held.values() if isinstance(x, Tensor)})
        return list(found.values())

    def state(self, root: Any) -> list:
        """All that the code may read of the modules."""
        found: list[Any] = []
        for module in (root, *self.below):
            fields = module.__dict__
            found.append(type(module))
            for table in ("_parameters", "_buffers", "_modules"):
                found.extend(fields[table].values())
            if is_ours(type(module)):
                found.extend([fields[name] for name in fields if name != "_forwards"])
            else:
                found += [fields.get("_hooked"), fields["training"], "forward" in fields]
                found.extend([fields.get(name) for name in self.reading.names])
        return found


def _is_fit(module: Any) -> bool:
    """A module that is called in the ordinary way."""
    kind, fields = type(module), module.__dict__
    if module._hooked or "forward" in fields or "_is_replica" in fields:
        return False
    if kind.__module__.startswith(_UNFIT):
        return False
    return is_ours(kind) or not any(redefines(kind, name) for name in _CUSTOMS)


def _same(a: Any, b: Any) -> bool:
    """Whether two values are the same object, or constants nobody can tell apart (0.0 and -0.0)."""
    return a is b or (a.__class__ is b.__class__ and is_constant(a) and repr(a) == repr(b))


def _all_same(a: list, b: list) -> bool:
    return len(a) == len(b) and all(map(_same, a, b))
