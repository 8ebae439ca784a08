"""Learning rates per element: Adagrad, Adadelta, RMSprop."""

from __future__ import annotations

from typing import Any

from cresset.dtypes import float32
from cresset.ops.creation import full_like, tensor
from cresset.optim.optimizer import Optimizer, check, number
from cresset.tensor import Tensor


class Adagrad(Optimizer):
    """``s <- s + g^2``, ``p <- p - lr / (1 + (t - 1) lr_decay) * g / (sqrt(s) + eps)``
    (Duchi et al., 2011).

    >>> import cresset as torch
    >>> w = torch.tensor([1.], requires_grad=True)
    >>> opt = torch.optim.Adagrad([w], lr=0.1)
    >>> (w * 3).sum().backward(); opt.step(); w
    tensor([0.9000], requires_grad=True)
    """

    counts_steps = True

    def __init__(
        self, params: Any, lr: Any = 1e-2, lr_decay: float = 0, weight_decay: float = 0,
        initial_accumulator_value: float = 0, eps: float = 1e-10, foreach: bool | None = None, *,
        maximize: bool = False, differentiable: bool = False, fused: bool | None = None,
    ) -> None:  # fmt: skip
        check(lr, "learning rate")
        check(lr_decay, "lr_decay value")
        check(weight_decay, "weight_decay value")
        check(initial_accumulator_value, "initial_accumulator_value value")
        check(eps, "epsilon value")
        super().__init__(params, {
            "lr": lr, "lr_decay": lr_decay, "eps": eps, "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value, "foreach": foreach,
            "maximize": maximize, "differentiable": differentiable, "fused": fused,
        })  # fmt: skip
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p] = {
                    "step": tensor(0.0, dtype=float32), **self._new_state(p, group)
                }  # fmt: skip

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("sum",)

    def _new_state(self, p: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        return {"sum": full_like(p.detach(), group["initial_accumulator_value"])}

    def _static(self, group: dict[str, Any]) -> tuple:
        return (group["maximize"], group["weight_decay"] != 0)

    def _numbers(self, group: dict[str, Any], step: int) -> tuple:
        rate = number(group["lr"]) / (1 + (step - 1) * group["lr_decay"])
        return (rate, float(group["eps"]), float(group["weight_decay"]))

    @staticmethod
    def _update(xp: Any, p: Any, g: Any, state: tuple, numbers: tuple, static: tuple) -> tuple:
        rate, eps, decay = numbers
        maximize, has_decay = static
        if maximize:
            g = -g
        if has_decay:
            g = g + p * decay
        total = state[0] + g * g
        return p - rate * (g / (xp.sqrt(total) + eps)), total


class Adadelta(Optimizer):
    """Steps in units of the parameter: ``d = sqrt(a + eps) / sqrt(s + eps) * g``, with running
    means s of g^2 and a of d^2 (Zeiler, 2012).

    >>> import cresset as torch
    >>> w = torch.tensor([1.], requires_grad=True)
    >>> opt = torch.optim.Adadelta([w], lr=1.0)
    >>> (w * 3).sum().backward(); opt.step(); w
    tensor([0.9968], requires_grad=True)
    """

    counts_steps = True

    def __init__(
        self, params: Any, lr: Any = 1.0, rho: float = 0.9, eps: float = 1e-6,
        weight_decay: float = 0, foreach: bool | None = None, *, capturable: bool = False,
        maximize: bool = False, differentiable: bool = False,
    ) -> None:  # fmt: skip
        check(lr, "learning rate")
        if not 0.0 <= rho <= 1.0:
            raise ValueError(f"Invalid rho value: {rho}")
        check(eps, "epsilon value")
        check(weight_decay, "weight_decay value")
        super().__init__(params, {
            "lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize,
            "capturable": capturable, "foreach": foreach, "differentiable": differentiable,
        })  # fmt: skip

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("square_avg", "acc_delta")

    def _static(self, group: dict[str, Any]) -> tuple:
        return (group["maximize"], group["weight_decay"] != 0)

    def _numbers(self, group: dict[str, Any], step: int) -> tuple:
        return (number(group["lr"]), float(group["rho"]), float(group["eps"]),
                float(group["weight_decay"]))  # fmt: skip

    @staticmethod
    def _update(xp: Any, p: Any, g: Any, state: tuple, numbers: tuple, static: tuple) -> tuple:
        lr, rho, eps, decay = numbers
        maximize, has_decay = static
        if maximize:
            g = -g
        if has_decay:
            g = g + p * decay
        s, a = state
        s = s * rho + (g * g) * (1 - rho)
        d = xp.sqrt(a + eps) / xp.sqrt(s + eps) * g
        a = a * rho + (d * d) * (1 - rho)
        return p - d * lr, s, a


class RMSprop(Optimizer):
    """``s <- alpha s + (1 - alpha) g^2``, ``p <- p - lr * g / (sqrt(s) + eps)`` (Tieleman and
    Hinton, 2012); ``centered`` subtracts the squared mean gradient, ``momentum`` accumulates.

    >>> import cresset as torch
    >>> w = torch.tensor([1.], requires_grad=True)
    >>> opt = torch.optim.RMSprop([w], lr=0.01)
    >>> (w * 3).sum().backward(); opt.step(); w
    tensor([0.9000], requires_grad=True)
    """

    counts_steps = True

    def __init__(
        self, params: Any, lr: Any = 1e-2, alpha: float = 0.99, eps: float = 1e-8,
        weight_decay: float = 0, momentum: float = 0, centered: bool = False,
        capturable: bool = False, foreach: bool | None = None, maximize: bool = False,
        differentiable: bool = False,
    ) -> None:  # fmt: skip
        check(lr, "learning rate")
        check(eps, "epsilon value")
        check(momentum, "momentum value")
        check(weight_decay, "weight_decay value")
        check(alpha, "alpha value")
        super().__init__(params, {
            "lr": lr, "momentum": momentum, "alpha": alpha, "eps": eps, "centered": centered,
            "weight_decay": weight_decay, "capturable": capturable, "foreach": foreach,
            "maximize": maximize, "differentiable": differentiable,
        })  # fmt: skip

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        names: tuple[str, ...] = ("square_avg",)
        if group["momentum"] > 0:
            names += ("momentum_buffer",)
        return (*names, "grad_avg") if group["centered"] else names

    def _static(self, group: dict[str, Any]) -> tuple:
        return (group["maximize"], group["weight_decay"] != 0, group["momentum"] > 0,
                group["centered"])  # fmt: skip

    def _numbers(self, group: dict[str, Any], step: int) -> tuple:
        return (number(group["lr"]), float(group["alpha"]), float(group["eps"]),
                float(group["weight_decay"]), float(group["momentum"]))  # fmt: skip

    @staticmethod
    def _update(xp: Any, p: Any, g: Any, state: tuple, numbers: tuple, static: tuple) -> tuple:
        lr, alpha, eps, decay, momentum = numbers
        maximize, has_decay, has_momentum, centered = static
        if maximize:
            g = -g
        if has_decay:
            g = g + p * decay
        rest = list(state)
        s = rest.pop(0) * alpha + (g * g) * (1 - alpha)
        buffer = rest.pop(0) if has_momentum else None
        new = [s]
        spread = s
        if centered:
            average = rest.pop(0)
            average = average + (g - average) * (1 - alpha)
            spread = s - average * average
        size = xp.sqrt(spread) + eps
        if has_momentum:
            buffer = buffer * momentum + g / size
            p = p - buffer * lr
            new.append(buffer)
        else:
            p = p - lr * (g / size)
        if centered:
            new.append(average)
        return (p, *new)
