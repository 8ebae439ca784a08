"""``torch.cuda``: what device code asks for. Devices are simulated until the CUDA back end exists.

``CRESSET_SIMULATE_CUDA=2`` makes two devices appear (``runtime/simulated.py``). Read ``devices``
(which device ``cuda`` means), ``streams`` (one order of work, under many names), ``memory`` (what
is counted) and ``random`` (generators per device).
"""

from typing import Any as _Any

from cresset.cuda import nvtx
from cresset.cuda.devices import (
    can_device_access_peer,
    current_device,
    device,
    device_count,
    device_of,
    get_arch_list,
    get_device_capability,
    get_device_name,
    get_device_properties,
    get_gencode_flags,
    init,
    ipc_collect,
    is_available,
    is_bf16_supported,
    is_initialized,
    is_tf32_supported,
    set_device,
    synchronize,
)
from cresset.cuda.memory import (
    OutOfMemoryError,
    empty_cache,
    max_memory_allocated,
    max_memory_cached,
    max_memory_reserved,
    mem_get_info,
    memory_allocated,
    memory_cached,
    memory_reserved,
    memory_stats,
    memory_summary,
    reset_accumulated_memory_stats,
    reset_max_memory_allocated,
    reset_max_memory_cached,
    reset_peak_memory_stats,
    set_per_process_memory_fraction,
)
from cresset.cuda.random import (
    get_rng_state,
    get_rng_state_all,
    initial_seed,
    manual_seed,
    manual_seed_all,
    seed,
    seed_all,
    set_rng_state,
    set_rng_state_all,
)
from cresset.cuda.streams import (
    Event,
    Stream,
    StreamContext,
    current_stream,
    default_stream,
    is_current_stream_capturing,
    set_stream,
    stream,
)
from cresset.ops.creation import legacy_types as _legacy_types

has_half, has_magma = True, False

#: ``torch.cuda.FloatTensor`` and the other old constructors.
globals().update(_legacy_types("cuda"))


def __getattr__(name: str) -> _Any:
    if name == "default_generators":
        from cresset.cuda.random import default_generators

        return default_generators()
    raise AttributeError(f"module 'torch.cuda' has no attribute '{name}'")
