"""Transforms between images and tensors, and of a tensor's numbers."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from cresset import dtypes
from cresset.tensor import Tensor
from cresset.vision.pil import Image
from cresset.vision.transforms import functional as v1
from cresset.vision.transforms.convert import LinearTransformation as _LinearTransformation
from cresset.vision.transforms.v2 import functional as F
from cresset.vision.transforms.v2.functional import is_pure_tensor
from cresset.vision.transforms.v2.inputs import Kind, has_any
from cresset.vision.transforms.v2.transform import Transform


class PILToTensor(Transform):
    """A PIL image to a tensor (C, H, W) of the same numbers.

    >>> from cresset.vision.transforms import v2
    >>> from PIL import Image
    >>> v2.PILToTensor()(Image.new('L', (2, 1), 51))
    tensor([[[51, 51]]], dtype=torch.uint8)
    """

    _transformed_types: ClassVar[tuple[Kind, ...]] = (Image.Image,)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Tensor:
        return F.pil_to_tensor(inpt)


class ToImage(Transform):
    """A PIL image, array (H, W, C) or tensor to a tensor (..., C, H, W) of the same numbers.

    >>> from cresset.vision.transforms import v2
    >>> from PIL import Image
    >>> v2.ToImage()({'image': Image.new('L', (2, 1), 51), 'label': 3})
    {'image': tensor([[[51, 51]]], dtype=torch.uint8), 'label': 3}
    """

    _transformed_types: ClassVar[tuple[Kind, ...]] = (is_pure_tensor, Image.Image, np.ndarray)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Tensor:
        return F.to_image(inpt)


class ToPILImage(Transform):
    """A tensor (C, H, W) or array (H, W, C) to a PIL image.

    >>> import cresset as torch
    >>> from cresset.vision.transforms import v2
    >>> v2.ToPILImage()(torch.zeros(3, 4, 5)).size
    (5, 4)
    """

    _transformed_types: ClassVar[tuple[Kind, ...]] = (is_pure_tensor, np.ndarray)

    def __init__(self, mode: str | None = None) -> None:
        super().__init__()
        self.mode = mode

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.to_pil_image(inpt, mode=self.mode)


class ToPureTensor(Transform):
    """The same: every tensor here is a plain one."""

    _transformed_types: ClassVar[tuple[Kind, ...]] = ()


class ToTensor(Transform):
    """As in the first interface; ``ToImage``, then ``ToDtype``, is to be preferred."""

    _transformed_types: ClassVar[tuple[Kind, ...]] = (Image.Image, np.ndarray)

    def __init__(self) -> None:
        warnings.warn(
            "The transform `ToTensor()` is deprecated and will be removed in a future release. "
            "Instead, please use `v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])"
            "`.Output is equivalent up to float precision."
        )
        super().__init__()

    def transform(self, inpt: Any, params: dict[str, Any]) -> Tensor:
        return v1.to_tensor(inpt)


class ToDtype(Transform):
    """A tensor image in another dtype; with ``scale``, full brightness stays full.

    ``dtype`` may be a dictionary with dtypes for ``torch.Tensor`` and ``"others"``; None keeps.

    >>> import cresset as torch
    >>> from cresset.vision.transforms import v2
    >>> v2.ToDtype(torch.float32, scale=True)(torch.tensor([[[0, 255]]], dtype=torch.uint8))
    tensor([[[0., 1.]]])
    """

    _transformed_types: ClassVar[tuple[Kind, ...]] = (Tensor,)

    def __init__(self, dtype: Any, scale: bool = False) -> None:
        super().__init__()
        if not isinstance(dtype, (dict, dtypes.dtype)):
            raise ValueError(f"dtype must be a dict or a torch.dtype, got {type(dtype)} instead")
        self.dtype = dtype
        self.scale = scale

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        dtype = self.dtype
        if isinstance(dtype, dict):
            if type(inpt) not in dtype and "others" not in dtype:
                raise ValueError(
                    f"No dtype was specified for type {type(inpt)}. If you only need to convert "
                    "the dtype of images or videos, you can just pass e.g. dtype=torch.float32. If "
                    'you\'re passing a dict as dtype, you can use "others" as a catch-all key e.g. '
                    'dtype={tv_tensors.Mask: torch.int64, "others": None} to pass-through the rest '
                    "of the inputs."
                )
            dtype = dtype[type(inpt)] if type(inpt) in dtype else dtype["others"]
        if dtype is not None:
            return self._call_kernel(F.to_dtype, inpt, dtype=dtype, scale=self.scale)
        if self.scale:
            warnings.warn(
                "scale was set to True but no dtype was specified for images or videos: no scaling "
                "will be done."
            )
        return inpt


class ConvertImageDtype(Transform):
    """A tensor image in another dtype, full brightness staying full.

    >>> import cresset as torch
    >>> from cresset.vision.transforms import v2
    >>> v2.ConvertImageDtype(torch.uint8)(torch.tensor([0., 1.]))
    tensor([  0, 255], dtype=torch.uint8)
    """

    def __init__(self, dtype: Any = dtypes.float32) -> None:
        super().__init__()
        self.dtype = dtype

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self._call_kernel(F.to_dtype, inpt, dtype=self.dtype, scale=True)


class _TensorsOnly(Transform):
    """Base of the transforms that refuse PIL images."""

    def check_inputs(self, flat_inputs: list[Any]) -> None:
        if has_any(flat_inputs, Image.Image):
            raise TypeError(f"{type(self).__name__}() does not support PIL images.")


class Normalize(_TensorsOnly):
    """``(x[c] - mean[c]) / std[c]`` for each channel c of a float tensor (..., C, H, W).

    >>> import cresset as torch
    >>> from cresset.vision.transforms import v2
    >>> v2.Normalize(mean=[0.5], std=[0.25])(torch.ones(1, 1, 2))
    tensor([[[2., 2.]]])
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float], inplace: bool = False) -> None:
        super().__init__()
        self.mean = list(mean)
        self.std = list(std)
        self.inplace = inplace

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self._call_kernel(
            F.normalize, inpt, mean=self.mean, std=self.std, inplace=self.inplace
        )


