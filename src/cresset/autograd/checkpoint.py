"""Checkpointing: forget a segment's activations and compute them again in backward."""

from __future__ import annotations

from typing import Any

from cresset.autograd import Function, backward, enable_grad
from cresset.core.modes import THREAD
from cresset.random.generator import default_generator
from cresset.tensor import Tensor


class _Recompute(Function):
    """Runs the segment off the tape; backward runs it again on the tape."""

    @staticmethod
    def forward(ctx: Any, function: Any, preserve: bool, *args: Any) -> Any:
        ctx.function, ctx.preserve = function, preserve
        ctx.state = default_generator._get_state_array() if preserve else None
        ctx.plain = [None if isinstance(a, Tensor) else a for a in args]
        ctx.save_for_backward(*[a for a in args if isinstance(a, Tensor)])
        return function(*args)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple:
        saved = iter(ctx.saved_tensors)
        args = [next(saved).detach() if p is None else p for p in ctx.plain]
        for a, needed in zip(args, ctx.needs_input_grad[2:], strict=True):
            if needed:
                a.requires_grad_()
        now = default_generator._get_state_array()
        if ctx.preserve:
            default_generator._set_state_array(ctx.state)
        with enable_grad():
            outputs = ctx.function(*args)
        if ctx.preserve:
            default_generator._set_state_array(now)
        outs = outputs if isinstance(outputs, tuple) else (outputs,)
        pairs = [(o, g) for o, g in zip(outs, grads, strict=True)
                 if isinstance(o, Tensor) and o.requires_grad and g is not None]  # fmt: skip
        if not pairs:
            raise RuntimeError(
                "none of output has requires_grad=True, this checkpoint() is not necessary"
            )
        backward([o for o, _ in pairs], [g for _, g in pairs])
        return (None, None, *[a.grad if isinstance(a, Tensor) else None for a in args])


def checkpoint(
    function: Any, *args: Any, use_reentrant: bool | None = None, preserve_rng_state: bool = True,
    **kwargs: Any,
) -> Any:  # fmt: skip
    """``function(*args)`` without keeping what its backward needs: that is computed again.

    >>> import cresset as torch
    >>> x = torch.ones(2, requires_grad=True)
    >>> torch.utils.checkpoint.checkpoint(lambda x: x * x, x, use_reentrant=False).sum().backward()
    >>> x.grad
    tensor([2., 2.])
    """
    call = (lambda *a: function(*a, **kwargs)) if kwargs else function
    if not THREAD.grad:
        return call(*args)
    # Parameters inside the function need gradients even if no argument does: a token carries them.
    if not any(isinstance(a, Tensor) and a._requires_grad for a in args):
        return call(*args)
    return _Recompute.apply(call, preserve_rng_state, *args)


def checkpoint_sequential(functions: Any, segments: int, input: Any, use_reentrant: Any = None,
                          preserve_rng_state: bool = True) -> Any:  # fmt: skip
    """A sequential model cut into ``segments``, each checkpointed but the last."""
    modules = list(functions)
    size = len(modules) // segments

    def run(part: list) -> Any:
        def forward(x: Any) -> Any:
            for m in part:
                x = m(x)
            return x

        return forward

    end = 0
    for start in range(0, size * (segments - 1), size):
        end = start + size
        input = checkpoint(run(modules[start:end]), input, preserve_rng_state=preserve_rng_state)
    return run(modules[end:])(input)
