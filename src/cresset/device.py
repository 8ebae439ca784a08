"""``device``: where a tensor's memory lies. Devices are interned, so ``is`` compares them."""

from __future__ import annotations

from typing import Any

_TYPES = (
    "cpu", "cuda", "ipu", "xpu", "mkldnn", "opengl", "opencl", "ideep", "hip", "ve", "fpga",
    "maia", "xla", "lazy", "vulkan", "mps", "meta", "hpu", "mtia", "privateuseone",
)  # fmt: skip
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
        if ":" in type:
            if index is not None:
                raise RuntimeError(
                    f"type (string) must not include an index because index was passed explicitly: "
                    f"{type}"
                )
            type, _, number = type.partition(":")
            if not number.isdigit() or (len(number) > 1 and number[0] == "0"):
                raise RuntimeError(f"Invalid device string: '{type}:{number}'")
            index = int(number)
        if type not in _TYPES:
            raise RuntimeError(
                f"Expected one of {', '.join(_TYPES)} device type at start of device string: {type}"
            )
        if index is not None and index < 0:
            raise RuntimeError(f"Device index must not be negative, got {index}")
        key: Any = (type, index)
        found = _interned.get(key)
        if found is None:
            found = object.__new__(cls)
            found.type, found.index = type, index  # type: ignore[assignment]
            _interned[key] = found
        return found

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
