"""``Optimizer``: parameter groups, state, and one recorded node per step.

A concrete optimiser gives four things: its default options, the names of its state tensors,
``_new_state`` which makes them, and ``_update``, the formula for one parameter written on arrays.
``step`` records a single node that updates all parameters of a group: its operands are parameters,
gradients and state tensors, then the numbers (learning rate, momentum ...) as run-time values, so a
new rate finds the same plan.

What must stay true: ``state`` has PyTorch's layout at all times (the step count is a 0-dim float32
tensor named ``step``), so checkpoints go both ways; and a step looks at no value of a parameter.
"""

from __future__ import annotations

import functools
import warnings
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from copy import deepcopy
from itertools import chain
from operator import is_
from typing import Any, ClassVar

from cresset.autograd.grad_mode import enable_grad
from cresset.core import graph
from cresset.core.call import Op, Result
from cresset.core.modes import THREAD
from cresset.core.spec import Spec, dense
from cresset.core.tape import RemovableHandle
from cresset.dtypes import float32
from cresset.nn.parameter import typename
from cresset.ops.creation import tensor, zeros_like
from cresset.ops.inplace import write
from cresset.optim.batch import Batch
from cresset.tensor import Tensor


class _Required:
    def __repr__(self) -> str:
        return "<required parameter>"


required = _Required()


