"""Calling a module, and the functions that users hang on a call.

``module(x)`` is ``module.forward(x)`` unless somebody registered a hook: one flag on the module and
one list for hooks on all modules tell, so the ordinary call pays next to nothing. The flag is set
by the first registration and stays; with every hook removed the long way gives the same results.

Order of a call with hooks: forward pre-hooks (global, then the module's own), ``forward``, forward
hooks, and around them an identity on the tape for inputs and outputs. The gradients that pass
through these two identities are what full backward hooks see.
"""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from cresset.autograd import Function
from cresset.core.modes import THREAD
from cresset.core.tape import RemovableHandle
from cresset.nn.forwards import Untried
from cresset.nn.tables import CHANGES
from cresset.tensor import Tensor


class HookHandle(RemovableHandle):
    """Takes a module hook away again, with what is noted about it in ``flags``."""

    def __init__(
        self, hooks: dict, hook: Any, flags: tuple[dict, ...] = (), prepend: bool = False
    ) -> None:
        super().__init__(hooks, hook)
        self.flags = flags
        for flag in flags:
            flag[self.id] = True
        if prepend:
            hooks.move_to_end(self.id, last=False)  # type: ignore[attr-defined]

    def remove(self) -> None:
        super().remove()
        for flag in self.flags:
            flag.pop(self.id, None)


class _Hooks:
    """The hooks on all modules."""

    def __init__(self) -> None:
        self.forward_pre: OrderedDict = OrderedDict()
        self.forward: OrderedDict = OrderedDict()
        self.forward_with_kwargs: OrderedDict = OrderedDict()
        self.forward_always: OrderedDict = OrderedDict()
        self.backward_pre: OrderedDict = OrderedDict()
        self.backward: OrderedDict = OrderedDict()
        self.backward_is_full: bool | None = None
        self.on_parameter: OrderedDict = OrderedDict()
        self.on_buffer: OrderedDict = OrderedDict()
        self.on_module: OrderedDict = OrderedDict()


GLOBAL = _Hooks()
#: Not empty once any global hook on calls was registered.
_EVER_GLOBAL: list[bool] = []


def any_global() -> bool:
    """Whether a hook of every module is registered now."""
    return any(hooks for hooks in vars(GLOBAL).values() if isinstance(hooks, OrderedDict))


def _register_global(hooks: dict, hook: Any, flags: tuple[dict, ...] = ()) -> RemovableHandle:
    _EVER_GLOBAL[:] = [True]
    return HookHandle(hooks, hook, flags)


def register_module_forward_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call ``hook(module, args)`` before every module's forward; it may return new ``args``."""
    return _register_global(GLOBAL.forward_pre, hook)


def register_module_forward_hook(
    hook: Callable[..., Any], *, with_kwargs: bool = False, always_call: bool = False
) -> RemovableHandle:
    """Call ``hook(module, args, output)`` after every module's forward.

    ``with_kwargs`` adds the keyword arguments after ``args``; ``always_call`` calls it also if
    forward raised.
    """
    flags = _chosen((with_kwargs, GLOBAL.forward_with_kwargs), (always_call, GLOBAL.forward_always))
    return _register_global(GLOBAL.forward, hook, flags)


def register_module_backward_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """The old backward hook on every module; prefer ``register_module_full_backward_hook``."""
    return _global_backward(hook, False)


def register_module_full_backward_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call ``hook(module, grad_input, grad_output)`` when a module's input gradients are known."""
    return _global_backward(hook, True)


def register_module_full_backward_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call ``hook(module, grad_output)`` when a module's output gradients are known."""
    return _register_global(GLOBAL.backward_pre, hook)


def _global_backward(hook: Callable[..., Any], full: bool) -> RemovableHandle:
    if GLOBAL.backward_is_full is (not full):
        raise RuntimeError(
            "Cannot use both regular backward hooks and full backward hooks as a global Module "
            "hook. Please use only one of them."
        )
    GLOBAL.backward_is_full = full
    return _register_global(GLOBAL.backward, hook)


def register_module_parameter_registration_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call ``hook(module, name, parameter)`` at every registration; it may return another one."""
    return HookHandle(GLOBAL.on_parameter, hook)


def register_module_buffer_registration_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call ``hook(module, name, buffer)`` at every registration; it may return another one."""
    return HookHandle(GLOBAL.on_buffer, hook)


