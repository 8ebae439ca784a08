"""A model's state in a line: what a checkpoint must agree with."""

from __future__ import annotations

import hashlib
from typing import Any


def lines(model: Any) -> list[str]:
    """Name, kind, dtype and shape of each parameter and buffer, in the order of the checkpoint."""
    parameters = {name for name, _ in model.named_parameters()}
    return [
        f"{name} {'parameter' if name in parameters else 'buffer'} {value.dtype} "
        f"{tuple(value.shape)}"
        for name, value in model.state_dict().items()
    ]


def summary(model: Any) -> dict[str, Any]:
    """A digest of these lines, and two numbers that say more where it differs."""
    found = lines(model)
    return {
        "entries": len(found),
        "parameters": sum(p.numel() for p in model.parameters()),
        "digest": hashlib.sha256("\n".join(found).encode()).hexdigest()[:16],
    }
