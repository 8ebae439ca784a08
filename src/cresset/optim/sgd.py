"""Stochastic gradient descent."""

from __future__ import annotations

from typing import Any

from cresset.optim.optimizer import Optimizer, check, number
from cresset.tensor import Tensor


class SGD(Optimizer):
    """``p <- p - lr * v`` with ``v <- momentum * v + (1 - dampening) * g``.

    ``weight_decay`` adds ``weight_decay * p`` to g first; ``nesterov`` uses ``g + momentum * v``;
    ``maximize`` climbs instead.

    >>> import cresset as torch
    >>> w = torch.tensor([1.], requires_grad=True)
    >>> opt = torch.optim.SGD([w], lr=0.1)
    >>> (w * 3).sum().backward(); opt.step(); w
    tensor([0.7000], requires_grad=True)
    """

    def __init__(
        self, params: Any, lr: Any = 1e-3, momentum: float = 0, dampening: float = 0,
        weight_decay: float = 0, nesterov: bool = False, *, maximize: bool = False,
        foreach: bool | None = None, differentiable: bool = False, fused: bool | None = None,
    ) -> None:  # fmt: skip
        if isinstance(lr, Tensor) and lr.numel() != 1:
            raise ValueError("Tensor lr must be 1-element")
        check(lr, "learning rate")
        check(momentum, "momentum value")
        check(weight_decay, "weight_decay value")
        defaults = {
            "lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay,
            "nesterov": nesterov, "maximize": maximize, "foreach": foreach,
            "differentiable": differentiable, "fused": fused,
        }  # fmt: skip
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        super().__init__(params, defaults)

    def _static(self, group: dict[str, Any]) -> tuple:
        return (group["momentum"] != 0, group["nesterov"], group["maximize"],
                group["weight_decay"] != 0)  # fmt: skip

    def _numbers(self, group: dict[str, Any], step: int) -> tuple:
        return (number(group["lr"]), float(group["momentum"]), float(group["dampening"]),
                float(group["weight_decay"]))  # fmt: skip

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("momentum_buffer",) if group["momentum"] != 0 else ()

    def _new_state(self, p: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        return {}  # the first step's buffer is the gradient itself

    @staticmethod
    def _update(xp: Any, p: Any, g: Any, state: tuple, numbers: tuple, static: tuple) -> tuple:
        lr, momentum, dampening, decay = numbers
        has_momentum, nesterov, maximize, has_decay = static
        if maximize:
            g = -g
        if has_decay:
            g = g + p * decay
        if not has_momentum:
            return (p - g * lr,)
        (buffer,) = state
        buffer = g.copy() if buffer is None else buffer * momentum + g * (1 - dampening)
        direction = g + buffer * momentum if nesterov else buffer
        return p - direction * lr, buffer
