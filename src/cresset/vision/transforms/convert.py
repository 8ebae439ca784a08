"""Transforms between images and tensors, and of a tensor's numbers."""

from __future__ import annotations

from typing import Any

from cresset.nn.module import Module
from cresset.tensor import Tensor
from cresset.vision.transforms import functional as F


class ToTensor:
    """A PIL image or array (H, W, C) of bytes to a float tensor (C, H, W) in 0..1.

    >>> from cresset.vision import transforms
    >>> from PIL import Image
    >>> transforms.ToTensor()(Image.new('L', (2, 1), 51))
    tensor([[[0.2000, 0.2000]]])
    """

    def __call__(self, pic: Any) -> Tensor:
        return F.to_tensor(pic)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class PILToTensor:
    """A PIL image to a tensor (C, H, W) of the same numbers.

    >>> from cresset.vision import transforms
    >>> from PIL import Image
    >>> transforms.PILToTensor()(Image.new('L', (2, 1), 51))
    tensor([[[51, 51]]], dtype=torch.uint8)
    """

    def __call__(self, pic: Any) -> Tensor:
        return F.pil_to_tensor(pic)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class ConvertImageDtype(Module):
    """A tensor image to another dtype, full brightness staying full: see
    ``functional.convert_image_dtype``.

    >>> import cresset as torch
    >>> from cresset.vision import transforms
    >>> transforms.ConvertImageDtype(torch.uint8)(torch.tensor([0., 1.]))
    tensor([  0, 255], dtype=torch.uint8)
    """

    def __init__(self, dtype: Any) -> None:
        super().__init__()
        self.dtype = dtype

    def forward(self, image: Tensor) -> Tensor:
        return F.convert_image_dtype(image, self.dtype)


class ToPILImage:
    """A tensor (C, H, W) or array (H, W, C) to a PIL image: see ``functional.to_pil_image``.

    >>> import cresset as torch
    >>> from cresset.vision import transforms
    >>> transforms.ToPILImage()(torch.zeros(3, 4, 5)).size
    (5, 4)
    """

    def __init__(self, mode: str | None = None) -> None:
        self.mode = mode

    def __call__(self, pic: Any) -> Any:
        return F.to_pil_image(pic, self.mode)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({'' if self.mode is None else f'mode={self.mode}'})"


class Normalize(Module):
    """``(x[c] - mean[c]) / std[c]`` for each channel c of a float tensor (..., C, H, W).

    >>> import cresset as torch
    >>> from cresset.vision import transforms
    >>> transforms.Normalize(mean=[0.5], std=[0.25])(torch.ones(1, 1, 2))
    tensor([[[2., 2.]]])
    """

    def __init__(self, mean: Any, std: Any, inplace: bool = False) -> None:
        super().__init__()
        self.mean = mean
        self.std = std
        self.inplace = inplace

    def forward(self, tensor: Tensor) -> Tensor:
        return F.normalize(tensor, self.mean, self.std, self.inplace)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(mean={self.mean}, std={self.std})"


class LinearTransformation(Module):
    """``(x.flatten() - mean_vector) @ transformation_matrix``, in the shape of x: whitening.

    Args:
        transformation_matrix: (D, D) with D = C * H * W.
        mean_vector: (D).

    >>> import cresset as torch
    >>> from cresset.vision import transforms
    >>> transforms.LinearTransformation(2 * torch.eye(2), torch.ones(2))(torch.tensor([[[1., 3.]]]))
    tensor([[[0., 4.]]])
    """

    def __init__(self, transformation_matrix: Tensor, mean_vector: Tensor) -> None:
        super().__init__()
        matrix, mean = transformation_matrix, mean_vector
        shape = tuple(matrix.size())
        if shape[0] != shape[1]:
            raise ValueError(
                f"transformation_matrix should be square. Got {shape} rectangular matrix."
            )
        if mean.size(0) != shape[0]:
            raise ValueError(
                f"mean_vector should have the same length {mean.size(0)} as any one of the "
                f"dimensions of the transformation_matrix [{shape}]"
            )
        if matrix.device != mean.device:
            raise ValueError(
                f"Input tensors should be on the same device. Got {matrix.device} and {mean.device}"
            )
        if matrix.dtype != mean.dtype:
            raise ValueError(
                f"Input tensors should have the same dtype. Got {matrix.dtype} and {mean.dtype}"
            )
        self.transformation_matrix = matrix
        self.mean_vector = mean

    def forward(self, tensor: Tensor) -> Tensor:
        c, h, w = tensor.shape[-3:]
        if c * h * w != self.transformation_matrix.shape[0]:
            raise ValueError(
                f"Input tensor and transformation matrix have incompatible shape.[{c} x {h} x {w}] "
                f"!= {self.transformation_matrix.shape[0]}"
            )
        flat = tensor.view(-1, c * h * w) - self.mean_vector
        return flat.mm(self.transformation_matrix.to(flat.dtype)).view(tensor.shape)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(transformation_matrix={self.transformation_matrix.tolist()}, "
            f"mean_vector={self.mean_vector.tolist()})"
        )