def register_module_module_registration_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call ``hook(module, name, submodule)`` at every registration; it may return another one."""
    return HookHandle(GLOBAL.on_module, hook)


def registered(hooks: dict, module: Any, name: str, value: Any) -> Any:
    """What the registration hooks make of ``value``."""
    for hook in hooks.values():
        replaced = hook(module, name, value)
        if replaced is not None:
            value = replaced
    return value


def _chosen(*flags: tuple[bool, dict]) -> tuple[dict, ...]:
    return tuple(table for wanted, table in flags if wanted)


class HookedCall:
    """The part of ``Module`` that calls ``forward``, with hooks where there are any."""

    _hooked: bool = False
    #: The forward passes seen (``forwards.py``); None if they are not worth it.
    _forwards: Any = Untried()
    _is_full_backward_hook: bool | None
    _backward_pre_hooks: OrderedDict
    _backward_hooks: OrderedDict
    _forward_hooks: OrderedDict
    _forward_hooks_with_kwargs: OrderedDict
    _forward_hooks_always_called: OrderedDict
    _forward_pre_hooks: OrderedDict
    _forward_pre_hooks_with_kwargs: OrderedDict
    forward: Callable[..., Any]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._hooked or _EVER_GLOBAL:
            return self._call_impl(*args, **kwargs)
        forwards = self._forwards
        if forwards is None:
            return self.forward(*args, **kwargs)
        return forwards(self, args, kwargs)

    # -- registering ----------------------------------------------------------------------------

    def _hook(
        self, hooks: dict, hook: Any, flags: tuple[dict, ...] = (), prepend: bool = False
    ) -> RemovableHandle:
        self.__dict__["_hooked"] = True
        CHANGES.count += 1
        return HookHandle(hooks, hook, flags, prepend)

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, args)`` before ``forward``; it may return new ``args``.

        With ``with_kwargs`` it is ``hook(module, args, kwargs)`` and may return a new pair.
        ``prepend`` puts it before the hooks that are there.
        """
        flags = _chosen((with_kwargs, self._forward_pre_hooks_with_kwargs))
        return self._hook(self._forward_pre_hooks, hook, flags, prepend)

    def register_forward_hook(
        self,
        hook: Callable[..., Any],
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> RemovableHandle:
        """Call ``hook(module, args, output)`` after ``forward``; it may return a new output.

        With ``with_kwargs`` it is ``hook(module, args, kwargs, output)``. With ``always_call`` it
        is called also if ``forward`` or another hook raised.

        >>> import cresset as torch
        >>> layer = torch.nn.Identity()
        >>> handle = layer.register_forward_hook(lambda module, args, output: output + 1)
        >>> layer(torch.zeros(2))
        tensor([1., 1.])
        >>> handle.remove()
        """
        flags = _chosen(
            (with_kwargs, self._forward_hooks_with_kwargs),
            (always_call, self._forward_hooks_always_called),
        )
        return self._hook(self._forward_hooks, hook, flags, prepend)

    def register_full_backward_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, grad_output)`` when the gradients of the outputs are known.

        It may return a tuple of gradients to go on with.
        """
        return self._hook(self._backward_pre_hooks, hook, (), prepend)

    def register_full_backward_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, grad_input, grad_output)`` when the inputs' gradients are known.

        It may return a tuple of gradients to use in place of ``grad_input``.
        """
        return self._backward_hook(hook, True, prepend)

    def register_backward_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """The old backward hook, on the last tape node of ``forward`` only.

        ``grad_input`` is what that node passes on, whatever ``forward``'s inputs are; prefer
        :meth:`register_full_backward_hook`.
        """
        return self._backward_hook(hook, False, False)

    def _backward_hook(
        self, hook: Callable[..., Any], full: bool, prepend: bool
    ) -> RemovableHandle:
        if self._is_full_backward_hook is (not full):
            raise RuntimeError(
                "Cannot use both regular backward hooks and full backward hooks on a single "
                "Module. Please use only one of them."
            )
        self._is_full_backward_hook = full
        return self._hook(self._backward_hooks, hook, (), prepend)

    # -- calling --------------------------------------------------------------------------------

    def _call_impl(self, *args: Any, **kwargs: Any) -> Any:
        """``forward`` with the hooks around it."""
        if not self._forward_hooks_always_called and not GLOBAL.forward_always:
            return self._call_with_hooks(args, kwargs, {})
        progress: dict[Any, Any] = {}
        try:
            return self._call_with_hooks(args, kwargs, progress)
        except Exception:
            self._call_after_error(args, kwargs, progress)
            raise

    def _call_with_hooks(self, args: tuple, kwargs: dict, progress: dict[Any, Any]) -> Any:
        """One call; ``progress`` notes which forward hooks ran and the result so far."""
        for number, hook in (*GLOBAL.forward_pre.items(), *self._forward_pre_hooks.items()):
            if number in self._forward_pre_hooks_with_kwargs:
                changed = hook(self, args, kwargs)
                if changed is not None:
                    if not (isinstance(changed, tuple) and len(changed) == 2):
                        raise RuntimeError(
                            "forward pre-hook must return None or a tuple of (new_args, "
                            f"new_kwargs), but got {changed}."
                        )
                    args, kwargs = changed
            else:
                changed = hook(self, args)
                if changed is not None:
                    args = changed if isinstance(changed, tuple) else (changed,)

        full, old = self._backward_hooks_by_kind()
        before = [*GLOBAL.backward_pre.values(), *self._backward_pre_hooks.values()]
        watch = None
        if full or before:
            watch = BackwardWatch(self, full, before)
            args = watch.inputs(args)

        result = self.forward(*args, **kwargs)
        progress["result"] = result

        for number, hook in (*GLOBAL.forward.items(), *self._forward_hooks.items()):
            progress[number] = True
            if number in self._forward_hooks_with_kwargs or number in GLOBAL.forward_with_kwargs:
                changed = hook(self, args, kwargs, result)
            else:
                changed = hook(self, args, result)
            if changed is not None:
                result = progress["result"] = changed

        if watch is not None:
            if not isinstance(result, (Tensor, tuple)):
                warnings.warn(
                    "For backward hooks to be called, module output should be a Tensor or a tuple "
                    f"of Tensors but received {type(result)}",
                    stacklevel=4,
                )
            result = watch.outputs(result)
        if old:
            self._attach_old_hooks(old, args, result)
        return result

    def _call_after_error(self, args: tuple, kwargs: dict, progress: dict[Any, Any]) -> None:
        """The ``always_call`` hooks that did not run; their own errors are only reported."""
        result = progress.get("result")
        for hooks, always, with_kwargs, what in (
            (GLOBAL.forward, GLOBAL.forward_always, GLOBAL.forward_with_kwargs, "global module"),
            (
                self._forward_hooks,
                self._forward_hooks_always_called,
                self._forward_hooks_with_kwargs,
                "module",
            ),
        ):
            for number, hook in list(hooks.items()):
                if number not in always or number in progress:
                    continue
                try:
                    if number in with_kwargs:
                        changed = hook(self, args, kwargs, result)
                    else:
                        changed = hook(self, args, result)
                except Exception as error:
                    warnings.warn(
                        f"{what} forward hook with ``always_call=True`` raised an exception that "
                        f"was silenced as another error was raised in forward: {error}",
                        stacklevel=4,
                    )
                else:
                    result = result if changed is None else changed

    def _backward_hooks_by_kind(self) -> tuple[list, list]:
        """(full hooks, old hooks), the global ones first."""
        full: list = []
        old: list = []
        if GLOBAL.backward:
            (full if GLOBAL.backward_is_full else old).extend(GLOBAL.backward.values())
        if self._backward_hooks:
            (full if self._is_full_backward_hook else old).extend(self._backward_hooks.values())
        return full, old

    def _attach_old_hooks(self, hooks: list, args: tuple, result: Any) -> None:
        value = result
        while not isinstance(value, Tensor):
            if isinstance(value, dict):
                value = next(v for v in value.values() if isinstance(v, Tensor))
            else:
                value = value[0]
        node = value.grad_fn
        if node is None:
            return
        for hook in hooks:
            node.register_hook(lambda grad_in, grad_out, hook=hook: hook(self, grad_in, grad_out))
        problem = _misleading(args, result, node)
        if problem:
            warnings.warn(problem, FutureWarning, stacklevel=4)


