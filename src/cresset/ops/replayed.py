"""Stretches of ops that come again: recorded once, then played as one node (``ops/stretch.py``)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from cresset.core import graph
from cresset.core.call import SETTING
from cresset.core.fingerprint import fingerprint
from cresset.core.modes import PROCESS, THREAD
from cresset.core.storage import Storage
from cresset.core.tape import ANOMALY
from cresset.ops.registry import outside
from cresset.ops.stretch import StretchCall, capture, play
from cresset.tensor import Tensor, wrap

_MOST = 1_024
_UNKNOWN: Any = object()

#: By function, static arguments and operands' specs; None where running the ops is the only way.
_known: dict[tuple, StretchCall | None] = {}


def replayed(function: Callable[..., Any], operands: tuple[Tensor, ...], params: tuple = ()) -> Any:
    """``function(*operands, *params)``, of which it is known that it only records ops."""
    if THREAD.plain or PROCESS.eager or PROCESS.unusual and not is_ordinary(operands):
        return function(*operands, *params)
    kinds: list[Any] = [THREAD.grad, THREAD.inference, SETTING.changes]
    for x in operands:
        spec = x._spec
        kinds += (spec if not spec.offset else spec.at_zero(), x._requires_grad)
    key = (function, params, *kinds)
    call = _known.get(key, _UNKNOWN)
    if call is _UNKNOWN or PROCESS.check:
        return _meet(key, function, operands, params)
    result = None if call is None else replay(call, operands)
    return function(*operands, *params) if result is None else result


def is_ordinary(args: Sequence[Any]) -> bool:
    """Whether no mode is on that wants to see every op, and no tensor here refuses to be saved."""
    if THREAD.saved_hooks is not None or ANOMALY.enabled:
        return False
    return not THREAD.grad or not any(isinstance(x, Tensor) and x._inference for x in args)


def _meet(key: tuple, function: Callable[..., Any], operands: tuple, params: tuple) -> Any:
    given = [whole(x) for x in operands]
    result, call, used = capture(lambda: function(*given, *params), given)
    if len(_known) >= _MOST:
        _known.clear()
    everything = used == tuple(range(len(operands)))
    if everything and not same(call, _known.setdefault(key, call)):
        raise RuntimeError(f"internal error: {function.__name__} now records something else")
    _known[key] = call if everything else None
    if call is None:
        return result
    played = replay(call, operands) if everything else None
    return function(*operands, *params) if played is None else played


def same(a: StretchCall | None, b: StretchCall | None) -> bool:
    """Whether two stretches record the same, perhaps by Calls that were interned anew."""
    return a is b or fingerprint(a) == fingerprint(b)


def replay(call: StretchCall, operands: Sequence[Tensor]) -> Tensor | None:
    """Play a stretch; None if an operand is in a state that only running the ops can deal with."""
    values: list[Any] = []
    run_now = False
    for x, expected in zip(operands, call.specs):  # noqa: B905
        spec: Any = x._spec
        value: Any = x._storage
        if spec.offset or value.exported:
            spec, value, now = outside(spec, value)
            run_now = run_now or now
        if spec is not expected:
            return None
        values.append(value)
    result = play(call, operands, values)
    if run_now:
        graph.flush("an op read a large tensor that shares memory with NumPy")
    return result


def whole(x: Tensor) -> Tensor:
    """The tensor, or if it begins inside a buffer or NumPy sees it, one of its own like it."""
    spec, storage = x._spec, x._storage
    if not (spec.offset or storage.exported) or x._requires_grad:
        return x
    spec, value, _ = outside(spec, storage)
    if isinstance(value, Storage):
        return x
    return wrap(Storage(spec.dtype, value.size, spec.device, value), spec)
