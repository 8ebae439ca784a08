"""``Module``: a tree of named parameters, buffers and submodules with a ``forward``.

This file has the tree: how attributes are filed (``__setattr__``), found and walked, and what is
done to all of it at once (``to``, ``train``, ``apply``, ``zero_grad``). Calling a module is in
``hooks.py``, saving and loading in ``state_dict.py``, the dictionaries that hold the attributes in
``tables.py``.

What must stay true: a name is in at most one of ``_parameters``, ``_buffers``, ``_modules``; a
Parameter keeps its identity through ``to`` and ``load_state_dict``, since optimisers hold it.
"""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from cresset.autograd import no_grad
from cresset.device import device as Device
from cresset.dtypes import dtype as DType
from cresset.nn.hooks import (  # noqa: F401  (PyTorch has the registering functions here)
    GLOBAL,
    HookedCall,
    register_module_backward_hook,
    register_module_buffer_registration_hook,
    register_module_forward_hook,
    register_module_forward_pre_hook,
    register_module_full_backward_hook,
    register_module_full_backward_pre_hook,
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
    registered,
)
from cresset.nn.parameter import Buffer, Parameter, typename
from cresset.nn.state_dict import StateDict
from cresset.nn.tables import CHANGES, Table
from cresset.ops.creation import empty_like
from cresset.tensor import Tensor
from cresset.tensor import memory_format as MemoryFormat

Self = TypeVar("Self", bound="Module")
_TABLES = ("_parameters", "_buffers", "_modules")
_HOOKS = (
    "_backward_pre_hooks", "_backward_hooks", "_forward_hooks", "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called", "_forward_pre_hooks", "_forward_pre_hooks_with_kwargs",
    "_state_dict_hooks", "_state_dict_pre_hooks", "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
)  # fmt: skip


def _forward_unimplemented(self: Module, *input: Any) -> None:
    """Compute the result of a call; every subclass defines it."""
    raise NotImplementedError(
        f'Module [{type(self).__name__}] is missing the required "forward" function'
    )


