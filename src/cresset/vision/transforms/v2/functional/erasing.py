"""Parts erased; images damaged by compression."""

from __future__ import annotations

import io
from typing import Any

from cresset import dtypes
from cresset.ops.join import stack
from cresset.tensor import Tensor
from cresset.vision.pil import Image
from cresset.vision.transforms import functional as v1
from cresset.vision.transforms.v2.functional.dispatch import by_kind


def _erased_picture(
    image: Any, i: int, j: int, h: int, w: int, v: Tensor, inplace: bool = False
) -> Any:
    out = erase(v1.pil_to_tensor(image), i, j, h, w, v, inplace)
    return v1.to_pil_image(out, mode=image.mode)


@by_kind(_erased_picture)
def erase(
    image: Tensor, i: int, j: int, h: int, w: int, v: Tensor, inplace: bool = False
) -> Tensor:
    """An image whose part at row ``i``, column ``j`` of size (h, w) is ``v``.

    >>> import cresset as torch
    >>> from cresset.vision.transforms.v2 import functional as F
    >>> F.erase(torch.arange(6.).reshape(1, 2, 3), 0, 1, 1, 2, torch.tensor(-1.))
    tensor([[[ 0., -1., -1.],
             [ 3.,  4.,  5.]]])
    """
    return v1.erase(image, i, j, h, w, v, inplace)


def _compressed_picture(image: Any, quality: int) -> Any:
    file = io.BytesIO()
    image.save(file, format="JPEG", quality=quality)
    return Image.open(file).copy()


@by_kind(_compressed_picture)
def jpeg(image: Tensor, quality: int) -> Tensor:
    """An image of bytes (..., C, H, W) after compression as a JPEG of this quality, 1 to 100.

    >>> import cresset as torch
    >>> from cresset.vision.transforms.v2 import functional as F
    >>> F.jpeg(torch.zeros(3, 8, 8, dtype=torch.uint8), quality=50).shape
    torch.Size([3, 8, 8])
    """
    if image.dtype != dtypes.uint8:
        raise RuntimeError("Input tensor dtype should be uint8")
    planes = image.reshape(-1, *image.shape[-3:])
    if planes.shape[0] == 0:
        return image.clone()
    pictures = [_compressed_picture(v1.to_pil_image(part), quality) for part in planes.unbind(0)]
    parts = [v1.pil_to_tensor(picture) for picture in pictures]
    return stack(parts).reshape(image.shape).to(image.device)
