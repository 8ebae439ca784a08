"""One function for tensors and PIL images.

``by_kind`` makes of a function of a tensor image, the *kernel*, a function of either kind. The
kernel stays reachable as ``.image``; the names ``..._image`` and ``..._video`` are the kernels.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from cresset import dtypes
from cresset.tensor import Tensor, from_array, is_at_hand
from cresset.vision.pil import Image, is_pil_image


def is_pure_tensor(inpt: Any) -> bool:
    """Whether ``inpt`` is a tensor: every tensor here is a plain one."""
    return isinstance(inpt, Tensor)


def by_kind(pil: Callable[..., Any] | None) -> Callable[[Callable[..., Any]], Any]:
    """A decorator for kernels; ``pil`` does the same to a PIL image, None if nothing does."""

    def decorate(kernel: Callable[..., Any]) -> Any:
        @functools.wraps(kernel)
        def function(inpt: Any, *args: Any, **kwargs: Any) -> Any:
            if isinstance(inpt, Tensor):
                return kernel(inpt, *args, **kwargs)
            if pil is not None and is_pil_image(inpt):
                return pil(inpt, *args, **kwargs)
            kinds = {Tensor: kernel} if pil is None else {Tensor: kernel, Image.Image: pil}
            raise TypeError(
                f"Functional F.{kernel.__name__} supports inputs of type {kinds.keys()}, but got "
                f"{type(inpt)} instead."
            )

        function.image = kernel  # type: ignore[attr-defined]
        function.kinds = (Tensor,) if pil is None else (Tensor, Image.Image)  # type: ignore
        return function

    return decorate


def gathered(image: Tensor) -> Tensor:
    """An image whose values are at hand with rows one after the other; any other as it is. Images
    made from pictures have their channels together."""
    if is_at_hand(image) and not image.is_contiguous():
        return from_array(image._array(), image.dtype)
    return image


def fused_add(x: Tensor, y: Any, alpha: float) -> Tensor:
    """``x + alpha * y``, rounded once as PyTorch's kernel does; bytes are cut after it, so that the
    last bit shows."""
    if x.dtype != dtypes.float32:
        return x.add(y, alpha=alpha)
    product = y.to(dtypes.float64) * float(np.float32(alpha))
    return (x.to(dtypes.float64) + product).to(dtypes.float32)