class Optimizer:
    """Base of all optimisers: ``Optimizer(params, defaults)``.

    ``params`` is an iterable of tensors, of (name, tensor) pairs, or of dictionaries with
    ``params`` and options of their own.
    """

    #: Whether ``_update`` needs the number of steps a parameter has taken.
    counts_steps: ClassVar[bool] = False
    #: By the identity of a group: what one node of its last step updated.
    _batches: dict[int, Batch]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "step" in cls.__dict__:
            cls.step = _hooked(cls.__dict__["step"])  # type: ignore[method-assign]

    def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        self.state: defaultdict[Tensor, Any] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        self._batches = {}
        self._optimizer_step_pre_hooks: dict = OrderedDict()
        self._optimizer_step_post_hooks: dict = OrderedDict()
        self._optimizer_state_dict_pre_hooks: dict = OrderedDict()
        self._optimizer_state_dict_post_hooks: dict = OrderedDict()
        self._optimizer_load_state_dict_pre_hooks: dict = OrderedDict()
        self._optimizer_load_state_dict_post_hooks: dict = OrderedDict()
        if isinstance(params, Tensor):
            raise TypeError(
                "params argument given to the optimizer should be an iterable of Tensors or dicts, "
                f"but got {params._type_name()}"
            )
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(dict(group))

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters with options of their own."""
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        params: Any = param_group["params"]
        if isinstance(params, Tensor):
            params = [params]
        elif isinstance(params, set):
            raise TypeError(
                "optimizer parameters need to be organized in ordered collections, but the ordering "  # noqa: E501
                "of tensors in sets will change between runs. Please use a list instead."
            )
        params = list(params)
        if params and isinstance(params[0], tuple):
            param_group["param_names"] = [name for name, _ in params]
            params = [p for _, p in params]
        for p in params:
            if not isinstance(p, Tensor):
                raise TypeError(
                    f"optimizer can only optimize Tensors, but one of the params is {typename(p)}"
                )
            if not p.is_leaf and not p._retains:
                raise ValueError("can't optimize a non-leaf Tensor")
        param_group["params"] = params
        for name, default in self.defaults.items():
            if default is required and name not in param_group:
                raise ValueError(
                    f"parameter group didn't specify a value of required optimization parameter "
                    f"{name}"
                )
            param_group.setdefault(name, default)
        if len(params) != len({id(p) for p in params}):
            warnings.warn(
                "optimizer contains a parameter group with duplicate parameters; in future, this "
                "will cause an error; see github.com/pytorch/pytorch/issues/40967 for more "
                "information",
                stacklevel=3,
            )
        taken = {id(p) for group in self.param_groups for p in group["params"]}
        if not taken.isdisjoint(id(p) for p in params):
            raise ValueError("some parameters appear in more than one parameter group")
        self._batches.clear()
        self.param_groups.append(param_group)

    # -- a step ------------------------------------------------------------------------------------

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        """The state tensors of a parameter, in the order ``_update`` takes and returns them."""
        return ()

    def _static(self, group: dict[str, Any]) -> tuple:
        """Options that select an algorithm: part of the plan's structure."""
        return ()

    def _numbers(self, group: dict[str, Any], step: int) -> tuple:
        """Run-time numbers of a group at a step."""
        return ()

    def _new_state(self, p: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        """The state tensors of a parameter before its first step (absent: made by the step)."""
        return {name: zeros_like(p.detach()) for name in self._state_names(group)}

    @staticmethod
    def _update(xp: Any, p: Any, g: Any, state: tuple, numbers: tuple, static: tuple) -> tuple:
        """The new (p, *state) of one parameter, as arrays."""
        raise NotImplementedError

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update all parameters that have a gradient.

        ``closure``, if given, recomputes the loss first and is returned.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        grad, THREAD.grad = THREAD.grad, False
        try:
            for group in self.param_groups:
                self._step_group(group)
        finally:
            THREAD.grad = grad
        return loss

    def _before_step(self, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
        """Call the hooks that see a step's arguments first and may change them."""
        for hook in self._optimizer_step_pre_hooks.values():
            changed = hook(self, args, kwargs)
            if changed is not None:
                if not (isinstance(changed, tuple) and len(changed) == 2):
                    raise RuntimeError(
                        f"{hook} must return None or a tuple of (new_args, new_kwargs), "
                        f"but got {changed}."
                    )
                args, kwargs = changed
        return args, kwargs

    def _step_group(self, group: dict[str, Any]) -> None:
        """One node per (dtype, device, step count) found in the group; nearly always one."""
        batch: Any = self._batches.get(id(group))
        if batch is not None and not all(map(is_, batch.options, group.values())):
            if self._state_names(group) == batch.names:
                self._set(batch, group)
            else:
                batch = None
        if batch is not None and batch.renew(group["params"], self.state):
            batch.record()
            return
        names = self._state_names(group)
        counts = self.counts_steps
        batches: dict[Any, Batch] = {}
        states = self.state
        count = 0
        held: list[Any] = []
        there = fresh = (False,) * len(names)
        state: dict[str, Any] = {}
        last: Any = None
        for p in group["params"]:
            g = p._grad
            if g is None:
                continue
            if names or counts:
                state = states[p]
                if not state:
                    if counts:
                        state["step"] = tensor(0.0, dtype=float32)
                    state.update(self._new_state(p, group))
                if counts:
                    count = _advance(state["step"])
                held, fresh = [], there
                for name in names:
                    value = state.get(name)
                    if value is None:
                        fresh = tuple([state.get(each) is None for each in names])
                    else:
                        held.append(value)
            spec = p._spec
            key = (spec.dtype, spec.device, count, fresh)
            if key != last:
                batch = batches.setdefault(key, Batch(names, fresh))
                last = key
            batch.add(p, g, state, held)
        if len(batches) == 1 and not counts and fresh is there:
            self._batches[id(group)] = batch
        for (_, _, count, fresh), batch in batches.items():
            self._set(batch, group, count)
            if fresh is there:
                batch.record()
            else:
                self._keep(batch, batch.results(batch.gradients))

    def _set(self, batch: Batch, group: dict[str, Any], step: int = 0) -> None:
        """Tell a batch what the group's options say."""
        batch.set(self._op(), self._numbers(group, step), self._static(group), group)

    def _keep(self, batch: Batch, results: tuple[Tensor, ...]) -> None:
        """Write what a step made where it belongs, and keep the state that it made first."""
        values = iter(results)
        for p in batch.parameters:
            write(p, next(values))
            for name, new in zip(batch.names, batch.fresh, strict=True):
                if new:
                    self.state[p][name] = next(values)
                else:
                    write(self.state[p][name], next(values))

    def _op(self) -> Op:
        kind = type(self)
        op = _OPS.get(kind)
        if op is None:
            op = _OPS[kind] = Op(
                f"{kind.__name__.lower()}_step", _infer, functools.partial(_kernel, kind._update),
                multi=True, family="optimizer",
            )  # fmt: skip
        return op

    # -- bookkeeping -------------------------------------------------------------------------------

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients (or set them to zero)."""
        for group in self.param_groups:
            for p in group["params"]:
                g = p._grad
                if g is None:
                    continue
                if set_to_none:
                    p._grad = None
                else:
                    if g.grad_fn is not None:
                        g = p._grad = g.detach()
                    g.zero_()

    def state_dict(self) -> dict[str, Any]:
        """Options and state with parameters numbered in order: what to save."""
        for hook in self._optimizer_state_dict_pre_hooks.values():
            hook(self)
        numbers: dict[int, int] = {}

        def pack(group: dict[str, Any]) -> dict[str, Any]:
            packed = {k: v for k, v in group.items() if k != "params"}
            for p in group["params"]:
                numbers.setdefault(id(p), len(numbers))
            packed["params"] = [numbers[id(p)] for p in group["params"]]
            return packed

        groups = [pack(g) for g in self.param_groups]
        state = {numbers[id(k)] if isinstance(k, Tensor) else k: v for k, v in self.state.items()}
        result = {"state": state, "param_groups": groups}
        for hook in self._optimizer_state_dict_post_hooks.values():
            changed = hook(self, result)
            if changed is not None:
                result = changed
        return result

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over options and state saved by ``state_dict`` (Cresset's or PyTorch's)."""
        state_dict = dict(state_dict)
        for hook in self._optimizer_load_state_dict_pre_hooks.values():
            changed = hook(self, state_dict)
            if changed is not None:
                state_dict = changed
        groups, saved = self.param_groups, deepcopy(state_dict["param_groups"])
        if len(groups) != len(saved):
            raise ValueError("loaded state dict has a different number of parameter groups")
        if any(len(a["params"]) != len(b["params"]) for a, b in zip(groups, saved, strict=True)):
            raise ValueError(
                "loaded state dict contains a parameter group that doesn't match the size of "
                "optimizer's group"
            )
        by_number = dict(
            zip(
                chain.from_iterable(g["params"] for g in saved),
                chain.from_iterable(g["params"] for g in groups),
                strict=True,
            )
        )
        state: defaultdict[Any, Any] = defaultdict(dict)
        for key, value in state_dict["state"].items():
            p = by_number.get(key)
            if p is None:
                state[key] = value
                continue
            state[p] = {}
            for name, v in value.items():
                if name == "step" and not isinstance(v, Tensor) and self.counts_steps:
                    state[p][name] = tensor(float(v), dtype=float32)
                elif name == "step" and isinstance(v, Tensor):
                    state[p][name] = v.detach().clone().to(float32)  # type: ignore[attr-defined]
                elif isinstance(v, Tensor):
                    moved = v.to(p.dtype) if p.is_floating_point() else v  # type: ignore[attr-defined]
                    state[p][name] = moved.to(p.device).clone()
                else:
                    state[p][name] = deepcopy(v)
        self.state = state
        self._batches.clear()
        self.param_groups = []
        for group, new in zip(groups, saved, strict=True):
            new["params"] = group["params"]
            for name, default in self.defaults.items():
                new.setdefault(name, default)
            self.param_groups.append(new)
        for hook in self._optimizer_load_state_dict_post_hooks.values():
            hook(self)

    def register_step_pre_hook(self, hook: Any) -> RemovableHandle:
        """Call ``hook(optimizer, args, kwargs)`` before each step."""
        return RemovableHandle(self._optimizer_step_pre_hooks, hook)

    def register_step_post_hook(self, hook: Any) -> RemovableHandle:
        """Call ``hook(optimizer, args, kwargs)`` after each step."""
        return RemovableHandle(self._optimizer_step_post_hooks, hook)

    def register_state_dict_pre_hook(self, hook: Any, prepend: bool = False) -> RemovableHandle:
        return RemovableHandle(self._optimizer_state_dict_pre_hooks, hook)

    def register_state_dict_post_hook(self, hook: Any, prepend: bool = False) -> RemovableHandle:
        return RemovableHandle(self._optimizer_state_dict_post_hooks, hook)

    def register_load_state_dict_pre_hook(
        self, hook: Any, prepend: bool = False
    ) -> RemovableHandle:
        return RemovableHandle(self._optimizer_load_state_dict_pre_hooks, hook)

    def register_load_state_dict_post_hook(
        self, hook: Any, prepend: bool = False
    ) -> RemovableHandle:
        return RemovableHandle(self._optimizer_load_state_dict_post_hooks, hook)

    def __getstate__(self) -> dict[str, Any]:
        return {"defaults": self.defaults, "state": self.state, "param_groups": self.param_groups}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._batches = {}
        for name in (
            "step_pre", "step_post", "state_dict_pre", "state_dict_post", "load_state_dict_pre",
            "load_state_dict_post",
        ):  # fmt: skip
            self.__dict__.setdefault(f"_optimizer_{name}_hooks", OrderedDict())

    def __repr__(self) -> str:
        text = type(self).__name__ + " ("
        for i, group in enumerate(self.param_groups):
            text += f"\nParameter Group {i}\n"
            for key in sorted(group):
                if key != "params":
                    text += f"    {key}: {group[key]}\n"
        return text + ")"


_OPS: dict[type, Op] = {}


def _undo(optimizer: Optimizer) -> None:
    """The values that a step was to write never came: state it made is dropped, counts go back."""
    for p, state in optimizer.state.items():
        if any(isinstance(v, Tensor) and v._storage.error for v in state.values()):
            state.clear()
        elif optimizer.counts_steps and state and p._grad is not None:
            _advance(state["step"], -1)


def _hooked(step: Callable[..., Any]) -> Callable[..., Any]:
    """``step`` with the hooks around it; afterwards everything recorded is run."""

    @functools.wraps(step)
    def wrapper(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
        if self._optimizer_step_pre_hooks:
            args, kwargs = self._before_step(args, kwargs)
        result = step(self, *args, **kwargs)
        if self._optimizer_step_post_hooks:
            for hook in self._optimizer_step_post_hooks.values():
                hook(self, args, kwargs)
        if "_opt_called" in self.__dict__:  # a scheduler watches the order of calls
            self._opt_called = True
        try:
            graph.flush("optimizer step", leave=True)
        except Exception:
            _undo(self)
            raise
        return result

    return wrapper


Optimizer.step = _hooked(Optimizer.step)  # type: ignore[method-assign]


def _advance(step: Tensor, by: int = 1) -> int:
    """Count one step in a 0-dim tensor, without a node; the new count.

    The buffer is replaced, not written: a recorded read of the old count keeps the old value.
    """
    storage = step._storage
    new = graph.materialize(storage) + by
    if storage.home or storage.exported:
        storage.buffer[...] = new
    else:
        storage.buffer = new
    step._bump_version()
    return int(new[step._spec.offset])


def number(value: Any) -> float:
    """An option that may be a one-element tensor (a learning rate, say)."""
    return float(value)


def _infer(*args: Any) -> Result:
    """Outputs per parameter: itself and each of its state tensors, shaped as the parameter."""
    rows, fresh, _ = args[-3:]
    width = 2 + len(fresh) - sum(fresh)
    outs: list[Spec] = []
    for i in range(rows):
        outs.extend([_plain(args[i * width])] * (1 + len(fresh)))
    return Result(tuple(outs))


def _plain(s: Spec) -> Spec:
    return s if s.compact else dense(s.dtype, s.shape, s.device)


def _kernel(update: Callable[..., tuple], xp: Any, *args: Any) -> tuple:
    *operands, rows, fresh, static = args
    width = 2 + len(fresh) - sum(fresh)
    numbers = tuple(operands[rows * width :])
    outs: list[Any] = []
    for i in range(rows):
        arrays = operands[i * width : (i + 1) * width]
        shape, kind = arrays[0].shape, arrays[0].dtype
        if kind.kind == "c":  # a complex number is two real parameters
            arrays = [xp.ascontiguousarray(a).reshape(-1).view(a.real.dtype) for a in arrays]
        p, g, *state = arrays
        given = iter(state)
        full = tuple([None if new else next(given) for new in fresh])
        new_values = update(xp, p, g, full, numbers, static)
        if kind.kind == "c":
            new_values = [v.view(kind).reshape(shape) for v in new_values]
        outs.extend(new_values)
    return tuple(outs)


def check(value: Any, name: str, low: float = 0.0, high: float | None = None) -> None:
    """Options must be at least ``low`` (and below ``high``)."""
    if not low <= value or (high is not None and not value < high):
        raise ValueError(f"Invalid {name}: {value}")
