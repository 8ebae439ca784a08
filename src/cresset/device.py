"""``device``: where a tensor's memory lies. Devices are interned, so ``is`` compares them."""

from __future__ import annotations

import re
from typing import Any

_TYPES = (
    "cpu", "cuda", "ipu", "xpu", "mkldnn", "opengl", "opencl", "ideep", "hip", "ve", "fpga",
    "maia", "xla", "lazy", "vulkan", "mps", "meta", "hpu", "mtia", "privateuseone",
)  # fmt: skip
#: A type, and a number without leading zeros.
_STRING = re.compile(r"([a-zA-Z_]+)(?::(0|[1-9]\d*))?")
_interned: dict[tuple[str, int | None], device] = {}


class device:
    """A device: ``device('cpu')``, ``device('cuda:1')``, ``device('cuda', 1)`` or ``device(1)``.

    >>> import cresset as torch
    >>> torch.device('cuda:1')
    device(type='cuda', index=1)
    >>> str(torch.device('cpu'))
    'cpu'
    """

    __slots__ = ("type", "index")
    type: str
    index: int | None

    def __new__(cls, type: Any = None, index: int | None = None) -> device:
        if isinstance(type, device):
            return type
        if isinstance(type, int) and not isinstance(type, bool):
            type, index = "cuda", type
        if not isinstance(type, str):
            raise TypeError(
                f"device(): argument 'type' (position 1) must be str, not {type.__class__.__name__}"
            )
        if not type:
            raise RuntimeError("Device string must not be empty")
        if type not in _TYPES:
            parts = _STRING.fullmatch(type)
            if parts is None:
                raise RuntimeError(f"Invalid device string: '{type}'")
            if parts[2] is not None and index is not None:
                raise RuntimeError(
                    f"type (string) must not include an index because index was passed explicitly: "
                    f"{type}"
                )
            type, index = parts[1], index if parts[2] is None else int(parts[2])
        if type not in _TYPES:
            raise RuntimeError(
                f"Expected one of {', '.join(_TYPES)} device type at start of device string: {type}"
            )
        if index is not None and not isinstance(index, int):
            raise TypeError(
                f"device(): argument 'index' (position 2) must be int, not "
                f"{index.__class__.__name__}"
            )
        if index is not None and index < 0:
            raise RuntimeError("Device index must not be negative")
        key: Any = (type, index)
        found = _interned.get(key)
        if found is None:
            found = object.__new__(cls)
            object.__setattr__(found, "type", type)
            object.__setattr__(found, "index", index)
            _interned[key] = found
        return found

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"attribute '{name}' of 'torch.device' objects is not writable")

    def __repr__(self) -> str:
        if self.index is None:
            return f"device(type='{self.type}')"
        return f"device(type='{self.type}', index={self.index})"

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __reduce__(self) -> tuple:
        return (device, (self.type, self.index))

    def __enter__(self) -> device:
        _default_stack.append(self)
        return self

    def __exit__(self, *exc: Any) -> None:
        _default_stack.pop()


CPU = device("cpu")
_default_stack: list[device] = [CPU]


def get_default_device() -> device:
    """Where factory functions without ``device=`` put their tensors."""
    return _default_stack[-1]


def set_default_device(where: Any) -> None:
    """Make ``where`` the device of tensors created without ``device=`` (None: the CPU again)."""
    _default_stack[-1] = CPU if where is None else device(where)
