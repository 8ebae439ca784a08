"""``Tensor``: what the user holds. A view (a ``Spec``) of a ``Storage``, plus its place on the
tape.

This file has the state and what follows from it alone. Everything that computes lives in
``cresset/ops``, which also attaches the methods (``ops/methods.py``).

Fields with a leading underscore are the ones the rest of the package reads:

``_storage``, ``_spec``       memory and geometry
``_requires_grad``            whether gradients flow here; for a leaf, whether ``grad`` is filled
``_grad_fn``, ``_output_nr``  the node that made it and which output it is (None for a leaf)
``_base``                     for a view, the tensor at the root of the chain of views
``_generation``               counts in-place writes through views; a view that lags behind its base
                              gets new history when it is next used
``_own_version``              for ``.data`` tensors, a version counter apart from the storage's
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from cresset import dtypes
from cresset.core import graph
from cresset.core.modes import THREAD
from cresset.core.plan import from_bfloat16
from cresset.core.spec import Spec, contiguous_stride
from cresset.core.spec import spec as make_spec
from cresset.core.storage import Storage
from cresset.core.tape import RemovableHandle, accumulate_node
from cresset.device import CPU, device
from cresset.dtypes import dtype
from cresset.runtime import backend
from cresset.size import Size


class Tensor:
    """A multi-dimensional array of one dtype on one device, with automatic differentiation.

    ``Tensor(2, 3)`` makes an uninitialised one of the default dtype, ``Tensor(data)`` copies
    ``data``; prefer ``cresset.empty`` and ``cresset.tensor``.

    >>> import cresset as torch
    >>> x = torch.tensor([[1., 2.], [3., 4.]], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    tensor([[2., 4.],
            [6., 8.]])
    """

    _storage: Storage
    _spec: Spec
    _requires_grad: bool = False
    _grad_fn: Any = None
    _output_nr: int = 0
    _grad: Tensor | None = None
    _base: Tensor | None = None
    _base_generation: int = 0
    _generation: int = 0
    _own_version: list[int] | None = None
    _hooks: dict | None = None
    _post_hooks: dict | None = None
    _accumulator: Any = None
    _retains: bool = False
    _inference: bool = False
    #: (number, name of the function) of a view that came with others and may not be written; a
    #: third entry where it came alone from a custom Function.
    _sibling: tuple | None = None
    #: Filled by ``ops``: makes the data for ``Tensor(...)``.
    _legacy_new: ClassVar[Any] = None
    __array_priority__ = 1000

    def __new__(cls, *args: Any, **kwargs: Any) -> Tensor:
        return cls._legacy_new(cls, *args, **kwargs)

    # -- geometry -------------------------------------------------------------------------------

    @property
    def shape(self) -> Size:
        """The size of each dimension."""
        return self._spec.shape

    @property
    def dtype(self) -> dtype:
        """The element type."""
        return self._spec.dtype

    @property
    def device(self) -> device:
        """Where the memory is."""
        return self._spec.device

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return len(self._spec.shape)

    @property
    def layout(self) -> layout:
        """Always ``strided``."""
        return strided

    @property
    def is_cuda(self) -> bool:
        return self._spec.device.type == "cuda"

    is_cpu = property(lambda self: self._spec.device.type == "cpu")
    is_sparse = is_quantized = is_meta = is_mkldnn = is_mps = is_nested = property(
        lambda self: False
    )
    itemsize = property(lambda self: self._spec.dtype.itemsize)
    nbytes = property(lambda self: self._spec.nbytes)

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the size of one dimension."""
        shape = self._spec.shape
        return shape if dim is None else shape[self._dim(dim)]

    def stride(self, dim: int | None = None) -> Any:
        """Elements to step over per dimension, or for one dimension."""
        stride = self._spec.stride
        return stride if dim is None else stride[self._dim(dim)]

    def dim(self) -> int:
        return len(self._spec.shape)

    ndimension = dim

    def numel(self) -> int:
        """How many elements there are."""
        return self._spec.numel

    nelement = numel

    def element_size(self) -> int:
        """Bytes per element."""
        return self._spec.dtype.itemsize

    def storage_offset(self) -> int:
        """Elements between the start of the storage and the first element."""
        return self._spec.offset

    def is_contiguous(self, memory_format: Any = None) -> bool:
        """Row-major without gaps (or channels-last if that format is asked for)."""
        name = getattr(memory_format, "name", "contiguous_format")
        if name == "channels_last":
            return _channels_last(self._spec, 4)
        if name == "channels_last_3d":
            return _channels_last(self._spec, 5)
        return self._spec.contiguous

    def is_floating_point(self) -> bool:
        return self._spec.dtype.is_floating_point

    def is_complex(self) -> bool:
        return self._spec.dtype.is_complex

    def is_signed(self) -> bool:
        return self._spec.dtype.is_signed

    def get_device(self) -> int:
        """Device number, -1 for the CPU."""
        index = self._spec.device.index
        return -1 if self._spec.device.type == "cpu" else (index or 0)

    def _dim(self, dim: int) -> int:
        bound = len(self._spec.shape)
        if not bound:
            raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
        if not -bound <= dim < bound:
            raise IndexError(
                f"Dimension out of range (expected to be in range of [{-bound}, {bound - 1}], "
                f"but got {dim})"
            )
        return dim % bound

    # -- the tape -------------------------------------------------------------------------------

    @property
    def requires_grad(self) -> bool:
        """Whether gradients are computed for this tensor."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if value and self._spec.dtype.category < dtypes.FLOAT:
            raise RuntimeError(
                "only Tensors of floating point and complex dtype can require gradients"
            )
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Switch recording for this leaf on or off; returns the tensor."""
        if not requires_grad and self.grad_fn is not None:
            raise RuntimeError(
                "you can only change requires_grad flags of leaf variables. If you want to use a "
                "computed variable in a subgraph that doesn't require differentiation use "
                "var_no_grad = var.detach()."
            )
        if requires_grad and self._spec.dtype.category < dtypes.FLOAT:
            raise RuntimeError("only Tensors of floating point dtype can require gradients")
        if requires_grad and self._inference and not THREAD.inference:
            raise RuntimeError("Setting requires_grad=True on inference tensor outside InferenceMode is not allowed.")  # noqa: E501  # fmt: skip
        self._requires_grad = bool(requires_grad)
        return self

    @property
    def is_leaf(self) -> bool:
        """Made by the user, not by an op that is on the tape."""
        if self._base is not None and self._base_generation != self._base._generation:
            self._regenerate_history()
        return self._grad_fn is None

    @property
    def grad_fn(self) -> Any:
        """The tape node that made this tensor, or None."""
        if self._base is not None and self._base_generation != self._base._generation:
            self._regenerate_history()
        node = self._grad_fn
        return None if node is None else node.open()

    def _regenerate_history(self) -> None:
        raise NotImplementedError  # attached by ops/inplace.py

    @property
    def grad(self) -> Tensor | None:
        """The gradient accumulated by ``backward()``, or None."""
        if self._grad is None and self._requires_grad and self._grad_fn is not None:
            if not self._retains:
                import warnings

                warnings.warn(
                    "The .grad attribute of a Tensor that is not a leaf Tensor is being accessed. "
                    "Its .grad attribute won't be populated during autograd.backward(). If you "
                    "indeed want the .grad field to be populated for a non-leaf Tensor, use "
                    ".retain_grad() on the non-leaf Tensor. If you access the non-leaf Tensor by "
                    "mistake, make sure you access the leaf Tensor instead.",
                    UserWarning,
                    stacklevel=2,
                )
        return self._grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None:
            if not isinstance(value, Tensor):
                raise TypeError(
                    f"assigned grad expected to be a Tensor or None but got grad of type "
                    f"{type(value).__name__}"
                )
            if value is self:
                raise RuntimeError("can't assign Variable as its own grad")
            if value._spec.dtype is not self._spec.dtype:
                given, own = (dtypes.C_NAMES[x._spec.dtype.name] for x in (value, self))
                raise RuntimeError(
                    f"attempting to assign a gradient with dtype '{given}' to a tensor with dtype "
                    f"'{own}'. The gradient must match the tensor's dtype"
                )
            if value._spec.shape != self._spec.shape:
                raise RuntimeError(
                    f"attempting to assign a gradient of size '{list(value.shape)}' to a tensor of "
                    f"size '{list(self.shape)}'. Please ensure that the gradient and the tensor "
                    "are the same size"
                )
            if value._spec.device is not self._spec.device:
                raise RuntimeError("assigned grad has data located on a different device")
        self._grad = value

    @grad.deleter
    def grad(self) -> None:
        self._grad = None

    def retain_grad(self) -> None:
        """Keep this non-leaf's gradient in ``grad`` during backward."""
        if not self._requires_grad:
            raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
        if self.grad_fn is not None:
            self._retains = True
            self._watch()

    @property
    def retains_grad(self) -> bool:
        return self._retains

    @property
    def output_nr(self) -> int:
        return self._output_nr

    def register_hook(self, hook: Any) -> RemovableHandle:
        """Call ``hook(grad)`` when this tensor's gradient is known; it may return a new one."""
        if not self._requires_grad:
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        if self._hooks is None:
            self._hooks = {}
        self._watch()
        return RemovableHandle(self._hooks, hook)

    def register_post_accumulate_grad_hook(self, hook: Any) -> RemovableHandle:
        """Call ``hook(tensor)`` each time this leaf's ``grad`` was accumulated."""
        if not self._requires_grad:
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        if self.grad_fn is not None:
            raise RuntimeError(
                "post accumulate grad hooks cannot be registered on non-leaf tensors"
            )
        if self._post_hooks is None:
            self._post_hooks = {}
        return RemovableHandle(self._post_hooks, hook)

    def _watch(self) -> None:
        """Tell the node that made this tensor that somebody wants its gradient."""
        from weakref import ref

        node = self.grad_fn
        if node is None:
            return
        watchers = node._watched().watchers
        # Hooks outlive the Python object, as in PyTorch; only retain_grad needs the tensor itself.
        if self._hooks is None:
            self._hooks = {}
        watchers[self._output_nr, id(self._hooks)] = (self._hooks, ref(self))

    @property
    def _version(self) -> int:
        """How often the memory was written in place."""
        own = self._own_version
        return self._storage.version if own is None else own[0]

    def _bump_version(self) -> None:
        if self._own_version is None:
            self._storage.version += 1
        else:
            self._own_version[0] += 1

    def _is_view(self) -> bool:
        return self._base is not None

    def is_inference(self) -> bool:
        return self._inference

    def _alias(self) -> Tensor:
        """The same memory and geometry without history (and not a view of anything)."""
        alias = object.__new__(Tensor)
        alias._storage = self._storage
        alias._spec = self._spec
        if self._own_version is not None:
            alias._own_version = self._own_version
        return alias

    def detach(self) -> Tensor:
        """The same memory, cut off from the tape. Writes are still noticed by autograd."""
        return self._alias()

    @property
    def data(self) -> Tensor:
        """The same memory, cut off from the tape; writes through it go unnoticed by autograd."""
        result = self._alias()
        result._own_version = [0]
        return result

    @data.setter
    def data(self, value: Tensor) -> None:
        if not isinstance(value, Tensor):
            raise TypeError(f"Variable data has to be a tensor, but got {type(value).__name__}")
        self._storage = value._storage
        self._spec = value._spec
        if self._own_version is None:
            self._own_version = [self._version]

    # -- values ---------------------------------------------------------------------------------

    def _array(self) -> Any:
        """The values as an array of the device's namespace, sharing memory. Runs the graph."""
        spec = self._spec
        return backend(spec.device).view(graph.materialize(self._storage), spec)

    def _host(self) -> np.ndarray:
        """The values as a NumPy array to look at (bfloat16 widened), never to write."""
        spec = self._spec
        home = backend(spec.device)
        array = home.view(home.to_host(graph.materialize(self._storage)), spec)
        return from_bfloat16(array) if spec.dtype is dtypes.bfloat16 else array

    def item(self) -> Any:
        """The value of a one-element tensor as a Python number."""
        spec = self._spec
        if spec.numel != 1:
            raise RuntimeError(f"a Tensor with {spec.numel} elements cannot be converted to Scalar")
        storage = self._storage
        buffer = storage.buffer if storage.epoch == -1 else graph.materialize(storage)
        if storage.error is not None:
            raise storage.error
        if storage.dtype is not spec.dtype or spec.dtype is dtypes.bfloat16:
            return self._host().item()
        return buffer[spec.offset].item()

    def tolist(self) -> Any:
        """The values as nested lists of Python numbers (a number for a 0-dim tensor)."""
        return self._host().tolist()

    def numpy(self, *, force: bool = False) -> np.ndarray:
        """A NumPy array over the same memory: a write on one side is seen on the other."""
        if force:
            return self.detach().cpu().resolve_conj().numpy()  # type: ignore[attr-defined]
        if self._spec.device.type != "cpu":
            raise TypeError(
                f"can't convert {self._spec.device} device type tensor to numpy. Use Tensor.cpu() "
                "to copy the tensor to host memory first."
            )
        if self._requires_grad:
            raise RuntimeError(
                "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() "
                "instead."
            )
        if self._spec.dtype is dtypes.bfloat16:
            raise TypeError("Got unsupported ScalarType BFloat16")
        graph.expose(self._storage)
        return self._array()

    def data_ptr(self) -> int:
        """The address of the first element; from now on results stay at this address."""
        buffer = graph.expose(self._storage, forever=True)
        if self._spec.numel == 0:
            return 0
        return int(buffer.__array_interface__["data"][0]) + self._spec.offset * self.itemsize

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        array = self.numpy()
        if dtype is not None and array.dtype != dtype:
            if copy is False:
                raise ValueError("a copy is needed to change the dtype")
            return array.astype(dtype)
        return array.copy() if copy else array

    def __len__(self) -> int:
        if not self._spec.shape:
            raise TypeError("len() of a 0-d tensor")
        return self._spec.shape[0]

    def __delitem__(self, key: Any) -> None:
        raise TypeError("Tensor does not support deleting items")

    def __bool__(self) -> bool:
        if self._spec.numel == 0:
            raise RuntimeError("Boolean value of Tensor with no values is ambiguous")
        if self._spec.numel > 1:
            raise RuntimeError("Boolean value of Tensor with more than one value is ambiguous")
        return bool(self.item())

    def __float__(self) -> float:
        value = self._scalar()
        return float(_real(value, "double") if value.__class__ is complex else value)

    def __int__(self) -> int:
        value = self._scalar()
        return int(_real(value, "int64_t") if value.__class__ is complex else value)

    def __complex__(self) -> complex:
        return complex(self._scalar())

    def _scalar(self) -> Any:
        if self._spec.numel != 1:
            raise ValueError("only one element tensors can be converted to Python scalars")
        return self.item()

    def __index__(self) -> int:
        value = self.item() if self._spec.numel == 1 else None
        if not isinstance(value, int):
            raise TypeError("only integer tensors of a single element can be converted to an index")
        return int(value)

    def __format__(self, spec: str) -> str:
        if self._spec.shape == () and not self.is_meta:
            return self.item().__format__(spec)
        return object.__format__(self, spec)

    #: By identity, as ``==`` compares elements. In C: optimisers look state up by parameter.
    __hash__ = object.__hash__

    def __dir__(self) -> list[str]:
        return sorted(set(object.__dir__(self)))

    def _type_name(self) -> str:
        """The old type name: ``torch.FloatTensor``, ``torch.cuda.LongTensor``."""
        where = "cuda." if self.is_cuda else ""
        return f"torch.{where}{self._spec.dtype.torch_type}"

    @property
    def grad_accumulator(self) -> Any:
        """The AccumulateGrad node of a leaf."""
        return accumulate_node(self)


def _real(value: complex, kind: str) -> float:
    if value.imag:
        raise RuntimeError(f"value cannot be converted to type {kind} without overflow")
    return value.real


def wrap(storage: Storage, spec: Spec) -> Tensor:
    """A plain tensor of a storage."""
    tensor = object.__new__(Tensor)
    tensor._storage = storage
    tensor._spec = spec
    return tensor


def view_of(tensor: Tensor, spec: Spec) -> Tensor:
    """A view of ``tensor``'s storage with another geometry, without history."""
    view = object.__new__(Tensor)
    view._storage = tensor._storage
    view._spec = spec
    base = tensor._base
    view._base = base = tensor if base is None else base
    view._base_generation = base._generation
    if tensor._own_version is not None:
        view._own_version = tensor._own_version
    return view


def is_at_hand(tensor: Any) -> bool:
    """Whether this is a plain CPU tensor without a tape whose values are there to be read.

    Where data is prepared sample by sample, computing with such values at once costs less than
    recording it.
    """
    return (
        type(tensor) is Tensor
        # Not named by the graph that is being recorded; one that ran left its number.
        and tensor._storage.epoch != graph.RECORDER.graph.epoch
        and tensor._storage.error is None
        and tensor._spec.device is CPU
        and not tensor._requires_grad
        and not tensor._inference
        and not THREAD.inference
    )


def from_array(array: Any, dtype: dtype, device: device = CPU) -> Tensor:
    """A tensor that takes over a fresh array of the device's namespace (no copy if contiguous)."""
    home = backend(device)
    if not isinstance(array, home.xp.ndarray):
        array = home.xp.asarray(array)
    shape = array.shape
    if array.dtype != dtype.np:
        array = array.astype(dtype.np)
    buffer = home.xp.ascontiguousarray(array).reshape(-1)
    size = Size(shape)
    spec = make_spec(dtype, size, contiguous_stride(size), 0, device)
    return wrap(Storage(dtype, spec.numel, device, buffer), spec)


def _channels_last(spec: Spec, ndim: int) -> bool:
    if spec.ndim != ndim:
        return False
    expected = 1
    for d in (1, *range(ndim - 1, 1, -1), 0):
        if spec.shape[d] != 1:
            if spec.stride[d] != expected:
                return False
            expected *= spec.shape[d]
    return True


class layout:
    """A memory layout; Cresset has one, ``strided``."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"torch.{self.name}"


class memory_format:
    """A memory format: ``contiguous_format``, ``channels_last``, ``preserve_format``."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"torch.{self.name}"


strided = layout("strided")
contiguous_format = memory_format("contiguous_format")
channels_last = memory_format("channels_last")
channels_last_3d = memory_format("channels_last_3d")
preserve_format = memory_format("preserve_format")