class Module(HookedCall, StateDict):
    """Base class of all layers and networks.

    Assign parameters and other modules as attributes in ``__init__`` (after ``super().__init__()``)
    and compute in ``forward``; calling the module calls ``forward``.

    >>> import cresset as torch
    >>> class Scale(torch.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.factor = torch.nn.Parameter(torch.tensor([2.0]))
    ...     def forward(self, x):
    ...         return self.factor * x
    >>> Scale()(torch.ones(2))
    tensor([2., 2.], grad_fn=<MulBackward0>)
    """

    dump_patches: bool = False
    training: bool
    call_super_init: bool = False
    T_destination = TypeVar("T_destination", bound=dict)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if not self.call_super_init:
            if kwargs:
                raise TypeError(
                    f"{type(self).__name__}.__init__() got an unexpected keyword argument "
                    f"'{next(iter(kwargs))}'"
                )
            if args:
                raise TypeError(
                    f"{type(self).__name__}.__init__() takes 1 positional argument but "
                    f"{len(args) + 1} were given"
                )
        # Straight into __dict__: __setattr__ below has nothing to file among these.
        fields = self.__dict__
        fields["training"] = True
        fields["_non_persistent_buffers_set"] = set()
        fields["_is_full_backward_hook"] = None
        for name in _HOOKS:
            fields[name] = OrderedDict()
        for name in _TABLES:
            fields[name] = Table(self)
        if self.call_super_init:
            super().__init__(*args, **kwargs)

    forward: Callable[..., Any] = _forward_unimplemented

    # -- attributes -----------------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        fields = self.__dict__
        CHANGES.count += 1
        parameters = fields.get("_parameters")
        if parameters is None:
            self._set_before_init(name, value)
        elif isinstance(value, Parameter):
            self._clear_name(name, "_buffers", "_modules")
            self.register_parameter(name, value)
        elif name in parameters:
            if value is not None:
                raise TypeError(
                    f"cannot assign '{typename(value)}' as parameter '{name}' "
                    "(torch.nn.Parameter or None expected)"
                )
            self.register_parameter(name, None)
        elif isinstance(value, Module):
            self._clear_name(name, "_parameters", "_buffers")
            self._modules[name] = registered(GLOBAL.on_module, self, name, value)
        elif name in fields["_modules"]:
            if value is not None:
                raise TypeError(
                    f"cannot assign '{typename(value)}' as child module '{name}' "
                    "(torch.nn.Module or None expected)"
                )
            self._modules[name] = registered(GLOBAL.on_module, self, name, None)
        elif isinstance(value, Buffer):
            self._clear_name(name, "_parameters", "_modules")
            self.register_buffer(name, value, value.persistent)
        elif name in fields["_buffers"]:
            if value is not None and not isinstance(value, Tensor):
                raise TypeError(
                    f"cannot assign '{typename(value)}' as buffer '{name}' "
                    "(torch.nn.Buffer, torch.Tensor or None expected)"
                )
            self._buffers[name] = registered(GLOBAL.on_buffer, self, name, value)
        elif name in _TABLES:
            fields[name].release()
            fields[name] = Table(self, value)
        else:
            object.__setattr__(self, name, value)

    def _set_before_init(self, name: str, value: Any) -> None:
        for kind, what in ((Parameter, "parameters"), (Module, "module"), (Buffer, "buffer")):
            if isinstance(value, kind):
                raise AttributeError(f"cannot assign {what} before Module.__init__() call")
        object.__setattr__(self, name, value)

    def _clear_name(self, name: str, *tables: str) -> None:
        """Forget what else the name stood for before it is filed anew."""
        for table in tables:
            self.__dict__[table].pop(name, None)
        self.__dict__.pop(name, None)
        self._non_persistent_buffers_set.discard(name)

    def __getattr__(self, name: str) -> Any:
        # Reached only for names that are not mirrored (see tables.py).
        fields = self.__dict__
        for table in _TABLES:
            if table in fields and name in fields[table]:
                return fields[table][name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __delattr__(self, name: str) -> None:
        CHANGES.count += 1
        for table in _TABLES:
            if name in self.__dict__[table]:
                del self.__dict__[table][name]
                self._non_persistent_buffers_set.discard(name)
                return
        object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        names = {*dir(type(self)), *self.__dict__}
        for table in _TABLES:
            names.update(self.__dict__[table])
        # Names like "0" in a Sequential cannot be written as attributes.
        return sorted(name for name in names if not name[:1].isdigit())

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        state.pop("_forwards", None)
        for table in _TABLES:
            entries = state.get(table)
            if isinstance(entries, Table):
                state[table] = dict(entries)
                for name, value in entries.items():
                    if state.get(name) is value:
                        state.pop(name, None)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        fields = self.__dict__
        fields.update(state)
        fields.setdefault("_non_persistent_buffers_set", set())
        fields.setdefault("_is_full_backward_hook", None)
        for name in _HOOKS:
            fields.setdefault(name, OrderedDict())
        for name in _TABLES:
            fields[name] = Table(self, fields.get(name))
        if any(fields[name] for name in _HOOKS):
            fields["_hooked"] = True

    # -- registering ----------------------------------------------------------------------------

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter (None: the name is known but there is no value)."""
        if "_parameters" not in self.__dict__:
            raise AttributeError("cannot assign parameter before Module.__init__() call")
        self._check_name("parameter", name, "_parameters")
        if param is not None:
            if not isinstance(param, Parameter):
                raise TypeError(
                    f"cannot assign '{typename(param)}' object to parameter '{name}' "
                    "(torch.nn.Parameter or None required)"
                )
            if param.grad_fn is not None:
                raise ValueError(
                    f"Cannot assign non-leaf Tensor to parameter '{name}'. Model parameters must "
                    "be created explicitly. To express '" + name + "' as a function of another "
                    "Tensor, compute the value in the forward() method."
                )
            param = registered(GLOBAL.on_parameter, self, name, param)
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that belongs to the module's state but is not trained.

        It moves with ``to`` and, if ``persistent``, is part of ``state_dict``.
        """
        if "_buffers" not in self.__dict__:
            raise AttributeError("cannot assign buffer before Module.__init__() call")
        self._check_name("buffer", name, "_buffers")
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"cannot assign '{typename(tensor)}' object to buffer '{name}' "
                "(torch Tensor or None required)"
            )
        self._buffers[name] = registered(GLOBAL.on_buffer, self, name, tensor)
        if persistent:
            self._non_persistent_buffers_set.discard(name)
        else:
            self._non_persistent_buffers_set.add(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a submodule under a name, as ``self.name = module`` does."""
        if not isinstance(module, Module) and module is not None:
            raise TypeError(f"{typename(module)} is not a Module subclass")
        self._check_name("module", name, "_modules")
        self._modules[name] = registered(GLOBAL.on_module, self, name, module)

    def register_module(self, name: str, module: Module | None) -> None:
        """Another name of :meth:`add_module`."""
        self.add_module(name, module)

    def _check_name(self, kind: str, name: Any, table: str) -> None:
        if not isinstance(name, str):
            raise TypeError(f"{kind} name should be a string. Got {typename(name)}")
        if hasattr(self, name) and name not in self.__dict__[table]:
            raise KeyError(f"attribute '{name}' already exists")
        if "." in name:
            got = f", got: {name}" if kind == "module" else ""
            raise KeyError(f'{kind} name can\'t contain "."{got}')
        if name == "":
            raise KeyError(f'{kind} name can\'t be empty string ""')

    # -- finding --------------------------------------------------------------------------------

    def get_submodule(self, target: str) -> Module:
        """The submodule at a dotted path; AttributeError if there is none."""
        module = self
        for name in target.split(".") if target else ():
            if not hasattr(module, name):
                raise AttributeError(f"{module._get_name()} has no attribute `{name}`")
            module = getattr(module, name)
            if not isinstance(module, Module):
                raise AttributeError(f"`{name}` is not an nn.Module")
        return module

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Put ``module`` at a dotted path; with ``strict`` there must be one already."""
        if target == "":
            raise ValueError("Cannot set the submodule without a target name!")
        if not isinstance(module, Module):
            raise ValueError(f"`module` is not an nn.Module, found {type(module)}")
        path, _, name = target.rpartition(".")
        parent = self.get_submodule(path)
        if strict and not hasattr(parent, name):
            raise AttributeError(f"{parent._get_name()} has no attribute `{name}`")
        if strict and not isinstance(getattr(parent, name), Module):
            raise AttributeError(f"`{name}` is not an nn.Module")
        setattr(parent, name, module)

    def get_parameter(self, target: str) -> Parameter:
        """The parameter at a dotted path; AttributeError if there is none."""
        value, name, _ = self._lookup(target)
        if not isinstance(value, Parameter):
            raise AttributeError(f"`{name}` is not an nn.Parameter")
        return value

    def get_buffer(self, target: str) -> Tensor:
        """The buffer at a dotted path; AttributeError if there is none."""
        value, name, module = self._lookup(target)
        if name not in module._buffers:
            raise AttributeError(f"`{name}` is not a buffer")
        return value

    def _lookup(self, target: str) -> tuple[Any, str, Module]:
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        if not hasattr(module, name):
            raise AttributeError(f"{module._get_name()} has no attribute `{name}`")
        return getattr(module, name), name, module

    # -- walking --------------------------------------------------------------------------------

    def named_modules(
        self, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """This module and all below it, each once, with dotted names; parents come first."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                inner = f"{prefix}.{name}" if prefix else name
                yield from module.named_modules(memo, inner, remove_duplicate)

    def modules(self, remove_duplicate: bool = True) -> Iterator[Module]:
        """This module and all below it."""
        for _, module in self.named_modules(remove_duplicate=remove_duplicate):
            yield module

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The direct submodules with their names, each once."""
        seen = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def children(self) -> Iterator[Module]:
        """The direct submodules, each once."""
        for _, module in self.named_children():
            yield module

    def _named_members(
        self,
        get_members_fn: Callable[[Module], Any],
        prefix: str = "",
        recurse: bool = True,
        remove_duplicate: bool = True,
    ) -> Iterator[tuple[str, Any]]:
        seen = set()
        modules: Any = [(prefix, self)]
        if recurse:
            modules = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
        for path, module in modules:
            for name, value in get_members_fn(module):
                if value is None or value in seen:
                    continue
                if remove_duplicate:
                    seen.add(value)
                yield f"{path}.{name}" if path else name, value

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """The parameters with dotted names; one that is shared comes once, under its first name."""
        return self._named_members(_parameter_items, prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters, as an optimiser takes them."""
        for _, parameter in self.named_parameters(recurse=recurse):
            yield parameter

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """The buffers with dotted names."""
        return self._named_members(_buffer_items, prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """The buffers."""
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

    # -- all of it at once ----------------------------------------------------------------------

    def apply(self: Self, fn: Callable[[Module], Any]) -> Self:
        """Call ``fn`` on every submodule and at last on this one; returns ``self``."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def _apply(self: Self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Replace the values of parameters, their gradients and buffers by ``fn`` of them."""
        if recurse:
            for module in self.children():
                module._apply(fn)
        for parameter in self._parameters.values():
            if parameter is None:
                continue
            _replace_data(parameter, fn)
            if parameter._grad is not None:
                _replace_data(parameter._grad, fn)
        for name, buffer in self._buffers.items():
            if buffer is not None:
                self._buffers[name] = fn(buffer)
        return self

    def to(self: Self, *args: Any, **kwargs: Any) -> Self:
        """Move and convert parameters and buffers, in place; returns ``self``.

        ``to(device)``, ``to(dtype)``, ``to(device, dtype)``, ``to(tensor)`` and
        ``to(memory_format=...)``, with ``non_blocking``. Only floating-point and complex values
        change dtype. Raises TypeError for an integer dtype.

        >>> import cresset as torch
        >>> layer = torch.nn.Module()
        >>> layer.scale = torch.nn.Parameter(torch.ones(2))
        >>> layer.to(torch.float64).scale.dtype
        torch.float64
        """
        device, dtype, non_blocking, memory_format = _parse_to(args, kwargs)
        if dtype is not None:
            if not (dtype.is_floating_point or dtype.is_complex):
                raise TypeError(
                    "nn.Module.to only accepts floating point or complex dtypes, but got desired "
                    f"dtype={dtype}"
                )
            if dtype.is_complex:
                warnings.warn(
                    "Complex modules are a new feature under active development whose design may "
                    "change, and some modules might not work as expected when using complex "
                    "tensors as parameters or buffers. Please file an issue at "
                    "https://github.com/pytorch/pytorch/issues/new?template=bug-report.yml if a "
                    "complex module does not work as expected.",
                    stacklevel=2,
                )

        def convert(t: Tensor) -> Tensor:
            options: dict[str, Any] = {"non_blocking": non_blocking}
            if memory_format is not None and t.ndim in (4, 5):
                options["memory_format"] = memory_format
            changes = t.is_floating_point() or t.is_complex()
            return t.to(device=device, dtype=dtype if changes else None, **options)

        return self._apply(convert)

    def to_empty(self: Self, *, device: Any, recurse: bool = True) -> Self:
        """Move to ``device`` without copying values: they are uninitialised afterwards."""
        return self._apply(lambda t: empty_like(t, device=device), recurse)

    def type(self: Self, dst_type: Any) -> Self:
        """Convert all parameters and buffers to a dtype or an old type name."""
        return self._apply(lambda t: t.type(dst_type))

    def cuda(self: Self, device: Any = None) -> Self:
        """Move to a CUDA device (the current one by default)."""
        return self._apply(lambda t: t.cuda(device))

    def cpu(self: Self) -> Self:
        """Move to the CPU."""
        return self._apply(lambda t: t.cpu())

    def float(self: Self) -> Self:
        """Convert floating-point values to float32."""
        return self._apply(lambda t: t.float() if t.is_floating_point() else t)

    def double(self: Self) -> Self:
        """Convert floating-point values to float64."""
        return self._apply(lambda t: t.double() if t.is_floating_point() else t)

    def half(self: Self) -> Self:
        """Convert floating-point values to float16."""
        return self._apply(lambda t: t.half() if t.is_floating_point() else t)

    def bfloat16(self: Self) -> Self:
        """Convert floating-point values to bfloat16."""
        return self._apply(lambda t: t.bfloat16() if t.is_floating_point() else t)

    def share_memory(self: Self) -> Self:
        """Put all values into memory that child processes share."""
        return self._apply(lambda t: t.share_memory_())

    def train(self: Self, mode: bool = True) -> Self:
        """Set ``training`` here and below: dropout and batch norm behave by it."""
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        self.training = mode
        for module in self.children():
            module.train(mode)
        return self

    def eval(self: Self) -> Self:
        """``train(False)``."""
        return self.train(False)

    def requires_grad_(self: Self, requires_grad: bool = True) -> Self:
        """Set ``requires_grad`` of all parameters, to freeze or unfreeze the module."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters (or fill them with zeros)."""
        if getattr(self, "_is_replica", False):
            warnings.warn(
                "Calling .zero_grad() from a module created with nn.DataParallel() has no effect. "
                "The parameters are copied (in a differentiable manner) from the original module. "
                "This means they are not leaf nodes in autograd and so don't accumulate gradients. "
                "If you need gradients in your forward method, consider using autograd.grad "
                "instead.",
                stacklevel=2,
            )
        # A plain walk rather than self.parameters(): this runs in every training step.
        seen = set()
        waiting: list[Module] = [self]
        while waiting:
            module = waiting.pop()
            if module in seen:
                continue
            seen.add(module)
            for parameter in module._parameters.values():
                if parameter is None or parameter._grad is None:
                    continue
                if set_to_none:
                    parameter._grad = None
                else:
                    parameter._grad = parameter._grad.detach()
                    parameter._grad.zero_()
            waiting.extend(m for m in module._modules.values() if m is not None)

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Accepted for PyTorch's sake: whatever comes back is compiled anyway."""

    def _replicate_for_data_parallel(self: Self) -> Self:
        """A copy of this module alone, whose tables can be filled anew."""
        replica = object.__new__(type(self))
        replica.__setstate__(self.__getstate__())
        for table in _TABLES:
            replica.__dict__[table].clear()
            replica.__dict__[table] = Table(replica)
        replica.__dict__["_is_replica"] = True
        return replica

    # -- printing -------------------------------------------------------------------------------

    def _get_name(self) -> str:
        return type(self).__name__

    def extra_repr(self) -> str:
        """What to print between the brackets; override to show the settings."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        own = extra.split("\n") if extra else []
        below = [f"({k}): " + _indent(repr(m)) for k, m in self._modules.items()]
        if not below and len(own) <= 1:
            return f"{self._get_name()}({extra})"
        return f"{self._get_name()}(\n  " + "\n  ".join(own + below) + "\n)"


def _indent(text: str) -> str:
    return text.replace("\n", "\n  ")


def _parameter_items(module: Module) -> Any:
    return module._parameters.items()


def _buffer_items(module: Module) -> Any:
    return module._buffers.items()


def _replace_data(tensor: Tensor, fn: Callable[[Tensor], Tensor]) -> None:
    with no_grad():
        fresh = fn(tensor)
    if fresh is not tensor:
        tensor.data = fresh


def _parse_to(args: tuple, kwargs: dict[str, Any]) -> tuple[Any, Any, bool, Any]:
    """(device, dtype, non_blocking, memory_format) from the arguments of ``Module.to``."""
    known = {"device", "dtype", "tensor", "non_blocking", "copy", "memory_format"}
    device, dtype, flags = kwargs.get("device"), kwargs.get("dtype"), []
    memory_format, like = kwargs.get("memory_format"), kwargs.get("tensor")
    valid = known >= set(kwargs) and (dtype is None or isinstance(dtype, DType))
    for arg in args:
        if isinstance(arg, bool):
            flags.append(arg)
        elif isinstance(arg, (str, int, Device)) and device is None and dtype is None:
            device = arg
        elif isinstance(arg, DType) and dtype is None:
            dtype = arg
        elif isinstance(arg, Tensor) and like is None:
            like = arg
        elif arg is not None:
            valid = False
    if not valid or (memory_format is not None and not isinstance(memory_format, MemoryFormat)):
        given = [typename(a) for a in args] + [f"{k}={typename(v)}" for k, v in kwargs.items()]
        got = ", ".join(given) + (", " if kwargs else "")
        rest = "bool non_blocking = False, bool copy = False, *, torch.memory_format"
        raise TypeError(
            f"to() received an invalid combination of arguments - got ({got}), but expected one "
            f"of:\n * (torch.device device = None, torch.dtype dtype = None, {rest} memory_format "
            f"= None)\n * (torch.dtype dtype, {rest} memory_format = None)\n * (Tensor tensor, "
            f"{rest} memory_format = None)\n"
        )
    if like is not None:
        device, dtype = like.device, like.dtype
    non_blocking = bool(kwargs.get("non_blocking", flags[0] if flags else False))
    return None if device is None else Device(device), dtype, non_blocking, memory_format
