"""Kernels whole, and cut for threads, to which plans are left."""

from __future__ import annotations

import pytest

from cresset.compiler import build, threads
from cresset.core.modes import PROCESS


@pytest.fixture(params=["whole", "cut"])
def pieces(request, monkeypatch):
    """Each kernel in one piece, and cut into as many as it can be for several threads."""
    if request.param == "cut":
        if not threads.available():
            pytest.skip("no pool of threads on this system")
        monkeypatch.setattr(build, "_WORTH_CUTTING", 0)
        monkeypatch.setattr(build, "_WORTH_WAKING", 0)
        monkeypatch.setattr(build, "_WORTH_LEAVING", 0)
        monkeypatch.setattr(build, "_WORTH_JOINING", 0)
        monkeypatch.setattr(PROCESS, "_threads", 3)
    else:
        monkeypatch.setattr(PROCESS, "_threads", 1)
