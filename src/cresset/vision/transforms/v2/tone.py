"""Transforms of brightness levels and sharpness of samples; blur, noise and compression."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cresset.vision.transforms import blur as v1
from cresset.vision.transforms import draws
from cresset.vision.transforms.v2 import functional as F
from cresset.vision.transforms.v2.inputs import two_numbers
from cresset.vision.transforms.v2.transform import RandomApplyTransform, Transform, params_of
from cresset.vision.transforms.warp import check_length


class RandomInvert(RandomApplyTransform):
    """Dark becomes bright with probability ``p``.

    >>> import cresset as torch
    >>> from cresset.vision.transforms import v2
    >>> v2.RandomInvert(p=1.0)(torch.tensor([[[0, 100, 250]]], dtype=torch.uint8))
    tensor([[[255, 155,   5]]], dtype=torch.uint8)
    """

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self._call_kernel(F.invert, inpt)


class RandomPosterize(RandomApplyTransform):
    """Only ``2 ** bits`` levels of brightness, with probability ``p``.

    >>> import cresset as torch
    >>> from cresset.vision.transforms import v2
    >>> v2.RandomPosterize(bits=2, p=1.0)(torch.tensor([[[0, 100, 250]]], dtype=torch.uint8))
    tensor([[[  0,  64, 192]]], dtype=torch.uint8)
    """

    def __init__(self, bits: int, p: float = 0.5) -> None:
        super().__init__(p=p)
        self.bits = bits

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self._call_kernel(F.posterize, inpt, bits=self.bits)


class RandomSolarize(RandomApplyTransform):
    """Pixels of at least ``threshold`` inverted, with probability ``p``.

    >>> import cresset as torch
    >>> from cresset.vision.transforms import v2
    >>> v2.RandomSolarize(threshold=128, p=1.0)(torch.tensor([[[0, 100, 250]]], dtype=torch.uint8))
    tensor([[[  0, 100,   5]]], dtype=torch.uint8)
    """

    def __init__(self, threshold: float, p: float = 0.5) -> None:
        super().__init__(p=p)
        self.threshold = threshold

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self._call_kernel(F.solarize, inpt, threshold=self.threshold)


class RandomAutocontrast(RandomApplyTransform):
    """Each channel stretched from black to full brightness, with probability ``p``.

    >>> import cresset as torch
    >>> from cresset.vision.transforms import v2
    >>> v2.RandomAutocontrast(p=1.0)(torch.tensor([[[0, 100, 250]]], dtype=torch.uint8))
    tensor([[[  0, 101, 254]]], dtype=torch.uint8)
    """

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self._call_kernel(F.autocontrast, inpt)


class RandomEqualize(RandomApplyTransform):
    """Grey levels made equally frequent, with probability ``p``.

    >>> from cresset.vision.transforms import v2
    >>> v2.RandomEqualize()
    RandomEqualize(p=0.5)
    """

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self._call_kernel(F.equalize, inpt)


class RandomAdjustSharpness(RandomApplyTransform):
    """Sharper (a factor above 1) or smoother, with probability ``p``.

    >>> from cresset.vision.transforms import v2
    >>> v2.RandomAdjustSharpness(2.0)
    RandomAdjustSharpness(p=0.5, sharpness_factor=2.0)
    """

    def __init__(self, sharpness_factor: float, p: float = 0.5) -> None:
        super().__init__(p=p)
        self.sharpness_factor = sharpness_factor

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self._call_kernel(F.adjust_sharpness, inpt, sharpness_factor=self.sharpness_factor)


class GaussianBlur(Transform):
    """Blurred by a Gaussian whose sigma is uniform within the bounds ``sigma``.

    >>> import cresset as torch
    >>> from cresset.vision.transforms import v2
    >>> v2.GaussianBlur(3)(torch.zeros(1, 4, 4)).shape
    torch.Size([1, 4, 4])
    """

    get_params = params_of(v1.GaussianBlur)

    def __init__(self, kernel_size: Any, sigma: Any = (0.1, 2.0)) -> None:
        super().__init__()
        self.kernel_size = v1.kernel_pair(kernel_size)
        self.sigma = two_numbers(sigma, "sigma")
        if not 0.0 < self.sigma[0] <= self.sigma[1]:
            raise ValueError(
                f"sigma values should be positive and of the form (min, max). Got {self.sigma}"
            )

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        return {"sigma": [draws.uniform(*self.sigma)] * 2}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self._call_kernel(F.gaussian_blur, inpt, self.kernel_size, **params)


class GaussianNoise(Transform):
    """Normal noise added; ``mean`` and ``sigma`` are shares of full brightness. Each image of a
    sample gets its own.

    >>> import cresset as torch
    >>> from cresset.vision.transforms import v2
    >>> v2.GaussianNoise(sigma=0.0)(torch.ones(1, 1, 2))
    tensor([[[1., 1.]]])
    """

    def __init__(self, mean: float = 0.0, sigma: float = 0.1, clip: bool = True) -> None:
        super().__init__()
        self.mean = mean
        self.sigma = sigma
        self.clip = clip

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self._call_kernel(
            F.gaussian_noise, inpt, mean=self.mean, sigma=self.sigma, clip=self.clip
        )


class JPEG(Transform):
    """Compressed as a JPEG of a quality uniform within the bounds ``quality``, 1 to 100.

    >>> import cresset as torch
    >>> from cresset.vision.transforms import v2
    >>> v2.JPEG(quality=(20, 90))(torch.zeros(3, 8, 8, dtype=torch.uint8)).shape
    torch.Size([3, 8, 8])
    """

    def __init__(self, quality: Any) -> None:
        super().__init__()
        if isinstance(quality, bool):
            raise TypeError("quality can't be bool")
        if isinstance(quality, int):
            quality = [quality, quality]
        check_length(quality, "quality", (2,))
        low, high = quality
        if not (1 <= low <= high <= 100 and isinstance(low, int) and isinstance(high, int)):
            raise ValueError(f"quality must be an integer from 1 to 100, got {quality =}")
        self.quality: Sequence[int] = quality

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        return {"quality": draws.integer(self.quality[0], self.quality[1] + 1)}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self._call_kernel(F.jpeg, inpt, quality=params["quality"])
