"""Adam with Nesterov momentum, and Adam with a rectified start."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from cresset.dtypes import float32
from cresset.ops.creation import tensor
from cresset.optim.adam import _check_betas, averaged, decayed
from cresset.optim.counted import CountedOptimizer, replace_number
from cresset.optim.optimizer import Optimizer, check, number
from cresset.tensor import Tensor


class NAdam(CountedOptimizer):
    """``p <- p - lr ((1 - mu_t) g / (1 - prod mu) + mu_(t+1) m / (1 - prod mu mu_(t+1))) / size``
    with ``mu_t = b1 (1 - 0.96^(t momentum_decay) / 2)`` and Adam's m and size (Dozat, 2016).

    >>> import cresset as torch
    >>> w = torch.tensor([1.], requires_grad=True)
    >>> opt = torch.optim.NAdam([w], lr=0.1)
    >>> (w * 3).sum().backward(); opt.step(); w
    tensor([0.8944], requires_grad=True)
    """

    def __init__(
        self, params: Any, lr: Any = 2e-3, betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8, weight_decay: float = 0, momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False, *, foreach: bool | None = None,
        maximize: bool = False, capturable: bool = False, differentiable: bool = False,
    ) -> None:  # fmt: skip
        check(lr, "learning rate")
        check(eps, "epsilon value")
        _check_betas(betas)
        check(weight_decay, "weight_decay value")
        check(momentum_decay, "momentum_decay value")
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
            "momentum_decay": momentum_decay, "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize, "foreach": foreach, "capturable": capturable,
            "differentiable": differentiable,
        })  # fmt: skip

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq")

    def _new_state(self, p: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        return {"mu_product": tensor(1.0, dtype=float32), **super()._new_state(p, group)}

    def _static(self, group: dict[str, Any]) -> tuple:
        return (group["maximize"], group["weight_decay"] != 0, group["decoupled_weight_decay"])

    def _turn(self, state: dict[str, Any], group: dict[str, Any], step: int) -> tuple:
        b1, b2 = (number(b) for b in group["betas"])
        lr, decay = number(group["lr"]), group["momentum_decay"]
        mu, following = (b1 * (1 - 0.5 * 0.96 ** ((step + k) * decay)) for k in (0, 1))
        held = state["mu_product"]
        # The product of two float32 numbers, as PyTorch multiplies its tensor by a number.
        replace_number(held, held.item() * float(np.float32(mu)))
        product = held.item()
        return (
            lr, b1, b2, float(group["eps"]), float(group["weight_decay"]), 1 - b2**step,
            lr * (1 - mu) / (1 - product), lr * following / (1 - product * following),
        )  # fmt: skip

    @staticmethod
    def _update(xp: Any, p: Any, g: Any, state: tuple, numbers: tuple, static: tuple) -> tuple:
        lr, b1, b2, eps, decay, correction, for_gradient, for_average = numbers
        p, g = decayed(p, g, lr, decay, static)
        m, v = state
        m, v = averaged(g, m, v, b1, b2)
        size = xp.sqrt(v / correction) + eps
        return p - for_gradient * (g / size) - for_average * (m / size), m, v


class RAdam(Optimizer):
    """Adam whose adaptive size is used once its variance is known: from a length
    ``rho_t > 5`` of its average on (Liu et al., 2019); momentum alone before.

    >>> import cresset as torch
    >>> w = torch.tensor([1.], requires_grad=True)
    >>> opt = torch.optim.RAdam([w], lr=0.1)
    >>> (w * 3).sum().backward(); opt.step(); w
    tensor([0.7000], requires_grad=True)
    """

    counts_steps = True

    def __init__(
        self, params: Any, lr: Any = 1e-3, betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8, weight_decay: float = 0, decoupled_weight_decay: bool = False, *,
        foreach: bool | None = None, maximize: bool = False, capturable: bool = False,
        differentiable: bool = False,
    ) -> None:  # fmt: skip
        check(lr, "learning rate")
        check(eps, "epsilon value")
        _check_betas(betas)
        check(weight_decay, "weight_decay value")
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
            "maximize": maximize, "foreach": foreach, "capturable": capturable,
            "decoupled_weight_decay": decoupled_weight_decay, "differentiable": differentiable,
        })  # fmt: skip

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq")

    def _static(self, group: dict[str, Any]) -> tuple:
        return (group["maximize"], group["weight_decay"] != 0, group["decoupled_weight_decay"])

    def _numbers(self, group: dict[str, Any], step: int) -> tuple:
        b1, b2 = (number(b) for b in group["betas"])
        correction = 1 - b2**step
        longest = 2 / (1 - b2) - 1
        length = longest - 2 * step * b2**step / correction
        scale = 0.0
        if length > 5.0:
            gain = (length - 4) * (length - 2) * longest
            scale = math.sqrt(correction * gain / ((longest - 4) * (longest - 2) * length))
        return (number(group["lr"]), b1, b2, float(group["eps"]), float(group["weight_decay"]),
                1 - b1**step, scale)  # fmt: skip

    @staticmethod
    def _update(xp: Any, p: Any, g: Any, state: tuple, numbers: tuple, static: tuple) -> tuple:
        lr, b1, b2, eps, decay, correction, scale = numbers
        p, g = decayed(p, g, lr, decay, static)
        m, v = state
        m, v = averaged(g, m, v, b1, b2)
        move = m / correction * lr
        if scale > 0:
            move = move * (scale / (xp.sqrt(v) + eps))
        return p - move, m, v
