"""``torch.autograd.graph``: what happens to the tensors that nodes save, and the nodes' class."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cresset.core.modes import PROCESS, THREAD
from cresset.core.tape import Node
from cresset.tensor import Tensor


class saved_tensors_hooks:
    """Within the context, nodes keep ``pack_hook(x)`` of what they save; ``unpack_hook`` gives the
    tensor back when backward needs it. For saving on disk, say.

    >>> import cresset as torch
    >>> x = torch.tensor([3.0], requires_grad=True)
    >>> with torch.autograd.graph.saved_tensors_hooks(lambda t: t.tolist(), torch.tensor):
    ...     y = x * x
    >>> y.backward()
    >>> x.grad
    tensor([6.])
    """

    def __init__(
        self, pack_hook: Callable[[Tensor], Any], unpack_hook: Callable[[Any], Tensor]
    ) -> None:
        self.hooks = (pack_hook, unpack_hook)

    def __enter__(self) -> None:
        PROCESS.unusual = True
        self.previous = THREAD.saved_hooks
        THREAD.saved_hooks = self.hooks

    def __exit__(self, *exc: Any) -> None:
        THREAD.saved_hooks = self.previous


class save_on_cpu(saved_tensors_hooks):
    """Within the context, what nodes save waits in host memory."""

    def __init__(self, pin_memory: bool = False, device_type: str = "cuda") -> None:
        super().__init__(
            lambda x: (x.device, x.cpu()),  # type: ignore[attr-defined]
            lambda packed: packed[1].to(packed[0]),
        )


__all__ = ["Node", "save_on_cpu", "saved_tensors_hooks"]
