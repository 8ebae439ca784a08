"""``DataParallel``: one model on several devices, the batch split between them.

Each call copies the module to every device (through the tape, so gradients flow back to the one set
of parameters), runs the parts in threads, and gathers the outputs on the first device.
"""

from __future__ import annotations

import copy
import threading
from typing import Any

from cresset.core.modes import THREAD
from cresset.device import device
from cresset.nn.module import Module
from cresset.ops.join import cat
from cresset.ops.view import reshape
from cresset.runtime import current
from cresset.tensor import Tensor


def _devices(device_ids: Any) -> list[device]:
    from cresset.runtime.simulated import simulated_count

    if device_ids is None:
        return [device("cuda", i) for i in range(simulated_count())]
    return [device("cuda", d) if isinstance(d, int) else device(d) for d in device_ids]


def scatter(inputs: Any, devices: list[device], dim: int = 0) -> list:
    """Split every tensor inside ``inputs`` along ``dim``, one part per device."""
    if isinstance(inputs, Tensor):
        parts = inputs.chunk(len(devices), dim)  # type: ignore[attr-defined]
        return [p.to(d) for p, d in zip(parts, devices, strict=False)]
    if isinstance(inputs, tuple) and hasattr(inputs, "_fields"):
        return [type(inputs)(*p) for p in zip(*(scatter(x, devices, dim) for x in inputs),
                                              strict=False)]  # fmt: skip
    if isinstance(inputs, (tuple, list)) and inputs:
        columns = [scatter(x, devices, dim) for x in inputs]
        return [type(inputs)(p) for p in zip(*columns, strict=False)]
    if isinstance(inputs, dict) and inputs:
        columns = [scatter(v, devices, dim) for v in inputs.values()]
        return [dict(zip(inputs, p, strict=True)) for p in zip(*columns, strict=False)]
    return [inputs for _ in devices]


def gather(outputs: list, target: device, dim: int = 0) -> Any:
    """Join the parts of every tensor inside ``outputs`` on one device."""
    first = outputs[0]
    if isinstance(first, Tensor):
        moved = [o.to(target) for o in outputs]
        if not first.ndim:
            moved = [reshape(o, (1,)) for o in moved]
        return cat(moved, dim)
    if first is None:
        return None
    if isinstance(first, dict):
        return type(first)((k, gather([o[k] for o in outputs], target, dim)) for k in first)
    return type(first)(gather(list(p), target, dim) for p in zip(*outputs, strict=True))


def replicate(module: Module, devices: list[device]) -> list[Module]:
    """Copies of the module whose parameters are moved through the tape."""
    return [module if _lies_on(module, d) else _copy(module, d) for d in devices]


def _lies_on(module: Module, where: device) -> bool:
    return all(p.device is where for p in module.parameters())


def _copy(module: Module, where: device) -> Module:
    twin = copy.copy(module)
    twin._modules = _empty(module._modules, twin)
    twin._parameters = _empty(module._parameters, twin)
    twin._buffers = _empty(module._buffers, twin)
    for name, child in module._modules.items():
        twin._modules[name] = None if child is None else _copy(child, where)
    for name, p in module._parameters.items():
        twin._parameters[name] = None if p is None else p.to(where)  # type: ignore[attr-defined]
    for name, b in module._buffers.items():
        twin._buffers[name] = None if b is None else b.to(where)  # type: ignore[attr-defined]
    return twin


def _empty(table: Any, owner: Module) -> Any:
    """An empty table like a module's, belonging to ``owner``."""
    return {} if type(table) is dict else type(table)(owner, {})


def parallel_apply(
    modules: list[Module], inputs: list, kwargs: list, devices: list[device] | None = None
) -> list:
    """Run each module on its inputs, in threads; the first error is raised again."""
    results: list[Any] = [None] * len(modules)
    grad = THREAD.grad
    # Code in the module that says just ``cuda`` means the device of its part.
    indices = [d.index or 0 for d in devices] if devices else [current.index] * len(modules)

    def work(i: int) -> None:
        THREAD.grad, current.index = grad, indices[i]
        try:
            results[i] = modules[i](*inputs[i], **kwargs[i])
        except Exception as error:
            results[i] = error

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(modules))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for i, r in enumerate(results):
        if isinstance(r, Exception):
            raise type(r)(f"Caught {type(r).__name__} in replica {i} on device {i}.\n{r}") from r
    return results


class DataParallel(Module):
    """Splits its input along ``dim`` over CUDA devices, runs a copy of the module on each, joins.

    Without devices, or with one, the module is simply called.
    """

    def __init__(self, module: Module, device_ids: Any = None, output_device: Any = None,
                 dim: int = 0) -> None:  # fmt: skip
        super().__init__()
        self.dim = dim
        self.module = module
        self.devices = _devices(device_ids)
        self.device_ids = [d.index for d in self.devices]
        self.output_device = (
            self.devices[0] if output_device is None and self.devices else output_device
        )

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        if not self.devices:
            return self.module(*inputs, **kwargs)
        for t in (*self.module.parameters(), *self.module.buffers()):
            if t.device is not self.devices[0]:
                raise RuntimeError(
                    "module must have its parameters and buffers on device "
                    f"{self.devices[0]} (device_ids[0]) but found one of them on device: {t.device}"
                )
        parts = scatter(inputs, self.devices, self.dim)
        options = scatter(kwargs, self.devices, self.dim) if kwargs else [{} for _ in parts]
        if len(self.devices) == 1:
            return self.module(*parts[0], **options[0])
        copies = replicate(self.module, self.devices[: len(parts)])
        outputs = parallel_apply(copies, parts, options[: len(parts)], self.devices)
        target = self.output_device
        return gather(
            outputs, device("cuda", target) if isinstance(target, int) else target, self.dim
        )


def data_parallel(module: Module, inputs: Any, device_ids: Any = None, output_device: Any = None,
                  dim: int = 0, module_kwargs: Any = None) -> Any:  # fmt: skip
    """``DataParallel`` as a function."""
    inputs = inputs if isinstance(inputs, tuple) else (inputs,)
    return DataParallel(module, device_ids, output_device, dim)(*inputs, **(module_kwargs or {}))
