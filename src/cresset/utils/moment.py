"""What the next step of a run depends on, beside models and data: the moment it is at.

That is the state of every random generator (Cresset's, Python's and NumPy's global ones), and how
often each program was met, since a program rounds a little differently once it is compiled
(``core/history.py``). ``take`` writes a moment down in plain values, which any checkpoint can hold;
``bring_back`` returns to it, in this process or another.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np

from cresset.autograd.replay import known_passes, recall_passes
from cresset.core.history import HISTORY
from cresset.device import device
from cresset.ops.creation import tensor
from cresset.random.generator import Generator, every_generator, generator_of


def take(others: Sequence[Generator] = ()) -> dict[str, Any]:
    """The present moment. ``others`` are generators of the program's own."""
    name, key, position, has_gauss, gauss = np.random.get_state(legacy=True)
    return {
        "generators": {str(g.device): _state(g) for g in every_generator()},
        "others": [_state(g) for g in others],
        "python": random.getstate(),
        "numpy": (name, tensor(np.asarray(key, np.int64)), position, has_gauss, gauss),
        "plans": HISTORY.plans(),
        "passes": known_passes(),
    }


def bring_back(moment: dict[str, Any], others: Sequence[Generator] = ()) -> None:
    """Go on from a moment that ``take`` returned."""
    for where, state in moment["generators"].items():
        _set_state(generator_of(device(where)), state)
    if len(others) != len(moment["others"]):
        raise RuntimeError(
            f"the run had {len(moment['others'])} generators of its own, now it has {len(others)}"
        )
    for generator, state in zip(others, moment["others"], strict=True):
        _set_state(generator, state)
    random.setstate(moment["python"])
    name, key, *rest = moment["numpy"]
    np.random.set_state((name, key.numpy().astype(np.uint32), *rest))
    HISTORY.recall(moment["plans"])
    recall_passes(moment["passes"])


def _state(generator: Generator) -> Any:
    return generator.get_state()  # type: ignore[attr-defined]


def _set_state(generator: Generator, state: Any) -> None:
    generator.set_state(state.cpu())  # type: ignore[attr-defined]
