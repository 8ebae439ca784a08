"""torchvision to compare with, where torch and torchvision are installed.

A torchvision without its compiled operators fails on import, as it describes two of them to torch
by name. Declaring those two lets the rest, which is Python, be imported.
"""

from __future__ import annotations

from typing import Any

import pytest


def load_torchvision() -> tuple[Any, Any]:
    """(torch, torchvision); skips the module that asks where they are missing."""
    torch = pytest.importorskip("torch")
    if not hasattr(torch, "_C"):
        pytest.skip("the name torch is bound to Cresset", allow_module_level=True)
    try:
        import torchvision
    except RuntimeError:
        import sys

        for name in [n for n in sys.modules if n.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _KEPT.append(library)
        import torchvision
    except ImportError:
        pytest.skip("torchvision is not installed", allow_module_level=True)
    return torch, torchvision


#: A library's declarations go with the object.
_KEPT: list[Any] = []
