"""``Parameter`` and ``Buffer``: tensors that a module recognises when they become its attributes.

A Parameter is a Tensor whose class says "train me": ``Module.__setattr__`` files it under the
module's parameters. Results of operations on it are plain tensors. It shares memory (and its
version counter) with the tensor it was made from.
"""

from __future__ import annotations

from typing import Any, ClassVar

from cresset.ops.creation import empty
from cresset.tensor import Tensor

#: Fields of Tensor itself; whatever else an instance holds was put there by its user.
_OWN_FIELDS = frozenset(Tensor.__annotations__)


class Parameter(Tensor):
    """A tensor to be trained: it belongs to the module it is assigned to.

    Args:
        data: the values (an empty tensor by default); memory is shared.
        requires_grad: whether gradients are computed for it.

    Raises RuntimeError if ``requires_grad`` is asked of an integer tensor.

    >>> import cresset as torch
    >>> layer = torch.nn.Module()
    >>> layer.scale = torch.nn.Parameter(torch.ones(2))
    >>> layer.scale
    Parameter containing:
    tensor([1., 1.], requires_grad=True)
    >>> [name for name, _ in layer.named_parameters()]
    ['scale']
    """

    def __new__(cls, data: Any = None, requires_grad: bool = True) -> Parameter:
        parameter = _sharing(cls, empty(0) if data is None else data)
        if requires_grad:
            if not (parameter.is_floating_point() or parameter.is_complex()):
                raise RuntimeError(
                    "Only Tensors of floating point and complex dtype can require gradients"
                )
            parameter._requires_grad = True
        return parameter

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()

    def __format__(self, spec: str) -> str:
        return object.__format__(self, spec)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        known = memo.get(id(self))
        if known is None:
            # As in PyTorch, neither the gradient nor attributes go along.
            known = memo[id(self)] = type(self)(self.data.clone(), self.requires_grad)
        return known

    def __reduce_ex__(self, protocol: Any) -> tuple:
        state = {k: v for k, v in self.__dict__.items() if k not in _OWN_FIELDS}
        return _rebuild_parameter, (type(self), self.data, self.requires_grad, state)


class Buffer(Tensor):
    """A tensor that belongs to a module without being trained, such as a running mean.

    ``Buffer(data, persistent=True)`` makes a plain tensor that becomes a buffer when it is assigned
    to a module; only persistent ones are part of ``state_dict``.

    >>> import cresset as torch
    >>> layer = torch.nn.Module()
    >>> layer.count = torch.nn.Buffer(torch.zeros(1))
    >>> list(layer.state_dict())
    ['count']
    """

    persistent: bool

    def __new__(cls, data: Any = None, *, persistent: bool = True) -> Buffer:
        buffer = _sharing(cls, empty(0) if data is None else data)
        buffer._requires_grad = data is not None and data.requires_grad
        buffer.persistent = persistent
        return buffer


def _sharing(cls: type, data: Tensor) -> Any:
    """An instance of ``cls`` without history on the memory of ``data``."""
    alias = data.detach()
    result = object.__new__(cls)
    result.__dict__.update(alias.__dict__)
    return result


def _rebuild_parameter(cls: type, data: Tensor, requires_grad: bool, state: dict) -> Any:
    parameter = cls(data, requires_grad)
    parameter.__dict__.update(state)
    return parameter


# -- without a shape so far (see lazy.py) ----------------------------------------------------------


class _Uninitialized:
    """A tensor without a shape so far."""

    cls_to_become: ClassVar[type]

    @property
    def shape(self) -> Any:
        raise RuntimeError(
            "Can't access the shape of an uninitialized parameter or buffer. This error usually "
            "happens in `load_state_dict` when trying to load an uninitialized parameter into an "
            "initialized one. Call `forward` to initialize the parameters before accessing their "
            "attributes."
        )

    def materialize(self, shape: Any, device: Any = None, dtype: Any = None) -> None:
        """Become an ordinary tensor of that shape; the values are not set."""
        held: Any = self
        fresh = empty(
            tuple(shape),
            device=held.device if device is None else device,
            dtype=held.dtype if dtype is None else dtype,
        )
        held._storage, held._spec = fresh._storage, fresh._spec
        held.__class__ = self.cls_to_become

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class UninitializedParameter(_Uninitialized, Parameter):  # type: ignore[misc]
    """A parameter whose shape is not known yet; see ``LazyLinear``."""

    cls_to_become = Parameter

    def __new__(
        cls, requires_grad: bool = True, device: Any = None, dtype: Any = None
    ) -> UninitializedParameter:
        made: Any = Parameter.__new__(cls, empty(0, device=device, dtype=dtype), requires_grad)
        return made

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        known = memo.get(id(self))
        if known is None:
            known = type(self)(self.requires_grad, self.device, self.dtype)
            memo[id(self)] = known
        return known


class UninitializedBuffer(_Uninitialized, Tensor):  # type: ignore[misc]
    """A buffer whose shape is not known yet; see ``LazyBatchNorm1d``."""

    cls_to_become = Tensor

    def __new__(
        cls, requires_grad: bool = False, device: Any = None, dtype: Any = None
    ) -> UninitializedBuffer:
        made = object.__new__(cls)
        made.__dict__.update(empty(0, device=device, dtype=dtype).__dict__)
        made._requires_grad = requires_grad
        return made

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Everything is done in ``__new__``."""


def is_lazy(value: Any) -> bool:
    """Whether a parameter or buffer has no shape yet."""
    return isinstance(value, _Uninitialized)


#: Files of layers that have another name in PyTorch.
_MODULES = {"containers": "container", "attention": "activation"}


def typename(value: Any) -> str:
    """How PyTorch names a value's type in its messages: ``torch.FloatTensor``, ``int``."""
    if isinstance(value, Tensor):
        return value._type_name()
    kind = type(value)
    if kind.__module__ in ("builtins", ""):
        return kind.__qualname__
    module = kind.__module__
    if module.startswith("cresset.nn."):  # PyTorch keeps its layers one folder deeper
        module = "torch.nn.modules." + _MODULES.get(module[11:], module[11:])
    return f"{module}.{kind.__qualname__}"


__all__ = [
    "Buffer", "Parameter", "UninitializedBuffer", "UninitializedParameter", "is_lazy", "typename",
]  # fmt: skip
