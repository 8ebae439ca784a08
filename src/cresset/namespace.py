"""Functions of ``torch.*`` that are no operations: questions, settings, exchange."""

from __future__ import annotations

from typing import Any

from cresset import dtypes
from cresset.core.call import forget_calls
from cresset.core.modes import PROCESS
from cresset.core.spec import number_spec
from cresset.device import set_default_device
from cresset.dtypes import dtype, expect_dtype
from cresset.ops.registry import result_dtype
from cresset.tensor import Tensor


def is_tensor(obj: Any) -> bool:
    """Whether ``obj`` is a tensor."""
    return isinstance(obj, Tensor)


def is_storage(obj: Any) -> bool:
    """Whether ``obj`` is a storage."""
    from cresset.core.storage import Storage
    from cresset.ops.storages import TypedStorage, UntypedStorage

    return isinstance(obj, (Storage, TypedStorage, UntypedStorage))


def _need_tensor(name: str, given: Any) -> None:
    if not isinstance(given, Tensor):
        raise TypeError(
            f"{name}(): argument 'input' (position 1) must be Tensor, not {type(given).__name__}"
        )


def is_floating_point(input: Tensor) -> bool:
    """Whether the dtype is a floating-point type."""
    _need_tensor("is_floating_point", input)
    return input.is_floating_point()


def is_complex(input: Tensor) -> bool:
    """Whether the dtype is complex."""
    _need_tensor("is_complex", input)
    return input.is_complex()


def is_nonzero(input: Tensor) -> bool:
    """Whether a one-element tensor is not zero."""
    _need_tensor("is_nonzero", input)
    return bool(input)


def numel(input: Tensor) -> int:
    """How many elements there are."""
    _need_tensor("numel", input)
    return input.numel()


def typename(obj: Any) -> str:
    """The old type name of a tensor, or the qualified class name."""
    if isinstance(obj, Tensor):
        return obj._type_name()
    kind = type(obj)
    return f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")


def set_default_dtype(d: dtype) -> None:
    """Make ``d`` the type of new floating-point tensors.

    >>> import cresset as torch
    >>> torch.set_default_dtype(torch.float64); torch.tensor(1.).dtype
    torch.float64
    >>> torch.set_default_dtype(torch.float32)
    """
    if not isinstance(d, dtype):
        raise TypeError(
            "invalid dtype object: only floating-point types are supported as the default type"
        )
    if not d.is_floating_point:
        raise TypeError("only floating-point types are supported as the default type")
    dtypes.set_default_dtype_unchecked(d)
    forget_calls()


def set_default_tensor_type(t: Any) -> None:
    """Old way to set the default dtype (and device) by a tensor type or its name."""
    name = t if isinstance(t, str) else f"{t.__module__}.{t.__name__}"
    short = name.removeprefix("torch.")
    set_default_device("cuda" if short.startswith("cuda.") else None)
    short = short.removeprefix("cuda.")
    found = next((d for d in dtypes.ALL if d.torch_type == short), None)
    if found is None:
        raise AttributeError(f"module 'torch' has no attribute '{short}'")
    set_default_dtype(found)


def promote_types(type1: dtype, type2: dtype) -> dtype:
    """The smallest dtype that holds both."""
    expect_dtype("promote_types", type1, "type1", 1)
    expect_dtype("promote_types", type2, "type2", 2)
    return dtypes.promote(type1, type2)


def result_type(tensor1: Any, tensor2: Any) -> dtype:
    """The dtype of an arithmetic result of two tensors or numbers."""
    specs = [x._spec if isinstance(x, Tensor) else number_spec(x) for x in (tensor1, tensor2)]
    return result_dtype(*specs)


def can_cast(from_: dtype, to: dtype) -> bool:
    """Whether PyTorch allows the conversion in place: never to a lower kind of number."""
    expect_dtype("can_cast", from_, "from_", 1)
    return from_.category <= expect_dtype("can_cast", to, "to", 2).category


class _Threads:
    interop = 1


def get_num_threads() -> int:
    """How many threads a compiled plan may use."""
    return PROCESS.threads()


def set_num_threads(int: int) -> None:  # noqa: A002
    """Set how many threads compiled plans may use, from the next plan that is compiled on."""
    if int <= 0:
        raise RuntimeError("set_num_threads expects a positive integer")
    PROCESS.set_threads(int)


def get_num_interop_threads() -> int:
    return _Threads.interop


def set_num_interop_threads(int: int) -> None:  # noqa: A002
    _Threads.interop = int


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Everything is deterministic already."""


def set_float32_matmul_precision(precision: str) -> None:
    """Products are always computed in full precision."""


def _reduce(self: Tensor, protocol: Any) -> tuple:
    """Pickle: values, geometry and requires_grad (see ``serialization/rebuild.py``)."""
    from cresset.serialization.rebuild import reduce_tensor

    return reduce_tensor(self)


def _copy(self: Tensor) -> Tensor:
    """``copy.copy``: another tensor over the same memory, a leaf of its own."""
    alias = self._alias()
    alias.__class__ = self.__class__
    alias._requires_grad = self._requires_grad
    return alias


def _deepcopy(self: Tensor, memo: dict) -> Tensor:
    """A copy with memory of its own; tensors that shared memory share it again."""
    from cresset.serialization.rebuild import deepcopy_tensor

    return deepcopy_tensor(self, memo)


Tensor.__reduce_ex__ = _reduce  # type: ignore[method-assign, assignment]
Tensor.__copy__ = _copy  # type: ignore[attr-defined]
Tensor.__deepcopy__ = _deepcopy  # type: ignore[attr-defined]
