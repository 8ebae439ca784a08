"""Averages of weights over training: equal ones (SWA) or fading ones (EMA).

``AveragedModel`` holds a copy of a model whose parameters follow the model's by an averaging
function; ``SWALR`` anneals to the constant rate at which one averages; ``update_bn`` gives the
averaged model statistics of its own (Izmailov et al., 2018).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable
from copy import deepcopy
from itertools import chain
from typing import Any

from cresset import dtypes
from cresset.autograd.grad_mode import no_grad
from cresset.nn.batchnorm import _BatchNorm
from cresset.nn.module import Module
from cresset.ops.creation import tensor
from cresset.optim.lr_scheduler.base import LRScheduler, per_group
from cresset.optim.optimizer import Optimizer
from cresset.tensor import Tensor

__all__ = [
    "SWALR", "AveragedModel", "get_ema_avg_fn", "get_ema_multi_avg_fn", "get_swa_avg_fn",
    "get_swa_multi_avg_fn", "update_bn",
]  # fmt: skip


def _check_decay(decay: float) -> None:
    if decay < 0.0 or decay > 1.0:
        raise ValueError(
            f"Invalid decay value {decay} provided. Please provide a value in [0,1] range."
        )


def get_ema_avg_fn(decay: float = 0.999) -> Callable[..., Any]:
    """``decay * average + (1 - decay) * current``, for one parameter.

    >>> import cresset as torch
    >>> torch.optim.swa_utils.get_ema_avg_fn(0.9)(torch.tensor(1.), torch.tensor(2.), 5)
    tensor(1.1000)
    """
    _check_decay(decay)

    @no_grad()
    def ema_update(ema_param: Any, current_param: Any, num_averaged: Any) -> Any:
        return decay * ema_param + (1 - decay) * current_param

    return ema_update


def get_swa_avg_fn() -> Callable[..., Any]:
    """The mean of all parameters so far: ``average + (current - average) / (n + 1)``."""

    @no_grad()
    def swa_update(averaged_param: Any, current_param: Any, num_averaged: Any) -> Any:
        return averaged_param + (current_param - averaged_param) / (num_averaged + 1)

    return swa_update


def _in_place(one: Callable[..., Any]) -> Callable[..., None]:
    """The averaging of lists in place, from that of one parameter."""

    @no_grad()
    def every(averaged: list[Any], current: list[Any], num_averaged: Any) -> None:
        for a, c in zip(averaged, current, strict=True):
            a.copy_(one(a, c, num_averaged))

    return every


def get_ema_multi_avg_fn(decay: float = 0.999) -> Callable[..., None]:
    """``get_ema_avg_fn`` for lists of parameters, in place."""
    return _in_place(get_ema_avg_fn(decay))


def get_swa_multi_avg_fn() -> Callable[..., None]:
    """``get_swa_avg_fn`` for lists of parameters, in place."""
    return _in_place(get_swa_avg_fn())


class AveragedModel(Module):
    """A copy of ``model`` that ``update_parameters`` moves towards its running average.

    Args:
        avg_fn: ``avg_fn(average, current, n_averaged)`` of one parameter; the mean by default.
        multi_avg_fn: the same for lists, in place.
        use_buffers: average buffers too, instead of copying them.

    >>> import cresset as torch
    >>> model = torch.nn.Linear(1, 1, bias=False)
    >>> mean = torch.optim.swa_utils.AveragedModel(model)
    >>> for value in (1.0, 3.0):
    ...     _ = torch.nn.init.constant_(model.weight, value)
    ...     mean.update_parameters(model)
    >>> mean.module.weight.item()
    2.0
    """

    n_averaged: Tensor

    def __init__(
        self, model: Module, device: Any = None, avg_fn: Callable[..., Any] | None = None,
        multi_avg_fn: Callable[..., None] | None = None, use_buffers: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError("Only one of avg_fn and multi_avg_fn should be provided")
        self.module = deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        self.register_buffer("n_averaged", tensor(0, dtype=dtypes.int64, device=device))
        self.avg_fn, self.multi_avg_fn, self.use_buffers = avg_fn, multi_avg_fn, use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)

    def update_parameters(self, model: Module) -> None:
        """Take ``model``'s present parameters into the average; the first ones are copied."""
        mine: Iterable[Any] = self.module.parameters()
        others: Iterable[Any] = model.parameters()
        if self.use_buffers:
            mine = chain(mine, self.module.buffers())
            others = chain(others, model.buffers())
        averaged = [a.detach() for a in mine]
        current = [c.detach().to(a.device) for a, c in zip(averaged, others, strict=True)]
        if int(self.n_averaged) == 0:
            for a, c in zip(averaged, current, strict=True):
                a.copy_(c)
        elif self.multi_avg_fn is not None:
            self.multi_avg_fn(averaged, current, self.n_averaged)
        elif self.avg_fn is not None:
            for a, c in zip(averaged, current, strict=True):
                a.copy_(self.avg_fn(a, c, self.n_averaged))
        else:
            get_swa_multi_avg_fn()(averaged, current, self.n_averaged)
        if not self.use_buffers:
            for a, c in zip(self.module.buffers(), model.buffers(), strict=True):
                a.detach().copy_(c.detach())
        self.n_averaged.add_(1)  # type: ignore[attr-defined]


