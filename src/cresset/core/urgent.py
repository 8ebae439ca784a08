"""Functions whose plans are compiled at first sight (``torch.compile``)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from cresset.core.graph import RECORDER


def at_first_sight(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function``; the plans that its calls become part of are compiled when they first run."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        RECORDER.urgent += 1
        try:
            return function(*args, **kwargs)
        finally:
            RECORDER.urgent -= 1
            RECORDER.graph.urgent = True

    return call
