"""Two classics: resilient propagation, and averaged stochastic gradient descent."""

from __future__ import annotations

from typing import Any

from cresset.dtypes import float32
from cresset.ops.creation import full_like, tensor, zeros_like
from cresset.optim.counted import CountedOptimizer, replace_number
from cresset.optim.optimizer import Optimizer, check, number
from cresset.tensor import Tensor


class Rprop(Optimizer):
    """Only the sign of the gradient counts; each element's step grows while the sign stays and
    shrinks when it changes (Riedmiller and Braun, 1993).

    >>> import cresset as torch
    >>> w = torch.tensor([1.], requires_grad=True)
    >>> opt = torch.optim.Rprop([w], lr=0.1)
    >>> (w * 3).sum().backward(); opt.step(); w
    tensor([0.9000], requires_grad=True)
    """

    counts_steps = True

    def __init__(
        self, params: Any, lr: Any = 1e-2, etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50), *, capturable: bool = False,
        foreach: bool | None = None, maximize: bool = False, differentiable: bool = False,
    ) -> None:  # fmt: skip
        check(lr, "learning rate")
        if not 0.0 < etas[0] < 1.0 < etas[1]:
            raise ValueError(f"Invalid eta values: {etas[0]}, {etas[1]}")
        super().__init__(params, {
            "lr": lr, "etas": etas, "step_sizes": step_sizes, "foreach": foreach,
            "maximize": maximize, "differentiable": differentiable, "capturable": capturable,
        })  # fmt: skip

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("prev", "step_size")

    def _new_state(self, p: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        lr = number(group["lr"])
        first = complex(lr, lr) if p.is_complex() else lr
        return {"prev": zeros_like(p.detach()), "step_size": full_like(p.detach(), first)}

    def _static(self, group: dict[str, Any]) -> tuple:
        return (group["maximize"],)

    def _numbers(self, group: dict[str, Any], step: int) -> tuple:
        return (*map(float, group["etas"]), *map(float, group["step_sizes"]))

    @staticmethod
    def _update(xp: Any, p: Any, g: Any, state: tuple, numbers: tuple, static: tuple) -> tuple:
        shrink, grow, least, most = numbers
        if static[0]:
            g = -g
        before, size = state
        turn = g * before
        factor = xp.where(turn > 0, grow, xp.where(turn < 0, shrink, 1.0)).astype(p.dtype)
        size = xp.clip(size * factor, least, most)
        g = xp.where(turn < 0, xp.zeros_like(g), g)
        sign = (g > 0).astype(p.dtype) - (g < 0).astype(p.dtype)  # 0 for NaN
        return p - sign * size, g, size


class ASGD(CountedOptimizer):
    """Gradient descent with a shrinking rate, and the average ``ax`` of all points from step
    ``t0`` on (Polyak and Juditsky, 1992).

    >>> import cresset as torch
    >>> w = torch.tensor([1.], requires_grad=True)
    >>> opt = torch.optim.ASGD([w], lr=0.1)
    >>> (w * 3).sum().backward(); opt.step(); w
    tensor([0.7000], requires_grad=True)
    """

    def __init__(
        self, params: Any, lr: Any = 1e-2, lambd: float = 1e-4, alpha: float = 0.75,
        t0: float = 1e6, weight_decay: float = 0, foreach: bool | None = None,
        maximize: bool = False, differentiable: bool = False, capturable: bool = False,
    ) -> None:  # fmt: skip
        check(lr, "learning rate")
        check(weight_decay, "weight_decay value")
        super().__init__(params, {
            "lr": lr, "lambd": lambd, "alpha": alpha, "t0": t0, "weight_decay": weight_decay,
            "foreach": foreach, "maximize": maximize, "differentiable": differentiable,
            "capturable": capturable,
        })  # fmt: skip

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("ax",)

    def _new_state(self, p: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        rate = tensor(number(group["lr"]), dtype=float32)
        return {"eta": rate, "mu": tensor(1.0, dtype=float32), "ax": zeros_like(p.detach())}

    def _static(self, group: dict[str, Any]) -> tuple:
        return (group["maximize"], group["weight_decay"] != 0)

    def _turn(self, state: dict[str, Any], group: dict[str, Any], step: int) -> tuple:
        lr, lambd = number(group["lr"]), group["lambd"]
        eta, mu = state["eta"].item(), state["mu"].item()
        replace_number(state["eta"], lr / (1 + lambd * lr * step) ** group["alpha"])
        replace_number(state["mu"], 1 / max(1, step - group["t0"]))
        return (eta, mu, float(lambd), float(group["weight_decay"]))

    @staticmethod
    def _update(xp: Any, p: Any, g: Any, state: tuple, numbers: tuple, static: tuple) -> tuple:
        eta, mu, lambd, decay = numbers
        maximize, has_decay = static
        if maximize:
            g = -g
        if has_decay:
            g = g + p * decay
        (average,) = state
        p = p * (1 - lambd * eta) - eta * g
        return p, average + (p - average) * mu if mu != 1 else p.copy()