@no_grad()
def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """One pass over ``loader``: batch normalisation gets the plain averages of its statistics.

    Batches are tensors, or lists whose first entry is the input.
    """
    momenta: dict[_BatchNorm, float | None] = {}
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.reset_running_stats()
            momenta[module] = module.momentum
    if not momenta:
        return
    was_training = model.training
    model.train()
    for module in momenta:
        module.momentum = None
    for batch in loader:
        x = batch[0] if isinstance(batch, (list, tuple)) else batch
        model(x if device is None else x.to(device))
    for module, momentum in momenta.items():
        module.momentum = momentum
    model.train(was_training)


class SWALR(LRScheduler):
    """Anneals every group's rate to ``swa_lr`` within ``anneal_epochs`` and keeps it there.

    ``anneal_strategy``: 'cos' or 'linear'.

    >>> import cresset as torch
    >>> opt = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    >>> schedule = torch.optim.swa_utils.SWALR(opt, 0.5, 2, "linear")
    >>> opt.step(); schedule.step(); schedule.get_last_lr()
    [0.75]
    """

    def __init__(
        self, optimizer: Optimizer, swa_lr: Any, anneal_epochs: int = 10,
        anneal_strategy: str = "cos", last_epoch: int = -1,
    ) -> None:  # fmt: skip
        for group, rate in zip(
            optimizer.param_groups, per_group(optimizer, swa_lr, "swa_lr"), strict=True
        ):
            group["swa_lr"] = rate
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(
                f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}"
            )
        self._anneal_strategy = anneal_strategy
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"anneal_epochs must be equal or greater than 0, got {anneal_epochs}")
        self.anneal_epochs = anneal_epochs
        super().__init__(optimizer, last_epoch)

    def anneal_func(self, t: float) -> float:
        """How far from the old rate (0) to the new one (1) at time ``t`` in [0, 1]."""
        return t if self._anneal_strategy == "linear" else (1 - math.cos(math.pi * t)) / 2

    def get_lr(self) -> list[Any]:
        if not self._get_lr_called_within_step:
            warnings.warn(
                "To get the last learning rate computed by the scheduler, please use "
                "`get_last_lr()`.",
                UserWarning,
                stacklevel=2,
            )
        step = max(self._step_count - 1, 0 if self.anneal_epochs else 1)
        epochs = max(1, self.anneal_epochs)
        before = self.anneal_func(max(0.0, min(1.0, (step - 1) / epochs)))
        now = self.anneal_func(max(0.0, min(1.0, step / epochs)))
        rates = []
        for group in self.optimizer.param_groups:
            # The rate at the start of the annealing, from the present one.
            start = (
                group["swa_lr"]
                if before == 1
                else (group["lr"] - before * group["swa_lr"]) / (1 - before)
            )
            rates.append(group["swa_lr"] * now + start * (1 - now))
        return rates
