"""PyTorch 0.1 to 0.4, as far as its tutorials show it: ``python -m cresset --legacy script.py``.

``enable()`` changes this process: a 0-dim tensor may be indexed with ``[0]`` (``loss.data[0]``) and
takes a gradient of one element (``loss.backward(torch.Tensor([1.0]))``), a mask may be subtracted
from one (``1 - mask``), tensors have ``creator`` and tape nodes ``previous_functions``,
``Variable`` takes ``volatile``, and a loader's iterator has ``next()``. What PyTorch 2.13 still
accepts needs none of this.
"""

from __future__ import annotations

from typing import Any

from cresset import autograd, dtypes
from cresset.core.modes import PROCESS
from cresset.core.tape import AccumulateGrad, Node
from cresset.tensor import Tensor

_Tensor: Any = Tensor
_getitem: Any = _Tensor.__getitem__  # type: ignore[attr-defined]
_backward: Any = _Tensor.backward
_rsub: Any = _Tensor.__rsub__
_variable_new: Any = autograd.Variable.__new__


def _lenient_getitem(self: Tensor, key: Any) -> Tensor:
    """What was a vector of one element is a 0-dim tensor now: its element 0 is itself."""
    if not self._spec.shape and key.__class__ is int and key in (0, -1):
        return self
    return _getitem(self, key)


def _creator(self: Tensor) -> Any:
    """The old name of ``grad_fn``."""
    return self.grad_fn


def _previous_functions(self: Node) -> tuple:
    """The old name of ``next_functions``."""
    return self.next_functions


def _variable(
    cls: Any, data: Any = None, requires_grad: bool = False, volatile: Any = False
) -> Any:
    """A volatile Variable was one that nothing is recorded for."""
    return _variable_new(cls, data, requires_grad and not volatile)


def _lenient_backward(self: Tensor, gradient: Any = None, *args: Any, **keywords: Any) -> None:
    """A loss was a vector of one element, and so was its gradient."""
    if isinstance(gradient, Tensor) and not self._spec.shape and gradient._spec.shape == (1,):
        gradient = gradient[0]  # type: ignore[index]
    _backward(self, gradient, *args, **keywords)


def _lenient_rsub(self: Tensor, other: Any) -> Tensor:
    """Masks were numbers from 0 to 255: ``1 - mask`` turned them round."""
    if self._spec.dtype is dtypes.bool_ and isinstance(other, int):
        self = self.to(dtypes.uint8)  # type: ignore[attr-defined]
    return _rsub(self, other)


def enable() -> None:
    """Switch the old behaviour on."""
    PROCESS.legacy = True
    _Tensor.__getitem__ = _lenient_getitem  # type: ignore[attr-defined]
    _Tensor.backward = _lenient_backward
    _Tensor.__rsub__ = _lenient_rsub
    Tensor.creator = property(_creator)  # type: ignore[attr-defined]
    Node.previous_functions = property(_previous_functions)  # type: ignore[attr-defined]
    AccumulateGrad.previous_functions = ()  # type: ignore[attr-defined]
    autograd.Variable.__new__ = _variable  # type: ignore[method-assign, assignment]


def disable() -> None:
    """Switch the old behaviour off again."""
    PROCESS.legacy = False
    _Tensor.__getitem__ = _getitem  # type: ignore[attr-defined]
    _Tensor.backward, _Tensor.__rsub__ = _backward, _rsub
    for owner, names in ((Tensor, ("creator",)), (Node, ("previous_functions",))):
        for name in names:
            if name in vars(owner):
                delattr(owner, name)
    autograd.Variable.__new__ = _variable_new  # type: ignore[method-assign]
