"""What a device must offer to hold tensors and run reference kernels: one file per device.

``backend(device)`` gives the object that allocates, copies and views memory there, and the array
namespace (``xp``) in which reference kernels run. The CPU and the simulated accelerator both use
NumPy; a CUDA back end is one more file with CuPy's namespace.
"""

from __future__ import annotations

import threading

from cresset.device import CPU, device
from cresset.runtime.cpu import CpuBackend
from cresset.runtime.simulated import SimulatedBackend, simulated_count


class _Current(threading.local):
    """The CUDA device that ``cuda`` without a number means; each thread starts with the first."""

    index = 0


current = _Current()
_backends: dict[device, CpuBackend] = {CPU: CpuBackend()}


def backend(where: device) -> CpuBackend:
    """The back end of a device, made at first use; RuntimeError if there is no such device."""
    found = _backends.get(where)
    if found is not None:
        return found
    if where.type == "cuda":
        count = simulated_count()
        if count == 0:
            raise RuntimeError(
                "Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU "
                "and installed a driver (or set CRESSET_SIMULATE_CUDA=N for N simulated devices)."
            )
        if (where.index or 0) >= count:
            raise RuntimeError(
                "CUDA error: invalid device ordinal\n"
                f"{count} device(s) are there, cuda:{where.index} was asked for."
            )
        found = _backends[where] = SimulatedBackend(where)
        return found
    raise RuntimeError(f"Cresset has no back end for device type '{where.type}'")
