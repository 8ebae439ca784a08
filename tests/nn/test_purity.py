"""Which code only computes, told from its byte code: what is let through, and what is not."""

import functools
import math
import random
import sys
import time

import numpy as np
import pytest

import cresset as torch
import cresset.nn.functional as F
from cresset import nn
from cresset.nn.purity import holds, is_constant, is_watched, read_forwards

SIZES = (2, 3)
TABLE = {"scale": 2.0}
COUNTER = iter(range(100))


def helper(x):
    return torch.tanh(x) * 2


def noisy_helper(x):
    print(x.shape)
    return x


def with_memory(x, seen=[]):  # noqa: B006
    seen.append(1)
    return x


def reading(forward, **fields):
    """What is read of a module class with this ``forward``."""
    kind = type("Kind", (nn.Module,), {"forward": forward, **fields})
    return read_forwards(frozenset((kind,)))


FIT = {
    "operators": lambda self, x: (x + 1) * x @ x.t() - x**2 / 3,
    "functions": lambda self, x: F.relu(torch.cat([x, x], dim=1)),
    "methods": lambda self, x: x.view(x.size(0), -1).mean(dim=-1, keepdim=True),
    "a nested namespace": lambda self, x: torch.nn.functional.softmax(x, dim=-1),
    "a helper": lambda self, x: helper(x),
    "mathematics": lambda self, x: x * math.sqrt(SIZES[0]),
    "a conditional": lambda self, x: x if x.dim() == 2 and len(x) > 1 else -x,
    "a comprehension": lambda self, x: sum([x * i for i in range(3)]),
    "a part cut off from the tape": lambda self, x: x + (x * 2).detach(),
    "a class": lambda self, x: x if isinstance(x, torch.Tensor) else x[0],
    "a slice": lambda self, x: x[:, 1:] + x[..., :-1],
    "a layer made on the way": lambda self, x: nn.ReLU()(x),
    "its own methods": lambda self, x: self.part(x),
}


@pytest.mark.parametrize("name", FIT)
def test_code_that_computes_is_let_through(name):
    assert reading(FIT[name], part=lambda self, x: x * 2) is not None


def _writes_an_attribute(self, x):
    self.last = x
    return x


def _writes_an_item(self, x):
    x[0] = 1
    return x


def _writes_a_global(self, x):
    global SIZES
    SIZES = x.shape
    return x


def _imports(self, x):
    import os

    return x * os.cpu_count()


def _yields(self, x):
    yield x


def _switches_gradients(self, x):
    with torch.no_grad():
        return x * 2


def _catches(self, x):
    try:
        return x * 2
    except RuntimeError:
        return x


UNFIT = {
    "printing": lambda self, x: print(x) or x,
    "a value": lambda self, x: x * x.sum().item(),
    "a value as a list": lambda self, x: x * x.tolist()[0],
    "numpy": lambda self, x: x * float(np.mean(3.0)),
    "time": lambda self, x: x * time.time(),
    "random": lambda self, x: x * random.random(),
    "random numbers of ours": lambda self, x: x + torch.rand(2),
    "a seed": lambda self, x: torch.manual_seed(0) and x,
    "a table that can change": lambda self, x: x * TABLE["scale"],
    "an iterator": lambda self, x: x * next(COUNTER),
    "a helper that prints": lambda self, x: noisy_helper(x),
    "a helper that remembers": lambda self, x: with_memory(x),
    "a hook": lambda self, x: x.register_hook(len) and x,
    "a gradient": lambda self, x: x.grad + x,
    "the data": lambda self, x: x.data * 2,
    "a write in place": lambda self, x: x.add_(1),
    "a switch of the module": lambda self, x: self.train() and x,
    "writing an attribute": _writes_an_attribute,
    "writing an item": _writes_an_item,
    "writing a global": _writes_a_global,
    "importing": _imports,
    "yielding": _yields,
    "switching gradients": _switches_gradients,
    "catching errors": _catches,
    "what is no function": functools.partial(lambda self, x: x, None),
    "a method that is unfit": lambda self, x: self.part(x),
    "a name nobody has": lambda self, x: missing(x),  # noqa: F821
}


@pytest.mark.parametrize("name", UNFIT)
def test_anything_else_is_not(name):
    found = reading(UNFIT[name], part=lambda self, x: print(x))
    assert found is None


def test_unknown_names_must_turn_out_to_be_attributes():
    found = reading(lambda self, x: self.first(x) * self.factor)
    assert found.attributes == {"first", "factor"} and found.names >= found.attributes


def test_what_was_read_holds_until_it_changes(monkeypatch):
    found = reading(lambda self, x: helper(x) * SIZES[0])
    assert holds(found)
    monkeypatch.setitem(globals(), "SIZES", (5, 5))
    assert not holds(found)
    monkeypatch.undo()
    assert holds(found)
    monkeypatch.setattr(torch, "tanh", torch.sin)
    assert not holds(found)


def test_constants():
    assert all(map(is_constant, (1, 2.0, True, None, "a", (1, (2, "b")), torch.float32)))
    assert not any(map(is_constant, ([1], {}, object(), (1, []), torch.ones(1), len)))


def test_a_trace_function_means_that_somebody_watches():
    before = sys.gettrace()
    sys.settrace(None)
    try:
        assert not is_watched()
        sys.settrace(lambda *args: None)
        assert is_watched()
    finally:
        sys.settrace(before)
