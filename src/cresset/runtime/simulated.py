"""A pretend accelerator: ``CRESSET_SIMULATE_CUDA=8`` makes ``cuda:0`` to ``cuda:7`` appear.

Each simulated device keeps its own storages (on CPU memory) and runs the reference kernels, so code
written for several GPUs can be tested on a laptop. Nothing else may take its buffers for host
memory: a copy is made on the way in and on the way out, as between real devices.
"""

from __future__ import annotations

import os

import numpy as np

from cresset.device import device
from cresset.runtime.cpu import CpuBackend


def simulated_count() -> int:
    """How many devices the environment asks for."""
    text = os.environ.get("CRESSET_SIMULATE_CUDA", "0") or "0"
    if not text.isdigit():
        raise ValueError(f"CRESSET_SIMULATE_CUDA must be a number of devices, got {text!r}")
    return int(text)


class SimulatedBackend(CpuBackend):
    """One simulated device."""

    def __init__(self, where: device) -> None:
        self.device = where

    def to_host(self, buffer: np.ndarray) -> np.ndarray:
        return buffer.copy()