class LinearTransformation(_TensorsOnly):
    """``(x.flatten() - mean_vector) @ transformation_matrix``, in the shape of x: whitening.

    >>> import cresset as torch
    >>> from cresset.vision.transforms import v2
    >>> v2.LinearTransformation(2 * torch.eye(2), torch.ones(2))(torch.tensor([[[1., 3.]]]))
    tensor([[[0., 4.]]])
    """

    _transformed_types: ClassVar[tuple[Kind, ...]] = (is_pure_tensor,)

    def __init__(self, transformation_matrix: Tensor, mean_vector: Tensor) -> None:
        super().__init__()
        checked = _LinearTransformation(transformation_matrix, mean_vector)
        self.transformation_matrix = checked.transformation_matrix
        self.mean_vector = checked.mean_vector

    def transform(self, inpt: Any, params: dict[str, Any]) -> Tensor:
        c, h, w = inpt.shape[-3:]
        if c * h * w != self.transformation_matrix.shape[0]:
            raise ValueError(
                f"Input tensor and transformation matrix have incompatible shape.[{c} x {h} x {w}] "
                f"!= {self.transformation_matrix.shape[0]}"
            )
        if inpt.device.type != self.mean_vector.device.type:
            raise ValueError(
                "Input tensor should be on the same device as transformation matrix and mean "
                f"vector. Got {inpt.device} vs {self.mean_vector.device}"
            )
        flat = inpt.reshape(-1, c * h * w) - self.mean_vector
        return flat.mm(self.transformation_matrix.to(flat.dtype)).reshape(inpt.shape)


class Identity(Transform):
    """Images as they are.

    >>> import cresset as torch
    >>> from cresset.vision.transforms import v2
    >>> v2.Identity()(torch.ones(2))
    tensor([1., 1.])
    """

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return inpt


class Lambda(Transform):
    """A function as a transform: of everything in a sample, or of the given types.

    >>> import cresset as torch
    >>> from cresset.vision.transforms import v2
    >>> v2.Lambda(lambda x: x + 1, int)({'image': torch.zeros(1), 'label': 3})
    {'image': tensor([0.]), 'label': 4}
    """

    _transformed_types: ClassVar[tuple[Kind, ...]] = (object,)

    def __init__(self, lambd: Callable[[Any], Any], *types: type) -> None:
        super().__init__()
        self.lambd = lambd
        self.types = types or self._transformed_types

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self.lambd(inpt) if isinstance(inpt, self.types) else inpt  # type: ignore[arg-type]

    def extra_repr(self) -> str:
        name = getattr(self.lambd, "__name__", None)
        types = f"types={[kind.__name__ for kind in self.types]}"
        return f"{name}, {types}" if name else types


class UniformTemporalSubsample(Transform):
    """``num_samples`` evenly spaced images of a video (..., T, C, H, W).

    >>> import cresset as torch
    >>> from cresset.vision.transforms import v2
    >>> v2.UniformTemporalSubsample(2)(torch.zeros(9, 3, 4, 4)).shape
    torch.Size([2, 3, 4, 4])
    """

    _transformed_types: ClassVar[tuple[Kind, ...]] = (Tensor,)

    def __init__(self, num_samples: int) -> None:
        super().__init__()
        self.num_samples = num_samples

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self._call_kernel(F.uniform_temporal_subsample, inpt, self.num_samples)
