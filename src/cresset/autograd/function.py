"""``Function``: an op of the user's own, with its own derivative.

``apply`` runs ``forward`` off the tape, then puts one node on it whose backward calls the user's
``backward``. With ``create_graph`` that call is recorded, so double backward works if it is written
with differentiable ops.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

from cresset.core.call import Call, Op, Result
from cresset.core.modes import THREAD
from cresset.core.tape import Node, edge_of, new_node
from cresset.tensor import Tensor, view_of


class FunctionCtx:
    """What ``forward`` leaves for ``backward``: saved tensors, flags, and any attributes."""

    _to_save: tuple = ()
    _dirty: tuple = ()
    _plain: tuple = ()
    _materialize: bool = True
    needs_input_grad: tuple[bool, ...] = ()
    _node: Any = None

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep input or output tensors for ``backward`` (read them as ``ctx.saved_tensors``)."""
        self._to_save = tensors

    save_for_forward = save_for_backward

    @property
    def saved_tensors(self) -> tuple:
        """What ``save_for_backward`` kept; raises if one was changed in place since."""
        return self._node.unpack()

    saved_variables = saved_tensors

    def mark_dirty(self, *tensors: Tensor) -> None:
        """These inputs were changed in place in ``forward`` (and are returned)."""
        self._dirty = tensors

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """These outputs have no gradient."""
        self._plain = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """With False, gradients of unused outputs arrive in ``backward`` as None, not zeros."""
        self._materialize = value


class _UserNode(Node):
    """The tape node of a Function call; ``backward`` is the user's."""

    __slots__ = ("ctx", "function", "specs")

    def __repr__(self) -> str:
        return f"<torch.autograd.function.{self.name()} object at {hex(id(self))}>"

    def backward(self, grads: tuple) -> tuple:
        ctx = self.ctx
        if self.released:
            self.unpack()
        if ctx._materialize:
            grads = tuple(
                g if g is not None or spec.dtype.category < 2 else _zeros(spec)
                for g, spec in zip(grads, self.specs, strict=True)
            )
        results = self.function.backward(ctx, *grads)
        if not isinstance(results, (tuple, list)):
            results = (results,)
        results = tuple(results)
        name = self.name()
        extra = results[len(self.edges) :]
        if len(results) < len(self.edges) or any(r is not None for r in extra):
            raise RuntimeError(
                f"function {name} returned an incorrect number of gradients (expected "
                f"{len(self.edges)}, got {len(results)})"
            )
        checked: list[Any] = []
        for i, (edge, r) in enumerate(zip(self.edges, results, strict=False)):
            if edge is None:
                # Nobody receives it, but hooks of the node see it.
                checked.append(r if isinstance(r, Tensor) else None)
                continue
            if r is not None and not isinstance(r, Tensor):
                raise TypeError(f"expected Variable or None (got {type(r).__name__})")
            spec = self.call.specs[i] if i < len(self.call.specs) else None
            if r is not None and spec is not None and r._spec.shape != spec.shape:
                try:
                    r = r._reduce_to(spec.shape, spec.dtype)  # type: ignore[attr-defined]
                except Exception:
                    r = None
                if r is None or r._spec.shape != spec.shape:
                    raise RuntimeError(
                        f"Function {name} returned an invalid gradient at index {i} - got "
                        f"{list(results[i].shape)} but expected shape compatible with "
                        f"{list(spec.shape)}"
                    )
            checked.append(r)
        return tuple(checked)

    def release(self) -> None:
        if self.saved:
            self.saved, self.versions = (), ()
            self.released = True


def _zeros(spec: Any) -> Tensor:
    from cresset.core.spec import dense
    from cresset.ops.inplace import filled

    return filled(0, dense(spec.dtype, spec.shape, spec.device))


