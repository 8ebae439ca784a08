"""Adam and its relatives."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from cresset.optim.optimizer import Optimizer, check, number


def _check_betas(betas: tuple[float, float]) -> None:
    for i, beta in enumerate(betas):
        if not 0.0 <= number(beta) < 1.0:
            raise ValueError(f"Invalid beta parameter at index {i}: {beta}")


def decayed(p: Any, g: Any, lr: float, decay: float, static: tuple) -> tuple[Any, Any]:
    """Parameter and gradient after weight decay.

    ``static`` is (maximize, whether there is decay, whether it is apart from the gradient).
    """
    maximize, has_decay, decoupled = static
    if maximize:
        g = -g
    if has_decay:
        if decoupled:
            p = p * (1 - lr * decay)
        else:
            g = g + p * decay
    return p, g


def averaged(g: Any, m: Any, v: Any, b1: float, b2: float) -> tuple[Any, Any]:
    """The running averages of the gradient and of its square."""
    return m + (g - m) * (1 - b1), v * b2 + (g * g) * (1 - b2)


class Adam(Optimizer):
    """``m <- b1 m + (1 - b1) g``, ``v <- b2 v + (1 - b2) g^2``,
    ``p <- p - lr * m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps)`` (Kingma and Ba, 2014).

    ``amsgrad`` divides by the largest v so far. Weight decay is added to the gradient.

    >>> import cresset as torch
    >>> w = torch.tensor([1.], requires_grad=True)
    >>> opt = torch.optim.Adam([w], lr=0.1)
    >>> (w * 3).sum().backward(); opt.step(); w
    tensor([0.9000], requires_grad=True)
    """

    counts_steps = True
    decoupled: ClassVar[bool] = False

    def __init__(
        self, params: Any, lr: Any = 1e-3, betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8, weight_decay: float = 0, amsgrad: bool = False, *,
        foreach: bool | None = None, maximize: bool = False, capturable: bool = False,
        differentiable: bool = False, fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:  # fmt: skip
        check(lr, "learning rate")
        check(eps, "epsilon value")
        _check_betas(betas)
        check(weight_decay, "weight_decay value")
        defaults = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad,
            "maximize": maximize, "foreach": foreach, "capturable": capturable,
            "differentiable": differentiable, "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay or self.decoupled,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        names = ("exp_avg", "exp_avg_sq")
        return (*names, "max_exp_avg_sq") if group["amsgrad"] else names

    def _static(self, group: dict[str, Any]) -> tuple:
        return (group["maximize"], group["weight_decay"] != 0, group["decoupled_weight_decay"])

    def _numbers(self, group: dict[str, Any], step: int) -> tuple:
        b1, b2 = (number(b) for b in group["betas"])
        lr = number(group["lr"])
        return (lr, b1, b2, float(group["eps"]), float(group["weight_decay"]),
                lr / (1 - b1**step), math.sqrt(1 - b2**step))  # fmt: skip

    @staticmethod
    def _update(xp: Any, p: Any, g: Any, state: tuple, numbers: tuple, static: tuple) -> tuple:
        lr, b1, b2, eps, decay, step_size, root_correction = numbers
        p, g = decayed(p, g, lr, decay, static)
        m, v, *most = state
        m, v = averaged(g, m, v, b1, b2)
        if most:
            most = [xp.maximum(most[0], v)]
        size = xp.sqrt(most[0] if most else v) / root_correction + eps
        return (p - step_size * (m / size), m, v, *most)


class AdamW(Adam):
    """Adam with weight decay apart from the gradient (Loshchilov and Hutter, 2017).

    >>> import cresset as torch
    >>> w = torch.tensor([1.], requires_grad=True)
    >>> opt = torch.optim.AdamW([w], lr=0.1)
    >>> (w * 3).sum().backward(); opt.step(); w
    tensor([0.8990], requires_grad=True)
    """

    decoupled = True

    def __init__(
        self, params: Any, lr: Any = 1e-3, betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8, weight_decay: float = 1e-2, amsgrad: bool = False, *,
        maximize: bool = False, foreach: bool | None = None, capturable: bool = False,
        differentiable: bool = False, fused: bool | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            params, lr, betas, eps, weight_decay, amsgrad, foreach=foreach, maximize=maximize,
            capturable=capturable, differentiable=differentiable, fused=fused,
        )  # fmt: skip


class Adamax(Optimizer):
    """Adam with the infinity norm: ``u <- max(b2 u, |g| + eps)`` (Kingma and Ba, 2014).

    >>> import cresset as torch
    >>> w = torch.tensor([1.], requires_grad=True)
    >>> opt = torch.optim.Adamax([w], lr=0.1)
    >>> (w * 3).sum().backward(); opt.step(); w
    tensor([0.9000], requires_grad=True)
    """

    counts_steps = True

    def __init__(
        self, params: Any, lr: Any = 2e-3, betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8, weight_decay: float = 0, foreach: bool | None = None, *,
        maximize: bool = False, differentiable: bool = False, capturable: bool = False,
    ) -> None:  # fmt: skip
        check(lr, "learning rate")
        check(eps, "epsilon value")
        _check_betas(betas)
        check(weight_decay, "weight_decay value")
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "foreach": foreach,
            "maximize": maximize, "differentiable": differentiable, "capturable": capturable,
        })  # fmt: skip

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("exp_avg", "exp_inf")

    def _static(self, group: dict[str, Any]) -> tuple:
        return (group["maximize"], group["weight_decay"] != 0)

    def _numbers(self, group: dict[str, Any], step: int) -> tuple:
        b1, b2 = group["betas"]
        return (b1, b2, float(group["eps"]), float(group["weight_decay"]),
                number(group["lr"]) / (1 - b1**step))  # fmt: skip

    @staticmethod
    def _update(xp: Any, p: Any, g: Any, state: tuple, numbers: tuple, static: tuple) -> tuple:
        b1, b2, eps, decay, step_size = numbers
        maximize, has_decay = static
        if maximize:
            g = -g
        if has_decay:
            g = g + p * decay
        m, u = state
        m = m + (g - m) * (1 - b1)
        u = xp.maximum(u * b2, xp.abs(g) + eps)
        return p - step_size * (m / u), m, u
