"""Two simulated devices, and every test starts on the first one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import cresset.runtime
from cresset.cuda import streams
from cresset.device import CPU
from cresset.runtime import current


@pytest.fixture(autouse=True)
def two_devices(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("CRESSET_SIMULATE_CUDA", "2")
    only_cpu = {CPU: cresset.runtime.backend(CPU)}
    monkeypatch.setattr(cresset.runtime, "_backends", only_cpu)
    current.index = 0
    yield
    current.index = 0
    streams._of_thread.current.clear()
