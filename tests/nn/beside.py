"""Stories that are told on both libraries: ``story(T)`` runs on one, its account is compared.

An account is what the story returns (tensors become dtype, shape and numbers), or the type and the
first line of what it raises, with the warnings on the way. Numbers are compared to ``tolerance``.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

import cresset

Story = Callable[[Any], Any]


def plain(value: Any) -> Any:
    """The value with tensors as ``(dtype, array)``, in lists and dictionaries alike."""
    if hasattr(value, "requires_grad") and hasattr(value, "detach"):
        array = np.array(value.detach().cpu().double().tolist())
        return str(value.dtype), array.reshape(tuple(value.shape))
    if isinstance(value, Mapping):
        return {key: plain(x) for key, x in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(x) for x in value]
    return value


def account(T: Any, story: Story) -> tuple[Any, list]:
    """What the story gives on the library ``T``, and its warnings."""
    T.manual_seed(5)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = plain(story(T))
        except Exception as error:
            words = str(error).split("\n")[0].strip()
            result = f"{type(error).__name__}: " + words.replace("cresset.", "torch.")
    return result, [(w.category.__name__, str(w.message)) for w in caught]


def differ(where: str, ours: Any, theirs: Any) -> str:
    """The message about two parts that are not the same."""
    return f"{where}:\n  {str(ours)[:400]}\nPyTorch has\n  {str(theirs)[:400]}"


def agree(ours: Any, theirs: Any, where: str, tolerance: float) -> None:
    """Assert that two accounts are the same, numbers to ``tolerance``."""
    if isinstance(theirs, dict):
        assert isinstance(ours, dict) and list(ours) == list(theirs), differ(where, ours, theirs)
        for key in theirs:
            agree(ours[key], theirs[key], f"{where}[{key!r}]", tolerance)
    elif isinstance(theirs, tuple) and isinstance(theirs[-1], np.ndarray):
        assert isinstance(ours, tuple), differ(where, ours, theirs)
        assert ours[0] == theirs[0], where
        assert ours[1].shape == theirs[1].shape, where
        largest = float(np.abs(np.nan_to_num(theirs[1], posinf=0, neginf=0)).max(initial=0))
        np.testing.assert_allclose(
            ours[1], theirs[1], rtol=tolerance, atol=tolerance * largest, err_msg=where
        )
    elif isinstance(theirs, (list, tuple)):
        alike = isinstance(ours, (list, tuple)) and len(ours) == len(theirs)
        assert alike, differ(where, ours, theirs)
        for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            agree(a, b, f"{where}[{i}]", tolerance)
    elif isinstance(theirs, float):
        assert ours == pytest.approx(theirs, rel=tolerance, abs=tolerance, nan_ok=True), where
    else:
        assert ours == theirs, differ(where, ours, theirs)


def same_story(story: Story, tolerance: float = 2e-5, warned: bool = True) -> Any:
    """Assert that the story goes the same way on both libraries; return Cresset's account."""
    torch = pytest.importorskip("torch")
    ours, our_warnings = account(cresset, story)
    theirs, their_warnings = account(torch, story)
    agree(ours, theirs, "result", tolerance)
    if warned:
        assert our_warnings == their_warnings
    return ours
