"""``torch.compile``: compiling at the first call instead of when a program comes back.

Everything that runs a few times is compiled without being asked. What ``compile`` adds is that the
plan a call becomes part of is machine code the first time it runs, so that its speed can be
measured at once.
"""

from __future__ import annotations

from typing import Any

from cresset.core.urgent import at_first_sight


def compile(
    model: Any = None, *, fullgraph: bool = False, dynamic: bool | None = None,
    backend: Any = None, mode: str | None = None, options: dict[str, Any] | None = None,
    name: str | None = None, disable: bool = False, **others: Any,
) -> Any:  # fmt: skip
    """A function or module whose calls are compiled from the first one on; a decorator too.

    The call is recorded as any other; the plan that computes it, with what is recorded before the
    next look at a value, becomes machine code at first sight. ``disable`` gives ``model`` back
    unchanged. The other arguments are PyTorch's and do nothing: there is one compiler, it always
    sees whole programs, and every shape has a plan of its own.

    >>> import cresset as torch
    >>> @torch.compile
    ... def f(x):
    ...     return (x * 2 + 1).relu().sum()
    >>> f(torch.ones(3))
    tensor(9.)
    """
    if mode is not None and options is not None:
        raise RuntimeError(
            "Either mode or options can be specified, but both can't be specified at the same time."
        )
    if model is None:
        return lambda given: compile(given, disable=disable)
    if not callable(model):
        raise AssertionError(f"A callable function is expected, but {type(model)} is provided.")
    if disable:
        return model
    from cresset.nn.module import Module

    if isinstance(model, Module):
        from cresset.nn.optimized import OptimizedModule

        return OptimizedModule(model)
    return at_first_sight(model)