class Function(FunctionCtx):
    """Subclass with static ``forward(ctx, ...)`` and ``backward(ctx, *grads)``; call ``apply``.

    >>> import cresset as torch
    >>> class Exp(torch.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         y = x.exp()
    ...         ctx.save_for_backward(y)
    ...         return y
    ...     @staticmethod
    ...     def backward(ctx, g):
    ...         y, = ctx.saved_tensors
    ...         return g * y
    >>> x = torch.zeros(1, requires_grad=True)
    >>> Exp.apply(x).backward()
    >>> x.grad
    tensor([1.])
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        warnings.warn(
            f"{type(self)} should not be instantiated. Methods on autograd functions are all "
            "static, so you should invoke them on the class itself. Instantiating an autograd "
            "function will raise an error in a future version of PyTorch.",
            DeprecationWarning,
            stacklevel=2,
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(
            "Legacy autograd function with non-static forward method is deprecated. Please use "
            "new-style autograd function with static forward method. (Example: "
            "https://pytorch.org/docs/stable/autograd.html#torch.autograd.Function)"
        )

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(
            "You must implement the forward function for custom autograd.Function."
        )

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        raise NotImplementedError(
            "You must implement either the backward or vjp method for your custom "
            "autograd.Function to use it with backward mode AD."
        )

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Run ``forward`` and record ``backward``."""
        ctx = FunctionCtx()
        ctx.__class__ = type(cls.__name__ + "Context", (FunctionCtx,), {})
        tensors = [a if isinstance(a, Tensor) else None for a in args]
        ctx.needs_input_grad = tuple(isinstance(a, Tensor) and a._requires_grad for a in args)
        separate = "setup_context" in _own_names(cls)
        grad, THREAD.grad = THREAD.grad, False
        try:
            if separate:
                result = cls.forward(*args, **kwargs)
                cls.setup_context(ctx, args, result)  # type: ignore[attr-defined]
            else:
                result = cls.forward(ctx, *args, **kwargs)
        finally:
            THREAD.grad = grad
        many = isinstance(result, (tuple, list))
        outs = list(result) if many else [result]
        if not (grad and any(ctx.needs_input_grad)):
            ctx._node = _Kept(ctx)
            return result
        outs = _attach(cls, ctx, args, tensors, outs)
        return tuple(outs) if many else outs[0]


class _Kept:
    """Saved tensors of a call that is not on the tape."""

    def __init__(self, ctx: FunctionCtx) -> None:
        self.tensors = ctx._to_save

    def unpack(self) -> tuple:
        return tuple(self.tensors)


def _own_names(cls: type) -> set[str]:
    names: set[str] = set()
    for base in cls.__mro__:
        if base is Function:
            break
        names.update(vars(base))
    return names


def _attach(cls: Any, ctx: FunctionCtx, args: tuple, tensors: list, outs: list) -> list:
    """Put the node on the tape; give the outputs their history."""
    op = Op(cls.__name__, None, vjp=(), family="user", grad_name=cls.__name__ + "Backward")
    op.node_class = type(cls.__name__ + "Backward", (_UserNode,), {"__slots__": ()})
    inputs = {id(t): t for t in tensors if t is not None}
    dirty = {id(t) for t in ctx._dirty}
    for t in ctx._dirty:
        if t._requires_grad and t.grad_fn is None:
            raise RuntimeError(
                "a leaf Variable that requires grad is being used in an in-place operation."
            )
    fresh = []
    for out in outs:
        if not isinstance(out, Tensor):
            fresh.append(out)
        elif id(out) in dirty:
            fresh.append(out)
        elif id(out) in inputs:
            fresh.append(view_of(out, out._spec))  # an input returned as it is: a view of it
        else:
            fresh.append(out if out._grad_fn is None else out._alias())
    real = [o for o in fresh if isinstance(o, Tensor)]
    plain = {id(t) for t in ctx._plain}
    specs = tuple(t._spec if t is not None else _NO_SPEC for t in tensors)
    call = Call(op, (), specs, Result(tuple(o._spec for o in real)))
    holders = tuple(_operand(a) for a in args)
    stand_ins = tuple(o._alias() for o in real)
    node = new_node(op, call, holders, stand_ins)
    node.ctx, node.function = ctx, cls
    node.specs = tuple(o._spec for o in real)
    ctx._node = node
    _save(ctx, node, outs, fresh)
    number = 0
    for original, out in zip(outs, fresh, strict=True):
        if not isinstance(out, Tensor):
            continue
        if id(original) not in plain and out._spec.dtype.category >= 2:
            if id(original) in dirty and out._base is not None:
                out._base._generation += 1
                out._base_generation = out._base._generation
            elif id(original) not in dirty and out._base is not None:
                name = (number, cls.__name__)
                out._sibling = name if len(real) > 1 else (*name, True)
            out._grad_fn, out._output_nr, out._requires_grad = node, number, True
        number += 1
    return fresh


