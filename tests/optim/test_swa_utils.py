"""Averaged models and the schedule that goes with them, beside PyTorch's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import cresset

from ..nn.beside import same_story

STORIES: dict[str, Callable[[Any], Any]] = {}


def story(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    STORIES[function.__name__] = function
    return function


def net(T: Any) -> Any:
    return T.nn.Sequential(T.nn.Linear(2, 3), T.nn.BatchNorm1d(3), T.nn.Linear(3, 1)).double()


def moved(T: Any, model: Any, averaged: Any, steps: int = 3) -> list[Any]:
    """Train a little, averaging after each step."""
    optimizer = T.optim.SGD(model.parameters(), lr=0.1)
    found = []
    for k in range(steps):
        x = T.arange(8.0, dtype=T.float64).view(4, 2) / 5 + k
        optimizer.zero_grad()
        model(x).square().sum().backward()
        optimizer.step()
        averaged.update_parameters(model)
        found += [averaged.n_averaged.item(), *(v.clone() for v in averaged.state_dict().values())]
    return found


@story
def the_mean_of_all_models(T: Any) -> Any:
    model = net(T)
    return moved(T, model, T.optim.swa_utils.AveragedModel(model))


@story
def a_fading_mean_with_buffers(T: Any) -> Any:
    model, swa = net(T), T.optim.swa_utils
    return moved(
        T, model,
        swa.AveragedModel(model, multi_avg_fn=swa.get_ema_multi_avg_fn(0.8), use_buffers=True),
    )  # fmt: skip


@story
def a_function_of_ones_own(T: Any) -> Any:
    model, seen = net(T), []

    def average(old: Any, new: Any, count: Any) -> Any:
        seen.append(int(count))
        return (old + 3 * new) / 4

    averaged = T.optim.swa_utils.AveragedModel(model, avg_fn=average)
    return moved(T, model, averaged), seen, list(averaged.state_dict()), averaged.module is model


@story
def averages_of_one_parameter(T: Any) -> Any:
    swa, a, b = T.optim.swa_utils, T.tensor([1.0, 2.0]), T.tensor([3.0, -2.0])
    lists = [a.clone()], [b]
    swa.get_swa_multi_avg_fn()(*lists, 4)
    swa.get_ema_multi_avg_fn(0.5)(*lists, 4)
    return swa.get_swa_avg_fn()(a, b, 3), swa.get_ema_avg_fn(0.75)(a, b, 3), lists


@story
def statistics_are_computed_anew(T: Any) -> Any:
    model = net(T).eval()
    batches = [T.arange(8.0, dtype=T.float64).view(4, 2) * k for k in (1, 2)]
    T.optim.swa_utils.update_bn(batches, model)
    first = [b.clone() for b in model.buffers()]
    model[1].momentum = 0.5
    T.optim.swa_utils.update_bn([(x, "label") for x in batches], model)
    return first, list(model.buffers()), model.training, model[1].momentum


@story
def a_model_without_normalisation_is_left_alone(T: Any) -> Any:
    return T.optim.swa_utils.update_bn(iter([1 / 2]), T.nn.Linear(1, 1))


def schedule(*args: Any, **options: Any) -> Callable[[Any], Any]:
    def told(T: Any) -> Any:
        a, b = (T.zeros(1, requires_grad=True) for _ in range(2))
        optimizer = T.optim.SGD([{"params": [a], "lr": 0.5}, {"params": [b]}], lr=1.0)
        rates = T.optim.swa_utils.SWALR(optimizer, *args, **options)
        found = [rates.get_last_lr()]
        for _ in range(6):
            optimizer.step()
            rates.step()
            found.append(rates.get_last_lr())
        return found

    return told


STORIES["cosine"] = schedule(0.05, 4)
STORIES["linear"] = schedule([0.05, 0.2], anneal_epochs=3, anneal_strategy="linear")
STORIES["at once"] = schedule(0.05, 0)
STORIES["a wrong strategy"] = schedule(0.05, anneal_strategy="x")
STORIES["wrong epochs"] = schedule(0.05, -1)
STORIES["too many rates"] = schedule([0.1, 0.2, 0.3])
STORIES["a wrong decay"] = lambda T: T.optim.swa_utils.get_ema_avg_fn(1.5)
STORIES["two functions"] = lambda T: T.optim.swa_utils.AveragedModel(
    T.nn.Linear(1, 1), avg_fn=print, multi_avg_fn=print
)


@pytest.mark.parametrize("name", STORIES)
def test_averaging_is_pytorchs(name: str) -> None:
    same_story(STORIES[name], warned=False)


def test_known_average() -> None:
    model = cresset.nn.Linear(1, 1, bias=False)
    mean = cresset.optim.swa_utils.AveragedModel(model)
    for value in (1.0, 2.0, 6.0):
        cresset.nn.init.constant_(model.weight, value)
        mean.update_parameters(model)
    assert mean.module.weight.item() == 3.0 and mean.n_averaged.item() == 3