def _misleading(args: tuple, result: Any, node: Any) -> str | None:
    """Why an old backward hook on ``node`` will not see the gradients of the module's inputs."""
    advice = "Please use register_full_backward_hook to get the documented behavior."
    outputs = result if isinstance(result, tuple) else (result,)
    if not all(isinstance(r, Tensor) for r in outputs):
        return (
            "Using non-full backward hooks on a Module that does not return a single Tensor or a "
            "tuple of Tensors is deprecated and will be removed in future versions. This hook "
            f"will be missing some of the grad_output. {advice}"
        )
    if not all(isinstance(a, Tensor) for a in args):
        return (
            "Using non-full backward hooks on a Module that does not take as input a single "
            "Tensor or a tuple of Tensors is deprecated and will be removed in future versions. "
            f"This hook will be missing some of the grad_input. {advice}"
        )
    nodes = {r.grad_fn for r in outputs if r.grad_fn is not None}
    if len(nodes) > 1:
        return (
            "Using a non-full backward hook when outputs are generated by different autograd "
            "Nodes is deprecated and will be removed in future versions. This hook will be missing "
            f"some grad_output. {advice}"
        )
    sources = {edge[0] for edge in node.next_functions}
    inputs = {a.grad_fn for a in args if a.grad_fn is not None}
    if inputs and sources != inputs or not inputs and any(s is not None for s in sources):
        return (
            "Using a non-full backward hook when the forward contains multiple autograd Nodes is "
            "deprecated and will be removed in future versions. This hook will be missing some "
            f"grad_input. {advice}"
        )
    return None