class _NoSpec:
    """What stands for the spec of an argument that is not a tensor."""

    shape = None
    number = "of any type"


_NO_SPEC: Any = _NoSpec()


def _operand(a: Any) -> Any:
    """A stand-in for an argument with its present edge (the argument may be changed in place)."""
    if not isinstance(a, Tensor) or not a._requires_grad:
        return a
    edge = edge_of(a)
    assert edge is not None
    if edge[0] is a:
        return a
    holder = a._alias()
    holder._requires_grad = True
    holder._grad_fn, holder._output_nr = edge
    return holder


def _save(ctx: FunctionCtx, node: Any, outs: list, fresh: list) -> None:
    saved, versions, save = [], [], []
    positions = {id(o): i for i, o in enumerate(outs) if isinstance(o, Tensor)}
    for t in ctx._to_save:
        if t is not None and not isinstance(t, Tensor):
            raise TypeError(f"save_for_backward can only save variables, but argument 0 is of type "
                            f"{type(t).__name__}")  # fmt: skip
        if t is not None and id(t) in positions:
            save.append(-1 - positions[id(t)])
            t = t._alias()
        else:
            save.append(_KEEP)
        saved.append(t)
        versions.append(0 if t is None else t._version)
    node.saved, node.versions = tuple(saved), tuple(versions)
    node.op.save = tuple(save)
    # Inputs are returned as they were saved; outputs get this node as their history.
    node.edges = node.edges + ()


_KEEP = 10**6


def _with_history(self: Any, i: int, tensor: Any) -> Any:
    if self.op.save[i] == _KEEP:
        return tensor
    return Node._with_history(self, i, tensor)


_UserNode._with_history = _with_history  # type: ignore[method-assign]


def once_differentiable(fn: Callable) -> Callable:
    """Marks a ``backward`` that cannot itself be differentiated."""

    @functools.wraps(fn)
    def wrapped(ctx: Any, *args: Any) -> Any:
        recording = THREAD.grad
        THREAD.grad = False
        try:
            results = fn(ctx, *args)
        finally:
            THREAD.grad = recording
        if not recording or not any(isinstance(a, Tensor) and a._requires_grad for a in args):
            return results
        many = isinstance(results, tuple)
        marked = [
            _Once.apply(r, *[a for a in args if isinstance(a, Tensor)])
            if isinstance(r, Tensor)
            else r
            for r in (results if many else (results,))
        ]
        return tuple(marked) if many else marked[0]

    return wrapped


class _Once(Function):
    """Carries a result whose derivative may not be asked for."""

    @staticmethod
    def forward(ctx: Any, result: Tensor, *args: Tensor) -> Tensor:
        return result.clone()  # type: ignore[attr-defined]

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        raise RuntimeError(
            "trying to differentiate twice a function that was marked with @once_differentiable"
        )


class InplaceFunction(Function):
    """Kept for old code: a Function with an ``inplace`` flag."""

    def __init__(self, inplace: bool = False) -> None:
        self.inplace = inplace
