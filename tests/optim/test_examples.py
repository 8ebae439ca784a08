"""The examples in the docstrings of optimisers and schedules run and print what they say."""

from __future__ import annotations

import doctest
import importlib

import pytest

MODULES = [
    "sgd", "adam", "adaptive", "lbfgs", "nadam", "rprop", "swa_utils",
    "lr_scheduler.cycles", "lr_scheduler.factors", "lr_scheduler.plateau",
]  # fmt: skip


@pytest.mark.parametrize("name", MODULES)
def test_examples_print_what_they_say(name: str) -> None:
    result = doctest.testmod(importlib.import_module(f"cresset.optim.{name}"))
    assert result.attempted > 0 and result.failed == 0