class BackwardHookFunction(Function):
    """The identity, as a place on the tape to hang hooks on."""

    @staticmethod
    def forward(ctx: Any, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.mark_non_differentiable(*[t for t in tensors if not t.requires_grad])
        return tensors

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple:
        return grads


class BackwardWatch:
    """Watches gradients enter and leave one call of a module, for its full backward hooks."""

    def __init__(self, module: Any, hooks: list, pre_hooks: list) -> None:
        self.module = module
        self.hooks = hooks
        self.pre_hooks = pre_hooks
        self.grad_outputs: tuple | None = None
        self.input_count = 0
        #: Positions of the tensors among the inputs; None if none of them needs a gradient.
        self.input_places: list[int] | None = None

    def inputs(self, args: tuple) -> tuple:
        """The arguments, passed through the identity on the tape."""
        args, node, self.input_places = _through_identity(args)
        self.input_count = len(args)
        if node is not None:
            node.register_hook(self._on_grad_inputs)
        return args

    def outputs(self, result: Any) -> Any:
        """The result, passed through the identity on the tape."""
        single = not isinstance(result, tuple)
        values, node, places = _through_identity((result,) if single else result)
        if node is not None:
            count = len(values)
            node.register_prehook(lambda grads: self._on_grad_outputs(grads, places, count))
        return values[0] if single else values

    def _on_grad_outputs(self, grads: tuple, places: Any, count: int) -> tuple | None:
        grad_outputs = _spread(grads, places, count)
        for hook in self.pre_hooks:
            changed = hook(self.module, grad_outputs)
            if changed is None:
                continue
            if len(changed) != count:
                raise RuntimeError(
                    "Backward pre hook returned an invalid number of grad_output, got "
                    f"{len(changed)}, but expected {count}"
                )
            grad_outputs = changed
        self.grad_outputs = grad_outputs
        if self.input_places is None:
            # No gradient will come out of the inputs' end: this is all the hooks will see.
            warnings.warn(
                "Full backward hook is firing when gradients are computed with respect to module "
                "outputs since no inputs require gradients. See https://docs.pytorch.org/docs/"
                "main/generated/torch.nn.Module.html#torch.nn.Module.register_full_backward_hook "
                "for more details.",
                stacklevel=5,
            )
            nothing = (None,) * self.input_count
            for hook in self.hooks:
                changed = hook(self.module, nothing, grad_outputs)
                if changed is not None and not (
                    isinstance(changed, tuple) and all(c is None for c in changed)
                ):
                    raise RuntimeError(
                        "Backward hook for Modules where no input requires gradient should always "
                        "return None or None for all gradients."
                    )
            self.grad_outputs = None
        return tuple(grad_outputs[i] for i in places)

    def _on_grad_inputs(self, grads: tuple, _: tuple) -> tuple | None:
        if self.grad_outputs is None:
            return None  # this backward started inside the module
        places = self.input_places or []
        grad_inputs = _spread(grads, places, self.input_count)
        for hook in self.hooks:
            changed = hook(self.module, grad_inputs, self.grad_outputs)
            if changed is None:
                continue
            if len(changed) != self.input_count:
                raise RuntimeError(
                    "Backward hook returned an invalid number of grad_input, got "
                    f"{len(changed)}, but expected {self.input_count}"
                )
            grad_inputs = changed
        self.grad_outputs = None
        return tuple(grad_inputs[i] for i in places)


def _through_identity(values: tuple) -> tuple[tuple, Any, list[int] | None]:
    """(values with their tensors passed through the identity, its node, the tensors' places)."""
    places = [i for i, v in enumerate(values) if isinstance(v, Tensor)]
    if not THREAD.grad or not any(values[i].requires_grad for i in places):
        return values, None, None
    passed = BackwardHookFunction.apply(*[values[i] for i in places])
    result = list(values)
    node = None
    for place, tensor in zip(places, passed, strict=True):
        result[place] = tensor
        if node is None:
            node = tensor.grad_fn
    # A namedtuple stays a plain tuple here, as in PyTorch.
    return tuple(result), node, places


def _spread(grads: tuple, places: Any, count: int) -> tuple:
    """Gradients of the tensors at ``places`` among ``count`` values, None elsewhere."""
    result: list = [None] * count
    for place, grad in zip(places, grads, strict=True):
        result[place] = grad
    return tuple(result)
