"""The second tier: plans that came back become machine code.

``compile_plan`` takes a program and its reference plan and gives a plan with the same ``run``. The
stages, in the order of ``build``: ``simplify`` drops steps that others make unnecessary; ``fusion``
makes neighbours one step; a *lowering* says how a step becomes loops (``lowerings`` lists them by
op); ``memory`` gives values their places; ``code`` writes kernels as LLVM IR, ``kernels`` has those
that plans share; ``host`` turns the text into machine code, which ``cache`` keeps on disk;
``segments`` tells which kernels follow one another, and runs them on one thread or on those of
``threads``. A step without a lowering runs its reference kernel between segments.

To look at it: ``report()`` tells the last plan's kernels and their times, ``explain(f, x)`` shows a
function at every stage, ``CRESSET_DEBUG=1..4`` prints the stages of whatever is compiled.

The names that PyTorch's ``torch.compiler`` has for guiding its tracer are accepted; there is no
tracer to guide.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cresset.compiler.explain import Explanation, explain
from cresset.compiler.native import compile_plan
from cresset.compiler.report import Kernel, Report, report
from cresset.core.graph import RECORDER

__all__ = [
    "Explanation", "Kernel", "Report", "allow_in_graph", "compile_plan",
    "cudagraph_mark_step_begin", "disable", "explain", "is_compiling", "is_dynamo_compiling",
    "is_exporting", "list_backends", "report", "reset",
]  # fmt: skip


def is_compiling() -> bool:
    """False: a function given to ``torch.compile`` runs as ordinary Python."""
    return False


is_dynamo_compiling = is_exporting = is_compiling


def disable(fn: Callable[..., Any] | None = None, recursive: bool = True, **others: Any) -> Any:
    """``fn`` itself, or a decorator that gives it back: no tracer is there to be kept out."""
    return (lambda given: given) if fn is None else fn


def allow_in_graph(fn: Callable[..., Any]) -> Callable[..., Any]:
    """``fn`` itself: everything is in the graph."""
    return fn


def reset() -> None:
    """Forget all plans; those of programs that come back are built and compiled anew."""
    RECORDER.cache.clear()


def list_backends(exclude_tags: tuple[str, ...] = ("debug", "experimental")) -> list[str]:
    """What ``torch.compile(backend=...)`` may name."""
    return ["inductor"]


def cudagraph_mark_step_begin() -> None:
    """Nothing: there are no CUDA graphs."""
