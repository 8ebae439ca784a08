"""Gaussian blur of random strength."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cresset.nn.module import Module
from cresset.vision.transforms import draws
from cresset.vision.transforms import functional as F
from cresset.vision.transforms.geometry import size_pair


def kernel_pair(size: Any) -> Any:
    """Two odd positive numbers from one or two."""
    pair = size_pair(size, "Kernel size should be a tuple/list of two integers")
    if any(n <= 0 or n % 2 == 0 for n in pair):
        raise ValueError("Kernel size value should be an odd and positive number.")
    return pair


class GaussianBlur(Module):
    """Blurred by a Gaussian whose sigma is uniform within the bounds ``sigma``.

    Args:
        kernel_size: (width, height) of the neighbourhood, or one number; odd.
        sigma: (low, high), or one number.

    >>> import cresset as torch
    >>> from cresset.vision import transforms
    >>> transforms.GaussianBlur(3)(torch.zeros(1, 2, 2)).sum()
    tensor(0.)
    """

    def __init__(self, kernel_size: Any, sigma: Any = (0.1, 2.0)) -> None:
        super().__init__()
        self.kernel_size = kernel_pair(kernel_size)
        if isinstance(sigma, (int, float)):
            if sigma <= 0:
                raise ValueError("If sigma is a single number, it must be positive.")
            sigma = (sigma, sigma)
        elif not isinstance(sigma, Sequence) or len(sigma) != 2:
            raise ValueError("sigma should be a single number or a list/tuple with length 2.")
        elif not 0.0 < sigma[0] <= sigma[1]:
            raise ValueError("sigma values should be positive and of the form (min, max).")
        self.sigma = sigma

    @staticmethod
    def get_params(sigma_min: float, sigma_max: float) -> float:
        """The next sigma."""
        return draws.uniform(sigma_min, sigma_max)

    def forward(self, img: Any) -> Any:
        sigma = self.get_params(self.sigma[0], self.sigma[1])
        return F.gaussian_blur(img, self.kernel_size, [sigma, sigma])

    def __repr__(self) -> str:
        return f"{type(self).__name__}(kernel_size={self.kernel_size}, sigma={self.sigma})"
